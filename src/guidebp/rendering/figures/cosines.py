"""Cosines between the gradients of a network's exits: a row of heat maps per architecture, one per method."""

import textwrap

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from guidebp.analysis.results import Results
from guidebp.rendering.figures import add_titles, list_methods, split_by_architecture
from guidebp.rendering.style import PAGE_WIDTH, apply_figure_style, create_figure, draw_message

MAPS_PER_ROW = 7
# numbers of more exits do not fit
MAX_EXITS_WITH_NUMBERS = 5
# purple and orange are distinct with any colour vision; white is 0
COLOUR_MAP, COLOUR_RANGE = "PuOr", Normalize(-1, 1)


def prepare_figure_data(results: Results, dataset: str) -> pd.DataFrame:
    """Return the mean over seeds per architecture, method and pair of exits, of runs with only trained exits."""
    rows = results.cosines[results.cosines["dataset"] == dataset]
    rows = rows[rows["key"].isin(results.exits["key"].unique())]
    grouped = rows.groupby(["architecture", "method", "first", "second"], sort=False)
    return add_titles(results, grouped["cosine"].agg(cosine="mean", runs="count").reset_index())


@apply_figure_style()
def draw_figure(data: pd.DataFrame) -> Figure:
    """Draw a heat map per method, all on one scale from -1 to 1."""
    if data.empty:
        return draw_message("No finished runs with several trained exits that share parameters.")
    architectures = split_by_architecture(data)
    across = min(MAPS_PER_ROW, max(subset["method"].nunique() for _, subset in architectures))
    downs = [-(-subset["method"].nunique() // across) for _, subset in architectures]
    side = (PAGE_WIDTH - 0.5) / MAPS_PER_ROW
    heights = [down * (side + 0.3) + 0.25 for down in downs]
    figure = create_figure(sum(heights) + 0.5)
    *blocks, foot = figure.subfigures(
        len(architectures) + 1, 1, squeeze=False, height_ratios=[*heights, 0.5]
    )[:, 0]
    for block, down, (heading, subset) in zip(blocks, downs, architectures, strict=True):
        block.suptitle(heading, x=0.01, ha="left", fontsize=8.5, fontweight="bold")
        axes = block.subplots(down, MAPS_PER_ROW, squeeze=False)
        methods = list_methods(subset)
        names = list(subset["first"].unique())
        for panel, method, title in zip(axes.flat, methods["method"], methods["method_title"], strict=False):
            wide = subset[subset["method"] == method].pivot(index="first", columns="second", values="cosine")
            _draw_heat_map(panel, wide.loc[names, names])
            panel.set_title(textwrap.fill(title, 16), loc="center", fontsize=6, fontweight="normal")
            panel.set_yticks(range(len(names)), names if panel in axes[:, 0] else [], fontsize=6)
        for panel in axes.flat[len(methods) :]:
            panel.set_visible(False)
    bar = foot.add_axes((0.3, 0.75, 0.4, 0.15))
    figure.colorbar(
        ScalarMappable(COLOUR_RANGE, COLOUR_MAP), cax=bar, orientation="horizontal", label="cosine"
    )
    return figure


def _draw_heat_map(panel: Axes, table: pd.DataFrame) -> None:
    """Draw one method's matrix with the first exit in the upper left corner."""
    count = len(table)
    panel.pcolormesh(
        range(count), range(count), table, cmap=COLOUR_MAP, norm=COLOUR_RANGE, edgecolor="white", lw=0.5
    )
    if count <= MAX_EXITS_WITH_NUMBERS:
        for y, row in enumerate(table.to_numpy(float)):
            for x, value in enumerate(row):
                colour = "white" if abs(value) > 0.6 else "black"
                panel.text(x, y, f"{value:z.2f}", ha="center", va="center", color=colour, fontsize=5.5)
    panel.set(aspect="equal", ylim=(count - 0.5, -0.5))
    panel.set_xticks(range(count), [str(k + 1) for k in range(count)], fontsize=6)
    panel.tick_params(length=0, pad=1.5)
    panel.grid(False)
    panel.spines[:].set_visible(False)
