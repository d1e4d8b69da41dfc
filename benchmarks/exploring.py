"""How long the explorer takes to answer, from a control's change to the new page, with the models of its notebook (trained first where they are not yet).

The one absolute time here: what a person waits. Drawing by the browser comes on top.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from itertools import cycle
from typing import Any

import mmr_kit as kit
from mmr_kit.explorer import Controls, Explorer
from mmr_kit.profiles import NOTEBOOKS, declared_parameters
from mmr_kit.study import make_recipes, settings_of

AT_MOST = 0.3  # seconds
TURNS = 40


def cases() -> Iterator[dict[str, Any]]:
    """A result for each method, for captions and for pictures as queries; with distractors in the collection where the method has a collection."""
    explorer = _explorer()
    for method in explorer.bench.methods:
        for direction in ("image_retrieval", "text_retrieval"):
            controls = Controls(explorer)
            controls.direction.value, controls.method.value, controls.k.value, controls.collection.value = direction, method, 20, True
            queries = cycle(explorer.picks(explorer.question)[:TURNS])
            asked = controls.caption if direction == "image_retrieval" else controls.pick
            yield _waited(f"explorer: {method}, {direction.replace('_', ' ')}, k = 20", lambda: setattr(asked, "value", next(queries)))  # noqa: B023
    controls = Controls(explorer)
    depths = cycle(range(5, 45))
    yield _waited("explorer: the slider of k, 5 to 44", lambda: setattr(controls.k, "value", next(depths)))


def _explorer() -> Explorer:
    chosen: dict[str, Any] = declared_parameters(NOTEBOOKS / "01_explorer.ipynb")
    steps = {model: chosen[f"{model.lower()}_steps"] for model in ("CE", "BE", "JOINT")}
    recipes = make_recipes([chosen["dataset"]], chosen["start"], steps, 1, languages=tuple(chosen["languages"].split()), **settings_of(chosen))
    kit.train(recipes.values())
    return kit.explore(recipes, distractors=chosen["distractors"].split(), ce_images=chosen["ce_images"])


def _waited(name: str, act: Callable[[], object]) -> dict[str, Any]:
    """Median and 95th percentile over `TURNS` changes, each to another value; the first, which may embed a collection, does not count."""
    seconds = []
    for _ in range(TURNS + 1):
        start = time.perf_counter()
        act()
        seconds.append(time.perf_counter() - start)
    median, p95 = statistics.median(seconds[1:]), statistics.quantiles(seconds[1:], n=20)[-1]
    missed = ", MISSED" if p95 > AT_MOST else ""
    print(f"{name:<64} median {1000 * median:6.0f} ms   p95 {1000 * p95:6.0f} ms (asked: at most {1000 * AT_MOST:.0f} ms{missed})", flush=True)
    return {"name": name, "median": median, "p95": p95, "at_most": AT_MOST, "seconds": seconds[1:]}
