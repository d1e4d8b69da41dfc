"""Speed of bottom-up tsv -> region store, against base64-decoding the same bytes alone, in turn: `python benchmarks/feature_files.py [MB] [FOLDER]`.

Makes a table of MB megabytes (default 1000) in FOLDER (default: a temporary one, which must have room for twice that). Prints seconds, the share of the
decoder's speed that the store is written with (1: as fast as decoding alone), by the clock, which wants two idle cores, and by the processor; and the largest
resident memory.
"""

from __future__ import annotations

import base64
import binascii
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mmr_kit.data.feature_files import prepare_region_store

REGIONS, WIDTH, REPEATS = 36, 2048, 5


def make_table(path: Path, megabytes: int) -> None:
    """Rows of 36 regions with values as a ReLU leaves them."""
    rng = np.random.default_rng(0)
    features = [base64.b64encode(np.maximum(rng.normal(size=(REGIONS, WIDTH)), 0).astype("<f4").tobytes()) for _ in range(16)]
    boxes = base64.b64encode(np.tile(np.array([10, 20, 300, 400], "<f4"), (REGIONS, 1)).tobytes())
    with open(path, "wb") as file:
        number = 0
        while file.tell() < megabytes * 10**6:
            file.write(b"%d\t640\t480\t%d\t%b\t%b\n" % (number, REGIONS, boxes, features[number % len(features)]))
            number += 1


def seconds(function: Callable[[], object]) -> np.ndarray:
    """On the clock, and of the processor in this thread: the second does not count what other programs take, nor the disk."""
    start = time.perf_counter(), time.thread_time()
    function()
    return np.array([time.perf_counter() - start[0], time.thread_time() - start[1]])


def decode(path: Path) -> np.ndarray:
    """Seconds in the decoder only; reading the file does not count."""
    spent = np.zeros(2)
    with open(path, "rb", buffering=4 * 2**20) as file:
        for line in file:
            features = memoryview(line)[line.rindex(b"\t") + 1 : -1]
            spent += seconds(lambda: binascii.a2b_base64(features))  # noqa: B023
    return spent


def store(path: Path, folder: Path, precision: str) -> np.ndarray:
    """Seconds of the whole way; a second thread writes."""
    shutil.rmtree(folder, ignore_errors=True)
    return seconds(lambda: prepare_region_store("bottom_up_tsv", [path], folder, precision))


def main() -> None:
    megabytes = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    with tempfile.TemporaryDirectory(dir=sys.argv[2] if len(sys.argv) > 2 else None) as temporary:
        path = Path(temporary) / "table.tsv"
        make_table(path, megabytes)
        for precision in ("float32", "float16"):
            pairs = [(decode(path), store(path, Path(temporary) / "store", precision)) for _ in range(REPEATS + 1)][1:]  # the first one warms up
            for column, clock in enumerate(("clock", "processor, reading thread")):
                alone, whole = (np.array([pair[which][column] for pair in pairs]) for which in (0, 1))
                shares = alone / whole
                print(f"{megabytes} MB -> {precision}, {clock}: decoding alone {np.median(alone):.1f} s, store {np.median(whole):.1f} s, "
                      f"share {np.median(shares):.2f} [{shares.min():.2f}, {shares.max():.2f}]", flush=True)  # fmt: skip
        print(f"largest resident memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
