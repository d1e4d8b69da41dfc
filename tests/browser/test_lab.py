"""JupyterLab in a real browser: it opens as `make lab` promises, the notebooks run, and the explorer answers to its controls."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from tests.browser.conftest import Lab, Window

pytestmark = pytest.mark.slow
EXPLORER = "lab/workspaces/explorer/tree/notebooks/01_explorer.ipynb?reset"


def no_errors(window: Window) -> None:
    assert window.page.locator(".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.error']").all_inner_texts() == []


def test_make_lab_opens_the_quickstart_in_front_and_it_runs(window: Window) -> None:
    window.open("lab/workspaces/mmr-kit")
    tabs = window.page.locator("#jp-main-dock-panel .lm-TabBar-tab")
    assert tabs.all_inner_texts() == ["00_quickstart.ipynb", "01_explorer.ipynb"]
    assert "lm-mod-current" in str(tabs.first.get_attribute("class"))
    assert "notebooks" in window.page.locator(".jp-FileBrowser-crumbs").inner_text()
    assert window.page.locator(".jp-Notification-Toast, .Toastify__toast").count() == 0, "nothing asks for news"
    window.run_all()
    no_errors(window)
    window.shoot("quickstart")
    assert window.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-OutputArea img").count() >= 4


def test_the_server_listens_on_this_machine_alone(lab: Lab) -> None:
    assert f"{lab.address}/lab/workspaces/mmr-kit" in lab.log.read_text()
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(f"{lab.address}/api/sessions", timeout=30)
    processes = [psutil.Process(lab.process.pid), *psutil.Process(lab.process.pid).children(recursive=True)]
    listening = {at.laddr for process in processes for at in process.net_connections("tcp") if at.status == psutil.CONN_LISTEN}
    assert ("127.0.0.1", lab.port) in listening
    assert {address for address, _ in listening} == {"127.0.0.1"}


class Shown:
    """The explorer on a page: its controls by their labels, and what it shows."""

    def __init__(self, window: Window) -> None:
        self.window, self.page = window, window.page
        self.page.locator(".mmr-answer li").first.wait_for()

    def control(self, label: str, element: str) -> Any:
        return self.page.locator(f".widget-inline-hbox:has(label:text-is('{label}')) {element}").first

    def answers(self) -> list[list[str]]:
        """What is told of each item, row by row."""
        return [row.locator("li").evaluate_all("items => items.map(item => item.title)") for row in self.page.locator(".mmr-answer ol").all()]

    def after(self, change: Callable[[], object]) -> list[list[str]]:
        """The answers once they are others than before a change."""
        before = self.page.locator(".mmr-answer").inner_html()
        change()
        self.page.wait_for_function("before => document.querySelector('.mmr-answer').innerHTML !== before", arg=before)
        return self.answers()

    def why(self) -> str:
        return str(self.page.locator(".mmr-why").inner_text())

    def explained(self, change: Callable[[], object]) -> str:
        """What is said of the reasons once it is something else than before a change."""
        before = self.why()
        change()
        self.page.wait_for_function("before => document.querySelector('.mmr-why').innerText !== before", arg=before)
        return self.why()


def test_the_explorer_answers_to_its_controls(window: Window) -> None:
    window.open(EXPLORER)
    window.run_all()
    no_errors(window)
    shown, page = Shown(window), window.page
    first = shown.answers()
    assert [len(row) for row in first] == [10, 10]
    assert page.locator(".mmr-answer img").count() == 20
    assert all(page.locator(".mmr-answer img").evaluate_all("pictures => pictures.map(picture => picture.naturalWidth > 0 && picture.alt.length > 9)"))
    assert page.locator(".mmr-answer svg path").count() == 10
    assert "✓ right" in page.locator(".mmr-answer").inner_text()

    def fewer() -> None:  # by the keyboard
        shown.control("k", ".noUi-handle").focus()
        page.keyboard.press("ArrowLeft")

    assert [len(row) for row in shown.after(fewer)] == [9, 9]
    alone = shown.after(lambda: shown.control("Method", "select").select_option("BE"))
    assert [row[:1] for row in alone] == [first[0][:1]]
    scored = shown.after(lambda: shown.control("Method", "select").select_option("CE"))
    assert len(scored) == 1
    assert scored != alone
    joint = shown.after(lambda: shown.control("Method", "select").select_option("JOINT+COOP"))
    assert [len(row) for row in joint] == [9, 9]
    typed = shown.after(lambda: ask(shown, "a red star above a blue moon"))
    assert {place.partition(" ")[2] for place in typed[0]} != {place.partition(" ")[2] for place in joint[0]}
    assert "No right answer is known" in page.locator("[role=status]").inner_text()
    by_both = shown.after(lambda: shown.control("Combine", "select").select_option("ADD"))
    assert by_both[0] == typed[0]
    assert shown.after(lambda: shown.control("Among", "select").select_option(index=1))[0] != by_both[0]
    assert "Among 300 pictures" in page.locator("[role=status]").inner_text()
    captions = shown.after(lambda: page.get_by_role("button", name="picture → captions").click())
    assert page.locator(".mmr-answer li p").count() == 18
    assert sum("the right answer" in each for each in captions[1]) >= 1


def ask(shown: Shown, caption: str) -> None:
    field = shown.control("Caption", "input")
    field.fill(caption)
    field.press("Enter")


def test_markup_is_shown_and_not_run(window: Window) -> None:
    window.open(EXPLORER)
    window.run_all()
    shown, page = Shown(window), window.page
    markup = "<script>document.title='run'</script><img src=x onerror=document.title='run'> red"
    shown.explained(lambda: ask(shown, markup))
    assert markup.split()[0] in page.locator(".mmr-words").inner_text()
    shown.explained(lambda: page.locator(".widget-toggle-buttons button", has_text="red").last.click())
    shown.explained(lambda: (shown.control("Change to", "input").fill("<b onclick=x>blue"), shown.control("Change to", "input").press("Enter")))
    assert {"<b", "onclick=x>blue"} <= set(page.locator(".mmr-words").inner_text().split())
    assert page.locator(".mmr-answer script, .mmr-why script, .mmr-words b, img[src=x]").count() == 0
    assert page.title() != "run"


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_why_in_either_theme_and_on_a_narrow_page(window: Window, theme: str) -> None:
    window.open(EXPLORER)
    window.run_all()
    window.theme(theme)
    shown, page = Shown(window), window.page
    words = page.locator(".mmr-words").inner_text()
    last = page.locator(".widget-toggle-buttons").last.locator("button").last
    explained = shown.explained(lambda: last.click())
    assert page.locator(".mmr-words").inner_text() == words
    assert page.locator(".mmr-chosen").inner_text().split()[0] == last.inner_text()
    assert page.locator(".mmr-why rect").count() >= 3
    changed = shown.explained(lambda: (shown.control("Change to", "input").fill("moon"), shown.control("Change to", "input").press("Enter")))
    assert ["place among the" in told for told in (explained, changed)] == [False, True]
    assert page.locator(".mmr-chosen").inner_text().split()[0] == "moon"
    for width in (1280, 800):
        page.set_viewport_size({"width": width, "height": 1500})
        page.locator(".mmr-answer").scroll_into_view_if_needed()
        window.shoot(f"explorer-{theme.split()[1].lower()}-{width}")
        pane = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-WindowedPanel-outer").first
        assert pane.evaluate("pane => pane.scrollWidth <= pane.clientWidth + 1"), "what is too wide scrolls by itself"
