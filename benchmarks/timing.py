"""Two ways of one job timed in turn: every figure of speed is a ratio of two medians measured side by side, since machines differ and are noisy."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

REPEATS = 7


def side_by_side(name: str, published: Callable[[], object], fast: Callable[[], object], repeats: int = REPEATS, at_least: float = 0.0,
                 names: tuple[str, str] = ("published", "fast"), warm_up: int = 1, **more: object) -> dict[str, Any]:
    """Time the published way (or another, by its name) and the kit's in turn, after `warm_up` turns that do not count.

    Returns {"name", "ratio": median of published / median of fast, "ratio_spread": smallest and largest ratio of one turn, "at_least": what the ratio should
    reach (0: nothing was asked), "medians": seconds, "seconds": of each turn, and what `more` says}. Prints one line.
    """
    times: dict[str, list[float]] = {which: [] for which in names}
    for turn in range(-warm_up, repeats):
        for which, function in zip(names, (published, fast), strict=True):
            start = time.perf_counter()
            function()
            if turn >= 0:
                times[which].append(time.perf_counter() - start)
    medians = {which: statistics.median(values) for which, values in times.items()}
    ratios = [a / b for a, b in zip(*times.values(), strict=True)]
    ratio = medians[names[0]] / medians[names[1]]
    asked = f" (asked: {at_least:g}{'' if ratio >= at_least else ', MISSED'})" if at_least else ""
    print(f"{name:<64} {'   '.join(f'{which} {median * 1000:9.1f} ms' for which, median in medians.items())}   ratio {ratio:6.2f} "
          f"[{min(ratios):.2f}, {max(ratios):.2f}]{asked}", flush=True)
    return {"name": name, "ratio": ratio, "ratio_spread": [min(ratios), max(ratios)], "at_least": at_least, "medians": medians, "seconds": times, **more}
