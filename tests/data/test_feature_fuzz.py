"""Every reader on files damaged at random: an InputError of one line, or a store that can be read; never another exception, never half a store.

40 inputs a reader by default; MMR_FUZZ_EXAMPLES=1000 for the full number.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmr_kit.data.feature_files import prepare_region_store
from mmr_kit.data.regions import RegionStore
from mmr_kit.errors import InputError
from tests.data import feature_samples as samples

EXAMPLES = int(os.environ.get("MMR_FUZZ_EXAMPLES", "40"))


def plain_vinvl(folder: Path, images: list[samples.Image]) -> Path:
    return samples.write_lines(folder / "features.tsv", [samples.vinvl_plain_row(image) for image in images])


def old_pytorch(folder: Path, images: list[samples.Image]) -> Path:
    entries = {image.image_id: torch.from_numpy(samples.joined(image)) for image in images}
    torch.save(entries, folder / "feats.pt", _use_new_zipfile_serialization=False)
    return folder / "feats.pt"


def old_m3p(folder: Path, images: list[samples.Image]) -> Path:
    source = samples.write_m3p(folder / "m3p", images)
    for path in source.iterdir():
        torch.save(torch.load(path, weights_only=False), path, _use_new_zipfile_serialization=False)  # written a line above
    return source


CASES: dict[str, tuple[str, Callable[[Path, list[samples.Image]], Path]]] = {
    **{format: (format, write) for format, write in samples.WRITERS.items()},
    "vinvl_tsv, three columns": ("vinvl_tsv", plain_vinvl), "oscar_pt, old format": ("oscar_pt", old_pytorch), "m3p_pt, old format": ("m3p_pt", old_m3p),
}  # fmt: skip

TOKENS = [b"\t", b"\n", b"\r\n", b"\n\n", b"\0", b"\xef\xbb\xbf", b"\xff\xfe", b" ", b"-", b"-1", b"0", b"99999999", b"1e9", b"nan", b"/", b"..", b"=", b"====",
          b"AAAA", b"AADAfw==", b'"', b"{", b"}", b"[]", b'\\u0000', b"c__builtin__\nexec\n", b"R", b"PK\x03\x04", b"\x80\x04", b"\xff" * 8]  # fmt: skip


@st.composite
def damages(draw: st.DrawFn, size: int) -> Callable[[bytes], bytes]:
    """One to three changes: cut, flip bits, take out, double, put in."""
    changes = draw(st.lists(st.tuples(st.sampled_from(["cut", "flip", "out", "double", "in", "over"]), st.integers(0, size - 1), st.integers(1, 64),
                                      st.sampled_from(TOKENS)), min_size=1, max_size=3))  # fmt: skip

    def apply(data: bytes) -> bytes:
        for kind, at, length, token in changes:
            end = at + length
            data = {"cut": data[:at], "flip": data[:at] + bytes(byte ^ (1 << length % 8) for byte in data[at : at + 1]) + data[at + 1 :],
                    "out": data[:at] + data[end:], "double": data[:end] + data[at:], "in": data[:at] + token + data[at:],
                    "over": data[:at] + token + data[at + len(token) :]}[kind]  # fmt: skip
        return data

    return apply


@pytest.mark.parametrize("case", CASES)
def test_damaged_files(tmp_path: Path, case: str) -> None:
    format, write = CASES[case]
    source = write(tmp_path, samples.sample_images())
    victim = sorted(source.iterdir())[1] if source.is_dir() else source
    good, folder, outcomes = victim.read_bytes(), tmp_path / "store", {"refused": 0, "read": 0}

    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(damages(len(good)))
    def check(damage: Callable[[bytes], bytes]) -> None:
        victim.write_bytes(damage(good))
        for path in (folder, folder.with_name("store.partial")):
            shutil.rmtree(path, ignore_errors=True)
        try:
            prepare_region_store(format, [source], folder)
        except InputError as error:
            told = str(error)
        else:
            told = ""
        if told:
            assert str(tmp_path) in told
            assert "\n" not in told
            assert not folder.exists()
            outcomes["refused"] += 1
        else:
            store = RegionStore(folder)
            assert all(np.isfinite(store[image_id].features).all() for image_id in store)
            outcomes["read"] += 1

    check()
    assert outcomes["refused"] > EXAMPLES / 10, outcomes  # else the damage does not reach the reader
