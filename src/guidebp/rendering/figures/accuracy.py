"""Accuracy per pathway and merged, by method. The baseline is drawn through every panel."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from guidebp.analysis.comparisons import find_split_overlap
from guidebp.analysis.results import MERGED, Results
from guidebp.analysis.statistics import compute_interval
from guidebp.rendering.figures import add_titles, list_method_groups, list_methods, split_by_architecture
from guidebp.rendering.style import (
    COLOURS,
    FAINT,
    INK,
    MARKERS,
    apply_figure_style,
    choose_baseline,
    create_legend_mark,
    create_method_panels,
    label_method_axis,
)


def prepare_figure_data(results: Results, dataset: str) -> pd.DataFrame:
    """Return one row per run and output, with mean and 95 % t interval over the seeds.

    Failed runs and untrained pathways have no accuracy.
    """
    rows = results.metrics[results.metrics["dataset"] == dataset]
    rows = rows[rows["pathway"].notna() | ~rows["output"].notna() | (rows["output"] == MERGED)]
    # a column of objects when some run crashed
    rows = rows.assign(accuracy=rows["accuracy"].where(rows["trained"] == True).astype(float))  # noqa: E712
    names = ["architecture", "method", "output"]
    intervals = []
    for architecture, subset in rows.groupby("architecture", sort=False):
        overlap, step = find_split_overlap(results, dataset, subset)
        for key, runs in subset.groupby(names[1:], sort=False):
            mean = compute_interval(runs["accuracy"].dropna().to_numpy(float), overlap, step)
            ends = {"mean": mean.difference, "low": mean.low, "high": mean.high, "n": mean.n}
            intervals.append(dict(zip(names, (architecture, *key), strict=True)) | ends)
    table = rows[[*names, "pathway", "seed", "status", "accuracy"]]
    return add_titles(results, table.merge(pd.DataFrame(intervals), how="left", on=names))


@apply_figure_style()
def draw_figure(data: pd.DataFrame) -> Figure:
    """Draw one row of panels per architecture: pathways alone on the left, merged on the right."""
    architectures = split_by_architecture(data)
    figure, axes = create_method_panels(architectures, 2, width_ratios=[1.25, 1])
    for row, (heading, subset) in zip(axes, architectures, strict=True):
        methods = list_methods(subset)
        alone, merged = subset[subset["pathway"].notna()], subset[subset["output"] == MERGED]
        names = list(alone.groupby("output")["pathway"].max().sort_values(kind="stable").index)
        for k, name in enumerate(names):
            offset = (k - (len(names) - 1) / 2) * min(0.2, 0.75 / len(names))
            _draw_points(row[0], alone[alone["output"] == name], list(methods["method"]), offset, k)
        _draw_points(row[1], merged, list(methods["method"]), 0.0, None)
        row[0].set_title(heading, pad=16 if len(names) > 4 else None)
        row[0].set_xlabel("test accuracy of each pathway alone (%)")
        row[1].set_xlabel("test accuracy merged (%)")
        legend = row[1].legend(
            handles=[
                create_legend_mark(COLOURS[k % len(COLOURS)], MARKERS[k % len(MARKERS)], name)
                for k, name in enumerate(names)
            ],
            loc="lower right",
            bbox_to_anchor=(1, 0.99),
            ncols=max(len(names), 1),
            columnspacing=1,
            handletextpad=0.1,
        )
        legend.set_in_layout(False)  # many pathways need both panels' width
        _limit_axis(row[0], alone["accuracy"])
        _limit_axis(row[1], merged["accuracy"])
        label_method_axis(row[0], methods, list_method_groups(data))
    return figure


def _draw_points(
    axes: Axes, rows: pd.DataFrame, methods: list[str], offset: float, pathway: int | None
) -> None:
    """Draw seeds, mean and t interval of one output, a line per method."""
    colour, marker = (
        (INK, "D") if pathway is None else (COLOURS[pathway % len(COLOURS)], MARKERS[pathway % len(MARKERS)])
    )
    rows = rows.dropna(subset="accuracy")
    rows = rows.assign(y=[methods.index(method) + offset for method in rows["method"]])
    means = rows.drop_duplicates("method")
    axes.hlines(means["y"], means["low"], means["high"], color=colour, lw=0.9)
    axes.plot(rows["accuracy"], rows["y"], marker, color=colour, ms=2.5, alpha=0.45, mew=0)
    axes.plot(means["mean"], means["y"], marker, color=colour, ms=4, mec="white", mew=0.4)
    for mean in means.loc[means["method"] == choose_baseline(methods), "mean"]:
        axes.axvline(mean, color=FAINT if pathway is None else colour, lw=0.8, ls=":", zorder=1)


def _limit_axis(axes: Axes, values: "pd.Series[float]") -> None:
    """Set limits that include every value. Intervals of few seeds may exceed them."""
    if values.notna().any():
        margin = 0.05 * (values.max() - values.min()) + 0.1
        axes.set_xlim(values.min() - margin, min(values.max() + margin, 100.5))
