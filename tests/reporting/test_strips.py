"""Strips of pictures: as many as shown, the right one marked."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from mmr_kit.errors import InputError
from mmr_kit.reporting.strips import RIGHT, Example, examples_figure, moved_most, picture_strip
from mmr_kit.retrieval.ranking import Ranking


def ranking(*orders: str) -> Ranking:
    """One query an order of one-letter images."""
    return Ranking("image_retrieval", [f"q{number}" for number in range(len(orders))], [list(order) for order in orders],
                   [np.linspace(0.9, 0.1, len(order), dtype=np.float32) for order in orders])  # fmt: skip


def picture(image_id: str) -> Image.Image | None:
    return Image.new("RGB", (4, 4), (ord(image_id), 0, 0)) if image_id != "x" else None


@pytest.fixture
def strip() -> Iterator[Figure]:
    fig = picture_strip("a caption", {"BE": ranking("zzz", "abcxe"), "SEP+COOP": ranking("zzz", "cab")}, "q1", "c", picture, shown=4)
    yield fig
    plt.close(fig)


def rows_of(strip: Figure) -> list[list[Axes]]:
    return [strip.axes[:4], strip.axes[4:]]


def marked(axis: Axes) -> bool:
    return "✓" in axis.get_title()


def test_shows_the_first_of_each_stage_in_order(strip: Figure) -> None:
    found = [[chr(axis.images[0].get_array()[0, 0, 0]) if axis.images else "".join(text.get_text() for text in axis.texts) for axis in row]
             for row in rows_of(strip)]
    assert found == [["a", "b", "c", "x"], ["c", "a", "b", ""]]
    assert [axis.axison for axis in strip.axes] == [True] * 7 + [False]
    assert [row[0].get_ylabel() for row in rows_of(strip)] == ["BE", "SEP+COOP"]
    assert rows_of(strip)[0][1].get_title().startswith("2. 0.700")
    assert "“a caption”" in strip.get_suptitle()


def test_marks_the_right_one_by_tick_and_frame(strip: Figure) -> None:
    assert [[marked(axis) for axis in row] for row in rows_of(strip)] == [[False, False, True, False], [True, False, False, False]]
    for axis in strip.axes[:7]:
        colours = {to_hex(spine.get_edgecolor()).upper() for spine in axis.spines.values()}
        widths = {spine.get_linewidth() for spine in axis.spines.values()}
        assert (colours == {RIGHT}) == marked(axis)
        assert (min(widths) > 3) == marked(axis)


def test_marks_nothing_where_it_was_not_found() -> None:
    strip = picture_strip("a caption", {"BE": ranking("abd")}, "q0", "c", picture)
    assert len(strip.axes) == 6
    assert not any(marked(axis) for axis in strip.axes)


def test_is_drawn_and_left_closed(strip: Figure, tmp_path: Path) -> None:
    long = picture_strip("a very long caption " * 12, {"BE": ranking("abc")}, "q0", "a", picture)
    for number, fig in enumerate((strip, long)):
        fig.savefig(tmp_path / f"{number}.png")
        assert Image.open(tmp_path / f"{number}.png").size[0] > 300
    assert not plt.get_fignums(), "or a notebook would show it twice"


def test_examples_say_what_reranking_did() -> None:
    helped, hurt, lost = (Example(f"caption {right}", {"BE": ranking(*"xyz", before), "reranked": ranking(*"xyz", after)}, "q3", right)
                          for before, after, right in (("abc", "cab", "c"), ("abc", "bca", "a"), ("abc", "bca", "d")))  # fmt: skip
    assert [example.places for example in (helped, hurt, lost)] == [[3, 1], [1, 3], [4, 4]]
    fig = examples_figure([helped, hurt, lost], picture, shown=4)
    assert [part.get_suptitle().splitlines() for part in fig.subfigs] == [
        ["“caption c”", "Reranking helps: place 3 → place 1"],
        ["“caption a”", "Reranking hurts: place 1 → place 3"],
        ["“caption d”", "Reranking changes nothing: not among the first 3 → not among the first 3"],
    ]
    assert [len(part.axes) for part in fig.subfigs] == [8, 8, 8]
    assert [marked(axis) for axis in fig.subfigs[0].axes] == [False, False, True, False, True, False, False, False]
    assert fig.get_figwidth() < 6, "legible at 400 pixels"
    assert not plt.get_fignums()
    with pytest.raises(InputError, match="no example"):
        examples_figure([], picture)


def test_the_examples_that_moved_most_in_turn() -> None:
    captions = [SimpleNamespace(caption_id=f"q{number}", image_id=image, text=f"about {image}") for number, image in enumerate("abcdaa")]
    before = ranking("abcd", "cdab", "cabd", "abcd", "abcd", "abcd")  # right at: 1, 4, 1, 4, 1, 1
    after = ranking("dbca", "bcda", "acbd", "dabc", "abcd", "bacd")  # right at: 4, 1, 2, 1, 1, 2
    found = moved_most(before, after, SimpleNamespace(captions=captions), 4)
    assert [(example.query_id, example.places) for example in found] == [("q3", [4, 1]), ("q0", [1, 4]), ("q1", [4, 1]), ("q2", [1, 2])]
    assert [example.caption for example in found][:1] == ["about d"]
    assert len({example.right_id for example in moved_most(before, after, SimpleNamespace(captions=captions), 9)}) == 4, "q5 shows q0's image again"


@pytest.mark.parametrize("caption", ["a $5 dog and a $7 cat", r"$\frac{", "$x_{$", r"\input{/etc/passwd}"])
def test_captions_are_no_formulas(tmp_path: Path, caption: str) -> None:
    rankings = {"BE": ranking("xbc")}
    for fig in (picture_strip(caption, rankings, "q0", "x", lambda image_id: None), examples_figure([Example(caption, rankings, "q0", "x")], lambda _: None)):
        fig.savefig(tmp_path / "x.png")  # raises where matplotlib takes part of it for a formula that is none
        assert not fig.findobj(lambda artist: isinstance(artist, Text) and caption in artist.get_text() and artist.get_parse_math())
