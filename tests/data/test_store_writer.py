"""The store writer: killed at any moment it goes on and gives the identical store; nothing half-written lies where a store is expected."""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmr_kit.data import feature_files, store_batch, store_writer
from mmr_kit.data.feature_files import FORMATS, prepare_region_store
from mmr_kit.data.regions import Regions, RegionStore, write_region_store
from mmr_kit.data.store_writer import StoreWriter, clear_workplace
from mmr_kit.errors import InputError
from tests.data import feature_samples as samples

IDS = [f"image-{number}" for number in range(7)]


def content(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every image is made safe at once."""
    monkeypatch.setattr(store_writer, "BATCH_SECONDS", 0.0)


class Killed(BaseException):
    """Stands for the end of the process: no cleaning up may rest on it being caught as an Exception."""


def kill_at(monkeypatch: pytest.MonkeyPatch, moment: int) -> None:
    """The `moment`-th call that changes the disk does not happen, nor does anything after it."""
    calls = itertools.count()

    def dying(real):  # type: ignore[no-untyped-def]
        def call(*arguments, **options):  # type: ignore[no-untyped-def]
            if next(calls) >= moment:
                raise Killed
            return real(*arguments, **options)

        return call

    changes = {store_writer: ("_append", "atomic_write", "sync"), os: ("replace", "truncate"), shutil: ("rmtree",)}
    for module, name in [(module, name) for module, names in changes.items() for name in names]:
        monkeypatch.setattr(module, name, dying(getattr(module, name)))


@pytest.mark.parametrize(("format", "precision"), [("bottom_up_tsv", "float32"), ("npz", "float16")])
def test_killed_at_any_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str, precision: str) -> None:
    """At each moment at which the disk changes, and then once more in the second attempt: the store is the same, byte by byte."""
    one_by_one(monkeypatch)
    source, folder = samples.WRITERS[format](tmp_path, samples.sample_images(IDS[:4])), tmp_path / "store"
    prepare_region_store(format, [source], tmp_path / "whole", precision)

    def survives(moment: int) -> bool:
        with monkeypatch.context() as patch, suppress(Killed):
            kill_at(patch, moment)
            prepare_region_store(format, [source], folder, precision)
            return True
        return False

    for moment in itertools.count():
        finished = survives(moment)
        if not folder.exists():
            survives(moment // 2)
        if not folder.exists():
            prepare_region_store(format, [source], folder, precision)
        assert content(folder) == content(tmp_path / "whole")
        shutil.rmtree(folder)
        if finished:
            break
    assert moment > 15


def read_again(monkeypatch: pytest.MonkeyPatch, format: str) -> list[str]:
    """Ids of the images that are read from now on."""
    seen: list[str] = []
    real = FORMATS[format]

    def read(path: Path, start: int) -> Iterator:  # type: ignore[type-arg]
        for after, image in real.read(path, start):
            seen.append(image.image_id)
            yield after, image

    monkeypatch.setitem(FORMATS, format, feature_files.Format(read, real.suffix, real.share))
    return seen


@pytest.mark.parametrize("format", FORMATS)
def test_goes_on_after_the_last_safe_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str) -> None:
    one_by_one(monkeypatch)
    source = samples.WRITERS[format](tmp_path, samples.sample_images(IDS))
    real = StoreWriter.add

    def interrupted(self: StoreWriter, image_id: str, *rest: object) -> None:
        if image_id == "image-4":
            raise KeyboardInterrupt
        real(self, image_id, *rest)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(StoreWriter, "add", interrupted)
        with pytest.raises(KeyboardInterrupt):
            prepare_region_store(format, [source], tmp_path / "store")
    seen = read_again(monkeypatch, format)
    told: list[tuple[int, int, int]] = []
    prepare_region_store(format, [source], tmp_path / "store", progress=lambda *now: told.append(now))
    assert seen == IDS[4:]
    assert told[0][0] == 4
    assert told[-1][0] == 7
    assert RegionStore(tmp_path / "store").image_ids == IDS


def interrupted_store(tmp_path: Path, sources: list[Path], format: str = "bottom_up_tsv") -> Path:
    """Sources whose last row is broken leave a partial store of the rows before."""
    with pytest.raises(InputError):
        prepare_region_store(format, sources, tmp_path / "store")
    assert (tmp_path / "store.partial" / "journal.jsonl").is_file()
    return tmp_path / "store"


def test_a_changed_source_is_read_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = samples.sample_images(IDS)
    rows = [samples.bottom_up_row(image) for image in images]
    source = samples.write_lines(tmp_path / "obj.tsv", [*rows, "broken\n"])
    folder = interrupted_store(tmp_path, [source])
    samples.write_lines(source, rows)
    seen = read_again(monkeypatch, "bottom_up_tsv")
    prepare_region_store("bottom_up_tsv", [source], folder)
    assert seen == IDS


def test_a_mended_file_spares_those_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = samples.write_npz(tmp_path / "npz", samples.sample_images(IDS))
    good = (folder / "image-5.npz").read_bytes()
    (folder / "image-5.npz").write_bytes(good[:-1])
    interrupted_store(tmp_path, [folder], "npz")
    (folder / "image-5.npz").write_bytes(good)
    seen = read_again(monkeypatch, "npz")
    prepare_region_store("npz", [folder], tmp_path / "store")
    assert seen == IDS[5:]


def test_another_precision_begins_anew(tmp_path: Path) -> None:
    rows = [samples.bottom_up_row(image) for image in samples.sample_images(IDS)]
    folder = interrupted_store(tmp_path, [samples.write_lines(tmp_path / "obj.tsv", [*rows, "broken\n"])])
    with pytest.raises(InputError):
        prepare_region_store("bottom_up_tsv", [tmp_path / "obj.tsv"], folder, "float16")
    assert np.load(folder.with_name("store.partial") / "store" / "features.npy", mmap_mode="r").dtype == np.float16


def damage(path: Path, size: int) -> None:
    with open(path, "r+b") as file:
        file.truncate(max(0, path.stat().st_size + size))
        file.seek(0, os.SEEK_END)
        file.write(b"\0" * size if size > 0 else b"")


@pytest.mark.parametrize("name", ["journal.jsonl", "store/features.npy", "store/boxes.npy"])
@pytest.mark.parametrize("size", [-10_000, -50, -1, 1, 50])
def test_what_a_power_cut_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, size: int) -> None:
    """Files shorter than the journal says, or longer by what it does not vouch for: the store is the same."""
    one_by_one(monkeypatch)
    images = samples.sample_images(IDS)
    sources = [samples.write_lines(tmp_path / "a.tsv", [samples.bottom_up_row(image) for image in images[:4]]), tmp_path / "b.tsv"]
    samples.write_lines(sources[1], ["broken\n"])
    folder = interrupted_store(tmp_path, sources)
    damage(tmp_path / "store.partial" / name, size)
    samples.write_lines(sources[1], [samples.bottom_up_row(image) for image in images[4:]])
    prepare_region_store("bottom_up_tsv", sources, folder)
    prepare_region_store("bottom_up_tsv", sources, tmp_path / "whole")
    assert content(folder) == content(tmp_path / "whole")


def test_what_a_kill_in_the_finish_leaves(tmp_path: Path) -> None:
    """A file that was being written beside its place does not get into the store."""
    rows = [samples.bottom_up_row(image) for image in samples.sample_images(IDS)]
    sources = [samples.write_lines(tmp_path / "a.tsv", rows), samples.write_lines(tmp_path / "b.tsv", ["broken"])]
    folder = interrupted_store(tmp_path, sources)
    (tmp_path / "store.partial" / "store" / ".images.json.x7").write_text("half")
    samples.write_lines(sources[1], [samples.bottom_up_row(samples.sample_images(["last"])[0])])
    prepare_region_store("bottom_up_tsv", sources, folder)
    assert sorted(content(folder)) == ["boxes.npy", "features.npy", "images.json", "offsets.npy"]
    assert RegionStore(folder).image_ids == [*IDS, "last"]


CHILD = """
import sys
from pathlib import Path
from mmr_kit.data import store_batch
from mmr_kit.data.feature_files import prepare_region_store
store_batch.BATCH_BYTES = 200_000
prepare_region_store("bottom_up_tsv", [Path(sys.argv[1])], Path(sys.argv[2]))
"""


def test_a_real_kill(tmp_path: Path) -> None:
    """SIGKILL in the midst of it, several times."""
    source, folder = tmp_path / "obj.tsv", tmp_path / "store"
    rng = np.random.default_rng(0)
    with open(source, "w") as file:
        for number in range(3000):
            image = samples.Image(f"i{number}", (48, 64), Regions(rng.random((4, 512), np.float32), np.tile(np.array([[0, 0, 0.5, 1]], np.float32), (4, 1))))
            file.write(samples.bottom_up_row(image))
    kills = 0
    for _ in range(40):
        child = subprocess.Popen([sys.executable, "-c", CHILD, str(source), str(folder)])
        journal, sizes = tmp_path / "store.partial" / "journal.jsonl", []
        while child.poll() is None:
            sizes.append(journal.stat().st_size if journal.exists() else 0)
            if kills < 3 and sizes[-1] > sizes[0]:
                child.send_signal(signal.SIGKILL)
                child.wait()
                kills += 1
            time.sleep(0.002)
        if folder.exists():
            break
    assert kills >= 1
    prepare_region_store("bottom_up_tsv", [source], tmp_path / "whole")
    assert content(folder) == content(tmp_path / "whole")


# -- one writer for all


@settings(deadline=None, max_examples=30)
@given(counts=st.lists(st.integers(1, 9), min_size=1, max_size=12), batch=st.integers(1, 400), width=st.integers(1, 5))
def test_batches_of_any_size(tmp_path_factory: pytest.TempPathFactory, counts: list[int], batch: int, width: int) -> None:
    """Smaller than an image or larger than all: what was given is there."""
    folder, rng = tmp_path_factory.mktemp("batches") / "store", np.random.default_rng(0)
    images = [(str(number), (number + 1, 7), Regions(rng.random((count, width), np.float32), rng.random((count, 4), np.float32)))
              for number, count in enumerate(counts)]  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store_batch, "BATCH_BYTES", batch)
        write_region_store(folder, images)
    store = RegionStore(folder)
    assert len(store) == len(counts)
    for image_id, _, regions in images:
        assert np.array_equal(store[image_id].features, regions.features)
        assert np.array_equal(store[image_id].boxes, regions.boxes)
    assert json.loads((folder / "images.json").read_text())["image_hw"] == [[number + 1, 7] for number in range(len(counts))]


def test_float16(tmp_path: Path) -> None:
    source = samples.WRITERS["bottom_up_tsv"](tmp_path, samples.sample_images())
    prepare_region_store("bottom_up_tsv", [source], tmp_path / "half", "float16")
    prepare_region_store("bottom_up_tsv", [source], tmp_path / "single")
    half, single = np.load(tmp_path / "half" / "features.npy"), np.load(tmp_path / "single" / "features.npy")
    assert half.dtype == np.float16
    assert np.array_equal(half, single.astype(np.float16))
    big = samples.Image("big", (48, 64), Regions(np.full((1, 5), 1e5, np.float32), np.array([[0, 0, 1, 1]], np.float32)))
    samples.write_lines(source, [samples.bottom_up_row(big)])
    with pytest.raises(InputError, match=r"obj\.tsv: image 'big', features: NaN or infinite, or too large for float16"):
        prepare_region_store("bottom_up_tsv", [source], tmp_path / "big", "float16")
    with pytest.raises(InputError, match="there are float32, float16"):
        prepare_region_store("bottom_up_tsv", [source], tmp_path / "int8", "int8")


SQUARE = np.array([[0, 0, 1, 1]], np.float32)


@pytest.mark.parametrize(("features", "boxes", "told"), [
    (np.ones((0, 5), np.float32), np.ones((0, 4), np.float32), "features: shape"), (np.ones(5, np.float32), SQUARE, "features: shape"),
    (np.ones((1, 4), np.float32), SQUARE, "features: 4 values a region"), (np.ones((2, 5), np.float32), SQUARE, "boxes: shape"),
    (np.full((1, 5), np.nan, np.float32), SQUARE, "features: NaN"), (np.ones((1, 5), np.float32), SQUARE * np.nan, "boxes: outside"),
    (np.ones((1, 5), np.float32), SQUARE * 640, "boxes: outside"), (np.full((1, 5), 1e300), SQUARE, "features: NaN or infinite"),
])  # fmt: skip
def test_what_is_no_image_is_not_written(tmp_path: Path, features: np.ndarray, boxes: np.ndarray, told: str) -> None:
    images = [("a", (1, 1), Regions(np.ones((1, 5), np.float32), SQUARE)), ("b", (1, 1), Regions(features, boxes))]
    with pytest.raises(InputError, match=f"image 'b', {told}"):
        write_region_store(tmp_path / "store", images)
    assert list(tmp_path.iterdir()) == []


def test_an_id_twice(tmp_path: Path) -> None:
    image = ("a", (1, 1), Regions(np.ones((1, 5), np.float32), SQUARE))
    with pytest.raises(InputError, match="image 'a' occurs twice"):
        write_region_store(tmp_path / "store", [image, image])
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "mine").write_text("kept")
    for folder in (tmp_path / "store", tmp_path / "store" / "mine"):
        with pytest.raises(InputError, match="is there already"):
            write_region_store(folder, [("a", (1, 1), Regions(np.ones((1, 5), np.float32), SQUARE))])
    assert (tmp_path / "store" / "mine").read_text() == "kept"


def test_two_writers_of_one_store(tmp_path: Path) -> None:
    image = Regions(np.ones((1, 5), np.float32), SQUARE)
    with StoreWriter(tmp_path / "store") as first:
        first.add("a", (1, 1), image)
        with pytest.raises(InputError, match="another process is writing this region store"):
            write_region_store(tmp_path / "store", [("b", (1, 1), image)])
    assert RegionStore(tmp_path / "store").image_ids == ["a"]


def test_room_on_the_disk_is_looked_for_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = samples.WRITERS["bottom_up_tsv"](tmp_path, samples.sample_images())
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 1000))
    monkeypatch.setattr(store_writer, "_append", lambda *_: pytest.fail("it was begun"))
    with pytest.raises(InputError, match=r"needs about 0\.02 GB more, its disk has 0\.00 GB free; make room"):
        prepare_region_store("bottom_up_tsv", [source], tmp_path / "store")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["obj.tsv"]


def test_a_disk_that_fills_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is safe is kept, and the same call goes on when there is room."""
    one_by_one(monkeypatch)
    source, real, calls = samples.WRITERS["bottom_up_tsv"](tmp_path, samples.sample_images(IDS)), store_writer._append, itertools.count()

    def full(path: Path, data: bytes) -> None:
        if next(calls) >= 10:
            real(path, memoryview(data).cast("B")[:5])  # a part of it still fits
            raise OSError(errno.ENOSPC, "No space left on device")
        real(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(store_writer, "_append", full)
        with pytest.raises(InputError, match=r"No space left on device.*start again to go on"):
            prepare_region_store("bottom_up_tsv", [source], tmp_path / "store")
    seen = read_again(monkeypatch, "bottom_up_tsv")
    prepare_region_store("bottom_up_tsv", [source], tmp_path / "store")
    prepare_region_store("bottom_up_tsv", [source], tmp_path / "whole")
    assert seen[:4] == IDS[3:]
    assert content(tmp_path / "store") == content(tmp_path / "whole")


def test_nothing_is_written_after_a_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that fails once, for the moment, may not be followed by the next image's."""
    one_by_one(monkeypatch)
    source, real = samples.WRITERS["bottom_up_tsv"](tmp_path, samples.sample_images(IDS)), store_writer._append
    prepare_region_store("bottom_up_tsv", [source], tmp_path / "whole")
    for moment in range(3 * len(IDS)):
        failures = iter([False] * moment + [True])

        def once(path: Path, data: bytes, failures: Iterator[bool] = failures) -> None:
            if next(failures, False):
                raise OSError(errno.EIO, "Input/output error")
            real(path, data)

        monkeypatch.setattr(store_writer, "_append", once)
        with pytest.raises(InputError, match="Input/output error"):
            prepare_region_store("bottom_up_tsv", [source], tmp_path / "store")
        prepare_region_store("bottom_up_tsv", [source], tmp_path / "store")
        assert content(tmp_path / "store") == content(tmp_path / "whole")
        shutil.rmtree(tmp_path / "store")


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        write_region_store(tmp_path / "file" / "store", [])


def test_what_a_writer_left_that_was_killed_after_the_store_was_there(tmp_path: Path) -> None:
    store, beside = tmp_path / "store", tmp_path / "store.partial"
    beside.mkdir()
    (beside / "journal.jsonl").touch()
    clear_workplace(store)
    assert beside.is_dir()  # there is no store: it may be needed
    store.mkdir()
    (beside / "store").mkdir()
    clear_workplace(store)
    assert beside.is_dir()  # of another store that grows: not to be taken from it
    (beside / "store").rmdir()
    clear_workplace(store)
    assert not beside.exists()
