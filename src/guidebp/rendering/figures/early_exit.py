"""Accuracy against mean operations per image when easy images leave early: a row per architecture."""

import pandas as pd
from matplotlib.figure import Figure

from guidebp.analysis.results import Results
from guidebp.rendering.figures import add_titles, list_methods, split_by_architecture
from guidebp.rendering.style import (
    add_shared_legend,
    apply_figure_style,
    assign_method_lines,
    create_figure,
    draw_message,
    get_line_style,
)

WAYS = {"confidence": "one threshold for all exits", "budgeted": "thresholds for a budget"}
LAST = "last exit"


def prepare_figure_data(results: Results, dataset: str) -> pd.DataFrame:
    """Return the means over seeds of accuracy and operations, per architecture, method, way and level."""
    exits = results.exits[results.exits["dataset"] == dataset]
    rows = results.inference[results.inference["key"].isin(exits["key"].unique())]
    shown = rows[rows["way"].isin(list(WAYS))]
    spent = rows[rows["way"] == "ensemble"].groupby("key")["operations"].max()
    last = exits[exits["primary"] == True].copy()  # noqa: E712 - a column of objects when some run crashed
    last["operations"] = last["key"].map(spent).astype(float)
    both = pd.concat([shown, last.assign(way=LAST, level=float("nan"))], ignore_index=True)
    both = both.assign(millions=both["operations"].astype(float) / 1e6)
    grouped = both.groupby(["architecture", "method", "way", "level"], sort=False, dropna=False)
    return add_titles(results, grouped[["accuracy", "millions"]].mean().reset_index())


@apply_figure_style()
def draw_figure(data: pd.DataFrame) -> Figure:
    """Draw one threshold for all exits (left) and MSDNet's budgets (right).

    Large marks: every image runs to the last exit.
    """
    if data.empty:
        return draw_message("No finished runs with several trained exits.")
    architectures, methods = split_by_architecture(data), list_methods(data)
    lines = assign_method_lines(list(methods["method"]))
    figure = create_figure(1.85 * len(architectures) + 0.5)
    axes = figure.subplots(len(architectures), len(WAYS), squeeze=False, sharex="row", sharey="row")
    for row, (heading, subset) in zip(axes, architectures, strict=True):
        for panel, (way, title) in zip(row, WAYS.items(), strict=True):
            for method in methods["method"]:
                of_method = subset[subset["method"] == method]
                curve = of_method[of_method["way"] == way].sort_values("millions")
                whole = of_method[of_method["way"] == LAST]
                style = get_line_style(lines, method, marked=True)
                panel.plot(curve["millions"], curve["accuracy"], **style | {"ms": 3, "mew": 0})
                panel.plot(whole["millions"], whole["accuracy"], **style | {"ms": 6, "ls": ""})
            panel.set_xlabel(f"mean operations per image (millions)\n{title}")
        row[0].set_title(heading)
        row[0].set_ylabel("test accuracy (%)")
    add_shared_legend(figure, methods)
    return figure
