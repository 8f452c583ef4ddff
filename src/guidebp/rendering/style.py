"""One look for all figures, and files that are the same bytes whenever they are rendered from the same data."""

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl

mpl.use("agg")

import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

WIDTH = 7.2  # inches: a page of two columns
INK, FAINT = "#222222", "#8a8a8a"
# Okabe and Ito's palette as seaborn carries it: told apart with any colour vision and in grey print
COLOURS = sns.color_palette("colorblind")
GROUP_COLOURS = {
    "usual merges": COLOURS[0],
    "no merge": INK,
    "guided merges": COLOURS[3],
}
YARDSTICKS = ("independent", "deep-supervision", "backprop")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")

STYLE: Any = {
    "font.family": "DejaVu Sans",
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
    "svg.hashsalt": "guidebp",
    "pdf.fonttype": 42,
}


@contextmanager
def look() -> Iterator[None]:
    """The project's style within the block."""
    with mpl.rc_context(STYLE):
        yield


def group_colour(group: str, groups: list[str]) -> object:
    """The colour of a group of methods; groups without one of their own take the palette in turn."""
    return GROUP_COLOURS.get(group, COLOURS[(groups.index(group) + 4) % len(COLOURS)])


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


def nothing(why: str) -> Figure:
    """A line of text in place of a figure."""
    with look():
        figure = plt.figure(figsize=(WIDTH, 0.4))
        figure.text(0.01, 0.5, why, va="center", color=FAINT)
    return figure


def panels(count: int) -> tuple[int, int]:
    """Rows and columns for so many panels, two abreast."""
    columns = min(count, 2)
    return -(-count // max(columns, 1)), columns


def share_legend(figure: Figure, titles: dict[str, str], lines: dict[str, dict[str, Any]]) -> None:
    """One legend of all methods below the panels."""
    handles = [Line2D([], [], **line_of(lines, name, marked=True), label=titles[name]) for name in lines]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(4, len(handles)), columnspacing=1.2)


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


def settle(figure: Figure) -> None:
    """Lay the figure out once, not again for each format: that costs more than drawing it."""
    with look():
        figure.draw_without_rendering()
    figure.set_layout_engine("none")


def close(figure: Figure) -> None:
    """Forget a figure."""
    plt.close(figure)
