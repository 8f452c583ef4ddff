"""Forest plot of the claims: on each dataset and network the weakest difference of every comparison.

Grey marks stand beside a claim and decide nothing.
"""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import blended_transform_factory

from guidebp.analysis.claims import BESIDE, DECIDES
from guidebp.analysis.results import Results
from guidebp.rendering.style import (
    COLOURS,
    FAINT,
    INK,
    MARKERS,
    apply_figure_style,
    create_figure,
    create_legend_mark,
    draw_message,
)
from guidebp.rendering.tables.text import format_signed

ROW = 0.2  # inches
LINE = 0.15
WIDE = 120  # characters of a verdict and its legend that find room on one line
SHOWN = ["dataset", "network", "network_than", "method", "than", "output", "n", "difference", "low", "high"]


def prepare_figure_data(results: Results, dataset: str) -> pd.DataFrame:
    """One row per claim, dataset, networks, role and comparison, at the scale that decides, or the first with runs.

    Of several outputs that must all hold, the one with the lowest interval. `least`: what the interval must lie
    above.
    """
    parts = results.claims
    assert parts is not None
    found = []
    for claim in results.verdicts:
        scale = next(iter(claim["scales"]), None)
        rows = parts[
            (parts["claim"] == claim["name"])
            & (parts["scale"] == scale)
            & parts["role"].isin([DECIDES, BESIDE])
            & parts["difference"].notna()
        ]
        places = ["role", "dataset", "network", "network_than", "method", "than"]
        weakest = rows.loc[rows.fillna({"low": -np.inf}).groupby(places, sort=False)["low"].idxmin()]
        weakest = weakest.sort_values("role", ascending=False, kind="stable")
        found.append(
            weakest[["claim", "scale", "role", *SHOWN]].assign(
                verdict=claim["verdict"],
                word=claim["scales"][scale]["word"] if scale else "",
                margin=claim["margin"],
                least=0.0 if claim["rule"] == "superiority" else -claim["margin"],
                unit=claim["unit"],
            )
        )
    table = pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=["claim"])
    if "dataset" in table:  # titles of networks are long
        table["dataset"] = table["dataset"].map(results.titles("datasets"))
    return table.round(6)  # which a CSV file keeps


@apply_figure_style()
def draw_figure(data: pd.DataFrame) -> Figure:
    """A panel per claim with a scale of its own, a row per dataset and network; grey ground: short of the rule."""
    if data.empty:
        return draw_message("No claim has runs in this study.")
    claims = list(data.groupby("claim", sort=False))
    heights = [ROW * len(places(cell)) + 0.05 for _, cell in claims]
    figure = create_figure(
        sum(heights) + 0.72 * len(claims) + LINE * sum(crowded(cell) for _, cell in claims)
    )
    axes = figure.subplots(len(claims), 1, squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
    for axis, (_, cell) in zip(axes, claims, strict=True):
        forest(axis, cell)
    return figure


def forest(axis: Axes, cell: pd.DataFrame) -> None:
    """The differences of one claim: those that decide with their intervals, the weakest of a row in numbers."""
    first = cell.iloc[0]
    span = np.array([0.0, first["least"], first["least"] + first["margin"], *cell["difference"]])
    room = 0.35 * (span.max() - span.min()) + first["margin"]  # intervals of few seeds may run out
    rows = places(cell)
    axis.set(xlim=(span.min() - room, span.max() + room), ylim=(len(rows) - 0.4, -0.6))
    axis.axvspan(span.min() - room, first["least"], color="#f0f0f0", zorder=0)
    axis.axvline(0, color=INK, lw=0.7)
    if first["least"] == 0:
        axis.axvline(first["margin"], color=INK, lw=0.7, ls=":")
    heading(axis, cell, differences(axis, cell))
    decide = cell[cell["role"] == DECIDES]
    for (dataset, network), own in decide.groupby(["dataset", "network"], sort=False):
        weakest = own.iloc[int(own["low"].fillna(-np.inf).argmin())]
        where = 1.01, rows.index((str(dataset), str(network)))
        words = in_numbers(weakest, own["than"].nunique() > 1)
        axis.annotate(words, where, xycoords=axis.get_yaxis_transform(), va="center", fontsize=6.5)
    several = [k for k in range(2) if len({place[k] for place in rows}) > 1] or [0]
    axis.set_yticks(range(len(rows)), [", ".join(place[k] for k in several) for place in rows], fontsize=6.5)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="y", visible=False)
    whose = f"{first['method']} minus others, " if alone(cell) else ""
    unit = "percent saved" if first["unit"] == "percent" else f"{whose}points of test accuracy"
    axis.set_xlabel(unit, fontsize=6.5)


def differences(axis: Axes, cell: pd.DataFrame) -> list[Line2D]:
    """Draw them, and what a legend shows of each comparison."""
    rows, shown = places(cell), []
    for role in (DECIDES, BESIDE):
        kinds = list(cell[cell["role"] == role].groupby(["method", "than"], sort=False))
        for number, (_, drawn) in enumerate(kinds):
            y = np.array(
                [rows.index(place) for place in zip(drawn["dataset"], drawn["network"], strict=True)]
            )
            colour, marker, aside = FAINT, MARKERS[-1 - number % 5], 0.0
            if role == DECIDES:
                colour, marker = COLOURS[number], MARKERS[number]
                aside = 0.3 * (number - (len(kinds) - 1) / 2)
                axis.hlines(y + aside, drawn["low"], drawn["high"], color=colour, lw=1.1, zorder=3)
            edge: Any = {"ms": 4, "mec": "white", "mew": 0.4} if role == DECIDES else {"ms": 4.5, "mew": 0}
            axis.plot(drawn["difference"], y + aside, marker, color=colour, zorder=3, **edge)
            shown.append(create_legend_mark(colour, marker, sides(drawn.iloc[0], alone(cell))))
    return shown


def heading(axis: Axes, cell: pd.DataFrame, shown: list[Line2D]) -> None:
    """The verdict from the page's left edge, the legend up to its right one; below it where both are long."""
    lines = 2 if crowded(cell) else 1
    axis.set_title("\n".join([" "] * lines), fontsize=8)  # its room
    assert axis.figure is not None
    across = blended_transform_factory(axis.figure.transFigure, axis.transAxes)
    words = verdict(cell) + "\n" * (lines - 1)
    line = axis.text(0.01, 1.02, words, transform=across, va="bottom", fontsize=8, fontweight="bold")
    line.set_in_layout(False)
    legend = axis.legend(
        handles=shown,
        loc="lower right",
        bbox_to_anchor=(0.995, 1.0),
        bbox_transform=across,
        ncols=len(shown),
        fontsize=6.5,
        handletextpad=0.1,
        columnspacing=0.8,
        borderpad=0,
        borderaxespad=0.2,
    )
    legend.set_in_layout(False)


def verdict(cell: pd.DataFrame) -> str:
    """A claim's name and word."""
    first = cell.iloc[0]
    tested = "" if first["verdict"] != "not tested" else "exploratory, "
    return f"{first['claim']}: {tested}{first['word']}"


def alone(cell: pd.DataFrame) -> bool:
    """Are all comparisons of one method with others? Then a legend need not name it."""
    return cell["method"].nunique() == 1 and bool((cell["method"] != cell["than"]).all())


def crowded(cell: pd.DataFrame) -> bool:
    """Are verdict and legend too long for one line?"""
    kinds = cell.drop_duplicates(["role", "method", "than"])
    named = sum(len(sides(row, alone(cell))) + 4 for _, row in kinds.iterrows())  # and a mark
    return 1.25 * len(verdict(cell)) + named > WIDE  # which is larger and bold


def places(cell: pd.DataFrame) -> list[tuple[str, str]]:
    """Datasets and networks, in their order."""
    return list(dict.fromkeys(zip(cell["dataset"], cell["network"], strict=True)))


def in_numbers(row: "pd.Series[Any]", named: bool) -> str:
    """A difference, its interval, the pairs behind it; what it is to, where there are several; the output."""
    ends = (
        f"{format_signed(row['low'])} to {format_signed(row['high'])}"
        if pd.notna(row["low"])
        else "no interval"
    )
    what = ", ".join([row["than"]] * named + [row["output"]])
    return f"{format_signed(row['difference'])}  ({ends}), n = {row['n']}: {what}"


def sides(row: "pd.Series[Any]", alone: bool) -> str:
    """What is compared; `alone`: of one method, which need not be named."""
    one = alone or row["method"] == row["than"]
    return str(row["than"]) if one else f"{row['method']} - {row['than']}"
