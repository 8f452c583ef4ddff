"""Sample images of every class of a dataset, and the number of images per class."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from guidebp.analysis.results import Results
from guidebp.ingest.samples import MAX_SAMPLE_ROWS, get_sample_size
from guidebp.rendering.style import COLOURS, FAINT, PAGE_WIDTH, apply_figure_style, create_figure

CLASSES_PER_COLUMN = 20
NAME_WIDTH = 0.95  # inches for the names of classes
MAX_SAMPLE_HEIGHT = 0.42  # inches


def prepare_figure_data(results: Results, dataset: str) -> pd.DataFrame:
    """Return a row per class: training and test images, and the path of the sheet with sample images."""
    about = results.about["data"][dataset]
    whose = "" if results.about["datasets"][dataset]["split"]["test"] == "official" else "owner's "
    height, width = get_sample_size(*about["shape"][1:])
    return pd.DataFrame(
        {
            "label": range(len(about["classes"])),
            "class": about["classes"],
            f"{whose}training images": about["per_class"]["training"],
            f"{whose}test images": about["per_class"]["test"],
            "height": height,
            "width": width,
            "sheet": (results.prepared / f"{dataset}.png").as_posix(),
        }
    )


@apply_figure_style()
def draw_figure(data: pd.DataFrame) -> Figure:
    """Draw samples and counts. Samples are the first training images of each class in the order of the files.

    The sheet's path is relative to the project's folder.
    """
    height, width = int(data["height"].iloc[0]), int(data["width"].iloc[0])
    sheet = imread(data["sheet"].iloc[0])
    names = [_shorten_name(str(name)) for name in data["class"][:MAX_SAMPLE_ROWS]]
    blocks = [names[start : start + CLASSES_PER_COLUMN] for start in range(0, len(names), CLASSES_PER_COLUMN)]
    columns = sheet.shape[1] // width
    room = (PAGE_WIDTH * (0.6 if len(blocks) == 1 else 1) / len(blocks) - NAME_WIDTH) / columns
    sample_height = min(room * height / width, MAX_SAMPLE_HEIGHT)
    figure = create_figure(sample_height * len(blocks[0]) + (0.75 if len(blocks) == 1 else 2.2))
    if len(blocks) == 1:
        panels = [figure.subplots()]
        panels[0].set_anchor("W")
        _draw_horizontal_counts(panels[0].inset_axes((1.06, 0, 0.85, 1)), data, height)
    else:
        grid = figure.add_gridspec(2, len(blocks), height_ratios=(sample_height * len(blocks[0]), 1.2))
        panels = [figure.add_subplot(grid[0, number]) for number in range(len(blocks))]
        _draw_vertical_counts(figure.add_subplot(grid[1, :]), data)
    for number, (panel, block) in enumerate(zip(panels, blocks, strict=True)):
        top = number * CLASSES_PER_COLUMN * height
        _draw_samples(panel, sheet[top : top + len(block) * height], block, height, width)
    title = "First training images" + (
        f" of the first {MAX_SAMPLE_ROWS} classes" if len(data) > MAX_SAMPLE_ROWS else ""
    )
    if len(blocks) == 1:
        panels[0].set_title(title)
    else:  # the title of one panel would widen it
        figure.suptitle(title, x=0.0, ha="left", fontsize=8.5, fontweight="bold")
    return figure


def _draw_samples(panel: Axes, pixels: NDArray[Any], names: list[str], height: int, width: int) -> None:
    """Draw rows of samples with the names of their classes."""
    grey: dict[str, Any] = {"cmap": "gray", "vmin": 0, "vmax": 1} if pixels.ndim == 2 else {}
    panel.imshow(pixels, interpolation="nearest", **grey)
    for edge in range(0, pixels.shape[0] + 1, height):
        panel.axhline(edge - 0.5, color="white", lw=1.2)
    for edge in range(0, pixels.shape[1] + 1, width):
        panel.axvline(edge - 0.5, color="white", lw=1.2)
    panel.set(xlim=(-0.5, pixels.shape[1] - 0.5), ylim=(pixels.shape[0] - 0.5, -0.5), xticks=[])
    panel.set_yticks([(row + 0.5) * height - 0.5 for row in range(len(names))], names)
    panel.tick_params(length=0, labelsize=7 if len(names) < CLASSES_PER_COLUMN else 6)
    panel.grid(False)
    panel.spines[:].set_visible(False)


def _shorten_name(name: str) -> str:
    """Shorten a class name so that it fits beside its row."""
    return name if len(name) <= 14 else name[:13] + "…"


def _draw_horizontal_counts(panel: Axes, counts: pd.DataFrame, height: int) -> None:
    """Draw bars in line with the rows of samples."""
    positions = [(row + 0.5) * height - 0.5 for row in range(len(counts))]
    left = np.zeros(len(counts))
    for column, colour in _list_count_columns(counts):
        panel.barh(positions, counts[column], 0.72 * height, left, color=colour, label=column)
        left += counts[column].to_numpy(float)
    panel.set(ylim=(len(counts) * height - 0.5, -0.5), yticks=[], xlabel="images per class")
    panel.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    panel.grid(axis="y", visible=False)
    _add_count_legend(panel)


def _draw_vertical_counts(panel: Axes, counts: pd.DataFrame) -> None:
    """Draw bars in the order of the labels."""
    bottom = np.zeros(len(counts))
    for column, colour in _list_count_columns(counts):
        panel.bar(counts["label"], counts[column], 0.8, bottom, color=colour, label=column)
        bottom += counts[column].to_numpy(float)
    panel.set(
        xlim=(-1, len(counts)), xlabel="class, in the order above", ylabel="images per class", xticks=[]
    )
    panel.grid(axis="x", visible=False)
    _add_count_legend(panel)


def _list_count_columns(counts: pd.DataFrame) -> list[tuple[str, Any]]:
    """Return the columns to draw with their colours, without test images where there are none."""
    training, test = counts.columns[2:4]
    return [(training, COLOURS[0]), *([(test, FAINT)] if counts[test].any() else [])]


def _add_count_legend(panel: Axes) -> None:
    """Add a legend of the colours above the bars, where there are two."""
    handles, labels = panel.get_legend_handles_labels()
    if len(handles) > 1:
        panel.legend(handles, labels, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.2)
