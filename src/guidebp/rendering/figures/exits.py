"""Test accuracy of every exit against its operations: a panel per architecture, a line per method."""

import matplotlib.pyplot as plt
import pandas as pd

from guidebp.analysis.tables import Results
from guidebp.rendering.figures import Drawn
from guidebp.rendering.style import WIDTH, line_of, look, method_lines, nothing, panels, share_legend


def draw(results: Results, dataset: str) -> Drawn:
    """Means over repetitions; a line joins the exits of one method from shallow to deep."""
    data = exit_data(results, dataset)
    architectures, methods = results.shown(dataset, data)
    lines = method_lines(methods)
    if not architectures:
        return Drawn(nothing("No finished runs with several trained exits."), data)
    with look():
        rows, columns = panels(len(architectures))
        figure, axes = plt.subplots(
            rows, columns, figsize=(WIDTH, 2.5 * rows + 0.3), squeeze=False, layout="constrained"
        )
        for panel, architecture in zip(axes.flat, architectures, strict=False):
            cell = data[data["architecture"] == architecture]
            for method in methods:
                exits = cell[cell["method"] == method]
                if len(exits):
                    panel.plot(
                        exits["operations"] / 1e6, exits["mean"], **line_of(lines, method, marked=True)
                    )
            panel.set_title(results.title("architectures", architecture))
            panel.set_xlabel("operations of the network up to the exit (millions)")
        for panel in axes[:, 0]:
            panel.set_ylabel("test accuracy (%)")
        for panel in axes.flat[len(architectures) :]:
            panel.set_visible(False)
        share_legend(figure, results.titles("methods"), lines)
    return Drawn(figure, data)


def exit_data(results: Results, dataset: str) -> pd.DataFrame:
    """Mean, deviation and number of accuracies per architecture, method and exit of networks with several exits."""
    rows = results.exits[results.exits["dataset"] == dataset]
    names = ["architecture", "method", "pathway", "output", "parameters", "operations"]
    grouped = rows.groupby(names, sort=False)
    return grouped["accuracy"].agg(["mean", "std", "count"]).reset_index()
