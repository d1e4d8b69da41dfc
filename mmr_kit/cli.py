"""The command `mmr`. Exit status: 0 success, 1 a notebook failed or a check found a difference, 2 bad input, 130 interrupted.

Each command imports what it needs when it runs, so that `mmr --help` answers at once.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from mmr_kit import cli_features
from mmr_kit.cli_data import data_app
from mmr_kit.errors import InputError, shown, wanted

app = typer.Typer(add_completion=False, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False,
                  help="Train, retrieve, rerank, and compute the paper's tables again.")  # fmt: skip
app.add_typer(data_app, name="data")
cli_features.join(app, data_app)

Profile = Annotated[str, typer.Option(metavar="NAME", help="Settings to run under: a name in notebooks/profiles/ (smoke, demo, flickr8k).")]
Results = Annotated[Path | None, typer.Option(metavar="FOLDER", help="Where results lie, one folder a profile; results/ of the checkout by default.")]


def main() -> None:
    """Run the command line; bad input ends it with one line on stderr and status 2. Of the processes that `torchrun` starts the first one talks."""
    try:
        with contextlib.redirect_stdout(None) if os.environ.get("RANK", "0") != "0" else contextlib.nullcontext():
            app(prog_name="mmr")
    except Exception as error:
        told = error if isinstance(error, InputError) else wanted(error)
        if told is None:
            raise
        print(shown(f"mmr: {told}"), file=sys.stderr)
        sys.exit(2)


@app.command()
def regenerate(
    profile: Profile = "demo",
    only: Annotated[list[str] | None, typer.Option(metavar="NOTEBOOK", help="Only this notebook, for example table1_main_results; may be repeated.")] = None,
    parameter: Annotated[
        list[str] | None, typer.Option("--parameter", "-p", metavar="NAME=VALUE", help="Set a parameter of the chosen notebooks; may be repeated.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Compute again what is up to date. (Trained models still come from the cache.)")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would run, and why.")] = False,
    one_gpu: Annotated[bool, typer.Option("--one-gpu", help="Wait for a GPU that no other such run holds, and use that alone.")] = False,
    results: Results = None,
) -> None:
    """Compute the tables of a profile again.

    Runs the notebooks whose results are missing or out of date, and writes results/<profile>/ with its index.html and REPORT.md. Trains every model that is
    not in the cache, printing progress. A second run finds everything up to date and does nothing. Killed or interrupted, it leaves the earlier results
    whole, and the same command carries on.

    Example: mmr regenerate --profile demo --only table1_main_results -p seeds=3
    """
    from mmr_kit import notebooks

    if one_gpu:
        from mmr_kit import slots
        from mmr_kit.cache import cache_dir

        slots.take_one(cache_dir() / "slots")
    folder = results or notebooks.RESULTS
    try:
        computed = notebooks.regenerate(profile, only or (), _assignments(parameter or []), force, dry_run, results=folder)
    except notebooks.NotebookError as error:
        print(f"mmr: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    if computed and not dry_run:
        from mmr_kit.reporting.report import write_report

        print(f"report: {write_report(folder / profile)[0]}")


@app.command()
def report(
    profile: Profile = "demo",
    check: Annotated[bool, typer.Option("--check", help="Compare with the committed reference run instead; status 1 if a number differs.")] = False,
    reference: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Compare with the results in this folder.")] = None,
    results: Results = None,
) -> None:
    """Print the verdict on each claim; write the report.

    Collects what the notebooks of a profile wrote into results/<profile>/index.html (one file, pictures included) and REPORT.md.

    With --check: says of each table whether its numbers are those of results/<profile>/ as last committed, or no further apart than seeds are.

    Example: mmr report --profile demo --check
    """
    from mmr_kit.notebooks import RESULTS

    folder = (results or RESULTS) / profile
    if check or reference:
        _check(folder, reference)
        return
    from mmr_kit.reporting.report import verdict_lines, write_report

    written = write_report(folder)
    print("\n".join([*verdict_lines(folder), *(f"report: {path}" for path in written)]))


@app.command()
def train(
    method: Annotated[str, typer.Argument(metavar="METHOD", help="BE (bi-encoder), CE (cross-encoder), JOINT (both in one model), or PRETRAINING.")],
    dataset: Annotated[str, typer.Option(metavar="NAME", help="What to train on: a data set's name (see `mmr data list`) or its manifest's path.")],
    start: Annotated[str, typer.Option(metavar="NAME", help="Initial weights: scratch, captions, the kit's own, a checkpoint's folder, a hub id.")] = "scratch",
    steps: Annotated[int, typer.Option(metavar="N", help="Training steps.")] = 1000,
    learning_rate: Annotated[float, typer.Option(metavar="RATE", help="Peak learning rate; decays linearly to 0.")] = 1e-3,
    warmup_steps: Annotated[int, typer.Option(metavar="N", help="Steps in which the learning rate rises; the paper has none.")] = 0,
    batch_size: Annotated[int, typer.Option(metavar="N", help="Pairs a step of the triplet loss.")] = 128,
    match_batch_size: Annotated[int, typer.Option(metavar="N", help="Matching pairs a step of the match loss, which adds as many replaced ones.")] = 64,
    seed: Annotated[int, typer.Option(metavar="N", help="Draws batches and new weights.")] = 0,
    language: Annotated[list[str] | None, typer.Option(metavar="LANGUAGE", help="Caption language: en (the default), de, fr, cs; may be repeated.")] = None,
    train_images: Annotated[int, typer.Option(metavar="N", help="Train on so many of the training images; 0: all.")] = 0,
    half_size: Annotated[bool, typer.Option("--half-size", help="Skip every odd-numbered layer.")] = False,
    output: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Also copy the finished model here.")] = None,
) -> None:
    """Train one model and print its folder.

    A model that is in the cache already is not trained again. Interrupted, the same command carries on from the last checkpoint. Several processes, GPUs or
    machines share a training, to the same result: torchrun --nproc-per-node 2 -m mmr_kit.cli train ...

    Example: mmr train JOINT --dataset pictograms_a --steps 1200 --output models/joint
    """
    from mmr_kit.experiments import train as train_models
    from mmr_kit.models import distributed
    from mmr_kit.recipes import Recipe

    if steps < 1:
        raise InputError(f"--steps {steps}: it must be above 0")
    recipe = Recipe(method, dataset, start=start, steps=steps, learning_rate=learning_rate, batch_size=batch_size, match_batch_size=match_batch_size,
                    seed=seed, languages=tuple(language or ["en"]), train_images=train_images, half_size=half_size, warmup_steps=warmup_steps)  # fmt: skip
    if output and output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise InputError(f"--output {output}: is there already and not empty; name a new folder")
    folder = train_models([recipe])[0]
    if output and distributed.number() == 0:
        _copy_model(folder, output)
    print(output or folder)


@app.command()
def plan(
    profile: Profile = "demo",
    only: Annotated[list[str] | None, typer.Option(metavar="NOTEBOOK", help="Only this notebook; may be repeated.")] = None,
    parameter: Annotated[list[str] | None, typer.Option("--parameter", "-p", metavar="NAME=VALUE", help="As in regenerate; may be repeated.")] = None,
    results: Results = None,
) -> None:
    """Print, as JSON, which trainings and notebooks a profile still needs.

    For a workflow engine that deals them out over machines: see workflow/run.py.

    Example: mmr plan --profile demo -p seeds=3
    """
    import json

    from mmr_kit import notebooks, planning

    print(json.dumps(planning.plan(profile, only or (), _assignments(parameter or []), results=results or notebooks.RESULTS), indent=1))


@app.command("carry-out")
def carry_out(
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="A file that `mmr plan` wrote.")],
    training: Annotated[str, typer.Argument(metavar="ID", help="The id of a training in it.")],
) -> None:
    """Do one training of a plan, on a GPU of its own where there are several.

    Example: mmr carry-out plan.json 0123456789abcdef0123
    """
    from mmr_kit import planning

    planning.carry_out(plan, training)


@app.command()
def search(
    caption: Annotated[str, typer.Argument(metavar="CAPTION", help="What to look for, in quotation marks.")],
    model: Annotated[Path, typer.Option(metavar="FOLDER", help="The model that retrieves, as printed by `mmr train`: BE or JOINT.")],
    dataset: Annotated[str, typer.Option(metavar="NAME", help="The collection: a data set's name (see `mmr data list`) or its manifest's path.")],
    rerank: Annotated[Path | None, typer.Option(metavar="FOLDER", help="The model that reranks: CE or JOINT. By default the same one.")] = None,
    split: Annotated[str, typer.Option(metavar="SPLIT", help="Which images: train, dev or test.")] = "test",
    k: Annotated[int, typer.Option("-k", metavar="N", help="How many candidates to retrieve and rerank.")] = 20,
    language: Annotated[list[str] | None, typer.Option(metavar="LANGUAGE", help="Of the captions printed: en (the default), de, ...; may be repeated.")] = None,
) -> None:
    """Find the images that fit a caption.

    Retrieves k candidates by embedding, reranks them by match probability, and prints both ranks.

    Example: mmr search "a red star above a small moon" --model models/joint --dataset pictograms_a
    """
    from mmr_kit.data.datasets import load_dataset
    from mmr_kit.models.retrieval_model import load_model
    from mmr_kit.retrieval.retrieve import search_images

    gallery = load_dataset(dataset, split, language or ["en"])
    retrieved, reranked = search_images(caption, load_model(model), gallery, k, load_model(rerank) if rerank else None)
    told: dict[str, str] = {}
    for described in gallery.captions:
        told.setdefault(described.image_id, described.text)
    before, cosines = retrieved.candidate_ids[0], retrieved.scores[0]
    print("rank  match  retrieved  cosine  image  (one of its captions)")
    for rank, (image_id, match) in enumerate(zip(reranked.candidate_ids[0], reranked.scores[0], strict=True), start=1):
        place = before.index(image_id)
        print(shown(f"{rank:>4}  {match:>5.3f}  {place + 1:>9}  {cosines[place]:>6.3f}  {image_id}  ({told[image_id]})"))


def _assignments(texts: list[str]) -> dict[str, str]:
    """["seeds=3"] -> {"seeds": "3"}."""
    for text in texts:
        if "=" not in text or text.startswith("="):
            raise InputError(f"-p {text}: write name=value")
    return {name.strip(): value for name, _, value in (text.partition("=") for text in texts)}


def _copy_model(folder: Path, output: Path) -> None:
    """Copy a finished model out of the cache, without the cache's own record of it; complete or not at all."""
    import shutil
    import tempfile

    from mmr_kit.cache import ENTRY

    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}.") as temporary:
        copy = shutil.copytree(folder, Path(temporary) / output.name, ignore=shutil.ignore_patterns(ENTRY))
        Path(copy).replace(output)


def _check(folder: Path, reference: Path | None) -> None:
    """Compare a profile's results with a reference run's, by default the committed one of the same profile; ends with status 1 if a number differs."""
    from mmr_kit.reporting.reference import Outcome, committed, compare_folders, summary

    with contextlib.nullcontext(reference) if reference else committed(folder.name) as earlier:
        compared = compare_folders(folder, earlier)
    for table in compared:
        print("\n".join(table.lines()))
    print(summary(compared))
    if any(table.outcome == Outcome.DIFFERS for table in compared):
        raise typer.Exit(1)


if __name__ == "__main__":
    main()
