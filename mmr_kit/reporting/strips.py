"""Rankings as pictures: a query above the candidates of each stage, best first (the paper's Figure 2)."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from mmr_kit.reporting.figures import style
from mmr_kit.retrieval.ranking import Ranking

RIGHT = "#009E73"


def picture_strip(caption: str, rankings: Mapping[str, Ranking], query_id: str, right_id: str, picture: Callable[[str], Any], shown: int = 6) -> Figure:
    """A row of the first `shown` images for each stage of `rankings` (name -> image retrieval), with scores; the right image has a tick and a frame.

    picture: image id -> picture, or None where there is none.
    """
    with style():
        fig, axes = plt.subplots(len(rankings), shown, figsize=(1.25 * shown, 1.5 * len(rankings) + 0.35), squeeze=False, layout="constrained")
        fig.suptitle("\n".join(textwrap.wrap(f"“{caption}”", 70)), x=0.01, ha="left", fontsize=11)
        for row, (name, ranking) in zip(axes, rankings.items(), strict=True):
            place = ranking.query_ids.index(query_id)
            found = list(zip(ranking.candidate_ids[place], ranking.scores[place], strict=True))[:shown]
            for rank, axis in enumerate(row):
                axis.set(xticks=[], yticks=[])
                axis.grid(False)
                if rank >= len(found):
                    axis.set_axis_off()
                    continue
                image_id, score = found[rank]
                image = picture(image_id)
                if image is None:
                    axis.text(0.5, 0.5, image_id, ha="center", va="center", fontsize=6, wrap=True, transform=axis.transAxes)
                else:
                    axis.imshow(image)
                right = image_id == right_id
                axis.set_title(f"{rank + 1}. {score:.3f}{'  ✓' if right else ''}", fontsize=9, fontweight="bold" if right else "normal", loc="center")
                for spine in axis.spines.values():
                    spine.set(visible=True, linewidth=3.5 if right else 0.6, color=RIGHT if right else "#888888")
            row[0].set_ylabel(name, fontsize=10, fontweight="bold")
    plt.close(fig)
    return fig
