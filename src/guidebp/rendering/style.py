"""One look for all figures, and files that are the same bytes whenever they are rendered from the same data."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl

mpl.use("agg")

import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.figure import Figure

WIDTH = 7.2  # inches: a page of two columns
INK, FAINT = "#222222", "#8a8a8a"
# Okabe and Ito's palette as seaborn carries it: told apart with any colour vision and in grey print
COLOURS = sns.color_palette("colorblind")
GROUP_COLOURS = {
    "usual merges": COLOURS[0],
    "no merge": INK,
    "guided merges": COLOURS[3],
}
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
