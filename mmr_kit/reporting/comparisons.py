"""Which measured cells are compared with which.

The largest gallery: a data set may be measured on several galleries, for instance on all its test images without CE and on a subset with CE. For each
training and direction the methods of a comparison are taken from the largest gallery on which all of them were measured. Where there is none, nothing is
compared and the part says what was not measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from mmr_kit.errors import InputError
from mmr_kit.reporting.evidence import Finding, Test, at_least, greater, not_measured
from mmr_kit.reporting.measured import MEAN_RECALL_STRATA, Measured, Value, base_name, mean_recall_of_query, recall_at, select

PLACE = ("trained_on", "dataset", "direction")
R1 = recall_at(1)
Parts = list[tuple[str, Finding]]
Variant = Mapping[str, Any]  # the columns that tell one side of a comparison: {"method": "BE", "k": 20}
Judge = Callable[[Sequence[Measured]], Parts]
OfQueries = Callable[..., Sequence[np.ndarray]]


def methods(*names: str) -> list[Variant]:
    """Variants that differ in their method."""
    return [{"method": name} for name in names]


def compare(
    measured: Iterable[Measured],
    variants: Sequence[Variant],
    test: Test,
    *,
    per: Sequence[str] = PLACE,
    strata: Sequence[str] = (),
    value: Value = R1,
    of_queries: OfQueries | None = None,
    label: str = "",
) -> Parts:
    """The finding of `test(values of each variant)` in each place, a place being what the columns `per` tell (a data set without its size).

    value: what is compared of each query; of_queries: what is made of the values of all variants, query by query. The test is given what comes out, taken
    together for each image. With strata it is given lists, one array for each value of those columns; all variants need all of them.
    label: stands after the place in the part's name.
    """
    places: dict[tuple[Any, ...], list[Measured]] = {}
    for cell in measured:
        places.setdefault(tuple(base_name(cell[name]) if name == "dataset" else cell[name] for name in per), []).append(cell)
    if not places:
        return [(label, not_measured(f"no {', '.join(map(_described, variants))}"))]
    parts = []
    for cells in places.values():
        galleries = sorted((select(cells, dataset=name) for name in dict.fromkeys(cell["dataset"] for cell in cells)), key=_size, reverse=True)
        sides = [_sides(gallery, variants, strata) for gallery in galleries]
        complete = next((i for i, found in enumerate(sides) if all(found)), None)
        if complete is None:
            absent = [_described(variant) for variant, found in zip(variants, sides[0], strict=True) if not found]
            finding = not_measured(f"no {', '.join(absent)}")
        else:
            of_strata = []
            for cells_of_stratum in zip(*sides[complete], strict=True):
                values = [value(cell.hits) for cell in cells_of_stratum]
                if of_queries:
                    of_strata.append([cells_of_stratum[0].by_image(each) for each in of_queries(*values)])
                else:  # the sides may be languages, in which an image has more or fewer captions
                    of_strata.append([cell.by_image(each) for cell, each in zip(cells_of_stratum, values, strict=True)])
            arrays = list(map(list, zip(*of_strata, strict=True)))
            finding = test(*(arrays if strata else (each[0] for each in arrays)))
        parts.append((_place(galleries[complete or 0][0], per, label), finding))
    return parts


def at_r1(a: str, test: Test, b: str) -> Judge:
    """Compare two methods at R@1 in each place."""
    return lambda measured: compare(measured, methods(a, b), test)


def above_each(measured: Sequence[Measured], method: str, others: Sequence[str], on_a_par: Sequence[str] = (), how: Callable[..., Parts] = compare,
               **settings: Any) -> Parts:  # fmt: skip
    """The method is above each of the others, each on the largest gallery on which the two were measured; beside those of on_a_par a par is enough.

    how: `compare` or `mean_recalls`; settings: what else it takes.
    """
    tests = {other: at_least if other in on_a_par else greater for other in others}
    return [part for other, test in tests.items() for part in how(measured, methods(method, other), test, label=f"{method} and {other}", **settings)]


def mean_recalls(measured: Iterable[Measured], variants: Sequence[Variant], test: Test, label: str = "", strata: Sequence[str] = MEAN_RECALL_STRATA) -> Parts:
    """Compare mR, by default its mean over all languages measured."""
    return compare(measured, variants, test, per=PLACE[:2], strata=strata, value=mean_recall_of_query, label=label)


def _sides(gallery: Sequence[Measured], variants: Sequence[Variant], strata: Sequence[str]) -> list[list[Measured]]:
    """For each variant its cells, one a stratum; none where a stratum that another variant has is missing."""
    found = [{tuple(cell[name] for name in strata): cell for cell in _once(select(gallery, **variant), variant, strata)} for variant in variants]
    keys = sorted({key for side in found for key in side})
    return [[side[key] for key in keys] if side and set(side) == set(keys) else [] for side in found]


def _once(cells: list[Measured], variant: Variant, strata: Sequence[str]) -> list[Measured]:
    if len({tuple(cell[name] for name in strata) for cell in cells}) < len(cells):
        raise InputError(f"{_described(variant)} was measured more than once on {cells[0]['dataset']}: give the claim only the cells it speaks of")
    return cells


def _size(gallery: Sequence[Measured]) -> tuple[int, int]:
    return max(cell.size for cell in gallery)


def _described(variant: Variant) -> str:
    return " ".join(str(value) if name == "method" else f"{name} {value}" for name, value in variant.items() if value not in (None, ""))


def _place(cell: Measured, per: Sequence[str], label: str) -> str:
    trained_on, dataset = cell["trained_on"], cell["dataset"]
    elsewhere = "trained_on" in per and trained_on and trained_on != base_name(dataset)
    place = f"{trained_on} to {dataset}" if elsewhere else dataset
    direction = cell["direction"].replace("_", " ") if "direction" in per else ""
    return ", ".join(text for text in (f"{place} {direction}".strip(), label) if text)
