"""The look of every figure: one style, one colour, marker and hatch a method, one sign for the paper's numbers."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mmr_kit.cache import atomic_write

LINES: tuple[Literal["-", "--", ":", "-."], ...] = ("-", "--", ":", "-.")


class Look(NamedTuple):
    color: str
    marker: str
    hatch: str
    line: Literal["-", "--", ":", "-."]


# Okabe and Ito's colours, which colour-blind readers can tell apart; markers and hatches say the same again. The hollow diamond is the paper's.
LOOKS = {
    "CE": Look("#D55E00", "s", "///", "-"),
    "BE": Look("#0072B2", "o", "\\\\\\", "-"),
    "SEP+COOP": Look("#009E73", "^", "xxx", "-"),
    "JOINT+COOP": Look("#CC79A7", "v", "...", "-"),
    "JOINT+CE": Look("#E69F00", "P", "++", "--"),
    "JOINT+BE": Look("#56B4E9", "X", "oo", "--"),
    "floor": Look("#777777", "p", "", ":"),
}
# Of one method's variants in one panel; the first is what they are compared with.
VARIANTS = (Look("#222222", "", "", "-"), Look("#0072B2", "o", "", "--"), Look("#D55E00", "s", "", ":"), Look("#009E73", "^", "", "-."))
PAPER_POINT: dict[str, Any] = {"marker": "D", "color": "#222222", "markerfacecolor": "none", "markersize": 4.5, "markeredgewidth": 0.9}
DOT: dict[str, Any] = {"markersize": 7, "markeredgecolor": "white", "markeredgewidth": 0.6, "clip_on": False}
DPI = 160


@contextmanager
def style() -> Iterator[None]:
    """The style of every figure: white ground (so that it reads on a dark page too), sizes for 5.4 inches, which stay legible at 400 pixels and in print."""
    with mpl.rc_context({
        "figure.facecolor": "white", "axes.facecolor": "white", "savefig.facecolor": "white", "figure.dpi": 100, "savefig.dpi": DPI,
        "font.family": "DejaVu Sans", "font.size": 10, "axes.titlesize": 10, "axes.labelsize": 10, "xtick.labelsize": 9, "ytick.labelsize": 10,
        "legend.fontsize": 9, "axes.titlelocation": "left", "text.color": "#222222", "axes.labelcolor": "#222222", "axes.edgecolor": "#888888",
        "xtick.color": "#444444", "ytick.color": "#222222", "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.color": "#E4E4E4",
        "grid.linewidth": .8, "axes.axisbelow": True, "lines.linewidth": 1.6, "legend.frameon": False, "hatch.linewidth": .8, "svg.hashsalt": "mmr_kit",
        "figure.constrained_layout.w_pad": 0.06,
    }):  # fmt: skip
        yield


def save_png(fig: Figure, path: Path) -> Path:
    """Write the figure; the same figure gives the same bytes (no time, no software version)."""
    buffer = io.BytesIO()
    with style():
        fig.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    atomic_write(Path(path), buffer.getvalue())
    return Path(path)


def look_of(method: str) -> Look:
    """The look of a method, also where it is told more closely ("BE, mean pooling"); a grey one for methods the kit does not know."""
    method = method.split(",")[0].split(" ")[0]
    if method == "JOINT":  # the trained model behind JOINT+COOP, JOINT+CE and JOINT+BE
        method = "JOINT+COOP"
    return LOOKS.get(method, Look("#777777", "D", "", ":"))


def in_order(methods: Iterable[str]) -> list[str]:
    """Methods once each: those of LOOKS in its order, then the others as they come."""
    once = list(dict.fromkeys(methods))
    return sorted(once, key=lambda method: list(LOOKS).index(method) if method in LOOKS else len(LOOKS))


def set_heading(axis: Axes, text: str) -> None:
    """A bold title that begins at the left of the panel and may run on above its neighbours, for which a layout would make room between them."""
    axis.set_title("\n" * text.count("\n") + " ")
    axis.annotate(text, (0, 1), (0, 6), "axes fraction", "offset points", fontweight="bold", va="baseline", annotation_clip=False).set_in_layout(False)


def apart(values: Iterable[float], whole: float, label: float = 0.13) -> list[float]:
    """The rising values that leave room for a label, `label` of the axis long, on a logarithmic axis whose ends are `whole` times apart."""
    kept: list[float] = []
    for value in values:
        if not kept or math.log(value / kept[-1]) > label * math.log(whole):
            kept.append(value)
    return kept


def paper_handle() -> Line2D:
    """The legend's entry for the paper's numbers."""
    return Line2D([], [], **PAPER_POINT, linewidth=0, label="the paper's number")
