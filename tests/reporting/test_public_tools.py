"""The written files, read by the tools that others use: the same numbers to the last digit."""

import gzip
from pathlib import Path
from typing import Any

import ir_measures
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ir_measures import Success
from ranx import Qrels, Run, evaluate

from mmr_kit.reporting.results import Results
from mmr_kit.reporting.trec import write_qrels, write_run
from mmr_kit.retrieval.metrics import AT, recall, success
from mmr_kit.retrieval.ranking import Ranking


def by_ir_measures(qrels: Path, run: Path) -> dict[str, float]:
    found = ir_measures.calc_aggregate([Success @ m for m in AT], ir_measures.read_trec_qrels(_plain(qrels)), ir_measures.read_trec_run(_plain(run)))
    return {f"R@{measure.params['cutoff']}": 100 * value for measure, value in found.items()}


def by_ranx(qrels: Path, run: Path) -> dict[str, float]:
    found = evaluate(Qrels.from_file(str(_plain(qrels)), kind="trec"), Run.from_file(str(_plain(run)), kind="trec"), [f"hit_rate@{m}" for m in AT])
    return {f"R@{m}": 100 * float(found[f"hit_rate@{m}"]) for m in AT}


def _plain(path: Path) -> str:
    """The file unpacked: not every version of every tool reads gzip."""
    plain = path.with_suffix("")
    plain.write_bytes(gzip.decompress(path.read_bytes()))
    return str(plain)


@pytest.mark.parametrize("direction", ["image_retrieval", "text_retrieval"])
@pytest.mark.parametrize("skill", [0.0, 1.0, 3.0])
def test_a_run_of_many_ties(tmp_path: Path, gallery: Any, make_ranking: Any, direction: str, skill: float) -> None:
    ranking = make_ranking(gallery, direction, skill)
    write_run(tmp_path / "x.run.gz", ranking, "SEP+COOP")
    write_qrels(tmp_path / "x.qrels.gz", gallery.relevance(direction))
    ours = recall(ranking, gallery)
    assert by_ir_measures(tmp_path / "x.qrels.gz", tmp_path / "x.run.gz") == ours
    assert by_ranx(tmp_path / "x.qrels.gz", tmp_path / "x.run.gz") == ours


SCORES = st.sampled_from([0.0, -0.0, 1.0, 1.0, 0.5, -0.5, 1e-38, -1e-38, 1e-45, 1e-7, 0.99999994, 123456.7])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_any_run(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Ids in any order against falling scores full of ties, zeros and subnormal numbers."""
    queries, items = [f"query-{i}" for i in range(data.draw(st.integers(1, 3)))], [f"item-{i}" for i in range(14)]
    scores = [data.draw(st.lists(SCORES, min_size=14, max_size=14)) for _ in queries]
    ranking = Ranking.from_scores("image_retrieval", queries, [items] * len(queries), [np.array(values) for values in scores], depth=12)
    relevance = {query: data.draw(st.sets(st.sampled_from(items), min_size=1, max_size=3)) for query in queries}
    folder = tmp_path_factory.mktemp("run")
    write_run(folder / "x.run.gz", ranking, "t")
    write_qrels(folder / "x.qrels.gz", relevance)
    shares = success(ranking, relevance).mean(axis=0)
    ours = {f"R@{m}": 100 * float(share) for m, share in zip(AT, shares, strict=True)}
    assert by_ir_measures(folder / "x.qrels.gz", folder / "x.run.gz") == ours
    assert by_ranx(folder / "x.qrels.gz", folder / "x.run.gz") == ours


def test_every_number_of_a_table_from_its_files(tmp_path: Path, gallery: Any, make_ranking: Any) -> None:
    results = Results("table1", "smoke")
    for direction in ("image_retrieval", "text_retrieval"):
        rankings = {seed: make_ranking(gallery, direction, seed=seed) for seed in (0, 1)}
        results.add_rankings(rankings, gallery, method="CE")
    results.write(tmp_path, "table1", {})
    rows = results.frame[results.frame["run"] != ""]
    assert len(rows) == 2 * 2 * 3
    for (run, direction), numbers in rows.groupby(["run", "direction"]):
        found = by_ir_measures(tmp_path / "runs" / "table1" / f"pictograms_a.{direction}.qrels.gz", tmp_path / str(run))
        assert found == dict(zip(numbers["metric"], numbers["value"], strict=True))
