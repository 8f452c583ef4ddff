"""NumPy archives, without pickles: every header is checked against its member's size before a byte is kept."""

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from guidebp.data.archives import check_zip
from guidebp.data.contents import ROWS, Contents, Part, channels_first, integer_labels
from guidebp.data.readers import raw_paths
from guidebp.errors import UserError
from guidebp.study.datasets import Arrays, Dataset, Npz, local_path

KINDS = "buif"  # booleans and numbers


def read(folder: Path, dataset: Dataset) -> Contents:
    """The user's arrays, or the catalogue's files: training images, then test images if there is a second."""
    if isinstance(dataset.source, Npz):
        given = [dataset.source.npz, *([dataset.source.test] if dataset.source.test else [])]
    else:
        given = [Arrays(path=str(path)) for path in raw_paths(folder, dataset, 1, 2)]

    def parts() -> Iterator[Part]:
        for number, arrays in enumerate(given):
            yield from read_arrays(arrays, dataset, test=number == 1)

    return Contents(parts())


def read_arrays(arrays: Arrays, dataset: Dataset, test: bool) -> Iterator[Part]:
    """Images and labels of one file, part by part."""
    path = local_path(arrays.path)
    with opened(path) as archive:
        with member(archive, path, arrays.labels) as (file, shape, dtype):
            count = shape[0] if shape else 0
            labels = integer_labels(rows(file, path, count, shape, dtype), count, f"{path}: {arrays.labels}")
        with member(archive, path, arrays.images) as (file, shape, dtype):
            where = f"{path}: {arrays.images}"
            if len(shape) not in (3, 4) or shape[0] != len(labels):
                raise UserError(
                    f"{where}: has shape {shape} for {len(labels)} labels; expected one image for each"
                )
            for start in range(0, shape[0], ROWS):
                part = rows(file, path, min(ROWS, shape[0] - start), shape, dtype)
                images = channels_first(part, dataset.shape, where)
                yield Part(images, labels[start : start + ROWS], test)


@contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """The archive, its list of members checked."""
    try:
        with zipfile.ZipFile(path) as archive:
            check_zip(archive, path)
            yield archive
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; correct its path in config/datasets.yaml") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError) as error:
        raise UserError(f"{path}: no intact .npz file ({error}); write it again or fetch it again") from error


@contextmanager
def member(
    archive: zipfile.ZipFile, path: Path, key: str
) -> Iterator[tuple[IO[bytes], tuple[int, ...], np.dtype[Any]]]:
    """An array of the archive, opened behind its header: the file, the array's shape and type."""
    names = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
    if key not in names:
        raise UserError(f"{path}: holds no array '{key}', only {', '.join(sorted(names)) or 'nothing'}")
    with archive.open(names[key]) as file:
        try:
            version = np.lib.format.read_magic(file)
            header = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }[version]
            shape, fortran, dtype = header(file)
        except (ValueError, KeyError, SyntaxError, TypeError, RecursionError, MemoryError) as error:
            raise UserError(f"{path}: {key}: no array of NumPy's format ({error})") from error
        if dtype.kind not in KINDS or dtype.hasobject:
            raise UserError(
                f"{path}: {key}: refused: holds {dtype}, not numbers; arrays of objects are pickles"
            )
        if fortran and len(shape) > 1:
            raise UserError(f"{path}: {key}: is in Fortran order; save np.ascontiguousarray of it")
        if (
            any(size < 0 for size in shape)
            or names[key].file_size - file.tell() != prod(shape) * dtype.itemsize
        ):
            raise UserError(
                f"{path}: {key}: refused: its size is not what its header {shape} {dtype} announces"
            )
        yield file, shape, dtype


def rows(
    file: IO[bytes], path: Path, count: int, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> NDArray[Any]:
    """The next `count` rows of an opened array."""
    size = count * prod(shape[1:]) * dtype.itemsize
    found = file.read(size)
    if len(found) != size:
        raise UserError(f"{path}: ends before its arrays do; write it again or fetch it again")
    return np.frombuffer(found, dtype).reshape(count, *shape[1:])
