"""What something took: seconds measured several times, part by part, with intervals, and what of it was extrapolated."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mmr_kit.reporting.bootstrap import RESAMPLES, Interval, interval_of

BE, COOP, CE = "BE", "SEP/JOINT+COOP", "CE"  # as Tables 3 and 4 call them
PUBLISHED, FAST = "published", "fast"


@dataclass(frozen=True)
class Part:
    """Seconds of one part, float (repeats,), and how often the job needs what was measured (1, unless it is extrapolated)."""

    seconds: np.ndarray
    factor: float = 1.0


@dataclass(frozen=True)
class Timing:
    """Seconds of a method, done in one way on one device for one collection.

    way: "published" or "fast"; device: "cpu" or "cuda"; items: images of the collection. parts: {"encoding", "search", ...}. together: the parts were measured
    on the same queries one after the other, so that a repeat is a query, and its sum counts; else each part has repeats of its own, and their means are
    added. extrapolated: from what, "" where all of it was measured. k: candidates that were reranked. model: the kind of the backbone.
    """

    method: str
    way: str
    device: str
    items: int
    parts: Mapping[str, Part]
    together: bool = True
    extrapolated: str = ""
    k: int | None = None
    model: str = "oscar"

    @property
    def of_queries(self) -> np.ndarray:
        """Seconds of each repeat, all parts together."""
        return np.sum([part.seconds * part.factor for part in self.parts.values()], axis=0)

    @property
    def repeats(self) -> int:
        """How often the part that was measured least often was."""
        return min(len(part.seconds) for part in self.parts.values())

    def estimate(self) -> Interval:
        """The median query, or the sum of the parts' means, with its 95% bootstrap interval over repeats."""
        value = np.median(self.of_queries) if self.together else sum(part.factor * part.seconds.mean() for part in self.parts.values())
        return interval_of(self.draws(), float(value))

    def draws(self) -> np.ndarray:
        """The resampled values behind `estimate`, float (RESAMPLES,): the same at every call, independent of those of other timings."""
        rng = np.random.default_rng(zlib.crc32(repr((self.method, self.way, self.device, self.items, self.model, list(self.parts))).encode()))
        if self.together:
            return np.median(_resampled(self.of_queries, rng), axis=1)
        return np.sum([part.factor * _resampled(part.seconds, rng).mean(axis=1) for part in self.parts.values()], axis=0)

    def of_part(self, name: str) -> Timing:
        """The timing of one part alone."""
        return replace(self, parts={name: self.parts[name]})


def rows_of(timing: Timing, metric: str, paper: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    """Columns of the result rows of a timing: `metric` with its interval, its 95th percentile where repeats are queries, and its parts where it has several.

    paper: paper_value and erratum of the number, where the paper prints it. What was extrapolated says so in `erratum`.
    """
    what = {"method": timing.method, "backbone": f"{timing.model}, {timing.device}, {timing.way}", "collection": images_named(timing.items),
            "n_items": timing.items, "k": timing.k, "n_queries": timing.repeats, "direction": "image_retrieval" if timing.together else ""}  # fmt: skip
    marked = f"Extrapolated from {timing.extrapolated}." if timing.extrapolated else ""
    notes = " ".join(filter(None, (marked, str(paper.get("erratum", "")))))
    yield {**what, **_estimated(timing), "metric": f"{metric}_s", **paper, "erratum": notes}
    if timing.together and not timing.extrapolated:
        yield {**what, "metric": f"{metric}_p95_s", "value": float(np.quantile(timing.of_queries, 0.95))}
    if len(timing.parts) > 1:
        yield from ({**what, **_estimated(timing.of_part(name)), "metric": f"{name}_s", "erratum": marked} for name in timing.parts)


def _estimated(timing: Timing) -> dict[str, float]:
    """The value and its interval, which a single repeat has not."""
    value, low, high = timing.estimate()
    return {"value": value} | ({"ci_low": low, "ci_high": high} if timing.repeats > 1 else {})


def images_named(items: int) -> str:
    """1000 -> "1,000 images", as a result row names a collection and a table heads its columns."""
    return f"{items:,} images"


def duration(seconds: float) -> str:
    """Seconds as one reads them, to three digits: 1.23 ms, 45.6 s, 36.0 min, 47.0 h, 30.2 d, 2.30 a."""
    name, unit = next((name, unit) for name, unit, below in UNITS if abs(seconds) < 0.9995 * below)
    number = seconds / unit
    return f"{number:.3g} {name}" if abs(number) < 999.5 else f"{number:,.0f} {name}"


# Name, seconds, and where the next unit begins; a year is the 365 days of the paper's 2.3a.
UNITS = (("µs", 1e-6, 1e-3), ("ms", 1e-3, 1), ("s", 1, 120), ("min", 60, 7200), ("h", 3600, 100 * 3600), ("d", 86400, 365 * 86400),
         ("a", 365 * 86400, float("inf")))  # fmt: skip


def _resampled(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Values drawn with replacement: (RESAMPLES, values)."""
    return values[rng.integers(len(values), size=(RESAMPLES, len(values)))]
