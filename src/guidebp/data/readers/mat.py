"""SVHN's MATLAB files: `X` uint8 [32, 32, 3, N] and `y` [N, 1], where 10 stands for the digit 0.

SciPy reads them; what they hold is checked by name, type and shape before anything is unpacked, and nothing but
arrays of numbers is asked for.
"""

import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat, whosmat
from scipy.io.matlab import MatReadError, matfile_version

from guidebp.data.contents import ROWS, Contents, Part, integer_labels
from guidebp.data.readers import raw_paths
from guidebp.errors import UserError
from guidebp.study.datasets import Dataset

LIMIT = 1 << 22  # images
NUMBERS = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "single", "double")


def read(folder: Path, dataset: Dataset) -> Contents:
    """Files in the order training images, test images; or the first alone."""
    paths = raw_paths(folder, dataset, 1, 2)

    def parts() -> Iterator[Part]:
        for number, path in enumerate(paths):
            images, labels = arrays(path, dataset)
            for start in range(0, len(labels), ROWS):
                rows = slice(start, start + ROWS)
                yield Part(np.ascontiguousarray(images[rows]), labels[rows], test=number == 1)
            del images

    return Contents(parts())


def arrays(path: Path, dataset: Dataset) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images [N, C, H, W] (a view) and labels [N] of one file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            count = announced(path, dataset)
            found: dict[str, Any] = loadmat(path, variable_names=["X", "y"], appendmat=False)
    except (
        MatReadError,
        ValueError,
        TypeError,
        NotImplementedError,
        KeyError,
        OSError,
        zlib.error,
        Warning,
    ) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: no intact MATLAB file ({reason}); delete it and fetch again") from error
    labels = np.asarray(found["y"])
    whole = labels.astype(np.int64)
    if (whole != labels).any():
        raise UserError(f"{path}: y: labels are no integers; fetch again")
    whole = integer_labels(whole, count, f"{path}: y")
    return found["X"].transpose(3, 2, 0, 1), np.where(whole == dataset.class_count, 0, whole)


def announced(path: Path, dataset: Dataset) -> int:
    """The number of images that the file's headers announce; ValueError when they announce something else."""
    if matfile_version(path, appendmat=False)[0] != 1:
        raise ValueError("not of version 5")
    listed = whosmat(path, appendmat=False)
    variables = {name: (shape, kind) for name, shape, kind in listed}
    if len(listed) > 16 or not {"X", "y"} <= variables.keys() or len(variables) != len(listed):
        raise ValueError("expected the arrays X and y")
    channels, height, width = dataset.shape
    shape, kind = variables["X"]
    count = int(shape[-1]) if len(shape) == 4 else -1
    if kind != "uint8" or tuple(shape) != (height, width, channels, count) or not 0 < count < LIMIT:
        raise ValueError(f"X is {kind} {shape}, the catalogue's shape is {dataset.shape}")
    shape, kind = variables["y"]
    if kind not in NUMBERS or tuple(shape) != (count, 1):
        raise ValueError(f"y is {kind} {shape} for {count} images")
    return count
