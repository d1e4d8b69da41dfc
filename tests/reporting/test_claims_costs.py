"""The claims on cost on constructed times: the paper's own support them, other times do not, and noise is inconclusive."""

from dataclasses import replace

import numpy as np
import pytest

from mmr_kit.reporting.claims import Claims
from mmr_kit.reporting.claims_costs import LARGE, SMALL, Costs, judge_table3, judge_table4
from mmr_kit.reporting.evidence import Verdict
from mmr_kit.reporting.paper import paper_table
from mmr_kit.reporting.timings import BE, CE, COOP, Part, Timing

RERANKING, BOTH = 0.058, {"cpu": 0.2, "cuda": 0.016}


def spread(seconds: float, noise: float = 0.001) -> np.ndarray:
    return seconds * (1 + noise * np.linspace(-1, 1, 9))


def queries(ce: float = 0.002, added: float = 1.0, device: str = "cuda", noise: float = 0.001, search: float = 0.02) -> list[Timing]:
    """BE, COOP and CE on both collections; ce: seconds a pair; added: what reranking takes in the large collection over what it takes in the small one."""
    made = []
    for items in (SMALL, LARGE):
        be = {"encoding": Part(spread(0.01, noise)), "search": Part(spread(search * items / LARGE, noise))}
        reranking = spread(RERANKING * (added if items == LARGE else 1), noise)
        made += [Timing(BE, "published", device, items, be), Timing(COOP, "published", device, items, {**be, "reranking": Part(reranking)}, k=20),
                 Timing(CE, "published", device, items, {"reranking": Part(spread(ce, noise), items)}, together=False, extrapolated="pairs")]  # fmt: skip
    return made


def powers(by_method: dict[str, float], noise: float = 0.001) -> list[Timing]:
    return [Timing(method, "published", "cuda", items, {"reranking": Part(spread(1e-3 * items**power, noise))})
            for method, power in by_method.items() for items in (100, 400, 1600)]  # fmt: skip


def verdict(claims: Claims, claim: str) -> Verdict:
    return claims[claim].verdict


@pytest.mark.parametrize(("ce", "expected"), [(0.0022, Verdict.SUPPORTED), (0.0005, Verdict.NOT_SUPPORTED)])
def test_ce_must_take_many_times_what_coop_takes(ce: float, expected: Verdict) -> None:
    assert verdict(judge_table3(Costs(queries(ce), ())), "T3-1") == expected


def test_milliseconds_are_those_of_a_gpu() -> None:
    judged = judge_table3(Costs(queries(0.0022, device="cpu")))["T3-1"]
    assert judged.verdict == Verdict.INCONCLUSIVE
    assert judged.evidence[-1] == "cuda, 1,000,000 images: not measured (no collection of 1,000,000 images on the GPU) –"


def test_the_fast_way_is_told_and_does_not_count() -> None:
    published, fast = queries(), [replace(timing, way="fast") for timing in queries(0.0005, added=1.2)]
    growth = powers({CE: 1.0}) + [replace(timing, way="fast") for timing in powers({CE: 0.8})]
    judged = judge_table3(Costs(published + fast, growth))
    for claim in ("T3-1", "T3-2", "T3-3"):
        assert judged[claim].verdict == Verdict.SUPPORTED
        assert all(" [does not count: fast: " in line and line.endswith("] ✓") for line in judged[claim].evidence)
    assert judge_table3(Costs(fast))["T3-2"].verdict == Verdict.NOT_MEASURED


@pytest.mark.parametrize(
    ("added", "noise", "expected"),
    [(1.0, 0.001, Verdict.SUPPORTED), (57 / 58, 0.001, Verdict.SUPPORTED), (1.2, 0.001, Verdict.NOT_SUPPORTED), (1.0, 0.3, Verdict.INCONCLUSIVE)],
)
def test_what_reranking_adds_must_be_constant(added: float, noise: float, expected: Verdict) -> None:
    assert verdict(judge_table3(Costs(queries(added=added, noise=noise))), "T3-2") == expected


@pytest.mark.parametrize(
    ("power", "expected"), [(1.0, Verdict.SUPPORTED), (0.97, Verdict.SUPPORTED), (1.2, Verdict.NOT_SUPPORTED), (0.8, Verdict.NOT_SUPPORTED)]
)
def test_ce_must_grow_linearly_in_the_collection(power: float, expected: Verdict) -> None:
    assert verdict(judge_table3(Costs(queries(), powers({CE: power}))), "T3-3") == expected


def test_the_size_of_an_embedding_and_the_printed_times() -> None:
    whole = queries(device="cuda") + queries(device="cpu")
    assert verdict(judge_table3(Costs(whole, bytes_each=3072.0)), "X-6") == Verdict.SUPPORTED
    assert verdict(judge_table3(Costs(whole, bytes_each=1536.0)), "X-6") == Verdict.NOT_SUPPORTED
    assert verdict(judge_table3(Costs(queries(device="cpu"), bytes_each=3072.0)), "X-6") == Verdict.INCONCLUSIVE, "no GPU"
    assert verdict(judge_table3(Costs(queries(device="cuda", search=0.5) + queries(device="cpu"), bytes_each=3072.0)), "X-6") == Verdict.NOT_SUPPORTED


@pytest.mark.parametrize(
    ("by_method", "expected"),
    [
        ({CE: 2.0, COOP: 1.0, BE: 1.0}, Verdict.SUPPORTED),
        ({CE: 2.0, COOP: 1.0, BE: 1.1}, Verdict.SUPPORTED),
        ({CE: 1.5, COOP: 1.0, BE: 1.0}, Verdict.NOT_SUPPORTED),
        ({CE: 2.0, COOP: 1.4, BE: 1.0}, Verdict.NOT_SUPPORTED),
        ({CE: 2.0, COOP: 1.0}, Verdict.INCONCLUSIVE),
    ],
)
def test_evaluations_must_grow_quadratically_and_linearly(by_method: dict[str, float], expected: Verdict) -> None:
    assert verdict(judge_table4(Costs((), powers(by_method))), "T4-1") == expected


def test_the_papers_own_times_support_its_claims() -> None:
    table = paper_table(4)
    growth = [Timing(row.method, "published", "cuda", int(row.test_images), {"reranking": Part(spread(row.value))})
              for row in table.itertuples() if row.test_images < 100_000]  # fmt: skip
    assert verdict(judge_table4(Costs((), growth)), "T4-1") == Verdict.SUPPORTED
    for column, device in (("NVIDIA V100", "cuda"), ("Intel Xeon Gold 6154 CPU", "cpu")):
        printed = paper_table(3)
        printed = printed[printed["device"] == column]
        timings = [Timing(row.method, "published", device, int(row.collection_images), {"reranking": Part(spread(row.value))}) for row in printed.itertuples()]
        parts = judge_table3(Costs(timings))["T3-1"].parts
        assert {finding.verdict for place, finding in parts if place.startswith(device)} == {Verdict.SUPPORTED}


def test_nothing_measured_is_no_verdict() -> None:
    small = [Timing(BE, "published", "cpu", 300, {"search": Part(spread(0.1))})]
    for claim in ("T3-1", "T3-2", "T3-3", "X-6"):
        judged = judge_table3(Costs(small))[claim]
        assert judged.verdict == Verdict.NOT_MEASURED
        assert "not measured" in judged.evidence[0]
    assert "times" in judge_table3(Costs(small)).reading.lower()
