"""From rankings to tables: result rows, runs, the paper's numbers, claims with verdicts, figures, provenance.

Figures are imported from `mmr_kit.reporting.figures`, so that reading results does not wait for a plotting library.
"""

from mmr_kit.reporting.claims import Claims, Verdict
from mmr_kit.reporting.claims_table1 import judge_table1
from mmr_kit.reporting.paper import paper_table, paper_value
from mmr_kit.reporting.provenance import provenance
from mmr_kit.reporting.results import Results, headline, read_results
from mmr_kit.reporting.tables import Picture, SideBySide, table1
from mmr_kit.reporting.trec import read_qrels, read_run, write_qrels, write_run

__all__ = [
    "Claims", "Picture", "Results", "SideBySide", "Verdict", "headline", "judge_table1", "paper_table", "paper_value", "provenance", "read_qrels",
    "read_results", "read_run", "table1", "write_qrels", "write_run",
]  # fmt: skip
