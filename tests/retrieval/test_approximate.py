"""Approximate search: the same contract, exact scores, and a recall that grows with the effort."""

import builtins
from pathlib import Path

import numpy as np
import pytest

from mmr_kit.errors import InputError
from mmr_kit.retrieval.approximate import ApproximateIndex, recall_of
from mmr_kit.retrieval.collection import Collection


@pytest.fixture(scope="module")
def collection() -> Collection:
    rng = np.random.default_rng(0)
    vectors = np.repeat(rng.normal(size=(50, 32)), 80, axis=0) + 0.7 * rng.normal(size=(4000, 32))
    return Collection.of((vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32))


@pytest.fixture(scope="module")
def queries(collection: Collection) -> np.ndarray:
    vectors = collection.vectors[::100] + 0.1 * np.random.default_rng(1).normal(size=(40, 32))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def index(collection: Collection) -> ApproximateIndex:
    return ApproximateIndex.build(collection, lists=64)


def test_recall_grows_with_the_probes_up_to_all(collection: Collection, queries: np.ndarray, index: ApproximateIndex) -> None:
    exact, _ = collection.search(queries, 10)
    recalls = []
    for index.probes in (1, 4, 16, 64):
        rows, found = index.search(queries, 10)
        assert (rows.shape, rows.dtype, found.dtype) == ((40, 10), np.int64, np.float32)
        for query, some, values in zip(queries, rows, found, strict=True):
            assert np.array_equal(values, collection.score(query, some)), "what is found has its exact score"
            assert list(some) == sorted(some, key=lambda row: (-collection.score(query, np.array([row]))[0], row))
        recalls.append(recall_of(rows, exact))
    assert recalls == sorted(recalls)
    assert 0.2 < recalls[0] < 0.95
    assert recalls[-1] > 0.995, "all lists: only the bytes of the index may hide an item from the forty that are scored"


def test_fills_k_however_few_the_nearest_lists_hold(collection: Collection, queries: np.ndarray, index: ApproximateIndex) -> None:
    index.probes = 1
    rows, _ = index.search(queries[:3], 3000)
    assert rows.shape == (3, 3000)
    assert all(len(set(row)) == 3000 for row in rows.tolist())
    assert np.array_equal(np.sort(index.search(queries[:1], 10**6)[0][0]), np.arange(4000))


def test_is_the_same_for_the_same_seed(collection: Collection, queries: np.ndarray, index: ApproximateIndex) -> None:
    index.probes = 2
    again = ApproximateIndex.build(collection, lists=64, probes=2)
    assert np.array_equal(again.search(queries, 10)[0], index.search(queries, 10)[0])


def test_is_kept_in_a_file(collection: Collection, queries: np.ndarray, index: ApproximateIndex, tmp_path: Path) -> None:
    index.probes = 3
    index.save(tmp_path / "index")
    opened = ApproximateIndex.open(tmp_path / "index", collection, probes=3)
    assert np.array_equal(opened.search(queries, 10)[0], index.search(queries, 10)[0])
    assert [path.name for path in tmp_path.iterdir()] == ["index"]
    with pytest.raises(InputError, match="index of 4000 items, 32 wide, not of these 4, 3"):
        ApproximateIndex.open(tmp_path / "index", Collection.of(np.ones((4, 3))))
    (tmp_path / "index").write_bytes(b"no index")
    with pytest.raises(InputError, match="build it again"):
        ApproximateIndex.open(tmp_path / "index", collection)
    with pytest.raises(InputError, match="build it again"):
        ApproximateIndex.open(tmp_path / "absent", collection)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_collection_of_hardly_any_items(count: int) -> None:
    vectors = np.eye(3, dtype=np.float32)[:count]
    rows, scores = ApproximateIndex.build(Collection.of(vectors), probes=1).search(np.array([[3.0, 2.0, 1.0]]), 5)
    assert rows.tolist() == [list(range(count))]
    assert scores.tolist() == [[3.0, 2.0, 1.0][:count]]


def test_refuses(index: ApproximateIndex) -> None:
    query = np.ones((1, 32))
    for probes in (0, 65):
        index.probes = probes
        with pytest.raises(InputError, match=f"probes is {probes}; the index has 64 lists"):
            index.search(query, 1)
    index.probes = 1
    with pytest.raises(InputError, match="k is 0"):
        index.search(query, 0)
    with pytest.raises(InputError, match="31 wide"):
        index.search(query[:, 1:], 1)
    with pytest.raises(InputError, match="NaN"):
        index.search(query * np.nan, 1)


def test_without_faiss_it_says_what_to_install(collection: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = builtins.__import__

    def absent(name: str, *rest: object, **more: object) -> object:
        if name == "faiss":
            raise ImportError(name)
        return usual(name, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(InputError, match="pip install"):
        ApproximateIndex.build(collection)
