"""Reproducibility kit for 'Retrieve Fast, Rerank Smart' (Geigle et al., TACL 2022): the names that notebooks use, loaded when first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mmr_kit import started  # looks who this process's parent is

if TYPE_CHECKING:
    from mmr_kit.data.datasets import load_dataset
    from mmr_kit.errors import InputError
    from mmr_kit.experiments import METHODS, Evaluation, evaluate, learning_curves, train, training_record
    from mmr_kit.explorer import explore
    from mmr_kit.models.retrieval_model import load_model
    from mmr_kit.recipes import Recipe
    from mmr_kit.reporting.checks import check
    from mmr_kit.retrieval.metrics import recall
    from mmr_kit.retrieval.retrieve import retrieve

_HOMES = {
    "mmr_kit.data.datasets": ["load_dataset"],
    "mmr_kit.errors": ["InputError"],
    "mmr_kit.experiments": ["METHODS", "Evaluation", "evaluate", "learning_curves", "train", "training_record"],
    "mmr_kit.explorer": ["explore"],
    "mmr_kit.models.retrieval_model": ["load_model"],
    "mmr_kit.recipes": ["Recipe"],
    "mmr_kit.reporting.checks": ["check"],
    "mmr_kit.retrieval.metrics": ["recall"],
    "mmr_kit.retrieval.retrieve": ["retrieve"],
}
__all__ = [
    "METHODS", "Evaluation", "InputError", "Recipe", "check", "evaluate", "explore", "learning_curves", "load_dataset", "load_model", "recall", "retrieve",
    "train", "training_record",
]  # fmt: skip
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module 'mmr_kit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
