"""Region features of photographs: boxes, averages over maps, raw patches, and stores that are the same however often the extraction was stopped.

Box averages are compared with a plain loop on 40 random maps; MMR_FUZZ_EXAMPLES=1000 for the full number.
"""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers as hf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mmr_kit.data.pictures import Skipped
from mmr_kit.data.regions import RegionStore
from mmr_kit.data.store_writer import StoreWriter
from mmr_kit.errors import InputError
from mmr_kit.models.extraction import store as extraction_store
from mmr_kit.models.extraction.detectors import Detector
from mmr_kit.models.extraction.encoders import Encoder, average
from mmr_kit.models.extraction.regions import PLAIN_SIDE, WHOLE, grid_boxes, patch_regions, plain_values
from mmr_kit.models.extraction.store import Extraction, extract_features

EXAMPLES = int(os.environ.get("MMR_FUZZ_EXAMPLES", "40"))
CPU = torch.device("cpu")
SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
TOWER = {**SMALL, "image_size": 32, "patch_size": 8}
RESNET = {"embedding_size": 8, "layer_type": "basic"}
RTDETR = {
    "backbone_config": hf.RTDetrResNetConfig(hidden_sizes=[8, 8, 16, 16], depths=[1] * 4, out_features=["stage2", "stage3", "stage4"], **RESNET),
    "encoder_in_channels": [8, 16, 16], "decoder_in_channels": [16] * 3, "encoder_hidden_dim": 16, "encoder_ffn_dim": 16, "encoder_attention_heads": 2,
    "d_model": 16, "num_queries": 6, "decoder_layers": 1, "decoder_ffn_dim": 16, "decoder_attention_heads": 2, "decoder_n_points": 2, "num_denoising": 0,
}  # fmt: skip
TEXT = {**SMALL, "vocab_size": 30}
SQUARE = {"height": 32, "width": 32}

Checkpoint = tuple[Callable[[], hf.PreTrainedModel], Callable[[], object]]
ENCODERS: dict[str, tuple[Checkpoint, int]] = {  # name: (model and image processor, rows and columns of its map)
    "vit": ((lambda: hf.ViTModel(hf.ViTConfig(**TOWER)), lambda: hf.ViTImageProcessor(size=SQUARE)), 4),
    "clip vision": ((lambda: hf.CLIPVisionModel(hf.CLIPVisionConfig(**TOWER)), lambda: hf.CLIPImageProcessor(size={"shortest_edge": 40}, crop_size=32)), 4),
    "clip": ((lambda: hf.CLIPModel(hf.CLIPConfig(vision_config=TOWER, text_config=TEXT)), lambda: hf.CLIPImageProcessor(crop_size=SQUARE)), 4),
    "siglip": ((lambda: hf.SiglipModel(hf.SiglipConfig(vision_config=TOWER, text_config=TEXT)), lambda: hf.SiglipImageProcessor(size=SQUARE)), 4),
    "dino with registers": ((lambda: hf.Dinov2WithRegistersModel(hf.Dinov2WithRegistersConfig(**(TOWER | {"image_size": 48}))),
                             lambda: hf.BitImageProcessor(size={"shortest_edge": 40}, crop_size=SQUARE)), 4),
    "resnet": ((lambda: hf.ResNetModel(hf.ResNetConfig(hidden_sizes=[8, 16], depths=[1, 1], **RESNET)),
                lambda: hf.ConvNextImageProcessor(size={"shortest_edge": 64})), 8),
    "swin": ((lambda: hf.SwinModel(hf.SwinConfig(image_size=32, patch_size=2, embed_dim=8, depths=[1, 1], num_heads=[2, 2], window_size=4)),
              lambda: hf.ViTImageProcessor(size=SQUARE)), 8),
}  # fmt: skip
DETECTORS: dict[str, Checkpoint] = {
    "yolos": (lambda: hf.YolosForObjectDetection(hf.YolosConfig(**SMALL, image_size=[32, 48], patch_size=8, num_detection_tokens=7, num_labels=3,
                                                                initializer_range=0.3)),
              lambda: hf.YolosImageProcessor(size={"shortest_edge": 32, "longest_edge": 48})),
    "rtdetr": (lambda: hf.RTDetrForObjectDetection(hf.RTDetrConfig(**RTDETR)), lambda: hf.RTDetrImageProcessor(size={"height": 64, "width": 64})),
}  # fmt: skip


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Folder of a tiny random checkpoint of ENCODERS or DETECTORS."""
    root = tmp_path_factory.mktemp("checkpoints")

    def make(name: str) -> str:
        folder = root / name
        if not folder.exists():
            model, processor = ENCODERS[name][0] if name in ENCODERS else DETECTORS[name]
            torch.manual_seed(0)
            model().save_pretrained(folder)
            processor().save_pretrained(folder)  # type: ignore[attr-defined]
        return str(folder)

    return make


def draw(folder: Path, count: int = 7, size: tuple[int, int] = (60, 40)) -> Path:
    """So many pictures of noise, in colours that differ."""
    folder.mkdir()
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 256, (size[1] // 10, size[0] // 10, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize(size).save(folder / f"{number}.png")
    return folder


# -- regions that need no model ---------------------------------------------------------------------------------------------------------------


def test_grid_goes_row_by_row() -> None:
    assert np.allclose(grid_boxes(2), [[0, 0, 0.5, 0.5], [0.5, 0, 1, 0.5], [0, 0.5, 0.5, 1], [0.5, 0.5, 1, 1]])
    assert np.allclose(grid_boxes(1), WHOLE)


def test_plain_values_are_means_in_channel_row_column_order() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 64, 3), dtype=np.uint8)
    found = plain_values(Image.fromarray(pixels), np.array([[0, 0, 1, 1], [0.5, 0, 1, 0.5]], dtype=np.float32))
    whole = pixels.reshape(8, 4, 8, 8, 3).mean(axis=(1, 3)).transpose(2, 0, 1).ravel() / 255
    corner = pixels[:16, 32:].reshape(8, 2, 8, 4, 3).mean(axis=(1, 3)).transpose(2, 0, 1).ravel() / 255
    assert found.shape == (2, 3 * PLAIN_SIDE**2)
    assert np.abs(found - [whole, corner]).max() < 1.01 / 255, "rows and columns are rounded one after the other"


def test_patches_are_pixels_in_channel_row_column_order() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    patches = patch_regions(Image.fromarray(pixels), 4, 12)
    assert (patches.features.shape, patches.features.dtype) == ((9, 48), np.float32)
    for number, (features, box) in enumerate(zip(patches.features, patches.boxes, strict=True)):
        row, column = divmod(number, 3)
        assert np.array_equal(features, pixels[row * 4 :, column * 4 :][:4, :4].transpose(2, 0, 1).ravel().astype(np.float32) / 255)
        assert np.allclose(box, [column / 3, row / 3, (column + 1) / 3, (row + 1) / 3])


def test_patches_put_together_again_are_what_a_convolution_sees() -> None:
    """The linear layer over a patch's values is the patch embedding of ViT, ViLT and CLIP."""
    picture = Image.fromarray(np.random.default_rng(1).integers(0, 256, (50, 70, 3), dtype=np.uint8))
    patches = patch_regions(picture, 8, 32)
    convolution = torch.nn.Conv2d(3, 5, kernel_size=8, stride=8)
    whole = torch.from_numpy(np.asarray(picture.resize((32, 32), Image.Resampling.BICUBIC), dtype=np.float32).transpose(2, 0, 1) / 255)
    linear = torch.nn.functional.linear(torch.from_numpy(patches.features), convolution.weight.flatten(1), convolution.bias)
    assert torch.allclose(linear, convolution(whole[None]).flatten(2)[0].T, atol=1e-5)


# -- maps and boxes ---------------------------------------------------------------------------------------------------------------------------


def average_by_loop(features: np.ndarray, box: list[float]) -> np.ndarray:
    """Mean of a map (width, rows, columns) over a box, cell by cell."""
    width, rows, columns = features.shape
    total, weights = np.zeros(width), 0.0
    for row in range(rows):
        for column in range(columns):
            high = min(box[3], (row + 1) / rows) - max(box[1], row / rows)
            wide = min(box[2], (column + 1) / columns) - max(box[0], column / columns)
            if high > 0 and wide > 0:
                total += features[:, row, column] * high * wide
                weights += high * wide
    return total / weights


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.integers(1, 5), st.integers(1, 5), st.lists(st.tuples(*[st.floats(0, 0.99), st.floats(0.01, 1)] * 2), min_size=1, max_size=3), st.integers(0, 99))
def test_average_is_that_of_a_plain_loop(rows: int, columns: int, drawn: list[tuple[float, float, float, float]], seed: int) -> None:
    boxes = [[x, y, x + max(wide * (1 - x), 0.001), y + max(high * (1 - y), 0.001)] for x, wide, y, high in drawn]
    features = np.random.default_rng(seed).normal(size=(3, rows, columns))
    found = average(torch.from_numpy(features), torch.tensor(boxes, dtype=torch.float64))
    assert np.allclose(found, [average_by_loop(features, box) for box in boxes], atol=1e-6)


@pytest.mark.parametrize("name", ENCODERS)
def test_maps_show_what_is_where(checkpoint: Callable[[str], str], name: str) -> None:
    """Cell (r, c) of the map is the token of patch (r, c): changing the pixels there changes it more than any other cell (of a CNN: than any far from it)."""
    encoder, side = Encoder(checkpoint(name), CPU), ENCODERS[name][1]
    pixels = encoder.prepare(Image.new("RGB", (60, 40), (90, 120, 30)))
    assert pixels.shape == (3, encoder.side, encoder.side)
    before = encoder.maps(pixels[None])
    assert before.shape == (1, 16, side, side)
    cell = encoder.side // side
    for row, column in ((0, 0), (1, side - 1), (side - 1, 1)):
        changed = pixels.clone()
        changed[:, row * cell : (row + 1) * cell, column * cell : (column + 1) * cell] += torch.linspace(-3, 3, 3)[:, None, None]
        difference = (encoder.maps(changed[None]) - before)[0].norm(dim=0)
        found = np.array(divmod(int(difference.argmax()), side))
        assert np.abs(found - [row, column]).max() <= (name == "resnet")


def test_the_whole_picture_is_on_the_map(checkpoint: Callable[[str], str]) -> None:
    """The processor of CLIP crops the middle; the map must show the edges, too."""
    encoder = Encoder(checkpoint("clip vision"), CPU)
    picture = Image.new("RGB", (200, 40))
    picture.paste((255, 255, 255), (0, 0, 10, 40))
    plain, edged = encoder.prepare(Image.new("RGB", (200, 40))), encoder.prepare(picture)
    assert not torch.equal(plain, edged)
    assert torch.allclose(plain[:, :, 16:], edged[:, :, 16:], atol=0.1)


def test_encoder_normalises_as_its_processor_says(checkpoint: Callable[[str], str]) -> None:
    encoder = Encoder(checkpoint("clip vision"), CPU)
    pixels = encoder.prepare(Image.new("RGB", (32, 32), (255, 0, 51)))
    mean, std = torch.tensor(encoder.processor.image_mean), torch.tensor(encoder.processor.image_std)
    assert torch.allclose(pixels[:, 7, 9], (torch.tensor([1, 0, 0.2]) - mean) / std, atol=1e-5)


@pytest.mark.parametrize("name", DETECTORS)
def test_detectors_boxes(checkpoint: Callable[[str], str], name: str) -> None:
    """Best first, no more than asked for, in the picture, and none below the threshold; of each picture whatever stands beside it."""
    pictures = [Image.fromarray(np.random.default_rng(n).integers(0, 256, (40, 60 - 20 * (n == 1), 3), dtype=np.uint8)) for n in range(3)]
    detector = Detector(checkpoint(name), 0.0, 100, CPU)
    prepared = [detector.prepare(picture) for picture in pictures]
    together = detector.boxes(prepared)
    for picture, boxes in zip(prepared, together, strict=True):
        outputs = detector.model(pixel_values=picture[None])
        scores = detector.processor.post_process_object_detection(outputs, threshold=0.0, target_sizes=[(1, 1)])[0]
        order = torch.argsort(scores["scores"], descending=True, stable=True)
        expected = scores["boxes"][order].clamp(0, 1)
        large = ((expected[:, 2:] - expected[:, :2]) >= 1e-3).all(dim=1)
        assert 0 < len(boxes) == int(large.sum())
        assert np.allclose(boxes, expected[large].detach(), atol=1e-4)
        assert boxes.min() >= 0
        assert boxes.max() <= 1
    few = Detector(checkpoint(name), 0.0, 2, CPU).boxes(prepared)
    assert all(np.array_equal(boxes, all_of_them[:2]) for boxes, all_of_them in zip(few, together, strict=True))
    assert [len(boxes) for boxes in Detector(checkpoint(name), 1.0, 100, CPU).boxes(prepared)] == [0, 0, 0]


# -- stores -----------------------------------------------------------------------------------------------------------------------------------


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_store_of_a_grid(tmp_path: Path) -> None:
    pictures = draw(tmp_path / "pictures")
    assert extract_features(pictures, tmp_path / "store", Extraction(grid=2, precision="float32", batch_size=3)) == []
    store = RegionStore(tmp_path / "store")
    assert store.image_ids == [f"{number}.png" for number in range(7)]
    boxes = np.concatenate([WHOLE, grid_boxes(2)])
    for image_id in store:
        assert np.array_equal(store[image_id].boxes, boxes)
        assert np.array_equal(store[image_id].features, plain_values(Image.open(pictures / image_id), boxes))
    assert json.loads((tmp_path / "store" / "images.json").read_text())["image_hw"] == [[40, 60]] * 7
    assert (tmp_path / "store" / "skipped.csv").read_text() == "name,reason\n"
    assert json.loads((tmp_path / "store" / "extraction.json").read_text())["extraction"]["grid"] == 2


def test_a_store_of_a_detector_and_an_encoder(tmp_path: Path, checkpoint: Callable[[str], str]) -> None:
    pictures = draw(tmp_path / "pictures", 3)
    how = Extraction(detector=checkpoint("yolos"), threshold=0.0, most_boxes=2, encoder=checkpoint("vit"), precision="float32")
    extract_features(pictures, tmp_path / "store", how)
    store, detector, encoder = RegionStore(tmp_path / "store"), Detector(how.detector, 0.0, 2, CPU), Encoder(how.encoder, CPU)
    for image_id in store:
        picture = Image.open(pictures / image_id).convert("RGB")
        boxes = np.concatenate([WHOLE, *detector.boxes([detector.prepare(picture)])])
        assert len(boxes) == 3
        features = encoder.maps(encoder.prepare(picture)[None])[0].detach().numpy()
        assert np.allclose(store[image_id].boxes, boxes, atol=1e-5)
        assert np.allclose(store[image_id].features, [average_by_loop(features, box) for box in boxes.tolist()], atol=1e-4)
        assert np.allclose(store[image_id].features[0], features.mean(axis=(1, 2)), atol=1e-4), "the whole picture comes first"


def test_a_store_of_raw_patches(tmp_path: Path) -> None:
    pictures = draw(tmp_path / "pictures", 2)
    extract_features(pictures, tmp_path / "store", Extraction(patches=16, size=32))
    store = RegionStore(tmp_path / "store")
    assert store.width == 3 * 16**2
    expected = patch_regions(Image.open(pictures / "1.png"), 16, 32)
    assert np.array_equal(store["1.png"].boxes, expected.boxes)
    assert np.abs(store["1.png"].features - expected.features).max() <= 2**-12, "float16"


def test_a_detector_that_finds_nothing_leaves_the_whole_picture(tmp_path: Path, checkpoint: Callable[[str], str]) -> None:
    extract_features(draw(tmp_path / "pictures", 2), tmp_path / "store", Extraction(detector=checkpoint("rtdetr"), threshold=1.0))
    assert np.array_equal(RegionStore(tmp_path / "store")["0.png"].boxes, WHOLE)


def break_some(pictures: Path) -> list[Skipped]:
    (pictures / "1.png").write_bytes((pictures / "1.png").read_bytes()[:-40])
    (pictures / "4.png").write_bytes(b"")
    (pictures / "text.jpg").write_text("no picture")
    (pictures / "sub").mkdir()
    (pictures / "sub" / "x.jpg").write_bytes(b"x")
    return [Skipped("sub/x.jpg", "lies in a subfolder; move it up"), Skipped("1.png", "broken: "), Skipped("4.png", "empty file"),
            Skipped("text.jpg", "not a picture of a known kind")]  # fmt: skip


def test_broken_pictures_are_left_out_and_told(tmp_path: Path) -> None:
    pictures = draw(tmp_path / "pictures")
    expected = break_some(pictures)
    skipped = extract_features(pictures, tmp_path / "store", Extraction(batch_size=3))
    assert [file.name for file in skipped] == [file.name for file in expected]
    assert all(file.reason.startswith(said.reason) for file, said in zip(skipped, expected, strict=True))
    assert RegionStore(tmp_path / "store").image_ids == ["0.png", "2.png", "3.png", "5.png", "6.png"]
    with open(tmp_path / "store" / "skipped.csv", newline="") as file:
        assert [tuple(row) for row in csv.reader(file)] == [("name", "reason"), *((f"./{name}", reason) for name, reason in skipped)]


def test_a_file_name_is_no_formula(tmp_path: Path) -> None:
    """What a spreadsheet would compute when it opens skipped.csv; read back it is the name again."""
    pictures = draw(tmp_path / "pictures")
    for name in ("=cmd.jpg", "-1+1.jpg", "@SUM(1).jpg"):
        (pictures / name).write_bytes(b"")
    skipped = [extract_features(pictures, tmp_path / "store", Extraction(batch_size=3)) for _ in range(2)]
    assert skipped[0] == skipped[1]
    assert {file.name for file in skipped[0]} == {"=cmd.jpg", "-1+1.jpg", "@SUM(1).jpg"}
    assert not [line for line in (tmp_path / "store" / "skipped.csv").read_text().splitlines() if line.lstrip('"')[:1] in ("=", "+", "-", "@")]


@pytest.mark.slow
def test_several_processes_make_the_same_store(tmp_path: Path, checkpoint: Callable[[str], str]) -> None:
    """Some of whose batches hold broken pictures; in the last turn one process has none."""
    pictures = draw(tmp_path / "pictures", 13)
    break_some(pictures)
    options = ["features", "extract", str(pictures), "--grid", "2", "--encoder", checkpoint("vit"), "--batch-size", "3"]
    alone, together = tmp_path / "alone", tmp_path / "together"
    torchrun = ["torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1", "--nproc-per-node", "2", "-m"]
    for start, store in (([], alone), (torchrun, together), (torchrun, together)):  # the third time it is there already
        done = subprocess.run([sys.executable, "-m", *start, "mmr_kit.cli", *options, "--output", str(store)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count(str(store)) == 1, "one process talks"
    assert files_of(alone) == files_of(together)


def test_pictures_without_room_are_taken_in_smaller_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, checkpoint: Callable[[str], str]) -> None:
    """The store has the same regions, and its record says so; one picture that has no room alone is an error."""
    pictures, how = draw(tmp_path / "pictures", 6), Extraction(encoder=checkpoint("vit"), grid=2, batch_size=5, precision="float32")
    extract_features(pictures, tmp_path / "whole", how)
    assert "incidents" not in json.loads((tmp_path / "whole" / "extraction.json").read_text())
    features, room = Encoder.features, 2

    def narrow(self: Encoder, prepared: list[torch.Tensor], boxes: list[np.ndarray]) -> list[np.ndarray]:
        if len(prepared) > room:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes.")
        return features(self, prepared, boxes)

    monkeypatch.setattr(Encoder, "features", narrow)
    extract_features(pictures, tmp_path / "store", how)
    whole, store = RegionStore(tmp_path / "whole"), RegionStore(tmp_path / "store")
    assert store.image_ids == whole.image_ids
    assert all(np.allclose(store[image_id].features, whole[image_id].features, atol=1e-5) for image_id in whole)
    record = json.loads((tmp_path / "store" / "extraction.json").read_text())
    assert record["incidents"] == ["out of memory: 2 batches were split"], "five pictures into two and three, and these once more"
    room = 0
    with pytest.raises(InputError, match="out of memory on a single picture"):
        extract_features(pictures, tmp_path / "none", how)


class Killed(BaseException):
    """What ends a process."""


def killed_after(images: int, monkeypatch: pytest.MonkeyPatch, pictures: Path, store: Path, how: Extraction) -> None:
    """An extraction whose process ends when it has written so many images."""
    add, added = StoreWriter.add, []

    def dies(writer: StoreWriter, *arguments: object, **options: object) -> None:
        if len(added) == images:
            raise Killed
        added.append(arguments[0])
        add(writer, *arguments, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(StoreWriter, "add", dies)
        patched.setattr("mmr_kit.data.store_writer.BATCH_SECONDS", 0.0)  # every image is made safe at once
        with pytest.raises(Killed):
            extract_features(pictures, store, how)


@pytest.mark.parametrize("after", range(1, 6))
def test_killed_and_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, checkpoint: Callable[[str], str], after: int) -> None:
    """It gives the same store; killed after so many images, in the middle of a batch, too. The second run does not read again what is safe."""
    pictures = draw(tmp_path / "pictures", 8)
    break_some(pictures)
    how = Extraction(encoder=checkpoint("vit"), grid=2, batch_size=3)
    whole = extract_features(pictures, tmp_path / "whole", how)
    assert len(RegionStore(tmp_path / "whole")) == 6
    killed_after(after, monkeypatch, pictures, tmp_path / "store", how)
    assert not (tmp_path / "store").exists()
    with open(tmp_path / "store.partial" / "skipped.jsonl", "a") as log:
        log.write("[4, \"4.p")  # cut off while it was written
    read: list[str] = []
    opened = extraction_store.open_picture
    monkeypatch.setattr(extraction_store, "open_picture", lambda path: (read.append(path.name), opened(path))[1])
    assert extract_features(pictures, tmp_path / "store", how) == whole
    assert files_of(tmp_path / "store") == files_of(tmp_path / "whole")
    assert not (tmp_path / "store.partial").exists()
    assert ("0.png" in read) == (after < 2), "1.png is broken: the second image is in the first batch still, the third in the second"


@pytest.mark.parametrize("change", ["extraction", "picture"])
def test_what_another_extraction_left_is_not_taken_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    pictures, how = draw(tmp_path / "pictures", 4), Extraction(grid=2, batch_size=2)
    killed_after(2, monkeypatch, pictures, tmp_path / "store", how)
    if change == "picture":
        Image.new("RGB", (5, 5), "red").save(pictures / "0.png")
    else:
        how = Extraction(grid=1, batch_size=2)
    extract_features(pictures, tmp_path / "store", how)
    extract_features(pictures, tmp_path / "whole", how)
    assert files_of(tmp_path / "store") == files_of(tmp_path / "whole")


def test_a_finished_store_stays(tmp_path: Path) -> None:
    pictures = draw(tmp_path / "pictures", 3)
    (pictures / "text.jpg").write_text("no picture")
    first = extract_features(pictures, tmp_path / "store", Extraction(grid=2))
    before = (tmp_path / "store" / "features.npy").stat().st_mtime_ns
    assert extract_features(pictures, tmp_path / "store", Extraction(grid=2)) == first
    assert (tmp_path / "store" / "features.npy").stat().st_mtime_ns == before
    with pytest.raises(InputError, match="is there already"):
        extract_features(pictures, tmp_path / "store", Extraction(grid=3))


def test_only_some_pictures(tmp_path: Path) -> None:
    extract_features(draw(tmp_path / "pictures"), tmp_path / "store", Extraction(grid=1), only={"2.png", "5.png"})
    assert RegionStore(tmp_path / "store").image_ids == ["2.png", "5.png"]


def test_progress_counts_files(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    extract_features(draw(tmp_path / "pictures"), tmp_path / "store", Extraction(grid=1, batch_size=3), lambda done, total: told.append((done, total)))
    assert told == [(0, 7), (3, 7), (6, 7), (7, 7)]


def test_extreme_shapes(tmp_path: Path, checkpoint: Callable[[str], str]) -> None:
    """One pixel, one row, one column: features, or a reason."""
    (tmp_path / "pictures").mkdir()
    for name, size in {"one": (1, 1), "row": (3000, 1), "column": (1, 3000)}.items():
        Image.new("RGB", size, "red").save(tmp_path / "pictures" / f"{name}.png")
    for number, how in enumerate((Extraction(), Extraction(patches=8, size=16), Extraction(encoder=checkpoint("clip")))):
        assert extract_features(tmp_path / "pictures", tmp_path / f"store{number}", how) == []
        assert len(RegionStore(tmp_path / f"store{number}")) == 3


@pytest.mark.parametrize(("settings", "fault"), [
    ({"precision": "float8"}, "precision 'float8'"), ({"threshold": 2.0}, "threshold 2.0"), ({"batch_size": 0}, "1 or more"), ({"grid": -1}, "0 or more"),
    ({"patches": 15, "size": 224}, "do not tile"), ({"patches": 16, "encoder": "x"}, "neither detector nor encoder"),
])  # fmt: skip
def test_settings_that_cannot_be(settings: dict[str, object], fault: str) -> None:
    with pytest.raises(InputError, match=fault):
        Extraction(**settings)  # type: ignore[arg-type]


def test_faults(tmp_path: Path, checkpoint: Callable[[str], str]) -> None:
    pictures = draw(tmp_path / "pictures", 1)
    empty, broken = tmp_path / "empty", tmp_path / "broken"
    empty.mkdir()
    broken.mkdir()
    (broken / "x.jpg").write_text("no picture")
    with pytest.raises(InputError, match="holds no pictures"):
        extract_features(empty, tmp_path / "store", Extraction())
    with pytest.raises(InputError, match=r"not one picture could be read \(x\.jpg: not a picture"):
        extract_features(broken, tmp_path / "store", Extraction())
    with pytest.raises(InputError, match="cannot be loaded as vision encoder"):
        extract_features(pictures, tmp_path / "store", Extraction(encoder=str(empty)))
    with pytest.raises(InputError, match="cannot be loaded as object detector"):
        extract_features(pictures, tmp_path / "store", Extraction(detector=checkpoint("vit")))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken", "empty", "pictures"], "nothing half-written stays"
