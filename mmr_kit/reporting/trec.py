"""Runs and qrels in TREC's format, so that public tools recompute every number of the tables.

A run line is `query Q0 item rank score tag`, a qrels line `query 0 item 1`. Tools ignore the rank and sort again by score: trec_eval (so pytrec_eval and
ir-measures) reads scores as float32 and breaks ties by *falling* item id, ranx by position. The kit breaks ties by *rising* id. So that all of them see the
kit's order, the written scores fall strictly: a score that is not below the one before it is lowered to the next float32 below (`strict_scores`).
Ties thus come back from a file as near-ties of one unit in the last place, in the same order. And a query's scores have no more digits than keep them apart
(`written_scores`), as the runs of a profile are most of its results' size.
"""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Collection, Iterator, Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np

from mmr_kit.cache import atomic_write
from mmr_kit.errors import InputError
from mmr_kit.retrieval.ranking import Ranking

SUBNORMAL = 0x007F_FFFF  # the bits of the largest subnormal float32: tools compiled to flush these to zero would tie them again
LARGEST_FILE = 2**30  # bytes unpacked: a megabyte can be unpacked to a gigabyte
LARGEST = 0x7F7F_FFFF - SUBNORMAL
DIGITS = range(3, 7)  # of written scores; decimal numbers of up to six differ as float32, too
ORDINARY = (1e-37, 1e38)  # sizes that stay normal float32 when rounded


def strict_scores(scores: np.ndarray) -> np.ndarray:
    """The given falling scores, lowered by as few float32 steps as make them fall strictly; subnormal numbers count as zero. Both float32 (items,)."""
    scores = np.asarray(scores, dtype=np.float32)
    if not np.isfinite(scores).all():
        raise InputError("a score is not finite")
    if (scores[1:] > scores[:-1]).any():
        raise InputError("the scores do not fall from each item to the next")
    bits = scores.view(np.int32).astype(np.int64)
    size = np.maximum((bits & 0x7FFF_FFFF) - SUBNORMAL, 0)
    steps = np.where(bits < 0, -size, size)  # neighbouring normal floats are neighbouring integers
    place = np.arange(len(steps))
    steps = np.minimum.accumulate(steps + place) - place  # at most one below the one before
    if len(steps) and steps[-1] < -LARGEST:
        raise InputError("the scores are too close to the lowest float32 to be told apart")
    size = np.where(steps == 0, 0, np.abs(steps) + SUBNORMAL)
    return np.where(steps < 0, size | 0x8000_0000, size).astype(np.uint32).view(np.float32)


def written_scores(scores: np.ndarray) -> list[str]:
    """The given falling scores, float32 (items,), each in so many significant digits (3 at least) that all fall strictly, made to as in `strict_scores`."""
    strict = strict_scores(scores)
    values = strict.tolist()
    if all(value == 0 or ORDINARY[0] < abs(value) < ORDINARY[1] for value in values):
        for digits in DIGITS:
            texts = [f"{value:.{digits}g}" for value in values]
            if all(one != next_one for one, next_one in pairwise(texts)):
                return texts
    return [str(score) for score in strict]


def write_run(path: Path, ranking: Ranking, tag: str, depth: int | None = None) -> None:
    """Write the first `depth` items of each query; ids with whitespace are refused, as the format cannot hold them."""
    path = Path(path)
    _check_ids(path, {tag, *ranking.query_ids, *(item for items in ranking.candidate_ids for item in items[:depth])})
    lines = []
    for query, items, scores in zip(ranking.query_ids, ranking.candidate_ids, ranking.scores, strict=True):
        items = items[:depth]
        try:
            written = written_scores(scores[:depth])
        except InputError as error:
            raise InputError(f"{path}: query {query!r}: {error}") from None
        lines += [f"{query} Q0 {item} {rank} {score} {tag}\n" for rank, (item, score) in enumerate(zip(items, written, strict=True), start=1)]
    _write(path, lines)


def write_qrels(path: Path, relevance: Mapping[str, Collection[str]]) -> None:
    """Write the relevant items of each query, items in the order of their ids."""
    path = Path(path)
    lines = []
    for query, items in relevance.items():
        _check_ids(path, [query, *items])
        lines += [f"{query} 0 {item} 1\n" for item in sorted(items)]
    _write(path, lines)


def read_run(path: Path, direction: str) -> Ranking:
    """The ranking of a run file: queries in the file's order, items by falling float32 score (equal scores by rising id, as everywhere in the kit)."""
    found: dict[str, dict[str, float]] = {}
    for number, (query, _, item, _, score, _) in _fields(Path(path), 6):
        items = found.setdefault(query, {})
        if item in items:
            raise InputError(f"{path}, line {number}: item {item!r} stands twice under query {query!r}")
        try:
            items[item] = float(score)
        except ValueError:
            raise InputError(f"{path}, line {number}: {score!r} is not a score") from None
        if not np.isfinite(items[item]):
            raise InputError(f"{path}, line {number}: the score is not finite")
    scores = [np.array(list(items.values()), dtype=np.float32) for items in found.values()]
    return Ranking.from_scores(direction, list(found), [list(items) for items in found.values()], scores)


def read_qrels(path: Path) -> dict[str, set[str]]:
    """The relevant items (relevance above 0) of each query."""
    relevance: dict[str, set[str]] = {}
    for number, (query, _, item, grade) in _fields(Path(path), 4):
        if not re.fullmatch(r"-?\d{1,9}", grade):
            raise InputError(f"{path}, line {number}: {grade!r} is not a relevance grade")
        relevant = relevance.setdefault(query, set())
        if int(grade) > 0:
            relevant.add(item)
    return relevance


def _write(path: Path, lines: list[str]) -> None:
    """Gzip without time stamp or file name: equal content gives equal bytes."""
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=buffer, mtime=0, compresslevel=7) as file:
        file.write("".join(lines).encode())
    atomic_write(path, buffer.getvalue())


def _fields(path: Path, width: int) -> Iterator[tuple[int, list[str]]]:
    """Line number and fields of each line of a (gzipped or plain) file."""
    number = 0
    try:
        with open(path, "rb") as opened:
            file = gzip.GzipFile(fileobj=opened) if opened.peek(2)[:2] == b"\x1f\x8b" else opened
            content = file.read(LARGEST_FILE + 1)
        if len(content) > LARGEST_FILE:
            raise OSError(f"more than {LARGEST_FILE} bytes, which no run of the kit has")
        lines = content.decode().splitlines()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a readable TREC file ({error}); write it again") from None
    for number, line in enumerate(lines, start=1):
        fields = line.split()
        if len(fields) != width:
            raise InputError(f"{path}, line {number}: {width} fields expected, {len(fields)} found")
        yield number, fields


def _check_ids(path: Path, ids: Collection[str]) -> None:
    for text in ids:
        if not text or len(text.split()) != 1 or text != text.strip():
            raise InputError(f"{path}: {text!r} cannot be written to a TREC file: an id is one word without whitespace")
