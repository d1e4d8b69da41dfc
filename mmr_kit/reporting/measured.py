"""What a table measured, query by query: the cells on which claims are judged and from which mean recalls are made."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmr_kit.errors import InputError
from mmr_kit.reporting.bootstrap import by_image
from mmr_kit.retrieval.metrics import AT

DIRECTIONS = ("image_retrieval", "text_retrieval")
MEAN_RECALL_STRATA = ("language", "direction")


@dataclass(frozen=True)
class Measured:
    """One method ranked on one gallery in one direction.

    columns: the result columns that say what was measured (dataset, collection, trained_on, backbone, method, direction, language, k, combination, lambda,
    n_queries, n_items); one that is absent, None or "" does not apply. hits: bool (seeds, queries, R@1 R@5 R@10), whether a relevant item stood among the
    first 1, 5, 10. seeds: the seed of each, where they are known. images: the image of each query, the query itself where it is one; none: each query stands
    for itself.
    """

    columns: Mapping[str, Any]
    hits: np.ndarray
    seeds: tuple[str, ...] = ()
    images: Sequence[str] = ()

    def __post_init__(self) -> None:
        if np.ndim(self.hits) != 3 or np.shape(self.hits)[2] != len(AT):
            raise InputError(f"the hits of {dict(self.columns)} have shape {np.shape(self.hits)}, not (seeds, queries, {len(AT)})")

    def __getitem__(self, column: str) -> Any:
        """The column's value, "" where it does not apply."""
        value = self.columns.get(column)
        return "" if value is None else value

    def by_image(self, values: np.ndarray) -> np.ndarray:
        """Values of the queries (seeds, queries, ...) taken together for each image; see `bootstrap.by_image`."""
        return by_image(values, self.images or list(map(str, range(values.shape[1]))))

    @property
    def size(self) -> tuple[int, int]:
        """(queries, items): of two galleries of one data set the larger has more of either."""
        return self.hits.shape[1], int(self["n_items"] or 0)


Value = Callable[[np.ndarray], np.ndarray]  # hits (seeds, queries, 3) -> float (seeds, queries)


def recall_at(m: int) -> Value:
    """R@M of each query, 0 or 1."""
    column = AT.index(m)
    return lambda hits: np.asarray(hits[..., column], dtype=np.float64)


def mean_recall_of_query(hits: np.ndarray) -> np.ndarray:
    """The mean of R@1, R@5 and R@10 of each query; averaged over queries and then over both directions it is mR (section 5)."""
    return np.asarray(hits, dtype=np.float64).mean(axis=-1)


def select(measured: Iterable[Measured], **columns: Any) -> list[Measured]:
    """The cells with these values; None and "" ask for cells to which the column does not apply (`lambda` by `**{"lambda": 0.1}`)."""
    wanted = {name: "" if value is None else value for name, value in columns.items()}
    return [cell for cell in measured if all(cell[name] == value for name, value in wanted.items())]


def values_of(measured: Iterable[Measured], column: str) -> list[Any]:
    """The values of a column, in the order they were measured, without "does not apply"."""
    return [value for value in dict.fromkeys(cell[column] for cell in measured) if value != ""]


def base_name(name: str) -> str:
    """A data set's name without its size: "pictograms_b_200" and "pictograms_b" are galleries of one data set, or trainings on it."""
    return re.sub(r"_\d+$", "", name)


def by_language(measured: Iterable[Measured]) -> list[tuple[dict[str, Any], dict[str, list[Measured]]]]:
    """For each method, gallery, training, ...: its columns, and {language: its cells in both directions}; InputError where a direction is missing."""
    apart = ("direction", "language", "n_queries", "n_items")
    groups: dict[tuple[tuple[str, Any], ...], dict[str, list[Measured]]] = {}
    for cell in measured:
        key = tuple((name, value) for name, value in sorted(cell.columns.items()) if name not in apart and value not in (None, ""))
        groups.setdefault(key, {}).setdefault(cell["language"], []).append(cell)
    for key, languages in groups.items():
        for language, cells in languages.items():
            if sorted(cell["direction"] for cell in cells) != list(DIRECTIONS):
                raise InputError(f"mR needs each direction once: {dict(key)} in language {language!r} has {[cell['direction'] for cell in cells]}")
    return [(dict(key), languages) for key, languages in groups.items()]


def same_seeds(cells: Sequence[Measured]) -> tuple[str, ...]:
    """The seeds that all cells share; InputError where they differ."""
    seeds = {cell.seeds for cell in cells}
    if len(seeds) != 1:
        raise InputError(f"mR needs the same seeds in all its parts, not {sorted(seeds)}")
    return seeds.pop()
