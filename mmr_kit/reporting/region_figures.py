"""Which words look at which regions, as a figure: the picture with its boxes, and the share of each word and region."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from mmr_kit.reporting.looks import style
from mmr_kit.reporting.word_regions import SHOWN, percent, shares


def word_region_figure(words: Sequence[str], values: np.ndarray, boxes: np.ndarray, picture: Any) -> Figure:
    """The picture (None: none) with the strongest regions' boxes (regions, 4), numbered, beside a matrix of signed shares of values (words, regions)."""
    of_pair = shares(values)
    shown = np.sort(np.argsort(-np.abs(values).sum(0), kind="stable")[:SHOWN])
    most = np.abs(of_pair).max() or 1
    with style():
        fig, (left, right) = plt.subplots(1, 2, figsize=(3 + 0.5 * len(shown) + 0.9, max(2.8, 0.32 * len(words) + 0.9)), layout="constrained",
                                          width_ratios=[2.4, 0.5 * len(shown) + 1.2])  # fmt: skip
        fig.suptitle("Gradient × attention: share of each word and box, %", x=0.01, ha="left", fontsize=10, fontweight="bold")
        height, width = (1, 1) if picture is None else np.asarray(picture).shape[:2]
        left.imshow(np.ones((1, 1, 3)) if picture is None else picture, extent=(0, width, height, 0))
        for region in shown:
            x1, y1, x2, y2 = boxes[region] * (width, height, width, height)
            strength = np.abs(of_pair[:, region]).sum() / (np.abs(of_pair).sum(0).max() or 1)
            left.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor="white", linewidth=2 + 3 * strength))
            left.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor="#222222", linewidth=0.8 + 2 * strength))
            left.text(x1, y1, str(region + 1), fontsize=8, color="white", va="bottom", bbox={"facecolor": "#222222", "pad": 1.5, "linewidth": 0})
        left.set(xticks=[], yticks=[], xlim=(0, width), ylim=(height, 0))
        left.grid(False)
        right.imshow(of_pair[:, shown], cmap="PuOr", vmin=-most, vmax=most, aspect="auto")
        for (row, column), share in np.ndenumerate(of_pair[:, shown]):
            right.text(column, row, percent(share), ha="center", va="center", fontsize=8, color="white" if abs(share) > 0.6 * most else "#222222")
        right.set(xticks=range(len(shown)), xticklabels=[str(region + 1) for region in shown], yticks=range(len(words)), yticklabels=words)
        right.grid(False)
        right.tick_params(length=0)
        for axis in (left, right):
            axis.spines[:].set_visible(False)
    plt.close(fig)
    return fig
