"""What lies in `results/<profile>/`, read for the report: one section a notebook, in the paper's order.

A missing piece is left out; an unreadable one is an InputError that names the file and what writes it again.
"""

from __future__ import annotations

import csv
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmr_kit.errors import InputError
from mmr_kit.profiles import NOTEBOOKS
from mmr_kit.reporting.claims import Claim, load_claims
from mmr_kit.reporting.evidence import Verdict
from mmr_kit.reporting.report_numbers import Number, numbers
from mmr_kit.reporting.rows import read_results

FLOOR = "floor"  # the method's name in the tables
VERDICTS = (
    "A claim is judged part by part, a part being mostly a data set and a direction. It is supported if all its parts are, not supported if one is "
    "contradicted (its whole interval lies on the wrong side of what was needed), and inconclusive where the intervals leave it open or a part could not be "
    "measured. Models, data and training here are smaller than the paper's: what is not supported here need not be wrong there."
)
TOO_LITTLE = "These models have learnt too little for the claims that rest on them: a verdict on those speaks of this training, not of the approach."
REPORT, INDEX = "REPORT.md", "index.html"
KINDS = (".claims.csv", ".provenance.json", ".csv", ".html", ".md", ".tex", ".png")
CLAIM_COLUMNS = {"id", "claim", "verdict", "part", "part_verdict", "evidence"}


@dataclass(frozen=True)
class JudgedClaim:
    """A claim as a notebook judged it. parts: (which data set and direction, verdict, evidence); basis: "measured", "as quoted" or ""."""

    claim: Claim
    verdict: Verdict
    basis: str
    parts: tuple[tuple[str, Verdict, str], ...]

    @property
    def told_basis(self) -> str:
        """"(as quoted)" where nothing was measured for it, else ""."""
        return f"({self.basis})" if self.basis not in ("", "measured") else ""


@dataclass(frozen=True)
class Section:
    """The results of one notebook: texts are "" and collections empty where the file is not there. figures: png names, of this notebook."""

    name: str
    folder: Path
    html: str = ""
    markdown: str = ""
    numbers: tuple[Number, ...] = ()
    claims: tuple[JudgedClaim, ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)
    figures: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The heading of the notebook's page, or its name."""
        heading = re.match(r"# (.*)", self.markdown)
        return re.sub(r"\\(.)", r"\1", heading[1]) if heading else self.name.lstrip("0123456789_").replace("_", " ").capitalize()

    @property
    def short(self) -> str:
        """ "table1" of table1_main_results: the folder of its runs, and how the names of its further figures begin."""
        found = re.match(r"(table|figure)\d+", self.name)
        return found[0] if found else self.name

    @property
    def remedy(self) -> str:
        return remedy(self.folder, self.name)

    def file(self, kind: str) -> Path:
        return self.folder / f"{self.name}{kind}"


def read_sections(folder: Path) -> list[Section]:
    """The sections of a profile's results in the paper's order: tables, figures, further experiments, the quickstart. Raises InputError if there are none."""
    folder = Path(folder)
    names = {_stem(path.name) for path in folder.glob("*") if path.is_file() and path.name not in (REPORT, INDEX) and not path.name.startswith(".")} - {""}
    mains = {name for name in names if any((folder / f"{name}{kind}").is_file() for kind in KINDS if kind != ".png")}
    if not mains:
        raise InputError(f"{folder}: no results to report; run mmr regenerate --profile {folder.name}")
    return [_section(folder, name, mains) for name in sorted(mains, key=paper_order)]


def paper_order(name: str) -> tuple[int, int, str]:
    """Sorts the names of notebooks as the paper has them: table1 ... table9, figure2 ..., the rest, numbered introductions last."""
    found = re.match(r"(table|figure)(\d+)", name)
    if found:
        return ("table", "figure").index(found[1]), int(found[2]), name
    return (3 if name[:1].isdigit() else 2), 0, name


def not_judged(sections: list[Section]) -> list[Claim]:
    """The paper's claims that no section judges."""
    judged = {claim.claim.id for section in sections for claim in section.claims}
    return [claim for claim in load_claims().values() if claim.id not in judged]


def how_to_read(sections: list[Section]) -> list[str]:
    """Paragraphs: what a verdict means, and, where that is so, which methods are below the floor, so that claims on them say little."""
    return [VERDICTS, *filter(None, [_below_the_floor(sections)])]


def _below_the_floor(sections: list[Section]) -> str:
    places: dict[tuple[str, ...], list[Number]] = {}
    for section in sections:
        for number in section.numbers:
            if number.what.get("metric") == "R@1":
                places.setdefault((section.name, number.what.get("direction", ""), number.what.get("dataset", "")), []).append(number)
    told = []
    for (_, direction, dataset), found in places.items():
        floor = next((number.value for number in found if number.what.get("method") == FLOOR), 0.0)
        below = [f"{number.what['method']} {number.value:.1f}" for number in found if number.what.get("method") != FLOOR and number.value < floor]
        told += [f"{', '.join(below)} (floor {floor:.1f}) in {direction.replace('_', ' ')} on {dataset}"] if below else []
    return f"Below the floor, a linear map from region features to words without any Transformer, at R@1: {'; '.join(told)}. {TOO_LITTLE}" if told else ""


def description(profile: str) -> str:
    """What a profile is: the first sentence of its file's first comment; "" for a profile without a file."""
    path = NOTEBOOKS / "profiles" / f"{profile}.yaml"
    first = path.read_text(encoding="utf-8").partition("\n")[0] if path.is_file() else ""
    return re.split(r"(?<=\.)\s", first.removeprefix("#").strip())[0] if first.startswith("#") else ""


def remedy(folder: Path, name: str) -> str:
    """The command that writes a notebook's results again."""
    return f"mmr regenerate --profile {folder.name} --only {name} --force"


def _stem(file: str) -> str:
    return next((file.removesuffix(kind) for kind in KINDS if file.endswith(kind)), "")


def _section(folder: Path, name: str, mains: set[str]) -> Section:
    bare = Section(name, folder)
    table = bare.file(".csv")
    try:
        found = numbers(read_results(table)) if table.is_file() else []
    except InputError as error:
        where = "" if str(table) in str(error) else f"{table}: "
        raise InputError(f"{where}{error}; {bare.remedy}") from None
    record = _provenance(bare)
    return Section(name, folder, _text(bare, ".html"), _text(bare, ".md"), tuple(found), _claims(bare), record, _figures(bare, record, mains))


def _text(section: Section, kind: str) -> str:
    path = section.file(kind)
    try:
        return path.read_text(encoding="utf-8") if path.is_file() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not readable as text ({error}); {section.remedy}") from None


def _claims(section: Section) -> tuple[JudgedClaim, ...]:
    """The claims of <name>.claims.csv, one of its lines a part."""
    path, text, known = section.file(".claims.csv"), _text(section, ".claims.csv"), load_claims()
    rows: dict[str, list[dict[str, str]]] = {}
    try:
        for row in csv.DictReader(text.splitlines(keepends=True), strict=True):
            if CLAIM_COLUMNS - {name for name, value in row.items() if value is not None}:
                raise ValueError(f"its columns must be {', '.join(sorted(CLAIM_COLUMNS))}")
            rows.setdefault(row["id"], []).append(row)
        return tuple(
            JudgedClaim(known.get(id_, Claim(id_, "", parts[0]["claim"], "", "")), Verdict(parts[0]["verdict"]), parts[0].get("basis", ""),
                        tuple((part["part"], Verdict(part["part_verdict"]), part["evidence"]) for part in parts))
            for id_, parts in rows.items()
        )  # fmt: skip
    except (ValueError, csv.Error) as error:
        raise InputError(f"{path}: not a claims file of this kit ({error}); {section.remedy}") from None


def _provenance(section: Section) -> dict[str, Any]:
    text = _text(section, ".provenance.json")
    try:
        record = json.loads(text or "{}")
    except (ValueError, RecursionError) as error:
        raise InputError(f"{section.file('.provenance.json')}: not readable as JSON ({error}); {section.remedy}") from None
    return record if isinstance(record, dict) else {}


def _figures(section: Section, record: dict[str, Any], mains: set[str]) -> tuple[str, ...]:
    """The pngs that the notebook wrote, its main one first; without a record of them, those whose names begin as the notebook's does."""
    there = sorted(path.name for path in section.folder.glob("*.png"))
    outputs = record.get("outputs")
    if isinstance(outputs, dict):
        own = [name for name in there if name in outputs]
    else:
        own = [name for name in there if name.startswith(section.short) and (name == f"{section.name}.png" or name.removesuffix(".png") not in mains)]
    return tuple(sorted(own, key=lambda name: name != f"{section.name}.png"))
