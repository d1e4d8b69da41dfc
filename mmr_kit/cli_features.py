"""The commands that make features and data sets of photographs: `mmr features extract` and `mmr data add`. Exit status as in mmr_kit.cli."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmr_kit.errors import InputError, shown

if TYPE_CHECKING:
    from mmr_kit.data.pictures import Skipped

features_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Make region features of photographs.")
SHOWN = 10  # skipped pictures that are printed; the file has all
# What the notebooks take by default: pairs a step, those of the match loss, images among which CE ranks, candidates.
BATCH, MATCH_BATCH, GALLERY, CANDIDATES = 128, 64, 200, 20

Detector = Annotated[str, typer.Option(metavar="NAME", help="Regions: what this object detector finds (a checkpoint's folder or hub id), else a grid.")]
Threshold = Annotated[float, typer.Option(metavar="SCORE", help="Least score of a box of the detector.")]
Boxes = Annotated[int, typer.Option(metavar="N", help="Boxes of the detector a picture, best first.")]
Grid = Annotated[int, typer.Option(metavar="N", help="Cells a row and rows of the grid, where there is no detector; 0: the whole picture only.")]
Encoder = Annotated[str, typer.Option(metavar="NAME", help="Features: this vision encoder's (a checkpoint's folder or hub id), else plain RGB values.")]
Patches = Annotated[int, typer.Option(metavar="PIXELS", help="Raw patches of so many pixels a side instead, as ViLT and CLIP take them.")]
Size = Annotated[int, typer.Option(metavar="PIXELS", help="Side to which pictures are resized before they are cut into raw patches.")]
BatchSize = Annotated[int, typer.Option(metavar="N", help="Pictures that go through the models at once.")]
Precision = Annotated[str, typer.Option(metavar="TYPE", help="Of the features on the disk: float16 or float32.")]


def join(app: typer.Typer, data_app: typer.Typer) -> None:
    """Add these commands to `mmr` and `mmr data`."""
    app.add_typer(features_app, name="features")
    data_app.command("add")(data_add)


@features_app.callback()
def _group() -> None:
    """Keeps `extract` a command of its own though it is the only one."""


@features_app.command("extract")
def features_extract(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The photographs: every picture file in it; image ids are file names.")],
    output: Annotated[Path, typer.Option(metavar="STORE", help="The region store to make, a new folder.")],
    detector: Detector = "", threshold: Threshold = 0.3, boxes: Boxes = 36, grid: Grid = 6, encoder: Encoder = "", patches: Patches = 0, size: Size = 224,
    batch_size: BatchSize = 16, precision: Precision = "float16",
) -> None:  # fmt: skip
    """Make a region store of a folder of photographs.

    The regions of a picture are the whole of it and the boxes of a detector or the cells of a grid; their features an encoder's map averaged over each.
    Broken pictures are left out and listed (all of them in STORE/skipped.csv); pictures in subfolders are, too. White space in a file name is _ in its image
    id. Interrupted, the same command goes on where it was. A GPU is used where there is one; several processes, GPUs or machines share the work, to the same
    store: torchrun --nproc-per-node 2 -m mmr_kit.cli features extract ...

    Example: mmr features extract photos --output photos_regions --detector PekingU/rtdetr_r18vd --encoder facebook/dinov2-small
    """
    skipped = _Extract(detector, threshold, boxes, grid, encoder, patches, size, batch_size, precision)(folder, output, None)
    print(shown("\n".join([*_told(skipped, output), str(output)])))


def data_add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call the data set.")],
    pictures: Annotated[Path, typer.Option(metavar="FOLDER", help="The photographs: every picture file in it.")],
    captions: Annotated[Path, typer.Option(metavar="CSV", help="Columns image (file name) and caption, and if you like language and split.")],
    output: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Where the data set goes; MMR_DATA_DIR/NAME by default.")] = None,
    language: Annotated[str, typer.Option(metavar="LANGUAGE", help="Of the captions, where the csv has no such column.")] = "en",
    seed: Annotated[int, typer.Option(metavar="N", help="Draws the splits, 80/10/10 of the images, where the csv has no such column.")] = 0,
    licence: Annotated[str, typer.Option(metavar="TEXT", help="Licence of the photographs, for the manifest.")] = "not stated",
    detector: Detector = "", threshold: Threshold = 0.3, boxes: Boxes = 36, grid: Grid = 6, encoder: Encoder = "", patches: Patches = 0, size: Size = 224,
    batch_size: BatchSize = 16, precision: Precision = "float16",
) -> None:  # fmt: skip
    """Make a data set of photographs and a csv of captions.

    Extracts region features as `mmr features extract` does, and writes captions, region store, links to the pictures and a manifest into one folder.
    Interrupted, the same command goes on where it was. Every notebook takes the data set; those that need several take such of the same kind of features.

    Example: mmr data add holidays --pictures photos --captions captions.csv --encoder google/siglip-base-patch16-224
    """
    from mmr_kit.data.own import REGIONS, add_dataset

    root = os.environ.get("MMR_DATA_DIR")
    if output is None and not root:
        raise InputError("where should the data set go? set MMR_DATA_DIR, or give --output FOLDER")
    folder = output or Path(root or "", name)
    if len(str(folder.resolve()).split()) != 1:
        raise InputError(f"{folder}: has white space in its path, which separates data sets in parameters of notebooks; name another folder by --output")
    extract = _Extract(detector, threshold, boxes, grid, encoder, patches, size, batch_size, precision)
    added = add_dataset(name, pictures, captions, folder, extract, language=language, seed=seed, licence=licence)
    images = ", ".join(f"{count} {split}" for split, count in added.images.items())
    lines = _told(added.skipped, folder / REGIONS)
    lines += [f"left out with their pictures: {added.left_out} captions"] if added.left_out else []
    lines += [f"without captions, and so no part of it: {added.uncaptioned} pictures"] if added.uncaptioned else []
    called = name if root and folder.resolve() == Path(root, name).resolve() else str(added.manifest.resolve())
    lines += [f"{added.manifest}: {images} images, {added.captions} captions", *_next_step(called, folder, added.images, added.languages)]
    print(shown("\n".join(lines)))


def _next_step(called: str, folder: Path, images: dict[str, int], languages: tuple[str, ...]) -> list[str]:
    """The command that computes Table 1 on a data set, with what its size and languages ask for; none where a split is empty, or has nothing to compare."""
    if not all(images.values()) or images["train"] < 2:
        return []
    if not languages:
        return ["next: give each image a caption in one and the same language, or in one of those that all splits have; Table 1 needs either"]
    settings: dict[str, object] = {"datasets": called, "start": "captions"}
    settings |= {"languages": " ".join(languages)} if languages != ("en",) else {}
    settings |= {"batch_size": images["train"]} if images["train"] < BATCH else {}
    settings |= {"match_batch_size": images["train"]} if images["train"] < MATCH_BATCH else {}
    settings |= {"ce_images": 0} if images["test"] < GALLERY else {}
    settings |= {"k": images["test"]} if images["test"] < CANDIDATES else {}
    parameters = [part for name, value in settings.items() for part in ("-p", f"{name}={value}")]
    return ["next: " + shlex.join(["mmr", "regenerate", "--only", "table1_main_results", "--results", str(folder / "results"), *parameters])]


class _Extract:
    """The extraction that options ask for, with a progress bar."""

    def __init__(self, *settings: object) -> None:
        from mmr_kit.models.extraction.store import Extraction

        self.extraction = Extraction(*settings)  # type: ignore[arg-type]

    def __call__(self, pictures: Path, store: Path, only: object) -> list[Skipped]:
        from tqdm import tqdm

        from mmr_kit.models import distributed
        from mmr_kit.models.extraction.store import extract_features

        helps = distributed.number() > 0
        with tqdm(unit=" pictures", desc=pictures.name, disable=helps or None) as bar:

            def progress(done: int, total: int) -> None:
                bar.total = total
                bar.update(done - bar.n)

            skipped = extract_features(pictures, store, self.extraction, progress, only)  # type: ignore[arg-type]
        if helps:
            raise typer.Exit()  # the rest is for the first process alone
        return skipped


def _told(skipped: list[Skipped], store: Path) -> list[str]:
    """What was left out, by name and reason."""
    lines = [f"skipped {file.name}: {file.reason}" for file in skipped[:SHOWN]]
    more = [f"and {len(skipped) - SHOWN} more, see {store / 'skipped.csv'}"] if len(skipped) > SHOWN else []
    return lines + more
