"""Accuracy per pathway and merged, by method; a yardstick carried through every panel."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from guidebp.analysis.comparisons import grid_of
from guidebp.analysis.results import MERGED, Results
from guidebp.analysis.statistics import mean_interval
from guidebp.rendering.figures import groups_in, methods_in, networks, titled
from guidebp.rendering.style import (
    COLOURS,
    FAINT,
    INK,
    MARKERS,
    label_methods,
    look,
    mark,
    method_rows,
    yardstick,
)


def data(results: Results, dataset: str) -> pd.DataFrame:
    """One row per run and output, with mean and 95 % t interval over the seeds.

    No accuracy stands for a failed run and for a pathway left as it was drawn.
    """
    rows = results.metrics[results.metrics["dataset"] == dataset]
    rows = rows[rows["pathway"].notna() | ~rows["output"].notna() | (rows["output"] == MERGED)]
    # a column of objects when some run crashed
    rows = rows.assign(accuracy=rows["accuracy"].where(rows["trained"] == True).astype(float))  # noqa: E712
    names = ["architecture", "method", "output"]
    intervals = []
    for architecture, cell in rows.groupby("architecture", sort=False):
        overlap, step = grid_of(results, dataset, cell)
        for key, runs in cell.groupby(names[1:], sort=False):
            found = mean_interval(runs["accuracy"].dropna().to_numpy(float), overlap, step)
            ends = {"mean": found.difference, "low": found.low, "high": found.high, "n": found.n}
            intervals.append(dict(zip(names, (architecture, *key), strict=True)) | ends)
    table = rows[[*names, "pathway", "seed", "status", "accuracy"]]
    return titled(results, table.merge(pd.DataFrame(intervals), how="left", on=names))


@look()
def draw(data: pd.DataFrame) -> Figure:
    """One row of panels per architecture: pathways alone on the left, merged on the right."""
    cells = networks(data)
    figure, axes = method_rows(cells, 2, width_ratios=[1.25, 1])
    for row, (network, cell) in zip(axes, cells, strict=True):
        methods = methods_in(cell)
        alone, merged = cell[cell["pathway"].notna()], cell[cell["output"] == MERGED]
        names = list(alone.groupby("output")["pathway"].max().sort_values(kind="stable").index)
        for k, name in enumerate(names):
            offset = (k - (len(names) - 1) / 2) * min(0.2, 0.75 / len(names))
            points(row[0], alone[alone["output"] == name], list(methods["method"]), offset, k)
        points(row[1], merged, list(methods["method"]), 0.0, None)
        row[0].set_title(network, pad=16 if len(names) > 4 else None)
        row[0].set_xlabel("test accuracy of each pathway alone (%)")
        row[1].set_xlabel("test accuracy merged (%)")
        legend = row[1].legend(
            handles=[
                mark(COLOURS[k % len(COLOURS)], MARKERS[k % len(MARKERS)], name)
                for k, name in enumerate(names)
            ],
            loc="lower right",
            bbox_to_anchor=(1, 0.99),
            ncols=max(len(names), 1),
            columnspacing=1,
            handletextpad=0.1,
        )
        legend.set_in_layout(False)  # many pathways need both panels' width
        show_values(row[0], alone["accuracy"])
        show_values(row[1], merged["accuracy"])
        label_methods(row[0], methods, groups_in(data))
    return figure


def points(axes: Axes, rows: pd.DataFrame, methods: list[str], offset: float, pathway: int | None) -> None:
    """Seeds, mean and t interval of one output, a line per method."""
    colour, marker = (
        (INK, "D") if pathway is None else (COLOURS[pathway % len(COLOURS)], MARKERS[pathway % len(MARKERS)])
    )
    rows = rows.dropna(subset="accuracy")
    rows = rows.assign(y=[methods.index(method) + offset for method in rows["method"]])
    means = rows.drop_duplicates("method")
    axes.hlines(means["y"], means["low"], means["high"], color=colour, lw=0.9)
    axes.plot(rows["accuracy"], rows["y"], marker, color=colour, ms=2.5, alpha=0.45, mew=0)
    axes.plot(means["mean"], means["y"], marker, color=colour, ms=4, mec="white", mew=0.4)
    for mean in means.loc[means["method"] == yardstick(methods), "mean"]:
        axes.axvline(mean, color=FAINT if pathway is None else colour, lw=0.8, ls=":", zorder=1)


def show_values(axes: Axes, values: "pd.Series[float]") -> None:
    """Limits that hold every value; intervals of few seeds may run out of the picture."""
    if values.notna().any():
        margin = 0.05 * (values.max() - values.min()) + 0.1
        axes.set_xlim(values.min() - margin, min(values.max() + margin, 100.5))
