"""Validation accuracy over epochs, by method: primary output and mean of the pathways alone."""

import pandas as pd
from matplotlib.figure import Figure

from guidebp.analysis.results import MERGED, PATHWAYS, PRIMARY, SOFTMAX_AVERAGE, Results, partly_trained
from guidebp.rendering.figures import methods_in, networks, primary_name, titled
from guidebp.rendering.style import epochs, group_legends, group_lines, line_of, look, nothing, page


def data(results: Results, dataset: str) -> pd.DataFrame:
    """Mean, minimum and maximum over seeds per architecture, method, measure and epoch."""
    history = results.history
    rows = history[(history["dataset"] == dataset) & (history["quantity"] == "validation accuracy")]
    names = ["architecture", "method", "seed", "epoch"]
    primary = rows.loc[rows["primary"], [*names, "value"]]
    alone = rows[~rows["output"].isin([MERGED, SOFTMAX_AVERAGE])]
    alone = alone[~alone["key"].isin(partly_trained(results.metrics))]
    mean = alone.groupby(names, sort=False)["value"].mean().reset_index()
    outputs = {a: primary_name(results, a) for a in rows["architecture"].unique()}
    both = pd.concat(
        [
            primary.assign(measure=PRIMARY, output=primary["architecture"].map(outputs)),
            mean.assign(measure=PATHWAYS, output=PATHWAYS),
        ]
    )
    grouped = both.groupby(["architecture", "measure", "output", "method", "epoch"], sort=False)["value"]
    return titled(results, grouped.agg(["mean", "min", "max", "count"]).reset_index())


@look()
def draw(data: pd.DataFrame) -> Figure:
    """A row of panels per architecture and measure, a column per group of methods."""
    if data.empty:
        return nothing("No validation images.")
    rows = [
        (network, str(measure), of_measure)
        for network, cell in networks(data)
        for measure, of_measure in cell.groupby("measure", sort=False)
    ]
    methods = methods_in(data)
    groups = group_lines(methods)
    longest = max(len(lines) for lines in groups.values())
    figure = page(1.45 * len(rows) + 0.15 * longest + 0.5)
    axes = figure.subplots(len(rows), len(groups), squeeze=False, sharex=True, sharey="row")
    for line, (network, measure, cell) in zip(axes, rows, strict=True):
        for panel, lines in zip(line, groups.values(), strict=True):
            for method, style in lines.items():
                curve = cell[cell["method"] == method].sort_values("epoch")
                every = max(1, len(curve) // 8)
                panel.fill_between(
                    curve["epoch"], curve["min"], curve["max"], color=style["color"], alpha=0.12, lw=0
                )
                panel.plot(
                    curve["epoch"], curve["mean"], markevery=every, **line_of(lines, method, marked=True)
                )
        line[0].set_ylabel(f"validation accuracy\n{cell['output'].iloc[0]} (%)")
        if measure == PRIMARY:
            line[0].set_title(network)
    for panel in axes[-1]:
        epochs(panel)
    group_legends(axes[-1], methods)
    return figure
