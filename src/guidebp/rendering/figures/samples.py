"""What a dataset looks like: sample images of every class, and how many images each class has."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from guidebp.analysis.results import Results
from guidebp.ingest.samples import CLASSES, sample_size
from guidebp.rendering.style import COLOURS, FAINT, WIDTH, look, page

TOGETHER = 20  # classes in one column of samples
NAMES = 0.95  # inches for the names of classes
TALLEST = 0.42  # inches of a sample


def data(results: Results, dataset: str) -> pd.DataFrame:
    """A row per class: images of the training and of the test part, and where the sheet of samples lies."""
    about = results.about["data"][dataset]
    whose = "" if results.about["datasets"][dataset]["split"]["test"] == "official" else "owner's "
    height, width = sample_size(*about["shape"][1:])
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


@look()
def draw(data: pd.DataFrame) -> Figure:
    """Samples are the first training images of each class, as the dataset's own files order them.

    The sheet's path is relative to the project's folder.
    """
    height, width = int(data["height"].iloc[0]), int(data["width"].iloc[0])
    sheet = imread(data["sheet"].iloc[0])
    names = [short(str(name)) for name in data["class"][:CLASSES]]
    blocks = [names[start : start + TOGETHER] for start in range(0, len(names), TOGETHER)]
    columns = sheet.shape[1] // width
    room = (WIDTH * (0.6 if len(blocks) == 1 else 1) / len(blocks) - NAMES) / columns
    cell = min(room * height / width, TALLEST)
    figure = page(cell * len(blocks[0]) + (0.75 if len(blocks) == 1 else 2.2))
    if len(blocks) == 1:
        panels = [figure.subplots()]
        panels[0].set_anchor("W")
        beside(panels[0].inset_axes((1.06, 0, 0.85, 1)), data, height)
    else:
        grid = figure.add_gridspec(2, len(blocks), height_ratios=(cell * len(blocks[0]), 1.2))
        panels = [figure.add_subplot(grid[0, number]) for number in range(len(blocks))]
        below(figure.add_subplot(grid[1, :]), data)
    for number, (panel, block) in enumerate(zip(panels, blocks, strict=True)):
        top = number * TOGETHER * height
        show(panel, sheet[top : top + len(block) * height], block, height, width)
    title = "First training images" + (f" of the first {CLASSES} classes" if len(data) > CLASSES else "")
    if len(blocks) == 1:
        panels[0].set_title(title)
    else:  # the title of one panel would widen it
        figure.suptitle(title, x=0.0, ha="left", fontsize=8.5, fontweight="bold")
    return figure


def show(panel: Axes, pixels: NDArray[Any], names: list[str], height: int, width: int) -> None:
    """Rows of samples with the names of their classes."""
    grey: dict[str, Any] = {"cmap": "gray", "vmin": 0, "vmax": 1} if pixels.ndim == 2 else {}
    panel.imshow(pixels, interpolation="nearest", **grey)
    for edge in range(0, pixels.shape[0] + 1, height):
        panel.axhline(edge - 0.5, color="white", lw=1.2)
    for edge in range(0, pixels.shape[1] + 1, width):
        panel.axvline(edge - 0.5, color="white", lw=1.2)
    panel.set(xlim=(-0.5, pixels.shape[1] - 0.5), ylim=(pixels.shape[0] - 0.5, -0.5), xticks=[])
    panel.set_yticks([(row + 0.5) * height - 0.5 for row in range(len(names))], names)
    panel.tick_params(length=0, labelsize=7 if len(names) < TOGETHER else 6)
    panel.grid(False)
    panel.spines[:].set_visible(False)


def short(name: str) -> str:
    """A class name that fits beside its row."""
    return name if len(name) <= 14 else name[:13] + "…"


def beside(panel: Axes, counts: pd.DataFrame, height: int) -> None:
    """Bars in line with the rows of samples."""
    places = [(row + 0.5) * height - 0.5 for row in range(len(counts))]
    left = np.zeros(len(counts))
    for column, colour in parts(counts):
        panel.barh(places, counts[column], 0.72 * height, left, color=colour, label=column)
        left += counts[column].to_numpy(float)
    panel.set(ylim=(len(counts) * height - 0.5, -0.5), yticks=[], xlabel="images per class")
    panel.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    panel.grid(axis="y", visible=False)
    legend(panel)


def below(panel: Axes, counts: pd.DataFrame) -> None:
    """Bars in the order of the labels."""
    bottom = np.zeros(len(counts))
    for column, colour in parts(counts):
        panel.bar(counts["label"], counts[column], 0.8, bottom, color=colour, label=column)
        bottom += counts[column].to_numpy(float)
    panel.set(
        xlim=(-1, len(counts)), xlabel="class, in the order above", ylabel="images per class", xticks=[]
    )
    panel.grid(axis="x", visible=False)
    legend(panel)


def parts(counts: pd.DataFrame) -> list[tuple[str, Any]]:
    """Columns to show, with their colours; no test images, no column."""
    training, test = counts.columns[2:4]
    return [(training, COLOURS[0]), *([(test, FAINT)] if counts[test].any() else [])]


def legend(panel: Axes) -> None:
    """What the colours mean, above the bars; nothing where there is one colour."""
    handles, labels = panel.get_legend_handles_labels()
    if len(handles) > 1:
        panel.legend(handles, labels, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.2)
