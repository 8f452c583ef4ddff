"""Forest plot of the claims: on each dataset and network the weakest difference of every comparison."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import blended_transform_factory

from guidebp.analysis.claims import BESIDE, DECIDES
from guidebp.analysis.tables import Results
from guidebp.rendering.style import COLOURS, FAINT, INK, look, mark, nothing, page
from guidebp.rendering.table_text import signed

SHOWN = ["dataset", "network", "network_than", "method", "than", "output", "n", "difference", "low", "high"]


def data(results: Results, dataset: str) -> pd.DataFrame:
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


@look()
def draw(data: pd.DataFrame) -> Figure:
    """A panel per claim with a scale of its own; grey marks: beside it; grey ground: short of the rule."""
    if data.empty:
        return nothing("No claim has runs in this study.")
    claims = list(data.groupby("claim", sort=False))
    heights = [0.17 * len(cell) + 0.12 for _, cell in claims]
    figure = page(sum(heights) + 0.42 * len(claims) + 0.4, side=0.1)
    axes = figure.subplots(len(claims), 1, squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
    for axis, (claim, cell) in zip(axes, claims, strict=True):
        forest(axis, str(claim), cell)
    handles = [mark(COLOURS[0], "o", "the claim's comparisons"), mark(FAINT, "D", "beside, deciding nothing")]
    figure.legend(handles=handles, loc="outside upper right", ncols=2)
    return figure


def forest(axis: Axes, claim: str, cell: pd.DataFrame) -> None:
    """The differences of one claim, in words on the left, as intervals, in numbers on the right."""
    first = cell.iloc[0]
    span = np.array([0.0, first["least"], first["least"] + first["margin"], *cell["difference"]])
    room = 0.35 * (span.max() - span.min()) + first["margin"]  # intervals of few repetitions may run out
    axis.set(xlim=(span.min() - room, span.max() + room), ylim=(len(cell) - 0.4, -0.6))
    axis.axvspan(span.min() - room, first["least"], color="#f0f0f0", zorder=0)
    axis.axvline(0, color=INK, lw=0.7)
    if first["least"] == 0:
        axis.axvline(first["margin"], color=INK, lw=0.7, ls=":")
    several = [column for column in ("dataset", "network") if cell[column].nunique() > 1]
    for y, (_, row) in enumerate(cell.iterrows()):
        colour, marker = (COLOURS[0], "o") if row["role"] == DECIDES else (FAINT, "D")
        axis.plot([row["low"], row["high"]], [y, y], color=colour, lw=1.1)
        axis.plot(row["difference"], y, marker, color=colour, ms=4, mec="white", mew=0.4)
        ends = f"{signed(row['low'])} to {signed(row['high'])}" if pd.notna(row["low"]) else "no interval"
        numbers = f"{signed(row['difference'])}  ({ends}), n = {row['n']}"
        axis.annotate(numbers, (1.01, y), xycoords=axis.get_yaxis_transform(), va="center", fontsize=6.5)
    names = [", ".join([sides(row), *row[several]]) for _, row in cell.iterrows()]
    axis.set_yticks(range(len(cell)), names, fontsize=6.5)  # a claim on several networks has long ones
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="y", visible=False)
    unit = "percent saved" if first["unit"] == "percent" else "points of test accuracy"
    tested = "" if first["verdict"] != "not tested" else "exploratory, "
    axis.set_title(" ", fontsize=8)  # its room; the words begin at the page's edge
    across = blended_transform_factory(axis.figure.transFigure, axis.transAxes)
    for words, x, side, weight in (
        (f"{claim}: {tested}{first['word']}", 0.01, "left", "bold"),
        (unit, 0.99, "right", "normal"),
    ):
        line = axis.text(
            x, 1.02, words, transform=across, va="bottom", ha=side, fontsize=8, fontweight=weight
        )
        line.set_in_layout(False)


def sides(row: "pd.Series[Any]") -> str:
    """What is compared."""
    minus = f" - {row['than']}" if row["method"] != row["than"] else ""
    return f"{row['method']}{minus} ({row['output']})"
