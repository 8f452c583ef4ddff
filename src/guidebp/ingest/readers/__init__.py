"""Readers: from raw files to arrays, one format a file.

The module NAME has `read_NAME(folder, dataset) -> DatasetContents`; `folder` is data/raw/DATASET/. A file that it
cannot read, or that holds more or less than its own header announces, is a UserError.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from guidebp.ingest.contents import DatasetContents
from guidebp.schema.catalogue import get_reader_name
from guidebp.schema.datasets import Dataset, FilesSource

Reader = Callable[[Path, Dataset], DatasetContents]


def get_reader(dataset: Dataset) -> Reader:
    """Return the function that reads a dataset's source."""
    name = get_reader_name(dataset)
    reader: Reader = getattr(import_module(f"guidebp.ingest.readers.{name}"), f"read_{name}")
    return reader


def list_raw_paths(folder: Path, dataset: Dataset, *counts: int) -> list[Path]:
    """Return the paths of the catalogue's raw files; ValueError when their number is not in `counts`."""
    assert isinstance(dataset.source, FilesSource)
    paths = [folder / file.path for file in dataset.source.files]
    if len(paths) not in counts:
        wanted = " or ".join(map(str, counts))
        raise ValueError(
            f"the reader '{dataset.source.reader}' takes {wanted} files, the catalogue names {len(paths)}"
        )
    return paths
