"""The report of a profile: every table, figure and claim that its notebooks wrote, on one page (`index.html`) and as Markdown (`REPORT.md`)."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmr_kit.cache import atomic_write
from mmr_kit.errors import InputError
from mmr_kit.reporting.claims import Claim
from mmr_kit.reporting.markup import markdown_cell
from mmr_kit.reporting.paper import paper_file
from mmr_kit.reporting.report_html import counted, html_report
from mmr_kit.reporting.report_sections import INDEX, REPORT, Section, description, how_to_read, not_judged, read_sections

ERRATA_COLUMNS = {"table", "row", "column", "as_printed", "note"}


def write_report(folder: Path) -> tuple[Path, Path]:
    """Write index.html and REPORT.md of a profile's results (`results/<profile>/`) and return their paths. Raises InputError where there are no results."""
    folder = Path(folder)
    sections = read_sections(folder)
    missing, errata, about = not_judged(sections), _errata(), [description(folder.name), *how_to_read(sections)]
    index, report = folder / INDEX, folder / REPORT
    page, text = html_report(folder.name, about, sections, missing, errata), _markdown(folder.name, about, sections, missing, errata)
    atomic_write(index, page)
    atomic_write(report, text)
    return index, report


def verdict_lines(folder: Path) -> list[str]:
    """'supported      T1-1 the claim' for each claim judged in a profile's results, in the report's order."""
    return [f"{claim.verdict:<14} {claim.claim.id} {claim.claim.claim}" for section in read_sections(folder) for claim in section.claims]


def _errata() -> list[dict[str, str]]:
    path = paper_file("errata.csv")
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if any(ERRATA_COLUMNS - {name for name, value in row.items() if value is not None} for row in rows):
        raise InputError(f"{path}: an erratum has the columns {', '.join(sorted(ERRATA_COLUMNS))}; take the file from the repository again")
    return rows


def _markdown(profile: str, about: Sequence[str], sections: Sequence[Section], missing: Sequence[Claim], errata: Sequence[Mapping[str, str]]) -> str:
    counts = ", ".join(f"{count} {word}" for _, word, count in counted(sections, missing))
    parts = [f"# Results of the profile {markdown_cell(profile)}\n",
             *(f"{markdown_cell(told)}\n" for told in about if told), f"Claims of the paper: {counts}.\n"]  # fmt: skip
    judged = [(f"[{markdown_cell(judged.claim.id)}](#{_slug(section.title)})", judged) for section in sections for judged in section.claims]
    if judged:
        parts.append("| id | the paper's claim | verdict |\n|---|---|---|")
        parts += [f"| {link} | {markdown_cell(claim.claim.claim)} | {' '.join(filter(None, (claim.verdict.symbol, claim.verdict, claim.told_basis)))} |"
                  for link, claim in judged]
        parts.append("")
    for section in sections:
        parts += [_one_level_down(section.markdown) if section.markdown else f"## {markdown_cell(section.title)}\n", _figures(section), _files(section)]
    if missing:
        parts += ["## Claims not judged in this profile\n", "Their tables and figures were not run in it.\n",
                  *(f"- {markdown_cell(claim.id)} ({markdown_cell(claim.where)}): {markdown_cell(claim.claim)}" for claim in missing), ""]
    parts.append("## Errata\n\nPrinted numbers that are probably misprints or artefacts; they stay as printed in the tables, with a mark.\n")
    parts += [
        f"- {erratum['table'].replace('table', 'Table ')}, {markdown_cell(erratum['row'])}, {markdown_cell(erratum['column'])}, "
        f"as printed {markdown_cell(erratum['as_printed'])}: {markdown_cell(erratum['note'])}"
        for erratum in errata
    ]
    return "\n".join(parts) + "\n"


def _figures(section: Section) -> str:
    """The pictures that the notebook's own page does not show."""
    further = [name for name in section.figures if f"]({name})" not in section.markdown]
    return "".join(f"![{markdown_cell(name.removesuffix('.png').replace('_', ' '))}]({name})\n\n" for name in further)


def _files(section: Section) -> str:
    """Links to the section's files, and a line on where it was computed."""
    links = [f"[{section.name}{kind}]({section.name}{kind})" for kind in (".csv", ".claims.csv", ".tex", ".provenance.json") if section.file(kind).is_file()]
    if (section.folder / "runs" / section.short).is_dir():
        links.append(f"[run files](runs/{section.short}/)")
    git, record = section.provenance.get("git"), section.provenance
    commit = git.get("commit") if isinstance(git, dict) else None
    changed = " with changes" if isinstance(git, dict) and git.get("dirty") else ""
    told = [f"commit {commit[:10]}{changed}" if isinstance(commit, str) else "", *(str(record.get(name, "")) for name in ("cpu", "written"))]
    computed = ", ".join(text for text in told if text)
    return (f"Files: {', '.join(links)}." if links else "") + (f" Computed: {markdown_cell(computed)}." if computed else "") + "\n"


def _slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def _one_level_down(markdown: str) -> str:
    """A page whose headings stand one level lower, to be a part of another page."""
    return re.sub(r"^#", "##", markdown, flags=re.MULTILINE)
