"""Caption files: both formats, and every fault by file and place."""

import json
from pathlib import Path
from typing import Any

import pytest

from mmr_kit.data.captions import Caption, read_captions
from mmr_kit.errors import InputError


def line(**changes: Any) -> str:
    values = {"caption_id": "i-0-en-0", "image_id": "i-0", "language": "en", "text": "a star", "split": "train"}
    return json.dumps({name: value for name, value in {**values, **changes}.items() if value is not None}, ensure_ascii=False)


def karpathy(*images: Any) -> str:
    return json.dumps({"images": list(images)})


def image(**changes: Any) -> dict[str, Any]:
    values = {"filename": "1.jpg", "split": "train", "sentences": [{"raw": "A dog runs ."}]}
    return {name: value for name, value in {**values, **changes}.items() if value is not None}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "captions.json"


def test_reads_jsonl_in_order(path: Path) -> None:
    odd = "ein  Hund\u2028läuft\x85\u000b"  # what str.splitlines would take for ends of a line
    path.write_text(f"{line(caption_id='b', text=odd, language='de', split='test')}\n{line()}\n", encoding="utf-8")
    assert read_captions(path, "jsonl", "") == [Caption("b", "i-0", "de", odd, "test"), Caption("i-0-en-0", "i-0", "en", "a star", "train")]
    path.write_text(path.read_text(encoding="utf-8").rstrip("\n"), encoding="utf-8")
    assert len(read_captions(path, "jsonl", "")) == 2


def test_reads_karpathys_layout(path: Path) -> None:
    path.write_text(karpathy(image(sentences=[{"raw": " Ein Hund ."}, {"raw": "Hund läuft", "tokens": []}]), image(filename="2.jpg", split="restval"),
                             image(filename="3.jpg", split="val"), image(filename="4.jpg", split="test", sentid=3)))  # fmt: skip
    captions = read_captions(path, "karpathy", "de")
    assert captions[:2] == [Caption("1.jpg#de0", "1.jpg", "de", "Ein Hund .", "train"), Caption("1.jpg#de1", "1.jpg", "de", "Hund läuft", "train")]
    assert [(caption.image_id, caption.split) for caption in captions[2:]] == [("2.jpg", "train"), ("3.jpg", "dev"), ("4.jpg", "test")]


@pytest.mark.parametrize(("second", "fault"), [
    ("{", "Expecting"),
    ("[]", "not a caption"),
    ("", "not a caption"),
    (line(text=None), "text"),
    (line(text=""), "empty"),
    (line(text=" \t"), "empty"),
    (line(text=7), "not a string"),
    (line(image_id=["i"]), "not a string"),
    (line(language=""), "empty"),
    (line(language="../../x"), "language '../../x' is no code"),
    (line(language="=1+1"), "language '=1+1' is no code"),
    (line(split="val"), "'val' is none of train, dev, test"),
    (line(rank=1), "rank"),
    (line(**{"l\nanguage": 1}), "'l anguage'"),
    (line(image_id="my photo"), "white space in an id"),
    (line(caption_id="my\tcaption"), "white space in an id"),
])  # fmt: skip
def test_jsonl_faults_name_file_and_line(path: Path, second: str, fault: str) -> None:
    path.write_text(f"{line(caption_id='first')}\n{second}\n{line(caption_id='third')}\n")
    with pytest.raises(InputError) as error:
        read_captions(path, "jsonl", "")
    assert f"{path}, line 2: not a caption" in str(error.value)
    assert fault in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("second", "fault"), [
    (image(filename=None), "no 'filename'"),
    (image(filename="my photo.jpg"), "white space"),
    (image(split=None), "no 'split'"),
    (image(split="validation"), "'validation' is none of train, dev, test"),
    (image(split=["train"]), "unhashable"),
    (image(sentences=None), "no 'sentences'"),
    (image(sentences=[]), "image '1.jpg' has no captions"),
    (image(sentences=[{"raw": "x"}, {"tokens": ["x"]}]), "no 'raw'"),
    (image(sentences=[{"raw": "  "}]), "empty"),
    (image(sentences=[{"raw": None}]), "NoneType"),
    (image(sentences=["x"]), "indices"),
    ("1.jpg", "indices"),
])  # fmt: skip
def test_karpathy_faults_name_file_and_image(path: Path, second: Any, fault: str) -> None:
    path.write_text(karpathy(image(filename="0.jpg"), second))
    with pytest.raises(InputError) as error:
        read_captions(path, "karpathy", "en")
    assert f"{path}, images[1]: " in str(error.value)
    assert fault in str(error.value)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"images": null}', '{"images": 3}', "7"])
def test_other_json_is_not_karpathys(path: Path, content: str) -> None:
    path.write_text(content)
    with pytest.raises(InputError, match="not JSON in Karpathy's layout"):
        read_captions(path, "karpathy", "en")


@pytest.mark.parametrize(("format", "content"), [("jsonl", ""), ("karpathy", karpathy())])
def test_no_captions(path: Path, format: str, content: str) -> None:
    path.write_text(content)
    with pytest.raises(InputError, match="holds no captions"):
        read_captions(path, format, "en")


def test_files_that_cannot_be_read(path: Path) -> None:
    with pytest.raises(InputError, match=r"captions\.json: missing"):
        read_captions(path, "jsonl", "en")
    path.write_bytes(b'{"images": "\xfc"}')
    with pytest.raises(InputError, match=r"captions\.json: byte 12 is not UTF-8"):
        read_captions(path, "karpathy", "en")
    with pytest.raises(InputError, match=f"{path.parent}: cannot be read"):
        read_captions(path.parent, "jsonl", "en")
