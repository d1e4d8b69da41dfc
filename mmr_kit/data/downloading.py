"""One file over HTTP, which goes on where it was broken off.

What has arrived lies beside the file's place in `<name>.part/`: `content`, and `source.json` with the address, the size and the mark of the version (ETag,
else the date of the last change) that the server gave. The next call asks for the rest of that very version. Where the server has another one by now, or
sends no parts of files, the file comes anew. Its own place it takes once it is whole.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import IO, TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from filelock import FileLock, Timeout

from mmr_kit.cache import atomic_write

if TYPE_CHECKING:
    from requests import Response

TIMEOUT = 60  # seconds without an answer
CHUNK = 2**20
REDIRECTS = 5
Source = dict[str, str | int | None]


class DownloadError(OSError):
    """Why a file cannot be had from the server."""


def download(url: str, path: Path, target: Path) -> None:
    """Get `url` into the file `target`, which stands for `path` until its hash is known to be right; what has arrived is kept beside `path`. Shows progress.

    Raises DownloadError where the server says no, sends another length than it said, or sends on to another server or protocol; OSError as disk and network.
    """
    part = path.with_name(f"{path.name}.part")
    part.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(part / "lock", timeout=0):
            _complete(url, part)
            os.replace(part / "content", target)
    except Timeout:
        raise DownloadError("another process is downloading it") from None
    finally:
        if not (part / "content").exists():
            shutil.rmtree(part, ignore_errors=True)


def _complete(url: str, part: Path) -> None:
    from tqdm import tqdm
    from urllib3.exceptions import HTTPError

    content, note = part / "content", part / "source.json"
    source = _noted(note)
    have = content.stat().st_size if content.exists() else 0
    known = source.get("url") == url and source.get("version") and source.get("size")
    start = min(have, int(known) - 1) if known else 0  # at least the last byte is asked for: of what is beyond the end a server tells nothing
    response = _rest_of(url, start, source) if start > 0 else None
    if response is None:
        start, response = 0, _get(url, {})
        source = {"url": url, "version": _version(response), "size": _whole(response.headers.get("Content-Length"))}
        content.unlink(missing_ok=True)
        atomic_write(note, json.dumps(source))
    size = source["size"]
    with response, open(content, "ab") as file, tqdm(total=size, initial=start, unit="B", unit_scale=True, desc=part.stem) as bar:
        file.truncate(start)
        try:
            for chunk in response.raw.stream(CHUNK, decode_content=False):  # the bytes of the file, whatever the server calls them
                file.write(chunk)
                bar.update(len(chunk))
            broken = ""
        except HTTPError as error:
            broken = f" ({type(error).__name__})"
        finally:
            _sync(file)
        if broken or size not in (None, file.tell()):
            raise DownloadError(f"broken off after {file.tell():,} of {f'{size:,}' if size else 'an unknown number of'} bytes{broken}; "
                                "the same command goes on from there")  # fmt: skip


def _rest_of(url: str, start: int, source: Source) -> Response | None:
    """The answer that brings the rest of the version in `source`; None where the server does not send it."""
    response = _get(url, {"Range": f"bytes={start}-", "If-Range": str(source["version"])})
    size = source["size"]
    said = (response.status_code, response.headers.get("Content-Range"), _version(response))
    if said == (206, f"bytes {start}-{int(size or 0) - 1}/{size}", source["version"]):
        return response
    response.close()
    return None


def _get(url: str, headers: dict[str, str]) -> Response:
    """The answer of the server, its content yet to be read. Raises DownloadError for anything but a file or a part of one."""
    import requests

    for _ in range(REDIRECTS):
        response = requests.get(url, headers={"Accept-Encoding": "identity", **headers}, stream=True, timeout=TIMEOUT, allow_redirects=False)
        if not response.is_redirect:
            break
        response.close()
        onward = urljoin(url, response.headers["Location"])
        if urlsplit(onward)[:2] != urlsplit(url)[:2]:
            raise DownloadError(f"the server sends on to {onward}, which its manifest does not name")
        url = onward
    if response.status_code not in (200, *((206, 416) if "Range" in headers else ())):  # 416: the file ends before
        response.close()
        raise DownloadError(f"{response.status_code} {response.reason}")
    return response


def _version(response: Response) -> str | None:
    """What tells one version of a file from another: a strong ETag, else the date of the last change; None where the server gives neither."""
    tag = response.headers.get("ETag", "")
    return response.headers.get("Last-Modified") if not tag or tag.startswith("W/") else tag


def _noted(note: Path) -> Source:
    """What `source.json` says; nothing where it is absent or damaged."""
    try:
        source = json.loads(note.read_text(encoding="utf-8"))
        return source if isinstance(source, dict) and isinstance(source.get("size"), int | None) else {}
    except (OSError, ValueError):
        return {}


def _whole(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None


def _sync(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())
