"""Feature files of every published layout: the same store from each, against the published readers, and every fault named."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from mmr_kit.data.feature_files import FORMATS, prepare_region_store, read_features
from mmr_kit.data.feature_values import Image
from mmr_kit.data.regions import Regions, RegionStore
from mmr_kit.errors import InputError
from tests.data import feature_samples as samples

SHARES_ONLY = ("oscar_pt", "vinvl_tsv")  # layouts that do not say how large an image is


def by_id(images: list[Image]) -> dict[str, Image]:
    return {image.image_id: image for image in images}


def refused(format: str, source: Path, folder: Path) -> str:
    """What is said of a source that is refused; nothing lies where the store was to be."""
    with pytest.raises(InputError) as error:
        prepare_region_store(format, [source], folder)
    assert not folder.exists()
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("format", FORMATS)
def test_each_layout_gives_the_same_store(tmp_path: Path, format: str) -> None:
    images = samples.sample_images()
    source = samples.WRITERS[format](tmp_path, images)
    prepare_region_store(format, [source], tmp_path / "store")
    store = RegionStore(tmp_path / "store")
    sizes = dict(zip(store.image_ids, json.loads((tmp_path / "store" / "images.json").read_text())["image_hw"], strict=True))
    assert set(store.image_ids) == set(samples.IDS)
    for image_id, image in by_id(images).items():
        assert np.array_equal(store[image_id].features, image.regions.features)
        np.testing.assert_allclose(store[image_id].boxes, image.regions.boxes, atol=1e-7)
        assert sizes[image_id] == ([0, 0] if format in SHARES_ONLY else [48, 64])
    assert sorted(path.name for path in (tmp_path / "store").iterdir()) == ["boxes.npy", "features.npy", "images.json", "offsets.npy"]
    assert not (tmp_path / "store.partial").exists()


@pytest.mark.parametrize("format", ["bottom_up_tsv", "oscar_pt", "vinvl_tsv"])
def test_several_files_make_one_store(tmp_path: Path, format: str) -> None:
    sources = []
    for number, image_id in enumerate(samples.IDS):
        (tmp_path / str(number)).mkdir()
        sources.append(samples.WRITERS[format](tmp_path / str(number), samples.sample_images([image_id], number)))
    prepare_region_store(format, sources, tmp_path / "store")
    assert RegionStore(tmp_path / "store").image_ids == list(samples.IDS)
    with pytest.raises(InputError, match=f"{sources[0]}: image '{samples.IDS[0]}' occurs twice"):
        prepare_region_store(format, [*sources, sources[0]], tmp_path / "twice")


def test_readers_give_one_image_at_a_time(tmp_path: Path) -> None:
    source = samples.WRITERS["bottom_up_tsv"](tmp_path, samples.sample_images())
    source.write_text(source.read_text() + "broken")
    reading = read_features("bottom_up_tsv", [source])
    image_id, size, regions = next(reading)
    assert (image_id, size, regions.features.shape) == (samples.IDS[0], (48, 64), (2, samples.WIDTH))
    assert len([next(reading) for _ in range(2)]) == 2  # the broken row is not met before it is due
    with pytest.raises(InputError, match=r"obj\.tsv, line 4, row: 1 columns"):
        next(reading)


def test_published_readers_return_the_same(golden_dir: Path, tmp_path: Path) -> None:
    """bottom-up tsv, npz, OSCAR's and M3P's .pt of six images, by what the published code made of them."""
    folder = golden_dir / "features"
    published = json.loads((folder / "readers.json").read_text())
    names = {"bottom_up_tsv": ("load_obj_tsv", "obj.tsv"), "npz": ("load_features_folder npz", "npz"), "m3p_pt": ("load_features_folder pt", "m3p_pt"),
             "oscar_pt": ("load_oscar_format_image_features", "oscar_feats.pt")}  # fmt: skip
    for format, (reader, source) in names.items():
        images = by_id(list(read_features(format, [folder / source])))
        assert set(images) == set(published[reader])
        for image_id, facts in published[reader].items():
            found = images[image_id]
            assert hashlib.sha256(found.regions.features.astype("<f4").tobytes()).hexdigest() == facts["features_sha256_f32_le"]
            assert len(found.regions.boxes) == facts["num_boxes"]
            if format != "oscar_pt":
                assert found.image_hw == (facts["img_h"], facts["img_w"])


def test_golden_features_are_the_truth(golden_dir: Path) -> None:
    truth = np.load(next(golden_dir.rglob("images.npz")))
    for format, source in {"bottom_up_tsv": "obj.tsv", "npz": "npz", "m3p_pt": "m3p_pt", "oscar_pt": "oscar_feats.pt"}.items():
        for image_id, _, regions in read_features(format, [golden_dir / "features" / source]):
            sides = np.array([truth[f"{image_id}/img_w"], truth[f"{image_id}/img_h"]] * 2, np.float32)
            assert np.array_equal(regions.features, truth[f"{image_id}/features"])
            np.testing.assert_allclose(regions.boxes, truth[f"{image_id}/boxes"] / sides, atol=1e-6)


def test_golden_data_sets_are_read(golden_dir: Path, tmp_path: Path) -> None:
    folder = golden_dir / "datasets"
    flickr, mscoco = sorted((folder / "flickr30k_image_features").iterdir()), sorted((folder / "mscoco").glob("*_img_frcnn_feats.pt"))
    for format, sources, count in (("bottom_up_tsv", flickr, 6), ("oscar_pt", mscoco, 9), ("npz", [folder / "cc" / "features_test"], 3)):
        prepare_region_store(format, sources, tmp_path / format)
        store = RegionStore(tmp_path / format)
        assert (len(store), store.width) == (count, 2048)


# -- what is read right

LENIENT: dict[str, Callable[[bytes], bytes]] = {
    "CRLF": lambda data: data.replace(b"\n", b"\r\n"),
    "BOM": lambda data: b"\xef\xbb\xbf" + data,
    "empty lines": lambda data: b"\n" + data.replace(b"\n", b"\n\r\n\n"),
    "no last line end": lambda data: data.removesuffix(b"\n"),
}


@pytest.mark.parametrize("kind", LENIENT)
@pytest.mark.parametrize("format", ["bottom_up_tsv", "vinvl_tsv"])
def test_tables_in_other_line_ends(tmp_path: Path, format: str, kind: str) -> None:
    source = samples.WRITERS[format](tmp_path, samples.sample_images())
    expected = list(read_features(format, [source]))
    source.write_bytes(LENIENT[kind](source.read_bytes()))
    found = list(read_features(format, [source]))
    assert [image.image_id for image in found] == [image.image_id for image in expected]
    assert all(np.array_equal(a.regions.boxes, b.regions.boxes) for a, b in zip(found, expected, strict=True))


def test_vinvl_rows_of_three_columns(tmp_path: Path) -> None:
    images = samples.sample_images()
    json_rows = list(read_features("vinvl_tsv", [samples.write_lines(tmp_path / "a.tsv", [samples.vinvl_row(image) for image in images])]))
    plain_rows = list(read_features("vinvl_tsv", [samples.write_lines(tmp_path / "b.tsv", [samples.vinvl_plain_row(image) for image in images])]))
    assert [image.image_id for image in plain_rows] == list(samples.IDS)
    assert all(np.array_equal(a.regions.features, b.regions.features) for a, b in zip(json_rows, plain_rows, strict=True))


def test_vinvl_line_index(tmp_path: Path) -> None:
    """It must agree with its table: rows that a download lost show."""
    rows = [samples.vinvl_row(image) for image in samples.sample_images()]
    source, index = samples.write_lines(tmp_path / "features.tsv", rows), tmp_path / "features.lineidx"
    starts = [0, len(rows[0].encode()), len((rows[0] + rows[1]).encode())]
    index.write_text("".join(f"{start}\n" for start in starts))
    assert len(list(read_features("vinvl_tsv", [source]))) == 3
    prepare_region_store("vinvl_tsv", [source], tmp_path / "store")
    samples.write_lines(source, rows[:2])
    assert f"{index} has more lines" in refused("vinvl_tsv", source, tmp_path / "cut")
    samples.write_lines(source, rows)
    for bad, told in (("0\n1\n", "line 2, row"), ("0\n", "line 2, row"), ("zero\n", "not the byte"), (f"{'9' * 50}\n", "line 1, row"), ("", "line 1, row")):
        index.write_text(bad)
        assert told in refused("vinvl_tsv", source, tmp_path / f"bad{len(bad)}")


def one(features: np.ndarray | None = None, boxes: np.ndarray | None = None, image_id: str = "7") -> Image:
    """An image whose boxes, in pixels, are on a canvas of 64 x 48."""
    boxes = np.array([[0, 0, 10, 20], [1, 2, 64, 48]], np.float32) if boxes is None else boxes
    return Image(image_id, samples.SIZE, Regions(np.ones((2, 5), np.float32) if features is None else features, boxes / np.array([64, 48, 64, 48], np.float32)))


@pytest.mark.parametrize("format", FORMATS)
def test_boxes_that_stick_out(tmp_path: Path, format: str) -> None:
    """By a pixel (layouts in shares: by a hundredth) they are clipped; by more they are refused."""
    out = 0.4 if format in SHARES_ONLY else 1
    near = one(boxes=np.array([[-out, 0, 10, 20], [1, 2, 64 + out, 48 + out]], np.float32))
    (found,) = read_features(format, [samples.WRITERS[format](tmp_path, [near])])
    np.testing.assert_allclose(found.regions.boxes, np.array([[0, 0, 10 / 64, 20 / 48], [1 / 64, 2 / 48, 1, 1]]), atol=1e-6)
    (tmp_path / "far").mkdir()
    far = one(boxes=np.array([[0, 0, 10, 20], [1, 2, 67, 48]], np.float32))
    told = refused(format, samples.WRITERS[format](tmp_path / "far", [far]), tmp_path / "store")
    assert "a box outside the image" in told
    assert "far" in told


HOSTILE_VALUES = {
    "NaN feature": (one(features=np.array([[1, np.nan, 1, 1, 1]] * 2, np.float32)), "NaN or infinite"),
    "infinite feature": (one(features=np.array([[1, np.inf, 1, 1, 1]] * 2, np.float32)), "NaN or infinite"),
    "NaN box": (one(boxes=np.array([[0, np.nan, 5, 5]] * 2, np.float32)), "NaN or infinite"),
    "box backwards": (one(boxes=np.array([[20, 20, 10, 30]] * 2, np.float32)), "ends before it begins"),
    "no regions": (one(np.zeros((0, 5), np.float32), np.zeros((0, 4), np.float32)), ""),
}


@pytest.mark.parametrize("kind", HOSTILE_VALUES)
@pytest.mark.parametrize("format", FORMATS)
def test_values_that_are_none(tmp_path: Path, format: str, kind: str) -> None:
    image, told = HOSTILE_VALUES[kind]
    message = refused(format, samples.WRITERS[format](tmp_path, [image]), tmp_path / "store")
    assert told in message
    assert str(tmp_path) in message


@pytest.mark.parametrize("image_id", ["a/b", "..", "../b", "a b", " ", "", "a\u00a0b", "a\x00b", "a\\b", "\u2028", "x" * 300])
@pytest.mark.parametrize("format", ["bottom_up_tsv", "vinvl_tsv", "oscar_pt"])
def test_ids_that_are_no_names(tmp_path: Path, format: str, image_id: str) -> None:
    assert "image id" in refused(format, samples.WRITERS[format](tmp_path, [one(image_id=image_id)]), tmp_path / "store")


@pytest.mark.parametrize("format", ["npz", "m3p_pt"])
def test_file_names_that_are_no_ids(tmp_path: Path, format: str) -> None:
    assert "image id" in refused(format, samples.WRITERS[format](tmp_path, [one(image_id="a b")]), tmp_path / "store")


ROW = samples.bottom_up_row(one())
BROKEN_ROWS = {  # a good row comes first: what is told is of the second line
    "header": ("image_id\timage_w\timage_h\tnum_boxes\tboxes\tfeatures\n", "line 2, column image_h: 'image_h' is no whole number"),
    "five columns": (ROW.replace("\t48", "", 1), "line 2, row: 5 columns, expected 6"),
    "seven columns": (ROW.replace("\n", "\tmore\n"), "line 2, column features: not base64"),
    "spaces": (ROW.replace("\t", " "), "line 2, row: 1 columns"),
    "negative count": (ROW.replace("\t2\t", "\t-2\t"), "line 2, column num_boxes: '-2' is no whole number above 0"),
    "no boxes": (ROW.replace("\t2\t", "\t0\t"), "line 2, column num_boxes: '0' is no whole number above 0"),
    "another count": (ROW.replace("\t2\t", "\t3\t"), "line 2, column boxes: 32 bytes are not 3 rows"),
    "one box": (ROW.replace("\t2\t", "\t1\t"), "line 2, column boxes: shape (1, 8), expected (1, 4)"),
    "enormous count": (ROW.replace("\t2\t", "\t" + "9" * 5000 + "\t"), "line 2, column num_boxes"),
    "no width": (ROW.replace("\t64", "\t0"), "line 2, column image_w: '0' is no whole number above 0"),
    "fraction": (ROW.replace("\t64", "\t64.5"), "line 2, column image_w: '64.5'"),
    "letters in base64": (ROW.replace("A", "*", 1), "line 2, column boxes: not base64"),
    "padding gone": (ROW.rstrip("=\n") + "\n", "line 2, column features: not base64"),
    "cut": (ROW[:-10], "line 2, column features"),
    "python bytes": (ROW.replace("\tAA", "\tb'AA", 1), "line 2, column boxes: not base64"),
    "no UTF-8": (ROW.replace("7\t", "\udcff\t", 1), "line 2, column image_id: not UTF-8"),
    "twice": (samples.bottom_up_row(one(image_id="8")), "image '8' occurs twice"),
    "other width": (samples.bottom_up_row(one(features=np.ones((2, 6), np.float32))), "image '7', features: 6 values a region, the images before have 5"),
}


@pytest.mark.parametrize("kind", BROKEN_ROWS)
def test_broken_rows_are_named(tmp_path: Path, kind: str) -> None:
    row, told = BROKEN_ROWS[kind]
    source = tmp_path / "obj.tsv"
    source.write_bytes((samples.bottom_up_row(one(image_id="8")) + row).encode(errors="surrogateescape"))
    message = refused("bottom_up_tsv", source, tmp_path / "store")
    assert told in message
    assert str(source) in message


BROKEN_JSON = ["", "{", "[]", "{}", '{"num_boxes": 2}', '{"num_boxes": "2", "features": "AAAA"}', '{"num_boxes": true, "features": "AAAA"}',
               '{"num_boxes": -1, "features": "AAAA"}', '{"num_boxes": 1e3, "features": "AAAA"}', '{"num_boxes": 1, "features": ["AAAA"]}',
               '{"num_boxes": 1, "features": "AAA*"}', '{"num_boxes": 1, "features": "AAAA"}', '{"num_boxes": 1, "features": "\u00fc"}',
               '{"x":' + "[" * 100_000,
               '{"num_boxes": ' + "9" * 10_000 + ', "features": ""}', '{"num_boxes": 1, "features": "AAAAAAAA"}']  # fmt: skip


@pytest.mark.parametrize("content", BROKEN_JSON, ids=range(len(BROKEN_JSON)))
def test_broken_json_is_named(tmp_path: Path, content: str) -> None:
    source = samples.write_lines(tmp_path / "features.tsv", [samples.vinvl_row(one(image_id="8")), f"7\t{content}\n"])
    assert f"{source}, line 2, " in refused("vinvl_tsv", source, tmp_path / "store")


def test_geometry_that_is_none(tmp_path: Path) -> None:
    """Features whose last six values are no box with its sides: another layout, read as this one."""
    for rows in (np.full((2, 11), 0.5, np.float32), np.ones((2, 6), np.float32), np.ones(11, np.float32), np.full((2, 11), np.nan, np.float32)):
        torch.save({1: torch.from_numpy(rows)}, tmp_path / "feats.pt")
        assert f"{tmp_path / 'feats.pt'}, image '1', features" in refused("oscar_pt", tmp_path / "feats.pt", tmp_path / "store")


def member(shape: object, data: bytes, descr: str = "<f4") -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})  # type: ignore[typeddict-item]
    return file.getvalue() + data


def damaged_npz(path: Path, compression: int = zipfile.ZIP_STORED, **members: bytes | None) -> Path:
    """A good archive but for the members named; None: left out."""
    good = io.BytesIO()
    np.savez(good, x=np.ones((2, 5), np.float32), bbox=samples.pixels(one()), num_bbox=2, image_h=48, image_w=64)
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(path, "w", compression) as target:
        for name in source.namelist():
            data = members.get(name.removesuffix(".npy"), source.read(name))
            if data is not None:
                target.writestr(name, data)
    return path


def npy(value: object) -> bytes:
    file = io.BytesIO()
    np.save(file, value, allow_pickle=True)  # type: ignore[arg-type]
    return file.getvalue()


class Bomb:
    """What a malicious pickle does when it is read."""

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return exec, ("import os; os.environ['MMR_TEST_BOMB'] = 'executed'",)


BROKEN_NPZ: dict[str, tuple[dict[str, bytes | None], str]] = {
    "no boxes": ({"bbox": None}, "bbox: missing"),
    "no size": ({"image_w": None}, "image_w: missing"),
    "another count": ({"num_bbox": npy(3)}, "num_bbox: 3, but x has 2 rows"),
    "negative count": ({"num_bbox": npy(-2)}, "num_bbox: '-2'"),
    "count of text": ({"num_bbox": npy("2")}, "num_bbox"),
    "fraction": ({"image_h": npy(48.5)}, "image_h: '48.5'"),
    "NaN size": ({"image_h": npy(np.nan)}, "image_h: 'nan'"),
    "whole numbers": ({"x": npy(np.ones((2, 5), np.int64))}, "x: int64 values, expected floats"),
    "objects": ({"x": npy(np.array([[Bomb()]], dtype=object))}, "x: a pickle"),
    "bare pickle": ({"x": pickle.dumps(Bomb())}, "x: not a complete array"),
    "three axes": ({"x": npy(np.ones((2, 5, 1), np.float32))}, "x: 3 axes"),
    "five box values": ({"bbox": npy(np.ones((2, 5), np.float32))}, "bbox: shape (2, 5), expected (2, 4)"),
    "a shape of terabytes": ({"x": member((2**40, 5), b"\0" * 40)}, "x: not a complete array"),
    "a negative shape": ({"x": member((-2, 5), b"\0" * 40)}, "x: not a complete array (ValueError: shape (-2, 5))"),
    "cut": ({"x": npy(np.ones((2, 5), np.float32))[:-3]}, "x: not a complete array"),
    "header only": ({"x": npy(np.ones((2, 5), np.float32))[:20]}, "x: not a complete array"),
}


@pytest.mark.parametrize("kind", BROKEN_NPZ)
def test_broken_npz_is_named(tmp_path: Path, kind: str) -> None:
    members, told = BROKEN_NPZ[kind]
    path = damaged_npz(tmp_path / "7.npz", **members)
    message = refused("npz", path, tmp_path / "store")
    assert f"{path}, {told}" in message
    assert "MMR_TEST_BOMB" not in os.environ


def test_zip_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its size is told before a byte is unpacked."""
    path = damaged_npz(tmp_path / "7.npz", zipfile.ZIP_DEFLATED, x=member((2**16, 1025), b"\0" * (2**16 * 1025 * 4)))
    assert path.stat().st_size < 2**20
    monkeypatch.setattr(zipfile.ZipExtFile, "read", lambda *_: pytest.fail("it was unpacked"))
    monkeypatch.setattr(zipfile.ZipFile, "read", lambda *_: pytest.fail("it was unpacked"))
    assert "x: 268697728 bytes unpacked, larger than an image can be" in refused("npz", path, tmp_path / "store")


@pytest.mark.parametrize("format", ["oscar_pt", "m3p_pt"])
@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_pickle_does_not_run(tmp_path: Path, format: str, zipped: bool) -> None:
    path = tmp_path / "7.pt"
    torch.save({7: Bomb(), "features": Bomb()}, path, _use_new_zipfile_serialization=zipped)
    assert f"{path}, file: not what torch.save writes" in refused(format, path, tmp_path / "store")
    path.write_bytes(pickle.dumps(Bomb()))
    assert f"{path}, file: not what torch.save writes" in refused(format, path, tmp_path / "store")
    assert "MMR_TEST_BOMB" not in os.environ


class Flagged:
    """A float32 whose pickled dtype says that its values are counted references: NumPy's own reconstruction corrupts memory on it."""

    def __reduce__(self) -> object:
        return np.dtype, ("f4", False, True), (3, "<", None, None, None, -1, -1, 0x7F)


def test_numpys_pickled_types_are_not_believed(tmp_path: Path) -> None:
    array = np.ones((2, 5), np.float32)
    rebuild, arguments, (version, shape, _, fortran, data) = array.__reduce__()  # type: ignore[misc]

    class Array:
        def __reduce__(self) -> object:
            return rebuild, arguments, (version, shape, Flagged(), fortran, data)

    path = tmp_path / "7.pt"
    torch.save({"features": Array(), "boxes": samples.pixels(one()), "num_boxes": 2, "img_h": 48, "img_w": 64}, path)
    (image,) = read_features("m3p_pt", [path])
    assert np.array_equal(image.regions.features, array)


def test_other_arrays_of_m3p_do_not_matter(tmp_path: Path) -> None:
    """Names, flags and objects that nobody asks for may be in any type; what is asked for may not."""
    path, others = tmp_path / "7.pt", {"names": np.array(["cat", "dog"]), "flags": np.ones(2, bool), "things": np.array([None, 1], dtype=object)}
    content = {"features": np.asfortranarray(np.arange(10.0).reshape(2, 5)), "boxes": samples.pixels(one()).astype(">f4"), "num_boxes": np.int64(2),
               "img_h": 48.0, "img_w": np.array([64])}  # fmt: skip
    torch.save(content | others, path)
    (image,) = read_features("m3p_pt", [path])
    assert np.array_equal(image.regions.features, np.arange(10).reshape(2, 5))
    np.testing.assert_allclose(image.regions.boxes, one().regions.boxes)
    for name, value in (("features", others["flags"]), ("boxes", others["things"]), ("num_boxes", others["names"]), ("img_w", "64"), ("img_h", None)):
        torch.save(content | {name: value}, path)
        assert f"{path}, {name}: " in refused("m3p_pt", path, tmp_path / "store")
    torch.save({name: value for name, value in content.items() if name != "boxes"}, path)
    assert f"{path}, boxes: missing" in refused("m3p_pt", path, tmp_path / "store")


TENSORS = {
    "whole numbers": torch.ones((2, 11), dtype=torch.int64),
    "complex": torch.ones((2, 11), dtype=torch.complex64),
    "sparse": torch.eye(11)[:2].to_sparse(),
    "a bomb of strides": torch.ones(1).expand(10**7, 2054),
    "no tensor": [1.0, 2.0],
    "an array": None,
}


@pytest.mark.parametrize("kind", TENSORS)
def test_tensors_that_are_no_features(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "feats.pt"
    torch.save({"7": TENSORS[kind]}, path)
    assert f"{path}, image '7', features: " in refused("oscar_pt", path, tmp_path / "store")


def test_tensors_of_other_precision_are_read(tmp_path: Path) -> None:
    rows = samples.joined(samples.sample_images()[0])
    torch.save({1: torch.from_numpy(rows).double().requires_grad_(), 2: torch.from_numpy(rows).half()}, tmp_path / "feats.pt")
    first, second = read_features("oscar_pt", [tmp_path / "feats.pt"])
    assert (first.image_id, second.image_id) == ("1", "2")
    assert np.array_equal(first.regions.features, rows[:, :-6])
    np.testing.assert_allclose(second.regions.features, rows[:, :-6], rtol=1e-3)


def test_pytorchs_old_format_is_read(tmp_path: Path) -> None:
    images = samples.sample_images()
    torch.save({image.image_id: torch.from_numpy(samples.joined(image)) for image in images}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert [image.image_id for image in read_features("oscar_pt", [tmp_path / "old.pt"])] == list(samples.IDS)


@pytest.mark.parametrize("key", [True, 1.5, (1, 2), None])
def test_keys_that_are_no_ids(tmp_path: Path, key: object) -> None:
    torch.save({key: torch.ones(2, 11)}, tmp_path / "feats.pt")
    assert "image id" in refused("oscar_pt", tmp_path / "feats.pt", tmp_path / "store")


def test_sources_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "nothing.tsv").touch()
    for format, source, told in (("npz", "empty", "no .npz files"), ("bottom_up_tsv", "empty", "not a file"), ("bottom_up_tsv", "absent", "missing"),
                                 ("oscar_pt", "pipe", "not a file"), ("bottom_up_tsv", "nothing.tsv", "no images"), ("m3p_pt", "nothing.tsv", "nothing.tsv"),
                                 ("tsv", "empty", "there are bottom_up_tsv")):  # fmt: skip
        assert told in refused(format, tmp_path / source, tmp_path / "store")
    with pytest.raises(InputError, match="sources: no"):
        prepare_region_store("npz", [], tmp_path / "store")
