"""Cosines between the exits' gradients and the share of steps with a conflict, over epochs."""

import matplotlib.pyplot as plt

from guidebp.analysis.tables import Results
from guidebp.rendering.figures import Drawn
from guidebp.rendering.style import INK, WIDTH, line_of, look, method_lines, share_legend

SHOWN = {"cosine": "mean cosine of all pairs", "conflict": "share of steps with a conflict"}


def draw(results: Results, dataset: str) -> Drawn:
    """Means over repetitions."""
    history = results.history
    rows = history[(history["dataset"] == dataset) & history["quantity"].isin(list(SHOWN))]
    rows = rows[rows["key"].isin(results.exits["key"].unique())]
    names = ["architecture", "method", "quantity", "epoch"]
    data = rows.groupby(names, sort=False)["value"].mean().reset_index()
    architectures = [a for d, a in results.cells if d == dataset and a in set(data["architecture"])]
    methods = [m for m in results.about["methods"] if m in set(data["method"])]
    lines = method_lines(methods)
    with look():
        figure, axes = plt.subplots(
            len(architectures),
            len(SHOWN),
            figsize=(WIDTH, 1.6 * len(architectures) + 0.8),
            squeeze=False,
            sharex=True,
            sharey="col",
            layout="constrained",
        )
        for row, architecture in zip(axes, architectures, strict=True):
            cell = data[data["architecture"] == architecture]
            for panel, (quantity, title) in zip(row, SHOWN.items(), strict=True):
                for method in methods:
                    curve = cell[(cell["method"] == method) & (cell["quantity"] == quantity)]
                    panel.plot(curve["epoch"], curve["value"], **line_of(lines, method))
                panel.axhline(0, color=INK, lw=0.6)
                panel.set_title(f"{results.title('architectures', architecture)}\n{title}", fontsize=7.5)
        for panel in axes[-1]:
            panel.set_xlabel("epoch")
        share_legend(figure, results.titles("methods"), lines)
    return Drawn(figure, data)
