"""Manifests: the kit's own are sound, and every fault of one's own is told with file and field."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from mmr_kit.data.manifests import MANIFESTS, Relative, list_manifests, load_manifest
from mmr_kit.errors import InputError

FILES = {"captions": [{"path": "x/captions.json", "format": "karpathy", "language": "en"}], "regions": "x/regions", "pictures": "x/images"}
GENERATOR = {"domain": "a", "seed": 1, "sizes": {"train": 4, "dev": 2, "test": 2}}


def write(folder: Path, **changes: Any) -> Path:
    values = {"name": "x", "title": "X", "licence": "free", "source": "a test", "files": FILES, **changes}
    path = folder / "x.yaml"
    path.write_text(yaml.safe_dump({name: value for name, value in values.items() if value is not None}))
    return path


def test_those_of_the_kit_are_valid_and_bear_their_files_names() -> None:
    found = list_manifests()
    assert [manifest.name for manifest in found] == sorted(path.stem for path in MANIFESTS.glob("*.yaml"))
    assert {"flickr8k", "pictograms_a", "pictograms_b", "pictograms_pool", "smoke_a", "smoke_b"} <= {manifest.name for manifest in found}
    for manifest in found:
        assert load_manifest(manifest.name) == manifest
        assert manifest.licence


def test_own_manifest_by_path(tmp_path: Path) -> None:
    manifest = load_manifest(write(tmp_path))
    assert manifest.files is not None
    assert (manifest.files.captions[0].format, manifest.files.regions) == ("karpathy", "x/regions")
    assert load_manifest(str(write(tmp_path, files=None, generator=GENERATOR))).generator is not None


OUTSIDE = ["../secret", "x/../../secret", "/etc/passwd", "~/secret", "~root/secret", "C:\\secret", "C:/secret", "..\\secret", "x\\..", ""]


@pytest.mark.parametrize("path", OUTSIDE)
def test_paths_stay_below_the_data_folder(tmp_path: Path, path: str) -> None:
    captions = [{"path": path, "format": "jsonl", "language": "en"}]
    for files in ({**FILES, "regions": path}, {**FILES, "pictures": path}, {**FILES, "captions": captions}):
        with pytest.raises(InputError, match="leaves the data folder") as error:
            load_manifest(write(tmp_path, files=files))
        assert str(tmp_path / "x.yaml") in str(error.value)


@given(st.text(alphabet="./~\\:ab", max_size=8))
def test_accepted_paths_resolve_below_any_folder(path: str) -> None:
    try:
        accepted = TypeAdapter(Relative).validate_python(path)
    except ValidationError:
        return
    root = Path("/data/folder")
    assert (root / accepted).resolve().is_relative_to(root)


@pytest.mark.parametrize(("changes", "fault"), [
    ({"colour": "red"}, "colour: Extra inputs"),
    ({"title": None}, "title: Field required"),
    ({"files": {**FILES, "boxes": "x"}}, "files.boxes: Extra inputs"),
    ({"files": {**FILES, "captions": [{"path": "x", "format": "csv", "language": "en"}]}}, "files.captions.0.format"),
    ({"files": None, "generator": {**GENERATOR, "sise": 3}}, "generator.sise: Extra inputs"),
    ({"files": None, "generator": {**GENERATOR, "sizes": {"training": 3}}}, "generator.sizes"),
    ({"generator": GENERATOR}, "give either files or generator"),
    ({"files": None}, "give either files or generator"),
    ({"files": {**FILES, "captions": [{"path": "x", "format": "oscar", "language": "en"}]}}, "split is missing; a file of format oscar"),
    ({"files": {**FILES, "captions": [{"path": "x", "format": "lines", "language": "en", "split": "dev"}]}}, "images is missing; a file of format lines"),
    ({"files": {**FILES, "captions": [{"path": "x", "format": "tsv", "language": "en", "split": "val"}]}}, "files.captions.0.split"),
    ({"files": {**FILES, "regions_from": {"format": "h5", "sources": ["x"]}}}, "files.regions_from.format"),
    ({"files": {**FILES, "regions_from": {"format": "npz", "sources": []}}}, "files.regions_from.sources"),
    ({"files": {**FILES, "regions_from": {"format": "npz", "sources": ["../x"]}}}, "leaves the data folder"),
    ({"files": {**FILES, "image_prefix": "a/"}}, "files.image_prefix"),
    ({"downloads": [{"base": "http://example.org/", "names": ["x"], "folder": "x"}]}, "downloads.0.base"),
    ({"downloads": [{"base": "https://example.org/x", "names": ["x"], "folder": "x"}]}, "downloads.0.base"),
    ({"downloads": [{"base": "https://example.org/", "names": ["../x"], "folder": "x"}]}, "leaves the data folder"),
    ({"expected": {"images": {"val": 3}, "captions": {}}}, "expected.images"),
])  # fmt: skip
def test_faults_name_file_and_field(tmp_path: Path, changes: dict[str, Any], fault: str) -> None:
    path = write(tmp_path, **changes)
    with pytest.raises(InputError) as error:
        load_manifest(path)
    assert str(path) in str(error.value)
    assert fault in str(error.value)


BILLION_LAUGHS = b"a: &a [x, x]\n" + b"".join(b"%c: &%c [*%c, *%c]\n" % (c + 1, c + 1, c, c) for c in range(97, 121))
TAGS = [b"!!python/object/apply:os.getcwd []", b"name: !!python/object/new:os.system [true]", b"!!python/name:os.system", b"!!python/module:os",
        b"a: !!int x", b"a: !!int ''", b"a: !!float x", b"a: !!bool x", b"a: !!timestamp x", b"2001-99-99", b"a: " + b"9" * 5000, b"? [a]\n: b"]  # fmt: skip


@pytest.mark.parametrize("content", [b"name: [", b"\xff\xfe\x00", b"- a\n- b\n", b"", b"[" * 500, BILLION_LAUGHS, b"a: &a {b: 1}\nc: {<<: *a}", *TAGS])
def test_what_is_no_manifest(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"x\.yaml: ") as error:
        load_manifest(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["", "../x", "/x", "a/b", "a b", "-x", ".x", "=cmd|' /C calc'!A1", "<b>x</b>", "\x1b[2J", "x\n", "\\input{x}"])
def test_names_that_cannot_stand_in_file_names_and_tables(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"x\.yaml: name: String should match"):
        load_manifest(write(tmp_path, name=name))


def test_names_that_are_not_there(tmp_path: Path) -> None:
    for name in ("flickr9k", "../pyproject", "/etc/passwd", ".", ""):
        with pytest.raises(InputError, match=r"no data set .*known: .*flickr8k"):
            load_manifest(name)
    with pytest.raises(InputError, match="no such manifest"):
        load_manifest(tmp_path / "x.yaml")
    (tmp_path / "x.yaml").mkdir()
    with pytest.raises(InputError, match=r"x\.yaml: "):
        load_manifest(tmp_path / "x.yaml")


def test_status_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = load_manifest(write(tmp_path))
    monkeypatch.delenv("MMR_DATA_DIR", raising=False)
    assert manifest.missing() == ["x/captions.json", "x/regions"]
    assert manifest.status() == "missing: set MMR_DATA_DIR to the folder that holds x/captions.json, x/regions"
    with pytest.raises(InputError, match=r"set MMR_DATA_DIR to the folder that holds x/captions\.json \(source: a test\)"):
        manifest.data_dir()
    monkeypatch.setenv("MMR_DATA_DIR", str(tmp_path))
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "captions.json").touch()
    assert manifest.status() == f"missing: put into {tmp_path} x/regions"
    (tmp_path / "x" / "regions").mkdir()
    assert (manifest.missing(), manifest.status()) == ([], f"ready in {tmp_path}")
    sources = {"format": "npz", "sources": ["x/a", "x/b"]}
    downloads = [{"base": "https://example.org/", "names": ["a.zip"], "folder": "x", "unpack": "x"}]
    manifest = load_manifest(write(tmp_path, files={**FILES, "regions_from": sources}, downloads=downloads))
    assert (manifest.missing(), manifest.next_step()) == ([], ""), "what regions were made from may be gone"
    (tmp_path / "x" / "regions").rmdir()
    assert manifest.next_step("x.yaml") == "mmr data fetch x.yaml"
    (tmp_path / "x" / "a.zip").touch()
    assert manifest.next_step() == f"put into {tmp_path} x/a, x/b", "what the download did not hold"
    (tmp_path / "x" / "a").mkdir()
    (tmp_path / "x" / "b").mkdir()
    assert manifest.status() == "missing: mmr data prepare x"
    generated = load_manifest("smoke_a")
    assert (generated.missing(), generated.status()) == ([], "ready (generated when first used)")
