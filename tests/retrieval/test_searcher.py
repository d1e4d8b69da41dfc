"""One query at a time gives what whole rankings give, and embeds the collection once."""

from typing import Any

import pytest

from mmr_kit.errors import InputError
from mmr_kit.retrieval.ranking import DIRECTIONS, Ranking
from mmr_kit.retrieval.rerank import score_candidates
from mmr_kit.retrieval.retrieve import bi_encode, cooperate, cross_encode
from mmr_kit.retrieval.searcher import QUERY, Searcher
from tests.retrieval.small_world import Gallery, Table


def rows(ranking: Ranking, query_id: str = QUERY) -> list[tuple[str, float]]:
    place = ranking.query_ids.index(query_id)
    return list(zip(ranking.candidate_ids[place], ranking.scores[place].tolist(), strict=True))


def queries(gallery: Gallery, direction: str) -> list[tuple[str, Any]]:
    contents = gallery.texts if direction == "image_retrieval" else list(gallery.regions.values())
    return list(zip(gallery.query_ids(direction), contents, strict=True))


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("seed", range(4))
def test_equals_the_rankings_of_all_queries(direction: str, seed: int) -> None:
    gallery, retriever, reranker = Gallery(7, 9), Table(9, 7, seed), Table(9, 7, seed + 9)
    be, coop = bi_encode(retriever, gallery, 4)[direction], cooperate(retriever, reranker, gallery, 4)[direction]
    ce = cross_encode(reranker, gallery)[direction]
    combined = score_candidates(reranker, gallery, [be])[0].ranking(4, "NORM_ADD", 0.3)
    searcher, grid = Searcher(gallery, retriever), Searcher(gallery)
    for query_id, query in queries(gallery, direction):
        answer = searcher.ask(direction, query, 4, reranker)
        assert answer.retrieved is not None
        assert rows(answer.retrieved) == rows(be, query_id)
        assert rows(answer.ranking) == rows(coop, query_id)
        assert rows(searcher.ask(direction, query, 4, reranker, "NORM_ADD", 0.3).ranking) == rows(combined, query_id)
        only = searcher.ask(direction, query, 4)
        assert only.retrieved is only.ranking
        assert rows(only.ranking) == rows(be, query_id)
        scored = grid.ask(direction, query, 4, reranker)
        assert scored.retrieved is None
        assert rows(scored.ranking) == rows(ce, query_id)[:4]


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_embeds_the_collection_once_and_tells_the_time_of_each_stage(direction: str) -> None:
    gallery, model = Gallery(7, 9), Table(9, 7)
    searcher = Searcher(gallery, model)
    answers = [searcher.ask(direction, query, k, model) for k in (2, 5) for _, query in queries(gallery, direction)[:3]]
    item, query = ("image", "caption") if direction == "image_retrieval" else ("caption", "image")
    of_items = {name: count for name, count in model.embedded.items() if name.startswith(item)}
    assert of_items == {f"{item} {number}": 1 for number in range(len(gallery.item_ids(direction)))}
    assert {name: count for name, count in model.embedded.items() if name.startswith(query)} == {f"{query} {number}": 2 for number in range(3)}
    assert [len(answer.ranking.candidate_ids[0]) for answer in answers] == [2, 2, 2, 5, 5, 5]
    for answer in answers:
        assert list(answer.seconds) == ["encoding the query", "search", "reranking"]
        assert all(0 < seconds < 5 for seconds in answer.seconds.values())
    assert list(Searcher(gallery).ask(direction, queries(gallery, direction)[0][1], 2, model).seconds) == ["scoring"]


def test_refuses() -> None:
    gallery, model = Gallery(7, 9), Table(9, 7)
    with pytest.raises(InputError, match="name a retriever, a model that reranks, or both"):
        Searcher(gallery).ask("image_retrieval", "1")
    for direction, caption, fault in (("images", "1", "there are image_retrieval and text_retrieval"), ("image_retrieval", " \n", "caption is empty")):
        with pytest.raises(InputError, match=fault):
            Searcher(gallery, model).ask(direction, caption)
