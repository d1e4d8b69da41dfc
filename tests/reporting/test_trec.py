"""Run and qrels files: strict scores, round trips, errors that name the line."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmr_kit.errors import InputError
from mmr_kit.reporting import trec
from mmr_kit.reporting.trec import read_qrels, read_run, strict_scores, write_qrels, write_run, written_scores
from mmr_kit.retrieval.ranking import Ranking

FLOATS = st.floats(-(2.0**99), 2.0**99, width=32, allow_subnormal=False)
TINY = np.finfo(np.float32).tiny


@given(st.lists(FLOATS | st.sampled_from([0.0, -0.0, 1.0, 0.5, float(TINY), -float(TINY)]), max_size=40))
def test_strict_scores_fall_and_stay_close(scores: list[float]) -> None:
    falling = np.sort(np.array(scores, dtype=np.float32))[::-1]
    strict = strict_scores(falling)
    assert strict.dtype == np.float32
    assert (strict[1:] < strict[:-1]).all()
    assert (strict <= falling).all()
    assert (np.abs(strict[strict != 0]) >= TINY).all(), "a subnormal number would be flushed to zero by some tools"
    if (falling[1:] < falling[:-1]).all():
        assert (strict == falling).all()


@given(st.lists(FLOATS | st.sampled_from([0.0, 0.5, 0.50001, 0.500001, 0.5000001, float(TINY), -float(TINY)]), min_size=1, max_size=20))
def test_written_scores_fall_in_float32_and_in_float64(scores: list[float]) -> None:
    """trec_eval reads the one, ranx the other."""
    falling = np.sort(np.array(scores, dtype=np.float32))[::-1]
    written = np.array([float(text) for text in written_scores(falling)])
    assert (np.diff(written) < 0).all()
    assert (np.diff(written.astype(np.float32)) < 0).all()
    assert (np.abs(written[written != 0]) >= TINY).all(), "a subnormal number would be flushed to zero by some tools"
    assert written == pytest.approx(strict_scores(falling), rel=5e-3, abs=0)


def test_scores_have_as_many_digits_as_keep_them_apart() -> None:
    assert written_scores(np.array([0.123456, 0.1, -2], dtype=np.float32)) == ["0.123", "0.1", "-2"]
    assert written_scores(np.array([0.98765, 0.98764], dtype=np.float32)) == ["0.98765", "0.98764"]
    assert written_scores(np.array([0.5, 0.5], dtype=np.float32)) == ["0.5", "0.49999997"]


def test_ties_become_neighbours() -> None:
    strict = strict_scores(np.array([1, 1, 1, 0, 0, -1], dtype=np.float32))
    below_one = np.nextafter(np.float32(1), np.float32(0))
    assert strict.tolist() == [1, below_one, np.nextafter(below_one, np.float32(0)), 0, -TINY, -1]


@pytest.mark.parametrize(("scores", "message"), [([1.0, 2.0], "do not fall"), ([np.inf, 1.0], "not finite"), ([1.0, np.nan], "not finite")])
def test_scores_that_no_ranking_has(scores: list[float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        strict_scores(np.array(scores))


def test_scores_at_the_end_of_float32() -> None:
    lowest = np.finfo(np.float32).min
    with pytest.raises(InputError, match="too close to the lowest"):
        strict_scores(np.array([lowest, lowest], dtype=np.float32))


@pytest.mark.parametrize("direction", ["image_retrieval", "text_retrieval"])
def test_a_run_comes_back(tmp_path: Path, gallery: Any, make_ranking: Any, direction: str) -> None:
    ranking = make_ranking(gallery, direction)
    write_run(tmp_path / "x.run.gz", ranking, "SEP+COOP")
    back = read_run(tmp_path / "x.run.gz", direction)
    assert (back.direction, back.query_ids, back.candidate_ids) == (direction, ranking.query_ids, ranking.candidate_ids)
    for one, other in zip(ranking.scores, back.scores, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-5, atol=1e-30)


def test_a_run_is_cut_at_its_depth(tmp_path: Path, gallery: Any, make_ranking: Any) -> None:
    ranking = make_ranking(gallery)
    write_run(tmp_path / "x.run.gz", ranking, "BE", depth=3)
    assert read_run(tmp_path / "x.run.gz", "image_retrieval").candidate_ids == [items[:3] for items in ranking.candidate_ids]


@given(st.dictionaries(st.sampled_from("abcdef"), st.sets(st.sampled_from("uvwxyz"), min_size=1)))
def test_qrels_come_back(tmp_path_factory: pytest.TempPathFactory, relevance: dict[str, set[str]]) -> None:
    path = tmp_path_factory.mktemp("qrels") / "x.qrels.gz"
    write_qrels(path, relevance)
    assert read_qrels(path) == relevance


def test_lines_are_trecs(tmp_path: Path) -> None:
    ranking = Ranking("image_retrieval", ["q1"], [["b", "a"]], [np.array([2.5, 0.1], dtype=np.float32)])
    write_run(tmp_path / "x.run.gz", ranking, "CE")
    write_qrels(tmp_path / "x.qrels.gz", {"q1": {"b", "a"}})
    assert gzip.decompress((tmp_path / "x.run.gz").read_bytes()).decode() == "q1 Q0 b 1 2.5 CE\nq1 Q0 a 2 0.1 CE\n"
    assert gzip.decompress((tmp_path / "x.qrels.gz").read_bytes()).decode() == "q1 0 a 1\nq1 0 b 1\n"


def test_equal_runs_are_equal_bytes(tmp_path: Path, gallery: Any, make_ranking: Any) -> None:
    for name in ("one.gz", "another.gz"):
        write_run(tmp_path / name, make_ranking(gallery), "BE")
    assert (tmp_path / "one.gz").read_bytes() == (tmp_path / "another.gz").read_bytes()


@pytest.mark.parametrize("bad", ["two words", "", "tab\tbed", "line\n", "\u00a0"])
def test_ids_that_the_format_cannot_hold(tmp_path: Path, bad: str) -> None:
    score = np.array([1], dtype=np.float32)
    for ranking in (Ranking("image_retrieval", [bad], [["a"]], [score]), Ranking("image_retrieval", ["q"], [[bad]], [score])):
        with pytest.raises(InputError, match="without whitespace"):
            write_run(tmp_path / "x.run.gz", ranking, "BE")
    with pytest.raises(InputError, match="without whitespace"):
        write_qrels(tmp_path / "x.qrels.gz", {"q": {bad}})
    assert not list(tmp_path.iterdir())


def test_a_bad_score_names_file_and_query(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"x\.run\.gz: query 'q': a score is not finite"):
        write_run(tmp_path / "x.run.gz", Ranking("image_retrieval", ["q"], [["a"]], [np.array([np.nan])]), "BE")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("q Q0 a 1 2.0 t\nq Q0 b 2\n", "line 2: 6 fields expected, 4 found"),
        ("q Q0 a 1 high t\n", "line 1: 'high' is not a score"),
        ("q Q0 a 1 nan t\n", "line 1: the score is not finite"),
        ("q Q0 a 1 2.0 t\nr Q0 a 1 2.0 t\nq Q0 a 2 1.0 t\n", "line 3: item 'a' stands twice under query 'q'"),
    ],
)
def test_a_corrupt_run_names_its_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "x.run").write_text(text)
    with pytest.raises(InputError, match=f"x.run, {message}"):
        read_run(tmp_path / "x.run", "image_retrieval")


def test_corrupt_qrels_name_their_line(tmp_path: Path) -> None:
    (tmp_path / "x.qrels").write_text("q 0 a 1\nq 0 b yes\n")
    with pytest.raises(InputError, match=r"x\.qrels, line 2: 'yes' is not a relevance grade"):
        read_qrels(tmp_path / "x.qrels")


@pytest.mark.parametrize("grade", ["--1", "1-", "9" * 5000, "1.0", "+1"])
def test_grades_that_are_none(tmp_path: Path, grade: str) -> None:
    (tmp_path / "x.qrels").write_text(f"q 0 b {grade}\n")
    with pytest.raises(InputError, match=r"x\.qrels, line 1: .* is not a relevance grade"):
        read_qrels(tmp_path / "x.qrels")


def test_a_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trec, "LARGEST_FILE", 1000)
    lines = "".join(f"q Q0 item{i} {i} {100 - i} t\n" for i in range(60)).encode()
    (tmp_path / "x.run.gz").write_bytes(gzip.compress(lines))
    with pytest.raises(InputError, match=r"x\.run\.gz: not a readable TREC file \(more than 1000 bytes"):
        read_run(tmp_path / "x.run.gz", "image_retrieval")
    (tmp_path / "y.run.gz").write_bytes(gzip.compress(lines[:900].rpartition(b"\n")[0]))
    assert read_run(tmp_path / "y.run.gz", "image_retrieval").query_ids == ["q"]


def test_irrelevant_items_of_qrels(tmp_path: Path) -> None:
    (tmp_path / "x.qrels").write_text("q 0 a 0\nq 0 b 2\nq 0 c -1\n")
    assert read_qrels(tmp_path / "x.qrels") == {"q": {"b"}}


@pytest.mark.parametrize("cut", [5, 60, -4])
def test_a_truncated_or_missing_file(tmp_path: Path, gallery: Any, make_ranking: Any, cut: int) -> None:
    path = tmp_path / "x.run.gz"
    write_run(path, make_ranking(gallery), "BE")
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(InputError, match="not a readable TREC file"):
        read_run(path, "image_retrieval")
    with pytest.raises(InputError, match="not a readable TREC file"):
        read_run(tmp_path / "absent.run.gz", "image_retrieval")
