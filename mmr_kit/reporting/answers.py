"""The answer to one query as HTML: what each stage ranks, best first, and lines that show who moved.

Everything that comes from data is escaped, pictures are part of the page, and nothing is fetched. Colour says nothing that words, lines or numbers do not say.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Collection, Sequence
from html import escape
from typing import Any, NamedTuple

from mmr_kit.reporting.answers_style import STYLE
from mmr_kit.retrieval.ranking import Ranking

COLOURS = 4096  # of a drawing at most; a picture with more is a photograph


class Item(NamedTuple):
    """What is shown of an image or a caption. picture: a data URI, "" for none; text: the caption, or one of the image's."""

    picture: str
    text: str


class Stage(NamedTuple):
    """The ranking of one query. name: what ranks; score: what its numbers are."""

    name: str
    score: str
    ranking: Ranking


def answer_html(stages: Sequence[Stage], right: Collection[str], show: Callable[[str], Item]) -> str:
    """A row of items for each stage, and between two rows a line from each item to itself. right: ids of the right answers, none where they are not known."""
    rows, places = [], [_places(stage) for stage in stages]
    columns = max(map(len, places))
    for number, stage in enumerate(stages):
        before = places[number - 1] if number else {}
        cells = "".join(_cell(stage, place, item, item in right, before.get(item, -1), show(item)) for item, place in places[number].items())
        rows.append(f'<h4>{escape(stage.name)}</h4><ol class="mmr-row" aria-label="{escape(stage.name)}">{cells}</ol>')
        if number + 1 < len(stages):
            rows.append(_lines(places[number], places[number + 1], columns, right))
    is_text = not any(show(item).picture for item in places[0])
    return (f'{STYLE}<div class="mmr-answer" role="region" aria-label="answers" tabindex="0">'
            f'<div class="mmr-rows{" mmr-texts" if is_text else ""}" style="--columns: {columns}">{"".join(rows)}</div></div>')


def data_uri(picture: Any, side: int) -> str:
    """A PIL picture, its longer side scaled down to `side` pixels, as a data URI; "" for None. Drawings stay exact, photographs become JPEG."""
    if picture is None:
        return ""
    picture = picture.copy()
    picture.thumbnail((side, side))
    kind, options = ("png", {}) if picture.getcolors(COLOURS) else ("jpeg", {"quality": 85})
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _places(stage: Stage) -> dict[str, int]:
    return {item: place for place, item in enumerate(stage.ranking.candidate_ids[0])}


def _cell(stage: Stage, place: int, item: str, right: bool, before: int, shown: Item) -> str:
    """One item: picture or caption, place, score, how it moved. before: its place in the stage above, -1 where there is none."""
    score = stage.ranking.scores[0][place]
    moved = "" if before < 0 else _moved(before - place)
    told = f"{place + 1}. {item}{', the right answer' if right else ''}: {shown.text} ({stage.score} {score:.3f}{f', {moved}' if moved else ''})"
    body = f'<img src="{shown.picture}" alt="{escape(told)}">' if shown.picture else f"<p>{escape(shown.text)}</p>"
    arrow = f'<span class="mmr-moved">{_arrow(before - place)}</span>' if before >= 0 else ""
    return (f'<li class="{"mmr-right" if right else ""}" title="{escape(told)}">{body}<span><b>{place + 1}.</b> {score:.3f}</span>{arrow}'
            f'{"<strong>✓ right</strong>" if right else ""}</li>')


def _moved(places: int) -> str:
    return "not moved" if not places else f"moved {'up' if places > 0 else 'down'} by {abs(places)}"


def _arrow(places: int) -> str:
    return "=" if not places else f"{'▲' if places > 0 else '▼'} {abs(places)}"


def _lines(above: dict[str, int], below: dict[str, int], columns: int, right: Collection[str]) -> str:
    """Lines in a box as wide as the rows: from the middle of each item's column above to that below; up solid, down dashed, the right answer thick."""
    paths = []
    for item in sorted(above.keys() & below.keys(), key=lambda item: item in right):  # the right answer on top
        start, end = above[item] + 0.5, below[item] + 0.5
        kinds = ["mmr-right"] if item in right else []
        kinds += ["mmr-up"] if end < start else ["mmr-down"] if end > start else []
        paths.append(f'<path class="{" ".join(kinds)}" d="M{start} 0C{start} .5 {end} .5 {end} 1"/>')
    return f'<svg viewBox="0 0 {columns} 1" preserveAspectRatio="none" aria-hidden="true">{"".join(paths)}</svg>'
