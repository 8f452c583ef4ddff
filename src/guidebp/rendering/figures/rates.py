"""Validation accuracy against learning rate, by method: what a tuning study chooses from."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from guidebp.analysis.results import Results
from guidebp.rendering.figures import methods_in, networks, titled
from guidebp.rendering.style import group_legends, group_lines, line_of, look, page


def data(results: Results, rates: pd.DataFrame) -> pd.DataFrame:
    """The rows of `tuning.RATES` for one dataset and part, with titles."""
    return titled(results, rates)


@look()
def draw(data: pd.DataFrame) -> Figure:
    """A row of panels per network, a column per group of methods; rings around the chosen rates."""
    methods = methods_in(data)
    groups = group_lines(methods)
    longest = max(len(lines) for lines in groups.values())
    rows = networks(data)
    figure = page(1.45 * len(rows) + 0.15 * longest + 0.5)
    axes = figure.subplots(len(rows), len(groups), squeeze=False, sharex=True, sharey="row")
    for line, (network, cell) in zip(axes, rows, strict=True):
        for panel, lines in zip(line, groups.values(), strict=True):
            for method, style in lines.items():
                curve = cell[cell["method"] == method].sort_values("rate")
                panel.plot(curve["rate"], curve["accuracy"], **line_of(lines, method, marked=True))
                chosen = curve[curve["chosen"]]
                panel.plot(
                    chosen["rate"], chosen["accuracy"], "o", ms=7, mfc="none", mec=style["color"], mew=0.8
                )
            panel.set_xscale("log")
        line[0].set_ylabel("validation accuracy (%)")
        line[0].set_title(network)
    ticks = np.sort(data["rate"].unique())
    for panel in axes[-1]:
        panel.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        panel.set_xticks([], minor=True)
        panel.set_xlabel("learning rate")
    group_legends(axes[-1], methods)
    return figure
