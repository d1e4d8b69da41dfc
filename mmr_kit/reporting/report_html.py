"""The report as one HTML file: pictures are in it, nothing is fetched, nothing runs. Links lead to the result files beside it and within the page."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any
from urllib.parse import quote

from mmr_kit.errors import InputError
from mmr_kit.reporting.claims import Claim
from mmr_kit.reporting.evidence import Verdict
from mmr_kit.reporting.markup import STYLE
from mmr_kit.reporting.report_fragment import fragment
from mmr_kit.reporting.report_numbers import Number, distinguishing, find
from mmr_kit.reporting.report_sections import JudgedClaim, Section
from mmr_kit.reporting.report_style import REPORT_STYLE

PAPER = "Retrieve Fast, Rerank Smart: Cooperative and Joint Approaches for Improved Cross-Modal Retrieval"
PNG = b"\x89PNG\r\n\x1a\n"
SCROLL = '<div class="mmr-scroll" tabindex="0">'  # so that the keyboard can scroll a wide table
FILES = {".csv": "numbers (csv)", ".claims.csv": "claims (csv)", ".html": "page (html)", ".md": "Markdown", ".tex": "LaTeX",
         ".provenance.json": "provenance (json)"}  # fmt: skip
PROVENANCE = ("git", "written", "cpu", "cpu_count", "threads", "device", "python", "platform", "packages", "parameters", "data_hashes", "durations",
              "wall_time_s")  # what is told first, in this order  # fmt: skip
LISTED = 4  # numbers that an erratum lists; the others are in the table it belongs to


def html_report(profile: str, about: Sequence[str], sections: Sequence[Section], not_judged: Sequence[Claim], errata: Sequence[Mapping[str, str]]) -> str:
    """The whole page. about: what the profile is, and further paragraphs on how to read it; errata: the rows of results/paper/errata.csv."""
    contents = "".join(f'<li><a href="#{_id(section.name)}">{escape(section.title)}</a></li>' for section in sections)
    parts = [
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="color-scheme" content="light dark"><title>Results of the profile {escape(profile)}</title>\n{STYLE}{REPORT_STYLE}</head>\n<body>\n',
        f'<header><h1>Results of the profile {escape(profile)}</h1>\n<p class="lead">{escape(about[0])}</p>\n'
        f'<p class="muted">The tables and figures of <cite>{PAPER}</cite> (Geigle, Pfeiffer, Reimers, Vulić and Gurevych, TACL 2022), computed again by '
        "mmr_kit. Numbers in italics are as printed in the paper; one with a dotted line leads to the row and the run files that it came from.</p></header>",
        _summary(sections, not_judged, about[1:]),
        f'<nav aria-label="Contents"><ul>{contents}<li><a href="#errata">Errata</a></li></ul></nav>\n<main>',
        *(_section(section) for section in sections),
        _errata(errata, sections),
        "</main>\n</body></html>\n",
    ]
    return "\n".join(parts)


def counted(sections: Sequence[Section], not_judged: Sequence[Claim]) -> list[tuple[str, str, int]]:
    """(symbol, verdict, how many claims): the measured ones, those judged on quoted numbers alone, and last those that were not judged."""
    counts = Counter((claim.verdict, claim.told_basis) for section in sections for claim in section.claims)
    measured = [(verdict.symbol, str(verdict), counts[verdict, ""]) for verdict in Verdict if verdict != Verdict.NOT_MEASURED or counts[verdict, ""]]
    quoted = [(verdict.symbol, f"{verdict} {basis}", count) for (verdict, basis), count in counts.items() if basis]
    return [*measured, *quoted, ("–", "not judged here", len(not_judged))]


def _summary(sections: Sequence[Section], not_judged: Sequence[Claim], reading: Sequence[str]) -> str:
    counts = "".join(
        f'<li class="{_class(word)}"><b>{count}</b> <span aria-hidden="true">{symbol}</span> {word}</li>'
        for symbol, word, count in counted(sections, not_judged)
    )
    rows = "".join(
        f'<tr><th scope="row"><a href="#{_id(section.name, claim.claim.id)}">{escape(claim.claim.id)}</a></th><td>{escape(claim.claim.claim)}</td>'
        f"<td>{_verdict(claim.verdict)}{_basis(claim)}</td></tr>"
        for section in sections
        for claim in section.claims
    )
    told = "".join(f'<p class="muted">{escape(paragraph)}</p>' for paragraph in reading)
    table = f'<table class="list"><thead><tr><th>id</th><th>the paper\'s claim</th><th>verdict</th></tr></thead><tbody>{rows}</tbody></table>' if rows else ""
    others = "".join(
        f'<tr><th scope="row">{escape(claim.id)}</th><td>{escape(claim.claim)}<br><span class="muted">{escape(claim.where)}</span></td></tr>'
        for claim in not_judged
    )
    missing = (
        f'<details><summary>{len(not_judged)} claims of the paper not judged in this profile</summary><table class="list">'
        f"<thead><tr><th>id</th><th>the paper's claim</th></tr></thead><tbody>{others}</tbody></table></details>"
    )
    return (
        f'<section aria-labelledby="summary"><h2 id="summary">Verdicts on the paper\'s claims</h2>\n<ul class="counts">{counts}</ul>\n{told}\n{table}\n'
        f"{missing if others else ''}</section>"
    )


def _section(section: Section) -> str:
    pictures: list[str] = []

    def picture(file: str, alt: str) -> str:
        pictures.append(file)
        return _figure(section, file, alt)

    page = fragment(section.html, picture, lambda headings, printed: _link(section, headings, printed), bool(section.claims))
    body = page.body.replace('<div class="mmr-scroll">', SCROLL) or (
        f'<p class="missing">{escape(section.name)}.html is missing: {escape(section.remedy)}</p>' if section.numbers else ""
    )
    rest = "".join(_figure(section, name, _alt(name)) for name in section.figures if name not in pictures)
    claims = "".join(_claim(section, claim) for claim in section.claims)
    return (
        f'<section aria-labelledby="{_id(section.name)}"><h2 id="{_id(section.name)}">{escape(page.title or section.title)}</h2>\n{_files(section)}\n'
        f"{body}\n{rest}\n"
        f"{f'<h3>Claims</h3>{page.reading}{claims}' if claims else ''}\n{_numbers(section)}{_provenance(section)}</section>"
    )


def _files(section: Section) -> str:
    """Links to the files of a section that are there."""
    links = [f'<a href="{quote(section.file(kind).name)}">{words}</a>' for kind, words in FILES.items() if section.file(kind).is_file()]
    if (section.folder / "runs" / section.short).is_dir():
        links.append(f'<a href="runs/{quote(section.short)}/">run files (TREC)</a>')
    return f'<ul class="files">{"".join(f"<li>{link}</li>" for link in links)}</ul>' if links else ""


def _link(section: Section, headings: Sequence[str], printed: str) -> str | None:
    number = find(section.numbers, headings, printed)
    return None if number is None else f'<a href="#{_id(section.name, number.line)}" title="{escape(_source(section, number))}">{escape(printed)}</a>'


def _source(section: Section, number: Number) -> str:
    seeds = [source.seed for source in number.sources if source.seed]
    return f"{section.name}.csv, line {number.line}" + (f"; seeds {', '.join(seeds)}" if len(seeds) > 1 else "")


def _figure(section: Section, file: str, alt: str) -> str:
    """A picture of the profile's folder, in the page; a note where it is not there."""
    path = section.folder / file
    if "/" in file or "\\" in file or not path.is_file():
        return f'<p class="missing">The figure {escape(file)} is missing: {escape(section.remedy)}</p>'
    data = path.read_bytes()
    if not data.startswith(PNG):
        raise InputError(f"{path}: not a PNG picture; {section.remedy}")
    source = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    return f'<figure><img src="{source}" alt="{escape(alt)}"><figcaption>{escape(alt)} (<a href="{quote(file)}">{escape(file)}</a>)</figcaption></figure>'


def _alt(file: str) -> str:
    return file.removesuffix(".png").lstrip("0123456789_").replace("_", " ").capitalize()


def _claim(section: Section, judged: JudgedClaim) -> str:
    claim = judged.claim
    told = {"": claim.where, "printed: ": claim.printed_evidence, "judged by: ": claim.how_to_judge}
    evidence = "".join(
        f"<li>{f'{escape(part)}: ' if part else ''}{escape(text)} {_verdict(verdict) if len(judged.parts) > 1 else ''}</li>"
        for part, verdict, text in judged.parts
    )
    return (
        f'<article class="claim" id="{_id(section.name, claim.id)}"><h4>{escape(claim.id)}: {escape(claim.claim)}</h4>'
        f"<p>{_verdict(judged.verdict)}{_basis(judged)}</p>"
        f'<p class="how">{escape("; ".join(word + text for word, text in told.items() if text))}</p><ul>{evidence}</ul></article>'
    )


def _numbers(section: Section) -> str:
    """Every number with its row of the csv and the run file of each seed."""
    if not section.numbers:
        return ""
    columns = distinguishing(section.numbers)
    head = "".join(f"<th>{escape(name.replace('_', ' '))}</th>" for name in ("line", *columns, "value", "95% interval", "queries", "paper", "from"))
    rows = []
    for number in section.numbers:
        what = "".join(f"<td>{escape(number.what.get(name, '').replace('_retrieval', ' retrieval'))}</td>" for name in columns)
        interval = "" if number.low is None or number.high is None else f"{number.low:,.6g} to {number.high:,.6g}"
        queries, paper = ("" if value is None else f"{value:,.6g}" for value in (number.n_queries, number.paper))
        rows.append(
            f'<tr id="{_id(section.name, number.line)}"><th scope="row">{number.line}</th>{what}<td>{number.value:,.6g}</td><td>{interval}</td>'
            f"<td>{queries}</td><td>{paper}</td><td>{'; '.join(_from(section, number))}</td></tr>"
        )
    file = section.file(".csv").name
    return (
        f'<details class="numbers-of"><summary>Every number: its row and its run files ({len(rows)})</summary><p class="muted">Lines of '
        f'<a href="{quote(file)}">{escape(file)}</a>; a number over several seeds is the mean of the lines named at its end.</p>'
        f'{SCROLL}<table class="numbers"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div></details>'
    )


def _from(section: Section, number: Number) -> list[str]:
    told = []
    for source in number.sources:
        text = f"seed {source.seed}" if source.seed else "value"
        inside = source.run and ".." not in source.run and (section.folder / source.run).is_file()
        linked = f'<a href="{quote(source.run)}">{escape(text)}</a>' if inside else escape(text)
        told.append(f"{linked}: {source.value:,.6g}" + (f" (line {source.line})" if source.line != number.line else ""))
    return told


def _provenance(section: Section) -> str:
    """What, with what, on what: a list, nested values told as name value pairs."""
    record = dict(section.provenance)
    if not record:
        return ""
    outputs = record.pop("outputs", None)
    if isinstance(outputs, dict):
        record["outputs"] = f"{len(outputs)} files, their SHA-256 in {section.name}.provenance.json"
    names = sorted(record, key=lambda name: PROVENANCE.index(name) if name in PROVENANCE else len(PROVENANCE))
    listed = "".join(f"<dt>{escape(name.replace('_', ' '))}</dt><dd>{escape(_told(record[name]))}</dd>" for name in names)
    return f"<details><summary>Provenance</summary><dl>{listed}</dl></details>"


def _told(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}: ({_told(inner)})" if isinstance(inner, dict) else f"{key} {_told(inner)}" for key, inner in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(map(_told, value)) or "none"
    return {None: "none", True: "yes", False: "no", "": "none"}.get(value, str(value)) if isinstance(value, str | bool | None) else str(value)


def _errata(errata: Sequence[Mapping[str, str]], sections: Sequence[Section]) -> str:
    rows = []
    for erratum in errata:
        measured = [(section, number) for section in sections for number in section.numbers if number.erratum and number.erratum == erratum["note"]]
        shown = "; ".join(
            f'<a href="#{_id(section.name, number.line)}">{number.value:,.4g}</a> beside {"" if number.paper is None else format(number.paper, ",.4g")}'
            f" ({escape(', '.join(number.what[name] for name in distinguishing(section.numbers) if name in number.what))})"
            for section, number in measured[:LISTED]
        )
        more = f"; and {len(measured) - LISTED} more" if len(measured) > LISTED else ""
        here = f'<br><span class="muted">Measured here: {shown}{more}</span>' if measured else ""
        rows.append(
            f'<tr><th scope="row">{escape(erratum["table"].replace("table", "Table "))}</th><td>{escape(erratum["row"])}, {escape(erratum["column"])}: '
            f"<i>{escape(erratum['as_printed'])}</i><br>{escape(erratum['note'])}{here}</td></tr>"
        )
    return (
        '<section aria-labelledby="errata"><h2 id="errata">Errata</h2><p>Printed numbers that are probably misprints or artefacts. They stay as printed in the '
        "tables, with a mark.</p>"
        f'<table class="list"><thead><tr><th>where</th><th>as printed, and what we found</th></tr></thead><tbody>{"".join(rows)}</tbody></table></section>'
    )


def _basis(claim: JudgedClaim) -> str:
    return f' <span class="muted">{escape(claim.told_basis)}</span>' if claim.told_basis else ""


def _verdict(verdict: Verdict) -> str:
    return f'<span class="verdict {_class(str(verdict))}"><span aria-hidden="true">{verdict.symbol}</span>{verdict}</span>'


def _class(words: str) -> str:
    return words.removesuffix(" here").replace(" ", "_")


def _id(name: str, part: object = "") -> str:
    """An anchor: the names of notebooks and claims, made safe for an attribute and a fragment."""
    return quote(f"{name}-{part}" if part != "" else name, safe="").replace("%", "_")
