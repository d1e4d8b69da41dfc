"""Region features in tab-separated tables, one image a line: bottom-up-attention's and VinVL's layout.

Lines are read one at a time, so memory is that of one image whatever the size of the file, and reading can begin at any line.
"""

from __future__ import annotations

import binascii
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from mmr_kit.data.feature_values import ID_BYTES, IMAGE_BYTES, Fault, Image, image_id, joined_regions, located, pixel_regions
from mmr_kit.data.regions import Regions
from mmr_kit.errors import InputError

BUFFER = 4 * 2**20
BOM = b"\xef\xbb\xbf"

Buffer = bytes | memoryview


def bottom_up_tsv(path: Path, start: int = 0) -> Iterator[tuple[int, Image]]:
    """Images of a file as bottom-up-attention's generate_tsv.py writes it, from byte `start` on, each with the byte where the next one begins.

    Columns, without a header: image_id, image_w, image_h (pixels), num_boxes, boxes (base64 of float32 n x 4: x1, y1, x2, y2 in pixels), features (base64 of
    float32 n x width). Raises InputError that names line and column.
    """
    return _rows(path, start, _bottom_up_row)


def vinvl_tsv(path: Path, start: int = 0) -> Iterator[tuple[int, Image]]:
    """Images of a features file of VinVL, from byte `start` on, each with the byte where the next one begins; sizes are unknown, (0, 0).

    Assumed, from the readers in github.com/microsoft/Oscar (run_captioning.py, run_retrieval.py) and github.com/microsoft/scene_graph_benchmark: a row is
    either image_id and a JSON object with `num_boxes` and `features`, or image_id, num_boxes and features; features are base64 of float32 n x (width + 6),
    width 2048, where the last six values are x1/W, y1/H, x2/W, y2/H and the box's sides as shares (in either order). Other keys are ignored. Where a
    `.lineidx` lies beside the table (the byte where each line begins, as text), the two must agree, so that a download that was cut off shows.
    Raises InputError that names line and column.
    """
    return _rows(path, start, _vinvl_row, path.with_suffix(".lineidx"))


def _rows(path: Path, start: int, parse: Callable[[bytes], Image], index: Path | None = None) -> Iterator[tuple[int, Image]]:
    with open(path, "rb", buffering=BUFFER) as file:
        file.seek(start)
        expected = _line_starts(index, start) if index and index.is_file() else None
        while line := file.readline(IMAGE_BYTES):
            with located(_place, path, start):
                if expected and next(expected, None) != start:
                    raise Fault("row", f"{index} does not have byte {start} as the beginning of a line")
                if len(line) == IMAGE_BYTES:
                    raise Fault("row", f"longer than {IMAGE_BYTES} bytes")
                text = line.removeprefix(BOM) if start == 0 else line
                image = None if text.isspace() else parse(text)
            start = file.tell()
            if image:
                yield start, image
        if expected and next(expected, None) is not None:
            raise InputError(f"{path}: ends at byte {start}, {index} has more lines; download the table again")


def _bottom_up_row(line: bytes) -> Image:
    key, width, height, count, boxes, features = _columns(line, 6)
    image_hw = _whole(height, "column image_h"), _whole(width, "column image_w")
    number = _whole(count, "column num_boxes")
    corners = _floats(boxes, number, "column boxes")
    return Image(_key(key), image_hw, pixel_regions(_floats(features, number, "column features"), corners, image_hw, ("column features", "column boxes")))


def _vinvl_row(line: bytes) -> Image:
    if b"{" not in line[: 2 * ID_BYTES]:
        key, count, features = _columns(line, 3)
        return Image(_key(key), (0, 0), _joined(features, _whole(count, "column num_boxes"), "column features"))
    key, text = _columns(line, 2)
    try:
        values = json.loads(bytes(text))
        number, features = values["num_boxes"], values["features"].encode("ascii")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Fault("column 2", f"not a JSON object with num_boxes and features as base64 ({type(error).__name__}: {str(error)[:80]})") from None
    return Image(_key(key), (0, 0), _joined(features, _count(number, "column 2, num_boxes"), "column 2, features"))


def _joined(text: Buffer, number: int, name: str) -> Regions:
    return joined_regions(_floats(text, number, name), name)


def _columns(line: bytes, number: int) -> list[Buffer]:
    """The line's columns; the last one, which is long, as a view. A further one would be found when the last is decoded."""
    start = 0
    parts: list[Buffer] = []
    for _ in range(number - 1):
        tab = line.find(b"\t", start)
        if tab < 0:
            raise Fault("row", f"{len(parts) + 1} columns, expected {number}")
        parts.append(line[start:tab])
        start = tab + 1
    end = len(line)
    while end > start and line[end - 1] in b"\r\n":
        end -= 1
    return [*parts, memoryview(line)[start:end]]


def _key(column: Buffer) -> str:
    try:
        return image_id(bytes(column).decode("utf-8"))
    except UnicodeDecodeError:
        raise Fault("column image_id", "not UTF-8") from None


def _whole(column: Buffer, name: str) -> int:
    text = bytes(column[:40])
    if not (text.isdigit() and len(text) < 10):
        raise Fault(name, f"{text.decode('utf-8', 'replace')!r} is no whole number above 0")
    return _count(int(text), name)


def _count(value: object, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 10**9:
        raise Fault(name, f"{str(value)[:40]!r} is no whole number above 0")
    return value


def _floats(text: Buffer, number: int, name: str) -> np.ndarray:
    """base64 of float32 (number, any)."""
    try:
        data = binascii.a2b_base64(text, strict_mode=True)
    except ValueError as error:
        hint = "; there are more columns than expected" if b"\t" in bytes(text) else ""
        raise Fault(name, f"not base64 ({error}){hint}") from None
    if not data or len(data) % (4 * number):
        raise Fault(name, f"{len(data)} bytes are not {number} rows of float32 values")
    return np.frombuffer(data, "<f4").reshape(number, -1)


def _line_starts(index: Path, start: int) -> Iterator[int]:
    """Bytes where lines begin, from `start` on."""
    with open(index, "rb") as file:
        for text in iter(lambda: file.readline(32), b""):
            if not text.strip().isdigit():
                raise InputError(f"{index}: {text!r} is not the byte where a line begins; download the index again, or remove it")
            if int(text) >= start:
                yield int(text)


def _place(path: Path, start: int) -> str:
    """Of the line that begins at a byte; its number is counted once, when something is wrong."""
    with open(path, "rb") as file:
        number = 1
        while file.tell() < start and (part := file.read(min(BUFFER, start - file.tell()))):
            number += part.count(b"\n")
    return f"{path}, line {number}"
