"""The threat model: each test that SECURITY.md names exists; and what has no home elsewhere."""

import re
from pathlib import Path

from mmr_kit.errors import shown

ROOT = Path(__file__).resolve().parents[1]


def test_the_threat_model_names_tests_that_exist() -> None:
    named = set(re.findall(r"`(tests/[\w/.]+\.py)(?:::(\w+))?`", (ROOT / "SECURITY.md").read_text()))
    assert len(named) > 25
    for file, test in named:
        assert f"def {test}" in (ROOT / file).read_text(), f"{file}::{test}"


def test_text_that_is_shown_keeps_its_letters_and_loses_its_commands() -> None:
    plain = "Zwei Männer\u2028laufen\n\t« oui » 狗 מכתב"
    assert shown(plain) == plain
    assert shown("a\x1b[2J\x07\x9b\r\u202e\udc80") == r"a\x1b[2J\x07\x9b\r\u202e\udc80"
    assert shown(shown("\x1b")) == r"\x1b"
