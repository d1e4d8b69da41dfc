"""What was measured, as result rows beside the paper's numbers and as notes below a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import torch

from mmr_kit.costs.ways import ROWS
from mmr_kit.costs.workload import Sizes
from mmr_kit.reporting.claims_costs import PRINTED_DEVICE
from mmr_kit.reporting.paper import paper_value
from mmr_kit.reporting.provenance import provenance
from mmr_kit.reporting.results import Results
from mmr_kit.reporting.timings import COOP, Timing, images_named, rows_of
from mmr_kit.retrieval.agreement import NEAR, Agreement

DATASET = "random inputs"
METRICS = {"table3": "latency", "table4": "time"}
BETWEEN = "_between_ways"  # ends the metrics of an agreement


def add_timings(results: Results, timings: Iterable[Timing]) -> None:
    """Add the rows of timings to the results of Table 3 or 4, each beside the paper's time on the device of its kind."""
    for timing in timings:
        for row in rows_of(timing, METRICS[results.table], _printed(results.table, timing)):
            results.add(dataset=DATASET, **row)


def add_agreements(results: Results, device: str, k: int, agreements: Mapping[str, Mapping[int, Agreement]]) -> list[str]:
    """Add how far the rankings of the two ways agree, {method: {images: Agreement}}, in percent; returns a note for each."""
    notes = []
    for method, of_method in agreements.items():
        for images, found in of_method.items():
            shares = {name: 100 * value for name, value in asdict(found).items() if name not in ("apart", "queries")}
            for name, value in {**shares, "apart": found.apart}.items():
                results.add(dataset=DATASET, method=method, backbone=f"oscar, {device}", collection=images_named(images), n_items=images, k=k,
                            direction="image_retrieval", metric=f"{name}{BETWEEN}", value=value)  # fmt: skip
            ties = f"{shares['near_tied']:.1f}% of neighbours are closer than {NEAR:g} ({shares['tied']:.1f}% equal)"
            notes.append(
                f"Rankings of the two ways, {device}, {images:,} images, the first {k} {'reranked' if method == COOP else 'found'}: {shares['overlap']:.1f}% "
                f"in common, the same order for {shares['same_order']:.0f}% of the {found.queries} queries and, near-ties aside, for "
                f"{shares['excused']:.0f}%; {ties}; scores differ by at most {found.apart:.1g}."
            )
    return notes


def machine_notes(sizes: Sizes, batch: int) -> list[str]:
    """What was measured, and on what. batch: of the throughputs."""
    record = provenance({}, {}, {})
    gpu = f", {record['device']}" if record["cuda"] else ""
    return [f"Random weights and inputs: OSCAR, {sizes}. Region features are in memory. Throughputs are those of batches of {batch}; "
            f"the published code takes up to 512. Its search normalises the collection at once; here {ROWS:,} embeddings at a time, which needs less memory "
            "and not more time. With random weights nearly all candidates are near-ties; that the kit settles these in float32 is left out.",
            f"{torch.get_num_threads()} thread(s) of {record['cpu']} ({record['cpu_capability']}){gpu}; PyTorch {record['packages']['torch']}."]  # fmt: skip


def _printed(table: str, timing: Timing) -> dict[str, Any]:
    """The paper's time of a method on a device of this kind."""
    column = {"table3": "collection_images", "table4": "test_images"}[table]
    found = paper_value(int(table[-1]), method=timing.method, device=PRINTED_DEVICE[timing.device], **{column: timing.items})
    return {} if found is None else {"paper_value": found.value, "erratum": found.erratum}
