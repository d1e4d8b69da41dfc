"""What a search costs over the size of the collection and against its accuracy, and what the machine allows: result rows and their table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from mmr_kit.errors import InputError
from mmr_kit.reporting.bootstrap import Interval
from mmr_kit.reporting.cells import Cell, Column, Line, SideBySide
from mmr_kit.reporting.results import Results
from mmr_kit.reporting.tables import frame_of
from mmr_kit.reporting.timings import Part, Timing, duration, images_named

PUBLISHED_SEARCH, FLOAT, INT8, APPROXIMATE = "as published", "float32", "exact by int8", "approximate"
GOOD = 95.0  # percent of the exact results that an approximate search is asked to find where one number of probes is shown for all
DATASET = "random embeddings"


@dataclass(frozen=True)
class SearchCost:
    """One kind of search of one collection. seconds: of each query, float (queries,); found: percent of the k exact results; probes: of approximate search."""

    method: str
    items: int
    seconds: np.ndarray
    found: float
    k: int
    probes: int | None = None

    @property
    def name(self) -> str:
        return self.method if self.probes is None else f"{self.method}, {self.probes} probe{'s' if self.probes > 1 else ''}"

    @property
    def median(self) -> Interval:
        """Of the queries, in seconds, with its 95% bootstrap interval."""
        return Timing(self.method, "", "cpu", self.items, {"search": Part(self.seconds)}).estimate()


@dataclass(frozen=True)
class Achieved:
    """What a job reached: operations in a second, and how many operations each byte serves that it has to read at least. kind: of its products, of those that
    `Machine.peaks` knows."""

    name: str
    speed: float
    intensity: float
    kind: str = "float32"


@dataclass(frozen=True)
class Machine:
    """bandwidth: bytes read in a second; peaks: {"float32": operations (a product and a sum are two) in a second, "bfloat16": ... where it is fast}."""

    bandwidth: float
    peaks: dict[str, float]

    def allows(self, intensity: float, kind: str = "float32") -> float:
        """Operations in a second that memory and processor allow."""
        return min(self.bandwidth * intensity, self.peaks[kind])


def add_search_costs(results: Results, costs: Iterable[SearchCost]) -> None:
    """Add the median of each search and the share of the exact results it found."""
    for cost in costs:
        value, low, high = cost.median
        what = {"dataset": DATASET, "method": cost.name, "collection": images_named(cost.items), "n_items": cost.items, "k": cost.k,
                "n_queries": len(cost.seconds), "direction": "image_retrieval"}  # fmt: skip
        results.add(**what, metric="search_s", value=value, ci_low=low, ci_high=high)
        results.add(**what, metric="found_of_exact", value=cost.found)


def add_achieved(results: Results, machine: Machine, achieved: Iterable[Achieved]) -> None:
    """Add the machine's limits and what was reached, in bytes and operations a second."""
    results.add(method="reading memory", metric="bytes_per_s", value=machine.bandwidth)
    for kind, peak in machine.peaks.items():
        results.add(method=f"matrix product, {kind}", metric="operations_per_s", value=peak)
    for one in achieved:
        results.add(method=one.name, metric="operations_per_s", value=one.speed)


def search_table(costs: Sequence[SearchCost], notes: Sequence[str] = ()) -> SideBySide:
    """A line a search, and below each size of the collection the median query and the percentage of the exact results that were found."""
    if not costs:
        raise InputError("there is no search to show")
    cells: dict[Column, dict[Line, Cell]] = {}
    for cost in costs:
        value, low, high = cost.median
        line = ("", cost.name)
        cells.setdefault((images_named(cost.items), "", "query"), {})[line] = Cell(value, (high - low) / 2, form=duration)
        cells.setdefault((images_named(cost.items), "", "found (%)"), {})[line] = Cell(cost.found)
    caption = (f"Median time of one query's search ± half of the 95% bootstrap interval, and the percentage of the {costs[0].k} exact results that it found. "
               f"{PUBLISHED_SEARCH}: the collection normalised at each query, product and top-k; {FLOAT}: normalised once; {INT8}: a first pass over a byte a "
               f"value, then the float32 values of what could be among the best; {APPROXIMATE}: an inverted file, of which a query reads some lists "
               "(probes).")  # fmt: skip
    return SideBySide(frame_of(cells, list(dict.fromkeys(("", cost.name) for cost in costs))), caption, tuple(notes))


def shown(costs: Sequence[SearchCost]) -> dict[str, list[SearchCost]]:
    """{name: costs over the sizes} for a figure over sizes: each exact search, and approximate search with one number of probes: the fewest that find GOOD
    percent in the largest collection measured with it, else the most."""
    approximate = [cost for cost in costs if cost.probes is not None]
    largest = max((cost.items for cost in approximate), default=0)
    there = sorted((cost for cost in approximate if cost.items == largest), key=lambda cost: cost.probes or 0)
    chosen = next((cost.probes for cost in there if cost.found >= GOOD), there[-1].probes if there else None)
    kept = [cost for cost in costs if cost.probes in (None, chosen)]
    names = list(dict.fromkeys(cost.name for cost in kept))
    return {name: sorted((cost for cost in kept if cost.name == name), key=lambda cost: cost.items) for name in names}


def growth_note(costs: Sequence[SearchCost]) -> str:
    """How the time of each search grows over the two largest collections measured: as a power of their size."""
    told = []
    for name, series in shown(costs).items():
        if len(series) > 1:
            (few, many), times = (series[-2].items, series[-1].items), [cost.median.mean for cost in series[-2:]]
            told.append(f"{name} with the power {np.log(times[1] / times[0]) / np.log(many / few):.2f} from {few:,} to {many:,}")
    return f"Time grows: {'; '.join(told)}." if told else ""


