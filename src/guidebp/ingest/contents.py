"""The contents of a dataset as a reader yields them, in chunks, and what every reader needs.

NumPy only: preparing needs no torch.
"""

from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from guidebp.errors import UserError

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]

# What a chunk holds at most; it bounds the memory of preparing.
CHUNK_ROWS = 2_000
CHUNK_BYTES = 32 << 20


class Chunk(NamedTuple):
    """Some images of a dataset.

    Attributes:
        images: uint8 [N, C, H, W].
        labels: int64 [N].
        test: whether they belong to the official test set.
    """

    images: Images
    labels: Labels
    test: bool


class DatasetContents(NamedTuple):
    """A dataset as its files hold it: chunks, read one by one, and the class names if the files name them."""

    chunks: Iterator[Chunk]
    names: list[str] | None = None


def count_chunk_rows(shape: tuple[int, int, int]) -> int:
    """Return how many images of a shape a chunk holds at most."""
    return max(1, min(CHUNK_ROWS, CHUNK_BYTES // prod(shape)))


def move_channels_first(images: NDArray[Any], shape: tuple[int, int, int], where: Path | str) -> Images:
    """Return images [N, H, W], [N, H, W, C] or [N, C, H, W] as [N, C, H, W] of the catalogue's `shape`.

    Three equal channels become one where the catalogue says so. Raises UserError for anything else.
    """
    if images.dtype != np.uint8:
        raise UserError(f"{where}: images are {images.dtype}, expected uint8 from 0 to 255; convert them")
    channels, height, width = shape
    size = images.shape[1:]
    if size == (channels, height, width):
        return images
    if size == (height, width, channels):
        return images.transpose(0, 3, 1, 2)
    if channels == 1 and size == (height, width):
        return images[:, None]
    if channels == 1 and size == (height, width, 3) and (images == images[..., :1]).all():
        return images[:, None, :, :, 0]
    raise UserError(f"{where}: images are {tuple(size)}, the catalogue's shape is {shape}; correct the entry")


def convert_labels(labels: NDArray[np.generic], count: int, where: Path | str) -> Labels:
    """Return labels [N] or [N, 1] as int64 [N]; UserError when they are not `count` integers."""
    if not np.issubdtype(labels.dtype, np.integer) or labels.size != count or labels.shape[0] != count:
        raise UserError(
            f"{where}: labels are {labels.dtype} {labels.shape}, expected {count} integers, one for each image; "
            "correct the file"
        )
    return labels.reshape(-1).astype(np.int64)
