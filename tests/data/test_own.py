"""Data sets of one's own: the csv of captions and its faults, splits that are drawn, and manifests that find their files beside themselves."""

import csv
import json
from collections import Counter
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mmr_kit.data.captions import SPLITS, Caption
from mmr_kit.data.datasets import load_dataset
from mmr_kit.data.manifests import list_manifests, load_manifest
from mmr_kit.data.own import add_dataset, draw_splits, read_caption_table, shared_languages
from mmr_kit.data.pictures import Skipped, list_pictures
from mmr_kit.data.regions import Regions, write_region_store
from mmr_kit.errors import InputError

FILES = ("a.jpg", "b.jpg", "IMG_1.jpg")


def read(path: Path, content: str | bytes, unfit: Collection[Skipped] = (), language: str = "en") -> list[Caption]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_caption_table(path, FILES, unfit, language)


def test_columns_in_any_order(tmp_path: Path) -> None:
    rows = "train,a dog,a.jpg,en\nval,ein Hund,b.jpg,de\ntrain,chien,a.jpg,fr\ntrain, my  dog ,a.jpg,en\n"
    found = read(tmp_path / "x.csv", f"split,caption,image,language\n{rows}")
    assert found == [
        Caption("a.jpg#en0", "a.jpg", "en", "a dog", "train"), Caption("b.jpg#de0", "b.jpg", "de", "ein Hund", "dev"),
        Caption("a.jpg#fr0", "a.jpg", "fr", "chien", "train"), Caption("a.jpg#en1", "a.jpg", "en", "my dog", "train"),
    ]  # fmt: skip


def test_without_language_and_split(tmp_path: Path) -> None:
    assert read(tmp_path / "x.csv", "image,caption\na.jpg,ein Hund\n", language="de") == [Caption("a.jpg#de0", "a.jpg", "de", "ein Hund", "")]


ACCEPTED = {
    "byte order mark": ("\ufeffimage,caption\na.jpg,a dog\n", "a dog"),
    "CRLF": ("image,caption\r\na.jpg,a dog\r\n", "a dog"),
    "no last line feed": ("image,caption\na.jpg,a dog", "a dog"),
    "blank lines": ("image,caption\n\na.jpg,a dog\n\n", "a dog"),
    "a formula": ('image,caption\na.jpg,=HYPERLINK("x")\n', '=HYPERLINK("x")'),
    "quoted, with comma, quote and line feed": ('image,caption\na.jpg,"a ""dog"",\na cat"\n', 'a "dog", a cat'),
    "line separator": ("image,caption\na.jpg,a\u2028dog\n", "a dog"),
    "spaces around": (" image , caption \n a.jpg , a dog \n", "a dog"),
}


@pytest.mark.parametrize("kind", ACCEPTED)
def test_accepted(tmp_path: Path, kind: str) -> None:
    content, text = ACCEPTED[kind]
    assert [(caption.image_id, caption.text) for caption in read(tmp_path / "x.csv", content)] == [("a.jpg", text)]


def test_a_file_name_with_white_space_or_its_id(tmp_path: Path) -> None:
    found = read(tmp_path / "x.csv", "image,caption\nIMG 1.jpg,a dog\nIMG_1.jpg,a cat\n")
    assert [caption.caption_id for caption in found] == ["IMG_1.jpg#en0", "IMG_1.jpg#en1"]


REFUSED: dict[str, tuple[str | bytes, str]] = {
    "no image": ("caption\na dog\n", "line 1: there is no column 'image'"),
    "no caption": ("image\na.jpg\n", "line 1: there is no column 'caption'"),
    "semicolons": ("image;caption\na.jpg;a dog\n", "line 1: there is no column 'image'"),
    "a typing error": ("image,caption,langauge\na.jpg,a dog,en\n", "line 1: column 'langauge' is unknown"),
    "a column twice": ("image,caption,image\na.jpg,a dog,b.jpg\n", "line 1: a column occurs twice"),
    "nothing": ("", "line 1: there is no column"),
    "no rows": ("image,caption\n", "holds no captions"),
    "empty caption": ("image,caption\na.jpg,a dog\na.jpg, \n", "line 3: caption is empty"),
    "empty image": ("image,caption\n,a dog\n", "line 2: image is empty"),
    "empty split": ("image,caption,split\na.jpg,a dog,\n", "line 2: split is empty"),
    "missing cell": ("image,caption\na.jpg\n", "line 2: 1 columns, expected 2"),
    "unquoted comma": ("image,caption\na.jpg,a dog, a cat\n", "line 2: 3 columns, expected 2"),
    "no such picture": ("image,caption\na.jpg,a dog\nc.jpg,a dog\n", "line 3: picture 'c.jpg' is not there"),
    "a picture outside": ("image,caption\n../a.jpg,a dog\n", "line 2: picture '../a.jpg' is not there"),
    "a row twice": ("image,caption\na.jpg,a dog\nb.jpg,a dog\na.jpg,a  dog\n", "line 4: the same image and caption as in line 2"),
    "two splits": ("image,caption,split\na.jpg,a dog,train\na.jpg,a cat,test\n", "line 3: image 'a.jpg' is in split train before"),
    "unknown split": ("image,caption,split\na.jpg,a dog,training\n", "line 2: split 'training' is none of train, dev, test"),
    "no language": ("image,caption,language\na.jpg,a dog,in English\n", "line 2: language 'in English' is no code"),
    "after a caption of two lines": ('image,caption\na.jpg,"a\ndog"\nc.jpg,a dog\n', "line 4: picture 'c.jpg'"),
    "a quote that is not closed": ('image,caption\na.jpg,"a dog\n', "line 2: "),
    "Latin-1": ("image,caption\na.jpg,caf\xe9\n".encode("latin-1"), "is not UTF-8"),
    "UTF-16": ("image,caption\na.jpg,a dog\n".encode("utf-16"), "is not UTF-8"),
    "a picture": (b"\x89PNG\r\n\x1a\n\x00", "is not UTF-8"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_faults_name_file_and_line(tmp_path: Path, kind: str) -> None:
    content, fault = REFUSED[kind]
    with pytest.raises(InputError) as error:
        read(tmp_path / "x.csv", content)
    assert str(tmp_path / "x.csv") in str(error.value)
    assert fault in str(error.value)


def test_a_csv_that_is_not_there(tmp_path: Path) -> None:
    for path, fault in ((tmp_path / "none.csv", "missing"), (tmp_path, "not a file")):
        with pytest.raises(InputError, match=fault):
            read_caption_table(path, FILES, (), "en")


def test_a_picture_that_cannot_be_taken_is_told_with_its_reason(tmp_path: Path) -> None:
    """Also one whose id is another's: its captions must not go to that one."""
    for name in ("sub/c.jpg", "IMG 1.jpg"):
        with pytest.raises(InputError, match=f"line 2: picture '{name}' is unlucky"):
            read(tmp_path / "x.csv", f"image,caption\n{name},a dog\n", [Skipped(name, "is unlucky")])


@given(st.sets(st.text(alphabet="abcdef", min_size=1), min_size=3, max_size=60), st.integers(0, 9))
def test_splits_are_drawn_by_the_seed_alone(image_ids: set[str], seed: int) -> None:
    drawn = draw_splits(image_ids, seed)
    assert drawn == draw_splits(sorted(image_ids, reverse=True), seed)
    counts, tenth = Counter(drawn.values()), max(1, round(len(image_ids) / 10))
    assert set(drawn) == image_ids
    assert (counts["dev"], counts["test"]) == (tenth, tenth)
    assert counts["train"] >= 1


def test_another_seed_draws_other_splits() -> None:
    image_ids = [str(number) for number in range(50)]
    assert draw_splits(image_ids, 0) != draw_splits(image_ids, 1)
    with pytest.raises(InputError, match="2 pictures cannot be drawn"):
        draw_splits(["a", "b"], 0)


# -- the data set -----------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Twelve pictures of different greys."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(12):
        Image.new("RGB", (30, 20), (20 * number,) * 3).save(folder / f"picture {number:02d}.png")
    return folder


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Two captions of each of the first eleven."""
    path = tmp_path / "captions.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("image", "caption"), *((f"picture {n:02d}.png", f"{text} {n}") for n in range(11) for text in ("grey", "gris é"))])
    return path


def extract(pictures: Path, store: Path, only: Collection[str]) -> list[Skipped]:
    """One region a picture: its grey. 'picture 03.png' is said to be broken."""
    files, unfit = list_pictures(pictures)
    taken = [image_id for image_id in files if image_id in only and "03" not in image_id]
    grey = {image_id: np.asarray(Image.open(files[image_id]))[0, 0, :1] / 255 for image_id in taken}
    write_region_store(store, [(image_id, (20, 30), Regions(grey[image_id][None], np.array([[0, 0, 1, 1]]))) for image_id in taken])
    return [*unfit, Skipped("picture 03.png", "broken: by its very name")]


def test_a_data_set_is_made_and_loaded_without_a_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pictures: Path, table: Path) -> None:
    monkeypatch.delenv("MMR_DATA_DIR", raising=False)
    added = add_dataset("mine", pictures, table, tmp_path / "made", extract, licence="free")
    assert added.manifest == tmp_path / "made" / "mine.yaml"
    assert (added.images, added.captions, added.left_out, added.uncaptioned) == ({"train": 8, "dev": 1, "test": 1}, 20, 2, 1)
    assert [file.name for file in added.skipped] == ["picture 03.png"]
    monkeypatch.chdir(tmp_path / "made")
    for path in (added.manifest, "mine.yaml"):
        manifest = load_manifest(path)
        assert (manifest.name, manifest.licence, manifest.missing()) == ("mine", "free", [])
    seen: dict[str, str] = {}
    for split in SPLITS:
        dataset = load_dataset(added.manifest, split)
        assert len(dataset.captions) == 2 * len(dataset.image_ids)
        for image_id in dataset.image_ids:
            assert seen.setdefault(image_id, split) == split
            picture = dataset.picture(image_id)
            assert picture is not None
            assert picture.getpixel((0, 0)) == (round(dataset.regions[image_id].features[0, 0] * 255),) * 3
    assert sorted(seen) == [f"picture_{n:02d}.png" for n in range(11) if n != 3]
    assert all((tmp_path / "made" / "pictures" / image_id).is_symlink() for image_id in seen)


def test_the_splits_of_the_csv_are_kept(tmp_path: Path, pictures: Path, table: Path) -> None:
    rows = table.read_text().splitlines()
    table.write_text("\n".join([f"{rows[0]},split", *(f"{row},{'test' if 'picture 00' in row else 'train'}" for row in rows[1:])]))
    added = add_dataset("mine", pictures, table, tmp_path / "made", extract)
    assert added.images == {"train": 9, "dev": 0, "test": 1}
    assert load_dataset(added.manifest, "test").image_ids == ["picture_00.png"]


def test_pictures_are_copied_where_there_are_no_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pictures: Path, table: Path) -> None:
    def refuse(*_: object) -> None:
        raise OSError

    monkeypatch.setattr("os.symlink", refuse)
    add_dataset("mine", pictures, table, tmp_path / "made", extract)
    copy = tmp_path / "made" / "pictures" / "picture_00.png"
    assert not copy.is_symlink()
    assert copy.read_bytes() == (pictures / "picture 00.png").read_bytes()


def test_names_that_cannot_be(tmp_path: Path, pictures: Path, table: Path) -> None:
    for name in ("", "my set", "../mine", "a/b", ".mine", "-p", "mine.yaml", "ünser", "a:500"):
        with pytest.raises(InputError, match="cannot name a data set"):
            add_dataset(name, pictures, table, tmp_path / "made", extract)
    with pytest.raises(InputError, match="'flickr8k' is a data set of the kit"):
        add_dataset("flickr8k", pictures, table, tmp_path / "made", extract)
    assert not (tmp_path / "made").exists()


def test_a_data_set_that_is_there_stays(tmp_path: Path, pictures: Path, table: Path) -> None:
    manifest = add_dataset("mine", pictures, table, tmp_path / "made", extract).manifest
    before = manifest.read_bytes()
    with pytest.raises(InputError, match=r"mine\.yaml: is there already; remove"):
        add_dataset("mine", pictures, table, tmp_path / "made", extract)
    assert manifest.read_bytes() == before


def test_the_manifest_comes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pictures: Path, table: Path) -> None:
    """What was interrupted is no data set, and the same call makes it one."""
    stores = []

    def once(folder: Path, store: Path, only: Collection[str]) -> list[Skipped]:
        stores.append(store)
        return extract(folder, store, only) if len(stores) == 1 else [Skipped("picture 03.png", "broken: by its very name")]

    with monkeypatch.context() as patched:
        patched.setattr("mmr_kit.data.own.yaml.safe_dump", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            add_dataset("mine", pictures, table, tmp_path / "made", once)
    assert not list((tmp_path / "made").glob("*.yaml"))
    assert add_dataset("mine", pictures, table, tmp_path / "made", once).captions == 20
    assert len(load_dataset(tmp_path / "made" / "mine.yaml", "train").image_ids) == 8


def test_found_by_name_in_the_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pictures: Path, table: Path) -> None:
    monkeypatch.setenv("MMR_DATA_DIR", str(tmp_path / "data"))
    with pytest.raises(InputError, match="no data set 'mine'"):
        load_manifest("mine")
    add_dataset("mine", pictures, table, tmp_path / "data" / "mine", extract)
    assert "mine" in [manifest.name for manifest in list_manifests()]
    assert len(load_dataset("mine", "train").image_ids) == 8
    (tmp_path / "data" / "flickr8k").mkdir()
    content = yaml.safe_load((tmp_path / "data" / "mine" / "mine.yaml").read_text())
    (tmp_path / "data" / "flickr8k" / "flickr8k.yaml").write_text(json.dumps(content | {"title": "not the kit's"}))
    assert "Flickr8k" in load_manifest("flickr8k").title, "the kit's own names are not taken"


def test_a_manifest_elsewhere_finds_its_files_in_the_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pictures: Path, table: Path) -> None:
    """Beside itself first; where its captions are not there, below MMR_DATA_DIR as the kit's own."""
    manifest = add_dataset("mine", pictures, table, tmp_path / "made", extract).manifest
    monkeypatch.setenv("MMR_DATA_DIR", str(tmp_path / "other"))
    assert load_manifest(manifest).data_dir() == tmp_path / "made"
    (tmp_path / "alone").mkdir()
    alone = manifest.rename(tmp_path / "alone" / "mine.yaml")
    assert load_manifest(alone).data_dir() == tmp_path / "other"
    assert load_manifest(alone).missing() == ["captions.jsonl", "regions"]
    monkeypatch.setenv("MMR_DATA_DIR", str(tmp_path / "made"))
    assert load_manifest(alone).missing() == []
    monkeypatch.delenv("MMR_DATA_DIR")
    with pytest.raises(InputError, match=r"set MMR_DATA_DIR to the folder that holds captions\.jsonl"):
        load_manifest(alone).data_dir()


@pytest.mark.parametrize(("captions", "languages"), [
    ("train:en dev:en test:en", ("en",)),
    ("train:de train:de+en dev:de+en test:de", ("de",)),
    ("train:de+de+en dev:de+en test:en+de", ("en",)),
    ("train:de+fr+fr dev:fr+de test:fr+de", ("fr",)),
    ("train:de+de train:en dev:en dev:de test:de test:en", ("de", "en")),
    ("train:en train:fr dev:en test:en", ()),
    ("train:en dev:de test:en", ()),
])  # fmt: skip
def test_languages_in_which_all_can_be_loaded(captions: str, languages: tuple[str, ...]) -> None:
    made = []
    for number, image in enumerate(captions.split()):
        split, _, spoken = image.partition(":")
        made += [Caption(f"{number}#{place}", str(number), language, "a text", split) for place, language in enumerate(spoken.split("+"))]
    assert shared_languages(made) == languages
