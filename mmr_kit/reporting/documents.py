"""The documents a table is written in: its parts one below the other as an HTML page, Markdown and LaTeX."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Protocol

from mmr_kit.reporting.markup import STYLE, markdown_cell, tex


class Shown(Protocol):
    """Something with a place in a document."""

    def to_html(self) -> str: ...
    def to_markdown(self) -> str: ...
    def to_latex(self) -> str: ...


@dataclass(frozen=True)
class Picture:
    """A figure file that lies beside the document."""

    file: str
    description: str

    def to_html(self) -> str:
        return f'{STYLE}<div class="mmr"><img src="{escape(self.file)}" alt="{escape(self.description)}"></div>'

    def to_markdown(self) -> str:
        return f"![{markdown_cell(self.description)}]({self.file})\n"

    def to_latex(self) -> str:
        return rf"\includegraphics[width=\linewidth]{{{self.file}}}" + "\n"


def document(title: str, parts: Sequence[Shown]) -> dict[str, str]:
    """{"html": a page, "md": ..., "tex": ...} of the parts in order."""
    body = "\n".join(part.to_html() for part in parts).replace(STYLE, "")
    page = (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="color-scheme" content="light dark"><title>{escape(title)}</title>\n{STYLE}'
        "<style>body { font-family: system-ui, sans-serif; margin: 1rem auto; max-width: 80rem; padding: 0 1rem; }</style></head>\n"
        f"<body><h1>{escape(title)}</h1>\n{body}\n</body></html>\n"
    )
    return {
        "html": page,
        "md": f"# {markdown_cell(title)}\n\n" + "\n".join(part.to_markdown() for part in parts),
        "tex": f"% {tex(title)}: needs booktabs, amssymb, graphicx\n" + "\n".join(part.to_latex() for part in parts),
    }
