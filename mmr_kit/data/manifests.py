"""What a data set is, where it comes from, where its files lie and what is missing of them: one YAML a data set, validated."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, NonNegativeInt, PrivateAttr, ValidationError, model_validator

from mmr_kit.cache import Stamp, stamp
from mmr_kit.data.pictograms import WorldSpec
from mmr_kit.data.reading import read_yaml
from mmr_kit.errors import InputError

MANIFESTS = Path(__file__).parents[2] / "data_manifests"
STORE = "region store"  # what a part is
NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]*"  # of a data set: it stands in names of files and in tables


def inside(path: str) -> str:
    """The path, if it stays below whatever folder it is joined to. Raises ValueError where it does not."""
    parts = PurePosixPath(path).parts
    if not parts or ".." in parts or parts[0].startswith(("/", "~")) or "\\" in path or ":" in path:
        raise ValueError(f"{path!r} leaves the data folder; give a path below it")
    return path


def in_data_dir(path: str, what: str) -> Path:
    """A file or folder below `$MMR_DATA_DIR`. what: how an error begins. Raises InputError where it is not there, leaves the folder, or none is set."""
    folder = os.environ.get("MMR_DATA_DIR")
    if not folder:
        raise InputError(f"{what}: set MMR_DATA_DIR to the folder that holds {path}")
    try:
        found = Path(folder, inside(path))
    except ValueError as error:
        raise InputError(f"{what}: {error}") from None
    if not found.exists():
        raise InputError(f"{what}: {found} is missing; put it there")
    return found


Relative = Annotated[str, AfterValidator(inside)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CaptionFile(_Strict):
    """One caption file (or folder) below the data folder; see captions.read_captions for the formats and what they need beside the path."""

    path: Relative
    format: Literal["karpathy", "jsonl", "oscar", "entities", "lines", "tsv"]
    language: str
    split: Literal["train", "dev", "test"] | None = None
    images: Relative | None = None
    image_id: Literal["filename", "stem", "cocoid"] = "filename"
    number: NonNegativeInt = 0

    @model_validator(mode="after")
    def _complete(self) -> CaptionFile:
        needed = {"split": ("oscar", "entities", "lines", "tsv"), "images": ("entities", "lines")}
        for name, formats in needed.items():
            if self.format in formats and not getattr(self, name):
                raise ValueError(f"{name} is missing; a file of format {self.format} does not say it itself")
        return self


class RegionSources(_Strict):
    """Published files of region features, from which `mmr data prepare` makes the region store; sources below the data folder."""

    format: Literal["bottom_up_tsv", "npz", "oscar_pt", "m3p_pt", "vinvl_tsv"]
    sources: tuple[Relative, ...] = Field(min_length=1)
    precision: Literal["float32", "float16"] = "float16"


class Files(_Strict):
    """Where the parts of a stored data set lie, below the data folder.

    image_prefix stands before every image id of the files, so that data sets whose images are numbered alike can be merged. folds: the test images are
    searched in so many galleries of (nearly) the same size, taken in the order of the files, each with its own queries; 0: in one.
    """

    captions: tuple[CaptionFile, ...]
    regions: Relative
    regions_from: RegionSources | None = None
    pictures: Relative | None = None
    image_prefix: str = Field(default="", pattern=r"^[\w.-]*$")
    folds: NonNegativeInt = 0


class Download(_Strict):
    """Official files: `names` below the address `base` go into `folder`; archives (.zip, .tar*, .gz) are unpacked into `unpack`, at most `gigabytes`."""

    base: str = Field(pattern=r"^https://[^\s?#]+/$")
    names: tuple[Relative, ...] = Field(min_length=1)
    folder: Relative
    unpack: Relative | None = None
    gigabytes: float = Field(default=1.0, gt=0)

    @property
    def paths(self) -> list[str]:
        """Where the files go, below the data folder."""
        return [f"{self.folder}/{name}" for name in self.names]

    def may_hold(self, path: str) -> bool:
        """Whether a file or folder of the data set may come with this download."""
        return path in self.paths or (self.unpack is not None and PurePosixPath(path).is_relative_to(self.unpack))


class Expected(_Strict):
    """What the whole data set holds: images a split, where that is known, and the fewest and most captions an image, by language."""

    images: dict[Literal["train", "dev", "test"], NonNegativeInt] = {}
    captions: dict[str, tuple[NonNegativeInt, NonNegativeInt]]


@dataclass(frozen=True)
class Part:
    """A file or folder of a data set, below the data folder; `needed`: whether the data set can be loaded without it."""

    path: str
    what: str
    present: bool
    needed: bool = True


class Manifest(_Strict):
    """A data set: either `files` (found beside a manifest of one's own, or under `$MMR_DATA_DIR`) or `generator` (made on the spot, kept in the cache).

    features: which region features fit; downloads: official files that `mmr data fetch` gets; by_hand: the steps that a person must do, where a form must be
    signed or no address is known.
    """

    name: str = Field(pattern=rf"^{NAME}$")
    title: str
    licence: str
    source: str
    paper_dataset: str | None = Field(default=None, description="the paper's data set beside whose numbers results stand; none: they stand alone")
    features: str | None = None
    downloads: tuple[Download, ...] = ()
    by_hand: tuple[str, ...] = ()
    expected: Expected | None = None
    files: Files | None = None
    generator: WorldSpec | None = None
    _beside: Path | None = PrivateAttr(default=None)  # the folder of a manifest that is not the kit's own

    def _folder(self) -> Path | None:
        """Where `files` lie: beside the manifest, if its captions do; else `$MMR_DATA_DIR`, None where that is not set."""
        if self._beside and self.files and any((self._beside / file.path).exists() for file in self.files.captions):
            return self._beside
        return _data_dir()

    def data_dir(self) -> Path:
        """The folder that `files` are relative to. Raises InputError where they lie not beside the manifest and `$MMR_DATA_DIR` is not set."""
        folder = self._folder()
        if not folder:
            raise InputError(f"{self.name}: its files are not part of the kit; set MMR_DATA_DIR to the folder that holds {self.parts()[0].path} "
                             f"(source: {self.source})")
        return folder

    def parts(self) -> list[Part]:
        """Every file and folder of the data set, each once; none of a generated one. The sources of a region store that is there may be gone."""
        if self.files is None:
            return []
        sources = self.files.regions_from.sources if self.files.regions_from else ()
        what: dict[str, str] = {}
        for file in self.files.captions:
            what.setdefault(file.path, f"captions, {file.language}" if file.language else "captions")
            if file.images:
                what.setdefault(file.images, "list of images")
        for path in sources:
            what.setdefault(path, "region features, as published")
        what[self.files.regions] = STORE
        folder = self._folder()
        return [Part(path, kind, folder is not None and (folder / path).exists(), path not in sources) for path, kind in what.items()]

    def missing(self) -> list[str]:
        """What has to be there for load_dataset and is not; empty for a generated data set."""
        return [part.path for part in self.parts() if part.needed and not part.present]

    def next_step(self, name: str | None = None) -> str:
        """What to do next, so that the data set can be used; empty where nothing is missing. name: what to call it in commands, for example by its path."""
        name, folder, missing = name or self.name, self._folder(), self.missing()
        if self.files is None or not missing:
            return ""
        if not folder:
            return f"set MMR_DATA_DIR to the folder that holds {_some(missing)}"
        made = self.files.regions if self.files.regions_from else ""
        wanted = [part.path for part in self.parts() if not part.present and part.path != made]
        if not wanted:
            return f"mmr data prepare {name}"
        useful = [download for download in self.downloads if any(map(download.may_hold, wanted))]
        if any(not (folder / path).exists() for download in useful for path in download.paths):
            return f"mmr data fetch {name}"
        return f"put into {folder} {_some(wanted)}"

    @property
    def languages(self) -> set[str]:
        """The languages of its captions, as far as the manifest tells them (files of the format jsonl do it themselves)."""
        return set(self.generator.captions) if self.generator else {file.language for file in (self.files.captions if self.files else ()) if file.language}

    def checklist(self, name: str | None = None) -> list[str]:
        """Its files, present or missing, and what to do next, line by line. name: see `next_step`."""
        lines = [f"{self.name}: {self.title}", f"licence: {self.licence}", f"source: {self.source}"]
        lines += [f"region features: {self.features.strip()}"] if self.features else []
        for part in self.parts():
            state = "[present]" if part.present else "[missing]" if part.needed or self.missing() else "[gone]   "
            lines.append(f"  {state} {part.path} ({part.what})")
        return lines + self.next_steps(name)

    def next_steps(self, name: str | None = None) -> list[str]:
        """What to do, in full, or where the data set is. name: see `next_step`."""
        step = self.next_step(name)
        if not step:
            return [f"{self.status()}; `mmr data verify {name or self.name}` checks it"]
        by_hand = self.by_hand if "prepare" not in step else ()
        return [*(f"by hand: {text.strip()}" for text in by_hand), f"next: {step}"]

    def status(self) -> str:
        """One line for `mmr data status`: ready, generated, or what is missing and the next step."""
        if self.files is None:
            return "ready (generated when first used)"
        return f"missing: {self.next_step()}" if self.missing() else f"ready in {self.data_dir()}"


def _some(paths: list[str]) -> str:
    return ", ".join(paths if len(paths) <= 3 else [*paths[:2], f"and {len(paths) - 2} more"])


def _data_dir() -> Path | None:
    value = os.environ.get("MMR_DATA_DIR")
    return Path(value) if value else None


def _own() -> dict[str, Path]:
    """Name -> manifest of each data set of one's own, as `mmr data add` lays them out: `$MMR_DATA_DIR/<name>/<name>.yaml`."""
    folder = _data_dir()
    return {path.stem: path for path in sorted(folder.glob("*/*.yaml")) if path.stem == path.parent.name} if folder else {}


def _named() -> dict[str, Path]:
    """Name -> manifest of every data set that has a name; the kit's own names are not taken by others."""
    return _own() | {path.stem: path for path in sorted(MANIFESTS.glob("*.yaml"))}


def load_manifest(name_or_path: str | Path) -> Manifest:
    """The manifest of a data set by name (`data_manifests/<name>.yaml`, or `$MMR_DATA_DIR/<name>/<name>.yaml`) or by path.

    Raises InputError that says what is wrong where.
    """
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        named = _named()
        if str(name_or_path) not in named:
            raise InputError(f"no data set {str(name_or_path)!r}; known: {', '.join(sorted(named))}; or give the path of a manifest (.yaml)")
        path = named[str(name_or_path)]
    if not path.exists():
        raise InputError(f"{path}: no such manifest")
    return _read(path, stamp(path))


@lru_cache(maxsize=64)
def _read(path: Path, unchanged: Stamp) -> Manifest:
    try:
        manifest = Manifest.model_validate(read_yaml(path))
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc'])) or 'top level'}: {fault['msg']}" for fault in error.errors())
        raise InputError(f"{path}: {faults}") from None
    if (manifest.files is None) == (manifest.generator is None):
        raise InputError(f"{path}: give either files or generator")
    if path.parent.resolve() != MANIFESTS:
        manifest._beside = path.parent.absolute()
    return manifest


def list_manifests() -> list[Manifest]:
    """Every manifest of the kit, and of data sets of one's own in `$MMR_DATA_DIR`, by name."""
    return [load_manifest(path) for _, path in sorted(_named().items())]
