"""The style of all figures, and how they become files: the same data always gives the same bytes."""

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

from guidebp.rendering.fonts import register_figure_font

PAGE_WIDTH = 7.2  # inches, of a page with two columns
INK, FAINT = "#222222", "#8a8a8a"
# seaborn's "colorblind" palette, after Okabe and Ito: distinct with any colour vision and in grey print. A copy,
# because importing seaborn takes seconds
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
BASELINES = ("independent", "deep-supervision", "backprop")
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
def apply_figure_style() -> Iterator[None]:
    """Apply the project's style within a `with` block or, as a decorator, within a function."""
    with mpl.rc_context(STYLE | {"font.family": register_figure_font()}):
        yield


def create_figure(height: float, side: float = 0.1) -> Figure:
    """Create an empty figure as wide as a page, without pyplot, which keeps figures and needs a display.

    `side` inches stay free beside the panels, because long texts are a little wider in print than on the screen.
    """
    return Figure(figsize=(PAGE_WIDTH, height), layout=ConstrainedLayoutEngine(w_pad=side))


def create_method_panels(
    architectures: list[tuple[str, pd.DataFrame]], columns: int, above: float = 0.0, **grid: Any
) -> tuple[Figure, NDArray[np.object_]]:
    """Create a figure with a row of panels per architecture, as high as its methods need.

    `above`: inches for a legend. `grid`: more arguments of matplotlib's `GridSpec`.
    """
    heights = [0.155 * rows["method"].nunique() + 0.3 for _, rows in architectures]
    figure = create_figure(sum(heights) + 0.55 * len(architectures) + above)
    spec = {"height_ratios": heights, **grid}
    return figure, figure.subplots(len(architectures), columns, squeeze=False, sharey="row", gridspec_kw=spec)


def choose_group_colour(group: str, groups: list[str]) -> object:
    """Return the colour of a group of methods; groups without a fixed colour take the palette in turn."""
    return GROUP_COLOURS.get(group, OTHER_GROUPS[groups.index(group) % len(OTHER_GROUPS)])


def choose_baseline(methods: Iterable[str]) -> str | None:
    """Return the baseline whose value is drawn through all panels, or None when no method is one."""
    return next((name for name in BASELINES if name in methods), None)


def assign_method_lines(methods: list[str]) -> dict[str, dict[str, Any]]:
    """Assign each method a colour, dash and marker, distinct beyond the length of the palette."""
    dashes: list[Any] = ["-", (0, (4, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1))]
    return {
        name: {
            "color": COLOURS[k % len(COLOURS)],
            "ls": dashes[k // len(COLOURS) % len(dashes)],
            "marker": MARKERS[k % len(MARKERS)],
        }
        for k, name in enumerate(methods)
    }


def get_line_style(lines: dict[str, dict[str, Any]], method: str, marked: bool = False) -> dict[str, Any]:
    """Return the arguments of `plot` for a method's line."""
    style = lines[method] | {"ms": 3.5, "mec": "white", "mew": 0.4}
    return style if marked else style | {"marker": ""}


def assign_group_lines(methods: pd.DataFrame) -> dict[str, dict[str, dict[str, Any]]]:
    """Assign the lines of each group of methods, the baseline first, for figures with a column per group."""
    baseline = choose_baseline(list(methods["method"]))
    first = {baseline: {"color": INK, "ls": DASH, "marker": ""}} if baseline else {}
    return {
        str(group): first | assign_method_lines([name for name in own["method"] if name != baseline])
        for group, own in methods.groupby("group", sort=False)
    }


def add_group_legends(bottom: Iterable[Axes], methods: pd.DataFrame) -> None:
    """Add a legend below the lowest panel of each column: the group's name and its lines."""
    titles = dict(zip(methods["method"], methods["method_title"], strict=True))
    for panel, (group, lines) in zip(bottom, assign_group_lines(methods).items(), strict=True):
        panel.legend(
            handles=[Line2D([], [], **get_line_style(lines, m, marked=True), label=titles[m]) for m in lines],
            title=group,
            loc="upper center",
            bbox_to_anchor=(0.5, 0),
            # below ticks and label; in inches, because a share of the panel's height changes during layout
            bbox_transform=panel.transAxes + ScaledTranslation(0, -0.4, panel.figure.dpi_scale_trans),
            borderaxespad=0,
            title_fontsize=7,
        )


@apply_figure_style()
def draw_message(message: str) -> Figure:
    """Draw a line of text in place of a figure."""
    figure = Figure(figsize=(PAGE_WIDTH, 0.4))
    figure.text(0.01, 0.5, message, va="center", color=FAINT)
    return figure


def count_panel_rows_and_columns(count: int) -> tuple[int, int]:
    """Return rows and columns for `count` panels, at most two in a row."""
    columns = min(count, 2)
    return -(-count // max(columns, 1)), columns


def add_shared_legend(figure: Figure, methods: pd.DataFrame) -> None:
    """Add one legend of all methods below the panels."""
    lines = assign_method_lines(list(methods["method"]))
    handles = [
        Line2D([], [], **get_line_style(lines, name, marked=True), label=title)
        for name, title in zip(methods["method"], methods["method_title"], strict=True)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(4, len(handles)), columnspacing=1.2)


def label_method_axis(axes: Axes, methods: pd.DataFrame, groups: list[str]) -> None:
    """Write method titles on the y axis, coloured by group, first method on top, with a rule between groups."""
    axes.set_yticks(range(len(methods)), methods["method_title"])
    for label, group in zip(axes.get_yticklabels(), methods["group"], strict=True):
        label.set_color(choose_group_colour(group, groups))  # type: ignore[arg-type]
    axes.set_ylim(len(methods) - 0.4, -0.6)
    own = list(methods["group"])
    for y in range(1, len(own)):
        if own[y] != own[y - 1]:
            for panel in axes.get_shared_y_axes().get_siblings(axes):
                panel.axhline(y - 0.5, color="#bbbbbb", lw=0.6)


def label_epoch_axis(axes: Axes) -> None:
    """Label the x axis in whole epochs."""
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def create_legend_mark(colour: object, marker: str, name: str) -> Line2D:
    """Create a legend entry with a marker and no line."""
    return Line2D([], [], color=colour, marker=marker, ls="", ms=4, label=name)  # type: ignore[arg-type]


def freeze_layout(figure: Figure) -> None:
    """Lay out the figure once, because a layout for each format would cost more than drawing."""
    engine = figure.get_layout_engine()
    if engine is not None:
        with apply_figure_style():
            engine.execute(figure)
        for subfigure in figure.subfigs:  # the solver returns edges of 0 or -7e-16, which changes the bytes
            subfigure.bbox_relative.set_points(subfigure.bbox_relative.get_points().round(9) + 0.0)
        figure.set_layout_engine(None)  # with any layout engine, saving draws twice


def encode_figure(figure: Figure, kind: str) -> bytes:
    """Encode a figure as "pdf", "svg" or "png", without dates or versions."""
    metadata = {
        "pdf": {"CreationDate": None, "Producer": None, "Creator": None},
        "svg": {"Date": None, "Creator": None},
        "png": {"Software": None},
    }[kind]
    buffer = io.BytesIO()
    with apply_figure_style():
        figure.savefig(buffer, format=kind, dpi=200, metadata=metadata)
    return buffer.getvalue()
