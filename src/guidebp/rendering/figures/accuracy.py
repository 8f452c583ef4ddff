"""Accuracy per pathway and merged, by method; a yardstick carried through every panel."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from guidebp.analysis.comparisons import split_overlap
from guidebp.analysis.paired import mean_interval
from guidebp.analysis.tables import MERGED, PRIMARY, Results
from guidebp.rendering.figures import Drawn
from guidebp.rendering.style import COLOURS, FAINT, INK, MARKERS, WIDTH, group_colour, look, yardstick


def draw(results: Results, dataset: str) -> Drawn:
    """One row of panels per architecture: pathways alone on the left, merged on the right."""
    data = accuracy_data(results, dataset)
    architectures = [a for d, a in results.cells if d == dataset]
    with look():
        heights = [0.155 * data[data["architecture"] == a]["method"].nunique() + 0.3 for a in architectures]
        figure, axes = plt.subplots(
            len(architectures),
            2,
            figsize=(WIDTH, sum(heights) + 0.55 * len(architectures)),
            squeeze=False,
            sharey="row",
            gridspec_kw={"width_ratios": [1.25, 1], "height_ratios": heights},
            layout="constrained",
        )
        for row, architecture in zip(axes, architectures, strict=True):
            cell = data[data["architecture"] == architecture]
            methods = [m for m in results.about["methods"] if m in set(cell["method"])]
            overlap = split_overlap(results, dataset, cell)
            cell = cell[cell["trained"] == True]  # noqa: E712 - a column of objects
            alone = cell[cell["pathway"].notna()]
            names = list(alone.groupby("output")["pathway"].max().sort_values(kind="stable").index)
            for k, name in enumerate(names):
                offset = (k - (len(names) - 1) / 2) * min(0.2, 0.75 / len(names))
                points(row[0], alone[alone["output"] == name], methods, overlap, offset, k)
            points(row[1], cell[cell["output"] == MERGED], methods, overlap, 0.0, None)
            row[0].set_title(results.title("architectures", architecture), pad=16 if len(names) > 4 else None)
            row[0].set_xlabel("test accuracy of each pathway alone (%)")
            row[1].set_xlabel("test accuracy merged (%)")
            legend = row[1].legend(
                handles=[
                    mark(COLOURS[k % len(COLOURS)], MARKERS[k % len(MARKERS)], name)
                    for k, name in enumerate(names)
                ],
                loc="lower right",
                bbox_to_anchor=(1, 0.99),
                ncols=len(names),
                columnspacing=1,
                handletextpad=0.1,
            )
            legend.set_in_layout(False)  # many pathways need both panels' width
            show_values(row[0], alone["accuracy"])
            show_values(row[1], cell[cell["output"] == MERGED]["accuracy"])
            label_methods(row[0], results, methods)
    return Drawn(figure, data)


def accuracy_data(results: Results, dataset: str) -> pd.DataFrame:
    """One row per run and output of the dataset; failed runs have no accuracy."""
    columns = ["architecture", "method", "recipe", "repetition", "status", "output", "pathway", "accuracy"]
    columns += ["trained", "train_images", "test_images"]
    return results.metrics[results.metrics["dataset"] == dataset][columns].reset_index(drop=True)


def points(
    axes: Axes, rows: pd.DataFrame, methods: list[str], overlap: float, offset: float, pathway: int | None
) -> None:
    """Repetitions, mean and t interval of one output, a line per method."""
    colour, marker = (
        (INK, "D") if pathway is None else (COLOURS[pathway % len(COLOURS)], MARKERS[pathway % len(MARKERS)])
    )
    for y, method in enumerate(methods):
        values = rows[rows["method"] == method]["accuracy"].dropna().to_numpy(float)
        if not len(values):
            continue
        found = mean_interval(values, overlap)
        axes.plot(values, [y + offset] * len(values), marker, color=colour, ms=2, alpha=0.35, mew=0)
        axes.plot([found.low, found.high], [y + offset] * 2, color=colour, lw=0.9)
        axes.plot(found.difference, y + offset, marker, color=colour, ms=4, mec="white", mew=0.4)
        if method == yardstick(methods):
            axes.axvline(
                found.difference, color=FAINT if pathway is None else colour, lw=0.8, ls=":", zorder=1
            )


def show_values(axes: Axes, values: "pd.Series[float]") -> None:
    """Limits that hold every value; intervals of few repetitions may run out of the picture."""
    if values.notna().any():
        margin = 0.05 * (values.max() - values.min()) + 0.1
        axes.set_xlim(values.min() - margin, min(values.max() + margin, 100.5))


def label_methods(axes: Axes, results: Results, methods: list[str]) -> None:
    """Method titles on the y axis, coloured by group, a rule between groups, first method on top."""
    about = results.about["methods"]
    groups = list(dict.fromkeys(about[m]["group"] for m in methods))
    axes.set_yticks(range(len(methods)), [about[m]["title"] for m in methods])
    for label, method in zip(axes.get_yticklabels(), methods, strict=True):
        label.set_color(group_colour(about[method]["group"], groups))  # type: ignore[arg-type]
    axes.set_ylim(len(methods) - 0.4, -0.6)
    for y in range(1, len(methods)):
        if about[methods[y]]["group"] != about[methods[y - 1]]["group"]:
            for panel in axes.get_shared_y_axes().get_siblings(axes):
                panel.axhline(y - 0.5, color="#bbbbbb", lw=0.6)


def primary_name(results: Results, architecture: str) -> str:
    """The output that speaks for a network."""
    rows = results.metrics[results.metrics["architecture"] == architecture]
    names = rows.loc[rows["primary"] == True, "output"]  # noqa: E712 - a column of objects
    return str(names.iloc[0]) if len(names) else PRIMARY  # all its runs crashed


def mark(colour: object, marker: str, name: str) -> Line2D:
    """A legend entry."""
    return Line2D([], [], color=colour, marker=marker, ls="", ms=4, label=name)  # type: ignore[arg-type]
