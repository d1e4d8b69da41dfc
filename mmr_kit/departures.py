"""What stands below each table of trained models: how they depart from the paper's, and what went wrong in their training."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mmr_kit.experiments import training_record
from mmr_kit.models.starts import is_from_captions, read_languages
from mmr_kit.recipes import Recipe

PUBLISHED_STEPS = {"CE": "100k", "BE": "30k", "JOINT": "60k"}
PUBLISHED_SIZE = (12, 768)  # layers and width, of both starts (section 4)
PUBLISHED_STARTS = {"OSCAR": "BERT Base (110 million: Devlin et al., 2019)", "M3P": "XLM-R Base (270 million: Conneau et al., 2020)"}


def departures(parameters: Mapping[str, Any], published_start: str = "OSCAR", recipes: Iterable[Recipe] = ()) -> list[str]:
    """Notes that say how training and measuring depart from the paper's, from a notebook's parameters, which of the recipes' models were not trained, and what
    went wrong in the training of others."""
    recipes = list(dict.fromkeys(recipes))
    of = {"be_learning_rate": 0, **{name.removeprefix("multilingual_"): value for name, value in parameters.items()}}
    stages = [f"{of['pretrain_steps']} steps of contrastive and match pretraining" if of["pretrain_steps"] else "",
              f"{of['alignment_steps']} steps of the triplet loss" if of["alignment_steps"] else ""]  # fmt: skip
    pretraining = f", then {' and '.join(filter(None, stages))} on the same training images" if any(stages) else ""
    dropped = f", {of['region_dropout']:.0%} of the region features dropped in training" if of["region_dropout"] else ""
    released = dict.fromkeys(f"{recipe.method} on {recipe.dataset}" for recipe in recipes if not recipe.steps)
    rate_of_be = f" (BE {of['be_learning_rate']:g})" if of["be_learning_rate"] else ""
    precision = f", mixed precision {of['precision']}" if of.get("precision", "no") != "no" else ""
    steps = {model: of[f"{model.lower()}_steps"] for model in PUBLISHED_STEPS if f"{model.lower()}_steps" in of}
    notes = [f"Ours: {of['seeds']} seed(s); start: {_start(of['start'])} (the paper's: {published_start}){pretraining}.",
             f"Steps: {', '.join(f'{model} {count}' for model, count in steps.items())}, learning rate {of['learning_rate']:g}{rate_of_be}, "
             f"{of['batch_size']} pairs a step, {of['match_batch_size']} and as many replaced ones for CE{dropped}{precision}; "
             f"the paper: {', '.join(PUBLISHED_STEPS[model] for model in steps)} steps at 2e-5 or 5e-5, 128 pairs, and for CE 128 replaced ones more.",
             _joint_steps(steps, recipes), _size(recipes, published_start), _checkpoints(of, list(steps), recipes), _galleries(of),
             f"Released, not trained here: {', '.join(released)}." if released else ""]  # fmt: skip
    return [*filter(None, notes), *(f"{incident}." for incident in incidents(recipes))]


def _start(name: str) -> str:
    if not is_from_captions(name):
        return name
    languages = ", ".join(read_languages(name, ()))
    captions = f"the training captions ({languages})" if languages else "the training captions"
    return f"{name}, a small Transformer with words embedded by latent semantic analysis of {captions} and the regions' projection fitted to words"


def incidents(recipes: Iterable[Recipe]) -> list[str]:
    """What went wrong in the trainings of these recipes so far, in words: that one was stopped early, or that memory ran out and batches were split."""
    return [f"{recipe.label}: {incident}" for recipe in _finished(recipes) for incident in training_record(recipe)["incidents"]]


def _finished(recipes: Iterable[Recipe]) -> list[Recipe]:
    return [recipe for recipe in dict.fromkeys(recipes) if recipe.steps and recipe.folder().is_dir()]


def _joint_steps(steps: Mapping[str, int], recipes: Sequence[Recipe]) -> str:
    if "JOINT" not in steps or (recipes and not any(recipe.method == "JOINT" and recipe.steps for recipe in recipes)):
        return ""
    return "A step of JOINT is one update by a batch of each loss; the paper alternates between the losses, and leaves open whether its 60k steps count both."


def _size(recipes: Sequence[Recipe], published_start: str) -> str:
    """Of the trained models in full size, where it is not the paper's; read without their weights."""
    found: dict[tuple[int, int], set[int]] = {}
    for recipe in _finished(recipes):
        file = recipe.folder() / "transformer" / "config.json"
        config = json.loads(file.read_text()) if file.is_file() else {}
        if not recipe.half_size:
            found.setdefault((config.get("num_hidden_layers", 0), config.get("hidden_size", 0)), set()).add(training_record(recipe)["parameters"])
    if not found.keys() - {PUBLISHED_SIZE}:
        return ""
    told = [f"{f'{layers} layers, width {width}, ' if layers else ''}{' to '.join(f'{count:,}' for count in sorted({min(counts), max(counts)}))} parameters"
            for (layers, width), counts in found.items()]  # fmt: skip
    return f"Size: {'; '.join(told)}; the paper: {published_start}'s, 12 layers, width 768, from {PUBLISHED_STARTS[published_start]}."


def _checkpoints(of: Mapping[str, Any], models: Sequence[str], recipes: Sequence[Recipe]) -> str:
    if "dev_images" not in of:
        return ""
    intervals = dict.fromkeys([recipe.evaluate_every for recipe in recipes if recipe.steps] or [of.get("evaluate_every", 0)])
    every = " or ".join(f"every {steps:,} steps" if steps else "four times in a training" for steps in intervals)
    trained = [model for model in models if not recipes or any(recipe.method == model and recipe.steps for recipe in recipes)]
    few = " and ".join(model for model in trained if model != "BE")
    on = f" ({few}: {of['dev_images']} images)" if few else ""
    return f"Checkpoints: the last of the best, scored {every} by R@1 on the dev split, one caption an image{on}; the paper: the best, every 5,000 steps."


def _galleries(of: Mapping[str, Any]) -> str:
    few, others = of.get("ce_images", 0), of.get("test_images", 0)
    if not few and not others:
        return ""
    paper = "the paper: all methods on all images."
    if "test_images" in of and few and few != others:
        return f"Galleries: CE, which scores every pair, on {few:,} images of the test split, others on {f'{others:,}' if others else 'all'}; {paper}"
    return f"Gallery: {few or others:,} images of the test split{', as CE scores every pair' if few else ''}; {paper}"
