"""Reliability diagrams: a row of panels per architecture, a column per group of methods."""

import pandas as pd
from matplotlib.figure import Figure

from guidebp.analysis.results import Results
from guidebp.rendering.figures import methods_in, networks, primary_name, titled
from guidebp.rendering.style import FAINT, group_legends, group_lines, line_of, look, nothing, page

FEWEST = 10  # images in a bin that is drawn: the accuracy of fewer is noise


def data(results: Results, dataset: str) -> pd.DataFrame:
    """Accuracy and mean confidence in percent per architecture, method and bin, seeds pooled.

    The expected calibration error is that of the pooled bins, over all of them, drawn or not.
    """
    rows = results.calibration[results.calibration["dataset"] == dataset]
    names = {a: primary_name(results, a) for a in rows["architecture"].unique()}
    rows = rows[rows["output"] == rows["architecture"].map(names)]
    keys = ["architecture", "method", "output"]
    bins = rows.groupby([*keys, "bin"])[["images", "correct", "confidence"]].sum().reset_index()
    bins["gap"] = (bins["correct"] - bins["confidence"]).abs()
    sums = bins.groupby(keys)[["gap", "images"]].transform("sum")
    shares = {name: 100 * bins[name] / bins["images"] for name in ("confidence", "correct")}
    error = 100 * sums["gap"] / sums["images"]
    return titled(
        results,
        bins[[*keys, "bin", "images"]].assign(
            confidence=shares["confidence"], accuracy=shares["correct"], calibration_error=error
        ),
    )


@look()
def draw(data: pd.DataFrame) -> Figure:
    """Lines leave out bins of few images."""
    if data.empty:
        return nothing("No finished runs.")
    cells, methods = networks(data), methods_in(data)
    groups = group_lines(methods)
    longest = max(len(lines) for lines in groups.values())
    figure = page(1.6 * len(cells) + 0.15 * longest + 0.5)
    axes = figure.subplots(len(cells), len(groups), squeeze=False, sharex=True, sharey=True)
    drawn = data[data["images"] >= FEWEST]
    for row, (network, cell) in zip(axes, cells, strict=True):
        shown = drawn.loc[drawn["architecture"] == cell["architecture"].iloc[0]]
        for panel, lines in zip(row, groups.values(), strict=True):
            panel.plot([0, 100], [0, 100], color=FAINT, lw=0.6)
            for method in lines:
                line = shown[shown["method"] == method]
                panel.plot(line["confidence"], line["accuracy"], **line_of(lines, method, marked=True))
        row[0].set_title(network)
        row[0].set_ylabel(f"test accuracy,\n{cell['output'].iloc[0]} (%)")
    for panel in axes[-1]:
        panel.set_xlabel("mean confidence (%)")
    group_legends(axes[-1], methods)
    return figure
