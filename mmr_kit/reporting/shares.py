"""What half-size models keep of the full ones (the paper's Figure 4)."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from mmr_kit.errors import InputError
from mmr_kit.reporting.claims_training import HALF_SIZE
from mmr_kit.reporting.evidence import ratio_interval
from mmr_kit.reporting.measured import Measured, recall_at, select


def half_of_full(measured: Sequence[Measured]) -> pd.DataFrame:
    """R@1 of each half-size model as a share (percent) of the full one's: columns dataset, direction, method, value, ci_low, ci_high."""
    rows = []
    for half in measured:
        if half["backbone"].endswith(HALF_SIZE):
            same = {name: half[name] for name in ("dataset", "direction", "method", "language", "trained_on")}
            full = select(measured, **same, backbone=half["backbone"].removesuffix(HALF_SIZE))
            if len(full) != 1:
                raise InputError(f"{len(full)} full-size cells stand beside {same}; measure the full model once, in the same gallery")
            share = ratio_interval(*(cell.by_image(recall_at(1)(cell.hits)) for cell in (half, full[0])))
            rows.append({**same, **{name: 100 * value for name, value in zip(("value", "ci_low", "ci_high"), share, strict=True)}})
    return pd.DataFrame(rows, columns=["dataset", "direction", "method", "value", "ci_low", "ci_high"])
