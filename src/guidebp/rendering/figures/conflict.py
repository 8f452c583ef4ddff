"""Conflict between the exits' gradients: cosines over epochs and share of steps with a conflict."""

import pandas as pd
from matplotlib.figure import Figure

from guidebp.analysis.results import Results
from guidebp.rendering.figures import add_titles, list_methods, split_by_architecture
from guidebp.rendering.style import (
    INK,
    apply_figure_style,
    assign_method_lines,
    create_figure,
    draw_message,
    get_line_style,
    label_epoch_axis,
)

COSINE, CONFLICT = "cosine", "conflict"


def prepare_figure_data(results: Results, dataset: str) -> pd.DataFrame:
    """Return the mean over seeds per architecture, method, quantity and epoch, of runs whose exits are all trained.

    The share of steps with a conflict covers the whole training and has no epoch.
    """
    history = results.history
    rows = history[(history["dataset"] == dataset) & history["quantity"].isin([COSINE, CONFLICT])]
    rows = rows[rows["key"].isin(results.exits["key"].unique())]
    rows = rows.assign(epoch=rows["epoch"].where(rows["quantity"] == COSINE))
    grouped = rows.groupby(["architecture", "method", "quantity", "epoch"], sort=False, dropna=False)
    return add_titles(results, grouped["value"].mean().reset_index())


@apply_figure_style()
def draw_figure(data: pd.DataFrame) -> Figure:
    """Draw cosines on the left and shares on the right, where the methods are named."""
    if data.empty:
        return draw_message("No finished runs with several trained exits.")
    architectures = split_by_architecture(data)
    lines = assign_method_lines(list(list_methods(data)["method"]))
    heights = [0.155 * subset["method"].nunique() + 0.6 for _, subset in architectures]
    figure = create_figure(sum(heights) + 0.65 * len(architectures))
    axes = figure.subplots(
        len(architectures), 2, squeeze=False, sharex="col", gridspec_kw={"height_ratios": heights}
    )
    for (left, right), (heading, subset) in zip(axes, architectures, strict=True):
        shown = list_methods(subset)
        for y, method in enumerate(shown["method"]):
            rows = subset[subset["method"] == method]
            curve = rows[rows["quantity"] == COSINE]
            every = max(1, len(curve) // 8)
            left.plot(
                curve["epoch"], curve["value"], markevery=every, **get_line_style(lines, method, marked=True)
            )
            share = rows.loc[rows["quantity"] == CONFLICT, "value"]
            right.hlines([y] * len(share), 0, share, color=lines[method]["color"], lw=2.5)
            right.plot(share, [y] * len(share), **get_line_style(lines, method, marked=True) | {"ms": 6})
        right.set_yticks(range(len(shown)), shown["method_title"])
        right.set(ylim=(len(shown) - 0.4, -0.6), xlim=(-0.02, 1.03))
        left.axhline(0, color=INK, lw=0.6)
        left.set_ylabel("mean cosine of all pairs")
        left.set_title(heading)
    label_epoch_axis(axes[-1, 0])
    axes[-1, 1].set_xlabel("share of steps with a conflict")
    return figure
