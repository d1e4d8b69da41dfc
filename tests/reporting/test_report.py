"""The report: complete, self-contained, inert, and clear about what is missing or damaged."""

import json
import re
import shutil
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import matplotlib.pyplot as plt
import pytest

from mmr_kit.errors import InputError
from mmr_kit.reporting import Picture, Results, headline
from mmr_kit.reporting.claims import load_claims
from mmr_kit.reporting.report import verdict_lines, write_report
from mmr_kit.reporting.report_fragment import fragment
from mmr_kit.reporting.report_numbers import find, numbers
from mmr_kit.reporting.report_sections import Section, read_sections
from mmr_kit.reporting.tables import plain_table, table1

DEMO = Path(__file__).parents[2] / "results" / "demo"
EVIL = "<script>alert(1)</script>"
CLAIMS = "id,claim,basis,verdict,part,part_verdict,evidence\n"


class Page(HTMLParser):
    """The ids, links, pictures and tags of a page; `problems` are tags closed in the wrong order."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.pictures: list[dict[str, str | None]] = []
        self.tags: list[str] = []
        self.open: list[str] = []
        self.problems: list[str] = []
        self.text = path.read_text(encoding="utf-8")
        self.feed(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            elif name in ("href", "src"):
                self.links.append(value or "")
            assert not name.startswith("on")
        if tag == "img":
            self.pictures.append(dict(attrs))

    def handle_endtag(self, tag: str) -> None:
        if self.open.pop() != tag:
            self.problems.append(tag)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Results of a profile as a notebook writes them, at two seeds, with a picture."""
    folder = tmp_path / "demo"
    results = Results("table1", "demo")
    for dataset, paper in (("a_200", "MSCOCO 5k"), ("b_200", "Flickr30k 1k")):
        results.paper_datasets[dataset] = paper
        for place, method in enumerate(("CE", "BE", "JOINT+BE")):
            for seed, value in (("0", 70.0), ("1", 72.0), ("mean", 71.0)):
                run = "" if seed == "mean" else f"runs/table1/{dataset}.{method}.seed{seed}.run.gz"
                results.add(dataset=dataset, method=method, direction="image_retrieval", metric="R@1", value=value + place, seed=seed, run=run,
                            n_queries=100, ci_low=60, ci_high=80, paper_value=52.6)  # fmt: skip
    figure, _ = plt.subplots(figsize=(1, 1))
    folder.mkdir()
    figure.savefig(folder / "table1_main.png")
    figure.savefig(folder / "table1_curves.png")
    plt.close(figure)
    picture = Picture("table1_main.png", f"all of it {EVIL}")
    results.write(folder, "table1_main", {"git": {"commit": "abc", "dirty": False}, "parameters": {"x": EVIL}}, title=f"Table 1 {EVIL}",
                  table=table1(headline(results.frame), results.paper_datasets, [EVIL]), pictures=[picture])  # fmt: skip
    (folder / "runs" / "table1").mkdir(parents=True)
    (folder / "runs" / "table1" / "a_200.CE.seed0.run.gz").write_bytes(b"")
    judged = f'T1-1,x,measured,supported,{EVIL},supported,"1 - 0, {EVIL}"\nQ-9,{EVIL},,not supported,,not supported,y\n'
    (folder / "table1_main.claims.csv").write_text(CLAIMS + judged)
    return folder


def test_the_page_is_whole_and_needs_nothing_from_elsewhere(folder: Path) -> None:
    for path in (write_report(folder)[0], write_report(shutil.copytree(DEMO, folder.parent / "copy" / "demo"))[0]):
        page = Page(path)
        assert not page.problems
        assert not page.open
        assert len(page.ids) == len(set(page.ids))
        assert not {"script", "link", "iframe", "object"} & set(page.tags)
        assert "@import" not in page.text
        assert "url(" not in page.text
        for link in page.links:
            if link.startswith("#"):
                assert link[1:] in page.ids
            elif not link.startswith("data:image/png;base64,"):
                assert (path.parent / unquote(link)).exists(), link
        assert page.pictures
        assert all(picture["alt"] and str(picture["src"]).startswith("data:") for picture in page.pictures)


def test_texts_from_files_are_shown_and_never_run(folder: Path) -> None:
    index, report = write_report(folder)
    text = index.read_text()
    assert "<script" not in text
    assert text.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 7  # title, contents, note, picture, two claims, provenance
    assert not re.search(r"(?<!\\)<script", report.read_text())


def test_numbers_lead_to_their_row_and_run(folder: Path) -> None:
    text = write_report(folder)[0].read_text()
    assert '<a href="#table1_main-4" title="table1_main.csv, line 4; seeds 0, 1">71.0</a>' in text  # CE
    assert '<a href="#table1_main-10" title="table1_main.csv, line 10; seeds 0, 1">73.0</a>' in text  # JOINT+BE, not BE
    row = re.search(r'<tr id="table1_main-4">.*?</tr>', text)
    assert row is not None
    assert '<a href="runs/table1/a_200.CE.seed0.run.gz">seed 0</a>: 70 (line 2); seed 1: 72 (line 3)' in row[0], "a run that is not there is no link"


@pytest.mark.parametrize("section", read_sections(DEMO), ids=lambda section: section.name)
def test_every_measured_number_of_the_reference_run_has_its_link(section: Section) -> None:
    bare = []

    def link(headings: Sequence[str], printed: str) -> str | None:
        number = find(section.numbers, headings, printed)
        if number is None and re.fullmatch(r"[\d,.]+", printed):
            bare.append((headings, printed))
        return None

    fragment(section.html, lambda *_: "", link, without_claims=True)
    assert not bare


def test_of_one_value_in_two_columns_the_headings_choose() -> None:
    results = Results("table6")
    measured = ("a", "en", "mR"), ("b", "en", "mR"), ("b_250", "en", "mR"), ("a", "avg_non_english", "mR"), ("a", "en", "latency_ms")
    for trained_on, language, metric in measured:
        results.add(dataset="a", trained_on=trained_on, language=language, method="BE", metric=metric, value=1.0)
    found = numbers(results.frame)
    said = ("In-domain", "mR", "en"), ("Zero-shot, trained on b", "mR", "en"), ("250 train images", "mR", "en"), ("mR", "mean without en"), ("ms a query", "en")
    assert [find(found, ["a", "BE", *words], "1.0") for words in said] == found


def test_headings_choose_the_number_and_its_value_confirms() -> None:
    results = Results("table8")
    for k, value in ((10, 50.0), (20, 60.0)):
        results.add(dataset="a", method="SEP+COOP", k=k, metric="R@1", value=value)
    found = numbers(results.frame)
    assert find(found, ["a", "R@1", "SEP+COOP", "k = 20"], "60.0") == found[1]
    assert find(found, ["a", "R@1", "SEP+COOP", "k = 20"], "50.0") is None
    assert find(found, ["a", "R@1", "SEP+COOP"], "60.0") == found[1], "of two that fit the headings, the one that prints so"
    assert find([*found, found[1]], ["a", "R@1", "SEP+COOP"], "60.0") is None, "two fit, and print so"
    assert find(found, ["k = 20"], "not a number") is None
    assert find([], ["a"], "1") is None
    plain = fragment(plain_table(results.frame).to_html(), lambda *_: "", lambda head, text: f"[{text}]" if find(found, head, text) else None)
    assert "[50]" in plain.body.replace("50.0", "50")


def test_headings_choose_the_narrowest_number_that_they_allow() -> None:
    results = Results("table5")
    for dataset, collection, value in (("a", "", 1.0), ("a", "a + b", 2.0), ("a_200", "", 3.0)):
        results.add(dataset=dataset, collection=collection, method="BE", metric="R@1", value=value)
    found = numbers(results.frame)
    for headings, value in ((["a", "alone"], 1.0), (["a", "merged: a + b"], 2.0), (["a_200", "alone"], 3.0)):
        chosen = find(found, [*headings, "R@1", "BE"], f"{value}")
        assert chosen is not None
        assert chosen.value == value


def test_summary_counts_and_lists_every_claim(folder: Path) -> None:
    text = write_report(folder)[0].read_text()
    assert '<li class="supported"><b>1</b> <span aria-hidden="true">✓</span> supported</li>' in text
    assert f"{len(load_claims()) - 1} claims of the paper not judged in this profile" in text
    assert all(f">{id_}<" in text or f">{id_}:" in text for id_ in load_claims())
    markdown = (folder / "REPORT.md").read_text()
    assert "| [T1-1](#table-1-scriptalert1script) | BE is slightly below CE at R@1 | ✓ supported |" in markdown
    assert "- T1-2 (Table 1, section 5): R@10 of BE" in markdown
    assert [line.split()[:3] for line in verdict_lines(folder)] == [["supported", "T1-1", "BE"], ["not", "supported", "Q-9"]]


def test_methods_below_the_floor_are_named(folder: Path) -> None:
    assert all("Below the floor" not in page.read_text() for page in write_report(folder))
    table = folder / "table1_main.csv"
    ce = next(line for line in table.read_text().splitlines() if ",a_200," in line and ",CE," in line and ",0," in line)
    with table.open("a") as file:
        file.write(ce.replace(",CE,", ",floor,").replace(",70.0,", ",72.5,").replace(",0,", ",,").replace("runs/table1/a_200.CE.seed0.run.gz", "") + "\n")
    for page in write_report(folder):
        assert "at R@1: CE 71.0, BE 72.0 (floor 72.5) in image retrieval on a_200. " in page.read_text().replace("\\", "")


def test_errata_say_what_was_measured(folder: Path, tmp_path: Path) -> None:
    note = "The first row of the JOINT block is printed without its model name."
    results = Results("table9", "demo")
    results.add(dataset="a", method="JOINT+COOP", metric="R@1", value=70.0, paper_value=76.4, erratum=note)
    results.write(folder, "table9_scores", {})
    text = write_report(folder)[0].read_text()
    assert f'{note}<br><span class="muted">Measured here: <a href="#table9_scores-2">70</a> beside 76.4 (R@1)</span>' in text


def test_sections_come_in_the_papers_order(folder: Path) -> None:
    names = ["00_quickstart", "ablations", "figure3_sample_efficiency", "figure2_example", "table10_more", "table2_multilingual"]
    for name in names:
        (folder / f"{name}.provenance.json").write_text("{}")
    (folder / ".hidden.csv").write_text("")
    order = ["table1_main", "table2_multilingual", "table10_more", "figure2_example", "figure3_sample_efficiency", "ablations", "00_quickstart"]
    assert [section.name for section in read_sections(folder)] == order


def test_figures_belong_to_their_notebook(folder: Path) -> None:
    assert read_sections(folder)[0].figures == ("table1_main.png", "table1_curves.png")
    record = folder / "table1_main.provenance.json"
    record.write_text(json.dumps({"outputs": {"table1_curves.png": ""}}))
    assert read_sections(folder)[0].figures == ("table1_curves.png",)


@pytest.mark.parametrize("kind", [".html", ".md", ".csv", ".png", ".claims.csv", ".provenance.json", ".tex"])
def test_a_missing_piece_does_not_break_the_report(folder: Path, kind: str) -> None:
    (folder / f"table1_main{kind}").unlink()
    index, _ = write_report(folder)
    assert not Page(index).problems
    missing = {".html": "table1_main.html is missing", ".png": "The figure table1_main.png is missing"}.get(kind, "Table 1")
    assert missing in index.read_text()


@pytest.mark.parametrize(
    ("kind", "content", "said"),
    [
        (".csv", b"a,b\n1,2\n", "columns must be"),
        (".csv", b"\xff\xfe", "not a readable csv"),
        (".html", b"\xff\xfe", "not readable as text"),
        (".md", b"\xff\xfe", "not readable as text"),
        (".claims.csv", b"id,claim\nT1-1,x\n", "its columns must be"),
        (".claims.csv", CLAIMS.encode() + b"T1-1,x,measured,perhaps,a,supported,y\n", "perhaps"),
        (".claims.csv", CLAIMS.encode() + b'T1-1,"x\n', "not a claims file"),
        (".provenance.json", b"{", "not readable as JSON"),
        (".png", b"GIF89a", "not a PNG"),
    ],
)
def test_a_damaged_piece_is_named_with_the_remedy(folder: Path, kind: str, content: bytes, said: str) -> None:
    path = folder / f"table1_main{kind}"
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        write_report(folder)
    assert str(path) in str(error.value)
    assert said in str(error.value)
    assert "mmr regenerate --profile demo --only table1_main --force" in str(error.value)
    assert "\n" not in str(error.value)
    assert not (folder / "index.html").exists(), "nothing is written of a report that cannot be whole"


def test_seeds_without_a_mean_are_named_with_their_file(folder: Path) -> None:
    path = folder / "table1_main.csv"
    path.write_text("\n".join(line for line in path.read_text().splitlines() if ",mean," not in line) + "\n")
    with pytest.raises(InputError, match=r"table1_main\.csv: several seeds without a row"):
        write_report(folder)


def test_no_results_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "REPORT.md").write_text("# an old report\n")
    with pytest.raises(InputError, match="no results to report; run mmr regenerate --profile"):
        write_report(tmp_path)


def test_a_foreign_page_cannot_break_out() -> None:
    page = "<body><h1>T</h1><style>*{}</style><div class='a' onclick='x'><script>x</script><svg><td>1</div></table><p>2<img src='../up.png' alt='\"'>"
    found = fragment(page, lambda file, alt: f"[{file}|{alt}]", lambda *_: None)
    assert found.title == "T"
    assert found.body == '<div class="a"><td>1</td></div><p>2[../up.png|"]</p>'


def test_claims_are_taken_out_with_their_reading() -> None:
    claims = '<div class="mmr"><table class="mmr-table mmr-claims"><tr><td><table><tr></table>x</table><p>read so</p></div>'
    found = fragment(f"<h1>T</h1><div>table</div>{claims}", lambda *_: "", lambda *_: None, without_claims=True)
    assert (found.body, found.reading) == ("<div>table</div>", '<div class="mmr"><p>read so</p></div>')
