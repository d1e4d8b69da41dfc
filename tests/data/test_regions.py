"""The region store: what is written is read, in every number format; what is damaged is refused by name."""

import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmr_kit.data.regions import Regions, RegionStore, Rows, write_region_store
from mmr_kit.errors import InputError

FLOATS = st.floats(-1e3, 1e3, width=32)


def make_regions(count: int, width: int, seed: int = 0) -> Regions:
    rng = np.random.default_rng(seed)
    return Regions(rng.normal(size=(count, width)).astype(np.float32), np.sort(rng.random((count, 4)).astype(np.float32), axis=1))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Three images with 2, 1 and 3 regions of width 5."""
    write_region_store(tmp_path, [(f"image-{n}", (480, 640), make_regions(count, 5, n)) for n, count in enumerate((2, 1, 3))])
    return tmp_path


def test_object_tags(store: Path) -> None:
    assert RegionStore(store)["image-0"].tags == ()
    np.save(store / "object_class.npy", np.array([1, 1, -1, 0, 2, 0], dtype=np.int16))
    (store / "object_classes.txt").write_text("cat\ndog\nspotted cow\n")
    assert [RegionStore(store)[f"image-{n}"].tags for n in range(3)] == [("dog",), (), ("cat", "spotted cow")]
    (store / "object_classes.txt").write_text("cat\ndog\n")
    with pytest.raises(InputError, match=r"object_class\.npy: class 2, but object_classes\.txt names 2"):
        RegionStore(store)
    np.save(store / "object_class.npy", np.zeros(5, dtype=np.int16))
    with pytest.raises(InputError, match="5 classes for 6 regions"):
        RegionStore(store)
    (store / "object_classes.txt").unlink()
    with pytest.raises(InputError, match="no list of names"):
        RegionStore(store)


@st.composite
def images(draw: st.DrawFn) -> list[Regions]:
    width = draw(st.integers(1, 4))
    counts = draw(st.lists(st.integers(1, 3), min_size=1, max_size=4))
    return [Regions(np.array(draw(st.lists(FLOATS, min_size=n * width, max_size=n * width)), dtype=np.float32).reshape(n, width),
                    np.array(draw(st.lists(st.floats(0, 1, width=32), min_size=n * 4, max_size=n * 4)), dtype=np.float32).reshape(n, 4))
            for n in counts]  # fmt: skip


@settings(deadline=None, max_examples=40)
@given(data=images(), kind=st.sampled_from(["float32", "float16", "uint8"]))
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, data: list[Regions], kind: str) -> None:
    """float32 as `write_region_store` writes it; float16 and uint8 with a factor a column as other tools write them."""
    folder = tmp_path_factory.mktemp("store")
    write_region_store(folder, ((f"ü {n}.jpg", (48, 64 + n), image) for n, image in enumerate(data)))
    expected = np.concatenate([image.features for image in data])
    if kind == "float16":
        np.save(folder / "features.npy", expected.astype(np.float16))
        expected = expected.astype(np.float16).astype(np.float32)
    elif kind == "uint8":
        codes, scale = np.abs(expected).astype(np.uint8), np.linspace(0.01, 2, expected.shape[1], dtype=np.float32)
        np.save(folder / "features.npy", codes)
        np.save(folder / "scale.npy", scale)
        expected = codes * scale
    store = RegionStore(folder)
    assert store.image_ids == list(store) == [f"ü {n}.jpg" for n in range(len(data))]
    assert (len(store), store.width) == (len(data), expected.shape[1])
    start = 0
    for image, image_id in zip(data, store, strict=True):
        found = store[image_id]
        assert found.features.dtype == found.boxes.dtype == np.float32
        assert np.array_equal(found.features, expected[start : start + len(image.features)])
        assert np.array_equal(found.boxes, image.boxes)
        start += len(image.features)


def test_files_are_as_the_design_says(store: Path) -> None:
    assert np.load(store / "offsets.npy").tolist() == [0, 2, 3, 6]
    assert json.loads((store / "images.json").read_text()) == {"image_ids": ["image-0", "image-1", "image-2"], "image_hw": [[480, 640]] * 3}
    assert (np.load(store / "features.npy").shape, np.load(store / "boxes.npy").shape) == ((6, 5), (6, 4))


def test_is_memory_mapped_and_read_only(store: Path) -> None:
    opened = RegionStore(store)
    assert isinstance(opened._features, np.memmap)
    assert not opened._features.flags.writeable


def test_unknown_image(store: Path) -> None:
    assert "image-9" not in RegionStore(store)
    with pytest.raises(KeyError):
        RegionStore(store)["image-9"]


class Bomb:
    """What a malicious pickle does when it is read."""

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return exec, ("raise SystemExit('a pickle was executed')",)


def bomb(path: Path) -> None:
    np.save(path, np.array([[Bomb()]], dtype=object), allow_pickle=True)


def zipped(path: Path) -> None:
    with open(path, "wb") as file:
        np.savez(file, features=np.zeros((6, 5), np.float32))


DAMAGES: dict[str, tuple[str, Callable[[Path], object]]] = {  # kind: (the file that the message names, what is done to it)
    "missing features": ("features.npy", Path.unlink),
    "missing boxes": ("boxes.npy", Path.unlink),
    "missing offsets": ("offsets.npy", Path.unlink),
    "missing images": ("images.json", Path.unlink),
    "truncated features": ("features.npy", lambda path: path.write_bytes(path.read_bytes()[:-1])),
    "truncated boxes": ("boxes.npy", lambda path: path.write_bytes(path.read_bytes()[:140])),
    "truncated header": ("features.npy", lambda path: path.write_bytes(path.read_bytes()[:30])),
    "empty file": ("features.npy", lambda path: path.write_bytes(b"")),
    "text": ("offsets.npy", lambda path: path.write_text("0 2 3 6")),
    "object array": ("features.npy", bomb),
    "bare pickle": ("boxes.npy", lambda path: path.write_bytes(pickle.dumps(Bomb()))),
    "a zip": ("features.npy", zipped),
    "half a zip": ("features.npy", lambda path: path.write_bytes(b"PK\x03\x04" + bytes(20))),
    "a header that is not closed": ("offsets.npy", lambda path: path.write_bytes(path.read_bytes().replace(b"(4,)", b"(4( "))),
    "a shape beyond any memory": ("features.npy", lambda path: path.write_bytes(path.read_bytes().replace(b"(6, 5), }      ", b"(6, 5000000000)"))),
    "whole numbers without a scale": ("features.npy", lambda path: np.save(path, np.ones((6, 5), np.uint16))),
    "features 1-d": ("features.npy", lambda path: np.save(path, np.zeros(30, np.float32))),
    "features of text": ("features.npy", lambda path: np.save(path, np.full((6, 5), "a"))),
    "complex boxes": ("boxes.npy", lambda path: np.save(path, np.zeros((6, 4), np.complex64))),
    "five box values": ("boxes.npy", lambda path: np.save(path, np.zeros((6, 5), np.float32))),
    "a box too few": ("boxes.npy", lambda path: np.save(path, np.zeros((5, 4), np.float32))),
    "offsets of floats": ("offsets.npy", lambda path: np.save(path, np.array([0.0, 2, 3, 6]))),
    "an offset too few": ("offsets.npy", lambda path: np.save(path, np.array([0, 2, 6]))),
    "offsets from 1": ("offsets.npy", lambda path: np.save(path, np.array([1, 2, 3, 6]))),
    "offsets to 5": ("offsets.npy", lambda path: np.save(path, np.array([0, 2, 3, 5]))),
    "offsets past the end": ("offsets.npy", lambda path: np.save(path, np.array([0, 2, 3, 7]))),
    "offsets that fall": ("offsets.npy", lambda path: np.save(path, np.array([0, 3, 2, 6]))),
    "an image without regions": ("offsets.npy", lambda path: np.save(path, np.array([0, 2, 2, 6]))),
    "an id twice": ("images.json", lambda path: path.write_text(path.read_text().replace("image-1", "image-0"))),
    "half a json": ("images.json", lambda path: path.write_text(path.read_text()[:20])),
    "json without ids": ("images.json", lambda path: path.write_text("{}")),
    "json of lists without end": ("images.json", lambda path: path.write_text('{"image_ids": ' + "[" * 100_000)),
    "json of a list": ("images.json", lambda path: path.write_text("[]")),
    "json a folder": ("images.json", lambda path: (path.unlink(), path.mkdir())),
    "bytes no UTF-8": ("images.json", lambda path: path.write_bytes(b'{"image_ids": ["\xff"]}')),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_damage_is_refused_by_name(store: Path, kind: str) -> None:
    name, damage = DAMAGES[kind]
    damage(store / name)
    with pytest.raises(InputError) as error:
        RegionStore(store)
    assert str(store / name) in str(error.value)
    assert "prepare the region store again" in str(error.value)


@pytest.mark.parametrize("scale", [None, np.ones(4, np.float32), np.ones((1, 5), np.float32), np.ones(5, np.int64)], ids=["missing", "short", "2-d", "whole"])
def test_uint8_needs_a_factor_a_column(store: Path, scale: np.ndarray | None) -> None:
    np.save(store / "features.npy", np.ones((6, 5), np.uint8))
    if scale is not None:
        np.save(store / "scale.npy", scale)
    with pytest.raises(InputError, match=r"scale\.npy"):
        RegionStore(store)


@pytest.mark.parametrize("name", ["features.npy", "boxes.npy"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_is_refused_when_its_image_is_read(store: Path, name: str, value: float) -> None:
    array = np.load(store / name)
    array[2, 1] = value  # the only region of image-1
    np.save(store / name, array)
    opened = RegionStore(store)
    opened["image-0"], opened["image-2"]
    with pytest.raises(InputError, match=f"{store}: image 'image-1' has NaN or infinite"):
        opened["image-1"]


def test_asking_for_an_image_does_not_read_it(store: Path) -> None:
    np.save(store / "features.npy", np.full((6, 5), np.nan, np.float32))
    opened = RegionStore(store)
    assert "image-1" in opened
    assert "image-9" not in opened
    assert list(opened.keys()) == ["image-0", "image-1", "image-2"]


def test_boxes_in_pixels_are_refused(store: Path) -> None:
    np.save(store / "boxes.npy", np.load(store / "boxes.npy") * 640)
    with pytest.raises(InputError, match="boxes"):
        RegionStore(store)["image-0"]


def test_a_file_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in ("file", "nothing"):
        with pytest.raises(InputError, match=folder):
            RegionStore(tmp_path / folder)


def test_a_store_without_images_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no images to write"):
        write_region_store(tmp_path, [])


class Colliding(str):
    """An id with the hash of every other one."""

    __slots__ = ()

    def __hash__(self) -> int:
        return 1


def test_ids_with_equal_hashes_are_told_apart() -> None:
    ids: list[str] = [Colliding(letter) for letter in "abcde"]
    rows = Rows(ids)
    assert [rows.find(image_id) for image_id in ids] == [0, 1, 2, 3, 4]
    assert rows.find(Colliding("f")) is None
    assert not rows.duplicate
    assert Rows([*ids, Colliding("c")]).duplicate
    assert Rows(["a", "b", "a"]).duplicate
    assert not Rows([]).duplicate


def test_images_json_in_any_order(store: Path) -> None:
    """Ids first are read without the rest; other orders, spaces and line ends are as good."""
    content = json.loads((store / "images.json").read_text())
    for text in (json.dumps(dict(reversed(content.items()))), json.dumps(content, indent=1) + "\n", json.dumps({"note": '"image_ids": []', **content})):
        (store / "images.json").write_text(text)
        assert RegionStore(store).image_ids == ["image-0", "image-1", "image-2"]
    (store / "images.json").write_text(json.dumps(content)[:-1])
    with pytest.raises(InputError, match=r"images\.json"):
        RegionStore(store)


OPEN = """
import sys
from pathlib import Path
from mmr_kit.data.regions import RegionStore
store = RegionStore(Path(sys.argv[1]))
assert store["CC_train_000000777777"].features.tolist() == [[777777.0] * 4]
peak = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]  # getrusage's counts the parent's before exec
print(len(store), int(peak[0]) / 1024)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="there is no /proc to read the memory from")
def test_a_million_images_open_in_little_memory(tmp_path: Path) -> None:
    """Under 200 MB at the peak, the interpreter with it."""
    count = 1_000_000
    np.save(tmp_path / "features.npy", np.repeat(np.arange(count, dtype=np.float32)[:, None], 4, axis=1))
    np.save(tmp_path / "boxes.npy", np.tile(np.array([[0, 0, 1, 1]], np.float32), (count, 1)))
    np.save(tmp_path / "offsets.npy", np.arange(count + 1))
    ids, sizes = [f"CC_train_{number:012d}" for number in range(count)], [[480 + number % 100, 640] for number in range(count)]
    (tmp_path / "images.json").write_text(json.dumps({"image_ids": ids, "image_hw": sizes}))
    images, memory = subprocess.run([sys.executable, "-c", OPEN, str(tmp_path)], capture_output=True, text=True, check=True).stdout.split()
    assert int(images) == count
    assert float(memory) < 190
