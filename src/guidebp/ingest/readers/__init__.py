"""Readers: from raw files to arrays, one format a file.

Each has `read(folder, dataset) -> Contents`; `folder` is data/raw/DATASET/. What it cannot read, or what
holds more or less than its own header announces, is a UserError.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from guidebp.ingest.contents import DatasetContents
from guidebp.schema.catalogue import get_reader_name
from guidebp.schema.datasets import Dataset, FilesSource

Reader = Callable[[Path, Dataset], DatasetContents]


def get_reader(dataset: Dataset) -> Reader:
    """The `read` function for a dataset's source."""
    found: Reader = import_module(f"guidebp.ingest.readers.{reader_name(dataset)}").read
    return found


def list_raw_paths(folder: Path, dataset: Dataset, *counts: int) -> list[Path]:
    """Paths of the catalogue's raw files, which must be as many as one of `counts`."""
    assert isinstance(dataset.source, FilesSource)
    paths = [folder / file.path for file in dataset.source.files]
    if len(paths) not in counts:
        wanted = " or ".join(map(str, counts))
        raise ValueError(
            f"the reader '{dataset.source.reader}' takes {wanted} files, the catalogue names {len(paths)}"
        )
    return paths
