"""The first pass of exact search: the largest products of whole numbers, from a byte a value, by the fastest routine that this machine computes exactly.

A collection's codes are bytes, value + 128, so that FAISS's 8-bit scanner and torch's integer product read the same memory. Values and queries are whole
numbers from -127 to 127; their products are whole numbers, and below `EXACT_WIDTH` no routine rounds them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import torch

LEVELS = 127  # largest absolute value of a code and of a query's value
OFFSET = 128  # of the bytes
ROUNDING = 2.0**-24  # of float32
EXACT_WIDTH = 2**24 // LEVELS**2  # up to this width every partial sum is a whole number that float32 holds
GROUP = 16  # columns of a product whose largest value is looked at first
PIECE = 2048  # rows that are float32 at a time where there is no product of whole numbers
FEW = 5  # queries up to which FAISS, one query after the other, beats one product of all (200,000 x 768: 34 ms for 1 and 124 for 4; torch 173 and 198)

Blocks = Callable[[], Iterator[tuple[int, np.ndarray]]]
"""One pass over the codes: first row and bytes (rows, width) of each block in turn."""
Product = Callable[[np.ndarray], torch.Tensor]
"""Bytes (rows, width) -> products (queries, rows), whole numbers."""


def largest(blocks: Blocks, queries: np.ndarray, depth: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows int64 and products float64, both (queries, depth), of the `depth` largest products of each query, largest first; the collection has as many items.

    queries (queries, width): whole numbers, as int8. No item that is left out has a larger product than the last one that is returned.
    """
    if len(queries) <= FEW and _faiss_is_exact(queries.shape[1]):
        return _scanned(blocks, queries, depth)
    return _multiplied(blocks, queries, depth, _integer_product if _torch_is_exact(queries.shape[1]) else _float_product)


def rounding(width: int) -> float:
    """By how much a product may be wrong at most."""
    return 0.0 if width <= EXACT_WIDTH else width * ROUNDING * LEVELS**2 * width


def _scanned(blocks: Blocks, queries: np.ndarray, depth: int) -> tuple[np.ndarray, np.ndarray]:
    """By FAISS's scanner of 8-bit codes, which reads a block as fast as memory gives it and keeps a heap of the best."""
    asked = np.ascontiguousarray(queries, dtype=np.float32)
    scanners = [_scanner(query) for query in asked]
    products = np.full((len(asked), depth), -np.inf, dtype=np.float32)
    labels = np.full((len(asked), depth), -1, dtype=np.int64)
    starts: list[int] = []
    for start, codes in blocks():
        for scanner, kept, label in zip(scanners, products, labels, strict=True):
            scanner.set_list(len(starts), 0.0)
            scanner.scan_codes(len(codes), _pointer(codes), None, _pointer(kept), _pointer(label), depth)
        starts.append(start)
    rows = np.asarray(starts, dtype=np.int64)[labels >> 32] + (labels & 0xFFFFFFFF)  # a label: number of the block, row within it
    return _sorted(rows, products.astype(np.float64))


def _multiplied(blocks: Blocks, queries: np.ndarray, depth: int, maker: Callable[[torch.Tensor], Product]) -> tuple[np.ndarray, np.ndarray]:
    """By one product of all queries with each block."""
    product = maker(torch.from_numpy(np.ascontiguousarray(queries, dtype=np.int8)))
    rows, products = np.empty((len(queries), 0), np.int64), np.empty((len(queries), 0))
    for start, codes in blocks():
        block = product(codes)
        if products.shape[1] < depth:
            best, where = torch.topk(block, min(depth, block.shape[1]), sorted=False)
            new_rows, new_products = where.numpy(), best.double().numpy()
        else:
            new_rows, new_products = _above(block, products.min(1))
        rows, products = np.hstack([rows, new_rows + start]), np.hstack([products, new_products])
        if products.shape[1] > depth:
            kept = torch.topk(torch.from_numpy(products), depth, sorted=False)[1].numpy()
            rows, products = np.take_along_axis(rows, kept, axis=1), np.take_along_axis(products, kept, axis=1)
    return _sorted(rows, products)


def _above(block: torch.Tensor, floor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Columns and products of a block's (queries, rows) above the floor (queries,) of each; as many columns as the query with most needs, -inf where empty.

    Whole groups of columns are passed over by their largest product: selecting costs less than multiplying this way.
    """
    missing = -block.shape[1] % GROUP
    groups = (torch.nn.functional.pad(block, (0, missing), value=-(2**30)) if missing else block).view(len(block), -1, GROUP)
    query, group = np.nonzero(groups.amax(-1).numpy() > floor[:, None])
    values = groups.numpy()[query, group]
    hit, column = np.nonzero(values > floor[query, None])
    query, column, values = query[hit], group[hit] * GROUP + column, values[hit, column]
    counts = np.bincount(query, minlength=len(block))
    place = np.arange(len(query)) - np.repeat(np.cumsum(counts) - counts, counts)
    columns, products = np.zeros((len(block), counts.max()), np.int64), np.full((len(block), counts.max()), -np.inf)
    columns[query, place], products[query, place] = column, values
    return columns, products


def _integer_product(queries: torch.Tensor) -> Product:
    """int32 (queries, rows)."""
    room = np.empty(0, np.uint8)  # used again for every block: fresh memory costs as much as a third of the product

    def product(codes: np.ndarray) -> torch.Tensor:
        nonlocal room
        if room.size < codes.size:
            room = np.empty(codes.size, np.uint8)
        signed = np.bitwise_xor(codes, OFFSET, out=room[: codes.size].reshape(codes.shape)).view(np.int8)
        return torch._int_mm(queries, torch.from_numpy(signed).T)

    return product


def _float_product(queries: torch.Tensor) -> Product:
    """The same numbers as float32, on any machine."""
    asked, room = queries.float(), np.empty((PIECE, queries.shape[1]), np.float32)

    def product(codes: np.ndarray) -> torch.Tensor:
        parts = (codes[start : start + PIECE] for start in range(0, len(codes), PIECE))
        values = (np.subtract(part, OFFSET, out=room[: len(part)], dtype=np.float32) for part in parts)
        return torch.hstack([asked @ torch.from_numpy(value).T for value in values])

    return product


def _sorted(rows: np.ndarray, products: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(-products, axis=1, kind="stable")
    return np.take_along_axis(rows, order, axis=1), np.take_along_axis(products, order, axis=1)


def _scanner(query: np.ndarray) -> Any:
    import faiss

    scanner = _quantizer(len(query)).select_InvertedListScanner(faiss.METRIC_INNER_PRODUCT, None, True, None, False)
    scanner.set_query(_pointer(query))
    return scanner


@cache
def _quantizer(width: int) -> Any:
    import faiss

    return faiss.ScalarQuantizer(width, faiss.ScalarQuantizer.QT_8bit_direct_signed)


def _pointer(array: np.ndarray) -> Any:
    import faiss

    return faiss.swig_ptr(array)


@cache
def _faiss_is_exact(width: int) -> bool:
    """Whether FAISS is installed, and of a version whose scanner gives what a product of whole numbers gives."""
    try:
        return _agrees(_scanned, width)
    except (ImportError, AttributeError, TypeError):
        return False


@cache
def _torch_is_exact(width: int) -> bool:
    """Whether torch's integer product is there and right. It is wrong for width 1, and may be where a processor adds pairs of products in 16 bits."""
    try:
        return _agrees(lambda blocks, queries, depth: _multiplied(blocks, queries, depth, _integer_product), width)
    except (RuntimeError, AttributeError, NotImplementedError):
        return False


def _agrees(way: Callable[[Blocks, np.ndarray, int], tuple[np.ndarray, np.ndarray]], width: int) -> bool:
    """Compare on random and on extreme values with what NumPy computes."""
    rng = np.random.default_rng(0)
    values = rng.integers(-LEVELS, LEVELS + 1, (64, width))
    values[:2] = [[LEVELS], [-LEVELS]]
    queries = np.vstack([values[:2], rng.integers(-LEVELS, LEVELS + 1, (2, width))])
    codes = (values + OFFSET).astype(np.uint8)
    rows, products = way(lambda: iter([(0, codes[:40]), (40, codes[40:])]), queries.astype(np.int8), 64)
    exact = np.take_along_axis(queries @ values.T, rows, axis=1)
    return bool((np.sort(rows, axis=1) == np.arange(64)).all() and np.abs(products - exact).max() <= rounding(width))
