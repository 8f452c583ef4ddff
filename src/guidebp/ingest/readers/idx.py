"""The idx format of MNIST and its relatives, plain or gzipped.

Big-endian: two zero bytes, the type (8: unsigned byte), the number of dimensions, each dimension as 32 bits,
then the bytes. http://yann.lecun.com/exdb/mnist describes it.
"""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from guidebp.errors import UserError
from guidebp.ingest.contents import (
    Chunk,
    DatasetContents,
    count_chunk_rows,
    move_channels_first,
)
from guidebp.ingest.readers import list_raw_paths
from guidebp.ingest.untrusted.archives import allowed, refusal
from guidebp.schema.datasets import Dataset


def read(folder: Path, dataset: Dataset) -> DatasetContents:
    """Files in the order training images, training labels, test images, test labels; or the first two alone."""
    paths = list_raw_paths(folder, dataset, 2, 4)

    def parts() -> Iterator[Chunk]:
        for images, labels, test in zip(paths[::2], paths[1::2], (False, True), strict=False):
            yield from read_pair(images, labels, dataset, test)

    return DatasetContents(parts())


def read_pair(images: Path, labels: Path, dataset: Dataset, test: bool) -> Iterator[Chunk]:
    """One image file and its label file, part by part."""
    with opened(images) as image_file, opened(labels) as label_file:
        count, height, width = header(image_file, 3, images)
        (label_count,) = header(label_file, 1, labels)
        if (height, width) != dataset.shape[1:] or label_count != count:
            raise UserError(
                f"{images}: holds {count} images of {height}x{width} for {label_count} labels, the catalogue's "
                f"shape is {dataset.shape}; correct the entry or fetch again"
            )
        if count * height * width > allowed(images):
            raise refusal(
                images, f"announces {count * height * width} bytes, far more than such a file holds"
            )
        most = count_chunk_rows(dataset.shape)
        for start in range(0, count, most):
            rows = min(most, count - start)
            pixels = exactly(image_file, rows * height * width, images).reshape(rows, height, width)
            numbers = exactly(label_file, rows, labels).astype(np.int64)
            yield Chunk(move_channels_first(pixels, dataset.shape, images), numbers, test)
        for file, path in ((image_file, images), (label_file, labels)):
            if taken(file, 1, path):
                raise UserError(
                    f"{path}: goes on after the {count} entries of its header; delete it and fetch again"
                )


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The file, unpacked if it is gzipped."""
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
    with gzip.open(path, "rb") if packed else path.open("rb") as file:
        yield file  # type: ignore[misc]


def taken(file: IO[bytes], size: int, path: Path) -> bytes:
    """The next `size` bytes, or what is left; what is no gzip inside is a UserError."""
    try:
        return file.read(size)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(f"{path}: damaged ({reason(error)}); delete it and fetch again") from error


def header(file: IO[bytes], dimensions: int, path: Path) -> tuple[int, ...]:
    """The sizes that the header announces."""
    head = taken(file, 4 + 4 * dimensions, path)
    if len(head) != 4 + 4 * dimensions or head[:4] != bytes([0, 0, 8, dimensions]):
        raise UserError(f"{path}: no idx file of unsigned bytes in {dimensions} dimensions; fetch again")
    return tuple(int(size) for size in np.frombuffer(head, ">u4", offset=4))


def exactly(file: IO[bytes], count: int, path: Path) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """The next `count` bytes; UserError when the file ends before."""
    found = taken(file, count, path)
    if len(found) != count:
        raise UserError(f"{path}: ends before the entries of its header do; delete it and fetch again")
    return np.frombuffer(found, np.uint8)
