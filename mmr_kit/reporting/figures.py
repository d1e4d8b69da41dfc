"""The kit's figures, by one name: their look, dot plots and curves. It is imported by those who draw, as a plotting library takes its time to load."""

from mmr_kit.reporting.cost_figures import evaluation_figure, query_figure
from mmr_kit.reporting.curves import curve_figure, learning_curves
from mmr_kit.reporting.dots import ablation_figure, language_figure, recall_figure, share_figure
from mmr_kit.reporting.looks import LOOKS, save_png, style
from mmr_kit.reporting.search_figures import accuracy_figure, roofline_figure, size_figure

__all__ = [
    "LOOKS", "ablation_figure", "accuracy_figure", "curve_figure", "evaluation_figure", "language_figure", "learning_curves", "query_figure", "recall_figure",
    "roofline_figure", "save_png", "share_figure", "size_figure", "style",
]  # fmt: skip
