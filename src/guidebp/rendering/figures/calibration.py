"""Reliability diagrams: a row of panels per architecture, a column per group of methods."""

import pandas as pd
from matplotlib.figure import Figure

from guidebp.analysis.results import Results
from guidebp.rendering.figures import add_titles, find_primary_output, list_methods, split_by_architecture
from guidebp.rendering.style import (
    FAINT,
    add_group_legends,
    apply_figure_style,
    assign_group_lines,
    create_figure,
    draw_message,
    get_line_style,
)

MIN_IMAGES = 10  # images in a bin that is drawn, because the accuracy of fewer is noise


def prepare_figure_data(results: Results, dataset: str) -> pd.DataFrame:
    """Return accuracy and mean confidence in percent per architecture, method and bin, all seeds pooled.

    The expected calibration error is computed from all pooled bins, including those not drawn.
    """
    rows = results.calibration[results.calibration["dataset"] == dataset]
    names = {a: find_primary_output(results, a) for a in rows["architecture"].unique()}
    rows = rows[rows["output"] == rows["architecture"].map(names)]
    keys = ["architecture", "method", "output"]
    bins = rows.groupby([*keys, "bin"])[["images", "correct", "confidence"]].sum().reset_index()
    bins["gap"] = (bins["correct"] - bins["confidence"]).abs()
    sums = bins.groupby(keys)[["gap", "images"]].transform("sum")
    shares = {name: 100 * bins[name] / bins["images"] for name in ("confidence", "correct")}
    error = 100 * sums["gap"] / sums["images"]
    return add_titles(
        results,
        bins[[*keys, "bin", "images"]].assign(
            confidence=shares["confidence"], accuracy=shares["correct"], calibration_error=error
        ),
    )


@apply_figure_style()
def draw_figure(data: pd.DataFrame) -> Figure:
    """Draw lines through the bins with enough images."""
    if data.empty:
        return draw_message("No finished runs.")
    architectures, methods = split_by_architecture(data), list_methods(data)
    groups = assign_group_lines(methods)
    longest = max(len(lines) for lines in groups.values())
    figure = create_figure(1.6 * len(architectures) + 0.15 * longest + 0.5)
    axes = figure.subplots(len(architectures), len(groups), squeeze=False, sharex=True, sharey=True)
    drawn = data[data["images"] >= MIN_IMAGES]
    for row, (heading, subset) in zip(axes, architectures, strict=True):
        shown = drawn.loc[drawn["architecture"] == subset["architecture"].iloc[0]]
        for panel, lines in zip(row, groups.values(), strict=True):
            panel.plot([0, 100], [0, 100], color=FAINT, lw=0.6)
            for method in lines:
                line = shown[shown["method"] == method]
                panel.plot(line["confidence"], line["accuracy"], **get_line_style(lines, method, marked=True))
        row[0].set_title(heading)
        row[0].set_ylabel(f"test accuracy,\n{subset['output'].iloc[0]} (%)")
    for panel in axes[-1]:
        panel.set_xlabel("mean confidence (%)")
    add_group_legends(axes[-1], methods)
    return figure
