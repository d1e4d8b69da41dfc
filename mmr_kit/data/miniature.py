"""A generated miniature of the paper's data sets in their original file layouts: every line of code that the real ones need, in seconds.

Pictogram scenes stand in for photographs; region features are padded with zeros to the 2048 values that the layouts demand.
"""

from __future__ import annotations

import base64
import csv
import io
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmr_kit.cache import atomic_write
from mmr_kit.data.datasets import load_dataset
from mmr_kit.data.manifests import Manifest
from mmr_kit.data.pictograms import WorldSpec
from mmr_kit.data.pictograms.scenes import CANVAS
from mmr_kit.data.pictograms.world import SplitName

WIDTH = 2048
SIZES: dict[SplitName, int] = {"train": 120, "dev": 30, "test": 60}
COCO = WorldSpec(domain="a", seed=11, sizes=SIZES, captions={"en": 5})
FLICKR = WorldSpec(domain="b", seed=12, sizes=SIZES, captions={"en": 5, "de": 5, "fr": 1, "cs": 1}, unlike=(COCO,))
WEB = WorldSpec(domain="pool", seed=13, sizes={"test": 60}, captions={"en": 1}, unlike=(COCO, FLICKR))
OSCAR_SPLITS = {"train": "train", "dev": "minival", "test": "test"}
KARPATHY_SPLITS = {"train": "train", "dev": "val", "test": "test"}
TASK1 = {"train": ("train", "train"), "dev": ("val", "val"), "test": ("test_2016_flickr", "test_2016_flickr")}  # of captions and of lists of images
TASK2 = {"train": ("train", "train_images"), "dev": ("val", "val_images"), "test": ("test_2016", "test_2016_images")}


@dataclass(frozen=True)
class _Image:
    """One image: number, split, captions by language, regions with boxes in pixels (x1, y1, x2, y2), picture."""

    number: int
    split: str
    texts: Mapping[str, list[str]]
    features: np.ndarray
    boxes: np.ndarray
    picture: Any


def write_miniature(folder: Path, *more: Callable[[Path, list[str]], None]) -> None:
    """Write MSCOCO (OSCAR's files, and Karpathy's with bottom-up tsv), Flickr30k, Multi30k and Conceptual Captions into `folder`, new or empty; a data folder
    on which their manifests work, but for the counts. Complete or not at all.

    more: writers of what else belongs into it; they are called in turn with the unfinished folder and all captions.
    """
    folder = folder.resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        coco, flickr, web = (list(_images(spec, start)) for spec, start in ((COCO, 100_000), (FLICKR, 1_000_092_795), (WEB, 1)))
        _write_oscar(temporary / "mscoco", coco)
        _write_karpathy(temporary / "mscoco", coco)
        _write_flickr30k(temporary / "flickr30k", flickr)
        _write_multi30k(temporary / "multi30k", flickr)
        _write_conceptual_captions(temporary / "conceptual_captions", web)
        texts = [text for image in (*coco, *flickr, *web) for of_language in image.texts.values() for text in of_language]
        for write in more:
            write(temporary, texts)
        temporary.chmod(0o755)
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _images(spec: WorldSpec, start: int) -> Iterator[_Image]:
    """All images of a world, numbered from `start`."""
    world = Manifest(name=f"miniature_{spec.domain}", title="", licence="", source="", generator=spec)
    for split in spec.sizes:
        dataset = load_dataset(world, split, list(spec.captions))
        texts: dict[str, dict[str, list[str]]] = {image_id: {language: [] for language in spec.captions} for image_id in dataset.image_ids}
        for caption in dataset.captions:
            texts[caption.image_id][caption.language].append(caption.text)
        for number, (image_id, told) in enumerate(texts.items(), start):
            regions = dataset.regions[image_id]
            features = np.pad(regions.features, ((0, 0), (0, WIDTH - regions.features.shape[1])))
            yield _Image(number, split, told, features, regions.boxes * CANVAS, dataset.picture(image_id))
        start += len(texts)


def _write_oscar(folder: Path, images: list[_Image]) -> None:
    """<split>_captions.pt, _img_keys.tsv and _img_frcnn_feats.pt: 2048 features, then x1, y1, x2, y2, w, h as shares a region."""
    for split, name in OSCAR_SPLITS.items():
        some = [image for image in images if image.split == split]
        captions = {image.number: json.dumps(image.texts["en"]) if split == "test" else image.texts["en"] for image in some}
        _save(folder / f"{name}_captions.pt", captions)
        _save(folder / f"{name}_img_frcnn_feats.pt", {image.number: _oscar_regions(image) for image in some})
        _lines(folder / f"{name}_img_keys.tsv", (image.number for image in some))
    _lines(folder / "test_img_keys_1k.tsv", (image.number for image in some[: len(some) // 2]))


def _oscar_regions(image: _Image) -> Any:
    import torch

    shares = image.boxes / CANVAS
    return torch.from_numpy(np.hstack([image.features, shares, shares[:, 2:] - shares[:, :2]]).astype(np.float32))


def _write_karpathy(folder: Path, images: list[_Image]) -> None:
    """dataset_coco.json, and bottom-up attention's features in trainval/."""
    listed = [{"filename": f"COCO_val2014_{image.number:012d}.jpg", "filepath": "val2014", "cocoid": image.number, "split": KARPATHY_SPLITS[image.split],
               "sentences": [{"raw": text, "tokens": text.lower().split()} for text in image.texts["en"]]} for image in images]  # fmt: skip
    atomic_write(folder / "dataset_coco.json", json.dumps({"images": listed, "dataset": "coco"}))
    _write_tsvs(folder / "trainval", images, "karpathy_{}_resnet101_faster_rcnn_genome.tsv", ("train", ".0"), ("train", ".1"), ("val", ""), ("test", ""))


def _write_flickr30k(folder: Path, images: list[_Image]) -> None:
    """Flickr30k Entities' Sentences and lists, bottom-up attention's features in parts, pictures."""
    (folder / "images").mkdir(parents=True)
    for image in images:
        _lines(folder / "Sentences" / f"{image.number}.txt", (_marked(text, number) for number, text in enumerate(image.texts["en"])))
        image.picture.save(folder / "images" / f"{image.number}.jpg", quality=95)
    for split, name in KARPATHY_SPLITS.items():
        _lines(folder / f"{name}.txt", (image.number for image in images if image.split == split))
    name = "{}_flickr30k_resnet101_faster_rcnn_genome.tsv"
    _write_tsvs(folder / "features", images, name, ("train", ".1"), ("train", ".2"), ("val", ".3"), ("test", ".3"))


def _marked(text: str, number: int) -> str:
    """A caption whose first noun phrase is marked as Flickr30k Entities marks it."""
    return re.sub(r"^(\S+(?: \S+){1,2})", rf"[/EN#{number + 1}/other \1]", text)


def _write_multi30k(folder: Path, images: list[_Image]) -> None:
    """Task 1 (a caption an image, four languages) and task 2 (five, English and German), and M3P's features, one .pt an image."""
    for task, names, languages in (("task1", TASK1, ("en", "de", "fr", "cs")), ("task2", TASK2, ("en", "de"))):
        for split, (captions, listed) in names.items():
            some = [image for image in images if image.split == split]
            _lines(folder / task / "image_splits" / f"{listed}.txt", (f"{image.number}.jpg" for image in some))
            for language in languages:
                for number in range(5 if task == "task2" else 1):
                    name = f"{captions}.{number + 1}.{language}" if task == "task2" else f"{captions}.{language}"
                    _lines(folder / task / "raw" / name, (image.texts[language][number] for image in some))
    for image in images:
        content = {"features": image.features, "boxes": image.boxes, "num_boxes": len(image.boxes), "img_h": CANVAS, "img_w": CANVAS}
        _save(folder / "features_m3p" / f"{image.number}.pt", content)


def _write_conceptual_captions(folder: Path, images: list[_Image]) -> None:
    """cc_test.tsv, and bottom-up attention's features, one .npz an image."""
    table = io.StringIO()
    csv.writer(table, delimiter="\t").writerows([("caption", "image_id"), *((image.texts["en"][0], image.number) for image in images)])
    atomic_write(folder / "cc_test.tsv", table.getvalue())
    (folder / "features_test").mkdir()
    for image in images:
        count, side = np.array(len(image.boxes)), np.array(CANVAS)
        np.savez(folder / "features_test" / f"{image.number}.npz", x=image.features, bbox=image.boxes, num_bbox=count, image_h=side, image_w=side)


def _write_tsvs(folder: Path, images: list[_Image], pattern: str, *parts: tuple[str, str]) -> None:
    """Bottom-up attention's layout, a file a part (split, ending): id, width, height, number of boxes, boxes in pixels and features as base64 of float32."""
    for place, (name, ending) in enumerate(parts):
        some = [image for image in images if KARPATHY_SPLITS[image.split] == name]
        of_split = [number for number, (other, _) in enumerate(parts) if other == name]
        rows = ((image.number, CANVAS, CANVAS, len(image.boxes), _base64(image.boxes), _base64(image.features))
                for image in some[of_split.index(place) :: len(of_split)])  # fmt: skip
        _lines(folder / (pattern.format(name) + ending), ("\t".join(map(str, row)) for row in rows))


def _base64(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array, dtype="<f4").tobytes()).decode()


def _lines(path: Path, lines: Iterable[object]) -> None:
    atomic_write(path, "".join(f"{line}\n" for line in lines))


def _save(path: Path, content: object) -> None:
    import torch

    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)
