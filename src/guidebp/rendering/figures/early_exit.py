"""Accuracy against mean operations per image when easy images leave early: a row per architecture."""

import pandas as pd
from matplotlib.figure import Figure

from guidebp.analysis.results import Results
from guidebp.rendering.figures import methods_in, networks, titled
from guidebp.rendering.style import line_of, look, method_lines, nothing, page, share_legend

WAYS = {"confidence": "one threshold for all exits", "budgeted": "thresholds for a budget"}
LAST = "last exit"


def data(results: Results, dataset: str) -> pd.DataFrame:
    """Means over seeds of accuracy and operations, per architecture, method, way and level."""
    exits = results.exits[results.exits["dataset"] == dataset]
    rows = results.inference[results.inference["key"].isin(exits["key"].unique())]
    shown = rows[rows["way"].isin(list(WAYS))]
    spent = rows[rows["way"] == "ensemble"].groupby("key")["operations"].max()
    last = exits[exits["primary"] == True].copy()  # noqa: E712 - a column of objects when some run crashed
    last["operations"] = last["key"].map(spent).astype(float)
    both = pd.concat([shown, last.assign(way=LAST, level=float("nan"))], ignore_index=True)
    both = both.assign(millions=both["operations"].astype(float) / 1e6)
    grouped = both.groupby(["architecture", "method", "way", "level"], sort=False, dropna=False)
    return titled(results, grouped[["accuracy", "millions"]].mean().reset_index())


@look()
def draw(data: pd.DataFrame) -> Figure:
    """Left: one confidence for all exits; right: MSDNet's budgets; large marks: all images run to the last exit."""
    if data.empty:
        return nothing("No finished runs with several trained exits.")
    cells, methods = networks(data), methods_in(data)
    lines = method_lines(list(methods["method"]))
    figure = page(1.85 * len(cells) + 0.5)
    axes = figure.subplots(len(cells), len(WAYS), squeeze=False, sharex="row", sharey="row")
    for row, (network, cell) in zip(axes, cells, strict=True):
        for panel, (way, title) in zip(row, WAYS.items(), strict=True):
            for method in methods["method"]:
                of_method = cell[cell["method"] == method]
                curve = of_method[of_method["way"] == way].sort_values("millions")
                whole = of_method[of_method["way"] == LAST]
                style = line_of(lines, method, marked=True)
                panel.plot(curve["millions"], curve["accuracy"], **style | {"ms": 3, "mew": 0})
                panel.plot(whole["millions"], whole["accuracy"], **style | {"ms": 6, "ls": ""})
            panel.set_xlabel(f"mean operations per image (millions)\n{title}")
        row[0].set_title(network)
        row[0].set_ylabel("test accuracy (%)")
    share_legend(figure, methods)
    return figure
