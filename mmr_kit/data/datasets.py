"""Images, captions and which belongs to which: what everything else is computed from."""

from __future__ import annotations

from collections import ChainMap, Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmr_kit.cache import Stamp, cached, entry_folder, identity_hash, stamp
from mmr_kit.data import pictograms
from mmr_kit.data.captions import SPLITS, Caption, read_captions
from mmr_kit.data.fingerprints import caption_files, fingerprint, store_files
from mmr_kit.data.manifests import CaptionFile, Files, Manifest, load_manifest
from mmr_kit.data.pictures import PictureFault, open_picture
from mmr_kit.data.regions import Regions, RegionStore
from mmr_kit.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

Fits = Callable[[Sequence[str], Sequence[str]], np.ndarray]
Stamps = tuple[tuple[str, Stamp], ...]  # of files: as long as they stay the same, nothing need be read again


@dataclass(frozen=True)
class RetrievalDataset:
    """A gallery of images with their captions.

    `captions` stand in the order of their images. The first `query_images` images and `query_captions` captions are queries; whatever follows was merged in
    as distractors and belongs to the collections only. Directions: "image_retrieval" (caption -> images), "text_retrieval" (image -> captions).
    folds: see `galleries`.
    """

    name: str
    split: str
    image_ids: list[str]
    captions: list[Caption]
    regions: Mapping[str, Regions]
    fingerprint: str
    picture: Callable[[str], Image | None] = field(repr=False, compare=False)
    known_fits: Fits | None = field(repr=False, compare=False, default=None)
    query_images: int = -1
    query_captions: int = -1
    paper_dataset: str | None = None
    folds: int = 0

    def __post_init__(self) -> None:
        if self.query_images < 0:
            object.__setattr__(self, "query_images", len(self.image_ids))
            object.__setattr__(self, "query_captions", len(self.captions))
        row = {image_id: number for number, image_id in enumerate(self.image_ids)}
        object.__setattr__(self, "caption_image", np.array([row[caption.image_id] for caption in self.captions]))

    caption_image: np.ndarray = field(init=False, repr=False, compare=False)  # (captions,) row of each caption's image in image_ids

    @property
    def texts(self) -> list[str]:
        return [caption.text for caption in self.captions]

    @property
    def caption_ids(self) -> list[str]:
        return [caption.caption_id for caption in self.captions]

    def query_ids(self, direction: str) -> list[str]:
        """Ids of the queries: captions for image retrieval, images for text retrieval."""
        return self.caption_ids[: self.query_captions] if direction == "image_retrieval" else self.image_ids[: self.query_images]

    def item_ids(self, direction: str) -> list[str]:
        """Ids of the collection that is searched."""
        return self.image_ids if direction == "image_retrieval" else self.caption_ids

    def galleries(self) -> list[RetrievalDataset]:
        """What is searched apart: the data set itself or, where it has folds, so many consecutive parts of its images with their captions.

        As each part has as many queries as any other (give or take a caption), the mean over all queries is the mean over the folds.
        """
        if not self.folds:
            return [self]
        if self.folds > len(self.image_ids):
            raise InputError(f"{self.name} {self.split}: {len(self.image_ids)} images cannot be searched in {self.folds} folds")
        return [self._part(rows) for rows in np.array_split(np.arange(len(self.image_ids)), self.folds)]

    def _part(self, rows: np.ndarray) -> RetrievalDataset:
        """The images of these rows, in this order, with all their captions, as a data set of one gallery."""
        ids = [self.image_ids[row] for row in rows]
        captions = [self.captions[row] for row in np.flatnonzero(np.isin(self.caption_image, rows))]
        return replace(self, image_ids=ids, captions=captions, query_images=-1, query_captions=-1, folds=0)

    def relevance(self, direction: str) -> dict[str, set[str]]:
        """Relevant items of each query: a caption's image; an image's captions."""
        relevant: dict[str, set[str]] = {query: set() for query in self.query_ids(direction)}
        for caption in self.captions[: self.query_captions]:
            query, item = (caption.caption_id, caption.image_id) if direction == "image_retrieval" else (caption.image_id, caption.caption_id)
            relevant[query].add(item)
        return relevant

    def fits(self, caption_rows: Sequence[int] | np.ndarray, image_rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """Bool (captions, images): whether a caption is known to describe an image; what must not serve as a negative in training."""
        own = self.caption_image[np.asarray(caption_rows)][:, None] == np.asarray(image_rows)[None, :]
        if self.known_fits is None:
            return own
        return own | self.known_fits([self.captions[row].caption_id for row in caption_rows], [self.image_ids[row] for row in image_rows])

    def subset(self, images: int, seed: int = 0) -> RetrievalDataset:
        """`images` of the images, drawn at random by `seed`, with all their captions; a smaller subset of the same seed is part of a larger one.

        Its name says how many images it has: numbers of galleries of different sizes must not be confused. It has no folds.
        """
        if not 0 < images <= len(self.image_ids):
            raise InputError(f"{self.name} {self.split}: a subset of {images} images was asked for, there are {len(self.image_ids)}")
        chosen = np.sort(np.random.default_rng([seed, 77]).permutation(len(self.image_ids))[:images])
        return replace(self._part(chosen), name=f"{self.name}_{images}")

    def merged(self, *others: RetrievalDataset) -> RetrievalDataset:
        """The same queries against a collection that also holds the images and captions of `others` (paper, Table 5)."""
        if self.folds:
            raise InputError(f"{self.name}: is searched in {self.folds} folds and cannot be merged with others; take the data set without folds")
        parts = [self, *others]
        image_ids = [image_id for part in parts for image_id in part.image_ids]
        for what, ids in (("image", image_ids), ("caption", [caption_id for part in parts for caption_id in part.caption_ids])):
            if len(set(ids)) < len(ids):
                twice = next(item for item, count in Counter(ids).items() if count > 1)
                raise InputError(f"{' + '.join(part.name for part in parts)}: {what} {twice!r} occurs in two of the merged data sets; where it is another "
                                 "one, give the manifest of one an image_prefix")  # fmt: skip
        pictures = {image_id: part.picture for part in parts for image_id in part.image_ids}
        return replace(self, name=" + ".join(part.name for part in parts), image_ids=image_ids, captions=[c for part in parts for c in part.captions],
                       regions=ChainMap(*[_as_dict(part.regions) for part in parts]), known_fits=None,
                       fingerprint=identity_hash([part.fingerprint for part in parts]), picture=lambda image_id: pictures[image_id](image_id),
                       query_images=self.query_images, query_captions=self.query_captions)


def _as_dict(mapping: Mapping[str, Regions]) -> dict[str, Regions]:
    """ChainMap asks for mutable mappings but only reads; region stores are read-only."""
    return mapping  # type: ignore[return-value]


def load_dataset(name_or_path: str | Path | Manifest, split: str = "test", languages: Sequence[str] = ("en",)) -> RetrievalDataset:
    """A split of a data set, by its manifest or that one's name or path; a generated one is made now, where it is not in the cache.

    Asked for again, it is the same object, as long as the files did not change that it is made of: do not change what its lists hold.
    Raises InputError for an unknown split or language, missing or damaged files, an image without captions, a caption of an unknown image.
    """
    manifest = name_or_path if isinstance(name_or_path, Manifest) else load_manifest(name_or_path)
    if split not in SPLITS:
        raise InputError(f"{manifest.name}: no split {split!r}; there are {', '.join(SPLITS)}")
    files = manifest.files
    if files and (missing := manifest.missing()):
        name = manifest.name if isinstance(name_or_path, Manifest) else name_or_path
        raise InputError(f"{manifest.data_dir() / missing[0]}: missing; `mmr data status {name}` says what {manifest.name} needs and how to get it")
    source = _stored(files, manifest.data_dir(), *_changes(files, manifest.data_dir())) if files else _generated(manifest)
    folds = files.folds if files and split == "test" else 0
    return _split(source, manifest.name, manifest.paper_dataset, folds, split, tuple(languages))


@lru_cache(maxsize=32)  # the same source is the same object
def _split(source: _Source, name: str, paper_dataset: str | None, folds: int, split: str, languages: tuple[str, ...]) -> RetrievalDataset:
    wanted = [caption for caption in source.captions if caption.split == split]
    present = sorted({caption.language for caption in wanted})
    absent = [language for language in languages if language not in present]
    if absent:
        raise InputError(f"{name}: no captions in {', '.join(absent)} in its {split} split; there are {', '.join(present) or 'none at all'}")
    split_of: dict[str, str] = {}
    seen: set[str] = set()
    for caption in source.captions:
        if caption.caption_id in seen:
            raise InputError(f"{name}: caption id {caption.caption_id!r} occurs twice; name each caption once")
        if split_of.setdefault(caption.image_id, caption.split) != caption.split:
            raise InputError(f"{name}: image {caption.image_id!r} is in the splits {split_of[caption.image_id]} and {caption.split}; keep it in one")
        seen.add(caption.caption_id)
    by_image: dict[str, list[Caption]] = {caption.image_id: [] for caption in wanted}
    bare = {image_id for image_id in by_image if image_id not in source.regions}
    for caption in wanted:
        if caption.image_id in bare:
            raise InputError(f"{name}: caption {caption.caption_id!r} is of image {caption.image_id!r}, which has no regions in "
                             f"{source.regions.folder}; prepare regions for it or take the caption out")
        if caption.language in languages:
            by_image[caption.image_id].append(caption)
    empty = [image_id for image_id, captions in by_image.items() if not captions]
    if empty:
        raise InputError(f"{name}: image {empty[0]!r} of its {split} split has no caption in {', '.join(languages)}"
                         f"{f' (and {len(empty) - 1} more)' if len(empty) > 1 else ''}; add captions or take the image out")
    return RetrievalDataset(name, split, list(by_image), [c for captions in by_image.values() for c in captions], source.regions,
                            identity_hash([source.fingerprint, folds]) if folds else source.fingerprint, source.picture, source.fits,
                            paper_dataset=paper_dataset, folds=folds)  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Source:
    """All splits of a data set, as read."""

    captions: list[Caption]
    regions: RegionStore | _Prefixed
    fingerprint: str
    picture: Callable[[str], Image | None]
    fits: Fits | None


def _generated(manifest: Manifest) -> _Source:
    assert manifest.generator is not None
    spec = manifest.generator
    identity = {"spec": spec.model_dump(mode="json"), "source": pictograms.source_identity()}
    folder = entry_folder("datasets", identity)
    if not (found := _stamps(sorted(folder.rglob("*")))) or _found_whole.get(folder) != found:
        cached("datasets", identity, lambda temporary: pictograms.build_world(spec, temporary))
        _found_whole[folder] = _stamps(sorted(folder.rglob("*")))
    return _read_generated(folder, identity_hash(identity))


_found_whole: dict[Path, Stamps] = {}  # generated worlds in the cache: to look at every byte each time would take longer than the ranking of a small gallery


def _stamps(files: Iterable[Path]) -> Stamps:
    return tuple((str(path), stamp(path)) for path in files)


@lru_cache(maxsize=8)
def _read_generated(folder: Path, fingerprint: str) -> _Source:
    facts = pictograms.WorldFacts(folder)
    return _Source(read_captions(folder / "captions.jsonl", "jsonl", ""), RegionStore(folder / "regions"), fingerprint, facts.picture, facts.fits)


def _changes(files: Files, folder: Path) -> Stamps:
    """Each file that the data set consists of, pictures aside."""
    return _stamps([*caption_files(files, folder), *store_files(folder / files.regions)])


@lru_cache(maxsize=8)
def _stored(files: Files, folder: Path, *changes: tuple[str, Stamp]) -> _Source:
    captions = stored_captions(files, folder)
    store = RegionStore(folder / files.regions)
    regions = _Prefixed(store, files.image_prefix) if files.image_prefix else store
    pictures = photographs(folder / files.pictures if files.pictures else None, files.image_prefix)
    return _Source(captions, regions, fingerprint(files, folder), pictures, None)


def stored_captions(files: Files, folder: Path) -> list[Caption]:
    """All captions of a stored data set, from its caption files below `folder`, in their order. Raises InputError as read_captions does."""
    captions = [caption for file in files.captions for caption in _read(folder, file)]
    prefix = files.image_prefix
    return [replace(c, caption_id=prefix + c.caption_id, image_id=prefix + c.image_id) for c in captions] if prefix else captions


def _read(folder: Path, file: CaptionFile) -> list[Caption]:
    images = folder / file.images if file.images else None
    return read_captions(folder / file.path, file.format, file.language, split=file.split or "", images=images, image_id=file.image_id, number=file.number)


class _Prefixed(Mapping[str, Regions]):
    """A region store whose image ids have a prefix that its files do not have."""

    def __init__(self, store: RegionStore, prefix: str) -> None:
        self.store, self.prefix, self.folder = store, prefix, store.folder

    def __getitem__(self, image_id: str) -> Regions:
        if not image_id.startswith(self.prefix):
            raise KeyError(image_id)
        return self.store[image_id.removeprefix(self.prefix)]

    def __contains__(self, image_id: object) -> bool:
        return isinstance(image_id, str) and image_id.startswith(self.prefix) and image_id.removeprefix(self.prefix) in self.store

    def __iter__(self) -> Iterator[str]:
        return (self.prefix + image_id for image_id in self.store)

    def __len__(self) -> int:
        return len(self.store)


def photographs(folder: Path | None, prefix: str = "") -> Callable[[str], Image | None]:
    """A function image id -> photograph of `folder`, under the id (without `prefix`) or the id with .jpg, or None where there is none."""

    def picture(image_id: str) -> Image | None:
        name = image_id.removeprefix(prefix)
        for path in (folder / name, folder / f"{name}.jpg") if folder else ():
            if path.parent == folder and path.is_file():
                try:
                    return open_picture(path)
                except PictureFault as fault:
                    raise InputError(f"{path}: {fault}; copy the picture again, or take it away") from None
        return None

    return picture
