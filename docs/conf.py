"""Sphinx: docstrings, notebooks as they were executed, README, report, as one site. `make docs` builds it; nothing is executed, nothing fetched."""

import re
from pathlib import Path

from sphinx.application import Sphinx

import mmr_kit

ROOT = Path(__file__).parents[1]
API = Path(__file__).parent / "api"  # written here at each build
ROOMS = {"data": "Data", "models": "Models", "retrieval": "Retrieval", "reporting": "Reporting", "costs": "Costs", "teaching": "Teaching", "": "Joining them"}

project, copyright, release = "mmr_kit", "the mmr_kit authors, Apache-2.0", mmr_kit.__version__
html_title, html_theme = "mmr_kit", "furo"
html_show_sourcelink = False
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.viewcode", "sphinx-mathjax-offline"]
include_patterns = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "RELIABILITY.md", "docs/*.md", "docs/api/*.md", "notebooks/*.ipynb",
                    "notebooks/teaching/*.ipynb", "results/*/REPORT.md", "results/bench/*.md"]
root_doc = "docs/index"
suppress_warnings = ["ref.python"]  # a name that two modules have is no link
default_role = "py:obj"  # docstrings name things in single backticks
autodoc_member_order, autodoc_typehints, autodoc_preserve_defaults = "bysource", "signature", True
add_module_names = False
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"


def write_api() -> None:
    """One page a room of the package, with every module and every public name of it."""
    package = ROOT / "mmr_kit"
    API.mkdir(exist_ok=True)
    for room, title in ROOMS.items():
        files = sorted((package / room).rglob("*.py") if room else package.glob("*.py"))
        modules = [".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files if file.name != "__init__.py"]
        blocks = [f"## {name}\n\n```{{eval-rst}}\n.. automodule:: {name}\n   :members:\n```\n" for name in modules]
        (API / f"{room or 'top'}.md").write_text("\n".join([f"# {title}\n", *blocks]), encoding="utf-8")


def as_plain_text(app: Sphinx, kind: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """The kit's docstrings are plain text with names in backticks: outside of those nothing is markup."""
    parts = re.split(r"(`[^`]*`)", "\n".join(lines))
    parts[::2] = [re.sub(r"([\\*|_])", r"\\\1", part) for part in parts[::2]]
    lines[:] = "".join(parts).split("\n")


def as_pages(app: Sphinx, page: str, source: list[str]) -> None:
    """Links that mean something else here: a report's to folders of run files, which are no pages, and a lesson's to its headings, as JupyterLab names them."""
    if page.startswith("results/"):
        source[0] = re.sub(r"\[([^]]*)\]\(runs/[^)]*/\)", r"\1", source[0])
    if page.startswith("notebooks/"):
        source[0] = re.sub(r"\]\(#([^)]*)\)", lambda link: "](#" + re.sub(r"[^\w-]", "", link[1].lower()) + ")", source[0])


def setup(app: Sphinx) -> None:
    write_api()
    app.connect("source-read", as_pages)
    app.connect("autodoc-process-docstring", as_plain_text)
