"""NumPy archives, without pickles: every header is checked against its member's size before a byte is kept."""

import io
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from guidebp.errors import UserError, summarise_error
from guidebp.ingest.contents import (
    Chunk,
    DatasetContents,
    convert_labels,
    count_chunk_rows,
    move_channels_first,
)
from guidebp.ingest.readers import list_raw_paths
from guidebp.ingest.untrusted.archives import ARCHIVE_DAMAGE, check_zip_archive
from guidebp.schema.datasets import Dataset, NpzArrays, NpzSource, expand_user_path

KINDS = "buif"  # booleans and numbers
HEADER = 1 << 14  # bytes that hold the header of any array of numbers


def read_npz(folder: Path, dataset: Dataset) -> DatasetContents:
    """Read the user's arrays, or the catalogue's files: training images, then test images if there is a second."""
    if isinstance(dataset.source, NpzSource):
        given = [dataset.source.npz, *([dataset.source.test] if dataset.source.test else [])]
    else:
        given = [NpzArrays(path=str(path)) for path in list_raw_paths(folder, dataset, 1, 2)]

    def read_chunks() -> Iterator[Chunk]:
        for number, arrays in enumerate(given):
            yield from _read_arrays(arrays, dataset, test=number == 1)

    return DatasetContents(read_chunks())


def _read_arrays(arrays: NpzArrays, dataset: Dataset, test: bool) -> Iterator[Chunk]:
    """Yield images and labels of one file, chunk by chunk."""
    path = expand_user_path(arrays.path)
    with _open_npz(path) as archive:
        with _open_array(archive, path, arrays.labels) as (file, shape, dtype):
            if not shape or shape[1:] not in ((), (1,)):
                raise UserError(
                    f"{path}: {arrays.labels}: has shape {shape!s:.80}, expected [N]; correct the file"
                )
            labels = _read_rows(file, path, shape[0], shape, dtype)
            labels = convert_labels(labels, shape[0], f"{path}: {arrays.labels}")
        with _open_array(archive, path, arrays.images) as (file, shape, dtype):
            where = f"{path}: {arrays.images}"
            if len(shape) not in (3, 4) or shape[0] != len(labels):
                raise UserError(
                    f"{where}: has shape {shape!s:.80} for {len(labels)} labels; give one image for each"
                )
            move_channels_first(
                np.empty((0, *shape[1:]), dtype), dataset.shape, where
            )  # refuses before reading
            chunk_rows = count_chunk_rows(dataset.shape)
            for start in range(0, shape[0], chunk_rows):
                rows = _read_rows(file, path, min(chunk_rows, shape[0] - start), shape, dtype)
                images = move_channels_first(rows, dataset.shape, where)
                yield Chunk(images, labels[start : start + chunk_rows], test)


@contextmanager
def _open_npz(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open the archive and check its list of members."""
    try:
        with zipfile.ZipFile(path) as archive:
            check_zip_archive(archive, path)
            yield archive
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; correct its path in config/datasets.yaml") from error
    except ARCHIVE_DAMAGE as error:
        raise UserError(
            f"{path}: no intact .npz file ({summarise_error(error)}); write it again or fetch it again"
        ) from error


@contextmanager
def _open_array(
    archive: zipfile.ZipFile, path: Path, key: str
) -> Iterator[tuple[IO[bytes], tuple[int, ...], np.dtype[np.generic]]]:
    """Open an array of the archive behind its header; yield the file and the array's shape and type."""
    names = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
    if key not in names:
        raise UserError(
            f"{path}: holds no array '{key}', only {sorted(names)!s:.200}; correct its key in config/datasets.yaml"
        )
    with archive.open(names[key]) as file:
        shape, fortran, dtype, start = _parse_npy_header(file.read(HEADER), f"{path}: {key}")
        file.seek(start)
        if dtype.kind not in KINDS or dtype.hasobject:
            raise UserError(
                f"{path}: {key}: refused: holds {dtype!s:.80}, not numbers; save arrays of numbers, no objects"
            )
        if fortran and len(shape) > 1:
            raise UserError(f"{path}: {key}: is in Fortran order; save np.ascontiguousarray of it")
        sound = all(type(size) is int and size >= 0 for size in shape)
        if not sound or names[key].file_size - start != prod(shape) * dtype.itemsize:
            raise UserError(
                f"{path}: {key}: refused: its size is not what its header {shape!s:.80} {dtype} announces; "
                "write it again or fetch it again"
            )
        yield file, shape, dtype


def _parse_npy_header(head: bytes, where: str) -> tuple[tuple[int, ...], bool, np.dtype[np.generic], int]:
    """Return shape, Fortran order, type and size of the header at the beginning of an array."""
    file = io.BytesIO(head)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NumPy's, of headers that Python 2 wrote
            version = np.lib.format.read_magic(file)
            parse = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }[version]
            return (*parse(file), file.tell())
    except Exception as error:  # the header is a piece of Python, and so are its mistakes
        raise UserError(
            f"{where}: no array of NumPy's format ({summarise_error(error)}); write it again or fetch it again"
        ) from error


def _read_rows(
    file: IO[bytes], path: Path, count: int, shape: tuple[int, ...], dtype: np.dtype[np.generic]
) -> NDArray[np.generic]:
    """Return the next `count` rows of an opened array."""
    size = count * prod(shape[1:]) * dtype.itemsize
    content = file.read(size)
    if len(content) != size:
        raise UserError(f"{path}: ends before its arrays do; write it again or fetch it again")
    return np.frombuffer(content, dtype).reshape(count, *shape[1:])
