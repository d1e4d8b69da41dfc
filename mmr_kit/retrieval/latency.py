"""How long queries and evaluations take: callables and arrays go in, seconds come out; several ways of one job are always measured in turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmr_kit.errors import InputError
from mmr_kit.retrieval.contracts import Dataset, Model
from mmr_kit.retrieval.search import search

WARM_UP = 3
CERTAIN = 0.05  # half of a 95% interval as a share of the mean, at which a throughput is known well enough
LEAST, MOST = 8, 1000  # batches of a throughput
T_OF_LEAST = 2.365  # Student's t of the 95% interval with LEAST - 1 degrees of freedom; more batches would need less
ENCODING, SEARCH, RERANKING = "encoding", "search", "reranking"

Clock = Callable[[], float]
Tell = Callable[[str], None]  # takes a line on how far a measurement is
Search = Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]]  # queries (q, width), k -> rows and scores (q, k), best first


@dataclass(frozen=True)
class Way:
    """One way of answering queries: a model, and the search of a collection that was embedded beforehand."""

    model: Model
    search: Search


@dataclass(frozen=True)
class QueryTimes:
    """What queries took, one at a time, and what they found.

    seconds: {"encoding", "search", "reranking": float (queries,)}; without the reranking it is a bi-encoder's query. rows, scores: the k items that the
    search found, best first; matches: the match probability of each, all (queries, k).
    """

    seconds: dict[str, np.ndarray]
    rows: np.ndarray
    scores: np.ndarray
    matches: np.ndarray


@dataclass(frozen=True)
class Throughput:
    """Batches of `units` things each (pairs, captions, images): seconds of each batch, float (batches,)."""

    seconds: np.ndarray
    units: int

    @property
    def per_unit(self) -> np.ndarray:
        """Seconds of a thing, as each batch has it."""
        return self.seconds / self.units

    @property
    def half_width(self) -> float:
        """Half of the 95% interval of the mean (Student's t), as a share of the mean; infinite before there are LEAST batches."""
        if len(self.seconds) < LEAST:
            return float("inf")
        return float(T_OF_LEAST * self.seconds.std(ddof=1) / np.sqrt(len(self.seconds)) / self.seconds.mean())


def query_times(ways: Mapping[str, Way], captions: Sequence[str], image_of: Callable[[int], Any], k: int, warm_up: int = WARM_UP,
                tell: Tell | None = None, clock: Clock = time.perf_counter) -> dict[str, QueryTimes]:  # fmt: skip
    """Answer captions by image retrieval, one at a time and each in every way before the next: embed it, search the collection, score the k found pairs.

    image_of: row of the collection -> image for the cross-encoder. The first `warm_up` captions do not count; all should be different, as models
    may remember what they have seen. Raises InputError where no caption is left or k is below 1.
    """
    if len(captions) <= warm_up or k < 1:
        raise InputError(f"latency of {len(captions)} queries, {warm_up} of them to warm up, with k = {k}: give more queries, and k from 1")
    found: dict[str, list[tuple[list[float], np.ndarray, np.ndarray, np.ndarray]]] = {name: [] for name in ways}
    for number, caption in enumerate(captions):
        for name, way in ways.items():
            if tell is not None:
                tell(f"query {number + 1} of {len(captions)}, {name}")
            times = [clock()]
            query = way.model.embed_texts([caption])
            times.append(clock())
            rows, scores = way.search(query, k)
            times.append(clock())
            matches = way.model.score_pairs([caption] * rows.shape[1], [image_of(int(row)) for row in rows[0]])
            times.append(clock())
            found[name].append((times, rows[0], scores[0], matches))
    result = {}
    for name, answers in found.items():
        times_of, rows_of, scores_of, matches_of = (np.array(part) for part in zip(*answers[warm_up:], strict=True))
        seconds = dict(zip((ENCODING, SEARCH, RERANKING), np.diff(times_of, axis=1).T, strict=True))
        result[name] = QueryTimes(seconds, rows_of, scores_of, matches_of)
    return result


def search_times(searches: Mapping[str, Search], queries: np.ndarray, k: int, warm_up: int = WARM_UP, tell: Tell | None = None,
                 clock: Clock = time.perf_counter) -> dict[str, tuple[np.ndarray, np.ndarray]]:  # fmt: skip
    """Seconds of each query's search, float (queries,), and the rows that were found, (queries, k): one query at a time, in each search before the next one.

    queries float32 (q, width), of which the first `warm_up` do not count.
    """
    seconds: dict[str, list[float]] = {name: [] for name in searches}
    rows: dict[str, list[np.ndarray]] = {name: [] for name in searches}
    for number, query in enumerate(queries):
        for name, find in searches.items():
            if tell is not None:
                tell(f"query {number + 1} of {len(queries)}, {name}")
            started = clock()
            found, _ = find(query[None], k)
            seconds[name].append(clock() - started)
            rows[name].append(found[0])
    return {name: (np.array(seconds[name][warm_up:]), np.array(rows[name][warm_up:])) for name in searches}


def throughputs(jobs: Mapping[str, Callable[[int], int]], budget: float, certain: float = CERTAIN, tell: Tell | None = None,
                clock: Clock = time.perf_counter) -> dict[str, Throughput]:  # fmt: skip
    """Do a batch of each job in turn, until the mean of each is known to ±`certain` (95%) or `budget` seconds have passed (at least two batches each).

    jobs: {name: batch number -> units done, the same number at every call}. One batch of each is a warm-up and does not count.
    """
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    units: dict[str, int] = {}
    begun = clock()
    for batch in range(MOST + 1):
        for name, job in jobs.items():
            started = clock()
            done = job(batch)
            if batch:
                seconds[name].append(clock() - started)
            if units.setdefault(name, done) != done:
                raise InputError(f"{name}: a batch of {done} after one of {units[name]}; batches of a throughput are alike")
        measured = {name: Throughput(np.array(values), units[name]) for name, values in seconds.items()}
        if tell is not None:
            tell("; ".join(f"{name} {(batch + 1) * units[name]} done" for name in jobs))
        enough = batch >= LEAST and all(one.half_width <= certain for one in measured.values())
        if enough or (batch >= 2 and clock() - begun >= budget):
            break
    return measured


def evaluation_times(model: Model, find: Callable[[np.ndarray, np.ndarray, int], tuple[np.ndarray, np.ndarray]], captions: Sequence[str],
                     images: Sequence[Any], k: int, rerank: bool = True, clock: Clock = time.perf_counter) -> dict[str, float]:  # fmt: skip
    """Seconds of the parts of an evaluation: embed all captions and images, search in both directions, rerank k candidates of each caption and each image.

    find: queries, items, k -> rows and scores (see `search`). Without the reranking it is a bi-encoder's evaluation.
    """
    times = [clock()]
    texts, pictures = model.embed_texts(captions), model.embed_images(images)
    times.append(clock())
    of_captions, of_images = find(texts, pictures, k)[0], find(pictures, texts, k)[0]
    times.append(clock())
    if rerank:
        pairs = [(caption, int(image)) for caption, row in enumerate(of_captions) for image in row]
        pairs += [(int(caption), image) for image, row in enumerate(of_images) for caption in row]
        model.score_pairs([captions[caption] for caption, _ in pairs], [images[image] for _, image in pairs])
        times.append(clock())
    return {part: float(seconds) for part, seconds in zip((ENCODING, SEARCH, RERANKING), np.diff(times), strict=False)}


def latency_over_k(retriever: Model, reranker: Model, dataset: Dataset, ks: Sequence[int], queries: int = 20) -> dict[int, float]:
    """Median seconds of an image retrieval query for each k: embed the caption, search the images (embedded beforehand), score k pairs.

    The k are measured in turn for each query, so that a machine that slows down slows all of them; the first WARM_UP queries do not count.
    """
    if queries < 1 or not ks or min(ks) < 1:
        raise InputError(f"latency over k = {list(ks)} with {queries} queries: give k from 1 and at least one query")
    images = [dataset.regions[image_id] for image_id in dataset.image_ids]
    embedded = retriever.embed_images(images)
    seconds: dict[int, list[float]] = {k: [] for k in ks}
    for number in range(WARM_UP + queries):
        caption = dataset.texts[number % len(dataset.texts)]
        for k in ks:
            started = time.perf_counter()
            rows, _ = search(retriever.embed_texts([caption]), embedded, k)
            reranker.score_pairs([caption] * rows.shape[1], [images[row] for row in rows[0]])
            if number >= WARM_UP:
                seconds[k].append(time.perf_counter() - started)
    return {k: float(np.median(values)) for k, values in seconds.items()}
