"""Figures with the pictures of a gallery in them."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from mmr_kit.reporting.looks import style

Picture = Callable[[str], Any]  # image id -> picture


def picture_row(image_ids: Sequence[str], titles: Sequence[str], picture: Picture) -> Figure:
    """A row of pictures, each below its title."""
    with style():
        fig, axes = plt.subplots(1, len(image_ids), figsize=(1.5 * len(image_ids), 2.1), squeeze=False, layout="constrained")
        for axis, image_id, title in zip(axes[0], image_ids, titles, strict=True):
            axis.imshow(picture(image_id))
            axis.set_title("\n".join(textwrap.wrap(title, 19)), fontsize=8, loc="center")
            axis.set_axis_off()
    plt.close(fig)
    return fig


def grid_figure(grids: dict[str, np.ndarray], captions: Sequence[str], image_ids: Sequence[str], picture: Picture) -> Figure:
    """Scores (captions, images) side by side, captions at the left and pictures above; caption i belongs to picture i, whose cell has a frame.

    grids: {title: scores}. The darker a cell the higher its score; each grid has a scale of its own.
    """
    count = len(image_ids)
    with style():
        fig, axes = plt.subplots(1, len(grids), figsize=(2.7 + 3.6 * len(grids), 4.3), squeeze=False, sharey=True, layout="constrained")
        for axis, (title, scores) in zip(axes[0], grids.items(), strict=True):
            axis.imshow(scores, cmap="Blues")
            for (row, column), value in np.ndenumerate(scores.round(2) + 0.0):  # + 0.0: no minus before a zero
                dark = value > (scores.min() + scores.max()) / 2
                axis.text(column, row, f"{value:.2f}".replace("0.", "."), ha="center", va="center", fontsize=7, color="white" if dark else "#222222")
            for place, image_id in enumerate(image_ids):
                axis.add_patch(Rectangle((place - 0.47, place - 0.47), 0.94, 0.94, fill=False, edgecolor="#D55E00", linewidth=2))
                axis.imshow(picture(image_id), extent=(place - 0.45, place + 0.45, -0.6, -1.5))
            axis.set(xticks=[], title=title, xlim=(-0.5, count - 0.5), ylim=(count - 0.5, -1.6))
            axis.set_yticks(range(count), ["\n".join(textwrap.wrap(caption, 34)) for caption in captions], fontsize=8)
            axis.tick_params(left=False)
            axis.spines[:].set_visible(False)
            axis.grid(False)
    plt.close(fig)
    return fig
