"""Forest plot: paired differences with each baseline, primary output and mean of the pathways alone."""

import pandas as pd
from matplotlib.figure import Figure

from guidebp.analysis.results import PATHWAYS, PRIMARY, Results
from guidebp.rendering.figures import (
    add_titles,
    find_primary_output,
    list_method_groups,
    list_methods,
    split_by_architecture,
)
from guidebp.rendering.style import (
    COLOURS,
    INK,
    MARKERS,
    apply_figure_style,
    create_legend_mark,
    create_method_panels,
    draw_message,
    label_method_axis,
)

COLUMNS = ["architecture", "method", "baseline", "measure", "n", "difference", "low", "high"]


def prepare_figure_data(results: Results, dataset: str) -> pd.DataFrame:
    """Return the comparisons in the two measures shown; `output` names the primary output."""
    table = results.comparisons
    assert table is not None
    rows = table.loc[(table["dataset"] == dataset) & table["measure"].isin([PRIMARY, PATHWAYS]), COLUMNS]
    outputs = {a: find_primary_output(results, a) for a in rows["architecture"].unique()}
    return add_titles(results, rows.assign(output=rows["architecture"].map(outputs)))


@apply_figure_style()
def draw_figure(data: pd.DataFrame) -> Figure:
    """Draw one row of panels per architecture: primary output on the left, pathways on the right."""
    if data.empty:
        return draw_message("No method is compared with a baseline.")
    architectures = split_by_architecture(data)
    baselines = list(data["baseline"].unique())
    figure, axes = create_method_panels(architectures, 2, above=0.25)
    for row, (heading, subset) in zip(axes, architectures, strict=True):
        methods = list_methods(subset)
        positions = {method: y for y, method in enumerate(methods["method"])}
        names = {PRIMARY: f"primary ({subset['output'].iloc[0]})", PATHWAYS: PATHWAYS}
        for panel, (measure, name) in zip(row, names.items(), strict=True):
            panel.axvline(0, color=INK, lw=0.7)
            for k, baseline in enumerate(baselines):
                rows = subset[(subset["measure"] == measure) & (subset["baseline"] == baseline)]
                y = [positions[m] + (k - (len(baselines) - 1) / 2) * 0.28 for m in rows["method"]]
                panel.hlines(y, rows["low"], rows["high"], color=COLOURS[k], lw=1)
                panel.plot(rows["difference"], y, MARKERS[k], color=COLOURS[k], ms=4, mec="white", mew=0.4)
            panel.set_xlabel(f"difference in accuracy, {name} (points)")
        row[0].set_title(heading)
        label_method_axis(row[0], methods, list_method_groups(data))
    figure.legend(
        handles=[
            create_legend_mark(COLOURS[k], MARKERS[k], f"minus {name}") for k, name in enumerate(baselines)
        ],
        loc="outside upper right",
        ncols=len(baselines),
    )
    return figure
