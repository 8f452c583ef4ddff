"""scikit-learn's handwritten digits: a gzipped line of 64 grey values from 0 to 16 and the label per image."""

import gzip
import warnings
import zlib
from pathlib import Path

import numpy as np

from guidebp.errors import UserError, summarise_error
from guidebp.ingest.contents import Chunk, DatasetContents
from guidebp.ingest.readers import list_raw_paths
from guidebp.schema.datasets import Dataset

LIMIT = 4 << 20  # bytes, unpacked


def read_digits_csv(folder: Path, dataset: Dataset) -> DatasetContents:
    """Read the table; values are stored times 15, so that they fill the byte; there is no official test set."""
    (path,) = list_raw_paths(folder, dataset, 1)
    try:
        with gzip.open(path, "rb") as file:
            text = file.read(LIMIT + 1)
        if len(text) > LIMIT:
            raise ValueError(f"unpacks to more than {LIMIT} bytes")
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # of an empty table, of numbers that are no integers
            table = np.loadtxt(text.decode("ascii").splitlines(), delimiter=",", dtype=np.int64, ndmin=2)
    except (OSError, EOFError, zlib.error, ValueError, Warning) as error:
        raise UserError(
            f"{path}: not a gzipped table of integers ({summarise_error(error)}); delete it and fetch again"
        ) from error
    if table.shape[1] != 65 or table[:, :64].min() < 0 or table[:, :64].max() > 16:
        raise UserError(f"{path}: expected 64 values from 0 to 16 and a label in each line; fetch again")
    images = (table[:, :64] * 15).astype(np.uint8).reshape(-1, 1, 8, 8)
    return DatasetContents(iter([Chunk(images, table[:, 64], test=False)]))
