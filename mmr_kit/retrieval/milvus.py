"""A collection in Milvus: in a folder of this machine (Milvus Lite) or on a server or cluster, with tags to filter by (extra `milvus`).

Milvus finds candidates in float32; they are scored again in float64, as `Collection` does, so that a flat index gives the same items in the same order.
Milvus Lite runs in this process and listens on 127.0.0.1 alone, where any program of this machine can reach it while it is open.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from mmr_kit.errors import InputError
from mmr_kit.retrieval.checks import checked_queries, float32_chunks

TAGS = ("language", "source")  # what an item may be filtered by
INDEXES: dict[str, dict[str, Any]] = {"flat": {"index_type": "FLAT"}, "hnsw": {"index_type": "HNSW", "params": {"M": 16, "efConstruction": 200}}}
EF = 128  # candidates that a search of "hnsw" keeps on its way, at least
ROWS = 1000  # of one insertion
VALUES = 2**21  # of embeddings in one answer: 8 MiB
SPARE = 16  # candidates beyond k: rounding may have put near ones in another order
MOST = 16_384  # candidates that Milvus gives
PLAIN = re.compile(r"[A-Za-z0-9_.+-]{1,64}")  # of names and tags: nothing that means something in a filter


class MilvusCollection:
    """Embeddings (n, width) in Milvus; `build` and `open` make one. An item's row is its number in the order in which all were built, whatever is deleted."""

    def __init__(self, client: Any, name: str, width: int) -> None:
        self._client, self._name, self.width = client, name, width

    @classmethod
    def build(cls, address: str | Path, name: str, chunks: Iterable[np.ndarray], tags: Mapping[str, Sequence[str]] | None = None,
              index: str = "flat") -> MilvusCollection:  # fmt: skip
        """A new collection of the embeddings of all chunks (arrays (some, width)).

        address: a path that ends in .db, which Milvus Lite makes a folder of, or http(s)://host:port. tags: {"language" or "source": a value for each item}.
        index: "flat" (exact) or "hnsw" (approximate). Raises InputError for a name that is taken, no embeddings, widths that differ, NaN, too many or few tags.
        """
        if index not in INDEXES:
            raise InputError(f"no index {index!r}; there are {', '.join(INDEXES)}")
        columns = {_tag(tag): [_plain(value, tag) for value in values] for tag, values in (tags or {}).items()}
        client, items = _client(address), float32_chunks(chunks)
        if client.has_collection(_plain(name, "collection")):
            raise InputError(f"{address}: holds a collection {name!r} already; drop it, or choose another name")
        first = next(items, None)
        if first is None:
            raise InputError("the collection is empty; there is nothing to retrieve")
        made = cls(client, name, first.shape[1])
        try:
            made._create(columns, index)
            count = 0
            for chunk in chain([first], items):
                count = made._insert(chunk, count, columns)
            if wrong := [tag for tag, values in columns.items() if len(values) != count]:
                raise InputError(f"there are {count} items and {len(columns[wrong[0]])} values of {wrong[0]!r}; give one to each item")
        except BaseException:
            client.drop_collection(name)  # nothing half-built stays
            raise
        return made

    @classmethod
    def open(cls, address: str | Path, name: str) -> MilvusCollection:
        """What `build` made. Raises InputError where it is not there."""
        client = _client(address)
        if not client.has_collection(_plain(name, "collection")):
            raise InputError(f"{address}: holds no collection {name!r}; there are {', '.join(client.list_collections()) or 'none'}")
        client.load_collection(name)
        vector = next(column for column in client.describe_collection(name)["fields"] if column["name"] == "vector")
        return cls(client, name, int(vector["params"]["dim"]))

    def __len__(self) -> int:
        return int(self._client.query(self._name, filter="", output_fields=["count(*)"])[0]["count(*)"])

    def search(self, queries: np.ndarray, k: int, **tags: str) -> tuple[np.ndarray, np.ndarray]:
        """As `Collection.search`: rows int64 and scores float32, both (q, min(k, n)), best first; with language="de" or source="web" among those items alone.

        Where fewer items than that are found, the rest are row -1 with score -inf.
        """
        queries, k = checked_queries(queries, k, self.width), min(k, len(self))
        if k > MOST - SPARE:
            raise InputError(f"k is {k}; Milvus retrieves {MOST - SPARE} candidates at most")
        rows, scores = np.full((len(queries), k), -1, np.int64), np.full((len(queries), k), -np.inf, np.float32)
        condition = " and ".join(f'{_tag(tag)} == "{_plain(value, tag)}"' for tag, value in tags.items())
        at_once = max(1, VALUES // (self.width * (k + SPARE)))
        for start in range(0, len(queries) if k else 0, at_once):
            part = queries[start : start + at_once]
            found = self._client.search(self._name, data=list(part), limit=k + SPARE, filter=condition, output_fields=["vector"],
                                        search_params={"metric_type": "IP", "params": {"ef": max(EF, 2 * (k + SPARE))}})  # fmt: skip
            for number, (query, hits) in enumerate(zip(part, found, strict=True), start):
                self._score(query, hits, rows[number], scores[number])
        return rows, scores

    def delete(self, rows: Sequence[int]) -> None:
        """Take items away; rows that are not there are passed over."""
        if len(rows):
            self._client.delete(self._name, ids=[int(row) for row in rows])

    def drop(self) -> None:
        """Take the collection away."""
        self._client.drop_collection(self._name)

    def close(self) -> None:
        """Let go of the server, and of Milvus Lite's folder, which one process at a time can hold."""
        self._client.close()

    @staticmethod
    def _score(query: np.ndarray, hits: Sequence[Mapping[str, Any]], rows: np.ndarray, scores: np.ndarray) -> None:
        """Fill in the best of the hits by their products in float64; of equal scores the smaller row first."""
        if hits:
            found = np.array([hit["row"] for hit in hits])
            exact = (np.array([hit["entity"]["vector"] for hit in hits], np.float64) @ query.astype(np.float64)).astype(np.float32)
            order = np.lexsort([found, -exact])[: len(rows)]
            rows[: len(order)], scores[: len(order)] = found[order], exact[order]

    def _create(self, columns: Mapping[str, Sequence[str]], index: str) -> None:
        from pymilvus import DataType, MilvusClient

        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("row", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=self.width)
        for tag in columns:
            schema.add_field(tag, DataType.VARCHAR, max_length=64)
        indexes = MilvusClient.prepare_index_params()
        indexes.add_index("vector", metric_type="IP", **INDEXES[index])
        self._client.create_collection(self._name, schema=schema, index_params=indexes, consistency_level="Strong")

    def _insert(self, chunk: np.ndarray, count: int, columns: Mapping[str, Sequence[str]]) -> int:
        """Add items; returns how many there are then. Items without a tag get "", which tells `build` that tags are missing."""
        for start in range(0, len(chunk), ROWS):
            part = chunk[start : start + ROWS]
            self._client.insert(self._name, [
                {"row": row, "vector": vector, **{tag: values[row] if row < len(values) else "" for tag, values in columns.items()}}
                for row, vector in enumerate(part, count + start)
            ])  # fmt: skip
        return count + len(chunk)


def _tag(name: str) -> str:
    if name not in TAGS:
        raise InputError(f"items have no tag {name!r}; there are {' and '.join(TAGS)}")
    return name


def _plain(value: str, what: str) -> str:
    if not PLAIN.fullmatch(value):
        raise InputError(f"{what} {value!r}: write it in 1 to 64 of letters, digits, _ . + -")
    return value


def _client(address: str | Path) -> Any:
    try:
        from pymilvus import MilvusClient
    except ImportError:
        raise InputError("a collection in Milvus needs pymilvus, which is not installed: pip install 'mmr-kit[milvus]'") from None
    address = str(address)
    if not address.startswith(("http://", "https://")):
        if not address.endswith(".db"):
            raise InputError(f"{address}: name a path that ends in .db, or http://host:port")
        Path(address).absolute().parent.mkdir(parents=True, exist_ok=True)
    try:
        return MilvusClient(address)
    except Exception as error:  # whatever gRPC and Milvus Lite raise
        told = str(error).splitlines()[0]
        raise InputError(f"{address}: Milvus cannot be reached there ({told}); start it, or close the program that holds the folder") from None
