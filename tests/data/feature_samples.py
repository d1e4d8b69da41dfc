"""Feature files of each published layout, generated: what the tests of their readers start from."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from mmr_kit.data.feature_values import Image
from mmr_kit.data.regions import Regions

WIDTH, SIZE = 5, (48, 64)  # values a region; height and width of every image
IDS = ("1000092795", "COCO_val2014_000000391895", "a.b-c_ü")


def sample_images(ids: Sequence[str] = IDS, seed: int = 0) -> list[Image]:
    """2, 3, 4, 2, ... regions; whole pixels, so that every layout gives the same shares."""
    rng, images = np.random.default_rng(seed), []
    for number, image_id in enumerate(ids):
        count = 2 + number % 3
        corners = np.sort(rng.integers(0, 48, size=(count, 2, 2)), axis=1).reshape(count, 4).astype(np.float32)
        images.append(Image(image_id, SIZE, Regions(rng.normal(size=(count, WIDTH)).astype(np.float32), corners / np.array([64, 48, 64, 48], np.float32))))
    return images


def pixels(image: Image) -> np.ndarray:
    return (image.regions.boxes * np.array([64, 48, 64, 48], np.float32)).astype(np.float32)


def joined(image: Image) -> np.ndarray:
    boxes = image.regions.boxes
    return np.concatenate([image.regions.features, boxes, boxes[:, 2:] - boxes[:, :2]], axis=1)


def b64(values: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(values, "<f4").tobytes()).decode()


def bottom_up_row(image: Image) -> str:
    height, width = image.image_hw
    return f"{image.image_id}\t{width}\t{height}\t{len(image.regions.boxes)}\t{b64(pixels(image))}\t{b64(image.regions.features)}\n"


def vinvl_row(image: Image) -> str:
    return f"{image.image_id}\t{json.dumps({'num_boxes': len(image.regions.boxes), 'features': b64(joined(image))})}\n"


def vinvl_plain_row(image: Image) -> str:
    return f"{image.image_id}\t{len(image.regions.boxes)}\t{b64(joined(image))}\n"


def write_lines(path: Path, rows: list[str]) -> Path:
    path.write_text("".join(rows), encoding="utf-8")
    return path


def write_npz(folder: Path, images: list[Image]) -> Path:
    folder.mkdir()
    for number, image in enumerate(images):
        save = np.savez if number % 2 else np.savez_compressed
        save(folder / f"{image.image_id}.npz", x=image.regions.features, bbox=pixels(image), num_bbox=len(image.regions.boxes), image_h=48, image_w=64)
    return folder


def write_m3p(folder: Path, images: list[Image]) -> Path:
    folder.mkdir()
    for image in images:
        torch.save({"features": image.regions.features, "boxes": pixels(image), "num_boxes": len(image.regions.boxes), "objects": np.arange(3),
                    "img_h": 48, "img_w": np.int64(64)}, folder / f"{image.image_id}.pt")  # fmt: skip
    return folder


def write_oscar(path: Path, images: list[Image]) -> Path:
    torch.save({image.image_id: torch.from_numpy(joined(image)) for image in images}, path)
    return path


# format: writes the images, whether sizes are in the files, and gives the source
WRITERS: dict[str, Callable[[Path, list[Image]], Path]] = {
    "bottom_up_tsv": lambda folder, images: write_lines(folder / "obj.tsv", [bottom_up_row(image) for image in images]),
    "vinvl_tsv": lambda folder, images: write_lines(folder / "features.tsv", [vinvl_row(image) for image in images]),
    "oscar_pt": lambda folder, images: write_oscar(folder / "feats.pt", images),
    "npz": lambda folder, images: write_npz(folder / "npz", images),
    "m3p_pt": lambda folder, images: write_m3p(folder / "m3p", images),
}
