"""Shards are searched as the one collection that they are parts of, in the memory that is told."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mmr_kit.errors import InputError
from mmr_kit.retrieval.collection import Collection
from mmr_kit.retrieval.sharded import Sharded

WIDTH = 24


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    """3,000 unit vectors, some of them equal, so that scores tie across shards."""
    rng = np.random.default_rng(0)
    drawn = rng.standard_normal((3000, WIDTH)).astype(np.float32)
    drawn[2000:2050] = drawn[100:150]
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True))


@pytest.mark.parametrize("cuts", [[], [1500], [1, 2, 2999], [1000, 1100, 2020]])
@pytest.mark.parametrize("k", [1, 20, 2999, 5000])
def test_the_same_items_and_scores_as_unsharded(vectors: np.ndarray, cuts: list[int], k: int) -> None:
    queries = np.concatenate([vectors[100:110], np.random.default_rng(1).standard_normal((20, WIDTH)).astype(np.float32)])
    expected = Collection.of(vectors).search(queries, k)
    sharded = Sharded([Collection.of(part) for part in np.split(vectors, cuts)])
    assert (len(sharded), sharded.width) == (3000, WIDTH)
    for found, wanted in zip(sharded.search(queries, k), expected, strict=True):
        assert np.array_equal(found, wanted)


def test_shards_from_the_disk(vectors: np.ndarray, tmp_path: Path) -> None:
    for number, part in enumerate(np.split(vectors, 3)):
        Collection.build(tmp_path / str(number), [part])
    sharded = Sharded.open([tmp_path / str(number) for number in range(3)])
    rows, _ = sharded.search(vectors[[5, 1500, 2999]], 1)
    assert rows.tolist() == [[5], [1500], [2999]]


def test_what_cannot_be_searched_together(vectors: np.ndarray) -> None:
    with pytest.raises(InputError, match="no shards"):
        Sharded([])
    with pytest.raises(InputError, match="24 and 8 wide"):
        Sharded([Collection.of(vectors), Collection.of(vectors[:, :8])])
    with pytest.raises(InputError, match="k is 0"):
        Sharded([Collection.of(vectors)]).search(vectors[:1], 0)


PEAK = """
import json, re, sys
import numpy as np
from mmr_kit.retrieval.sharded import Sharded
def resident(): return int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read()).group(1)) * 1024
sharded = Sharded.open(sys.argv[2:], int(sys.argv[1]))
queries = np.random.default_rng(0).standard_normal((8, sharded.width)).astype(np.float32)
sharded.shards[0].search(queries[:1], 20)  # what the libraries take
before = resident()
sharded.search(queries, 20)
print(json.dumps(resident() - before))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells the memory that was resident at most")
def test_the_memory_told_is_enough_however_many_shards_there_are(tmp_path: Path) -> None:
    """Six shards of 32 MB of codes each: searched within 64 MB of codes, one block of which is read at a time."""
    rng = np.random.default_rng(0)
    folders = [tmp_path / str(number) for number in range(6)]
    for folder in folders:
        Collection.build(folder, (rng.standard_normal((8192, 512), np.float32) for _ in range(8)))

    def grown(resident: int) -> int:
        command = [sys.executable, "-c", PEAK, str(resident), *map(str, folders)]
        return int(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))

    budget = 64 * 2**20
    assert grown(budget) < budget + 48 * 2**20  # beside codes: candidates, and pages of the float32 values
    assert grown(2**30) > 4 * 32 * 2**20  # without a budget most codes stay: the measure tells them apart
