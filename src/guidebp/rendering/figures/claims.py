"""Forest plot of the claims: every comparison on each dataset and architecture.

Of several outputs, the one with the lowest interval is shown. Grey marks are context and do not affect the verdict.
"""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import blended_transform_factory

from guidebp.analysis.claims import CELL, CONTEXT, DECIDES
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
_COMPARED = ["role", *CELL, "candidate", "baseline"]


def prepare_figure_data(results: Results, dataset: str) -> pd.DataFrame:
    """One row per claim, cell, role and comparison, in the setting that decides, or the first with runs.

    Of several outputs that must all hold, the one with the lowest interval. `least`: the bound that the interval
    must lie above.
    """
    differences = results.claims
    assert differences is not None
    tables = []
    for claim in results.verdicts:
        setting = next(iter(claim["settings"]), "")
        verdict = claim["settings"][setting]["verdict"] if setting else ""
        rows = differences[
            (differences["claim"] == claim["name"])
            & (differences["setting"] == setting)
            & differences["role"].isin([DECIDES, CONTEXT])
            & differences["difference"].notna()
        ]
        lowest = rows.loc[rows.fillna({"low": -np.inf}).groupby(_COMPARED, sort=False)["low"].idxmin()]
        lowest = lowest.sort_values("role", ascending=False, kind="stable")
        tables.append(
            lowest[["claim", "setting", *_COMPARED, "output", "n", "difference", "low", "high"]].assign(
                verdict=claim["verdict"] if claim["decided"] else f"{setting}, {verdict}",
                margin=claim["margin"],
                least=0.0 if claim["rule"] == "superiority" else -claim["margin"],
                unit=claim["unit"],
            )
        )
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=["claim"])
    if "dataset" in table:  # titles of architectures are long
        table["dataset"] = table["dataset"].map(results.titles("datasets"))
    return table.round(6)  # which a CSV file keeps


@apply_figure_style()
def draw_figure(data: pd.DataFrame) -> Figure:
    """A panel per claim with a scale of its own, a row per dataset and architecture; grey: too low for the rule."""
    if data.empty:
        return draw_message("No claim has runs in this study.")
    claims = list(data.groupby("claim", sort=False))
    heights = [ROW * len(_list_rows(cell)) + 0.05 for _, cell in claims]
    figure = create_figure(
        sum(heights) + 0.72 * len(claims) + LINE * sum(_needs_two_lines(cell) for _, cell in claims)
    )
    axes = figure.subplots(len(claims), 1, squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
    for axis, (_, cell) in zip(axes, claims, strict=True):
        _draw_claim(axis, cell)
    return figure


def _draw_claim(axis: Axes, cell: pd.DataFrame) -> None:
    """The differences of one claim: those that decide with intervals, the lowest of a row in numbers."""
    first = cell.iloc[0]
    span = np.array([0.0, first["least"], first["least"] + first["margin"], *cell["difference"]])
    room = 0.35 * (span.max() - span.min()) + first["margin"]  # intervals of few seeds may run out
    rows = _list_rows(cell)
    axis.set(xlim=(span.min() - room, span.max() + room), ylim=(len(rows) - 0.4, -0.6))
    axis.axvspan(span.min() - room, first["least"], color="#f0f0f0", zorder=0)
    axis.axvline(0, color=INK, lw=0.7)
    if first["least"] == 0:
        axis.axvline(first["margin"], color=INK, lw=0.7, ls=":")
    _write_heading(axis, cell, _draw_differences(axis, cell))
    decide = cell[cell["role"] == DECIDES]
    for (dataset, architecture), own in decide.groupby(["dataset", "architecture"], sort=False):
        lowest = own.iloc[int(own["low"].fillna(-np.inf).argmin())]
        where = 1.01, rows.index((str(dataset), str(architecture)))
        words = _format_numbers(lowest, own["baseline"].nunique() > 1)
        axis.annotate(words, where, xycoords=axis.get_yaxis_transform(), va="center", fontsize=6.5)
    several = [k for k in range(2) if len({place[k] for place in rows}) > 1] or [0]
    axis.set_yticks(range(len(rows)), [", ".join(place[k] for k in several) for place in rows], fontsize=6.5)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="y", visible=False)
    whose = f"{first['candidate']} minus others, " if _have_one_candidate(cell) else ""
    unit = "percent saved" if first["unit"] == "percent" else f"{whose}points of test accuracy"
    axis.set_xlabel(unit, fontsize=6.5)


def _draw_differences(axis: Axes, cell: pd.DataFrame) -> list[Line2D]:
    """Draw them, and what a legend shows of each comparison."""
    rows, shown = _list_rows(cell), []
    for role in (DECIDES, CONTEXT):
        kinds = list(cell[cell["role"] == role].groupby(["candidate", "baseline"], sort=False))
        for number, (_, drawn) in enumerate(kinds):
            y = np.array(
                [rows.index(place) for place in zip(drawn["dataset"], drawn["architecture"], strict=True)]
            )
            colour, marker, aside = FAINT, MARKERS[-1 - number % 5], 0.0
            if role == DECIDES:
                colour, marker = COLOURS[number], MARKERS[number]
                aside = 0.3 * (number - (len(kinds) - 1) / 2)
                axis.hlines(y + aside, drawn["low"], drawn["high"], color=colour, lw=1.1, zorder=3)
            edge: Any = {"ms": 4, "mec": "white", "mew": 0.4} if role == DECIDES else {"ms": 4.5, "mew": 0}
            axis.plot(drawn["difference"], y + aside, marker, color=colour, zorder=3, **edge)
            shown.append(
                create_legend_mark(colour, marker, _format_sides(drawn.iloc[0], _have_one_candidate(cell)))
            )
    return shown


def _write_heading(axis: Axes, cell: pd.DataFrame, shown: list[Line2D]) -> None:
    """The verdict from the page's left edge, the legend up to its right one; below it where both are long."""
    lines = 2 if _needs_two_lines(cell) else 1
    axis.set_title("\n".join([" "] * lines), fontsize=8)  # its room
    assert axis.figure is not None
    across = blended_transform_factory(axis.figure.transFigure, axis.transAxes)
    words = _format_verdict(cell) + "\n" * (lines - 1)
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


def _format_verdict(cell: pd.DataFrame) -> str:
    """A claim's name and verdict."""
    first = cell.iloc[0]
    return f"{first['claim']}: {first['verdict']}"


def _have_one_candidate(cell: pd.DataFrame) -> bool:
    """Return True if all comparisons are of one method with others. Then a legend need not name it."""
    return cell["candidate"].nunique() == 1 and bool((cell["candidate"] != cell["baseline"]).all())


def _needs_two_lines(cell: pd.DataFrame) -> bool:
    """Return True if verdict and legend are too long for one line."""
    kinds = cell.drop_duplicates(["role", "candidate", "baseline"])
    named = sum(
        len(_format_sides(row, _have_one_candidate(cell))) + 4 for _, row in kinds.iterrows()
    )  # and a create_legend_mark
    return 1.25 * len(_format_verdict(cell)) + named > WIDE  # which is larger and bold


def _list_rows(cell: pd.DataFrame) -> list[tuple[str, str]]:
    """(dataset, architecture) of the rows, in their order."""
    return list(dict.fromkeys(zip(cell["dataset"], cell["architecture"], strict=True)))


def _format_numbers(row: "pd.Series[Any]", named: bool) -> str:
    """A difference, its interval, n and output; if `named`, the baseline as well."""
    ends = (
        f"{format_signed(row['low'])} to {format_signed(row['high'])}"
        if pd.notna(row["low"])
        else "no interval"
    )
    names = ", ".join([row["baseline"]] * named + [row["output"]])
    return f"{format_signed(row['difference'])}  ({ends}), n = {row['n']}: {names}"


def _format_sides(row: "pd.Series[Any]", one_candidate: bool) -> str:
    """Both sides of a comparison; the baseline alone where `one_candidate` is compared everywhere."""
    if one_candidate or row["candidate"] == row["baseline"]:
        return str(row["baseline"])
    return f"{row['candidate']} - {row['baseline']}"
