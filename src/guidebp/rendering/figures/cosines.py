"""Cosines between the gradients of a network's exits: a row of heat maps per architecture, one per method."""

import textwrap

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from guidebp.analysis.results import Results
from guidebp.rendering.figures import methods_in, networks, titled
from guidebp.rendering.style import WIDTH, look, nothing, page

ACROSS = 7  # heat maps in a row
WRITTEN = 5  # exits up to which the numbers fit into the cells
# purple and orange: told apart with any colour vision; white is 0
COLOURS, FROM_TO = "PuOr", Normalize(-1, 1)


def data(results: Results, dataset: str) -> pd.DataFrame:
    """Mean over seeds per architecture, method and pair of exits, of runs whose exits are all trained."""
    rows = results.cosines[results.cosines["dataset"] == dataset]
    rows = rows[rows["key"].isin(results.exits["key"].unique())]
    grouped = rows.groupby(["architecture", "method", "first", "second"], sort=False)
    return titled(results, grouped["cosine"].agg(cosine="mean", runs="count").reset_index())


@look()
def draw(data: pd.DataFrame) -> Figure:
    """One scale for all, from -1 to 1."""
    if data.empty:
        return nothing("No finished runs with several trained exits that share parameters.")
    cells = networks(data)
    across = min(ACROSS, max(cell["method"].nunique() for _, cell in cells))
    downs = [-(-cell["method"].nunique() // across) for _, cell in cells]
    side = (WIDTH - 0.5) / ACROSS
    heights = [down * (side + 0.3) + 0.25 for down in downs]
    figure = page(sum(heights) + 0.5)
    *blocks, foot = figure.subfigures(len(cells) + 1, 1, squeeze=False, height_ratios=[*heights, 0.5])[:, 0]
    for block, down, (network, cell) in zip(blocks, downs, cells, strict=True):
        block.suptitle(network, x=0.01, ha="left", fontsize=8.5, fontweight="bold")
        axes = block.subplots(down, ACROSS, squeeze=False)
        methods = methods_in(cell)
        names = list(cell["first"].unique())
        for panel, method, title in zip(axes.flat, methods["method"], methods["title"], strict=False):
            wide = cell[cell["method"] == method].pivot(index="first", columns="second", values="cosine")
            heat(panel, wide.loc[names, names])
            panel.set_title(textwrap.fill(title, 16), loc="center", fontsize=6, fontweight="normal")
            panel.set_yticks(range(len(names)), names if panel in axes[:, 0] else [], fontsize=6)
        for panel in axes.flat[len(methods) :]:
            panel.set_visible(False)
    bar = foot.add_axes((0.3, 0.75, 0.4, 0.15))
    figure.colorbar(ScalarMappable(FROM_TO, COLOURS), cax=bar, orientation="horizontal", label="cosine")
    return figure


def heat(panel: Axes, table: pd.DataFrame) -> None:
    """One method's matrix, the first exit in the upper left corner."""
    count = len(table)
    panel.pcolormesh(range(count), range(count), table, cmap=COLOURS, norm=FROM_TO, edgecolor="white", lw=0.5)
    if count <= WRITTEN:
        for y, row in enumerate(table.to_numpy(float)):
            for x, value in enumerate(row):
                colour = "white" if abs(value) > 0.6 else "black"
                panel.text(x, y, f"{value:z.2f}", ha="center", va="center", color=colour, fontsize=5.5)
    panel.set(aspect="equal", ylim=(count - 0.5, -0.5))
    panel.set_xticks(range(count), [str(k + 1) for k in range(count)], fontsize=6)
    panel.tick_params(length=0, pad=1.5)
    panel.grid(False)
    panel.spines[:].set_visible(False)
