"""Archives: unpacked below their folder, whole or not at all, whatever they hold."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmr_kit.data.archives import unpack
from mmr_kit.errors import InputError

EXAMPLES = int(os.environ.get("MMR_FUZZ_EXAMPLES", "50"))
LIMIT = 10_000


def archive(path: Path, files: dict[str, bytes], link: str | None = None) -> Path:
    """Write a .zip or .tar with files by name; link: the name of a symbolic link to /etc/passwd."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
            for name, content in files.items():
                packed.writestr(name, content)
            if link:
                part = zipfile.ZipInfo(link)
                part.external_attr = 0o120777 << 16
                packed.writestr(part, "/etc/passwd")
    else:
        with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as tar:
            for name, content in files.items():
                part_of_tar = tarfile.TarInfo(name)
                part_of_tar.size = len(content)
                tar.addfile(part_of_tar, io.BytesIO(content))
            if link:
                linked = tarfile.TarInfo(link)
                linked.type, linked.linkname = tarfile.SYMTYPE, "/etc/passwd"
                tar.addfile(linked)
    return path


def found(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()} if folder.exists() else {}


ENDINGS = pytest.mark.parametrize("ending", [".zip", ".tar", ".tar.gz"])


@ENDINGS
def test_files_arrive_and_replace_those_of_their_names(tmp_path: Path, ending: str) -> None:
    folder, files = tmp_path / "out", {"a.txt": b"new", "b/c.txt": b"x" * 3000}
    folder.mkdir()
    (folder / "a.txt").write_bytes(b"old")
    (folder / "other").write_bytes(b"stays")
    written = unpack(archive(tmp_path / f"x{ending}", files), folder, LIMIT)
    assert found(folder) == {**files, "other": b"stays"}
    assert sorted(written) == [folder / "a.txt", folder / "b" / "c.txt"]


@ENDINGS
def test_a_folder_around_everything_is_left_out(tmp_path: Path, ending: str) -> None:
    unpack(archive(tmp_path / f"x{ending}", {"coco_ir/a.pt": b"1", "coco_ir/b/c.pt": b"2"}), tmp_path / "out", LIMIT)
    assert found(tmp_path / "out") == {"a.pt": b"1", "b/c.pt": b"2"}


def test_a_name_that_is_none(tmp_path: Path) -> None:
    """Found by fuzzing: zipfile itself stumbles over it."""
    content = archive(tmp_path / "x.zip", {"a": b"1"}).read_bytes()
    (tmp_path / "x.zip").write_bytes(content.replace(b"a", b"\0"))
    with pytest.raises(InputError, match=r"x\.zip: cannot be unpacked"):
        unpack(tmp_path / "x.zip", tmp_path / "out", LIMIT)
    assert found(tmp_path / "out") == {}


def test_what_macos_adds_is_no_file(tmp_path: Path) -> None:
    unpack(archive(tmp_path / "x.zip", {"__MACOSX/coco_ir/._a.pt": b"", "coco_ir/a.pt": b"1"}), tmp_path / "out", LIMIT)
    assert found(tmp_path / "out") == {"a.pt": b"1"}


def test_gz_of_one_file(tmp_path: Path) -> None:
    (tmp_path / "train.de.gz").write_bytes(gzip.compress(b"Ein Hund\n"))
    unpack(tmp_path / "train.de.gz", tmp_path / "out", LIMIT)
    assert found(tmp_path / "out") == {"train.de": b"Ein Hund\n"}


@ENDINGS
@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/evil", "..\\evil", "c:\\evil", "~/evil"])
def test_names_that_lead_out(tmp_path: Path, ending: str, name: str) -> None:
    with pytest.raises(InputError, match="leads out of the folder; do not use this archive"):
        unpack(archive(tmp_path / f"x{ending}", {"good": b"1", name: b"2"}), tmp_path / "in" / "out", LIMIT)
    assert found(tmp_path / "in") == {}
    assert not (tmp_path / "evil").exists()


@ENDINGS
def test_links(tmp_path: Path, ending: str) -> None:
    with pytest.raises(InputError, match="'link' is a link or a device"):
        unpack(archive(tmp_path / f"x{ending}", {"good": b"1"}, link="link"), tmp_path / "out", LIMIT)
    assert list((tmp_path / "out").iterdir()) == []


@ENDINGS
def test_more_than_is_expected(tmp_path: Path, ending: str) -> None:
    with pytest.raises(InputError, match="at most 1e-05 GB are expected"):
        unpack(archive(tmp_path / f"x{ending}", {"a": b"0" * LIMIT, "b": b"0"}), tmp_path / "out", LIMIT)
    assert list((tmp_path / "out").iterdir()) == []
    unpack(archive(tmp_path / f"y{ending}", {"a": b"0" * LIMIT}), tmp_path / "out", LIMIT)


def test_a_gz_bomb_is_stopped_on_the_way(tmp_path: Path) -> None:
    (tmp_path / "x.gz").write_bytes(gzip.compress(bytes(50_000_000)))
    with pytest.raises(InputError, match="makes more than"):
        unpack(tmp_path / "x.gz", tmp_path / "out", LIMIT)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"<html>404</html>", b"\x1f\x8b\x08\x00"])
@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.gz"])
def test_what_is_no_archive(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=rf"{name}: ") as error:
        unpack(tmp_path / name, tmp_path / "out", LIMIT)
    assert "\n" not in str(error.value)
    assert found(tmp_path / "out") == {}


@ENDINGS
def test_damaged_archives_leave_nothing_outside_and_nothing_half(tmp_path: Path, ending: str) -> None:
    files = {"a.txt": bytes(range(256)) * 4, "b/c.txt": b"text " * 50}
    whole = archive(tmp_path / f"x{ending}", files).read_bytes()
    path, folder = tmp_path / f"y{ending}", tmp_path / "in" / "out"

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.tuples(st.integers(0, len(whole) - 1), st.integers(0, 255)), max_size=4), st.integers(0, len(whole)))
    def attack(changes: list[tuple[int, int]], length: int) -> None:
        content = bytearray(whole)
        for place, value in changes:
            content[place] = value
        path.write_bytes(content[:length] if length % 3 else content)
        before = found(folder)
        try:
            unpack(path, folder, LIMIT)
        except InputError:
            assert found(folder) == before
        assert {entry.name for entry in (tmp_path / "in").iterdir()} <= {"out"}
        assert not [entry for entry in folder.iterdir() if entry.name.startswith(".y")]

    attack()
