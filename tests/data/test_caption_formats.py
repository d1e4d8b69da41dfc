"""Caption files of the paper's data sets: read as the published code reads them, and every fault told by file and place."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmr_kit.data.captions import SPLITS, Caption, read_captions
from mmr_kit.errors import InputError

EXAMPLES = int(os.environ.get("MMR_FUZZ_EXAMPLES", "50"))  # hostile inputs a reader
TEXTS = {1: ["A dog runs .", " two  dogs\u2028run"], 22: ["Ein Hund läuft", "x", 'a "quoted" cat'], 333: ["a cat"]}


def write_oscar(folder: Path, content: Any = None, **options: Any) -> Path:
    torch.save(TEXTS if content is None else content, folder / "train_captions.pt", **options)
    (folder / "keys.tsv").write_text("1\n22\n333\n")
    return folder / "train_captions.pt"


def write_entities(folder: Path) -> Path:
    (folder / "Sentences").mkdir(exist_ok=True)
    (folder / "Sentences" / "1.txt").write_text("A [/EN#1/people/other big man] runs .\n[/EN#0/notvisual It] sleeps\n")
    (folder / "Sentences" / "22.txt").write_text("Two [/EN#5/animals dogs]\n")
    (folder / "keys.tsv").write_text("1\n22\n")
    return folder / "Sentences"


def write_lines(folder: Path) -> Path:
    (folder / "train.de").write_text("Ein Hund läuft .\nZwei Männer\u2028laufen\n", encoding="utf-8")
    (folder / "keys.tsv").write_text("1.jpg\n22.jpg\n")
    return folder / "train.de"


def write_table(folder: Path) -> Path:
    (folder / "cc.tsv").write_bytes(b'caption\timage_id\r\na dog\t7\r\n"a ""quoted"" caption"\t42\r\na cat\t13579\r\n')
    return folder / "cc.tsv"


def write_karpathy(folder: Path) -> Path:
    images = [{"filename": f"COCO_{name}.jpg", "cocoid": name, "split": "val", "sentences": [{"raw": text} for text in texts]} for name, texts in TEXTS.items()]
    (folder / "captions.json").write_text(json.dumps({"images": images}))
    return folder / "captions.json"


def write_jsonl(folder: Path) -> Path:
    lines = [{"caption_id": f"{name}-{number}", "image_id": str(name), "language": "en", "text": text, "split": "dev"}
             for name, texts in TEXTS.items() for number, text in enumerate(texts)]  # fmt: skip
    (folder / "captions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder / "captions.jsonl"


LAYOUTS: dict[str, tuple[Callable[[Path], Path], dict[str, Any]]] = {
    "oscar": (write_oscar, {"split": "train", "images": True}),
    "entities": (write_entities, {"split": "dev", "images": True}),
    "lines": (write_lines, {"split": "test", "images": True, "number": 3}),
    "tsv": (write_table, {"split": "test"}),
    "karpathy": (write_karpathy, {"image_id": "cocoid"}),
    "jsonl": (write_jsonl, {}),
}


def read(folder: Path, format: str, path: Path | None = None, **changes: Any) -> list[Caption]:
    """Captions of a layout that was written into `folder`."""
    write, options = LAYOUTS[format]
    options = {**options, **changes}
    if options.get("images") is True:
        options["images"] = folder / "keys.tsv"
    return read_captions(path or write(folder), format, "xx", **options)


def test_oscar(tmp_path: Path) -> None:
    captions = read(tmp_path, "oscar")
    assert captions[0] == Caption("1#xx0", "1", "xx", "A dog runs .", "train")
    assert [(caption.caption_id, caption.text) for caption in captions[1:]] == [
        ("1#xx1", "two  dogs\u2028run"), ("22#xx0", "Ein Hund läuft"), ("22#xx1", "x"), ("22#xx2", 'a "quoted" cat'), ("333#xx0", "a cat")]  # fmt: skip
    as_json = write_oscar(tmp_path, {str(name): json.dumps(texts) for name, texts in TEXTS.items()})
    assert read(tmp_path, "oscar", as_json) == captions
    assert read(tmp_path, "oscar", as_json, images=None) == captions
    older = write_oscar(tmp_path, _use_new_zipfile_serialization=False)  # what PyTorch 1.4 wrote, as OSCAR's files
    assert not zipfile.is_zipfile(older)
    assert read(tmp_path, "oscar", older) == captions
    (tmp_path / "keys.tsv").write_text("333\n1")
    assert [caption.image_id for caption in read(tmp_path, "oscar", older)] == ["333", "1", "1"], "in the order of the list, and no others"


def test_entities(tmp_path: Path) -> None:
    folder = write_entities(tmp_path)
    assert read(tmp_path, "entities") == [
        Caption("1#xx0", "1", "xx", "A big man runs .", "dev"),
        Caption("1#xx1", "1", "xx", "It sleeps", "dev"),
        Caption("22#xx0", "22", "xx", "Two dogs", "dev"),
    ]
    marked = {
        "[/EN#1/people A man in [/EN#2/clothing a [/EN#3/colors red] hat]] .": "A man in a red hat .",
        "[/EN#1/other A [sic] sign] [ it ] says ]": "A [sic] sign [ it ] says ]",
        "a  [/EN#1/scene/other   b]\tc": "a b c",
    }
    for line, plain in marked.items():
        (folder / "22.txt").write_text(f"\n{line}\n \n", encoding="utf-8")
        assert [caption.text for caption in read(tmp_path, "entities", folder)[2:]] == [plain]


def test_a_listed_image_without_a_file(tmp_path: Path) -> None:
    (write_entities(tmp_path) / "22.txt").unlink()
    with pytest.raises(InputError, match=r"Sentences/22\.txt: missing"):
        read(tmp_path, "entities", tmp_path / "Sentences")


def test_lines(tmp_path: Path) -> None:
    assert read(tmp_path, "lines") == [
        Caption("1#xx3", "1", "xx", "Ein Hund läuft .", "test"),
        Caption("22#xx3", "22", "xx", "Zwei Männer\u2028laufen", "test"),
    ]


def test_table(tmp_path: Path) -> None:
    path = write_table(tmp_path)
    assert [(c.caption_id, c.text) for c in read(tmp_path, "tsv")] == [("7#xx0", "a dog"), ("42#xx0", 'a "quoted" caption'), ("13579#xx0", "a cat")]
    path.write_text("caption\timage_id\na dog\t7\nthe same\t7\n")
    assert [c.caption_id for c in read(tmp_path, "tsv", path)] == ["7#xx0", "7#xx1"]


@pytest.mark.parametrize(("image_id", "expected"), [("filename", "COCO_22.jpg"), ("stem", "COCO_22"), ("cocoid", "22")])
def test_karpathys_images_by_any_of_their_names(tmp_path: Path, image_id: str, expected: str) -> None:
    assert read(tmp_path, "karpathy", image_id=image_id)[2] == Caption(f"{expected}#xx0", expected, "xx", "Ein Hund läuft", "dev")


def published(golden_dir: Path, name: str) -> dict[str, dict[str, str]]:
    """What the published code read: image -> caption id -> text."""
    found = json.loads((golden_dir / "datasets" / "readers.json").read_text(encoding="utf-8"))[name]
    return {image: {caption: found["captions"][caption] for caption in captions} for image, captions in found["imageid2captions"].items()}


def by_image(captions: list[Caption]) -> dict[str, list[str]]:
    images: dict[str, list[str]] = {}
    for caption in captions:
        images.setdefault(caption.image_id, []).append(caption.text)
    return images


def in_order(found: dict[str, dict[str, str]]) -> dict[str, list[str]]:
    return {image: [captions[name] for name in sorted(captions)] for image, captions in found.items()}


@pytest.mark.parametrize(("split", "file", "keys", "name"), [
    ("train", "train", "train_img_keys", "mscoco split=train tiny=False {'return_dict': True}"),
    ("dev", "minival", "minival_img_keys", "mscoco split=dev tiny=False {}"),
    ("test", "test", "test_img_keys", "mscoco split=test tiny=False {}"),
    ("test", "test", "test_img_keys_1k", "mscoco split=test tiny=True {}"),
])  # fmt: skip
def test_golden_oscar(golden_dir: Path, split: str, file: str, keys: str, name: str) -> None:
    folder = golden_dir / "datasets" / "mscoco"
    captions = read_captions(folder / f"{file}_captions.pt", "oscar", "en", split=split, images=folder / f"{keys}.tsv")
    assert by_image(captions) == in_order(published(golden_dir, name))
    assert {caption.split for caption in captions} == {split}


@pytest.mark.parametrize(("split", "list_", "name"), [
    ("train", "train", "flickr30k split=train {'return_dict': True}"),
    ("dev", "val", "flickr30k split=dev {}"),
    ("test", "test", "flickr30k split=test {}"),
])  # fmt: skip
def test_golden_entities(golden_dir: Path, split: str, list_: str, name: str) -> None:
    folder = golden_dir / "datasets" / "flickr30k_entities"
    captions = read_captions(folder / "Sentences", "entities", "en", split=split, images=folder / f"{list_}.txt")
    assert by_image(captions) == in_order(published(golden_dir, name))


def test_golden_lines(golden_dir: Path) -> None:
    found = published(golden_dir, "multi30k split=train languages=['en', 'de', 'fr', 'cs'] {'return_dict': True}")
    folder, read_here = golden_dir / "datasets" / "multi30k", {}
    five = {language: [f"train.{number}.{language}" for number in range(1, 6)] for language in ("de", "en")}
    for language, files in {"fr": ["train.fr"], "cs": ["train.cs"], **five}.items():
        task = "task2" if len(files) > 1 else "task1"
        images = folder / task / "image_splits" / ("train_images.txt" if task == "task2" else "train.txt")
        for number, file in enumerate(files):
            for caption in read_captions(folder / task / "raw" / file, "lines", language, split="train", images=images, number=number):
                read_here[f"{caption.image_id}_{number + 1}_{language}"] = caption.text
                assert caption.caption_id == f"{caption.image_id}#{language}{number}"
    assert read_here == {name: text for captions in found.values() for name, text in captions.items()}


def test_golden_table(golden_dir: Path) -> None:
    captions = read_captions(golden_dir / "datasets" / "cc" / "cc_test.tsv", "tsv", "en", split="test")
    found = in_order(published(golden_dir, "cc split=test"))
    padded = {f"{'9' * (11 - len(image))}0{image}": texts for image, texts in by_image(captions).items()}  # the published code renames short ids
    assert padded == found


LONG, COUNT = "x" * 200_000, "lines for 2 listed images"


@pytest.mark.parametrize(("format", "file", "content", "fault"), [
    ("oscar", "train_captions.pt", [1], "holds a list"),
    ("oscar", "train_captions.pt", {1: ["a"], "1": ["b"]}, "image '1': occurs twice"),
    ("oscar", "train_captions.pt", {1: ["a"], 22: ["b"]}, "image '333': has no captions, though it is listed"),
    ("oscar", "train_captions.pt", {**TEXTS, 22: []}, "image '22': has no list of captions"),
    ("oscar", "train_captions.pt", {**TEXTS, 22: '{"a": 1}'}, "image '22': has no list"),
    ("oscar", "train_captions.pt", {**TEXTS, 22: "[" * 100_000}, "image '22': "),
    ("oscar", "train_captions.pt", {**TEXTS, 22: ["a", 7]}, "image '22': "),
    ("oscar", "train_captions.pt", {**TEXTS, 22: ["a", " "]}, "image '22': an id, the language or the text is empty"),
    ("oscar", "train_captions.pt", {**TEXTS, 22: ['"\ud800"']}, "image '22': "),
    ("oscar", "train_captions.pt", {1.5: ["a"]}, "image 1.5: image id 1.5 is neither"),
    ("oscar", "keys.tsv", "1\n\n22\n", "keys.tsv, line 2: image id '' is empty"),
    ("oscar", "keys.tsv", "1\n22\n1\n", "keys.tsv, line 3: image id '1' occurs twice"),
    ("oscar", "keys.tsv", "", "keys.tsv: lists no images"),
    ("entities", "keys.tsv", "1\n../keys\n", "keys.tsv, line 2: image id '../keys' cannot name a file"),
    ("entities", "keys.tsv", "1\n2 2\n", "line 2: image id '2 2' is empty or has white space"),
    ("entities", "keys.tsv", "1\n..\n", "line 2: image id '..' cannot name a file"),
    ("entities", "Sentences/22.txt", "a\na [/EN#1/people man\n", "22.txt, line 2: a marked phrase is not closed by ]"),
    ("entities", "Sentences/22.txt", "\n", "22.txt: holds no captions"),
    ("entities", "Sentences/22.txt", "a\n[/EN#1/people ]\n", "22.txt, line 2: an id, the language or the text is empty"),
    ("lines", "train.de", "a\n", f"train.de: 1 {COUNT}"),
    ("lines", "train.de", "a\nb\nc\n", f"train.de: 3 {COUNT}"),
    ("lines", "train.de", "a\n\n", "train.de, line 2: an id, the language or the text is empty"),
    ("tsv", "cc.tsv", "", "cc.tsv, line 1: expected the columns"),
    ("tsv", "cc.tsv", "image_id\tcaption\n7\ta\n", "cc.tsv, line 1: expected the columns"),
    ("tsv", "cc.tsv", "caption\timage_id\na\t7\nb\n", "cc.tsv, line 3: 1 columns, expected 2"),
    ("tsv", "cc.tsv", "caption\timage_id\na\t7\n\nb\t8\n", "cc.tsv, line 3: 0 columns"),
    ("tsv", "cc.tsv", "caption\timage_id\na\t../7\n", "cc.tsv, line 2: image id '../7' cannot name a file"),
    ("tsv", "cc.tsv", "caption\timage_id\na\t7 8\n", "cc.tsv, line 2: white space in an id"),
    ("tsv", "cc.tsv", 'caption\timage_id\n"a\t7\n', "cc.tsv, line 2: unexpected end of data"),
    ("tsv", "cc.tsv", f"caption\timage_id\n{LONG}\t7\n", "cc.tsv, line 2: field larger than"),
    ("karpathy", "captions.json", '{"images": [{"cocoid": 1.5, "split": "val", "sentences": []}]}', "images[0]: image id 1.5 is neither"),
    ("karpathy", "captions.json", '{"images": [{"filename": "x", "split": "val", "sentences": []}]}', "images[0]: no 'cocoid'"),
    ("karpathy", "captions.json", '{"images": ' + "[" * 100_000, "not JSON in Karpathy's layout"),
    ("jsonl", "captions.jsonl", "[" * 100_000, "captions.jsonl, line 1: not a caption"),
])  # fmt: skip
def test_faults_name_file_and_place(tmp_path: Path, format: str, file: str, content: Any, fault: str) -> None:
    path = LAYOUTS[format][0](tmp_path)
    if file.endswith(".pt"):
        torch.save(content, tmp_path / file)
    else:
        (tmp_path / file).write_text(content)
    with pytest.raises(InputError) as error:
        read(tmp_path, format, path)
    assert str(tmp_path / file.split("/")[0]) in str(error.value)
    assert fault in str(error.value)


def test_a_caption_id_twice_in_one_file(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path)
    path.write_text(path.read_text() + path.read_text().splitlines()[0])
    with pytest.raises(InputError, match=r"captions\.jsonl: caption id '1-0' occurs twice"):
        read(tmp_path, "jsonl", path)


def test_unknown_formats_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown caption format 'csv'; there are jsonl"):
        read_captions(write_jsonl(tmp_path), "csv", "en")


class Evil:
    """Would make a file, if it were unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def test_pickled_code_does_not_run(tmp_path: Path) -> None:
    path, mark = write_oscar(tmp_path), tmp_path / "ran"
    for write in (lambda: torch.save({1: Evil(mark)}, path), lambda: torch.save({1: Evil(mark)}, path, _use_new_zipfile_serialization=False),
                  lambda: path.write_bytes(pickle.dumps(Evil(mark)))):  # fmt: skip
        write()
        with pytest.raises(InputError, match=r"train_captions\.pt: not a file of plain data"):
            read(tmp_path, "oscar", path)
        assert not mark.exists()


def test_compressed_parts_are_not_opened(tmp_path: Path) -> None:
    """A .pt of a few kilobytes could otherwise fill the memory."""
    path, other = write_oscar(tmp_path), tmp_path / "bomb.pt"
    with zipfile.ZipFile(path) as stored, zipfile.ZipFile(other, "w", zipfile.ZIP_DEFLATED) as packed:
        for part in stored.infolist():
            packed.writestr(part.filename, stored.read(part))
    with pytest.raises(InputError, match=r"bomb\.pt: not a file of plain data .*compressed"):
        read(tmp_path, "oscar", other)


ODD_IDS = [b"../1", b"a/b", b"1 2", b" ", b"", b"..", b"\x00", b"\xff", "ä".encode(), b"1", b"22", b"-1", b"1.jpg", b"NaN", b"[]", b"\xe2\x80\xa8", b"\\"]


@st.composite
def hostile(draw: st.DrawFn, content: bytes) -> bytes:
    """A valid file with a few of the faults that transfers, editors and attackers make."""
    for _ in range(draw(st.integers(1, 3))):
        lines, place = content.split(b"\n"), draw(st.integers(0, max(len(content) - 1, 0)))
        line = draw(st.integers(0, len(lines) - 1))
        match draw(st.sampled_from(["cut", "flip", "crlf", "bom", "empty line", "twice", "id", "insert", "gone", "swap"])):
            case "cut":
                content = content[:place]
            case "flip" if content:
                content = content[:place] + bytes([content[place] ^ (1 << draw(st.integers(0, 7)))]) + content[place + 1 :]
            case "crlf":
                content = content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
            case "bom":
                content = b"\xef\xbb\xbf" + content
            case "empty line":
                content = b"\n".join([*lines[:line], b"", *lines[line:]])
            case "twice":
                content = b"\n".join([*lines[:line], lines[line], *lines[line:]])
            case "id":
                content = content.replace(draw(st.sampled_from([b"22", b"1", b"333", b"7"])), draw(st.sampled_from(ODD_IDS)), draw(st.integers(1, 3)))
            case "insert":
                content = content[:place] + draw(st.binary(max_size=8)) + content[place:]
            case "gone":
                content = b"\n".join(lines[:line] + lines[line + 1 :])
            case "swap":
                content = b"\n".join(reversed(lines))
    return content


def fit(captions: list[Caption]) -> bool:
    """Whether every caption may go into a data set: by rules stated anew here."""
    return bool(captions) and len({c.caption_id for c in captions}) == len(captions) and all(
        c.text.strip() and c.split in SPLITS and c.language and set(c.image_id).isdisjoint("/\\ \t\r\n\0") and c.image_id not in ("", ".", "..")
        and not any(character.isspace() for character in c.caption_id + c.image_id) and c.text.encode() for c in captions)  # fmt: skip


def outcome(attempt: Callable[[], list[Caption]]) -> list[Caption] | str:
    """What was read, or the message of the refusal."""
    try:
        return attempt()
    except InputError as error:
        return str(error)


@pytest.mark.parametrize("format", LAYOUTS)
def test_hostile_files_are_refused_or_read_right(tmp_path: Path, format: str) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    path = LAYOUTS[format][0](whole)
    assert fit(read(whole, format, path))
    files = sorted(file for file in whole.rglob("*") if file.is_file())
    outcomes = {"read": 0, "refused": 0}

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def attack(data: st.DataObject) -> None:
        folder = tmp_path / "altered"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(whole, folder)
        file = data.draw(st.sampled_from(files))
        (folder / file.relative_to(whole)).write_bytes(data.draw(hostile(file.read_bytes())))
        captions = outcome(lambda: read(folder, format, folder / path.relative_to(whole)))
        if isinstance(captions, str):
            assert str(folder) in captions
            assert "\n" not in captions
        else:
            assert fit(captions)
        outcomes["refused" if isinstance(captions, str) else "read"] += 1

    attack()
    assert min(outcomes.values()) > 0, "some are harmless, some are not"


def test_any_content_of_a_pt_file_is_refused_or_read_right(tmp_path: Path) -> None:
    values = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.binary(max_size=4),
                          lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3))  # fmt: skip

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.dictionaries(st.integers(0, 9) | st.text(max_size=3), st.lists(st.text(max_size=5), max_size=3) | values, max_size=3) | values)
    def attack(content: Any) -> None:
        torch.save(content, tmp_path / "x.pt")
        captions = outcome(lambda: read_captions(tmp_path / "x.pt", "oscar", "en", split="train"))
        assert str(tmp_path) in captions if isinstance(captions, str) else fit(captions)

    attack()
