"""A collection's search against the definition: the products of all items in float64, rounded, largest first, ties by row."""

import errno
import json
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmr_kit.errors import InputError
from mmr_kit.retrieval import collection as module
from mmr_kit.retrieval import first_pass
from mmr_kit.retrieval.collection import Collection
from mmr_kit.retrieval.search import search

KINDS = ("normal", "cone", "duplicates", "near duplicates", "zeros", "one long", "all long", "constant columns", "denormal", "whole numbers",
         "one large column", "overflowing")  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def _small_pieces() -> Iterator[None]:
    """Many blocks, and passes that are not enough, of a few hundred items."""
    with patch.multiple(module, PLAIN_VALUES=0, DEPTHS=(16, 64), ROWS=50, CODES_AT_ONCE=4000, QUERIES_AT_ONCE=7):
        yield


def embeddings(kind: str, count: int, width: int, seed: int) -> np.ndarray:
    """float32 (count, width) of one of KINDS."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(count, width))
    match kind:
        case "cone":
            vectors = 0.2 * vectors + rng.normal(size=width)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        case "duplicates":
            vectors = vectors[rng.integers(0, 1 + count // 10, count)]
        case "near duplicates":
            vectors = vectors[rng.integers(0, 1 + count // 30, count)] * (1 + 1e-7 * vectors)
        case "zeros":
            vectors *= rng.integers(0, 2, (count, 1))
        case "one long":
            vectors[rng.integers(count)] *= 1e6
        case "all long":
            vectors *= 1e15
        case "constant columns":
            vectors[:, : 1 + width // 2] = 3
        case "denormal":
            vectors *= 1e-40
        case "whole numbers":
            vectors = rng.integers(-2, 3, (count, width))
        case "one large column":
            vectors[:, 0] *= 1000
        case "overflowing":
            vectors *= 3e37
    return vectors.astype(np.float32)


def defined(queries: np.ndarray, items: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    with np.errstate(over="ignore"):
        scores = np.vecdot(items.astype(np.float64)[None], queries.astype(np.float64)[:, None]).astype(np.float32)
    rows = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return rows, np.take_along_axis(scores, rows, axis=1)


def same(one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]) -> None:
    assert one[0].dtype == np.int64
    assert one[1].dtype == np.float32
    assert np.array_equal(one[1], other[1])
    assert np.array_equal(one[0], other[0])


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(KINDS), st.sampled_from(KINDS), st.integers(1, 400), st.integers(1, 200), st.integers(0, 10), st.integers(1, 30),
       st.integers(0, 2**32 - 1))  # fmt: skip
def test_is_exact_whatever_the_embeddings(items_kind: str, queries_kind: str, count: int, width: int, asked: int, k: int, seed: int) -> None:
    items, queries = embeddings(items_kind, count, width, seed), embeddings(queries_kind, max(1, asked), width, seed + 1)[:asked]
    same(Collection.of(items).search(queries, k), defined(queries, items, k))


@pytest.mark.parametrize("asked", [1, 20])
@pytest.mark.parametrize(("faiss", "integers"), [(True, True), (False, True), (False, False)])
@pytest.mark.parametrize("kind", KINDS)
def test_every_first_pass_gives_the_same(kind: str, faiss: bool, integers: bool, asked: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_pass, "_faiss_is_exact", lambda width: faiss)
    monkeypatch.setattr(first_pass, "_torch_is_exact", lambda width: integers)
    items, queries = embeddings(kind, 500, 64, 0), embeddings("normal", asked, 64, 1)
    same(Collection.of(items).search(queries, 4), defined(queries, items, 4))


def test_the_first_pass_spares_the_plain_one() -> None:
    with patch.multiple(module, DEPTHS=(512, 8192), ROWS=16_384, CODES_AT_ONCE=2**20):
        items, queries = embeddings("cone", 20_000, 96, 0), embeddings("cone", 20, 96, 1)
        collection = Collection.of(items)
        same(collection.search(queries, 20), defined(queries, items, 20))
    assert collection.plain == 0
    assert collection.scored < 20 * 512, "an exact search that scores everything is no gain"


@pytest.mark.parametrize("kind", ["normal", "cone", "whole numbers"])
def test_agrees_with_the_plain_search(kind: str) -> None:
    items, queries = embeddings(kind, 3000, 48, 2), embeddings(kind, 30, 48, 3)
    rows, scores = Collection.of(items).search(queries, 10)
    plain_rows, plain_scores = search(queries, items, 10)
    assert np.allclose(scores, plain_scores, rtol=1e-6, atol=1e-6)
    swapped = rows != plain_rows  # only where float32 products cannot tell
    assert np.allclose(scores[swapped], plain_scores[swapped], rtol=1e-6, atol=1e-6)
    assert swapped.mean() < 0.02
    if kind == "whole numbers":
        assert not swapped.any()


def test_an_answer_depends_on_no_other_query() -> None:
    items, queries = embeddings("normal", 400, 32, 0), embeddings("normal", 30, 32, 1)
    collection = Collection.of(items)
    rows, scores = collection.search(queries, 5)
    for number, query in enumerate(queries):
        same(collection.search(query[None], 5), (rows[number : number + 1], scores[number : number + 1]))


@pytest.mark.parametrize("resident", [0, 2**30])
@pytest.mark.parametrize("chunk", [1, 37, 50, 1000])
def test_a_folder_is_searched_like_memory(chunk: int, resident: int, tmp_path: Path) -> None:
    items, queries = embeddings("cone", 421, 40, 0), embeddings("cone", 9, 40, 1)
    built = Collection.build(tmp_path / "c", (items[start : start + chunk] for start in range(0, len(items), chunk)))
    assert (len(built), built.width) == (421, 40)
    assert np.array_equal(built.vectors, items)
    expected = defined(queries, items, 12)
    same(built.search(queries, 12), expected)
    same(Collection.open(tmp_path / "c", resident).search(queries, 12), expected)
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def test_a_build_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def chunks() -> Iterator[np.ndarray]:
        yield embeddings("normal", 120, 8, 0)
        raise RuntimeError("the model failed")

    with pytest.raises(RuntimeError, match="the model failed"):
        Collection.build(tmp_path / "c", chunks())
    assert not list(tmp_path.iterdir())


def test_what_a_killed_build_left_is_cleared(tmp_path: Path) -> None:
    (tmp_path / "c.partial" / "collection").mkdir(parents=True)
    (tmp_path / "c.partial" / "collection" / "vectors.npy").write_bytes(b"half")
    assert len(Collection.build(tmp_path / "c", [embeddings("normal", 60, 8, 0)])) == 60
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def test_two_builds_of_one_folder(tmp_path: Path) -> None:
    def chunks() -> Iterator[np.ndarray]:
        yield embeddings("normal", 60, 8, 0)
        with pytest.raises(InputError, match="another process is building"):
            Collection.build(tmp_path / "c", [embeddings("normal", 5, 8, 0)])

    assert len(Collection.build(tmp_path / "c", chunks())) == 60


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module.Growing, "append", full)
    with pytest.raises(InputError, match="No space left on device; make room"):
        Collection.build(tmp_path / "c", [embeddings("normal", 5, 8, 0)])
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_there_is_kept(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is there already"):
        Collection.build(tmp_path, [np.ones((1, 2))])


@pytest.mark.parametrize(("chunks", "fault"), [
    ([], "the collection is empty"),
    ([np.ones((0, 3))], "the collection is empty"),
    ([np.ones((2, 3)), np.ones((2, 4))], "4 wide, those before them 3"),
    ([np.ones(3)], r"not of an array of shape \(3,\)"),
    ([np.ones((2, 0))], r"shape \(2, 0\)"),
    ([np.ones((2, 3)), np.full((1, 3), np.nan)], "NaN or infinite"),
])  # fmt: skip
def test_refuses_to_build(chunks: list[np.ndarray], fault: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=fault):
        Collection.build(tmp_path / "c", chunks)
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError):
        Collection.of(np.vstack(chunks) if chunks and len({c.shape[1:] for c in chunks}) == 1 and chunks[0].ndim == 2 else np.ones(3))


@pytest.mark.parametrize("name", ["collection.json", "vectors.npy", "codes.npy", "bounds.npy", "centre.npy", "rotation.npy"])
@pytest.mark.parametrize("harm", ["missing", "cut short", "emptied", "of another collection"])
def test_a_damaged_folder_is_told(name: str, harm: str, tmp_path: Path) -> None:
    Collection.build(tmp_path / "c", [embeddings("normal", 60, 8, 0)])
    file = tmp_path / "c" / name
    if harm == "missing":
        file.unlink()
    elif harm == "of another collection":
        Collection.build(tmp_path / "other", [embeddings("normal", 70, 9, 0)])
        file.write_bytes((tmp_path / "other" / name).read_bytes())
    else:
        file.write_bytes(file.read_bytes()[: 0 if harm == "emptied" else -3])
    with pytest.raises(InputError, match=r"build (one|the collection)"):
        Collection.open(tmp_path / "c")


def test_another_format_is_told(tmp_path: Path) -> None:
    Collection.build(tmp_path / "c", [embeddings("normal", 60, 8, 0)])
    about = tmp_path / "c" / "collection.json"
    about.write_text(json.dumps(json.loads(about.read_text()) | {"format": 99}))
    with pytest.raises(InputError, match="format 99"):
        Collection.open(tmp_path / "c")


@pytest.mark.parametrize(("queries", "k", "fault"), [
    (np.ones((2, 3)), 0, "k is 0"),
    (np.ones((2, 3)), -1, "k is -1"),
    (np.ones((2, 2)), 1, "queries are 2 wide, items 3"),
    (np.ones(3), 1, r"queries are an array of shape \(3,\)"),
    (np.array([[1.0, np.nan, 0.0]]), 1, "NaN or infinite"),
    (np.array([[1.0, np.inf, 0.0]]), 1, "NaN or infinite"),
])  # fmt: skip
def test_refuses_a_search(queries: np.ndarray, k: int, fault: str) -> None:
    with pytest.raises(InputError, match=fault):
        Collection.of(np.ones((4, 3))).search(queries, k)
