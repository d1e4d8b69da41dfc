"""The commands `mmr data`: what data sets there are, what is missing of them and how to get it. Exit status as in mmr_kit.cli."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmr_kit.errors import InputError, shown

if TYPE_CHECKING:
    from mmr_kit.data.manifests import Manifest

data_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Say what data sets there are; get, check and prepare them.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="A data set's name (see `mmr data list`) or its manifest's path.")]


@data_app.command("list")
def data_list() -> None:
    """Name, title and licence of every data set.

    Example: mmr data list
    """
    from mmr_kit.data.manifests import list_manifests

    for manifest in list_manifests():
        print(shown(f"{manifest.name:<22} {manifest.title} (licence: {manifest.licence})"))


@data_app.command("status")
def data_status(names: Annotated[list[str] | None, typer.Argument(metavar="NAME", help="Data sets; all of them by default, in one line each.")] = None) -> None:
    """What is here of a data set, and what to do next.

    Lists its files, present or missing, and the next step. Ends with status 1 if something is missing of a data set that was named.

    Example: mmr data status flickr30k
    """
    from mmr_kit.data.manifests import list_manifests, load_manifest

    if not names:
        for manifest in list_manifests():
            print(shown(f"{manifest.name:<22} {manifest.status()}"))
        return
    manifests = {name: load_manifest(name) for name in names}
    for name, manifest in manifests.items():
        print(shown("\n".join(manifest.checklist(name))))
    if any(manifest.missing() for manifest in manifests.values()):
        raise typer.Exit(1)


@data_app.command("fetch")
def data_fetch(name: Name) -> None:
    """Download the official files of a data set.

    Only from the addresses in its manifest, into MMR_DATA_DIR, with progress. A second call goes on with what is missing, also in the midst of a file. Hashes
    are pinned at first sight.
    Where a form must be signed, or no address is known, it says what to do by hand.

    Example: mmr data fetch flickr30k
    """
    from mmr_kit.data.fetching import fetch
    from mmr_kit.data.manifests import load_manifest

    manifest = load_manifest(name)
    if manifest.downloads:
        fetch(manifest, lambda text: print(shown(text), flush=True))
    print(shown("\n".join(manifest.next_steps(name))))


@data_app.command("verify")
def data_verify(name: Name) -> None:
    """Check the hashes, counts and regions of a data set.

    Hashes against those at first sight (which it pins, the first time), the content of the region store against what is remembered of it, counts against the
    manifest, captions against regions. Ends with status 1 if something differs.

    Example: mmr data verify flickr30k
    """
    from mmr_kit.data.manifests import load_manifest
    from mmr_kit.data.verifying import verify

    good = True
    for is_good, told in verify(load_manifest(name)):
        print(shown(f"{'[OK]     ' if is_good else '[DIFFERS]'} {told}"), flush=True)
        good &= is_good
    if not good:
        raise typer.Exit(1)


@data_app.command("prepare")
def data_prepare(name: Name) -> None:
    """Make the region store of a data set from its published feature files.

    Interrupted, the same command goes on where it was. A store that is there stays as it is.

    Example: mmr data prepare flickr30k
    """
    from mmr_kit.data.manifests import load_manifest
    from mmr_kit.data.store_writer import clear_workplace

    manifest = load_manifest(name)
    made = manifest.files.regions if manifest.files and manifest.files.regions_from else ""
    if not made:
        raise InputError(f"{manifest.name}: names no feature files to prepare its regions from; `mmr data status {name}` says what it needs")
    folder = manifest.data_dir()
    if (folder / made).exists():
        clear_workplace(folder / made)
        print(f"{folder / made}: is there already; delete it to prepare it again")
        return
    print(_prepare(manifest, folder, name))


@data_app.command("miniature")
def data_miniature(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new folder, then the MMR_DATA_DIR of profile paper-smoke.")],
    prepared: Annotated[bool, typer.Option("--prepared", help="Make the region stores, too, as `mmr data prepare` does.")] = False,
) -> None:
    """Write a generated miniature of the paper's data sets and checkpoints, in their own file layouts.

    Pictogram scenes in the files of MSCOCO, Flickr30k, Multi30k and Conceptual Captions: their manifests work on it, but for the counts. Tiny random models
    in the files of OSCAR, M3P, CLIP and a released JOINT model.

    Example: mmr data miniature miniature --prepared
    """
    from mmr_kit.data.manifests import list_manifests
    from mmr_kit.data.miniature import write_miniature
    from mmr_kit.models.miniature import write_checkpoints

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: is there already and not empty; name a new folder")

    def prepare(unfinished: Path, _texts: object) -> None:
        for manifest in list_manifests() if prepared else []:
            files = manifest.files
            if files and files.regions_from and (unfinished / files.captions[0].path).exists() and not (unfinished / files.regions).exists():
                _prepare(manifest, unfinished, manifest.name)

    write_miniature(folder, write_checkpoints, prepare)
    print(folder)


def _prepare(manifest: Manifest, folder: Path, name: str) -> Path:
    """The region store of a data set in a data folder, made from its published files, with progress. name: what to call it in an error."""
    assert manifest.files is not None
    assert manifest.files.regions_from is not None
    store, given = folder / manifest.files.regions, manifest.files.regions_from
    absent = [path for path in given.sources if not (folder / path).exists()]
    if absent:
        raise InputError(f"{folder / absent[0]}: missing; `mmr data status {name}` says what {manifest.name} needs and how to get it")
    from tqdm import tqdm

    from mmr_kit.data.feature_files import prepare_region_store

    with tqdm(unit="B", unit_scale=True, desc=manifest.name) as bar:

        def progress(images: int, done: int, expected: int) -> None:
            bar.total = expected or None
            bar.set_postfix_str(f"{images} images", refresh=False)
            bar.update(done - bar.n)

        prepare_region_store(given.format, [folder / path for path in given.sources], store, precision=given.precision, progress=progress)
    return store
