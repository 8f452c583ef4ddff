"""Share of the gradient per pathway over epochs: a block of strips per architecture, a strip per method."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import SubFigure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from guidebp.analysis.tables import Results
from guidebp.rendering.figures import Drawn
from guidebp.rendering.figures.accuracy import mark
from guidebp.rendering.style import COLOURS, WIDTH, group_colour, look, nothing, panels


def draw(results: Results, dataset: str) -> Drawn:
    """Stacked shares from 0 to 1; equal heights mean that every pathway receives the same."""
    history = results.history
    rows = history[(history["dataset"] == dataset) & (history["quantity"] == "gradient share")]
    names = ["architecture", "method", "output", "epoch"]
    data = rows.groupby(names, sort=False)["value"].mean().reset_index()
    architectures, _ = results.shown(dataset, data)
    if not architectures:
        return Drawn(nothing("No run finished an epoch."), data)
    down, across = panels(len(architectures))
    counts = [data[data["architecture"] == a]["method"].nunique() for a in architectures]
    heights = [0.27 * max(counts[k * across : (k + 1) * across]) + 0.95 for k in range(down)]
    with look():
        tight = ConstrainedLayoutEngine(h_pad=0.012, hspace=0)
        figure = plt.figure(figsize=(WIDTH, sum(heights)), layout=tight)
        blocks = figure.subfigures(down, across, squeeze=False, height_ratios=heights).flat
        for block, architecture in zip(blocks, architectures, strict=False):
            strips(block, results, architecture, data[data["architecture"] == architecture])
    return Drawn(figure, data)


def strips(block: SubFigure, results: Results, architecture: str, cell: pd.DataFrame) -> None:
    """One architecture's strips, the methods' names beside them."""
    about = results.about["methods"]
    groups = list(dict.fromkeys(about[m]["group"] for m in about))
    methods = [m for m in about if m in set(cell["method"])]
    names = list(dict.fromkeys(cell["output"]))  # of all methods: some add pathways of their own
    axes = block.subplots(len(methods), 1, squeeze=False, sharex=True)[:, 0]
    for panel, method in zip(axes, methods, strict=True):
        wide = cell[cell["method"] == method].pivot(index="epoch", columns="output", values="value")
        own = [name for name in names if name in wide]
        colours = [COLOURS[names.index(name) % len(COLOURS)] for name in own]
        panel.stackplot(wide.index, [wide[name] for name in own], colors=colours, lw=0, alpha=0.85)
        for k in range(1, len(own)):
            panel.axhline(k / len(own), color="white", lw=0.6, ls=(0, (2, 2)))
        panel.set(xlim=(wide.index.min(), wide.index.max()), ylim=(0, 1))
        panel.grid(False)
        # the method's name stands where a tick would
        panel.set_yticks([0.5], [about[method]["title"]], color=group_colour(about[method]["group"], groups))
        panel.tick_params(axis="both", length=2 if panel is axes[-1] else 0)
        panel.tick_params(axis="y", length=0)
    axes[-1].set_xlabel("epoch")
    block.legend(
        handles=[mark(COLOURS[k % len(COLOURS)], "s", name) for k, name in enumerate(names)],
        title=results.title("architectures", architecture),
        loc="outside upper center",
        ncols=3,
        columnspacing=0.8,
        handletextpad=0.1,
    )
