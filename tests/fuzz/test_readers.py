"""A short run of the fuzzing harnesses without atheris: the good files are read, and a few hundred mutations do what they may. `make fuzz` is the long one."""

import random
from pathlib import Path

import pytest

from tests.fuzz.harnesses import HARNESSES

MUTATIONS = 60
TOKENS = [b"\0", b"\n", b"\r", b"\t", b" ", b"-", b"9" * 30, b"1e999", b"nan", b"../../x", b"=1+1", b"!!int x", b"&a", b"*a", b"<<: ", b"[[", b"{", b"'", b'"',
          b"\xff\xfe", b"\xe2\x80\xa8", b"\x1b[2J", b"<script>", b"\x80\x02", b"c__builtin__\nexec\n", b"\x1f\x8b"]  # fmt: skip


def mutated(content: bytes, drawn: random.Random) -> bytes:
    """One to three changes: cut, flip a bit, put in, take out."""
    for _ in range(drawn.randint(1, 3)):
        at, length = drawn.randrange(len(content) + 1), drawn.randint(1, 16)
        kind = drawn.choice(["cut", "flip", "in", "in", "out"])
        if kind == "cut":
            content = content[:at]
        elif kind == "flip" and at < len(content):
            content = content[:at] + bytes([content[at] ^ 1 << drawn.randrange(8)]) + content[at + 1 :]
        else:
            content = content[:at] + (drawn.choice(TOKENS) if kind == "in" else b"") + content[at + (length if kind == "out" else 0) :]
    return content


@pytest.mark.parametrize("name", HARNESSES)
def test_reader(name: str, tmp_path: Path) -> None:
    harness, drawn = HARNESSES[name], random.Random(name)
    harness.prepare(tmp_path)
    seeds = harness.seeds()
    outcomes = [harness.attempt(tmp_path, mutated(drawn.choice(seeds), drawn)) for _ in range(MUTATIONS)]
    assert any(outcomes) or name == "page", "the damage does not reach the reader"
    if name != "model_released":  # its parts are not there
        assert [harness.attempt(tmp_path, seed) for seed in seeds] == [""] * len(seeds)
