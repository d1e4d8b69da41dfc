"""A page that a notebook wrote, taken apart: its title, and its body made safe to stand in another page.

Only the few tags and attributes that the kit itself writes come through; scripts, styles and everything else are dropped, text is escaped again, and what
is left open is closed. So a damaged or foreign page can look wrong, but cannot run anything or break the page around it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from html.parser import HTMLParser
from typing import NamedTuple

TAGS = {"table", "thead", "tbody", "tr", "th", "td", "div", "p", "ul", "ol", "li", "b", "i", "small", "span", "br"}
ATTRIBUTES = {"class", "colspan", "rowspan", "scope", "aria-hidden"}
DROPPED = {"script", "style", "head", "template", "iframe", "object"}  # with all that is in them


class Fragment(NamedTuple):
    """The page's title as plain text; its body, and what follows its table of claims where that was dropped, as safe HTML."""

    title: str
    body: str
    reading: str


def fragment(page: str, picture: Callable[[str, str], str], link: Callable[[Sequence[str], str], str | None], without_claims: bool = False) -> Fragment:
    """Take a page of `tables.document` apart.

    picture: (file, alternative text) -> the HTML to put there; link: (a cell's headings, its number as printed) -> the HTML of the number with its link,
    or None to leave it as it is; without_claims: drop the table of claims; the block it stands in becomes `reading`.
    """
    parser = _Parser(picture, link, without_claims)
    parser.feed(page)
    parser.close()
    return parser.result()


class _Parser(HTMLParser):
    def __init__(self, picture: Callable[[str, str], str], link: Callable[[Sequence[str], str], str | None], without_claims: bool) -> None:
        super().__init__(convert_charrefs=True)
        self.picture, self.link, self.without_claims = picture, link, without_claims
        self.out: list[str] = []
        self.open: list[str] = []
        self.title: list[str] | None = None  # None until the heading is met
        self.in_title = False
        self.dropping: list[str] = []
        self.block = 0  # where in `out` the block (outermost element) began
        self.claims: int | None = None  # where the block of claims began
        # where in a table of numbers the parser is: headings by column, the row's own, and the cell's column, width and text so far
        self.heads: dict[int, list[str]] = {}
        self.group, self.row, self.cell = "", "", ""
        self.place, self.column, self.scope = 0, 0, ""
        self.linked = False

    def result(self) -> Fragment:
        out = [*self.out, *(f"</{tag}>" for tag in reversed(self.open))]
        cut = len(out) if self.claims is None else self.claims
        return Fragment("".join(self.title or []).strip(), "".join(out[:cut]).strip(), "".join(out[cut:]).strip())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        has = {name: value or "" for name, value in attrs}
        is_claims = self.without_claims and tag == "table" and "mmr-claims" in has.get("class", "").split()
        if self.dropping or is_claims or tag in DROPPED:
            if is_claims and self.claims is None:
                self.claims = self.block
            if not self.dropping or tag == self.dropping[0]:
                self.dropping.append(tag)
        elif tag == "h1":
            self.title, self.in_title = self.title or [], True
        elif tag == "img":
            self.out.append(self.picture(has.get("src", ""), has.get("alt", "")))
        elif tag in TAGS:
            self.block = self.block if self.open else len(self.out)
            kept = "".join(f' {name}="{escape(value)}"' for name, value in has.items() if name in ATTRIBUTES)
            self.out.append(f"<{tag}{kept}>")
            if tag != "br":
                self.open.append(tag)
            self._enter(tag, has)

    def handle_endtag(self, tag: str) -> None:
        if self.dropping:
            if tag == self.dropping[0]:
                self.dropping.pop()
        elif tag == "h1":
            self.in_title = False
        elif tag in self.open:
            if tag == "th":
                self._heading()
            while self.open:
                last = self.open.pop()
                self.out.append(f"</{last}>")
                if last == tag:
                    break

    def handle_data(self, data: str) -> None:
        if self.dropping:
            return
        if self.in_title and self.title is not None:
            self.title.append(data)
            return
        self.cell += data
        text = data.strip()
        if text and "td" in self.open and not self.linked and not {"i", "small"} & set(self.open):  # the first number that is not the paper's
            self.linked = True
            if linked := self.link([*self.heads.get(self.column, []), self.group, self.row], text):
                self.out.append(escape(data).replace(escape(text), linked, 1))
                return
        self.out.append(escape(data))

    def _enter(self, tag: str, has: dict[str, str]) -> None:
        if tag == "table":
            self.heads, self.group, self.row = {}, "", ""
        elif tag == "tr":
            self.place = 0
        elif tag in ("th", "td"):
            width = has.get("colspan", "1")
            self.column, self.cell, self.scope, self.linked = self.place, "", has.get("scope", ""), False
            self.place += min(int(width), 1000) if width.isdecimal() else 1

    def _heading(self) -> None:
        if "thead" in self.open:
            for column in range(self.column, self.place):
                self.heads.setdefault(column, []).append(self.cell)
        elif self.scope == "rowgroup":
            self.group, self.row = self.cell, ""
        else:
            self.row = self.cell
