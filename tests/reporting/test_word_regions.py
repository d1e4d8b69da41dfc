"""Words and regions as HTML and as a figure: the shares, the boxes, the signs, and nothing that runs."""

import numpy as np
import pytest
from matplotlib.patches import Rectangle
from PIL import Image

from mmr_kit.reporting.region_figures import word_region_figure
from mmr_kit.reporting.word_regions import SHOWN, Reaction, Reading, percent, reactions_html, regions_html, shares, why_html, words_html
from tests.reporting.test_answers import EVIL, Page

BOXES = np.array([[0, 0, 0.5, 0.5], [0.25, 0.5, 0.75, 1], [0.5, 0, 1, 0.25]])


def test_shares_are_signed_and_of_one() -> None:
    assert shares(np.array([3.0, -1.0, 0.0])).tolist() == [0.75, -0.25, 0.0]
    assert shares(np.zeros(2)).tolist() == [0, 0]
    assert [percent(share) for share in (0.074, -0.12, 0.001, -0.001)] == ["+7", "-12", "0", "0"]


def test_boxes_are_drawn_by_strength_and_sign() -> None:
    page = Page(regions_html("data:image/png;base64,AAAA", BOXES, np.array([3.0, -1.0, 0.0]), "a picture"))
    rectangles = {(float(box["x"]), float(box["y"]), float(box["width"]), float(box["height"])): box for box in page.all("rect")}
    assert list(rectangles) == [(0.5, 0, 0.5, 0.25), (0.25, 0.5, 0.5, 0.5), (0, 0, 0.5, 0.5)], "the strongest on top"
    strengths = [(float(box["stroke-width"]), float(box["fill-opacity"])) for box in rectangles.values()]
    assert strengths == sorted(strengths)
    assert strengths[0] == (1, 0)
    assert ["class" in box for box in rectangles.values()] == [False, True, False]
    assert "box 1 +75% box 2 -25% box 3 0%" in page.text
    assert page.all("img") == [{"src": "data:image/png;base64,AAAA", "alt": "a picture"}]


def test_of_many_regions_the_strongest_are_shown() -> None:
    values = np.arange(30.0)
    page = Page(regions_html("", np.tile(BOXES[:1], (30, 1)), values, "no picture here"))
    assert len(page.all("rect")) == SHOWN
    assert "box 30" in page.text
    assert "box 20" not in page.text
    assert "no picture here" in page.text


def test_words_have_their_shares_and_the_chosen_one_stands_out() -> None:
    page = Page(words_html(["a", "red", "star"], np.array([[0.0, 0.0], [1.0, 1.0], [-3.0, 1.0]]), chosen=1))
    assert page.text.split() == ["a", "0%", "red", "+50%", "star", "-50%"]
    assert [attributes.get("class") for attributes in page.all("span")] == [None, "mmr-chosen", None]


def test_reactions_show_scores_and_places() -> None:
    page = Page(reactions_html([Reaction("BE", "cosine", Reading(0.71, 2), Reading(0.69, 3)), Reaction(EVIL, EVIL, Reading(0.99, 1), Reading(0.02, 14))], 20))
    assert "0.710 → 0.690 -0.020 2 → 3" in page.text
    assert "0.990 → 0.020 -0.970 1 → 14" in page.text
    assert "place among the 20" in page.text


def test_whatever_comes_from_data_is_text() -> None:
    reactions = reactions_html([Reaction(EVIL, EVIL, Reading(0, 1), Reading(0, 1))], 1)
    page = Page(why_html(words_html([EVIL], np.ones((1, 1))), regions_html("", BOXES, np.ones(3), EVIL), reactions))
    assert not page.all("script")
    assert not page.all("img")
    assert page.text.count(EVIL) == 4


@pytest.mark.parametrize("picture", [None, Image.new("RGB", (80, 40))])
def test_the_figure_shows_each_word_and_box(picture: Image.Image | None) -> None:
    values = np.array([[4.0, 0.0, 1.0], [0.0, -4.0, 1.0]])
    left, right = word_region_figure(["red", "star"], values, BOXES, picture).axes
    assert [label.get_text() for label in right.get_yticklabels()] == ["red", "star"]
    assert [text.get_text() for text in right.texts] == ["+40", "0", "+10", "0", "-40", "+10"]
    assert [text.get_text() for text in left.texts] == ["1", "2", "3"]
    width, height = (80, 40) if picture else (1, 1)
    drawn = {(patch.get_x(), patch.get_y(), patch.get_width(), patch.get_height()) for patch in left.patches if isinstance(patch, Rectangle)}
    assert drawn == {(x1 * width, y1 * height, (x2 - x1) * width, (y2 - y1) * height) for x1, y1, x2, y2 in BOXES.tolist()}
