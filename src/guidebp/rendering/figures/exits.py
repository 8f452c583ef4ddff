"""Test accuracy of every exit against its operations: a panel per architecture, a line per method."""

import pandas as pd
from matplotlib.figure import Figure

from guidebp.analysis.results import Results
from guidebp.rendering.figures import add_titles, list_methods, split_by_architecture
from guidebp.rendering.style import (
    add_shared_legend,
    apply_figure_style,
    assign_method_lines,
    count_panel_rows_and_columns,
    create_figure,
    draw_message,
    get_line_style,
)


def prepare_figure_data(results: Results, dataset: str) -> pd.DataFrame:
    """Return mean, deviation and number of accuracies per architecture, method and exit, for several exits."""
    rows = results.exits[results.exits["dataset"] == dataset]
    rows = rows.assign(millions=rows["operations"].astype(float) / 1e6)
    grouped = rows.groupby(["architecture", "method", "pathway", "output", "millions"], sort=False)
    return add_titles(results, grouped["accuracy"].agg(["mean", "std", "count"]).reset_index())


@apply_figure_style()
def draw_figure(data: pd.DataFrame) -> Figure:
    """Draw means over seeds, with a line per method from the first exit to the last."""
    if data.empty:
        return draw_message("No finished runs with several trained exits.")
    architectures, methods = split_by_architecture(data), list_methods(data)
    lines = assign_method_lines(list(methods["method"]))
    rows, columns = count_panel_rows_and_columns(len(architectures))
    figure = create_figure(2.3 * rows + 0.6)
    axes = figure.subplots(rows, columns, squeeze=False)
    for panel, (heading, subset) in zip(axes.flat, architectures, strict=False):
        for method, exits in subset.groupby("method", sort=False):
            panel.plot(exits["millions"], exits["mean"], **get_line_style(lines, str(method), marked=True))
        panel.set_title(heading)
        panel.set_xlabel("operations of the network up to the exit (millions)")
    for panel in axes[:, 0]:
        panel.set_ylabel("test accuracy (%)")
    for panel in axes.flat[len(architectures) :]:
        panel.set_visible(False)
    add_shared_legend(figure, methods)
    return figure
