"""Whether rankings by a model in lower precision agree with float32: `python benchmarks/agreeing.py CE_FOLDER BE_FOLDER DATASET [IMAGES]` does so for trained
models and writes `results/bench/agreement_<dataset>.json`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import lengths
import numpy as np
import recording
import torch

from mmr_kit.data.datasets import RetrievalDataset, load_dataset
from mmr_kit.models.engine import Engine
from mmr_kit.models.retrieval_model import RetrievalModel, load_model
from mmr_kit.recipes import Recipe
from mmr_kit.retrieval.contracts import Model
from mmr_kit.retrieval.rerank import score_candidates
from mmr_kit.retrieval.retrieve import bi_encode

TOP_1, TAU = 0.995, 0.99  # to be reached


def agreement_of_precisions(reranker: RetrievalModel, retriever: RetrievalModel, dataset: RetrievalDataset, k: int = 20) -> Iterator[dict[str, Any]]:
    """For each precision that the engine computes this model in: the share of queries of both directions with the definition's first candidate after reranking
    k, and the mean of Kendall's tau of the order of the k; the same share without settling near ties in float32, and which share of the pairs that scores."""
    retrieved = list(bi_encode(retriever, dataset, k).values())

    def matches(model: Model) -> np.ndarray:
        return np.concatenate([np.stack(scored.matches) for scored in score_candidates(model, dataset, retrieved)])

    expected = matches(reranker)
    for precision in lengths.precisions():
        engine = Engine(reranker, precision)
        if engine.precision != precision:
            print(f"agreement on {dataset.name}, {precision}: not measured, since this model is computed in float32 then", flush=True)
            continue
        first_pass, settling = _Counting(engine), _Counting(engine.exact) if engine.exact else None
        unsettled = matches(first_pass)
        engine.exact = settling
        found = matches(engine) if settling else unsettled
        top_1, before = (float((each.argmax(1) == expected.argmax(1)).mean()) for each in (found, unsettled))
        tau, settled = float(np.mean([kendall(*pair) for pair in zip(expected, found, strict=True)])), settling.pairs / first_pass.pairs if settling else 0.0
        missed = "" if top_1 >= TOP_1 and tau >= TAU else ", MISSED"
        print(f"agreement on {dataset.name}, {precision}: {len(found)} queries, first candidate {100 * top_1:.2f} %, tau {tau:.4f} "
              f"(asked: {100 * TOP_1} %, {TAU}{missed}); {100 * before:.2f} % before {100 * settled:.1f} % were settled in float32", flush=True)  # fmt: skip
        yield {"name": f"agreement on {dataset.name}, {precision}", "queries": len(found), "top_1": top_1, "tau": tau, "asked": [TOP_1, TAU],
               "top_1_unsettled": before, "settled": settled}  # fmt: skip


class _Counting:
    """A model that counts the pairs it scores."""

    def __init__(self, model: Engine) -> None:
        self.model, self.pairs = model, 0

    def score_pairs(self, captions: Sequence[str], images: Sequence[Any]) -> np.ndarray:
        self.pairs += len(captions)
        return self.model.score_pairs(captions, images)


def kendall(one: np.ndarray, other: np.ndarray) -> float:
    """Kendall's tau-b of two score vectors of the same items."""
    signs = [np.sign(scores[:, None] - scores) for scores in (one, other)]
    return float((signs[0] * signs[1]).sum() / np.sqrt(np.abs(signs[0]).sum() * np.abs(signs[1]).sum()))


def described(folder: str) -> str:
    """A trained model in words."""
    recipe = Recipe(**json.loads((Path(folder) / "training.json").read_text())["recipe"])
    return f"{recipe.label}, {recipe.steps} steps"


if __name__ == "__main__":
    torch.set_num_threads(lengths.THREADS)
    reranker, retriever, asked = load_model(sys.argv[1]), load_model(sys.argv[2]), load_dataset(sys.argv[3])
    some = asked.subset(int(sys.argv[4])) if len(sys.argv) > 4 else asked
    results = list(agreement_of_precisions(reranker, retriever, some))
    command = f"`python benchmarks/agreeing.py` ({described(sys.argv[1])}, on the candidates of {described(sys.argv[2])})"
    recording.write(results, f"agreement_{asked.name}", f"Agreement of precisions on {asked.name}", command)
