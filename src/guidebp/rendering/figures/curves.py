"""Validation accuracy over epochs, by method: primary output and mean of the pathways alone."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from guidebp.analysis.tables import MERGED, PATHWAYS, PRIMARY, SOFTMAX_AVERAGE, Results, partly_trained
from guidebp.rendering.figures import Drawn
from guidebp.rendering.figures.accuracy import primary_name
from guidebp.rendering.style import COLOURS, INK, WIDTH, look, nothing, yardstick

DASH = (0, (3, 1.5))


def draw(results: Results, dataset: str) -> Drawn:
    """A row of panels per architecture and measure, a column per group of methods."""
    data = curve_data(results, dataset)
    architectures = [a for d, a in results.cells if d == dataset]
    about = results.about["methods"]
    trained = [m for m in about if m in set(data["method"])]
    groups = list(dict.fromkeys(about[m]["group"] for m in trained))
    if data.empty:
        return Drawn(nothing("No validation images."), data)
    drawn_through = yardstick(trained)
    rows = [(a, measure) for a in architectures for measure in (PRIMARY, PATHWAYS)]
    with look():
        figure, axes = plt.subplots(
            len(rows),
            len(groups),
            figsize=(WIDTH, 1.45 * len(rows) + 1.7),
            squeeze=False,
            sharex=True,
            sharey="row",
            layout="constrained",
        )
        for line, (architecture, measure) in zip(axes, rows, strict=True):
            cell = data[(data["architecture"] == architecture) & (data["measure"] == measure)]
            for panel, group in zip(line, groups, strict=True):
                if drawn_through and about[drawn_through]["group"] != group:
                    band(panel, cell, drawn_through, INK, dashed=True)
                for k, method in enumerate(m for m in trained if about[m]["group"] == group):
                    colour = INK if method == drawn_through else COLOURS[k % len(COLOURS)]
                    band(panel, cell, method, colour, dashed=method == drawn_through)
            shown = primary_name(results, architecture) if measure == PRIMARY else measure
            line[0].set_ylabel(f"{shown} (%)")
            if measure == PRIMARY:
                line[0].set_title(results.title("architectures", architecture))
        for panel, group in zip(axes[-1], groups, strict=True):
            panel.set_xlabel("epoch")
            own = [m for m in trained if about[m]["group"] == group]
            named = own if drawn_through is None or drawn_through in own else [drawn_through, *own]
            panel.legend(
                handles=[
                    Line2D([], [], color=INK, ls=DASH, label=m)
                    if m == drawn_through
                    else Line2D([], [], color=COLOURS[own.index(m) % len(COLOURS)], label=m)
                    for m in named
                ],
                title=group,
                loc="upper center",
                bbox_to_anchor=(0.5, -0.32),
                title_fontsize=7,
            )
    return Drawn(figure, data)


def curve_data(results: Results, dataset: str) -> pd.DataFrame:
    """Mean, minimum and maximum over repetitions per architecture, method, measure and epoch."""
    history = results.history
    rows = history[(history["dataset"] == dataset) & (history["quantity"] == "validation accuracy")]
    primary = rows[rows["primary"]]
    names = ["architecture", "method", "repetition", "epoch"]
    alone = rows[~rows["output"].isin([MERGED, SOFTMAX_AVERAGE])]
    alone = alone[~alone["key"].isin(partly_trained(results.metrics))]
    mean = alone.groupby(names, sort=False)["value"].mean().reset_index()
    both = pd.concat([primary[[*names, "value"]].assign(measure=PRIMARY), mean.assign(measure=PATHWAYS)])
    grouped = both.groupby(["architecture", "measure", "method", "epoch"], sort=False)["value"]
    return grouped.agg(["mean", "min", "max", "count"]).reset_index()


def band(axes: Axes, cell: pd.DataFrame, method: str, colour: object, dashed: bool) -> None:
    """Mean line and range of one method."""
    rows = cell[cell["method"] == method].sort_values("epoch")
    if rows.empty:
        return
    axes.fill_between(rows["epoch"], rows["min"], rows["max"], color=colour, alpha=0.12, lw=0)
    axes.plot(rows["epoch"], rows["mean"], color=colour, ls=DASH if dashed else "-")
