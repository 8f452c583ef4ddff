"""Validation accuracy against learning rate, by method, from which a tuning study chooses."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from guidebp.analysis.results import Results
from guidebp.rendering.figures import add_titles, list_methods, split_by_architecture
from guidebp.rendering.style import (
    add_group_legends,
    apply_figure_style,
    assign_group_lines,
    create_figure,
    get_line_style,
)


def prepare_figure_data(results: Results, rates: pd.DataFrame) -> pd.DataFrame:
    """Return the rates that were tried for one dataset and section (columns `tuning.RATES`), with titles."""
    return add_titles(results, rates)


@apply_figure_style()
def draw_figure(data: pd.DataFrame) -> Figure:
    """Draw a row of panels per architecture, a column per group of methods, and rings around the chosen rates."""
    methods = list_methods(data)
    groups = assign_group_lines(methods)
    longest = max(len(lines) for lines in groups.values())
    rows = split_by_architecture(data)
    figure = create_figure(1.45 * len(rows) + 0.15 * longest + 0.5)
    axes = figure.subplots(len(rows), len(groups), squeeze=False, sharex=True, sharey="row")
    for line, (heading, subset) in zip(axes, rows, strict=True):
        for panel, lines in zip(line, groups.values(), strict=True):
            for method, style in lines.items():
                curve = subset[subset["method"] == method].sort_values("rate")
                panel.plot(curve["rate"], curve["accuracy"], **get_line_style(lines, method, marked=True))
                chosen = curve[curve["chosen"]]
                panel.plot(
                    chosen["rate"], chosen["accuracy"], "o", ms=7, mfc="none", mec=style["color"], mew=0.8
                )
            panel.set_xscale("log")
        line[0].set_ylabel("validation accuracy (%)")
        line[0].set_title(heading)
    ticks = np.sort(data["rate"].unique())
    for panel in axes[-1]:
        panel.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        panel.set_xticks([], minor=True)
        panel.set_xlabel("learning rate")
    add_group_legends(axes[-1], methods)
    return figure
