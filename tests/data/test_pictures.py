"""Photographs as people have them: what is a picture is read upright and in RGB, what is none is told by name and reason, and nothing else happens.

40 damaged pictures a format by default; MMR_FUZZ_EXAMPLES=1000 for the full number.
"""

import contextlib
import io
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from mmr_kit.data.pictures import PictureFault, Skipped, list_pictures, open_picture, picture_id
from mmr_kit.errors import InputError

EXAMPLES = int(os.environ.get("MMR_FUZZ_EXAMPLES", "40"))
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP")


def drawn() -> Image.Image:
    """40 x 20 pixels: red on the left, blue on the right, a green corner at the top left."""
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[:, :20, 0] = pixels[:, 20:, 2] = 255
    pixels[:5, :5] = (0, 255, 0)
    return Image.fromarray(pixels)


def encoded(picture: Image.Image, format: str, **options: object) -> bytes:
    content = io.BytesIO()
    picture.save(content, format, **options)
    return content.getvalue()


def test_only_pictures_are_listed_by_name(tmp_path: Path) -> None:
    for name in ("b.jpg", "a.PNG", "captions.csv", "notes", ".hidden.jpg", "IMG 1  x.jpeg"):
        (tmp_path / name).write_bytes(b"x")
    found, skipped = list_pictures(tmp_path)
    assert list(found) == ["IMG_1_x.jpeg", "a.PNG", "b.jpg"]
    assert found["IMG_1_x.jpeg"] == tmp_path / "IMG 1  x.jpeg"
    assert skipped == []


def test_what_cannot_be_taken_is_told(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / ".thumbnails").mkdir()
    for name in ("a b.jpg", "a_b.jpg", "sub/c.jpg", ".thumbnails/d.jpg", "back\\slash.jpg", "control\x07.jpg"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "dangling.jpg").symlink_to(tmp_path / "none.jpg")
    (tmp_path / os.fsdecode(b"bytes\xff.jpg")).write_bytes(b"x")
    found, skipped = list_pictures(tmp_path)
    assert found == {"a_b.jpg": tmp_path / "a b.jpg"}
    assert dict(skipped) == {
        "a_b.jpg": "has the image id a_b.jpg of a b.jpg; rename it",
        "sub/c.jpg": "lies in a subfolder; move it up",
        "back\\slash.jpg": "cannot name a file; rename it",
        "control\x07.jpg": "cannot name a file; rename it",
        "bytes\\xff.jpg": "cannot name a file; rename it",
        "dangling.jpg": "is no file; rename it",
    }
    assert all(isinstance(file, Skipped) for file in skipped)


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(b"x")
    with pytest.raises(InputError, match=r"none: missing; give the folder"):
        list_pictures(tmp_path / "none")
    with pytest.raises(InputError, match=r"x\.jpg: not a folder"):
        list_pictures(tmp_path / "x.jpg")


@given(st.text(min_size=1, max_size=20).filter(lambda name: name.strip()))
def test_ids_have_no_white_space(name: str) -> None:
    assert picture_id(name).split() == [picture_id(name)]


@pytest.mark.parametrize("format", FORMATS)
def test_formats(tmp_path: Path, format: str) -> None:
    path = tmp_path / "x"
    path.write_bytes(encoded(drawn(), format, **({"lossless": True} if format == "WEBP" else {})))
    picture = open_picture(path)
    assert (picture.mode, picture.size) == ("RGB", (40, 20))
    assert np.abs(np.asarray(picture, int)[10, [10, 30]] - [(255, 0, 0), (0, 0, 255)]).max() < 12


@pytest.mark.parametrize(("orientation", "size", "corner"), [
    (1, (40, 20), (0, 0)), (2, (40, 20), (0, -1)), (3, (40, 20), (-1, -1)), (4, (40, 20), (-1, 0)),
    (5, (20, 40), (0, 0)), (6, (20, 40), (0, -1)), (7, (20, 40), (-1, -1)), (8, (20, 40), (-1, 0)),
])  # fmt: skip
def test_exif_rotation_is_applied(tmp_path: Path, orientation: int, size: tuple[int, int], corner: tuple[int, int]) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    (tmp_path / "x.png").write_bytes(encoded(drawn(), "PNG", exif=exif))
    picture = open_picture(tmp_path / "x.png")
    assert picture.size == size
    assert np.asarray(picture)[corner].tolist() == [0, 255, 0]


def ramp(kind: type) -> np.ndarray:
    return np.linspace(0, 65535, 800).reshape(20, 40).astype(kind)


UNUSUAL: dict[str, tuple[Callable[[], bytes], np.ndarray]] = {  # what is written, and the RGB values at row 10, column 30
    "CMYK": (lambda: encoded(Image.new("CMYK", (40, 20), (0, 0, 255, 0)), "JPEG", quality=100), np.array([255, 255, 0])),
    "grey": (lambda: encoded(Image.new("L", (40, 20), 77), "PNG"), np.array([77] * 3)),
    "black and white": (lambda: encoded(Image.new("1", (40, 20), 1), "PNG"), np.array([255] * 3)),
    "16 bits": (lambda: encoded(Image.fromarray(ramp(np.uint16)), "PNG"), np.array([ramp(float)[10, 30] / 257] * 3)),
    "16 bits, TIFF": (lambda: encoded(Image.fromarray(ramp(np.uint16)), "TIFF"), np.array([ramp(float)[10, 30] / 257] * 3)),
    "32 bits that hold 16": (lambda: encoded(Image.fromarray(ramp(np.int32)), "TIFF"), np.array([ramp(float)[10, 30] / 257] * 3)),
    "transparent": (lambda: encoded(Image.new("RGBA", (40, 20), (255, 0, 0, 0)), "PNG"), np.array([255] * 3)),
    "half transparent": (lambda: encoded(Image.new("RGBA", (40, 20), (255, 0, 0, 128)), "PNG"), np.array([255, 127, 127])),
    "grey and transparent": (lambda: encoded(Image.new("LA", (40, 20), (0, 0)), "PNG"), np.array([255] * 3)),
    "palette with transparency": (lambda: encoded(drawn().quantize(8), "PNG", transparency=bytes([0] * 8)), np.array([255] * 3)),
    "palette without": (lambda: encoded(drawn().quantize(8), "PNG"), np.array([0, 0, 255])),
    "YCbCr": (lambda: encoded(drawn().convert("YCbCr"), "TIFF"), np.array([0, 0, 255])),
    "LAB": (lambda: encoded(Image.new("LAB", (40, 20), (255, 128, 128)), "TIFF"), np.array([255] * 3)),
}


@pytest.mark.parametrize("kind", UNUSUAL)
def test_unusual_pixels(tmp_path: Path, kind: str) -> None:
    write, expected = UNUSUAL[kind]
    (tmp_path / "x").write_bytes(write())
    picture = open_picture(tmp_path / "x")
    assert (picture.mode, picture.size) == ("RGB", (40, 20))
    assert np.abs(np.asarray(picture, float)[10, 30] - expected).max() <= 3


def test_the_first_frame_counts(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(encoded(drawn(), "GIF", save_all=True, append_images=[Image.new("RGB", (40, 20))]))
    assert np.asarray(open_picture(tmp_path / "x"))[10, 30].tolist() == [0, 0, 255]


FAULTS: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "empty file"),
    "text": (lambda: b"this is no picture\n" * 50, "not a picture of a known kind"),
    "truncated jpeg": (lambda: encoded(drawn(), "JPEG")[:-200], "broken: "),
    "truncated png": (lambda: encoded(drawn(), "PNG")[:-60], "broken: "),
    "floating point": (lambda: encoded(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF"), "floating-point"),
    "32 bits": (lambda: encoded(Image.fromarray(np.full((4, 4), 70_000, np.int32)), "TIFF"), "more than 16 bits"),
    "negative": (lambda: encoded(Image.fromarray(np.full((4, 4), -1, np.int32)), "TIFF"), "more than 16 bits"),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_what_is_no_picture(tmp_path: Path, kind: str) -> None:
    write, reason = FAULTS[kind]
    (tmp_path / "x.jpg").write_bytes(write())
    with pytest.raises(PictureFault, match=reason):
        open_picture(tmp_path / "x.jpg")


def test_no_other_program_reads_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PIL would give an EPS to Ghostscript, whatever the file is called."""
    (tmp_path / "gs").write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    (tmp_path / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", None)  # looked for anew
    Image.new("RGB", (4, 4)).save(tmp_path / "x.eps")
    (tmp_path / "x.eps").rename(tmp_path / "x.jpg")
    with pytest.raises(PictureFault, match="not a picture of a known kind"):
        open_picture(tmp_path / "x.jpg")
    assert not (tmp_path / "ran").exists()


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(("most", "taken"), [(800, True), (799, False), (300, False)], ids=["as many", "where PIL warns", "where PIL refuses"])
def test_decompression_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int, taken: bool) -> None:
    (tmp_path / "x.png").write_bytes(encoded(drawn(), "PNG"))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", most)
    if taken:
        open_picture(tmp_path / "x.png")
    else:
        with pytest.raises(PictureFault, match="scale it down"):
            open_picture(tmp_path / "x.png")


@pytest.mark.filterwarnings("ignore::Warning:PIL")
@pytest.mark.parametrize("format", FORMATS)
def test_damage_ends_in_a_picture_or_a_fault(tmp_path: Path, format: str) -> None:
    whole, path = encoded(drawn(), format), tmp_path / "x"

    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.tuples(st.integers(0, len(whole) - 1), st.integers(0, 255)), max_size=4), st.integers(0, len(whole)))
    def damage(changes: list[tuple[int, int]], end: int) -> None:
        content = bytearray(whole)
        for place, value in changes:
            content[place] = value
        path.write_bytes(bytes(content[:end] if end % 3 == 0 else content))
        with contextlib.suppress(PictureFault):
            assert open_picture(path).mode == "RGB"

    damage()
