"""The measurements themselves on a tiny model: both ways give the definition's results, everything that is asked for is timed, nothing is left behind."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from mmr_kit.cache import cache_dir
from mmr_kit.costs import curve, queries
from mmr_kit.costs.curve import achieved, pair_operations, search_costs, weight_bytes
from mmr_kit.costs.evaluations import evaluations, work
from mmr_kit.costs.growth import BE_TIMES, evaluation_growth, query_growth
from mmr_kit.costs.machine import measure_machine
from mmr_kit.costs.queries import COPIES, SPARE, fitting, latencies, throughput_told
from mmr_kit.costs.recording import add_agreements, add_timings, machine_notes
from mmr_kit.costs.ways import Contestants, PublishedModel, contestants, finders, present, published_search
from mmr_kit.costs.workload import Sizes, captions, embeddings, images
from mmr_kit.errors import InputError
from mmr_kit.models.packed import is_fast
from mmr_kit.reporting import Results
from mmr_kit.reporting.timings import BE, CE, COOP, FAST
from mmr_kit.retrieval.latency import Throughput
from mmr_kit.retrieval.search import search

SIZES = Sizes(layers=1, width=32, region_width=8, regions=3, tokens=7)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMR_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def pair() -> Contestants:
    return contestants(SIZES, "cpu")


def test_both_ways_compute_what_the_model_defines(pair: Contestants) -> None:
    model = pair.published.model
    asked, pictures = captions(7, SIZES), images(7, SIZES)
    published = PublishedModel(model, batch_size=3)
    for way in (published, pair.fast):
        assert way.score_pairs(asked, pictures) == pytest.approx(model.score_pairs(asked, pictures), abs=1e-5)
    assert published.embed_texts(asked) == pytest.approx(model.embed_texts(asked, normalize=False), abs=1e-5)
    assert published.embed_images(pictures) == pytest.approx(model.embed_images(pictures, normalize=False), abs=1e-5)


def test_the_published_search_is_exact() -> None:
    items, asked = embeddings(300, 16, 1), embeddings(4, 16, 2)
    unit = [vectors / np.linalg.norm(vectors, axis=1, keepdims=True) for vectors in (asked, items)]
    rows, scores = search(*unit, 5)
    for found in (published_search(items)(asked, 5), finders("cpu")["published"](asked, items, 5)):
        assert (found[0] == rows).all()
        assert found[1] == pytest.approx(scores, abs=1e-5)
    assert published_search(items[:3])(asked, 5)[0].shape == (4, 3)


def test_devices_that_are_not_there_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert present("auto") == present("cpu") == present("cpu cuda") == ["cpu"]
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert present("auto") == ["cpu", "cuda"]


def test_a_table_of_latencies(pair: Contestants) -> None:
    found = latencies(pair, SIZES, [200, 400], k=5, queries=2, pairs=4, budget=0.1)
    assert {(one.method, one.way, one.items) for one in found.timings} == {
        (method, way, items) for method in (BE, COOP, CE) for way in ("published", "fast") for items in (200, 400)
    }
    by_key = {(one.method, one.way, one.items): one for one in found.timings}
    assert list(by_key[COOP, "fast", 200].parts) == ["encoding", "search", "reranking"]
    assert not by_key[COOP, "fast", 400].extrapolated
    assert by_key[CE, "fast", 400].extrapolated.endswith("confidence)") or "too few batches" in by_key[CE, "fast", 400].extrapolated
    assert by_key[CE, "fast", 400].estimate().mean == pytest.approx(2 * by_key[CE, "fast", 200].estimate().mean)
    assert found.bytes_each == pytest.approx(4 * SIZES.width, abs=1)
    assert found.searched[400].overlap == 1, "both ways are exact"
    assert found.reranked[200].excused == 1, "in float32"
    assert list(cache_dir().iterdir()) == []
    results = Results("table3", "x")
    add_timings(results, found.timings)
    notes = add_agreements(results, "cpu", 5, {BE: found.searched, COOP: found.reranked})
    assert len(notes) == 4
    assert "400 images, the first 5 found: 100.0% in common" in notes[1]
    assert results.frame.loc[results.frame["metric"] == "overlap_between_ways", "value"].min() == 100


def test_what_does_not_fit_into_memory_is_extrapolated(pair: Contestants, monkeypatch: pytest.MonkeyPatch) -> None:
    room = SPARE + 200 * COPIES * 4 * SIZES.width
    assert fitting(10**6, SIZES.width, room) == 200
    assert fitting(100, SIZES.width, room) == 100
    with pytest.raises(InputError, match="of memory are available"):
        fitting(100, SIZES.width, SPARE)
    monkeypatch.setattr(queries.psutil, "virtual_memory", lambda: type("Memory", (), {"available": room})())
    found = latencies(pair, SIZES, [100, 1000], k=5, queries=1, pairs=4, budget=0.0)
    small, large = (next(one for one in found.timings if (one.method, one.way, one.items) == (BE, "fast", items)) for items in (100, 1000))
    assert (small.extrapolated, large.extrapolated) == ("", "a search of 200 images, which memory has room for")
    assert (small.parts["search"].factor, large.parts["search"].factor, large.parts["encoding"].factor) == (1, 5, 1)


def test_a_measurement_that_fails_leaves_nothing_behind(pair: Contestants, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise InputError("the model is broken")

    monkeypatch.setattr(queries, "query_times", fail)
    with pytest.raises(InputError, match="broken"):
        latencies(pair, SIZES, [200], k=5, queries=1, pairs=4, budget=0.1)
    monkeypatch.setattr(curve, "search_times", fail)
    with pytest.raises(InputError, match="broken"):
        search_costs([200], 16, 5, 1, [1], 0)
    assert list(cache_dir().iterdir()) == []


def test_the_work_of_an_evaluation() -> None:
    needed = work(1000, 20)
    assert needed[CE]["reranking"] == {"pairs": 5_000_000}
    assert needed[COOP]["reranking"] == {"pairs": 20 * 6000}
    assert needed[BE] == {"encoding": {"captions": 5000, "images": 1000}, "search": {"products": 2 * 5000 * 1000}}


@pytest.mark.parametrize(("whole", "extrapolated"), [(0.0, True), (1e9, False)])
def test_evaluations_are_done_where_time_allows(pair: Contestants, monkeypatch: pytest.MonkeyPatch, whole: float, extrapolated: bool) -> None:
    monkeypatch.setattr("mmr_kit.costs.evaluations.BLOCK", 100)
    found = evaluations(pair, SIZES, [6], k=5, batch=4, budget=0.0, whole=whole)
    assert [(one.method, one.way) for one in found] == [(method, way) for way in ("published", "fast") for method in (BE, COOP, CE)]
    assert [bool(one.extrapolated) for one in found] == [extrapolated] * 6
    assert all(one.estimate().mean > 0 for one in found)
    results = Results("table4", "x")
    add_timings(results, found)
    assert (results.frame["metric"] == "time_s").sum() == 6


def test_growth_is_measured_whole(pair: Contestants) -> None:
    for one in query_growth(pair, SIZES, [10, 20], repeats=2):
        assert (one.method, one.repeats, one.extrapolated) == (CE, 2, "")
    grown = evaluation_growth(pair, SIZES, [4, 8], k=3, repeats=2)
    assert {(one.method, one.items) for one in grown} == {*((BE, BE_TIMES * items) for items in (4, 8)), *((m, items) for m in (COOP, CE) for items in (4, 8))}


def test_throughputs_are_told_with_their_certainty() -> None:
    assert throughput_told(Throughput(np.full(8, 0.5), 4), "images") == "32 images (±0.0% at 95% confidence)"
    assert throughput_told(Throughput(np.full(2, 0.5), 4)) == "8 pairs (too few batches for an interval)"


def test_the_cost_of_searches() -> None:
    costs, notes = search_costs([100, 200], 16, 5, 2, [], 0)
    assert [(cost.name, cost.items) for cost in costs] == [(name, items) for items in (100, 200) for name in ("exact by int8", "as published", "float32")]
    assert {cost.found for cost in costs} == {100}
    assert notes == [f"approximate: not measured on {items} images (asked for up to 0)." for items in (100, 200)]
    assert list(cache_dir().iterdir()) == []


def test_approximate_search_finds_more_with_more_probes() -> None:
    pytest.importorskip("faiss")
    costs, notes = search_costs([400], 16, 5, 8, [1, 20, 1000], 400)
    assert {len(cost.seconds) for cost in costs if cost.probes} == {10 * 8}, "quick searches are measured more often"
    by_probes = {cost.probes: cost.found for cost in costs if cost.probes}
    assert set(by_probes) == {1, 20}, "the index has 20 lists"
    assert by_probes[1] < by_probes[20] == 100
    assert notes == []


def test_operations_of_a_pair_are_those_of_its_layers() -> None:
    """BERT-base: 85 million weights in the linear layers of the encoder, each used once a position."""
    sizes = Sizes()
    assert pair_operations(sizes) == 2 * 62 * 12 * 12 * 768**2 + 12 * 4 * 62**2 * 768 + 2 * 50 * 2054 * 768
    assert weight_bytes(sizes) == 4 * (12 * 12 * 768**2 + 2054 * 768)
    assert weight_bytes(sizes, "bf16") == 2 * 12 * 12 * 768**2 + 4 * 2054 * 768


def test_the_work_of_both_ways_is_the_work_that_they_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted by PyTorch while they do it, pooler and match head beside it. Fused kernels are unknown to the counter: the plain ones do the same work here."""
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    sizes = Sizes(layers=2, width=64, region_width=8, regions=9, tokens=12)  # long enough for the softmax not to be a product, too (see `packed.softmax`)
    for name, model in contestants(sizes, "cpu").both.items():
        texts, pictures = captions(4, sizes), images(4, sizes)
        with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
            model.score_pairs(texts, pictures)
        head = 2 * (sizes.width**2 + 2 * sizes.width)
        assert counter.get_total_flops() == 4 * (pair_operations(sizes, first_only=name == FAST) + head), name


def test_what_was_reached_is_told_with_the_bytes_that_were_read(monkeypatch: pytest.MonkeyPatch) -> None:
    model = contestants(SIZES, "cpu")
    reached = achieved(model, SIZES, 500, 5, 4, 0.0)
    assert [one.name for one in reached[:2]] == ["search, float32, 1 at once", "search, int8, 1 at once"]
    assert [one.intensity for one in reached[:4]] == [0.5, 0.5, 50, 50], "so few are searched without codes"
    assert all(one.speed > 0 and one.kind == "float32" for one in reached)
    monkeypatch.setattr("mmr_kit.retrieval.collection.PLAIN_VALUES", 0)
    model.fast.precision = "bf16"  # as it would be of a wide model on a processor with instructions for it
    with_codes = achieved(model, SIZES, 5000, 5, 4, 0.0)
    assert [one.intensity for one in with_codes[:4]] == [0.5, 2, 50, 200]
    assert (with_codes[4].intensity, with_codes[4].kind, with_codes[5].kind) == (reached[4].intensity, "float32", "bfloat16")
    assert with_codes[5].intensity > reached[5].intensity, "weights of two bytes"


def test_a_machine_has_limits() -> None:
    machine = measure_machine(large=2**16, side=32)
    assert machine.bandwidth > 0
    assert set(machine.peaks) == {"float32", "bfloat16"} if is_fast("bf16", torch.device("cpu")) else {"float32"}
    assert "thread(s)" in machine_notes(SIZES, 4)[1]
