"""Manifests: small JSON files in git that describe the required contents of prepared files.

This module does not import torch: preparing and verifying do not need it.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import NamedTuple

import numpy as np

from guidebp.errors import UserError
from guidebp.hashing import encode_readable_json
from guidebp.runs.json_fields import from_json

PreparedType = np.dtype[np.uint8 | np.int16]
PreparedArray = np.ndarray[tuple[int, ...], PreparedType]

READ_BLOCK = 1 << 22  # bytes
MAX_HEADER_BYTES = 1 << 16
# The arrays of a prepared file: safetensors' and NumPy's name of their type, number of dimensions.
ARRAY_TYPES = {"images": ("U8", "|u1", 4), "labels": ("I16", "<i2", 1), "test": ("U8", "|u1", 1)}
PARSE_ERRORS = (ValueError, LookupError, TypeError, AttributeError, RecursionError)


@dataclass(frozen=True)
class ManifestClassCounts:
    """Number of images per class, in the order of the labels.

    Attributes:
        training: images outside the official test set.
        test: official test images.
    """

    training: tuple[int, ...]
    test: tuple[int, ...]


@dataclass(frozen=True)
class ManifestCopyCounts:
    """Exact copies among the images.

    Attributes:
        within_training: training images that equal an earlier training image.
        within_test: official test images that equal an earlier one.
        test_in_training: positions in the official test set of the images that equal a training image.
        dropped: number of copies that were left out.
    """

    within_training: int
    within_test: int
    test_in_training: tuple[int, ...]
    dropped: int


@dataclass(frozen=True)
class Manifest:
    """Description of a prepared dataset; the JSON file has the fields in this order.

    Attributes:
        dataset: name in the catalogue.
        sha256: content hash of the prepared arrays; runs identify their data by it.
        images: number of all images.
        official_test_images: number of images in the official test set.
        shape: channels, height, width.
        classes: names in the order of the labels.
        mean, deviation: statistics per channel of the training images, for values from 0 to 255.
        files: sha256 of each file that the dataset was prepared from.
    """

    dataset: str
    sha256: str
    images: int
    official_test_images: int
    shape: tuple[int, int, int]
    classes: tuple[str, ...]
    per_class: ManifestClassCounts
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    copies: ManifestCopyCounts
    files: dict[str, str]

    def to_json(self) -> dict[str, object]:
        """Return the JSON object of the manifest file."""
        return asdict(self)

    def to_bytes(self) -> bytes:
        """Return the content of the manifest file."""
        return encode_readable_json(self.to_json())


def read_manifest(folder: Path, dataset: str) -> Manifest:
    """Read the manifest of a prepared dataset. Raises UserError when it is missing or damaged."""
    path = folder / f"{dataset}.json"
    command = f"run: snakemake {path}"
    if not path.exists():
        raise UserError(f"{path}: no manifest of dataset '{dataset}'; {command}")
    try:
        value = json.loads(path.read_text(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not a JSON manifest ({error}); delete it and {command}") from error
    if not isinstance(value, dict):
        raise UserError(f"{path}: expected a JSON object; delete it and {command}")
    try:
        return from_json(Manifest, value)
    except ValueError as error:
        raise UserError(
            f"{path}: not a complete manifest ({error!s:.200}); delete it and {command}"
        ) from error


def _refuse_constant(text: str) -> None:
    raise ValueError(f"holds {text}")


def compute_content_hash(arrays: Mapping[str, PreparedArray]) -> str:
    """Return the sha256 over names, types, shapes and bytes of the arrays, sorted by name.

    It does not depend on the file's layout.
    """
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(format_array_line(name, array.dtype, array.shape))
        digest.update(array.data)
    return digest.hexdigest()


def format_array_line(name: str, dtype: PreparedType, shape: tuple[int, ...]) -> bytes:
    """Return the line that is hashed before an array's bytes."""
    return f"{name} {dtype.str} {shape}\n".encode()


class _ArraySpan(NamedTuple):
    """The start of an array in a prepared file, in bytes, with its type and shape."""

    start: int
    dtype: PreparedType
    shape: tuple[int, ...]


class PreparedFile:
    """A prepared file, read block by block: a memory map would count as memory of the reader.

    Raises UserError when it is not a safetensors file as preparing writes it.
    """

    def __init__(self, path: Path) -> None:
        """Read and check the header."""
        self.path = path
        try:
            with path.open("rb") as file:
                length = int.from_bytes(file.read(8), "little")
                if length > MAX_HEADER_BYTES:
                    raise ValueError("its header is too long")
                header = json.loads(file.read(length).decode())
            self._spans = _read_array_spans(header, 8 + length, path.stat().st_size)
        except (OSError, *PARSE_ERRORS) as error:
            raise UserError(f"{path}: not a prepared dataset ({error}); {explain_remake(path)}") from error

    def read_blocks(self, name: str) -> Iterator[PreparedArray]:
        """Yield the rows of an array in blocks."""
        start, dtype, shape = self._spans[name]
        size = prod(shape[1:])
        rows = max(1, READ_BLOCK // (size * dtype.itemsize))
        with self.path.open("rb") as file:
            file.seek(start)
            for row in range(0, shape[0], rows):
                count = min(rows, shape[0] - row)
                content = file.read(count * size * dtype.itemsize)
                yield np.frombuffer(content, dtype).reshape(count, *shape[1:])

    def compute_content_hash(self) -> str:
        """Return the hash that the module's `compute_content_hash` returns for the same arrays in memory."""
        digest = hashlib.sha256()
        for name, (_, dtype, shape) in sorted(self._spans.items()):
            digest.update(format_array_line(name, dtype, shape))
            for block in self.read_blocks(name):
                digest.update(block.data)
        return digest.hexdigest()


def _read_array_spans(header: object, start: int, end: int) -> dict[str, _ArraySpan]:
    """Return the span of each array in the header; together they fill the file from `start` to `end`.

    Raises ValueError or another of PARSE_ERRORS when the header does not describe a prepared file.
    """
    if not isinstance(header, dict) or header.keys() != ARRAY_TYPES.keys():
        raise ValueError(f"it does not hold the arrays {', '.join(ARRAY_TYPES)}")
    spans, position = {}, 0
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        kind, type_name, dimensions = ARRAY_TYPES[name]
        dtype = np.dtype(type_name)
        shape, offsets = tuple(entry["shape"]), entry["data_offsets"]
        if any(type(number) is not int for number in (*shape, *offsets)) or min(shape, default=0) < 1:
            raise ValueError(f"'{name}' has an impossible size or position")
        if entry["dtype"] != kind or len(shape) != dimensions or shape[0] != header["labels"]["shape"][0]:
            raise ValueError(f"'{name}' has another type or shape")
        size = prod(shape) * dtype.itemsize
        if offsets != [position, position + size]:
            raise ValueError(f"'{name}' is not where its header says")
        spans[name] = _ArraySpan(start + position, dtype, shape)
        position += size
    if start + position != end:
        raise ValueError("it is longer or shorter than its header says")
    return spans


def check_content_hash(content_hash: str, manifest: Manifest, path: Path) -> None:
    """Raise UserError when the content hash of a prepared file differs from its manifest's."""
    if content_hash != manifest.sha256:
        raise UserError(
            f"{path}: its contents differ from the manifest {path.with_suffix('.json')}; {explain_remake(path)}"
        )


def explain_remake(path: Path) -> str:
    """Return the clause of a message that says how to prepare a file anew."""
    return f"delete it and run: snakemake {path}"
