"""The answer to a query as HTML: who stands where, who moved, what is right, and nothing that runs."""

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from mmr_kit.reporting.answers import Item, Stage, answer_html, data_uri
from mmr_kit.retrieval.ranking import Ranking

EVIL = """<script>alert(1)</script><img src=x onerror='alert("2")'>&amp;"""


class Page(HTMLParser):
    """The tags of a page with their attributes, and its pieces of text, one space between two."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.pieces: list[str] = []
        self.feed(html)

    @property
    def text(self) -> str:
        return " ".join(self.pieces)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        if self.tags[-1][0] != "style":
            self.pieces.append(data.strip())

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


def ranking(order: str) -> Ranking:
    return Ranking("image_retrieval", ["query"], [list(order)], [np.linspace(0.9, 0.1, len(order), dtype=np.float32)])


def picture_of(item: str) -> Item:
    return Item(data_uri(Image.new("RGB", (8, 8), (ord(item), 0, 0)), 8), f"caption of {item}")


def test_two_rows_and_a_line_from_each_item_to_itself() -> None:
    page = Page(answer_html([Stage("BE", "cosine", ranking("abcd")), Stage("CE", "match", ranking("cabd"))], {"c"}, picture_of))
    told = [attributes["title"] for attributes in page.all("li")]
    assert told[:2] == ["1. a: caption of a (cosine 0.900)", "2. b: caption of b (cosine 0.633)"]
    assert told[4:] == ["1. c, the right answer: caption of c (match 0.900, moved up by 2)", "2. a: caption of a (match 0.633, moved down by 1)",
                        "3. b: caption of b (match 0.367, moved down by 1)", "4. d: caption of d (match 0.100, not moved)"]  # fmt: skip
    assert [attributes["alt"] for attributes in page.all("img")] == told
    lines = {(float(found[1]), float(found[2])): attributes["class"] for attributes in page.all("path")
             if (found := re.fullmatch(r"M([\d.]+) 0C[\d. ]+ ([\d.]+) 1", attributes["d"]))}
    assert lines == {(0.5, 1.5): "mmr-down", (1.5, 2.5): "mmr-down", (2.5, 0.5): "mmr-right mmr-up", (3.5, 3.5): ""}
    assert page.all("svg")[0]["viewbox"] == "0 0 4 1"
    assert page.text.count("✓ right") == 2
    assert [attributes["class"] for attributes in page.all("li")].count("mmr-right") == 2
    assert [piece for piece in page.pieces if piece.startswith(("▲", "▼", "="))] == ["▲ 2", "▼ 1", "▼ 1", "="]


def test_one_row_has_no_lines_and_unknown_answers_no_tick() -> None:
    page = Page(answer_html([Stage("BE", "cosine", ranking("ab"))], set(), picture_of))
    assert len(page.all("li")) == 2
    assert not page.all("svg")
    assert "✓" not in page.text
    assert "moved" not in str(page.tags)


@pytest.mark.parametrize("picture", ["", "data:image/png;base64,AAAA"])
def test_whatever_comes_from_data_is_text(picture: str) -> None:
    stages = [Stage(EVIL, EVIL, Ranking("image_retrieval", [EVIL], [[EVIL]], [np.array([0.5])]))] * 2
    page = Page(answer_html(stages, {EVIL}, lambda item: Item(picture, EVIL)))
    assert not page.all("script")
    assert len(page.all("img")) == (2 if picture else 0)
    assert all(set(attributes) == {"src", "alt"} for attributes in page.all("img"))
    assert page.text.count(EVIL) == (2 if picture else 4)
    assert all(EVIL in attributes["title"] for attributes in page.all("li"))
    assert not re.search(r"(?i)https?://|url\(", answer_html(stages, {EVIL}, lambda item: Item(picture, EVIL)).replace(EVIL, ""))


def decoded(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.partition("base64,")[2])))


def test_pictures_become_part_of_the_page() -> None:
    drawing = Image.new("RGB", (40, 20), (250, 3, 7))
    small = decoded(data_uri(drawing, 10))
    assert (small.format, small.size, small.getpixel((3, 3))) == ("PNG", (10, 5), (250, 3, 7))
    assert drawing.size == (40, 20), "the caller's picture stays"
    photograph = Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8))
    assert (decoded(data_uri(photograph, 160)).format, decoded(data_uri(photograph, 160)).size) == ("JPEG", (160, 107))
    assert data_uri(None, 10) == ""
