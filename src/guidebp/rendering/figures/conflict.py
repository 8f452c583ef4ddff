"""Do the exits' gradients agree? Cosines over epochs, share of steps with a conflict; a row per architecture."""

import pandas as pd
from matplotlib.figure import Figure

from guidebp.analysis.results import Results
from guidebp.rendering.figures import methods_in, networks, titled
from guidebp.rendering.style import INK, epochs, line_of, look, method_lines, nothing, page

COSINE, CONFLICT = "cosine", "conflict"


def data(results: Results, dataset: str) -> pd.DataFrame:
    """Mean over seeds per architecture, method, quantity and epoch, of runs whose exits are all trained.

    The share of steps with a conflict is over the whole training and has no epoch.
    """
    history = results.history
    rows = history[(history["dataset"] == dataset) & history["quantity"].isin([COSINE, CONFLICT])]
    rows = rows[rows["key"].isin(results.exits["key"].unique())]
    rows = rows.assign(epoch=rows["epoch"].where(rows["quantity"] == COSINE))
    grouped = rows.groupby(["architecture", "method", "quantity", "epoch"], sort=False, dropna=False)
    return titled(results, grouped["value"].mean().reset_index())


@look()
def draw(data: pd.DataFrame) -> Figure:
    """The right panels name the methods."""
    if data.empty:
        return nothing("No finished runs with several trained exits.")
    cells = networks(data)
    lines = method_lines(list(methods_in(data)["method"]))
    heights = [0.155 * cell["method"].nunique() + 0.6 for _, cell in cells]
    figure = page(sum(heights) + 0.65 * len(cells))
    axes = figure.subplots(len(cells), 2, squeeze=False, sharex="col", gridspec_kw={"height_ratios": heights})
    for (left, right), (network, cell) in zip(axes, cells, strict=True):
        shown = methods_in(cell)
        for y, method in enumerate(shown["method"]):
            rows = cell[cell["method"] == method]
            curve = rows[rows["quantity"] == COSINE]
            every = max(1, len(curve) // 8)
            left.plot(curve["epoch"], curve["value"], markevery=every, **line_of(lines, method, marked=True))
            share = rows.loc[rows["quantity"] == CONFLICT, "value"]
            right.hlines([y] * len(share), 0, share, color=lines[method]["color"], lw=2.5)
            right.plot(share, [y] * len(share), **line_of(lines, method, marked=True) | {"ms": 6})
        right.set_yticks(range(len(shown)), shown["title"])
        right.set(ylim=(len(shown) - 0.4, -0.6), xlim=(-0.02, 1.03))
        left.axhline(0, color=INK, lw=0.6)
        left.set_ylabel("mean cosine of all pairs")
        left.set_title(network)
    epochs(axes[-1, 0])
    axes[-1, 1].set_xlabel("share of steps with a conflict")
    return figure
