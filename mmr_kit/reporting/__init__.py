"""From rankings to tables: result rows, runs, the paper's numbers, claims with verdicts, figures, provenance.

Figures are imported from `mmr_kit.reporting.figures`, so that reading results does not wait for a plotting library.
"""

from mmr_kit.reporting.bootstrap import bootstrap_interval
from mmr_kit.reporting.claims import Claims
from mmr_kit.reporting.claims_costs import Costs, judge_table3, judge_table4
from mmr_kit.reporting.claims_galleries import judge_table5, judge_table6
from mmr_kit.reporting.claims_languages import judge_table2, judge_table7
from mmr_kit.reporting.claims_reranking import judge_figure2, judge_table8, judge_table9, norm_add_finding
from mmr_kit.reporting.claims_table1 import judge_table1
from mmr_kit.reporting.claims_training import judge_ablations, judge_figure3, judge_figure4, judge_object_tags
from mmr_kit.reporting.cost_tables import cost_table
from mmr_kit.reporting.evidence import Finding, Verdict
from mmr_kit.reporting.measured import Measured, select
from mmr_kit.reporting.paper import paper_table, paper_value
from mmr_kit.reporting.provenance import provenance
from mmr_kit.reporting.results import Results
from mmr_kit.reporting.rows import headline, read_results
from mmr_kit.reporting.tables import Picture, SideBySide, pivot_table, side_by_side, table1
from mmr_kit.reporting.trec import read_qrels, read_run, write_qrels, write_run

__all__ = [
    "Claims", "Costs", "Finding", "Measured", "Picture", "Results", "SideBySide", "Verdict", "bootstrap_interval", "cost_table", "headline", "judge_ablations",
    "judge_figure2", "judge_figure3", "judge_figure4", "judge_object_tags", "judge_table1", "judge_table2", "judge_table3", "judge_table4", "judge_table5",
    "judge_table6", "judge_table7", "judge_table8", "judge_table9", "norm_add_finding", "paper_table", "paper_value", "pivot_table", "provenance",
    "read_qrels", "read_results", "read_run", "select", "side_by_side", "table1", "write_qrels", "write_run",
]  # fmt: skip
