"""A trained model's README.md: what it is, what it was trained on and how, how well it did on the dev split, and under which licence its data stand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmr_kit.data.manifests import Manifest

USES = {"CE": "`score_pairs`", "BE": "`embed_texts` and `embed_images`"}  # JOINT and the pretraining: all of them
NAMED = ("start", "dataset", "mined_by")  # of these that are paths, only the last part is told


def model_card(record: dict[str, Any], manifest: Manifest | None, kind: str) -> str:
    """The card, in Markdown, of a model of this backbone kind, from its `training.json` and the manifest of its training data.

    A model of 0 steps was released by others; where it is not known what it was trained on, the manifest is None.
    """
    recipe = record["recipe"]
    told = f"seed {recipe['seed']}" if recipe["steps"] else "as released"
    head = [
        f"# {recipe['method']}{f' on {manifest.name}' if manifest else ''}, {told}", "",
        f"A text-image retrieval model of mmr_kit: backbone `{kind}`, {record['parameters']:,} parameters, trained for "
        f"{USES.get(recipe['method'], '`embed_texts`, `embed_images` and `score_pairs`')}.", "",
        "```python", "import mmr_kit as kit", "model = kit.load_model(FOLDER)  # the folder of this file", "```", "",
    ]  # fmt: skip
    return "\n".join(head + (_of_training(record, manifest) if recipe["steps"] and manifest else _of_release(recipe, manifest)))


def _of_training(record: dict[str, Any], manifest: Manifest) -> list[str]:
    recipe = record["recipe"]
    points = [point for point in record["curve"] if "dev score" in point]
    best = max(reversed(points), key=lambda point: point["dev score"])  # of equal ones the last, as the training keeps it
    settings = {name: Path(value).name if name in NAMED else value for name, value in recipe.items() if value != "" and value is not False}
    images = f", {recipe['train_images']} of its images" if recipe["train_images"] else ""
    return [
        "## Data", "",
        f"{manifest.title} (`{manifest.name}`, training split, captions in {', '.join(recipe['languages'])}"
        f"{images}). Source: {manifest.source}", "",
        "## Recipe", "", "| setting | value |", "|---|---|",
        *(f"| {name} | {', '.join(map(str, value)) if isinstance(value, list | tuple) else value} |" for name, value in settings.items()), "",
        f"Trained in {record['seconds']:.0f} s.", "", *(f"- {incident}" for incident in record["incidents"]), *([""] if record["incidents"] else []),
        "## On the dev split", "",
        f"Mean R@1 of both directions, on which the checkpoint was chosen: {best['dev score']:.1f} after {best['step']} of {recipe['steps']} steps.", "",
        "| step | dev score |", "|---:|---:|", *(f"| {point['step']} | {point['dev score']:.1f} |" for point in points), "",
        "## Licence", "",
        f"Licence of the training data: {manifest.licence}. What it and the licence of the start demand, these weights must respect.", "",
    ]  # fmt: skip


def _of_release(recipe: dict[str, Any], manifest: Manifest | None) -> list[str]:
    return [
        "## Origin", "",
        f"Released by others (`{Path(recipe['start']).name}`) and taken over as it is: nothing was trained here.", "",
        *([f"Trained on {manifest.title} (`{manifest.name}`). Source: {manifest.source}", ""] if manifest else []),
        "## Licence", "", f"The release's{f', and that of the training data: {manifest.licence}' if manifest else ''}.", "",
    ]  # fmt: skip
