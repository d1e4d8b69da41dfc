"""A download that breaks off goes on where it was: against a server of the test's own, with and without parts of files, and with files that change."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from mmr_kit.data.downloading import CHUNK, DownloadError, download

CONTENT = np.random.default_rng(0).bytes(3 * CHUNK + 12345)


class Server:
    """Serves one file at /file; what it does is set by the attributes. asked: the headers Range of the requests, sent: bytes of each answer."""

    def __init__(self) -> None:
        self.content, self.etag, self.changed = CONTENT, '"1"', ""  # marks of the version
        self.parts = True  # whether it knows Range
        self.break_after = -1  # bytes of an answer after which the connection is cut
        self.say_more = 0  # bytes that it says to send beyond those it has
        self.tells_length = True
        self.heeds_if_range = True
        self.onward = ""  # where it sends on to
        self.status = 0
        self.asked: list[str | None] = []
        self.sent: list[int] = []
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.answer(self)

            def log_message(self, *_: object) -> None: ...

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/file"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, to: http.server.BaseHTTPRequestHandler) -> None:
        self.asked.append(to.headers["Range"])
        if self.onward and to.path == "/file":
            to.send_response(302)
            to.send_header("Location", self.onward)
            to.end_headers()
            return
        if self.status:
            to.send_error(self.status)
            return
        mark, start = self.etag or self.changed, 0
        if self.parts and to.headers["Range"] and (not self.heeds_if_range or to.headers["If-Range"] == mark):
            start = int(to.headers["Range"].removeprefix("bytes=").rstrip("-"))
        if start >= len(self.content):
            to.send_error(416)
            return
        body = self.content[start:]
        to.send_response(206 if start else 200)
        if start:
            to.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        if self.tells_length:
            to.send_header("Content-Length", str(len(body) + self.say_more))
        for name, value in (("ETag", self.etag), ("Last-Modified", self.changed)):
            if value:
                to.send_header(name, value)
        to.end_headers()
        if self.break_after >= 0:
            body = body[: self.break_after]
        self.sent.append(len(body))
        to.wfile.write(body)
        to.close_connection = True


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.http.shutdown()
    running.http.server_close()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "big.zip"


def get(server: Server, place: Path) -> bytes:
    """Download to its place, as fetching does through pooch."""
    download(server.url, place, place)
    assert [path.name for path in place.parent.iterdir()] == [place.name], "nothing else is left"
    return place.read_bytes()


def broken_off(server: Server, place: Path, after: int = CHUNK + 7) -> None:
    """A first call that is cut off."""
    server.break_after = after
    with pytest.raises(DownloadError, match=rf"broken off after {after:,} of {len(server.content):,} bytes.*the same command goes on from there"):
        download(server.url, place, place)
    server.break_after = -1
    assert not place.exists(), "no half file under the final name"


def test_a_whole_file_comes_at_once(server: Server, place: Path) -> None:
    assert get(server, place) == CONTENT
    assert server.asked == [None]


def test_it_goes_on_where_it_was_broken_off_twice(server: Server, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken_off(server, place)
    server.break_after = CHUNK
    with pytest.raises(DownloadError, match=r"broken off after 2,097,159 of"):
        download(server.url, place, place)
    server.break_after = -1
    assert get(server, place) == CONTENT
    assert server.asked == [None, f"bytes={CHUNK + 7}-", f"bytes={2 * CHUNK + 7}-"]
    assert server.sent == [CHUNK + 7, CHUNK, len(CONTENT) - 2 * CHUNK - 7]
    assert "big.zip" in capsys.readouterr().err, "with progress"


def test_without_an_etag_the_date_of_the_last_change_tells_versions_apart(server: Server, place: Path) -> None:
    server.etag, server.changed = "", "Mon, 01 Jan 2024 00:00:00 GMT"
    broken_off(server, place)
    assert get(server, place) == CONTENT
    assert server.sent[1] < len(CONTENT)


@pytest.mark.parametrize("etag", ["", 'W/"1"'])
def test_without_a_mark_of_the_version_it_starts_anew(server: Server, place: Path, etag: str) -> None:
    server.etag = etag
    broken_off(server, place)
    assert get(server, place) == CONTENT
    assert server.asked == [None, None]


def test_a_server_without_parts_starts_anew(server: Server, place: Path) -> None:
    server.parts = False
    broken_off(server, place)
    assert get(server, place) == CONTENT
    assert server.sent[-1] == len(CONTENT)


@pytest.mark.parametrize("heeds", [True, False])
@pytest.mark.parametrize("size", [len(CONTENT), len(CONTENT) - 999, CHUNK])
def test_a_file_that_changed_in_between_starts_anew(server: Server, place: Path, heeds: bool, size: int) -> None:
    """Also where the server ignores If-Range, and where the new file is shorter than what had arrived."""
    broken_off(server, place)
    server.content, server.etag, server.heeds_if_range = bytes(reversed(CONTENT))[:size], '"2"', heeds
    assert get(server, place) == server.content


def test_another_size_under_the_same_mark_starts_anew(server: Server, place: Path) -> None:
    broken_off(server, place)
    server.content = CONTENT + b"more"
    assert get(server, place) == server.content


def test_what_had_arrived_whole_is_not_asked_for_again(server: Server, place: Path) -> None:
    """A process that was killed between the last byte and the renaming."""
    broken_off(server, place)
    (place.with_name("big.zip.part") / "content").write_bytes(CONTENT)
    assert get(server, place) == CONTENT
    assert server.sent[1:] == [1]


def test_a_server_that_sends_less_than_it_said(server: Server, place: Path) -> None:
    server.say_more = 5
    with pytest.raises(DownloadError, match=r"broken off after 3,158,073 of 3,158,078 bytes"):
        download(server.url, place, place)
    assert not place.exists()


def test_a_length_that_is_not_told(server: Server, place: Path) -> None:
    server.tells_length = False
    assert get(server, place) == CONTENT


@pytest.mark.parametrize("damaged", ["", "{", "[]", '{"size": "many"}', '{"size": -3}', '{"url": 1, "size": 3}'])
def test_a_damaged_note_starts_anew(server: Server, place: Path, damaged: str) -> None:
    broken_off(server, place)
    (place.with_name("big.zip.part") / "source.json").write_text(damaged)
    assert get(server, place) == CONTENT


@pytest.mark.parametrize("status", [404, 409, 500, 503])
def test_a_refusal_keeps_what_has_arrived(server: Server, place: Path, status: int) -> None:
    broken_off(server, place)
    server.status = status
    with pytest.raises(DownloadError, match=str(status)):
        download(server.url, place, place)
    server.status = 0
    assert get(server, place) == CONTENT
    assert server.sent[-1] < len(CONTENT), "it went on"


@pytest.mark.parametrize("onward", ["http://localhost:1/file", "file:///etc/passwd", "ftp://127.0.0.1/file", "//127.0.0.2/file", "https://127.0.0.1/file"])
def test_sent_on_to_another_server_or_protocol_is_refused(server: Server, place: Path, onward: str) -> None:
    server.onward = onward
    with pytest.raises(DownloadError, match=r"the server sends on to .*, which its manifest does not name"):
        download(server.url, place, place)
    assert not place.exists()


def test_sent_on_within_the_server_is_followed_but_not_forever(server: Server, place: Path) -> None:
    server.onward = "/elsewhere"
    assert get(server, place) == CONTENT
    place.unlink()
    server.onward = "/file"
    with pytest.raises(DownloadError, match="302"):
        download(server.url, place, place)


def test_two_processes_do_not_write_one_file(server: Server, place: Path) -> None:
    broken_off(server, place)
    with FileLock(place.with_name("big.zip.part") / "lock"), pytest.raises(DownloadError, match="another process is downloading it"):
        download(server.url, place, place)
    assert get(server, place) == CONTENT
