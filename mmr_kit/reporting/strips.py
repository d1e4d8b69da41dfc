"""Rankings as pictures: a query above the candidates of each stage, best first (the paper's Figure 2)."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Protocol

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmr_kit.errors import InputError
from mmr_kit.reporting.looks import style
from mmr_kit.retrieval.metrics import first_relevant
from mmr_kit.retrieval.ranking import Ranking

RIGHT = "#009E73"


class Captioned(Protocol):
    """What `moved_most` needs of a data set."""

    @property
    def captions(self) -> Sequence[Any]:
        """Captions with caption_id, image_id and text."""
        ...


@dataclass(frozen=True)
class Example:
    """A caption and the image retrieval of each stage, first to last (name -> ranking; they may hold further queries); right_id: the image it describes."""

    caption: str
    rankings: Mapping[str, Ranking]
    query_id: str
    right_id: str

    @property
    def places(self) -> list[int]:
        """The right image's place in each stage, from 1; one more than the number of candidates where it is not among them."""
        return [int(first_relevant(_only(ranking, self.query_id), {self.query_id: {self.right_id}})[0]) for ranking in self.rankings.values()]

    def verdict(self) -> str:
        """What the last stage did to the right image, in words."""
        before, after = self.places[0], self.places[-1]
        effect = "helps" if after < before else "hurts" if after > before else "changes nothing"
        depths = (len(_only(ranking, self.query_id).candidate_ids[0]) for ranking in self.rankings.values())
        words = [f"place {place}" if place <= depth else f"not among the first {depth}" for place, depth in zip(self.places, depths, strict=True)]
        return f"Reranking {effect}: {words[0]} → {words[-1]}"


def moved_most(before: Ranking, after: Ranking, dataset: Captioned, count: int) -> list[Example]:
    """The image retrievals that reranking helps most and hurts most, in turn: it brings the right image to the first place, or takes it from there.

    before, after: the retrieval and its reranking, of the same captions in the same order. The images are all different.
    """
    text = {caption.caption_id: (caption.text, caption.image_id) for caption in dataset.captions}
    relevance = {query: {text[query][1]} for query in before.query_ids}
    one, other = first_relevant(before, relevance), first_relevant(after, relevance)
    by_move = np.argsort(np.abs(one - other), kind="stable")[::-1]
    helps, hurts = ([before.query_ids[i] for i in by_move if best[i] == 1 and worst[i] > 1] for best, worst in ((other, one), (one, other)))
    images: set[str] = set()
    examples: list[Example] = []
    for query in [query for pair in zip_longest(helps, hurts) for query in pair if query is not None]:
        caption, image = text[query]
        if image not in images and len(examples) < count:
            images.add(image)
            examples.append(Example(caption, {"BE": before, "reranked": after}, query, image))
    return examples


def picture_strip(caption: str, rankings: Mapping[str, Ranking], query_id: str, right_id: str, picture: Callable[[str], Any], shown: int = 6) -> Figure:
    """A row of the first `shown` images for each stage of `rankings` (name -> image retrieval), with scores; the right image has a tick and a frame.

    picture: image id -> picture, or None where there is none.
    """
    with style():
        fig, axes = plt.subplots(len(rankings), shown, figsize=(1.25 * shown, 1.5 * len(rankings) + 0.35), squeeze=False, layout="constrained")
        fig.suptitle("\n".join(textwrap.wrap(f"“{caption}”", 70)), x=0.01, ha="left", fontsize=11, parse_math=False)
        _draw_stages(axes, Example(caption, rankings, query_id, right_id), picture)
    plt.close(fig)
    return fig


def examples_figure(examples: Sequence[Example], picture: Callable[[str], Any], shown: int = 5) -> Figure:
    """Examples one below the other: the caption, what reranking does to the right image, and a row of the first `shown` images for each stage.

    picture: image id -> picture, or None where there is none. Five images a row stay legible at 400 pixels.
    """
    if not examples:
        raise InputError("there is no example to draw")
    heads = ["\n".join([*textwrap.wrap(f"“{example.caption}”", 60), example.verdict()]) for example in examples]
    heights = [1.22 * len(example.rankings) + 0.2 * (head.count("\n") + 1) + 0.1 for example, head in zip(examples, heads, strict=True)]
    with style():
        fig = plt.figure(figsize=(5.4, sum(heights)), layout="constrained")
        for part, example, head in zip(fig.subfigures(len(examples), 1, squeeze=False, height_ratios=heights)[:, 0], examples, heads, strict=True):
            part.suptitle(head, x=0.01, ha="left", fontsize=10, fontweight="bold", parse_math=False)
            _draw_stages(part.subplots(len(example.rankings), shown, squeeze=False), example, picture)
    plt.close(fig)
    return fig


def _only(ranking: Ranking, query_id: str) -> Ranking:
    """The ranking of one of its queries."""
    place = ranking.query_ids.index(query_id)
    return Ranking(ranking.direction, [query_id], [ranking.candidate_ids[place]], [ranking.scores[place]])


def _draw_stages(axes: Any, example: Example, picture: Callable[[str], Any]) -> None:
    """The first images of each stage into an array of axes (stages, shown)."""
    for row, (name, ranking) in zip(axes, example.rankings.items(), strict=True):
        only = _only(ranking, example.query_id)
        found = list(zip(only.candidate_ids[0], only.scores[0], strict=True))[: len(row)]
        for rank, axis in enumerate(row):
            axis.set(xticks=[], yticks=[])
            axis.grid(False)
            if rank >= len(found):
                axis.set_axis_off()
                continue
            image_id, score = found[rank]
            _draw_picture(axis, picture(image_id), image_id)
            right = image_id == example.right_id
            axis.set_title(f"{rank + 1}. {score:.3f}{'  ✓' if right else ''}", fontsize=9, fontweight="bold" if right else "normal", loc="center")
            for spine in axis.spines.values():
                spine.set(visible=True, linewidth=3.5 if right else 0.6, color=RIGHT if right else "#888888")
        row[0].set_ylabel(name, fontsize=10, fontweight="bold")


def _draw_picture(axis: Axes, image: Any, image_id: str) -> None:
    if image is None:
        axis.text(0.5, 0.5, image_id, ha="center", va="center", fontsize=6, wrap=True, transform=axis.transAxes, parse_math=False)
    else:
        axis.imshow(image)
