"""The table beside the paper's: the right numbers in the right cells, in four formats, with nothing taken for markup."""

import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmr_kit.errors import InputError
from mmr_kit.reporting.markup import STYLE, markdown_cell, tex
from mmr_kit.reporting.results import Results
from mmr_kit.reporting.rows import headline
from mmr_kit.reporting.tables import Cell, Picture, SideBySide, document, plain_table, table1


@pytest.fixture
def rows(gallery: Any, make_gallery: Any, make_ranking: Any) -> pd.DataFrame:
    results = Results("table1", "smoke")
    for data in (gallery, make_gallery("pictograms_b", 20, "Flickr30k 1k")):
        for method, skill in (("CE", 3.0), ("BE", 0.5), ("SEP+COOP", 2.0)):
            for direction in ("image_retrieval", "text_retrieval"):
                results.add_rankings({0: make_ranking(data, direction, skill)}, data, method=method)
    return headline(results.frame)


BESIDE = {"pictograms_a": "MSCOCO 5k", "pictograms_b": "Flickr30k 1k"}


def test_ours_beside_the_papers(rows: pd.DataFrame) -> None:
    table = table1(rows, BESIDE)
    assert table.frame.shape == (15, 12)
    groups = list(dict.fromkeys(group for group, _ in table.frame.index))
    assert [group[:2] for group in groups] == ["G1", "G2", "G3"]
    cell = table.frame.loc[(groups[2], "BE"), ("pictograms_b (paper: Flickr30k 1k)", "text retrieval", "R@1")]
    own = rows.query("dataset == 'pictograms_b' and method == 'BE' and direction == 'text_retrieval' and metric == 'R@1'").iloc[0]
    assert (cell.ours, cell.paper) == (own["value"], 84.7)
    assert cell.half == pytest.approx((own["ci_high"] - own["ci_low"]) / 2)
    assert str(cell) == f"{own['value']:.1f} ±{cell.half:.1f} (84.7)"


def test_literature_is_quoted_and_only_quoted(rows: pd.DataFrame) -> None:
    frame = table1(rows, BESIDE).frame
    names = [name for _, name in frame.index]
    assert "CE OSCAR (Li et al., 2020b)" in names
    for (_, name), cells in zip(frame.index, frame.itertuples(index=False, name=None), strict=True):
        measured = name in ("CE", "BE", "SEP+COOP")
        assert all((cell.ours is not None) == measured for cell in cells), name


def test_the_highest_of_each_group_is_bold(rows: pd.DataFrame) -> None:
    frame = table1(rows, BESIDE).frame
    for column in frame.columns:
        for group, cells in frame[column].groupby(level=0):
            for what, flag in (("ours", "best"), ("paper", "paper_best")):
                numbers = [getattr(cell, what) for cell in cells if getattr(cell, what) is not None]
                bold = {getattr(cell, what) for cell in cells if getattr(cell, flag)}
                assert bold == ({max(numbers)} if len(numbers) > 1 else set()), (group, column)


def test_one_data_set_alone_drops_empty_rows(rows: pd.DataFrame) -> None:
    frame = table1(rows.query("dataset == 'pictograms_a'"), BESIDE).frame
    assert frame.shape == (13, 6), "PFAN and VILLA have no numbers on MSCOCO"


def test_the_misprint_is_marked_and_explained(rows: pd.DataFrame) -> None:
    table = table1(rows, BESIDE, notes=["a departure"])
    assert str(table.frame.iloc[0, 0]) == "(43.9†)"
    assert table.notes[0].startswith("† VSE++, MSCOCO 5k image retrieval R@1, as printed 43.9: Likely a misprint")
    assert table.notes[1:] == ("a departure",)
    assert "<b>43.9</b>†" in table.to_html()
    assert "***43.9***†" in table.to_markdown()
    assert r"\textbf{\textit{43.9}}\textdagger{}" in table.to_latex()
    assert not table1(rows.query("dataset == 'pictograms_b'"), BESIDE).notes


def test_the_caption_says_what_the_interval_is_over(rows: pd.DataFrame) -> None:
    assert "over images (one seed)" in table1(rows, BESIDE).caption
    assert "over images and seeds" in table1(rows.assign(seed="mean"), BESIDE).caption


def test_what_has_no_place_beside_the_paper(rows: pd.DataFrame) -> None:
    with pytest.raises(InputError, match="'pictograms_b' stand"):
        table1(rows, {"pictograms_a": "MSCOCO 5k"})


@pytest.mark.parametrize("beside", ["", "CC 14k"])
def test_data_sets_that_stand_beside_none_of_the_paper_s(rows: pd.DataFrame, beside: str) -> None:
    """All of them, or one of two: no heading, line or caption then speaks of the paper's numbers."""
    table = table1(rows.assign(paper_value=np.nan), dict.fromkeys(BESIDE, beside))
    assert all(cell.paper is None for cell in table.frame.to_numpy().ravel())
    assert {heading for heading, _, _ in table.frame.columns} == set(BESIDE)
    assert {name for _, name in table.frame.index} == set(rows["method"])
    assert "none of the data sets stands beside one of the paper's Table 1. R@M in percent." in table.caption
    assert "printed" not in table.caption
    assert "quoted" not in table.caption
    assert not table.notes
    one = table1(rows, {"pictograms_a": "MSCOCO 5k", "pictograms_b": beside})
    assert {heading for heading, _, _ in one.frame.columns} == {"pictograms_a (paper: MSCOCO 5k)", "pictograms_b"}
    assert all(cell.paper is None for cell in one.frame["pictograms_b"].to_numpy().ravel())
    assert "as printed in the paper" in one.caption


class Grid(HTMLParser):
    """Reads a table and checks that tags close."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.widths: list[int] = []
        self.text = ""
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("br", "meta", "img"):
            return
        self.open.append(tag)
        if tag == "tr":
            self.widths.append(0)
        if tag in ("td", "th"):
            self.widths[-1] += int(dict(attrs).get("colspan") or 1)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_html_is_a_grid_without_colours_of_its_own(rows: pd.DataFrame) -> None:
    html = table1(rows, BESIDE).to_html()
    assert set(Grid(html).widths) == {13}
    assert html == table1(rows, BESIDE)._repr_html_()
    assert not re.search(r"#[0-9a-f]{3}|rgba?\(|: *(white|black)", STYLE), "fixed colours do not suit both themes"


def test_html_reads_without_its_style_sheet(rows: pd.DataFrame) -> None:
    """JupyterLab drops the style sheet of a notebook that it does not trust."""
    html = table1(rows, BESIDE).to_html().replace(STYLE, "")
    assert re.search(r"\d\.\d(</b>)?&nbsp;<small>±\d+\.\d</small><br><i>", html)


def test_markdown_has_one_table_a_data_set(rows: pd.DataFrame) -> None:
    lines = table1(rows, BESIDE).to_markdown().splitlines()
    tables = [line for line in lines if line.startswith("|")]
    assert {line.count(" |") for line in tables if not line.startswith("|---")} == {7}
    assert sum(line.startswith("|---") for line in tables) == 2


def test_markdown_leaves_out_what_was_not_measured_on_a_data_set() -> None:
    frame = pd.DataFrame([[Cell(ours=1.0), Cell()], [Cell(), Cell(paper=2.0)], [Cell(), Cell()]], index=[("G1", "A"), ("G1", "B"), ("G2", "C")],
                         columns=[("small", "", "R@1"), ("large", "", "R@1")])  # fmt: skip
    small, large = SideBySide(frame).to_markdown().split("**large**")
    assert [line.split()[1] for line in small.splitlines() if line.startswith("| ")] == ["method", "**G1**", "A"]
    assert [line.split()[1] for line in large.splitlines() if line.startswith("| ")] == ["method", "**G1**", "B"]


def test_latex_rows_are_complete(rows: pd.DataFrame) -> None:
    latex = table1(rows, BESIDE).to_latex()
    assert latex.count("{") == latex.count("}")
    assert r"\begin{tabular}{lrrrrrrrrrrrr}" in latex
    for line in latex.splitlines():
        if line.endswith(r"\\") and "multicolumn" not in line:
            assert len(re.findall(r"(?<!\\)&", line)) == 12


NASTY = 'a_b & <script>alert("1")</script> 50% | {x} \\cmd $5 #1 ~ ^ * `c` [l](u)'


def test_nothing_in_a_table_is_markup() -> None:
    index, columns = pd.MultiIndex.from_tuples([(NASTY, NASTY)]), pd.MultiIndex.from_tuples([(NASTY, NASTY, NASTY)])
    table = SideBySide(pd.DataFrame([[Cell(1.0)]], index=index, columns=columns), NASTY, (NASTY,))
    page = document(NASTY, [table, Picture("x.png", NASTY)])
    assert "<script>" not in page["html"]
    assert NASTY in Grid(re.sub(r"<!DOCTYPE html>|<style>.*?</style>", "", page["html"], flags=re.DOTALL)).text
    assert "<script>" not in page["md"].replace(r"\<script\>", "")
    assert all(line.count("|") - line.count(r"\|") == 3 for line in page["md"].splitlines() if line.startswith("|"))
    assert r"\textbackslash{}cmd \$5 \#1 \textasciitilde{} \textasciicircum{} * `c`" in page["tex"]


@pytest.mark.parametrize("attack", [r"\input{/etc/passwd}", r"\immediate\write18{touch x}", "a\n\\input{x}", "a\r\\input{x}", "^^5cinput{x}", "$\\input{x}$",
                                    "%\n\\end{tabular}"])  # fmt: skip
def test_latex_has_no_commands_of_others(attack: str) -> None:
    """Not in cells, notes and captions, and not behind the comment that a document begins with."""
    index, columns = pd.MultiIndex.from_tuples([(attack, attack)]), pd.MultiIndex.from_tuples([(attack, attack, attack)])
    plain = SideBySide(pd.DataFrame([[Cell(1.0)]], index=index.set_levels([["x"], ["x"]]), columns=columns.set_levels([["x"], ["x"], ["x"]])), "x", ("x",))
    table = SideBySide(pd.DataFrame([[Cell(1.0)]], index=index, columns=columns), attack, (attack,))
    latex, usual = (document(title, [shown])["tex"] for title, shown in ((attack, table), ("x", plain)))
    commands = set(re.findall(r"\\([a-zA-Z]+)", latex))
    assert commands <= set(re.findall(r"\\([a-zA-Z]+)", usual)) | {"textbackslash", "textasciicircum"}
    assert "^^" not in latex
    assert latex.splitlines()[0].endswith(": needs booktabs, amssymb, graphicx")


@given(st.text())
def test_escapes(text: str) -> None:
    assert not re.search(r"(?<!\\)[&%$#_]", re.sub(r"\$\\[a-z]+\$", "", tex(text)))
    assert not set("\r\n") & set(markdown_cell(text) + tex(text))
    assert not re.search(r"(?<!\\)\|", markdown_cell(text).replace(r"\\", ""))


def test_a_table_without_a_layout_of_its_own() -> None:
    results = Results("table3", "demo")
    for k, value in ((10, 0.1), (20, 0.25)):
        results.add(metric="seconds", value=value, method="CE", k=k, paper_value=120 if k == 10 else None)
    table = plain_table(results.frame)
    assert [name for _, name in table.frame.index] == ["10, seconds", "20, seconds"]
    assert set(Grid(table.to_html()).widths) <= {2}
    assert "| 10, seconds | 0.1<br>*120* |" in table.to_markdown()
    assert "| 20, seconds | 0.25 |" in table.to_markdown()


def test_a_page_holds_its_style_once(rows: pd.DataFrame) -> None:
    table = table1(rows, BESIDE)
    page = document("Table 1", [table, table])["html"]
    assert page.count(STYLE) == 1
    assert page.count("<table") == 2
    assert '<meta name="color-scheme" content="light dark">' in page
