"""Downloads, from a server of the test's own; hashes pinned at first sight; what `verify` finds."""

from __future__ import annotations

import gzip
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from mmr_kit.data import lock
from mmr_kit.data.fetching import fetch
from mmr_kit.data.manifests import CaptionFile, Download, Files, Manifest
from mmr_kit.errors import InputError

pytest.importorskip("pooch", reason="pooch is not installed: pip install -r requirements/run.txt")


class Server:
    """Serves a folder; `asked` are the paths that were asked for."""

    def __init__(self, folder: Path) -> None:
        self.asked = (asked := [])
        self.cut: dict[str, int] = {}  # path -> bytes after which the connection is cut
        server = self

        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *args: object) -> None:
                super().__init__(*args, directory=str(folder))  # type: ignore[arg-type]

            def do_GET(self) -> None:
                asked.append(self.path)
                super().do_GET()

            def copyfile(self, source: BinaryIO, outputfile: BinaryIO) -> None:
                outputfile.write(source.read(server.cut.get(self.path, -1)))

            def log_message(self, *_: object) -> None: ...

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.http.server_address[1]}/"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "train.en.gz").write_bytes(gzip.compress(b"a dog\na cat\n"))
    (tmp_path / "served" / "train.txt").write_bytes(b"1.jpg\n2.jpg\n")
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("MMR_DATA_DIR", str(tmp_path / "data"))
    running = Server(tmp_path / "served")
    yield running
    running.http.shutdown()
    running.http.server_close()


def manifest(server: Server) -> Manifest:
    """A manifest whose addresses are the test's (real ones must be https)."""
    downloads = (
        Download.model_construct(base=server.address, names=("train.en.gz",), folder="x/raw", unpack="x/raw", gigabytes=0.001),
        Download.model_construct(base=server.address, names=("train.txt",), folder="x", unpack=None, gigabytes=1.0),
    )
    caption = CaptionFile(path="x/raw/train.en", format="lines", language="en", split="train", images="x/train.txt")
    files = Files(captions=(caption,), regions="x/regions")
    return Manifest.model_construct(name="x", title="X", licence="", source="a test", downloads=downloads, files=files, generator=None)


def test_fetch_gets_pins_and_unpacks_once(server: Server, tmp_path: Path) -> None:
    said: list[str] = []
    fetch(manifest(server), said.append)
    data = tmp_path / "data"
    assert (data / "x" / "raw" / "train.en").read_text() == "a dog\na cat\n"
    assert (data / "x" / "train.txt").read_text() == "1.jpg\n2.jpg\n"
    assert json.loads((data / lock.LOCK).read_text())["sha256"] == {name: lock.content_hash(data / name) for name in ("x/raw/train.en.gz", "x/train.txt")}
    assert [line.split()[0] for line in said] == ["downloading", "unpacked", "downloading"]
    asked = list(server.asked)
    assert asked == ["/train.en.gz", "/train.txt"]
    fetch(manifest(server), said.append)
    assert server.asked == asked, "what is here is not asked for again"
    (data / "x" / "raw" / "train.en").unlink()
    fetch(manifest(server), said.append)
    assert (data / "x" / "raw" / "train.en").exists(), "unpacked again where something is missing"
    (data / "x" / "raw" / "train.en.gz").unlink()
    (data / "x" / "train.txt").unlink()
    fetch(manifest(server), said.append)
    assert server.asked == [*asked, "/train.txt"], "an archive whose files are here is not needed"


def test_a_file_that_changed_is_refused(server: Server, tmp_path: Path) -> None:
    fetch(manifest(server), lambda _: None)
    (tmp_path / "data" / "x" / "train.txt").write_text("1.jpg\n3.jpg\n")
    with pytest.raises(InputError, match=r"x/train\.txt: not what it was at first sight .*delete it and fetch it again"):
        fetch(manifest(server), lambda _: None)
    (tmp_path / "data" / "x" / "train.txt").unlink()
    (tmp_path / "served" / "train.txt").write_text("another\n")
    with pytest.raises(InputError, match=r"train\.txt: cannot be downloaded .*hash"):
        fetch(manifest(server), lambda _: None)
    assert not (tmp_path / "data" / "x" / "train.txt").exists()


def test_a_download_that_was_broken_off_goes_on(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through pooch: never a half file under the final name, and the hash that is pinned is that of the whole file."""
    content, place = bytes(range(256)) * 8192, tmp_path / "data" / "x" / "train.txt"
    (tmp_path / "served" / "train.txt").write_bytes(content)
    monkeypatch.setattr(server, "cut", {"/train.txt": 300_000})
    with pytest.raises(InputError, match=r"train\.txt: cannot be downloaded \(broken off after 300,000 of 2,097,152 bytes"):
        fetch(manifest(server), lambda _: None)
    assert sorted(path.name for path in place.parent.iterdir()) == ["raw", "train.txt.part"]
    assert "x/train.txt" not in lock.pinned(tmp_path / "data")
    monkeypatch.setattr(server, "cut", {})
    fetch(manifest(server), lambda _: None)
    assert place.read_bytes() == content
    assert lock.pinned(tmp_path / "data")["x/train.txt"] == lock.content_hash(place)
    assert sorted(path.name for path in place.parent.iterdir()) == ["raw", "train.txt"]


def test_a_failed_download_leaves_nothing(server: Server, tmp_path: Path) -> None:
    (tmp_path / "served" / "train.txt").unlink()
    with pytest.raises(InputError, match=r"train\.txt: cannot be downloaded \(404 .*or put the file to .*x/train\.txt by hand"):
        fetch(manifest(server), lambda _: None)
    left = {path.name for path in (tmp_path / "data" / "x").iterdir()}
    assert left == {"raw"}, "what came before stays, nothing half-written is left"
    server.http.shutdown()
    server.http.server_close()
    for path in (tmp_path / "data" / "x" / "raw").iterdir():
        path.unlink()
    with pytest.raises(InputError, match=r"train\.en\.gz: cannot be downloaded"):
        fetch(manifest(server), lambda _: None)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"sha256": 3}', '{"sha256": {"a": 3}}'])
def test_a_damaged_lock_file_is_told(tmp_path: Path, content: str) -> None:
    (tmp_path / lock.LOCK).write_text(content)
    with pytest.raises(InputError, match=r"mmr_data\.lock\.json: not a lock file"):
        lock.pinned(tmp_path)


def test_hashes_of_folders_see_names_and_contents(tmp_path: Path) -> None:
    hashes = set()
    for name, content in (("a", "1"), ("a", "2"), ("b", "2")):
        (tmp_path / "folder").mkdir(exist_ok=True)
        for old in (tmp_path / "folder").iterdir():
            old.unlink()
        (tmp_path / "folder" / name).write_text(content)
        hashes.add(lock.content_hash(tmp_path / "folder"))
    assert len(hashes) == 3
    assert lock.check(tmp_path, "folder") is None
    assert lock.check(tmp_path, "folder") is True
    (tmp_path / "folder" / "b").write_text("3")
    assert lock.check(tmp_path, "folder") is False
    assert lock.check(tmp_path, "folder") is False, "the first sight stays"
