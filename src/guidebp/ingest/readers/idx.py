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

from guidebp.errors import UserError, summarise_error
from guidebp.ingest.contents import Chunk, DatasetContents, count_chunk_rows, move_channels_first
from guidebp.ingest.readers import list_raw_paths
from guidebp.ingest.untrusted.archives import UnsafeArchiveError, get_unpacked_limit
from guidebp.schema.datasets import Dataset


def read_idx(folder: Path, dataset: Dataset) -> DatasetContents:
    """Files in the order training images, training labels, test images, test labels; or the first two alone."""
    paths = list_raw_paths(folder, dataset, 2, 4)

    def read_chunks() -> Iterator[Chunk]:
        for images, labels, test in zip(paths[::2], paths[1::2], (False, True), strict=False):
            yield from _read_pair(images, labels, dataset, test)

    return DatasetContents(read_chunks())


def _read_pair(images: Path, labels: Path, dataset: Dataset, test: bool) -> Iterator[Chunk]:
    """Yield one image file and its label file, chunk by chunk."""
    with _open_idx(images) as image_file, _open_idx(labels) as label_file:
        count, height, width = _read_header(image_file, 3, images)
        (label_count,) = _read_header(label_file, 1, labels)
        if (height, width) != dataset.shape[1:] or label_count != count:
            raise UserError(
                f"{images}: holds {count} images of {height}x{width} for {label_count} labels, the catalogue's "
                f"shape is {dataset.shape}; correct the entry or fetch again"
            )
        if count * height * width > get_unpacked_limit(images):
            raise UnsafeArchiveError(
                images, f"announces {count * height * width} bytes, far more than such a file holds"
            )
        chunk_rows = count_chunk_rows(dataset.shape)
        for start in range(0, count, chunk_rows):
            rows = min(chunk_rows, count - start)
            pixels = _read_exactly(image_file, rows * height * width, images).reshape(rows, height, width)
            numbers = _read_exactly(label_file, rows, labels).astype(np.int64)
            yield Chunk(move_channels_first(pixels, dataset.shape, images), numbers, test)
        for file, path in ((image_file, images), (label_file, labels)):
            if _read_at_most(file, 1, path):
                raise UserError(
                    f"{path}: goes on after the {count} entries of its header; delete it and fetch again"
                )


@contextmanager
def _open_idx(path: Path) -> Iterator[IO[bytes]]:
    """Open the file, decompressed if it is gzipped."""
    with path.open("rb") as raw:
        compressed = raw.read(2) == b"\x1f\x8b"
    with gzip.open(path, "rb") if compressed else path.open("rb") as file:
        yield file  # type: ignore[misc]


def _read_at_most(file: IO[bytes], size: int, path: Path) -> bytes:
    """Return the next `size` bytes, or what is left; UserError when the gzip stream is damaged."""
    try:
        return file.read(size)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(f"{path}: damaged ({summarise_error(error)}); delete it and fetch again") from error


def _read_header(file: IO[bytes], dimensions: int, path: Path) -> tuple[int, ...]:
    """Return the sizes that the header announces."""
    head = _read_at_most(file, 4 + 4 * dimensions, path)
    if len(head) != 4 + 4 * dimensions or head[:4] != bytes([0, 0, 8, dimensions]):
        raise UserError(f"{path}: no idx file of unsigned bytes in {dimensions} dimensions; fetch again")
    return tuple(int(size) for size in np.frombuffer(head, ">u4", offset=4))


def _read_exactly(file: IO[bytes], count: int, path: Path) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """Return the next `count` bytes; UserError when the file ends before."""
    content = _read_at_most(file, count, path)
    if len(content) != count:
        raise UserError(f"{path}: ends before the entries of its header do; delete it and fetch again")
    return np.frombuffer(content, np.uint8)
