"""Validation accuracy over epochs, by method: primary output and mean of the pathways alone."""

import pandas as pd
from matplotlib.figure import Figure

from guidebp.analysis.results import MERGED, PATHWAYS, PRIMARY, SOFTMAX_AVERAGE, Results, find_partly_trained
from guidebp.rendering.figures import add_titles, find_primary_output, list_methods, split_by_architecture
from guidebp.rendering.style import (
    add_group_legends,
    apply_figure_style,
    assign_group_lines,
    create_figure,
    draw_message,
    get_line_style,
    label_epoch_axis,
)


def prepare_figure_data(results: Results, dataset: str) -> pd.DataFrame:
    """Return mean, minimum and maximum over seeds per architecture, method, measure and epoch."""
    history = results.history
    rows = history[(history["dataset"] == dataset) & (history["quantity"] == "validation accuracy")]
    names = ["architecture", "method", "seed", "epoch"]
    primary = rows.loc[rows["primary"], [*names, "value"]]
    alone = rows[~rows["output"].isin([MERGED, SOFTMAX_AVERAGE])]
    alone = alone[~alone["key"].isin(find_partly_trained(results.metrics))]
    mean = alone.groupby(names, sort=False)["value"].mean().reset_index()
    outputs = {a: find_primary_output(results, a) for a in rows["architecture"].unique()}
    both = pd.concat(
        [
            primary.assign(measure=PRIMARY, output=primary["architecture"].map(outputs)),
            mean.assign(measure=PATHWAYS, output=PATHWAYS),
        ]
    )
    grouped = both.groupby(["architecture", "measure", "output", "method", "epoch"], sort=False)["value"]
    return add_titles(results, grouped.agg(["mean", "min", "max", "count"]).reset_index())


@apply_figure_style()
def draw_figure(data: pd.DataFrame) -> Figure:
    """Draw a row of panels per architecture and measure, a column per group of methods."""
    if data.empty:
        return draw_message("No validation images.")
    rows = [
        (heading, str(measure), of_measure)
        for heading, subset in split_by_architecture(data)
        for measure, of_measure in subset.groupby("measure", sort=False)
    ]
    methods = list_methods(data)
    groups = assign_group_lines(methods)
    longest = max(len(lines) for lines in groups.values())
    figure = create_figure(1.45 * len(rows) + 0.15 * longest + 0.5)
    axes = figure.subplots(len(rows), len(groups), squeeze=False, sharex=True, sharey="row")
    for line, (heading, measure, subset) in zip(axes, rows, strict=True):
        for panel, lines in zip(line, groups.values(), strict=True):
            for method, style in lines.items():
                curve = subset[subset["method"] == method].sort_values("epoch")
                every = max(1, len(curve) // 8)
                panel.fill_between(
                    curve["epoch"], curve["min"], curve["max"], color=style["color"], alpha=0.12, lw=0
                )
                panel.plot(
                    curve["epoch"],
                    curve["mean"],
                    markevery=every,
                    **get_line_style(lines, method, marked=True),
                )
        line[0].set_ylabel(f"validation accuracy\n{subset['output'].iloc[0]} (%)")
        if measure == PRIMARY:
            line[0].set_title(heading)
    for panel in axes[-1]:
        label_epoch_axis(panel)
    add_group_legends(axes[-1], methods)
    return figure
