"""The paper's claims, the evidence measured for each, and the verdict the evidence allows.

A claim is judged part by part (each data set and direction is a part); it is not supported if any part is not, supported if all parts are, not measured if
none was, and inconclusive otherwise. `evidence` has the tests, `comparisons` says what is compared with what, and `claims_*` have the paper's claims.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TypeVar

import pandas as pd

from mmr_kit.errors import InputError
from mmr_kit.reporting.comparisons import Parts
from mmr_kit.reporting.evidence import MARGIN, Finding, Verdict, worst
from mmr_kit.reporting.markup import LEFT, STYLE, markdown_cell, tex
from mmr_kit.reporting.paper import paper_file

AS_QUOTED = "as quoted"  # judged on printed numbers, nothing was measured
MEASURED = "measured"
POINTS_READING = (
    "Differences (of unrounded values) are points of R@M or mR with the 95% interval of the paired bootstrap over images, each with all its queries (and "
    "over seeds, where there are several), on the largest gallery on which the methods compared were measured. "
    f"On a par: within {MARGIN:g} points, a margin fixed beforehand; the largest difference that the paper itself calls on a par is 1.9 points. "
    "Far, harshly, considerably: by more than half of the smallest difference that the paper prints as its evidence, and by more than a par."
)


@dataclass(frozen=True)
class Claim:
    """One row of results/paper/claims.csv."""

    id: str
    where: str
    claim: str
    printed_evidence: str
    how_to_judge: str


@dataclass(frozen=True)
class Judgement:
    """A claim with the finding of each of its parts ("pictograms_a image retrieval" -> finding) and their basis, "measured" or "as quoted"."""

    claim: Claim
    parts: tuple[tuple[str, Finding], ...]
    basis: str = MEASURED

    @property
    def verdict(self) -> Verdict:
        return worst([finding for _, finding in self.parts])

    @property
    def evidence(self) -> list[str]:
        return [f"{part}: {finding.text} {finding.verdict.symbol}" if part else f"{finding.text} {finding.verdict.symbol}" for part, finding in self.parts]


Evidence = TypeVar("Evidence")


def load_claims() -> dict[str, Claim]:
    """All claims by id, in the paper's order."""
    path = paper_file("claims.csv")
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    try:
        return {row["id"]: Claim(**row) for row in rows}
    except (TypeError, KeyError):
        raise InputError(f"{path}: a claim has the columns id, where, claim, printed_evidence, how_to_judge") from None


def judge(specs: Mapping[str, Callable[[Evidence], Parts]], measured: Evidence, quoted: Sequence[str] = (), reading: str = "") -> Claims:
    """Judge the claims of `specs` (claim id -> function from what was measured to the parts); those in `quoted` rest on printed numbers.

    reading: how to read the evidence, where it is not points of R@M or mR.
    """
    claims = load_claims()
    judged = (Judgement(claims[id_], tuple(spec(measured)), AS_QUOTED if id_ in quoted else MEASURED) for id_, spec in specs.items())
    return Claims(tuple(judged), reading or POINTS_READING)


@dataclass(frozen=True)
class Claims:
    """Judged claims, as a frame, csv, HTML, Markdown or LaTeX; the verdict is always a word and a symbol, never a colour alone.

    reading: how to read the evidence, printed below it.
    """

    judgements: tuple[Judgement, ...]
    reading: str = POINTS_READING

    def __getitem__(self, claim_id: str) -> Judgement:
        return next(judgement for judgement in self.judgements if judgement.claim.id == claim_id)

    @property
    def frame(self) -> pd.DataFrame:
        """One claim a row: id, where, claim, printed, how judged, basis, verdict, evidence (one line a part)."""
        return pd.DataFrame(
            [
                {"id": j.claim.id, "where": j.claim.where, "claim": j.claim.claim, "printed_evidence": j.claim.printed_evidence,
                 "how_to_judge": j.claim.how_to_judge, "basis": j.basis, "verdict": str(j.verdict), "evidence": "\n".join(j.evidence)}
                for j in self.judgements
            ],
            columns=["id", "where", "claim", "printed_evidence", "how_to_judge", "basis", "verdict", "evidence"],
        )  # fmt: skip

    def to_csv(self) -> str:
        """One part a line: claim, part, its verdict, the claim's verdict, the evidence."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["id", "claim", "basis", "verdict", "part", "part_verdict", "evidence"])
        for j in self.judgements:
            writer.writerows([[j.claim.id, j.claim.claim, j.basis, j.verdict, part, finding.verdict, finding.text] for part, finding in j.parts])
        return text.getvalue()

    def to_html(self) -> str:
        rows = []
        for j in self.judgements:
            evidence = "".join(f"<li>{escape(line)}</li>" for line in j.evidence)
            rows.append(
                f'<tr><th scope="row"{LEFT}>{escape(j.claim.id)}</th><td{LEFT}>{escape(j.claim.claim)}<br><small>{escape(j.claim.where)}; '
                f"printed: {escape(j.claim.printed_evidence)}</small></td>"
                f'<td class="verdict {j.verdict.name.lower()}"{LEFT}><span aria-hidden="true">{j.verdict.symbol}</span> {j.verdict}'
                f"{self._basis(j, '<br><small>', '</small>')}</td><td{LEFT}><ul>{evidence}</ul></td></tr>"
            )
        head = "".join(f"<th{LEFT}>{word}</th>" for word in ("id", "the paper's claim", "verdict", "evidence"))
        table = f'<table class="mmr-table mmr-claims"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
        return f'{STYLE}<div class="mmr"><div class="mmr-scroll">{table}</div><p><small>{escape(self.reading)}</small></p></div>'

    _repr_html_ = to_html

    def to_markdown(self) -> str:
        lines = ["| id | the paper's claim | verdict | evidence |", "|---|---|---|---|"]
        for j in self.judgements:
            cells = [j.claim.id, j.claim.claim, f"{j.verdict.symbol} {j.verdict}{self._basis(j, ' (', ')')}", *["<br>".join(map(markdown_cell, j.evidence))]]
            lines.append("| " + " | ".join([*map(markdown_cell, cells[:3]), cells[3]]) + " |")
        return "\n".join([*lines, "", self.reading, ""])

    def to_latex(self) -> str:
        lines = [r"\begin{tabular}{lp{.3\linewidth}lp{.4\linewidth}}", r"\toprule", r"id & the paper's claim & verdict & evidence \\", r"\midrule"]
        for j in self.judgements:
            evidence = r" \newline ".join(tex(line) for line in j.evidence)
            lines.append(rf"{tex(j.claim.id)} & {tex(j.claim.claim)} & {tex(j.verdict + self._basis(j, ' (', ')'))} & {evidence} \\")
        return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", "", tex(self.reading), ""])

    @staticmethod
    def _basis(judgement: Judgement, before: str, after: str) -> str:
        return f"{before}{AS_QUOTED}{after}" if judgement.basis == AS_QUOTED else ""
