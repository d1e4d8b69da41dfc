"""Speed of search and reranking, each against the published way of doing it, in turn in one run: `make bench`.

Every figure is a ratio of two medians measured side by side, since machines differ and are noisy. Writes `results/bench/<device>.json`.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from mmr_kit.cache import atomic_write
from mmr_kit.data.datasets import load_dataset
from mmr_kit.models.retrieval_model import load_model
from mmr_kit.models.starts import resolve
from mmr_kit.reporting import provenance
from mmr_kit.retrieval.search import search

COLLECTION, WIDTH, K, PAIRS = 200_000, 768, 20, 4096


def side_by_side(name: str, published: Callable[[], object], ours: Callable[[], object], repeats: int = 7) -> dict[str, object]:
    """Time two functions in turn, after one warm-up each; seconds of each repeat, medians and their ratio."""
    times: dict[str, list[float]] = {"published": [], "ours": []}
    for repeat in range(repeats + 1):
        for which, function in (("published", published), ("ours", ours)):
            start = time.perf_counter()
            function()
            if repeat:
                times[which].append(time.perf_counter() - start)
    medians = {which: statistics.median(values) for which, values in times.items()}
    ratio = medians["published"] / medians["ours"]
    spread = [min(a / b for a, b in zip(*times.values(), strict=True)), max(a / b for a, b in zip(*times.values(), strict=True))]
    print(f"{name:<52} published {medians['published'] * 1000:9.1f} ms   ours {medians['ours'] * 1000:9.1f} ms   ratio {ratio:5.2f} "
          f"[{spread[0]:.2f}, {spread[1]:.2f}]", flush=True)
    return {"name": name, "ratio": ratio, "ratio_spread": spread, "medians": medians, "seconds": times}


def searching(queries: int) -> dict[str, object]:
    """Published: normalise the collection at every query, one product, top-k. Ours: a collection normalised once, exact top-k with ties by row."""
    generator = torch.Generator().manual_seed(0)
    collection, asked = torch.randn(COLLECTION, WIDTH, generator=generator), torch.randn(queries, WIDTH, generator=generator)
    unit, unit_asked = torch.nn.functional.normalize(collection).numpy(), torch.nn.functional.normalize(asked).numpy()

    def published() -> object:
        return torch.topk(torch.nn.functional.normalize(asked) @ torch.nn.functional.normalize(collection).T, K)

    return side_by_side(f"search: {queries} queries, {COLLECTION} x {WIDTH}, k = {K}", published, lambda: search(unit_asked, unit, K))


def reranking() -> dict[str, object]:
    """Published: batches in the order they come, padded to the longest. Ours: the same definition, batches of like length."""
    model, data = load_model(resolve("pictograms")), load_dataset("smoke_a", "train")
    rng = np.random.default_rng(0)
    captions = [data.texts[row] for row in rng.integers(len(data.texts), size=PAIRS)]
    images = [data.regions[data.image_ids[row]] for row in rng.integers(len(data.image_ids), size=PAIRS)]

    @torch.inference_mode()
    def published() -> object:
        return [model.match_logits(captions[start : start + 512], images[start : start + 512]) for start in range(0, PAIRS, 512)]

    return side_by_side(f"cross-encoding: {PAIRS} pairs of pictogram scenes", published, lambda: model.score_pairs(captions, images))


def main() -> None:
    torch.set_num_threads(1)
    results = [searching(1), searching(100), reranking()]
    record = {"results": results, "provenance": provenance({}, {}, {})}
    device = "cuda" if torch.cuda.is_available() else "cpu"
    path = Path(__file__).parents[1] / "results" / "bench" / f"{device}.json"
    atomic_write(path, json.dumps(record, indent=1, default=str) + "\n")
    print(f"written to {path}")


if __name__ == "__main__":
    main()
