"""Share of the gradient per pathway over epochs: a panel per architecture, a strip per method."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from guidebp.analysis.results import Results
from guidebp.rendering.figures import groups_in, methods_in, networks, titled
from guidebp.rendering.style import COLOURS, epochs, label_methods, look, mark, nothing, page, panels

TALL = 0.86  # of the distance from strip to strip


def data(results: Results, dataset: str) -> pd.DataFrame:
    """Mean over seeds per architecture, method, pathway and epoch."""
    history = results.history
    rows = history[(history["dataset"] == dataset) & (history["quantity"] == "gradient share")]
    grouped = rows.groupby(["architecture", "method", "output", "epoch"], sort=False)
    return titled(results, grouped["value"].mean().reset_index())


@look()
def draw(data: pd.DataFrame) -> Figure:
    """Stacked shares from 0 to 1; equal heights mean that every pathway receives the same."""
    if data.empty:
        return nothing("No run finished an epoch.")
    cells = networks(data)
    down, across = panels(len(cells))
    counts = [cell["method"].nunique() for _, cell in cells]
    heights = [0.25 * max(counts[k * across : (k + 1) * across]) + 0.9 for k in range(down)]
    figure = page(sum(heights))
    axes = figure.subplots(down, across, squeeze=False, gridspec_kw={"height_ratios": heights})
    for panel, (network, cell) in zip(axes.flat, cells, strict=False):
        names = list(cell["output"].unique())  # of all methods: some add pathways of their own
        methods = methods_in(cell)
        for y, method in enumerate(methods["method"]):
            strip(panel, y, cell[cell["method"] == method], names)
        panel.set_title(network, pad=16)
        epochs(panel)
        panel.set_xlim(cell["epoch"].min() - 0.5, cell["epoch"].max() + 0.5)
        panel.grid(False)
        panel.spines["left"].set_visible(False)
        panel.tick_params(axis="y", length=0)
        label_methods(panel, methods, groups_in(data))
        panel.legend(
            handles=[mark(COLOURS[k % len(COLOURS)], "s", name) for k, name in enumerate(names)],
            loc="lower left",
            bbox_to_anchor=(0, 0.99),
            borderaxespad=0,
            ncols=len(names),
            columnspacing=0.8,
            handletextpad=0.1,
        )
    for panel in axes.flat[len(cells) :]:
        panel.set_visible(False)
    return figure


def strip(panel: Axes, y: int, rows: pd.DataFrame, names: list[str]) -> None:
    """One method's shares, stacked from the first pathway at the bottom; dashes where equal shares would end."""
    wide = rows.pivot(index="epoch", columns="output", values="value")
    own = [name for name in names if name in wide]
    shares = wide[own].to_numpy(float)
    # an epoch is as wide as the step to the next, so that one alone can be seen
    epochs = np.concatenate([[wide.index[0] - 0.5], wide.index, [wide.index[-1] + 0.5]])
    shares = np.vstack([shares[:1], shares, shares[-1:]])
    ends = y + TALL / 2 - TALL * np.cumsum(np.column_stack([np.zeros(len(epochs)), shares]), axis=1)
    for k, name in enumerate(own):
        colour = COLOURS[names.index(name) % len(COLOURS)]
        panel.fill_between(epochs, ends[:, k], ends[:, k + 1], color=colour, lw=0, alpha=0.85)
    equal = [y + TALL / 2 - TALL * k / len(own) for k in range(1, len(own))]
    panel.hlines(equal, epochs[0], epochs[-1], color="white", lw=0.6, ls=(0, (2, 2)))
