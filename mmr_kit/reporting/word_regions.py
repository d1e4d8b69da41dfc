"""Which words look at which regions, and what one changed word changes, as HTML and as a figure. Everything that comes from data is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

import numpy as np

from mmr_kit.reporting.answers_style import STYLE

SHOWN = 10  # regions at most, the strongest
LEGEND = "Gradient × attention, in shares. Solid: speaks for a match; dashed, with a minus: against."


class Reading(NamedTuple):
    """A model's score of a pair, and the place, from 1, that it gives it among the candidates."""

    score: float
    place: int


class Reaction(NamedTuple):
    """What a model says of a caption and a picture, before and after a word of the caption is changed. score: what its numbers are."""

    model: str
    score: str
    before: Reading
    after: Reading


def shares(values: np.ndarray) -> np.ndarray:
    """Values divided by the sum of their sizes: signed shares of 1; zeros stay."""
    return values / (np.abs(values).sum() or 1)


def regions_html(picture: str, boxes: np.ndarray, values: np.ndarray, alt: str) -> str:
    """A picture (data URI, or "") with the boxes (regions, 4) drawn on it, the stronger their value (regions,) the stronger, and the shares as bars.

    What speaks against a match is dashed and has a minus.
    """
    of_region = shares(values)
    order = np.argsort(-np.abs(of_region), kind="stable")[:SHOWN]
    strongest = np.abs(of_region).max() or 1
    rectangles, labels, bars = [], [], []
    for region in reversed(order):  # the strongest on top
        (x1, y1, x2, y2), strength = boxes[region], abs(of_region[region]) / strongest
        kind = ' class="mmr-against"' if of_region[region] < 0 else ""
        rectangles.append(f'<rect{kind} x="{x1:.4f}" y="{y1:.4f}" width="{x2 - x1:.4f}" height="{y2 - y1:.4f}" '
                          f'stroke-width="{1 + 4 * strength:.1f}" fill-opacity="{0.45 * strength:.2f}"/>')
        labels.append(f'<b style="left: {100 * x1:.1f}%; top: {100 * y1:.1f}%">{region + 1}</b>')
    for region in order:
        kind, share = ' class="mmr-against"' if of_region[region] < 0 else "", of_region[region]
        bars.append(f'<li{kind}><span>box {region + 1}</span><i style="width: {6 * abs(share) / strongest:.2f}em"></i> {percent(share)}%</li>')
    image = f'<img src="{picture}" alt="{escape(alt)}">' if picture else f'<p class="mmr-empty">{escape(alt)}</p>'
    return (f'<div class="mmr-regions"><div class="mmr-picture">{image}<svg viewBox="0 0 1 1" preserveAspectRatio="none" aria-hidden="true">'
            f'{"".join(rectangles)}</svg>{"".join(labels)}</div><div><ol class="mmr-bars">{"".join(bars)}</ol><small>{LEGEND}</small></div></div>')


def words_html(words: Sequence[str], values: np.ndarray, chosen: int = -1) -> str:
    """A caption whose words have their share of the values (words, regions) below them; the chosen one (-1: none) stands out."""
    of_word = shares(values.sum(1))
    spans = (f'<span{" class=mmr-chosen" if number == chosen else ""}>{escape(word)}<small>{percent(share)}%</small></span>'
             for number, (word, share) in enumerate(zip(words, of_word, strict=True)))
    return f'<p class="mmr-words">{" ".join(spans)}</p>'


def reactions_html(reactions: Sequence[Reaction], candidates: int) -> str:
    """A table of how the models react to the changed word. candidates: among how many the places are."""
    rows = (f"<tr><th>{escape(one.model)}</th><td>{escape(one.score)}</td><td>{one.before.score:.3f} → {one.after.score:.3f}</td>"
            f"<td>{one.after.score - one.before.score:+.3f}</td><td>{one.before.place} → {one.after.place}</td></tr>" for one in reactions)
    return (f'<table class="mmr-reactions"><thead><tr><th></th><th>score</th><th>before → after</th><th>change</th><th>place among the {candidates}</th>'
            f'</tr></thead><tbody>{"".join(rows)}</tbody></table>')


def why_html(*parts: str) -> str:
    """The parts, one below the other, with their style sheet."""
    return f'{STYLE}<div class="mmr-why">{"".join(parts)}</div>'


def percent(share: float) -> str:
    """A signed share of 1 in whole percent, without the sign of a zero: "+7", "-12", "0"."""
    return f"{round(100 * share):+d}" if round(100 * share) else "0"
