"""Retrieval and reranking with a model that is a table of scores: who is asked what, and in which order the answers stand."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmr_kit.errors import InputError
from mmr_kit.retrieval import rerank
from mmr_kit.retrieval import retrieve as module
from mmr_kit.retrieval.ranking import DIRECTIONS, Ranking
from mmr_kit.retrieval.rerank import score_candidates
from mmr_kit.retrieval.retrieve import bi_encode, cooperate, cross_encode, retrieve, search_images
from mmr_kit.retrieval.settling import log_odds
from tests.retrieval.small_world import Gallery, Table


def best(gallery: Gallery, direction: str, table: np.ndarray, k: int) -> dict[str, list[tuple[str, float]]]:
    """Brute force: for each query the k items of the largest values of table (captions, images), ties by id."""
    table = table if direction == "image_retrieval" else table.T
    items = gallery.item_ids(direction)
    return {query: sorted(zip(items, row.tolist(), strict=True), key=lambda pair: (-pair[1], pair[0]))[:k]
            for query, row in zip(gallery.query_ids(direction), table, strict=False)}


def as_dict(ranking: Ranking) -> dict[str, list[tuple[str, float]]]:
    return {query: list(zip(items, scores.tolist(), strict=True))
            for query, items, scores in zip(ranking.query_ids, ranking.candidate_ids, ranking.scores, strict=True)}


SIZES = st.tuples(st.integers(2, 7), st.integers(2, 9), st.integers(0, 1), st.integers(0, 99))


@given(SIZES, st.integers(1, 12))
def test_bi_encoding_and_cross_encoding_equal_brute_force(sizes: tuple[int, int, int, int], k: int) -> None:
    images, captions, distractors, seed = sizes
    gallery, model = Gallery(images, captions, distractors), Table(captions, images, seed)
    rankings = bi_encode(model, gallery, k)
    assert model.embedded == Counter(model.embedded.keys()), "each caption and image is embedded once for both directions"
    assert len(model.embedded) == images + captions
    grids = cross_encode(model, gallery)
    assert model.scored == Counter({(caption, image): 1 for caption in range(captions) for image in range(images)})
    for direction in DIRECTIONS:
        assert as_dict(rankings[direction]) == best(gallery, direction, model.vectors[1] @ model.vectors[0].T, k)
        assert as_dict(grids[direction]) == best(gallery, direction, model.scores, 100)


@given(SIZES, st.integers(1, 12))
def test_cooperation_reorders_the_candidates_and_scores_each_pair_once(sizes: tuple[int, int, int, int], k: int) -> None:
    images, captions, distractors, seed = sizes
    gallery, retriever, reranker = Gallery(images, captions, distractors), Table(captions, images, seed), Table(captions, images, seed + 1)
    candidates, rankings = bi_encode(retriever, gallery, k), cooperate(retriever, reranker, gallery, k)
    row = {name: number for ids in (gallery.image_ids, gallery.caption_ids) for number, name in enumerate(ids)}
    asked = set()
    for direction in DIRECTIONS:
        for query, found, kept in zip(candidates[direction].query_ids, candidates[direction].candidate_ids, rankings[direction].candidate_ids, strict=True):
            assert sorted(kept) == sorted(found)
            pairs = [(row[query], row[item]) if direction == "image_retrieval" else (row[item], row[query]) for item in found]
            asked |= set(pairs)
            scores = dict(zip(found, (float(reranker.scores[pair]) for pair in pairs), strict=True))
            assert as_dict(rankings[direction])[query] == sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))
    assert reranker.scored == Counter(dict.fromkeys(asked, 1)), "pairs that both directions want are scored once"
    assert not retriever.scored


class Folded(Gallery):
    """Two images and four captions a fold, of which the first two are of its first image."""

    def __init__(self, folds: int) -> None:
        super().__init__(2 * folds, 4 * folds)
        self.folds = folds

    def galleries(self) -> list[Gallery]:
        parts = []
        for fold in range(self.folds):
            part = Gallery(0, 0)
            part.image_ids, part.caption_ids = self.image_ids[2 * fold : 2 * fold + 2], self.caption_ids[4 * fold : 4 * fold + 4]
            part.texts, part.regions = self.texts[4 * fold : 4 * fold + 4], self.regions
            parts.append(part)
        return parts


@settings(deadline=None)
@given(st.integers(1, 4), st.integers(0, 99), st.integers(1, 3))
def test_each_query_is_searched_for_in_its_own_fold(folds: int, seed: int, k: int) -> None:
    gallery, model = Folded(folds), Table(4 * folds, 2 * folds, seed)
    told: list[tuple[int, int]] = []
    found = {"BE": bi_encode(model, gallery, k), "CE": cross_encode(model, gallery, lambda *progress: told.append(progress)),
             "COOP": cooperate(model, model, gallery, k)}  # fmt: skip
    assert told == [(8 * fold, 8 * folds) for fold in range(1, folds + 1)]
    assert sum(model.scored.values()) <= 8 * folds * 2, "no pair across folds"
    for direction in DIRECTIONS:
        by_hand = {"BE": [bi_encode(model, part, k)[direction] for part in gallery.galleries()],
                   "CE": [cross_encode(model, part)[direction] for part in gallery.galleries()],
                   "COOP": [cooperate(model, model, part, k)[direction] for part in gallery.galleries()]}  # fmt: skip
        for method, parts in by_hand.items():
            assert found[method][direction].query_ids == gallery.query_ids(direction)
            assert as_dict(found[method][direction]) == {query: items for part in parts for query, items in as_dict(part).items()}


@given(SIZES)
def test_cooperation_over_the_whole_collection_is_the_cross_encoder(sizes: tuple[int, int, int, int]) -> None:
    images, captions, distractors, seed = sizes
    gallery, model = Gallery(images, captions, distractors), Table(captions, images, seed)
    alone, together = cross_encode(model, gallery), cooperate(model, model, gallery, k=max(images, captions))
    for direction in DIRECTIONS:
        assert as_dict(alone[direction]) == as_dict(together[direction])


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_retrieve_is_one_direction_of_either(direction: str) -> None:
    gallery, retriever, reranker = Gallery(6, 8, 2), Table(8, 6), Table(8, 6, seed=1)
    assert as_dict(retrieve(retriever, gallery, direction, 3)) == as_dict(bi_encode(retriever, gallery, 3)[direction])
    reranked = retrieve(retriever, gallery, direction, 3, rerank=reranker)
    assert as_dict(reranked) == as_dict(cooperate(retriever, reranker, gallery, 3)[direction])
    assert reranked.direction == direction


def test_more_pairs_than_are_scored_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    gallery, model = Gallery(6, 8), Table(8, 6)
    expected, told = cross_encode(model, gallery), []
    monkeypatch.setattr(rerank, "PAIRS_AT_ONCE", 7)
    found = cross_encode(model, gallery, lambda done, total: told.append((done, total)))
    assert told == [(min(start + 7, 48), 48) for start in range(0, 48, 7)]
    for direction in DIRECTIONS:
        assert as_dict(found[direction]) == as_dict(expected[direction])


def test_grids_keep_their_best_only() -> None:
    gallery, model = Gallery(3, 150), Table(150, 3)
    assert {len(items) for items in cross_encode(model, gallery)["text_retrieval"].candidate_ids} == {module.DEPTH}


def test_search_with_a_caption_of_ones_own() -> None:
    gallery, retriever, reranker = Gallery(6, 8), Table(8, 6), Table(8, 6, seed=1)
    retrieved, reranked = search_images("3", retriever, gallery, 4, reranker)
    own = gallery.caption_ids[3]
    assert as_dict(retrieved)["query"] == as_dict(bi_encode(retriever, gallery, 4)["image_retrieval"])[own]
    assert as_dict(reranked)["query"] == as_dict(cooperate(retriever, reranker, gallery, 4)["image_retrieval"])[own]
    assert as_dict(search_images("3", retriever, gallery, 4)[1]) == as_dict(search_images("3", retriever, gallery, 4, retriever)[1])
    assert len(search_images("3", retriever, gallery, 99)[0].candidate_ids[0]) == 6
    for caption, k, fault in (("  ", 4, "caption is empty"), ("3", 0, "k is 0")):
        with pytest.raises(InputError, match=fault):
            search_images(caption, retriever, gallery, k)


def test_reranking_nothing_new_asks_nothing_new() -> None:
    gallery, model = Gallery(6, 8), Table(8, 6)
    ranking = retrieve(model, gallery, "image_retrieval", 3)
    first, second = (scored.ranking(3) for scored in score_candidates(model, gallery, [ranking, ranking]))
    assert as_dict(first) == as_dict(second)
    assert set(model.scored.values()) == {1}


def test_refuses() -> None:
    gallery, model = Gallery(6, 8), Table(8, 6)
    for direction in ("images", "", "IMAGE_RETRIEVAL"):
        with pytest.raises(InputError, match="there are image_retrieval and text_retrieval"):
            retrieve(model, gallery, direction)
    with pytest.raises(InputError, match="k is 0"):
        retrieve(model, gallery, "image_retrieval", 0)
    model.scores[2, 3] = np.nan
    with pytest.raises(InputError, match="match probabilities hold NaN"):
        cross_encode(model, gallery)
    model.vectors[0][1] = np.inf
    with pytest.raises(InputError, match="embeddings hold NaN"):
        bi_encode(model, gallery)


class Coarse(Table):
    """Match probabilities whose odds are a little off, by noise and by as much for all candidates of a query; its `exact` self knows them."""

    def __init__(self, exact: Table, noise: float, shared: float = 0) -> None:
        super().__init__(*exact.scores.shape)
        rng = np.random.default_rng(5)
        odds = log_odds(exact.scores) + noise * rng.uniform(-1, 1, exact.scores.shape) + shared * rng.uniform(-1, 1, (len(exact.scores), 1))
        self.exact: Table | None = exact
        self.scores, self.vectors = (1 / (1 + np.exp(-odds))).astype(np.float32), exact.vectors


def firsts(rankings: dict[str, Ranking]) -> list[str]:
    return [items[0] for ranking in rankings.values() for items in ranking.candidate_ids]


@pytest.mark.parametrize(("shared", "again"), [(0, 0.25), (0.3, 0.8)])
def test_near_ties_are_settled_by_exact_scores(shared: float, again: float) -> None:
    gallery, exact = Gallery(40, 60), Table(60, 40)
    exact.scores = np.random.default_rng(3).uniform(0.3, 0.7, exact.scores.shape).astype(np.float32)
    coarse = Coarse(exact, 0.02, shared)
    for ranked in (lambda model: cooperate(exact, model, gallery, 20), lambda model: cross_encode(model, gallery)):
        exact.scored.clear()
        expected = ranked(exact)
        whole = exact.scored.total()
        found = ranked(coarse)
        assert 0 < exact.scored.total() - whole < again * whole, "only those in doubt"
        assert max(exact.scored.values()) == 2, "none is scored again twice"
        for direction in DIRECTIONS[: 1 if shared else 2]:  # the captions among which an image is to choose have an error each
            assert firsts({direction: found[direction]}) == firsts({direction: expected[direction]})
    coarse.exact = None
    assert firsts(cooperate(exact, coarse, gallery, 20)) != firsts(cooperate(exact, exact, gallery, 20))


def test_a_searcher_settles_as_all_others_do() -> None:
    gallery, exact = Gallery(40, 60), Table(60, 40)
    exact.scores = np.random.default_rng(3).uniform(0.3, 0.7, exact.scores.shape).astype(np.float32)
    coarse = Coarse(exact, 0.02)
    answers = [search_images(text, exact, gallery, 20, coarse)[1].candidate_ids[0][0] for text in gallery.texts]
    assert answers == firsts(cooperate(exact, exact, gallery, 20))[: len(answers)]


def test_probabilities_of_one_are_settled_however_many_there_are() -> None:
    gallery, exact = Gallery(8, 8), Table(8, 8)
    exact.scores = np.linspace(0.9, 0.99, 64, dtype=np.float32).reshape(8, 8)
    coarse = Coarse(exact, 0)
    coarse.scores = np.ones((8, 8), dtype=np.float32)
    assert firsts(cooperate(exact, coarse, gallery, 8)) == firsts(cooperate(exact, exact, gallery, 8))
