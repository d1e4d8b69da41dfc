"""The hash of a region store is computed once and remembered, and not trusted for a file that may have changed."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmr_kit.cache import file_hash, stamp
from mmr_kit.data import fingerprints
from mmr_kit.data.datasets import load_dataset
from mmr_kit.data.fingerprints import damaged, data_identity, store_hashes
from mmr_kit.data.manifests import load_manifest
from mmr_kit.data.verifying import verify
from mmr_kit.errors import InputError


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are hashed."""
    names: list[str] = []

    def counted(path: Path) -> str:
        names.append(path.name)
        return file_hash(path)

    monkeypatch.setattr(fingerprints, "file_hash", counted)
    return names


@pytest.fixture
def store(small_data: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A region store that was written a while ago."""
    monkeypatch.setattr(fingerprints, "MOMENT_NS", 0)
    return small_data.folder / "regions"


FILES = ["boxes.npy", "features.npy", "offsets.npy", "images.json"]


def test_a_store_is_hashed_once(store: Path, read: list[str]) -> None:
    first = store_hashes(store)
    assert first == {name: file_hash(store / name) for name in FILES}
    assert read == FILES
    assert store_hashes(store) == first
    assert read == FILES
    assert sorted(path.name for path in store.iterdir()) == sorted(FILES), "the store itself stays as it is"


def test_a_file_with_another_stamp_is_hashed_again(store: Path, read: list[str]) -> None:
    first = store_hashes(store)
    read.clear()
    boxes, times = store / "boxes.npy", (store / "boxes.npy").stat()
    content = bytearray(boxes.read_bytes())
    content[-1] ^= 1
    boxes.write_bytes(content)  # of the same size
    assert store_hashes(store)["boxes.npy"] != first["boxes.npy"]
    assert read == ["boxes.npy"]
    content[-1] ^= 1
    boxes.write_bytes(content)
    os.utime(boxes, ns=(times.st_atime_ns, times.st_mtime_ns))  # as rsync and tar set it
    assert stamp(boxes)[:2] == (times.st_size, times.st_mtime_ns)
    assert store_hashes(store) == first
    assert read == ["boxes.npy"] * 2
    copy = store / "copy"
    copy.write_bytes(content)
    os.replace(copy, boxes)  # another inode
    assert store_hashes(store) == first
    assert read == ["boxes.npy"] * 3


def test_what_was_just_written_is_not_remembered(small_data: Any, read: list[str]) -> None:
    """It could change again within the same tick of the clock."""
    store = small_data.folder / "regions"
    store_hashes(store)
    store_hashes(store)
    assert read == FILES * 2


def test_what_changes_while_it_is_hashed_is_not_remembered(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def changing(path: Path) -> str:
        value = file_hash(path)
        if path.name == "boxes.npy":
            time.sleep(0.02)
            np.save(path, np.load(path) / 2)
        return value

    monkeypatch.setattr(fingerprints, "file_hash", changing)
    store_hashes(store)
    monkeypatch.setattr(fingerprints, "file_hash", file_hash)
    assert store_hashes(store)["boxes.npy"] == file_hash(store / "boxes.npy")


@pytest.mark.parametrize("content", ["", "[]", "{", '{"boxes.npy": 3}', '{"boxes.npy": {"stamp": ["x"], "sha256": "y"}}', '{"boxes.npy": {"stamp": []}}'])
def test_a_damaged_record_is_not_used(store: Path, content: str) -> None:
    first = store_hashes(store)
    store.with_name("regions.hashes.json").write_text(content)
    assert store_hashes(store) == first


def test_a_folder_that_cannot_be_written_to(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(fingerprints, "atomic_write", refuse)
    assert store_hashes(store) == {name: file_hash(store / name) for name in FILES}


def test_loading_reads_the_store_s_bytes_once(small_data: Any, store: Path, read: list[str]) -> None:
    first = load_dataset(small_data.manifest).fingerprint
    assert read == ["captions.jsonl", *FILES]
    small_data.captions[0]["text"] += " apple"
    small_data.write_captions()
    assert load_dataset(small_data.manifest).fingerprint != first
    assert read == ["captions.jsonl", *FILES, "captions.jsonl"]


def test_verify_reads_it_again(small_data: Any, store: Path, read: list[str]) -> None:
    findings = list(verify(load_manifest(small_data.manifest)))
    assert (True, "regions: its content is as remembered") in findings
    read.clear()
    assert all(is_good for is_good, _ in verify(load_manifest(small_data.manifest)))
    assert read == FILES
    content = bytearray((store / "features.npy").read_bytes())
    content[-1] ^= 1
    (store / "features.npy").write_bytes(content)  # a disk that lost a bit, so without another time: the record is told the new one
    record = store.with_name("regions.hashes.json")
    entries = json.loads(record.read_text())
    entries["features.npy"]["stamp"] = stamp(store / "features.npy")
    record.write_text(json.dumps(entries))
    assert damaged(store) == ["features.npy"]
    assert (False, "regions: features.npy is NOT what it was; prepare the store again") in list(verify(load_manifest(small_data.manifest)))
    assert damaged(store) == ["features.npy"], "until it was prepared again"


def test_data_are_told_apart_by_manifest_and_content(small_data: Any) -> None:
    name = str(small_data.manifest)
    first = data_identity([name, "smoke_a", "mscoco"])
    assert list(first) == [name, "smoke_a", "mscoco"]
    assert first["mscoco"] == "missing"
    assert len(set(first.values())) == 3
    assert data_identity([name, "smoke_a", "mscoco"]) == first
    with pytest.raises(InputError, match="no data set 'nothing'"):
        data_identity(["nothing"])


def test_a_corrected_manifest_is_other_data(small_data: Any) -> None:
    """The same files, of which the manifest had taken one split for another: models trained on the wrong one must not stand for those of the right one."""
    for split in ("train", "dev", "test"):
        rows = [f"{caption['text']}\t{caption['image_id']}\n" for caption in small_data.captions if caption["split"] == split]
        (small_data.folder / f"{split}.tsv").write_text("caption\timage_id\n" + "".join(rows))
    before, found = small_data.manifest.read_text(), {}
    for order in (("train", "dev", "test"), ("test", "dev", "train")):
        named = zip(("train", "dev", "test"), order, strict=True)
        files = ", ".join(f"{{path: {name}.tsv, format: tsv, language: en, split: {split}}}" for name, split in named)
        small_data.manifest.write_text(before.replace("{path: captions.jsonl, format: jsonl, language: ''}", files))
        train = load_dataset(small_data.manifest, "train")
        found[train.fingerprint] = len(train.image_ids)
    assert list(found.values()) == [28, 8]
