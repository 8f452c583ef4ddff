"""Test accuracy of every exit against its operations: a panel per architecture, a line per method."""

import pandas as pd
from matplotlib.figure import Figure

from guidebp.analysis.results import Results
from guidebp.rendering.figures import methods_in, networks, titled
from guidebp.rendering.style import line_of, look, method_lines, nothing, page, panels, share_legend


def data(results: Results, dataset: str) -> pd.DataFrame:
    """Mean, deviation and number of accuracies per architecture, method and exit of networks with several exits."""
    rows = results.exits[results.exits["dataset"] == dataset]
    rows = rows.assign(millions=rows["operations"].astype(float) / 1e6)
    grouped = rows.groupby(["architecture", "method", "pathway", "output", "millions"], sort=False)
    return titled(results, grouped["accuracy"].agg(["mean", "std", "count"]).reset_index())


@look()
def draw(data: pd.DataFrame) -> Figure:
    """Means over seeds; a line joins the exits of one method from shallow to deep."""
    if data.empty:
        return nothing("No finished runs with several trained exits.")
    cells, methods = networks(data), methods_in(data)
    lines = method_lines(list(methods["method"]))
    rows, columns = panels(len(cells))
    figure = page(2.3 * rows + 0.6)
    axes = figure.subplots(rows, columns, squeeze=False)
    for panel, (network, cell) in zip(axes.flat, cells, strict=False):
        for method, exits in cell.groupby("method", sort=False):
            panel.plot(exits["millions"], exits["mean"], **line_of(lines, str(method), marked=True))
        panel.set_title(network)
        panel.set_xlabel("operations of the network up to the exit (millions)")
    for panel in axes[:, 0]:
        panel.set_ylabel("test accuracy (%)")
    for panel in axes.flat[len(cells) :]:
        panel.set_visible(False)
    share_legend(figure, methods)
    return figure
