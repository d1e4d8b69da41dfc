"""Fresh results against a reference run, number by number: the same, apart by no more than seeds are, or different.

How far apart seeds are is measured, never guessed: it is the spread over the reference's own seeds. Let a number be the mean of s seeds here and of r seeds
in the reference. If both come from one normal distribution, their difference is within `t * sd * sqrt(1/s + 1/r)` with the probability of t.

- sd is pooled: the root of the mean variance over seeds, over all numbers of the same table, direction and metric. A number alone has r - 1 = 2 degrees of
  freedom at three seeds, with which t is so large that nothing would ever differ; the numbers of a kind share their unit, queries and training procedure,
  and their degrees of freedom add up. Numbers that share models (CE and SEP+COOP) are not independent, so these are somewhat overstated.
- t is for a chance of 1% that *any* number of a table is called different where nothing has changed: Bonferroni, 1% divided by the table's numbers.
- sd is at least that of rounding to one query (step / sqrt(12), step = 100 points / queries): recalls of 100.0 in all seeds show no spread, yet one query
  can turn on any machine.
- Without seeds, or with a single one in all of the kind, there is no spread to allow: such a number is the same (as printed) or it differs.

Equal seeds give nearly equal numbers, so two runs of the kit are usually closer than this; the bound is for runs on other machines and other seeds.
"""

from __future__ import annotations

import math
import subprocess
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from io import BytesIO
from pathlib import Path

import pandas as pd

from mmr_kit.errors import InputError
from mmr_kit.reporting.provenance import CHECKOUT
from mmr_kit.reporting.report_numbers import KEY, TOLD, number_key
from mmr_kit.reporting.report_sections import paper_order
from mmr_kit.reporting.rows import MEAN, OF_MACHINE, headline, read_results
from mmr_kit.reporting.student import t_quantile

FALSE_ALARM = 0.01  # chance that a table in which nothing has changed has a number that is called different
AS_PRINTED = 0.05  # points within which two percentages are printed alike
RELATIVE = 5e-6  # the same for all other numbers, which have six digits


class Outcome(StrEnum):
    """What the comparison says of a number."""

    OK = "OK"
    WITHIN_NOISE = "within noise"
    DIFFERS = "DIFFERS"


@dataclass(frozen=True)
class Compared:
    """One number: which, the outcome, and both values in words."""

    what: str
    outcome: Outcome
    text: str


@dataclass(frozen=True)
class TableComparison:
    """The numbers of one result csv; times: how many were not compared as they measure the machine."""

    name: str
    numbers: tuple[Compared, ...]
    times: int = 0

    @property
    def outcome(self) -> Outcome:
        found = {number.outcome for number in self.numbers}
        return next((outcome for outcome in (Outcome.DIFFERS, Outcome.WITHIN_NOISE) if outcome in found), Outcome.OK)

    def lines(self) -> list[str]:
        """One line for the table, and one for each number that differs."""
        counts = Counter(number.outcome for number in self.numbers)
        told = f"{counts[Outcome.OK]} the same, {counts[Outcome.WITHIN_NOISE]} within noise, {counts[Outcome.DIFFERS]} differ"
        told += f"; {self.times} times not compared" if self.times else ""
        differing = [f"{_tag(n.outcome)} {self.name}: {n.what}: {n.text}" for n in self.numbers if n.outcome == Outcome.DIFFERS]
        return [f"{_tag(self.outcome)} {self.name}: {told}", *differing]


@dataclass(frozen=True)
class _Cell:
    """A number's headline value, its value by seed ({} where it has none), its queries (0: unknown)."""

    value: float
    seeds: dict[str, float]
    queries: int
    what: str
    kind: tuple[str, str]  # direction, metric


@contextmanager
def committed(profile: str, checkout: Path = CHECKOUT) -> Iterator[Path]:
    """A temporary folder with the result csvs of `results/<profile>` as they are committed (at HEAD), whatever has been written over them since."""
    inside = f"results/{profile}"
    try:
        done = subprocess.run(["git", "-C", str(checkout), "archive", "HEAD", "--", f":(glob){inside}/*.csv"], capture_output=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        raise InputError(f"{checkout / inside}: no committed results to compare with; name a folder: --reference FOLDER") from None
    with tempfile.TemporaryDirectory(prefix="mmr-reference-") as folder:
        with tarfile.open(fileobj=BytesIO(done.stdout)) as archive:
            archive.extractall(folder, filter="data")
        yield Path(folder) / inside


def compare_folders(folder: Path, reference: Path) -> list[TableComparison]:
    """Compare each result csv of a profile's folder with that of the same name in the reference's; a table that one of them lacks differs."""
    fresh, earlier = _tables(folder), _tables(reference)
    compared = []
    for name in sorted({*fresh, *earlier}, key=paper_order):
        if name in fresh and name in earlier:
            compared.append(compare(name, _read(fresh[name]), _read(earlier[name])))
        else:
            text = "new: the reference has no such table" if name in fresh else "missing: only the reference has this table"
            compared.append(TableComparison(name, (Compared("all numbers", Outcome.DIFFERS, text),)))
    return compared


def compare(name: str, rows: pd.DataFrame, reference: pd.DataFrame) -> TableComparison:
    """Compare the result frames of one table (`read_results`)."""
    fresh, earlier = _cells(rows), _cells(reference)
    times = [key for key in {**earlier, **fresh} if key[KEY.index("metric")].endswith(OF_MACHINE)]
    keys = [key for key in {**earlier, **fresh} if key not in times]
    spreads = _spreads(earlier)
    tested = sum(key in fresh and key in earlier and fresh[key].kind in spreads for key in keys)
    found = []
    for key in keys:
        here, there = fresh.get(key), earlier.get(key)
        if here is None and there is not None:
            found.append(Compared(there.what, Outcome.DIFFERS, f"missing: only in the reference ({there.value:,.6g})"))
        elif there is None and here is not None:
            found.append(Compared(here.what, Outcome.DIFFERS, f"new: not in the reference ({here.value:,.6g})"))
        elif here is not None and there is not None:
            found.append(_compared(here, there, spreads, tested))
    return TableComparison(name, tuple(found), len(times))


def summary(compared: Sequence[TableComparison]) -> str:
    """The last line: how many numbers had which outcome, and what within noise means."""
    counts = Counter(number.outcome for table in compared for number in table.numbers)
    told = ", ".join(f"{counts[outcome]} {_tag(outcome)}" for outcome in Outcome)
    return f"{told}. Within noise: no further apart than seeds of the reference are, with a chance of {FALSE_ALARM:.0%} a table of a false alarm."


def _compared(here: _Cell, there: _Cell, spreads: Mapping[tuple[str, str], tuple[float, int]], tested: int) -> Compared:
    percent = here.kind[1].startswith("R@") or here.kind[1] == "mR"
    shared = [there.seeds[seed] for seed in here.seeds if seed in there.seeds]
    same_seeds = sum(shared) / len(shared) if shared and len(shared) == len(here.seeds) else there.value
    alike = AS_PRINTED if percent else RELATIVE * abs(there.value)
    text = f"{here.value:,.6g}, reference {there.value:,.6g}"
    if abs(here.value - same_seeds) <= alike * (1 + 1e-9):
        return Compared(here.what, Outcome.OK, text)
    s, r = len(here.seeds), len(there.seeds)
    if not (s and r and here.kind in spreads):
        return Compared(here.what, Outcome.DIFFERS, f"{text} [no spread over seeds in the reference]")
    sd, df = spreads[here.kind]
    if percent and here.queries:
        sd = max(sd, 100 / here.queries / math.sqrt(12))
    allowed = t_quantile(FALSE_ALARM / tested, df) * sd * math.sqrt(1 / s + 1 / r)
    apart = abs(here.value - there.value)
    outcome = Outcome.WITHIN_NOISE if apart <= allowed else Outcome.DIFFERS
    return Compared(here.what, outcome, f"{text}: apart by {apart:.3g}, seeds allow {allowed:.3g} ({s} against {r} seeds, spread {sd:.3g})")


def _spreads(cells: Mapping[tuple[str, ...], _Cell]) -> dict[tuple[str, str], tuple[float, int]]:
    """{kind: (pooled standard deviation over seeds, its degrees of freedom)} of the kinds that have any."""
    squares: dict[tuple[str, str], list[tuple[float, int]]] = {}
    for cell in cells.values():
        if len(cell.seeds) > 1:
            mean = sum(cell.seeds.values()) / len(cell.seeds)
            squares.setdefault(cell.kind, []).append((sum((value - mean) ** 2 for value in cell.seeds.values()), len(cell.seeds) - 1))
    pooled = {kind: (sum(square for square, _ in found), sum(df for _, df in found)) for kind, found in squares.items()}
    return {kind: (math.sqrt(square / df), df) for kind, (square, df) in pooled.items()}


def _cells(rows: pd.DataFrame) -> dict[tuple[str, ...], _Cell]:
    """The numbers by their key, means over seeds with the value of each seed."""
    seeds: dict[tuple[str, ...], dict[str, float]] = {}
    for row in rows.to_dict("records"):
        if row["seed"] not in ("", MEAN):
            seeds.setdefault(number_key(row), {})[row["seed"]] = row["value"]
    return {
        key: _Cell(row["value"], seeds.get(key, {}), 0 if pd.isna(row["n_queries"]) else int(row["n_queries"]),
                   " ".join(text for name, text in zip(KEY, key, strict=True) if text and name in TOLD and name != "backbone"),
                   (row["direction"], row["metric"]))
        for row in headline(rows).to_dict("records")
        for key in [number_key(row)]
    }  # fmt: skip


def _tables(folder: Path) -> dict[str, Path]:
    found = {path.stem: path for path in sorted(Path(folder).glob("*.csv")) if not path.name.endswith(".claims.csv") and not path.name.startswith(".")}
    if not found:
        raise InputError(f"{folder}: no result tables (*.csv) to compare; run mmr regenerate first, or name another folder")
    return found


def _read(path: Path) -> pd.DataFrame:
    rows = read_results(path)
    try:
        headline(rows)
    except InputError as error:
        raise InputError(f"{path}: {error}; write the table again") from None
    return rows


def _tag(outcome: Outcome) -> str:
    return f"[{outcome}]"
