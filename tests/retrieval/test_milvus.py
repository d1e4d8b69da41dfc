"""A collection in Milvus gives what exact search gives, filtered, after deletions, and opened again. Milvus Lite stands for the server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mmr_kit.errors import InputError
from mmr_kit.retrieval.collection import Collection
from mmr_kit.retrieval.milvus import MilvusCollection

pytest.importorskip("milvus_lite", reason="Milvus is not installed: make install-milvus, or pip install 'mmr-kit[milvus]'")
psutil = pytest.importorskip("psutil")

WIDTH, ITEMS = 16, 2500
LANGUAGES = [("en", "de", "fr", "cs")[row % 4] for row in range(ITEMS)]
SOURCES = ["web" if row < 1000 else "press-1" for row in range(ITEMS)]


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    """Unit vectors, fifty of them twice, so that scores tie."""
    drawn = np.random.default_rng(0).standard_normal((ITEMS, WIDTH)).astype(np.float32)
    drawn[2000:2050] = drawn[100:150]
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True))


@pytest.fixture(scope="module")
def queries(vectors: np.ndarray) -> np.ndarray:
    return np.concatenate([vectors[100:120], np.random.default_rng(1).standard_normal((30, WIDTH)).astype(np.float32)])


@pytest.fixture(scope="module")
def flat(vectors: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusCollection]:
    tags = {"language": LANGUAGES, "source": SOURCES}
    made = MilvusCollection.build(tmp_path_factory.mktemp("milvus") / "flat.db", "images", np.split(vectors, [7, 1700]), tags)
    yield made
    made.close()


@pytest.mark.parametrize("k", [1, 20, 600])
def test_a_flat_index_is_exact(flat: MilvusCollection, vectors: np.ndarray, queries: np.ndarray, k: int) -> None:
    assert (len(flat), flat.width) == (ITEMS, WIDTH)
    for found, wanted in zip(flat.search(queries, k), Collection.of(vectors).search(queries, k), strict=True):
        assert np.array_equal(found, wanted)


@pytest.mark.parametrize("tags", [{"language": "de"}, {"source": "web"}, {"language": "fr", "source": "press-1"}])
def test_filtered_it_is_the_exact_search_among_those(flat: MilvusCollection, vectors: np.ndarray, queries: np.ndarray, tags: dict[str, str]) -> None:
    kept = [row for row in range(ITEMS) if LANGUAGES[row] == tags.get("language", LANGUAGES[row]) and SOURCES[row] == tags.get("source", SOURCES[row])]
    rows, scores = Collection.of(vectors[kept]).search(queries, 20)
    found_rows, found_scores = flat.search(queries, 20, **tags)
    assert np.array_equal(found_rows, np.array(kept)[rows])
    assert np.array_equal(found_scores, scores)


def test_fewer_than_k_fit(flat: MilvusCollection, queries: np.ndarray) -> None:
    rows, scores = flat.search(queries[:2], 900, language="en")
    assert ((rows >= 0).sum(1) == ITEMS // 4).all()
    assert np.isneginf(scores[rows < 0]).all()
    assert (flat.search(queries[:1], 3, language="xx")[0] == -1).all()


def test_deleted_items_are_found_no_more_and_the_rest_is_there_when_opened_again(vectors: np.ndarray, queries: np.ndarray, tmp_path: Path) -> None:
    made = MilvusCollection.build(tmp_path / "c.db", "images", [vectors])
    gone, _ = made.search(queries, 5)
    made.delete(np.unique(gone).tolist())
    kept = np.setdiff1d(np.arange(ITEMS), gone)
    made.close()
    opened = MilvusCollection.open(tmp_path / "c.db", "images")
    rows, scores = Collection.of(vectors[kept]).search(queries, 20)
    found_rows, found_scores = opened.search(queries, 20)
    assert np.array_equal(found_rows, kept[rows])
    assert np.array_equal(found_scores, scores)
    assert len(opened) == len(kept)
    opened.drop()
    with pytest.raises(InputError, match="holds no collection 'images'; there are none"):
        MilvusCollection.open(tmp_path / "c.db", "images")
    opened.close()


def test_an_approximate_index_finds_most(vectors: np.ndarray, queries: np.ndarray, tmp_path: Path) -> None:
    made = MilvusCollection.build(tmp_path / "c.db", "images", [vectors], index="hnsw")
    exact, approximate = Collection.of(vectors).search(queries, 20)[0], made.search(queries, 20)[0]
    made.close()
    recall = np.mean([len(np.intersect1d(*pair)) / 20 for pair in zip(exact, approximate, strict=True)])
    assert recall > 0.95


def test_it_listens_on_this_machine_alone(flat: MilvusCollection) -> None:
    connections = psutil.Process().net_connections("inet")
    listening = [connection.laddr.ip.removeprefix("::ffff:") for connection in connections if connection.status == psutil.CONN_LISTEN]
    assert listening
    assert set(listening) == {"127.0.0.1"}


@pytest.mark.parametrize("value", ['en" or language != "', "en\\", "", "a" * 65, "de\n", "%"])
def test_a_tag_is_no_filter(flat: MilvusCollection, queries: np.ndarray, value: str) -> None:
    with pytest.raises(InputError, match="language"):
        flat.search(queries, 3, language=value)


def test_wrong_requests(flat: MilvusCollection, vectors: np.ndarray, queries: np.ndarray, tmp_path: Path) -> None:
    for wrong, fault in ((lambda: flat.search(queries, 0), "k is 0"), (lambda: flat.search(queries[:, :3], 5), "3 wide, items 16"),
                         (lambda: flat.search(queries * np.nan, 5), "NaN"), (lambda: flat.search(queries, 5, colour="red"), "no tag 'colour'")):  # fmt: skip
        with pytest.raises(InputError, match=fault):
            wrong()
    assert flat.search(queries[:0], 5)[0].shape == (0, 5)
    address = tmp_path / "w.db"
    for chunks, more, fault in (([], {}, "is empty"), ([vectors * np.inf], {}, "NaN"), ([vectors, vectors[:, :2]], {}, "2 wide, those before them 16"),
                                ([vectors], {"tags": {"language": ["en"]}}, "2500 items and 1 values"), ([vectors], {"index": "tree"}, "no index 'tree'"),
                                ([vectors], {"tags": {"language": ['"'] * ITEMS}}, "language")):  # fmt: skip
        with pytest.raises(InputError, match=fault):
            MilvusCollection.build(address, "images", chunks, **more)
    MilvusCollection.build(address, "images", [vectors[:9]]).close()  # nothing half-built was left in its way
    with pytest.raises(InputError, match="holds a collection 'images' already"):
        MilvusCollection.build(address, "images", [vectors])
    for name, fault in (("../x", "collection"), ("a b", "collection")):
        with pytest.raises(InputError, match=fault):
            MilvusCollection.open(address, name)
    with pytest.raises(InputError, match=r"ends in \.db"):
        MilvusCollection.open(tmp_path / "folder", "images")
    with pytest.raises(InputError, match="cannot be reached"):
        MilvusCollection.open("http://127.0.0.1:9", "images")
