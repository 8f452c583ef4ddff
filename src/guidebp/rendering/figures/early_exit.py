"""Accuracy against mean operations per image when easy images leave early: a row per architecture."""

import matplotlib.pyplot as plt
import pandas as pd

from guidebp.analysis.tables import Results
from guidebp.rendering.figures import Drawn
from guidebp.rendering.style import WIDTH, line_of, look, method_lines, nothing, share_legend

WAYS = {"confidence": "one threshold for all exits", "budgeted": "thresholds for a budget"}


def draw(results: Results, dataset: str) -> Drawn:
    """Left: one confidence for all exits; right: MSDNet's budgets; squares: all images run to the last exit."""
    data = early_data(results, dataset)
    architectures, methods = results.shown(dataset, data)
    lines = method_lines(methods)
    if not architectures:
        return Drawn(nothing("No finished runs with several trained exits."), data)
    with look():
        figure, axes = plt.subplots(
            len(architectures),
            len(WAYS),
            figsize=(WIDTH, 1.9 * len(architectures) + 0.8),
            squeeze=False,
            sharex="row",
            sharey="row",
            layout="constrained",
        )
        for row, architecture in zip(axes, architectures, strict=True):
            cell = data[data["architecture"] == architecture]
            for panel, (way, title) in zip(row, WAYS.items(), strict=True):
                for method in methods:
                    curve = cell[(cell["method"] == method) & (cell["way"] == way)].sort_values("operations")
                    whole = cell[(cell["method"] == method) & (cell["way"] == "last exit")]
                    style = line_of(lines, method)
                    panel.plot(curve["operations"] / 1e6, curve["accuracy"], **style)
                    panel.plot(whole["operations"] / 1e6, whole["accuracy"], "s", ms=3, color=style["color"])
                panel.set_title(f"{results.title('architectures', architecture)}\n{title}", fontsize=7.5)
                panel.set_xlabel("mean operations per image (millions)")
            row[0].set_ylabel("test accuracy (%)")
        share_legend(figure, results.titles("methods"), lines)
    return Drawn(figure, data)


def early_data(results: Results, dataset: str) -> pd.DataFrame:
    """Means over repetitions of accuracy and operations, per architecture, method, way and level."""
    exits = results.exits[results.exits["dataset"] == dataset]
    rows = results.inference[results.inference["key"].isin(exits["key"].unique())]
    names = ["architecture", "method", "way", "level"]
    means = rows[rows["way"].isin(list(WAYS))].groupby(names, sort=False)[["accuracy", "operations"]].mean()
    spent = rows[rows["way"] == "ensemble"].groupby("key")["operations"].max()
    last = exits[exits["primary"] == True].copy()  # noqa: E712 - a column of objects when some run crashed
    last["operations"] = last["key"].map(spent).astype(float)
    whole = (
        last.groupby(["architecture", "method"], sort=False)[["accuracy", "operations"]].mean().reset_index()
    )
    return pd.concat(
        [means.reset_index(), whole.assign(way="last exit", level=float("nan"))], ignore_index=True
    )
