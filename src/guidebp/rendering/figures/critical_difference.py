"""Nemenyi's diagram: methods on an axis of mean ranks, bars joining those that do not differ (Demsar 2006).

Drawn here: scikit_posthocs' own diagram writes its scale over the axis and its names over the edge.
"""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from guidebp.analysis.results import Results
from guidebp.rendering.figures import groups_in
from guidebp.rendering.style import INK, group_colour, look, nothing, page

NAMES = ["method", "title", "group"]
COLUMNS = ["rank", "datasets", "p", "critical_difference"]


def data(results: Results, dataset: str) -> pd.DataFrame:
    """Ranks, best first, and the test of them; without ranks, how many datasets all methods share."""
    methods = results.about["methods"]
    table = results.ranks
    assert table is not None
    if table.empty:
        has = results.metrics.groupby("dataset")["method"].nunique()
        table = pd.DataFrame({"method": list(methods), "datasets": int((has == len(methods)).sum())})
    table = table.assign(
        title=table["method"].map(results.titles("methods")),
        group=table["method"].map({name: entry["group"] for name, entry in methods.items()}),
    )
    return table.reindex(columns=[*NAMES, *COLUMNS]).round(6).reset_index(drop=True)


@look()
def draw(data: pd.DataFrame) -> Figure:
    """The better half has its names on the left, the other on the right."""
    if data["rank"].isna().all():
        shared = data["datasets"].max()
        return nothing(
            f"Ranks need at least five datasets that all methods of this part share. Shared: {shared:.0f}."
        )
    count, critical = len(data), float(data["critical_difference"].iloc[0])
    half = (count + 1) // 2
    joined = cliques(list(data["rank"]), critical)
    first = 0.5 + 0.28 * len(joined)  # depth of the first name, below the bars
    depth = first + half - 0.5
    figure = page(0.19 * depth + 0.95, side=0.2)
    panel = figure.subplots()
    panel.set(xlim=(1, count), ylim=(depth, -2.6))
    axis_of_ranks(panel, count)
    panel.plot([1, 1 + critical], [-1.9, -1.9], "|-", color=INK, lw=1.2, ms=6)
    panel.text(1 + critical / 2, -2.05, f"CD = {critical:.2f}", ha="center", va="bottom")
    p = float(data["p"].iloc[0])
    shown = f"p {'< 0.001' if p < 0.001 else f'= {p:.3f}'}, {data['datasets'].iloc[0]:.0f} datasets"
    panel.set_title(f"Friedman test: {shown}", loc="center", fontweight="normal", fontsize=7.5)
    groups = groups_in(data)
    for k, (rank, title, group) in enumerate(zip(data["rank"], data["title"], data["group"], strict=True)):
        left = k < half
        y = first + (k if left else count - 1 - k)
        end = 1 if left else count
        panel.plot([rank, rank, end], [0, y, y], color=group_colour(group, groups), lw=0.8, clip_on=False)
        panel.text(
            end,
            y,
            f"{title} ({rank:.2f}) " if left else f" ({rank:.2f}) {title}",
            ha="right" if left else "left",
            va="center",
            color=group_colour(group, groups),
        )
    for k, (best, worst) in enumerate(joined):
        y = 0.35 + 0.28 * k
        panel.plot([best - 0.04, worst + 0.04], [y, y], color=INK, lw=2.5, solid_capstyle="butt")
    return figure


def axis_of_ranks(panel: Axes, count: int) -> None:
    """The scale of mean ranks on top; nothing else of a plot's frame."""
    panel.xaxis.tick_top()
    panel.spines["top"].set(visible=True, position=("data", 0))
    for side in ("left", "bottom"):
        panel.spines[side].set_visible(False)
    panel.set_xticks(range(1, count + 1))
    panel.set_yticks([])
    panel.grid(False)


def cliques(ranks: list[float], critical: float) -> list[tuple[float, float]]:
    """Best and worst rank of each largest run of methods within the critical difference; ranks ascend."""
    found: list[tuple[float, float]] = []
    for best in ranks:
        worst = max(rank for rank in ranks if rank - best < critical)
        if worst > best and (not found or worst > found[-1][1]):
            found.append((best, worst))
    return found
