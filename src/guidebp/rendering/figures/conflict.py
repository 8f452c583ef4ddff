"""Do the exits' gradients agree? Cosines over epochs, share of steps with a conflict; a row per architecture."""

import matplotlib.pyplot as plt
import pandas as pd

from guidebp.analysis.tables import Results
from guidebp.rendering.figures import Drawn
from guidebp.rendering.style import INK, WIDTH, line_of, look, method_lines, nothing

COSINE, CONFLICT = "cosine", "conflict"


def draw(results: Results, dataset: str) -> Drawn:
    """Means over repetitions; the share is over the whole training. The right panels name the methods."""
    data = conflict_data(results, dataset)
    architectures, methods = results.shown(dataset, data)
    trained = {a: set(data[data["architecture"] == a]["method"]) for a in architectures}
    lines = method_lines(methods)
    if not architectures:
        return Drawn(nothing("No finished runs with several trained exits."), data)
    heights = [0.155 * len(trained[a]) + 0.6 for a in architectures]
    with look():
        figure, axes = plt.subplots(
            len(architectures),
            2,
            figsize=(WIDTH, sum(heights) + 0.65 * len(architectures)),
            squeeze=False,
            sharex="col",
            gridspec_kw={"height_ratios": heights},
            layout="constrained",
        )
        for (left, right), architecture in zip(axes, architectures, strict=True):
            cell = data[data["architecture"] == architecture]
            shown = [method for method in methods if method in trained[architecture]]
            for y, method in enumerate(shown):
                rows = cell[cell["method"] == method]
                curve = rows[rows["quantity"] == COSINE]
                left.plot(curve["epoch"], curve["value"], **line_of(lines, method, marked=True))
                share = rows[rows["quantity"] == CONFLICT]["value"].mean()
                right.barh(y, share, color=lines[method]["color"], height=0.6)
                right.plot(share, y, **line_of(lines, method, marked=True))
            right.set_yticks(range(len(shown)), [results.title("methods", method) for method in shown])
            right.set(ylim=(len(shown) - 0.4, -0.6), xlim=(0, 1.03))
            left.axhline(0, color=INK, lw=0.6)
            left.set_ylabel("mean cosine of all pairs")
            left.set_title(results.title("architectures", architecture))
        axes[-1, 0].set_xlabel("epoch")
        axes[-1, 1].set_xlabel("share of steps with a conflict")
    return Drawn(figure, data)


def conflict_data(results: Results, dataset: str) -> pd.DataFrame:
    """Mean over repetitions per architecture, method, quantity and epoch, of runs whose exits are all trained."""
    history = results.history
    rows = history[(history["dataset"] == dataset) & history["quantity"].isin([COSINE, CONFLICT])]
    rows = rows[rows["key"].isin(results.exits["key"].unique())]
    names = ["architecture", "method", "quantity", "epoch"]
    return rows.groupby(names, sort=False)["value"].mean().reset_index()
