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
EXACT_WIDTH = 2**24 // LEVELS**2  # up to this width every partial sum is a whole number that float32 holds
FEW = 3  # queries up to which FAISS, one query after the other, beats one product of all (measured: 65 ms a query; 175 ms for one, 290 for 4)

Blocks = Callable[[], Iterator[tuple[int, np.ndarray]]]
"""One pass over the codes: first row and bytes (rows, width) of each block in turn."""


def largest(blocks: Blocks, queries: np.ndarray, depth: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows int64 and products float64, both (queries, depth), of the `depth` largest products of each query, largest first; the collection has as many items.

    queries (queries, width): whole numbers, as int8. No item that is left out has a larger product than the last one that is returned.
    """
    if len(queries) <= FEW and _faiss_is_exact():
        return _scanned(blocks, queries, depth)
    return _multiplied(blocks, queries, depth, _integer_products if _torch_is_exact() else _float_products)


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


def _multiplied(blocks: Blocks, queries: np.ndarray, depth: int, product: Callable[[torch.Tensor, np.ndarray], torch.Tensor]) -> tuple[np.ndarray, np.ndarray]:
    """By one product of all queries with each block."""
    asked = torch.from_numpy(np.ascontiguousarray(queries, dtype=np.int8))
    products = torch.empty((len(asked), 0), dtype=torch.float64)
    rows = torch.empty((len(asked), 0), dtype=torch.int64)
    for start, codes in blocks():
        best, where = torch.topk(product(asked, codes), min(depth, len(codes)), sorted=False)
        products, rows = torch.hstack([products, best.double()]), torch.hstack([rows, where + start])
        if products.shape[1] > depth:
            products, kept = torch.topk(products, depth, sorted=False)
            rows = rows.gather(1, kept)
    return _sorted(rows.numpy(), products.numpy())


def _integer_products(queries: torch.Tensor, codes: np.ndarray) -> torch.Tensor:
    """int32 (queries, rows)."""
    return torch._int_mm(queries, torch.from_numpy((codes ^ OFFSET).view(np.int8)).T)


def _float_products(queries: torch.Tensor, codes: np.ndarray) -> torch.Tensor:
    """The same numbers as float32, on any machine."""
    return queries.float() @ (torch.from_numpy(codes.astype(np.float32)) - OFFSET).T


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
def _faiss_is_exact() -> bool:
    """Whether FAISS is installed, and of a version whose scanner gives what a product of whole numbers gives."""
    try:
        return _agrees(_scanned)
    except (ImportError, AttributeError, TypeError):
        return False


@cache
def _torch_is_exact() -> bool:
    """Whether torch's integer product is there and no sum overflows: processors without an instruction for it may add pairs in 16 bits."""
    try:
        return _agrees(lambda blocks, queries, depth: _multiplied(blocks, queries, depth, _integer_products))
    except (RuntimeError, AttributeError, NotImplementedError):
        return False


def _agrees(way: Callable[[Blocks, np.ndarray, int], tuple[np.ndarray, np.ndarray]]) -> bool:
    """Compare on random and on extreme values."""
    rng = np.random.default_rng(0)
    values = rng.integers(-LEVELS, LEVELS + 1, (64, 512))
    values[:2] = [[LEVELS], [-LEVELS]]
    queries = np.vstack([values[:2], rng.integers(-LEVELS, LEVELS + 1, (2, 512))])
    codes = (values + OFFSET).astype(np.uint8)
    rows, products = way(lambda: iter([(0, codes[:40]), (40, codes[40:])]), queries.astype(np.int8), 64)
    return bool((np.sort(rows, axis=1) == np.arange(64)).all() and (products == np.take_along_axis(queries @ values.T, rows, axis=1)).all())
