"""One look for all figures, and files that are the same bytes whenever they are rendered from the same data."""

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import ScaledTranslation
from numpy.typing import NDArray

from guidebp.rendering.fonts import register

WIDTH = 7.2  # inches: a page of two columns
INK, FAINT = "#222222", "#8a8a8a"
# seaborn's "colorblind", after Okabe and Ito: told apart with any colour vision and in grey print. Written out, as
# seaborn takes seconds to import
COLOURS = [
    *("#0173b2", "#de8f05", "#029e73", "#d55e00", "#cc78bc"),
    *("#ca9161", "#fbafe4", "#949494", "#ece133", "#56b4e9"),
]
GROUP_COLOURS = {
    "usual merges": COLOURS[0],
    "no merge": INK,
    "guided merges": COLOURS[3],
}
OTHER_GROUPS = [COLOURS[k] for k in (2, 4, 0, 3, 5)]  # dark enough for text
YARDSTICKS = ("independent", "deep-supervision", "backprop")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASH = (0, (3, 1.5))

STYLE: Any = {
    "font.size": 7.5,
    "axes.titlesize": 8.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 7.5,
    "axes.edgecolor": "#444444",
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
    "figure.dpi": 100,
    "svg.fonttype": "path",
    "text.parse_math": False,  # a title is no formula
    "svg.hashsalt": "guidebp",
    "pdf.fonttype": 42,
}


@contextmanager
def look() -> Iterator[None]:
    """The project's style within the block or, as a decorator, within the function."""
    with mpl.rc_context(STYLE | {"font.family": register()}):
        yield


def page(height: float, side: float = 0.1) -> Figure:
    """An empty figure as wide as a page. Not pyplot's: those are kept until closed, and want a display.

    `side` inches stay free beside the panels: long texts are a little wider in print than on the screen.
    """
    return Figure(figsize=(WIDTH, height), layout=ConstrainedLayoutEngine(w_pad=side))


def method_rows(
    cells: list[tuple[str, pd.DataFrame]], columns: int, above: float = 0.0, **grid: Any
) -> tuple[Figure, NDArray[np.object_]]:
    """A figure with a row of panels per network, as tall as its methods; `above`: inches for a legend."""
    heights = [0.155 * cell["method"].nunique() + 0.3 for _, cell in cells]
    figure = page(sum(heights) + 0.55 * len(cells) + above)
    spec = {"height_ratios": heights, **grid}
    return figure, figure.subplots(len(cells), columns, squeeze=False, sharey="row", gridspec_kw=spec)


def group_colour(group: str, groups: list[str]) -> object:
    """The colour of a group of methods; groups without one of their own take the palette in turn."""
    return GROUP_COLOURS.get(group, OTHER_GROUPS[groups.index(group) % len(OTHER_GROUPS)])


def yardstick(methods: Iterable[str]) -> str | None:
    """The method that the others of a part are read against, carried through their panels."""
    return next((name for name in YARDSTICKS if name in methods), None)


def method_lines(methods: list[str]) -> dict[str, dict[str, Any]]:
    """A colour, a dash and a marker for each method, told apart beyond the palette's length."""
    dashes: list[Any] = ["-", (0, (4, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1))]
    return {
        name: {
            "color": COLOURS[k % len(COLOURS)],
            "ls": dashes[k // len(COLOURS) % len(dashes)],
            "marker": MARKERS[k % len(MARKERS)],
        }
        for k, name in enumerate(methods)
    }


def line_of(lines: dict[str, dict[str, Any]], method: str, marked: bool = False) -> dict[str, Any]:
    """Arguments of `plot` for a method's line."""
    style = lines[method] | {"ms": 3.5, "mec": "white", "mew": 0.4}
    return style if marked else style | {"marker": ""}


def group_lines(methods: pd.DataFrame) -> dict[str, dict[str, dict[str, Any]]]:
    """The lines of each group of methods, led by the yardstick: for figures with a column of panels per group."""
    standard = yardstick(list(methods["method"]))
    first = {standard: {"color": INK, "ls": DASH, "marker": ""}} if standard else {}
    return {
        str(group): first | method_lines([name for name in own["method"] if name != standard])
        for group, own in methods.groupby("group", sort=False)
    }


def group_legends(bottom: Iterable[Axes], methods: pd.DataFrame) -> None:
    """Below the lowest panel of each column: the group's name and its lines."""
    titles = dict(zip(methods["method"], methods["title"], strict=True))
    for panel, (group, lines) in zip(bottom, group_lines(methods).items(), strict=True):
        panel.legend(
            handles=[Line2D([], [], **line_of(lines, m, marked=True), label=titles[m]) for m in lines],
            title=group,
            loc="upper center",
            bbox_to_anchor=(0.5, 0),
            # below ticks and label; in inches, as a share of the panel's height would move while it is laid out
            bbox_transform=panel.transAxes + ScaledTranslation(0, -0.4, panel.figure.dpi_scale_trans),
            borderaxespad=0,
            title_fontsize=7,
        )


@look()
def nothing(why: str) -> Figure:
    """A line of text in place of a figure."""
    figure = Figure(figsize=(WIDTH, 0.4))
    figure.text(0.01, 0.5, why, va="center", color=FAINT)
    return figure


def panels(count: int) -> tuple[int, int]:
    """Rows and columns for so many panels, two abreast."""
    columns = min(count, 2)
    return -(-count // max(columns, 1)), columns


def share_legend(figure: Figure, methods: pd.DataFrame) -> None:
    """One legend of all methods below the panels."""
    lines = method_lines(list(methods["method"]))
    handles = [
        Line2D([], [], **line_of(lines, name, marked=True), label=title)
        for name, title in zip(methods["method"], methods["title"], strict=True)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(4, len(handles)), columnspacing=1.2)


def label_methods(axes: Axes, methods: pd.DataFrame, groups: list[str]) -> None:
    """Method titles on the y axis, coloured by group, a rule between groups, first method on top."""
    axes.set_yticks(range(len(methods)), methods["title"])
    for label, group in zip(axes.get_yticklabels(), methods["group"], strict=True):
        label.set_color(group_colour(group, groups))  # type: ignore[arg-type]
    axes.set_ylim(len(methods) - 0.4, -0.6)
    own = list(methods["group"])
    for y in range(1, len(own)):
        if own[y] != own[y - 1]:
            for panel in axes.get_shared_y_axes().get_siblings(axes):
                panel.axhline(y - 0.5, color="#bbbbbb", lw=0.6)


def epochs(axes: Axes) -> None:
    """The x axis in whole epochs."""
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def mark(colour: object, marker: str, name: str) -> Line2D:
    """A legend entry."""
    return Line2D([], [], color=colour, marker=marker, ls="", ms=4, label=name)  # type: ignore[arg-type]


def settle(figure: Figure) -> None:
    """Lay the figure out once, not again for each format: that costs more than drawing it."""
    engine = figure.get_layout_engine()
    if engine is not None:
        with look():
            engine.execute(figure)
        for part in figure.subfigs:  # their edges come out as 0 or as -7e-16, not the same each time
            part.bbox_relative.set_points(part.bbox_relative.get_points().round(9) + 0.0)
        figure.set_layout_engine(None)  # while there is one, even one that does nothing, saving draws twice


def file_bytes(figure: Figure, kind: str) -> bytes:
    """The figure as "pdf", "svg" or "png", without dates or versions."""
    metadata = {
        "pdf": {"CreationDate": None, "Producer": None, "Creator": None},
        "svg": {"Date": None, "Creator": None},
        "png": {"Software": None},
    }[kind]
    buffer = io.BytesIO()
    with look():
        figure.savefig(buffer, format=kind, dpi=200, metadata=metadata)
    return buffer.getvalue()
