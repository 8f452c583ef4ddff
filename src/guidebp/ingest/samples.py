"""A sheet of sample images: a row per class, one PNG of plain pixels, small enough for git.

Figures are drawn from it, so that they can be drawn again where the dataset itself is not at hand.
"""

import io

import numpy as np
from PIL import Image

from guidebp.ingest.contents import Chunk, Images
from guidebp.ingest.untrusted.pictures import MODES

CELLS = 200  # images on a sheet, at most
MAX_SAMPLE_ROWS = 100  # rows, at most
SIDE = 64  # pixels of a sample's longer side, at most


def per_class(classes: int) -> int:
    """How many images of each class a sheet shows."""
    return max(1, min(10, CELLS // classes))


def step(height: int, width: int) -> int:
    """Of larger images every so many-th pixel is shown."""
    return -(-max(height, width) // SIDE)


def get_sample_size(height: int, width: int) -> tuple[int, int]:
    """Height and width of a sample in pixels."""
    every = step(height, width)
    return -(-height // every), -(-width // every)


class SampleSheet:
    """The first training images of every class, up to CLASSES."""

    def __init__(self, classes: int) -> None:
        self.found: list[list[Images]] = [[] for _ in range(min(classes, MAX_SAMPLE_ROWS))]

    def add(self, part: Chunk) -> None:
        """Take what is still wanted from a part."""
        count = per_class(len(self.found))
        for label, found in enumerate(self.found):
            if not part.test and len(found) < count:
                members = np.flatnonzero(part.labels == label)[: count - len(found)]
                every = step(*part.images.shape[2:])
                found += [part.images[member, :, ::every, ::every].copy() for member in members]

    def sheet(self, shape: tuple[int, int, int]) -> bytes:
        """PNG of [classes * H, per_class * W] pixels, a row per class; places without an image are black."""
        channels, (height, width) = shape[0], get_sample_size(*shape[1:])
        canvas = np.zeros(
            (len(self.found) * height, per_class(len(self.found)) * width, channels), dtype=np.uint8
        )
        for row, images in enumerate(self.found):
            for column, image in enumerate(images):
                place = canvas[row * height : (row + 1) * height, column * width : (column + 1) * width]
                place[:] = image.transpose(1, 2, 0)
        if channels not in MODES:
            canvas = canvas[:, :, :1]
        pixels = canvas[:, :, 0] if canvas.shape[2] == 1 else canvas
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG", optimize=True)
        return file.getvalue()
