"""The explorer: what its controls do, what it shows, and that it is a static picture where there is nobody to turn them."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import ipywidgets
import nbformat
import pytest

import mmr_kit as kit
from mmr_kit.errors import InputError
from mmr_kit.explorer import Controls, Explorer
from mmr_kit.profiles import NOTEBOOKS
from mmr_kit.reporting.answers import Item
from tests.reporting.test_answers import EVIL, Page

KEYS = [(model, "smoke_a", 0) for model in ("BE", "CE", "JOINT")]
WIDGET = "application/vnd.jupyter.widget-view+json"


@pytest.fixture
def explorer() -> Explorer:
    """Of the kit's own start, which does both, in all three roles."""
    return kit.explore({key: kit.Recipe(key[0], "smoke_a", "pictograms", 0) for key in KEYS}, k=6, distractors=["smoke_distractors:40"], ce_images=20)


@pytest.fixture
def controls(explorer: Explorer) -> Controls:
    return Controls(explorer)


def rows(controls: Controls) -> list[list[str]]:
    """What is told of each item, row by row."""
    return [[item["title"] for item in Page(row).all("li")] for row in re.findall("<ol.*?</ol>", controls.page.value)]


def ids(row: list[str]) -> list[str]:
    return [re.split(r"[ ,:]+", told)[1] for told in row]


def test_headless_it_is_a_picture_and_makes_no_widgets(explorer: Explorer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ipywidgets, "VBox", None)
    bundle = explorer._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "image/png"}
    assert bundle["image/png"].startswith(b"\x89PNG")
    assert len(explorer.figure().axes) == 12
    assert len(explorer.why().axes) == 2


def test_with_a_front_end_it_is_widgets_with_the_picture_for_others(explorer: Explorer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MMR_HEADLESS")
    assert set(explorer._repr_mimebundle_()) == {"text/plain", "image/png", WIDGET}


def test_it_opens_with_a_caption_whose_picture_climbs(explorer: Explorer) -> None:
    assert explorer.question.query in explorer.picks(explorer.question)[:25]
    shown = rows(Controls(explorer))
    before, after = (next(place for place, told in enumerate(row) if "the right answer" in told) for row in shown)
    assert after < before


def test_what_is_shown_is_what_is_retrieved(explorer: Explorer, controls: Controls) -> None:
    data, model = kit.load_dataset("smoke_a"), explorer.bench.model("BE")
    row = data.texts.index(explorer.question.query)
    shown = rows(controls)
    for number, reranker in enumerate((None, model)):
        assert ids(shown[number]) == kit.retrieve(model, data, "image_retrieval", 6, reranker).candidate_ids[row]
    controls.direction.value = "text_retrieval"
    controls.pick.value = data.image_ids[7]
    expected = kit.retrieve(model, data, "text_retrieval", 6, model).candidate_ids[7]
    assert ids(rows(controls)[1]) == expected
    assert data.image_ids[7] in controls.told.value
    assert sum("the right answer" in told for told in rows(controls)[1]) == len(set(expected) & data.relevance("text_retrieval")[data.image_ids[7]])


def test_each_control_changes_the_answer(controls: Controls) -> None:
    first = rows(controls)
    controls.k.value = 9
    assert [len(row) for row in rows(controls)] == [9, 9]
    assert [told.partition(" (")[0] for told in rows(controls)[0][:6]] == [told.partition(" (")[0] for told in first[0]]
    controls.combination.value = "ADD"
    controls.weight.value = 1.0
    assert ids(rows(controls)[1]) == ids(rows(controls)[0]), "the cosine alone"
    assert "ADD with λ = 1.00" in controls.page.value
    controls.method.value = "BE"
    assert len(rows(controls)) == 1
    assert (controls.combination.disabled, controls.weight.disabled) == (True, True)
    controls.method.value = "CE"
    assert "Among 20 pictures (CE alone reads every pair" in controls.told.value
    assert controls.collection.disabled
    controls.method.value = "JOINT+COOP"
    assert "JOINT as BE: the 9 nearest" in controls.page.value
    controls.collection.value = True
    assert "Among 100 pictures" in controls.told.value
    assert "reranking" in controls.told.value
    picked = controls.pick.options[5][1]
    controls.pick.value = picked
    assert controls.caption.value == picked
    controls.another.click()
    assert controls.caption.value in kit.load_dataset("smoke_a").texts


def test_a_caption_of_ones_own(controls: Controls) -> None:
    controls.caption.value = "a red star above a blue moon"
    assert "No right answer is known" in controls.told.value
    assert "right answer" not in str(rows(controls))
    assert controls.pick.value == ""
    controls.caption.value = " "
    assert Page(controls.told.value).text == "the caption is empty; describe what to look for"
    controls.caption.value = kit.load_dataset("smoke_a").texts[3]
    assert "The right answer: BE place" in controls.told.value


def test_markup_is_text_wherever_it_comes_from(explorer: Explorer, controls: Controls, monkeypatch: pytest.MonkeyPatch) -> None:
    controls.caption.value = f"{EVIL} star"
    controls.word.value = len(EVIL.split())
    controls.other.value = EVIL
    monkeypatch.setattr(explorer, "show", lambda item: Item("", EVIL))
    controls.k.value = 3
    for shown in (controls.told, controls.page, controls.why):
        page = Page(shown.value)
        assert not page.all("script")
        assert all(picture["src"].startswith("data:image/") for picture in page.all("img"))


def test_why_follows_the_pair_and_the_word(controls: Controls) -> None:
    controls.caption.value = "a red star above a blue moon"
    whole = controls.why.value
    assert [label for label, _ in controls.word.options] == ["all", "a", "red", "star", "above", "a", "blue", "moon"]
    assert controls.other.disabled
    controls.word.value = 1
    assert controls.why.value != whole
    assert controls.other.options[:2] == ("orange", "yellow")
    controls.other.value = "orange"
    page = Page(controls.why.value)
    assert "an orange star" in " ".join(word for word in page.text.split() if "%" not in word)
    assert [head for head in ("cosine", "match") if head in page.text] == ["cosine", "match"]
    controls.item.value = third = controls.item.options[2][1]
    assert (controls.word.value, controls.other.value) == (-1, ""), "another pair, another question"
    assert third in controls.why.value
    controls.k.value = 8
    assert controls.item.value == third, "the pair stays while it is among the answers"
    controls.caption.value = "a blue moon"
    assert controls.item.value == controls.item.options[0][1]


def test_without_a_cross_encoder_there_is_no_why(small_data: Any, make_model: Any, tmp_path: Path) -> None:
    make_model().save(tmp_path / "BE")
    name = str(small_data.manifest)
    controls = Controls(kit.explore({("BE", name, 0): kit.Recipe("BE", name, str(tmp_path / "BE"), 0)}))
    assert len(rows(controls)[0]) == 8
    assert "to say why" in controls.why.value
    assert controls.language.layout.display == controls.collection.layout.display == "none"


def test_a_cross_encoder_alone(small_data: Any, make_model: Any, tmp_path: Path) -> None:
    """There is nothing retrieved, so nobody moves; it says why all the same, and reacts to another word alone."""
    make_model().save(tmp_path / "CE")
    name = str(small_data.manifest)
    explorer = kit.explore({("CE", name, 0): kit.Recipe("CE", name, str(tmp_path / "CE"), 0)}, k=5)
    assert explorer.answer().retrieved is None
    assert [axis.get_ylabel() for axis in explorer.figure().axes if axis.get_ylabel()] == ["CE"]
    assert len(explorer.why().axes) == 2
    controls = Controls(explorer)
    assert [len(row) for row in rows(controls)] == [5]
    controls.word.value = 1
    controls.other.value = "goat"
    page = Page(controls.why.value)
    assert [head for head in ("cosine", "match") if head in page.text] == ["match"]
    controls.direction.value = "text_retrieval"
    assert [len(row) for row in rows(controls)] == [5]
    assert "CE place" in controls.told.value or "CE not among" in controls.told.value


@pytest.mark.parametrize("models", [("BE", "CE", "JOINT"), ("CE",), ("BE",)])
def test_the_notebook_s_last_cell_holds_for_any_models(models: tuple[str, ...]) -> None:
    """And for any method that a reader has chosen meanwhile."""
    cell = nbformat.read(NOTEBOOKS / "01_explorer.ipynb", as_version=4).cells[-1].source
    explorer = kit.explore({key: kit.Recipe(key[0], "smoke_a", "pictograms", 0) for key in KEYS if key[0] in models}, k=4, ce_images=10)
    for method in explorer.bench.methods:
        explorer.question = replace(explorer.question, method=method)
        exec(cell, {"kit": kit, "explorer": explorer})


def test_another_language_asks_for_the_same_picture(small_data: Any, make_model: Any, tmp_path: Path) -> None:
    make_model().save(tmp_path / "JOINT")
    name = str(small_data.manifest)
    controls = Controls(kit.explore({("JOINT", name, 0): kit.Recipe("JOINT", name, str(tmp_path / "JOINT"), 0, languages=("en", "de"))}, k=8))
    right = [ids([told])[0] for told in rows(controls)[0] if "the right answer" in told]
    assert len(right) == 1
    controls.language.value = "de"
    assert " neben " in controls.caption.value
    assert [ids([told])[0] for told in rows(controls)[0] if "the right answer" in told] == right
    controls.direction.value = "text_retrieval"
    assert controls.pick.value == right[0], "the picture that was right is the query"
    with pytest.raises(InputError, match="choose the direction image_retrieval"):
        controls.explorer.figure()
    assert "neben" in controls.page.value


def test_photographs(data_dir: Path, make_model: Any, tmp_path: Path) -> None:
    make_model(region_width=1280).save(tmp_path / "JOINT")
    controls = Controls(kit.explore({("JOINT", "flickr8k", 0): kit.Recipe("JOINT", "flickr8k", str(tmp_path / "JOINT"), 0)}, k=5))
    controls.caption.value = "a cat and a dog"
    assert [picture["src"].partition(",")[0] for picture in Page(controls.page.value).all("img")] == ["data:image/jpeg;base64"] * 10
    controls.word.value = 1
    assert controls.other.options == ()
    controls.other.value = "very old horse"
    assert "a very old horse and a dog" in " ".join(word for word in Page(controls.why.value).text.split() if "%" not in word)


def test_widgets_are_loaded_only_by_the_explorer() -> None:
    program = "import sys, mmr_kit as kit; kit.load_dataset, kit.recall, kit.check; print('ipywidgets' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split() == ["False"]
