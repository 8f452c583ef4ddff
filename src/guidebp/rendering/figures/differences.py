"""Forest plot: paired differences with each reference, primary output and mean of the pathways alone."""

import pandas as pd
from matplotlib.figure import Figure

from guidebp.analysis.results import PATHWAYS, PRIMARY, Results
from guidebp.rendering.figures import groups_in, methods_in, networks, primary_name, titled
from guidebp.rendering.style import COLOURS, INK, MARKERS, label_methods, look, mark, method_rows, nothing

COLUMNS = ["architecture", "method", "reference", "measure", "n", "difference", "low", "high"]


def data(results: Results, dataset: str) -> pd.DataFrame:
    """The rows of the comparisons for the two measures shown; `output` names the primary one."""
    table = results.comparisons
    assert table is not None
    rows = table.loc[(table["dataset"] == dataset) & table["measure"].isin([PRIMARY, PATHWAYS]), COLUMNS]
    outputs = {a: primary_name(results, a) for a in rows["architecture"].unique()}
    return titled(results, rows.assign(output=rows["architecture"].map(outputs)))


@look()
def draw(data: pd.DataFrame) -> Figure:
    """One row of panels per architecture: primary output on the left, pathways on the right."""
    if data.empty:
        return nothing("No method stands beside a reference.")
    cells = networks(data)
    references = list(data["reference"].unique())
    figure, axes = method_rows(cells, 2, above=0.25)
    for row, (network, cell) in zip(axes, cells, strict=True):
        methods = methods_in(cell)
        places = {method: y for y, method in enumerate(methods["method"])}
        names = {PRIMARY: f"primary ({cell['output'].iloc[0]})", PATHWAYS: PATHWAYS}
        for panel, (measure, name) in zip(row, names.items(), strict=True):
            panel.axvline(0, color=INK, lw=0.7)
            for k, reference in enumerate(references):
                rows = cell[(cell["measure"] == measure) & (cell["reference"] == reference)]
                y = [places[m] + (k - (len(references) - 1) / 2) * 0.28 for m in rows["method"]]
                panel.hlines(y, rows["low"], rows["high"], color=COLOURS[k], lw=1)
                panel.plot(rows["difference"], y, MARKERS[k], color=COLOURS[k], ms=4, mec="white", mew=0.4)
            panel.set_xlabel(f"difference in accuracy, {name} (points)")
        row[0].set_title(network)
        label_methods(row[0], methods, groups_in(data))
    figure.legend(
        handles=[mark(COLOURS[k], MARKERS[k], f"minus {name}") for k, name in enumerate(references)],
        loc="outside upper right",
        ncols=len(references),
    )
    return figure
