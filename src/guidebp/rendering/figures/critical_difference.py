"""Nemenyi's diagram: methods on an axis of mean ranks, bars joining those that do not differ (Demsar 2006).

It does not use the diagram of scikit_posthocs, whose scale overlaps the axis and whose names exceed the edge.
"""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from guidebp.analysis.results import Results
from guidebp.rendering.figures import list_method_groups
from guidebp.rendering.style import INK, apply_figure_style, choose_group_colour, create_figure, draw_message

NAMES = ["method", "method_title", "group"]
COLUMNS = ["rank", "datasets", "p", "critical_difference"]


def prepare_figure_data(results: Results, dataset: str) -> pd.DataFrame:
    """Return ranks, best first, and their test; without ranks, the number of datasets that all methods share."""
    methods = results.about["methods"]
    table = results.ranks
    assert table is not None
    if table.empty:
        has = results.metrics.groupby("dataset")["method"].nunique()
        table = pd.DataFrame({"method": list(methods), "datasets": int((has == len(methods)).sum())})
    table = table.assign(
        method_title=table["method"].map(results.titles("methods")),
        group=table["method"].map({name: entry["group"] for name, entry in methods.items()}),
    )
    return table.reindex(columns=[*NAMES, *COLUMNS]).round(6).reset_index(drop=True)


@apply_figure_style()
def draw_figure(data: pd.DataFrame) -> Figure:
    """Draw the names of the better half on the left and the others on the right."""
    if data["rank"].isna().all():
        shared = data["datasets"].max()
        return draw_message(
            f"Ranks need at least five datasets that all methods of this section share. Shared: {shared:.0f}."
        )
    count, critical = len(data), float(data["critical_difference"].iloc[0])
    half = (count + 1) // 2
    joined = find_cliques(list(data["rank"]), critical)
    first = 0.5 + 0.28 * len(joined)  # depth of the first name, below the bars
    depth = first + half - 0.5
    figure = create_figure(0.19 * depth + 0.95, side=0.2)
    panel = figure.subplots()
    panel.set(xlim=(1, count), ylim=(depth, -2.6))
    _draw_rank_axis(panel, count)
    panel.plot([1, 1 + critical], [-1.9, -1.9], "|-", color=INK, lw=1.2, ms=6)
    panel.text(1 + critical / 2, -2.05, f"CD = {critical:.2f}", ha="center", va="bottom")
    p = float(data["p"].iloc[0])
    shown = f"p {'< 0.001' if p < 0.001 else f'= {p:.3f}'}, {data['datasets'].iloc[0]:.0f} datasets"
    panel.set_title(f"Friedman test: {shown}", loc="center", fontweight="normal", fontsize=7.5)
    groups = list_method_groups(data)
    for k, (rank, title, group) in enumerate(
        zip(data["rank"], data["method_title"], data["group"], strict=True)
    ):
        left = k < half
        y = first + (k if left else count - 1 - k)
        end = 1 if left else count
        panel.plot(
            [rank, rank, end], [0, y, y], color=choose_group_colour(group, groups), lw=0.8, clip_on=False
        )
        panel.text(
            end,
            y,
            f"{title} ({rank:.2f}) " if left else f" ({rank:.2f}) {title}",
            ha="right" if left else "left",
            va="center",
            color=choose_group_colour(group, groups),
        )
    for k, (best, worst) in enumerate(joined):
        y = 0.35 + 0.28 * k
        panel.plot([best - 0.04, worst + 0.04], [y, y], color=INK, lw=2.5, solid_capstyle="butt")
    return figure


def _draw_rank_axis(panel: Axes, count: int) -> None:
    """Draw the scale of mean ranks on top and hide the other edges of the frame."""
    panel.xaxis.tick_top()
    panel.spines["top"].set(visible=True, position=("data", 0))
    for side in ("left", "bottom"):
        panel.spines[side].set_visible(False)
    panel.set_xticks(range(1, count + 1))
    panel.set_yticks([])
    panel.grid(False)


def find_cliques(ranks: list[float], critical: float) -> list[tuple[float, float]]:
    """Return best and worst rank of each largest series of methods within the critical difference; ranks ascend."""
    cliques: list[tuple[float, float]] = []
    for best in ranks:
        worst = max(rank for rank in ranks if rank - best < critical)
        if worst > best and (not cliques or worst > cliques[-1][1]):
            cliques.append((best, worst))
    return cliques
