"""Escaping, and the one style sheet of all HTML that the kit shows.

It inherits the page's colours, so that it reads in light and dark themes. JupyterLab drops style sheets from notebooks it does not trust (those not run
there): line breaks, italics, bold and the alignment of words are therefore in the markup, and only widths, lines and scrolling are left to the sheet.
"""

from __future__ import annotations

import re

# `Canvas` and JupyterLab's variable are the page's own background: the row names must cover the numbers that scroll beneath them. Two classes a selector,
# to prevail over JupyterLab's own rules for tables.
STYLE = """<style>
.mmr { line-height: 1.35; max-width: 100%; }
.mmr .mmr-scroll { overflow-x: auto; max-width: 100%; }
.mmr .mmr-table { border-collapse: collapse; font-size: .8125rem; margin: .5em 0; font-variant-numeric: tabular-nums; }
.mmr .mmr-table tbody tr:nth-child(n), .mmr .mmr-table tbody tr:nth-child(n):hover { background: none; }
.mmr .mmr-table th, .mmr .mmr-table td { padding: .25em .45em; text-align: left; vertical-align: top; border: 0; color: inherit; max-width: none;
  white-space: normal; }
.mmr .mmr-table thead th { border-bottom: 1px solid color-mix(in srgb, currentColor 40%, transparent); vertical-align: bottom; }
.mmr .mmr-table tbody tr { border-top: 1px solid color-mix(in srgb, currentColor 15%, transparent); }
.mmr small { font-size: .8em; opacity: .75; }
.mmr .mmr-numbers.mmr-table td, .mmr .mmr-numbers.mmr-table thead th { text-align: right; white-space: nowrap; }
.mmr .mmr-numbers.mmr-table thead th[colspan] { text-align: center; }
.mmr .mmr-numbers.mmr-table th:first-child { position: sticky; left: 0; text-align: left; font-weight: normal; min-width: 7em;
  background: var(--jp-layout-color0, var(--vscode-editor-background, Canvas)); }
.mmr .mmr-numbers.mmr-table tr.group th:first-child { font-weight: bold; background: none; }
.mmr .mmr-numbers.mmr-table tr.group span { position: sticky; left: .45em; }
.mmr .mmr-numbers i { font-size: .85em; opacity: .75; }
.mmr .mmr-numbers.mmr-table .edge { border-left: 1px solid color-mix(in srgb, currentColor 30%, transparent); }
.mmr .mmr-claims.mmr-table .verdict { white-space: nowrap; font-weight: bold; }
.mmr .mmr-claims .verdict span { display: inline-block; width: 1.2em; height: 1.2em; line-height: 1.2em; text-align: center;
  border: 1px solid currentColor; border-radius: 50%; }
.mmr .mmr-claims ul { margin: 0; padding-left: 1.1em; }
.mmr .mmr-claims td { min-width: 9em; }
.mmr .mmr-claims td:last-child { min-width: 16em; }
.mmr .mmr-claims.mmr-table th { white-space: nowrap; }
.mmr img { max-width: min(100%, 44rem); height: auto; }
</style>
"""

LEFT = ' style="text-align: left"'  # an attribute; JupyterLab sets tables flush right

TEX = {"\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "~": r"\textasciitilde{}",
       "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "±": r"$\pm$", "†": r"\textdagger{}",
       "✓": r"$\checkmark$", "✗": r"$\times$", "λ": r"$\lambda$", "\n": " ", "\r": " "}  # fmt: skip


def digits(value: float) -> str:
    """A number with at least four of its digits and no exponent: "0.5803", "2,400", "42,970"."""
    return f"{value:,.4g}" if abs(value) < 10_000 else f"{value:,.0f}"


def tex(text: str) -> str:
    """Plain text as LaTeX text (the symbols need amssymb)."""
    return "".join(TEX.get(letter, letter) for letter in text)


def markdown_cell(text: str) -> str:
    """Plain text as a cell of a Markdown table: nothing in it is taken for markup."""
    text = re.sub(r"([\\`*_{}\[\]<>|~$])", r"\\\1", text)
    return re.sub(r"\s*[\n\r]\s*", "<br>", text)
