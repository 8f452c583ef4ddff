"""Share of the gradient per pathway over epochs: a panel per architecture, a strip per method."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from guidebp.analysis.results import Results
from guidebp.rendering.figures import add_titles, list_method_groups, list_methods, split_by_architecture
from guidebp.rendering.style import (
    COLOURS,
    apply_figure_style,
    count_panel_rows_and_columns,
    create_figure,
    create_legend_mark,
    draw_message,
    label_epoch_axis,
    label_method_axis,
)

STRIP_HEIGHT = 0.86  # as a share of the distance between strips


def prepare_figure_data(results: Results, dataset: str) -> pd.DataFrame:
    """Return the mean over seeds per architecture, method, pathway and epoch."""
    history = results.history
    rows = history[(history["dataset"] == dataset) & (history["quantity"] == "gradient share")]
    grouped = rows.groupby(["architecture", "method", "output", "epoch"], sort=False)
    return add_titles(results, grouped["value"].mean().reset_index())


@apply_figure_style()
def draw_figure(data: pd.DataFrame) -> Figure:
    """Draw stacked shares from 0 to 1. Equal heights mean that every pathway receives the same share."""
    if data.empty:
        return draw_message("No run finished an epoch.")
    architectures = split_by_architecture(data)
    down, across = count_panel_rows_and_columns(len(architectures))
    counts = [subset["method"].nunique() for _, subset in architectures]
    heights = [0.25 * max(counts[k * across : (k + 1) * across]) + 0.9 for k in range(down)]
    figure = create_figure(sum(heights))
    axes = figure.subplots(down, across, squeeze=False, gridspec_kw={"height_ratios": heights})
    for panel, (heading, subset) in zip(axes.flat, architectures, strict=False):
        names = list(subset["output"].unique())  # of all methods, because some add pathways
        methods = list_methods(subset)
        for y, method in enumerate(methods["method"]):
            _draw_strip(panel, y, subset[subset["method"] == method], names)
        panel.set_title(heading, pad=16)
        label_epoch_axis(panel)
        panel.set_xlim(subset["epoch"].min() - 0.5, subset["epoch"].max() + 0.5)
        panel.grid(False)
        panel.spines["left"].set_visible(False)
        panel.tick_params(axis="y", length=0)
        label_method_axis(panel, methods, list_method_groups(data))
        panel.legend(
            handles=[
                create_legend_mark(COLOURS[k % len(COLOURS)], "s", name) for k, name in enumerate(names)
            ],
            loc="lower left",
            bbox_to_anchor=(0, 0.99),
            borderaxespad=0,
            ncols=len(names),
            columnspacing=0.8,
            handletextpad=0.1,
        )
    for panel in axes.flat[len(architectures) :]:
        panel.set_visible(False)
    return figure


def _draw_strip(panel: Axes, y: int, rows: pd.DataFrame, names: list[str]) -> None:
    """Draw one method's shares, stacked from the first pathway at the bottom; dashes mark equal shares."""
    wide = rows.pivot(index="epoch", columns="output", values="value")
    own = [name for name in names if name in wide]
    shares = wide[own].to_numpy(float)
    # an epoch is one unit wide, so that a single epoch is visible
    epochs = np.concatenate([[wide.index[0] - 0.5], wide.index, [wide.index[-1] + 0.5]])
    shares = np.vstack([shares[:1], shares, shares[-1:]])
    ends = (
        y
        + STRIP_HEIGHT / 2
        - STRIP_HEIGHT * np.cumsum(np.column_stack([np.zeros(len(epochs)), shares]), axis=1)
    )
    for k, name in enumerate(own):
        colour = COLOURS[names.index(name) % len(COLOURS)]
        panel.fill_between(epochs, ends[:, k], ends[:, k + 1], color=colour, lw=0, alpha=0.85)
    equal = [y + STRIP_HEIGHT / 2 - STRIP_HEIGHT * k / len(own) for k in range(1, len(own))]
    panel.hlines(equal, epochs[0], epochs[-1], color="white", lw=0.6, ls=(0, (2, 2)))
