"""The Python version of CIFAR-10 and CIFAR-100: pickled batches, opened by a reader that builds only data."""

from pathlib import Path

import numpy as np

from guidebp.errors import UserError
from guidebp.ingest.contents import Chunk, DatasetContents, move_channels_first
from guidebp.ingest.readers import list_raw_paths
from guidebp.ingest.untrusted.pickles import read_pickle
from guidebp.schema.datasets import Dataset


def read_cifar(folder: Path, dataset: Dataset) -> DatasetContents:
    """Files in the order training batches, one test batch, the file with the class names."""
    *batches, names = list_raw_paths(folder, dataset, 3, 7)
    chunks = (_read_batch(path, dataset, test=path == batches[-1]) for path in batches)
    return DatasetContents(chunks, _read_class_names(names))


def _read_batch(path: Path, dataset: Dataset, test: bool) -> Chunk:
    """Read one batch: pixels [N, 3 * 32 * 32], red first, and labels (CIFAR-100: the fine ones)."""
    entries = _read_entries(path)
    pixels, labels = entries.get(b"data"), entries.get(b"fine_labels", entries.get(b"labels"))
    if not isinstance(labels, list):
        raise UserError(f"{path}: holds no list of labels; fetch again")
    count, size = len(labels), int(np.prod(dataset.shape))
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.shape != (count, size):
        raise UserError(
            f"{path}: no CIFAR batch of images of shape {dataset.shape} with as many labels; fetch again"
        )
    if not all(type(label) is int and 0 <= label < 1 << 15 for label in labels):
        raise UserError(f"{path}: labels are no small integers; fetch again")
    images = move_channels_first(pixels.reshape(count, *dataset.shape), dataset.shape, path)
    return Chunk(images, np.array(labels, dtype=np.int64), test)


def _read_class_names(path: Path) -> list[str]:
    """Read the names of the classes, in the order of the labels."""
    entries = _read_entries(path)
    names = entries.get(b"fine_label_names", entries.get(b"label_names"))
    if isinstance(names, list):
        texts = [name.decode("ascii", "replace") if type(name) is bytes else name for name in names]
        if all(type(text) is str and text.isprintable() for text in texts):
            return [text.replace("_", " ") for text in texts]
    raise UserError(f"{path}: holds no class names; fetch again")


def _read_entries(path: Path) -> dict[object, object]:
    """Return the dictionary in a file; its keys as bytes, which they are where Python 2 wrote it."""
    content = read_pickle(path)
    if not isinstance(content, dict):
        raise UserError(f"{path}: no CIFAR file; delete it and fetch again")
    return {
        key.encode("ascii", "replace") if type(key) is str else key: value for key, value in content.items()
    }
