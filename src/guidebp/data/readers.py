"""Readers: from a dataset's raw files to arrays. One function per format."""

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from guidebp.errors import UserError

# images uint8 [N, C, H, W], labels int64 [N], official test images bool [N]
Arrays = tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.bool_]]


def digits_csv(files: list[Path]) -> Arrays:
    """scikit-learn's handwritten digits: 64 grey values from 0 to 16 and the label in each line.

    Values are stored times 15, so that they fill the byte; there is no official test set.
    """
    try:
        with gzip.open(files[0], "rt", encoding="ascii") as lines:
            table = np.loadtxt(lines, delimiter=",", dtype=np.int64, ndmin=2)
    except (OSError, EOFError, ValueError) as error:
        raise UserError(
            f"{files[0]}: not a gzipped table of integers ({error}); delete it and fetch again"
        ) from error
    if table.shape[1] != 65 or table[:, :64].min() < 0 or table[:, :64].max() > 16:
        raise UserError(f"{files[0]}: expected 64 values from 0 to 16 and a label in each line; fetch again")
    images = (table[:, :64] * 15).astype(np.uint8).reshape(-1, 1, 8, 8)
    return images, table[:, 64], np.zeros(len(table), dtype=np.bool_)


READERS: dict[str, Callable[[list[Path]], Arrays]] = {"digits-csv": digits_csv}
