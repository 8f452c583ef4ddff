"""Manifests: the small JSON files, kept in git, that say what a prepared file must contain.

Imports no torch: preparing and verifying need none.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from guidebp.errors import UserError

BLOCK = 1 << 22  # bytes
HEADER = 1 << 16  # bytes
# The arrays of a prepared file: safetensors' and NumPy's name of their type, number of dimensions.
ARRAYS = {"images": ("U8", "|u1", 4), "labels": ("I16", "<i2", 1), "test": ("U8", "|u1", 1)}


def read_manifest(folder: Path, dataset: str) -> dict[str, Any]:
    """The manifest of a prepared dataset; UserError when there is none or it is no JSON object."""
    path = folder / f"{dataset}.json"
    explain_remake = f"run: snakemake {path}"
    if not path.exists():
        raise UserError(f"{path}: no manifest of dataset '{dataset}'; {remedy}")
    try:
        manifest = json.loads(path.read_text(), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not a JSON manifest ({error}); delete it and {remedy}") from error
    if not isinstance(manifest, dict):
        raise UserError(f"{path}: expected a JSON object; delete it and {remedy}")
    return manifest


def _no_number(text: str) -> None:
    raise ValueError(f"holds {text}")


def compute_content_hash(arrays: Mapping[str, NDArray[Any]]) -> str:
    """sha256 over names, types, shapes and bytes, in name order: independent of the file's layout."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(format_array_line(name, array.dtype, array.shape))
        digest.update(array.data)
    return digest.hexdigest()


def format_array_line(name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    """What a content hash takes in before an array's bytes."""
    return f"{name} {dtype.str} {shape}\n".encode()


class PreparedFile:
    """A prepared file read block by block: memory-mapping it would count as memory of the reader.

    Raises UserError when it is not a safetensors file as preparing writes it.
    """

    def __init__(self, path: Path) -> None:
        """Read and check the header."""
        self.path = path
        try:
            with path.open("rb") as file:
                length = int.from_bytes(file.read(8), "little")
                if length > HEADER:
                    raise ValueError("its header is too long")
                entries: dict[str, Any] = json.loads(file.read(length).decode())
            self.places = places(entries, 8 + length, path.stat().st_size)
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise UserError(f"{path}: not a prepared dataset ({error}); {remedy(path)}") from error

    def blocks(self, name: str) -> Iterator[NDArray[Any]]:
        """The rows of an array, some at a time."""
        start, dtype, shape = self.places[name]
        size = prod(shape[1:])
        rows = max(1, BLOCK // (size * dtype.itemsize))
        with self.path.open("rb") as file:
            file.seek(start)
            for row in range(0, shape[0], rows):
                count = min(rows, shape[0] - row)
                found = file.read(count * size * dtype.itemsize)
                yield np.frombuffer(found, dtype).reshape(count, *shape[1:])

    def compute_content_hash(self) -> str:
        """As the function of this name gives it for the arrays in memory."""
        digest = hashlib.sha256()
        for name, (_, dtype, shape) in sorted(self.places.items()):
            digest.update(format_array_line(name, dtype, shape))
            for block in self.blocks(name):
                digest.update(block.data)
        return digest.hexdigest()


def places(
    entries: dict[str, Any], start: int, end: int
) -> dict[str, tuple[int, np.dtype[Any], tuple[int, ...]]]:
    """Start, type and shape of each array, which together fill the file from `start` to `end`.

    `entries` are those of the header; ValueError and the like when they do not describe a prepared file.
    """
    if entries.keys() != ARRAYS.keys():
        raise ValueError(f"it does not hold the arrays {', '.join(ARRAYS)}")
    found, at = {}, 0
    for name, entry in sorted(entries.items(), key=lambda item: item[1]["data_offsets"]):
        kind, dtype, dimensions = ARRAYS[name]
        shape, offsets = tuple(entry["shape"]), entry["data_offsets"]
        if any(type(number) is not int for number in (*shape, *offsets)) or min(shape, default=0) < 1:
            raise ValueError(f"'{name}' has an impossible size or place")
        if entry["dtype"] != kind or len(shape) != dimensions or shape[0] != entries["labels"]["shape"][0]:
            raise ValueError(f"'{name}' has another type or shape")
        size = prod(shape) * np.dtype(dtype).itemsize
        if offsets != [at, at + size]:
            raise ValueError(f"'{name}' is not where its header says")
        found[name] = (start + at, np.dtype(dtype), shape)
        at += size
    if start + at != end:
        raise ValueError("it is longer or shorter than its header says")
    return found


def check_content_hash(found: str, manifest: Mapping[str, Any], path: Path) -> None:
    """UserError when the hash of a prepared file's contents is not that of its manifest."""
    if found != manifest.get("sha256"):
        raise UserError(
            f"{path}: its contents differ from the manifest {path.with_suffix('.json')}; {remedy(path)}"
        )


def explain_remake(path: Path) -> str:
    """How to make a prepared file anew."""
    return f"delete it and run: snakemake {path}"
