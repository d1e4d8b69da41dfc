"""One harness for each reader of files that strangers write: how a good file comes about, and how it is read.

A reader may return, or raise what its docstring names (InputError; open_picture: PictureFault). What is mutated is the part that the reader itself takes
apart: of a .pt its pickle, of a .npz one array, so that mutations are not all spent on the checksums of zip. Shared by `make fuzz` (run.py) and the test suite.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import torch
from PIL import Image

from mmr_kit.data.archives import unpack
from mmr_kit.data.captions import read_captions
from mmr_kit.data.feature_files import read_features
from mmr_kit.data.lock import LOCK, pinned
from mmr_kit.data.manifests import MANIFESTS, load_manifest
from mmr_kit.data.own import read_caption_table
from mmr_kit.data.pictures import PictureFault, open_picture
from mmr_kit.data.regions import RegionStore, write_region_store
from mmr_kit.errors import InputError
from mmr_kit.models.published import read_model, read_weights
from mmr_kit.models.retrieval_model import describe
from mmr_kit.profiles import NOTEBOOKS, declared_parameters, load_profile
from mmr_kit.reporting.report_fragment import fragment
from mmr_kit.reporting.report_sections import read_sections
from mmr_kit.reporting.rows import COLUMNS, read_results
from mmr_kit.reporting.trec import read_qrels, read_run
from tests.data import feature_samples as samples

Read = Callable[[Path], object]
CAPTION = {"caption_id": "1-0", "image_id": "1", "language": "en", "text": "a dog", "split": "dev"}
KARPATHY = {"images": [{"filename": "COCO_1.jpg", "cocoid": 1, "split": "val", "sentences": [{"raw": "a dog"}, {"raw": "ein Hund"}]}]}
ROW = {"table": "table1", "profile": "demo", "dataset": "a", "method": "BE", "metric": "R@1", "value": "17.5", "ci_low": "16", "ci_high": "19",
       "n_queries": "24", "n_items": "24", "seed": "0", "run": "runs/table1/a.BE.image_retrieval.seed0.run.gz"}  # fmt: skip


@dataclass(frozen=True)
class Harness:
    """file: what is altered, in a folder of the harness's own; seeds: good contents of what is mutated; whole: from that to the file's bytes; read: the reader,
    given the file; beside: writes what else the reader needs into the folder. allowed: what it may raise."""

    file: str
    seeds: Callable[[], list[bytes]]
    read: Read
    whole: Callable[[bytes], bytes] = bytes
    beside: Callable[[Path], object] | None = None
    allowed: tuple[type[Exception], ...] = (InputError,)

    def attempt(self, folder: Path, content: bytes) -> str:
        """What the reader said against this content, "" where it took it. Raises whatever the reader must not."""
        path = folder / self.file
        path.write_bytes(self.whole(content))
        try:
            self.read(path)
        except self.allowed as error:
            told = str(error)
            assert "\n" not in told, f"more than one line: {told!r}"
            assert InputError not in self.allowed or str(folder) in told, f"does not name the file: {told!r}"
            return told or "refused"
        return ""

    def prepare(self, folder: Path) -> None:
        """The folder as `attempt` expects it."""
        (folder / self.file).parent.mkdir(parents=True, exist_ok=True)
        if self.beside:
            self.beside(folder)


def pickled(content: Any) -> bytes:
    """The pickle in what torch.save writes."""
    file = io.BytesIO()
    torch.save(content, file)
    with zipfile.ZipFile(file) as archive:
        return archive.read(next(name for name in archive.namelist() if name.endswith("data.pkl")))


def in_pt(pickle: bytes) -> bytes:
    """A .pt of a pickle, with room for two tensors of 64 bytes."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, part in {"data.pkl": pickle, "byteorder": b"little", "data/0": bytes(64), "data/1": bytes(64), "version": b"3\n"}.items():
            archive.writestr(f"x/{name}", part)
    return file.getvalue()


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def in_npz(array: bytes) -> bytes:
    """A feature file of one image, whose features are this array."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, part in {"x": array, "bbox": npy(np.tile(np.float32([0, 0, 9, 9]), (2, 1))), "num_bbox": npy(np.array(2)), "image_h": npy(np.array(48)),
                           "image_w": npy(np.array(64))}.items():  # fmt: skip
            archive.writestr(f"{name}.npy", part)
    return file.getvalue()


def packed(ending: str) -> bytes:
    """An archive of two files."""
    import tarfile

    file, parts = io.BytesIO(), {"x/a.txt": b"one", "x/b/c.txt": b"two"}
    if ending == "zip":
        with zipfile.ZipFile(file, "w") as archive:
            for name, content in parts.items():
                archive.writestr(name, content)
    else:
        with tarfile.open(fileobj=file, mode="w") as tar:
            for name, content in parts.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return file.getvalue()


def photograph(kind: str) -> bytes:
    file = io.BytesIO()
    Image.effect_noise((9, 7), 50).save(file, kind)
    return file.getvalue()


def texts(*values: str) -> Callable[[], list[bytes]]:
    return lambda: [value.encode() for value in values]


def line(row: dict[str, str], columns: tuple[str, ...] = COLUMNS) -> str:
    return ",".join(row.get(name, "") for name in columns) + "\n"


def captions(format: str, **options: Any) -> Read:
    """The reader of a caption file, or of the folder that the file lies in; with a list of images, "1" and "22", where the format has one."""
    return lambda path: read_captions(path.parent if format == "entities" else path, format, "en", **options,
                                      images=path.parent / "keys.tsv" if format in ("entities", "lines") else None)  # fmt: skip


def features(format: str) -> Read:
    return lambda path: list(read_features(format, [path]))


def store(folder: Path) -> None:
    write_region_store(folder / "store", [("1", (48, 64), samples.sample_images()[0].regions), ("2", (48, 64), samples.sample_images()[1].regions)])


def in_store(name: str) -> Harness:
    """A file of a region store of two images."""

    def seeds() -> list[bytes]:
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            store(Path(folder))
            return [(Path(folder) / "store" / name).read_bytes()]

    def read(path: Path) -> None:
        found = RegionStore(path.parent)
        for image_id in found:
            assert np.isfinite(found[image_id].features).all()

    def anew(folder: Path) -> None:
        if not (folder / "store" / "images.json").exists():
            (folder / "store").rmdir()
            store(folder)

    return Harness(f"store/{name}", seeds, read, beside=anew)


def unpacked(path: Path) -> None:
    """Unpacks; nothing may lie outside of the folder afterwards."""
    before = set(path.parent.iterdir())
    unpack(path, path.parent / "out", 10_000)
    assert set(path.parent.iterdir()) <= before | {path.parent / "out"}


def notebook() -> list[bytes]:
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell('steps = 3\nname = "x"', metadata={"tags": ["parameters"]})])
    return [nbformat.writes(made).encode()]


def page(path: Path) -> None:
    """Takes a page apart; what comes out holds no tag but those that may."""
    found = fragment(path.read_bytes().decode("utf-8", "replace"), lambda file, alt: "", lambda headings, printed: None)
    body = (found.body + found.reading).casefold()
    assert not any(f"<{tag}" in body for tag in ("script", "style", "iframe", "svg", "img", "a ", "!")), body
    assert " on" not in "".join(part.partition(">")[0] for part in body.split("<")[1:]).replace('"', ""), body


def list_keys(folder: Path) -> None:
    (folder / "keys.tsv").write_text("1\n22\n")


IMAGE = samples.sample_images()[0]
TENSORS = {"img_embedding.weight": torch.zeros(2, 8), "embeddings.word_embeddings.weight": torch.zeros(4, 4)}
HARNESSES: dict[str, Harness] = {
    "captions_jsonl": Harness("captions.jsonl", texts(json.dumps(CAPTION) + "\n"), captions("jsonl")),
    "captions_karpathy": Harness("captions.json", texts(json.dumps(KARPATHY)), captions("karpathy", image_id="stem")),
    "captions_oscar": Harness("captions.pt", lambda: [pickled({1: ["a dog"], "2": '["a cat"]'})], captions("oscar", split="train"), in_pt),
    "captions_entities": Harness("1.txt", texts("A [/EN#1/people man in [/EN#2/clothing a hat]] [sic]\n"), captions("entities", split="dev"),
                                 beside=lambda folder: (list_keys(folder), (folder / "22.txt").write_text("a cat\n"))),
    "captions_lines": Harness("train.de", texts("Ein Hund\nzwei Katzen\n"), captions("lines", split="dev"), beside=list_keys),
    "captions_tsv": Harness("cc.tsv", texts('caption\timage_id\r\na dog\t7\r\n"a ""cat"""\t8\r\n'), captions("tsv", split="test")),
    "captions_csv": Harness("own.csv", texts('image,caption,language,split\na.jpg,"a dog",en,train\n'),
                            lambda path: read_caption_table(path, ["a.jpg", "b.jpg"], [], "en")),
    "image_list": Harness("keys.tsv", texts("1\n22.jpg\n"), lambda path: read_captions(path.parent / "x.de", "lines", "en", split="dev", images=path),
                          beside=lambda folder: (folder / "x.de").write_text("a\nb\n")),
    "manifest": Harness("x.yaml", lambda: [(MANIFESTS / f"{name}.yaml").read_bytes() for name in ("flickr8k", "flickr30k", "pictograms_a")], load_manifest),
    "profile": Harness("profiles/x.yaml", lambda: [(NOTEBOOKS / "profiles" / "demo.yaml").read_bytes(), b"a: 1\nb: x\nc: 0.5\nd: true\n"],
                       lambda path: load_profile("x", path.parents[1])),
    "notebook": Harness("x.ipynb", notebook, declared_parameters),
    "features_bottom_up_tsv": Harness("x.tsv", texts(samples.bottom_up_row(IMAGE)), features("bottom_up_tsv")),
    "features_vinvl_tsv": Harness("x.tsv", texts(samples.vinvl_row(IMAGE), samples.vinvl_plain_row(IMAGE)), features("vinvl_tsv")),
    "features_npz": Harness("1.npz", lambda: [npy(np.ones((2, 5), np.float32))], features("npz"), in_npz),
    "features_oscar_pt": Harness("x.pt", lambda: [pickled({7: torch.zeros(2, 8), "8": torch.zeros(2, 8)})], features("oscar_pt"), in_pt),
    "features_m3p_pt": Harness("1.pt", lambda: [pickled({"features": np.zeros((2, 3), np.float32), "boxes": np.zeros((2, 4), np.float32), "num_boxes": 2,
                                                         "img_h": 48, "img_w": np.int64(64)})], features("m3p_pt"), in_pt),
    "store_images": in_store("images.json"),
    "store_features": in_store("features.npy"),
    "store_offsets": in_store("offsets.npy"),
    "archive_zip": Harness("x.zip", lambda: [packed("zip")], unpacked),
    "archive_tar": Harness("x.tar", lambda: [packed("tar")], unpacked),
    "lock": Harness(LOCK, texts(json.dumps({"sha256": {"a": "0" * 64}})), lambda path: pinned(path.parent)),
    "picture": Harness("x.jpg", lambda: [photograph(kind) for kind in ("png", "jpeg", "gif", "bmp", "tiff", "webp")], open_picture, allowed=(PictureFault,)),
    "weights": Harness("x.bin", lambda: [pickled(TENSORS), pickled({"model": TENSORS})], read_weights, in_pt),
    "model_released": Harness("modules.json", texts(json.dumps([{"path": "0_OSCAR", "type": "m.OSCAR"}, {"path": "1", "type": "m.Pooling"}])),
                              lambda path: read_model(str(path.parent))),
    "model_description": Harness("mmr_kit.json", texts('{"format": 1, "pooling": "mean", "backbone": {"kind": "oscar", "region_width": 8}}'),
                                 lambda path: describe(path.parent)),
    "results_csv": Harness("x.csv", lambda: [(line({name: name for name in COLUMNS}) + line(ROW)).encode()], read_results),
    "results_section": Harness("table1.csv", lambda: [(line({name: name for name in COLUMNS}) + line(ROW)).encode()], lambda path: read_sections(path.parent)),
    "claims_csv": Harness("table1.claims.csv", texts("id,claim,basis,verdict,part,part_verdict,evidence\nT1-1,x,measured,supported,a,supported,1 - 0\n"),
                          lambda path: read_sections(path.parent)),
    "provenance": Harness("table1.provenance.json", texts('{"git": {"commit": "abc"}, "outputs": {"a.csv": "0"}}'), lambda path: read_sections(path.parent)),
    "run": Harness("x.run", texts("1 Q0 2 1 0.5 BE\n1 Q0 3 2 0.25 BE\n"), lambda path: read_run(path, "image_retrieval")),
    "qrels": Harness("x.qrels", texts("1 0 2 1\n1 0 3 0\n2 0 2 -1\n"), read_qrels),
    "page": Harness("x.html", texts('<h1>T</h1><table class="mmr"><tr><th scope="row">a</th><td>1.0 <i>2</i></td></tr></table><script>x</script>'), page),
}  # fmt: skip
