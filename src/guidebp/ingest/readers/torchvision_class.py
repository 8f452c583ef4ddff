"""Any class of torchvision.datasets whose items are (picture, integer label)."""

import warnings
from collections.abc import Callable, Iterator
from inspect import signature
from operator import index
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from guidebp.errors import UserError, suggest_name, summarise_error
from guidebp.ingest.contents import Chunk, DatasetContents, count_chunk_rows
from guidebp.ingest.untrusted.pictures import convert_picture
from guidebp.schema.datasets import Dataset, TorchvisionSource, expand_user_path


def read_torchvision_class(folder: Path, dataset: Dataset) -> DatasetContents:
    """Read the class with `arguments`, and with `test_arguments` for the official test set; download nothing."""
    source = dataset.source
    assert isinstance(source, TorchvisionSource)
    training = create_torchvision_dataset(source, folder, source.arguments, download=False)
    tests = [] if source.test_arguments is None else [source.test_arguments]

    def read_chunks() -> Iterator[Chunk]:
        yield from _read_items(training, dataset, test=False)
        for arguments in tests:
            yield from _read_items(
                create_torchvision_dataset(source, folder, arguments, download=False), dataset, test=True
            )

    listed = getattr(training, "classes", None)
    names = [str(name) for name in listed] if isinstance(listed, list) else []
    return DatasetContents(read_chunks(), names if len(names) == dataset.class_count else None)


def create_torchvision_dataset(
    source: TorchvisionSource, folder: Path, arguments: dict[str, Any], download: bool
) -> Any:
    """Create an object of the class; UserError when there is no such class or it cannot be made."""
    import torchvision.datasets

    known = [
        name for name in torchvision.datasets.__all__ if isinstance(getattr(torchvision.datasets, name), type)
    ]
    if source.torchvision not in known:
        raise UserError(
            f"torchvision.datasets has no '{source.torchvision}'; {suggest_name(source.torchvision, known)}"
        )
    dataset_class = getattr(torchvision.datasets, source.torchvision)
    given = dict(arguments)
    if "root" in signature(dataset_class).parameters:
        given["root"] = str(expand_user_path(source.root) if source.root else folder)
    if download and "download" in signature(dataset_class).parameters:
        given["download"] = True
    try:
        return dataset_class(**given)
    except Exception as error:  # classes raise what they like
        raise UserError(
            f"torchvision.datasets.{source.torchvision}: {summarise_error(error)}; correct its arguments, "
            f"or put its files below {given.get('root', folder)}, or set download: true in its source "
            "and run: guidebp fetch"
        ) from error


def _read_items(items: Any, dataset: Dataset, test: bool) -> Iterator[Chunk]:
    """Yield all items, chunk by chunk."""
    count = _ask_class(lambda: len(items), dataset, "its length")
    rows = count_chunk_rows(dataset.shape)
    for start in range(0, count, rows):
        numbers = range(start, min(start + rows, count))
        pairs = [_read_item(items, number, dataset) for number in numbers]
        yield Chunk(np.stack([image for image, _ in pairs]), np.array([label for _, label in pairs]), test)


def _ask_class(question: Callable[[], Any], dataset: Dataset, what: str) -> Any:
    """Return what the class answers; raise its exceptions as a UserError."""
    assert isinstance(dataset.source, TorchvisionSource)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of oddities in pictures that change no pixel
            return question()
    except Exception as error:  # classes raise what they like
        raise UserError(
            f"torchvision.datasets.{dataset.source.torchvision}: {what}: {summarise_error(error)}; mend its files "
            "or correct its arguments in config/datasets.yaml"
        ) from error


def _read_item(items: Any, number: int, dataset: Dataset) -> tuple[NDArray[np.uint8], int]:
    """Read one image uint8 [C, H, W] and its label."""
    assert isinstance(dataset.source, TorchvisionSource)
    where = f"torchvision.datasets.{dataset.source.torchvision}: item {number}"
    entry = _ask_class(lambda: items[number], dataset, f"item {number}")
    if not isinstance(entry, tuple) or len(entry) != 2:
        raise UserError(f"{where}: is no pair of picture and label; only classification datasets fit")
    image, label = entry
    if not isinstance(image, Image.Image):
        raise UserError(f"{where}: is a {type(image).__name__}, not a picture; only image datasets fit")
    try:
        return convert_picture(image, dataset.shape, dataset.source.fit, where), index(label)
    except (TypeError, ValueError, RuntimeError) as error:  # what NumPy's and torch's numbers raise
        raise UserError(
            f"{where}: its label {label!r:.60} is no integer; only classification datasets fit"
        ) from error
