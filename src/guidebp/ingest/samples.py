"""A sheet of sample images: a row per class, one PNG of plain pixels, small enough for git.

Figures are drawn from it, so that they can be drawn again where the dataset itself is not at hand.
"""

import io

import numpy as np
from PIL import Image

from guidebp.ingest.contents import Chunk, Images
from guidebp.ingest.untrusted.pictures import PICTURE_MODES

MAX_SAMPLES = 200  # images on a sheet, at most
MAX_SAMPLE_ROWS = 100  # rows, at most
MAX_SAMPLE_SIDE = 64  # pixels of a sample's longer side, at most


def count_samples_per_class(classes: int) -> int:
    """Return how many images of each class a sheet shows."""
    return max(1, min(10, MAX_SAMPLES // classes))


def _choose_sample_stride(height: int, width: int) -> int:
    """Return the step between the pixels that a sample shows: 1, or more where images are large."""
    return -(-max(height, width) // MAX_SAMPLE_SIDE)


def get_sample_size(height: int, width: int) -> tuple[int, int]:
    """Return height and width of a sample in pixels."""
    stride = _choose_sample_stride(height, width)
    return -(-height // stride), -(-width // stride)


class SampleSheet:
    """The first training images of every class, up to CLASSES."""

    def __init__(self, classes: int) -> None:
        self.samples: list[list[Images]] = [[] for _ in range(min(classes, MAX_SAMPLE_ROWS))]

    def add(self, chunk: Chunk) -> None:
        """Take the samples that are still missing from a chunk."""
        count = count_samples_per_class(len(self.samples))
        for label, samples in enumerate(self.samples):
            if not chunk.test and len(samples) < count:
                members = np.flatnonzero(chunk.labels == label)[: count - len(samples)]
                stride = _choose_sample_stride(*chunk.images.shape[2:])
                samples += [chunk.images[member, :, ::stride, ::stride].copy() for member in members]

    def to_png(self, shape: tuple[int, int, int]) -> bytes:
        """Return a PNG of [classes * H, samples * W] pixels, a row per class; missing samples are black."""
        channels, (height, width) = shape[0], get_sample_size(*shape[1:])
        canvas = np.zeros(
            (len(self.samples) * height, count_samples_per_class(len(self.samples)) * width, channels),
            dtype=np.uint8,
        )
        for row, images in enumerate(self.samples):
            for column, image in enumerate(images):
                rows = slice(row * height, (row + 1) * height)
                columns = slice(column * width, (column + 1) * width)
                canvas[rows, columns] = image.transpose(1, 2, 0)
        if channels not in PICTURE_MODES:
            canvas = canvas[:, :, :1]
        pixels = canvas[:, :, 0] if canvas.shape[2] == 1 else canvas
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG", optimize=True)
        return file.getvalue()
