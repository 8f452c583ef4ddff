"""SVHN's MATLAB files: `X` uint8 [32, 32, 3, N] and `y` [N, 1], where 10 stands for the digit 0.

Read here and not by SciPy, which a damaged file can crash and which holds all of X in memory. The format is
level 5 of MathWorks' "MAT-File Format": a head of 128 bytes, then one element per variable, packed by zlib or
not: a tag (type and size) and inside it flags, dimensions, name and values, each an element itself.
"""

import struct
import zlib
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from guidebp.errors import UserError, summarise_error
from guidebp.ingest.contents import Chunk, DatasetContents, count_chunk_rows
from guidebp.ingest.readers import list_raw_paths
from guidebp.ingest.untrusted.archives import get_unpacked_limit
from guidebp.schema.datasets import Dataset

ORDERS = {b"\0\1IM": "<", b"\1\0MI": ">"}  # version and byte order at the end of the head
BLOCK = 1 << 16  # packed bytes taken at once
SHORT = 1 << 10  # bytes of flags, dimensions or name
VARIABLES = 16
MATRIX, PACKED = 14, 15  # types of a variable's element
NUMBERS = range(6, 16)  # classes: double, single, int8, uint8 ... uint64; others are no arrays of numbers
UINT8 = 9
COMPLEX_OR_LOGICAL = 0x0A00
# Types of the values as they are stored, which may be narrower than the variable's class.
STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}


def read_mat(folder: Path, dataset: Dataset) -> DatasetContents:
    """Files in the order training images, test images; or the first alone."""
    paths = list_raw_paths(folder, dataset, 1, 2)

    def read_chunks() -> Iterator[Chunk]:
        for number, path in enumerate(paths):
            try:
                yield from _read_mat_file(path, dataset, test=number == 1)
            except (ValueError, struct.error, zlib.error) as error:
                problem = f"no intact MATLAB file of version 5 ({summarise_error(error)})"
                raise UserError(f"{path}: {problem}; delete it and fetch again") from error

    return DatasetContents(read_chunks())


def _read_mat_file(path: Path, dataset: Dataset, test: bool) -> Iterator[Chunk]:
    """Yield one file, chunk by chunk; ValueError when it is not what it should be."""
    channels, height, width = dataset.shape
    with path.open("rb") as file:
        variables = _read_variables(file)
        if not {"X", "y"} <= variables.keys():
            raise ValueError("expected the arrays X and y")
        limit = get_unpacked_limit(path)
        labels, images = _read_labels(variables["y"], limit, dataset.class_count), variables["X"]
        if images.shape != (height, width, channels, len(labels)):
            raise ValueError(
                f"X is {images.shape} for {len(labels)} labels, the catalogue's shape is {dataset.shape}"
            )
        if images.kind != UINT8 or _read_stored_type(images, limit) != np.uint8:
            raise ValueError("X does not hold bytes")
        rows = count_chunk_rows(dataset.shape)
        for start in range(0, len(labels), rows):
            numbers = labels[start : start + rows]
            pixels = images.element.read(len(numbers) * channels * width * height)
            turned = np.frombuffer(pixels, np.uint8).reshape(len(numbers), channels, width, height)
            yield Chunk(turned.transpose(0, 1, 3, 2), numbers, test)
        images.element.check_end()


class _MatElement:
    """The content of one element of the file, decompressed if it is packed."""

    def __init__(self, file: IO[bytes], order: str, size: int, packed: bool) -> None:
        self.file, self.order, self.position, self.left = file, order, file.tell(), size
        self.unpacker = zlib.decompressobj() if packed else None

    def _read_stored(self, size: int) -> bytes:
        """Return at most `size` bytes as they are in the file."""
        self.file.seek(self.position)
        content = self.file.read(min(size, self.left))
        self.position += len(content)
        self.left -= len(content)
        return content

    def read_at_most(self, size: int) -> bytes:
        """Return at most `size` bytes, none at the end only."""
        if self.unpacker is None:
            return self._read_stored(size)
        block = b""
        while not block and not self.unpacker.eof:
            data = self.unpacker.unconsumed_tail or self._read_stored(BLOCK)
            block = self.unpacker.decompress(data, size)
            if not data and not block:
                raise ValueError("ends too early")
        return block

    def read(self, size: int) -> bytes:
        """Return exactly `size` bytes."""
        content = bytearray()
        while len(content) < size:
            block = self.read_at_most(size - len(content))
            if not block:
                raise ValueError("ends too early")
            content += block
        return bytes(content)

    def check_end(self) -> None:
        """Raise ValueError when more than padding is left, or the checksum of a packed element is wrong."""
        left = 8
        while left > 0 and (block := self.read_at_most(left)):
            left -= len(block)
        if left <= 0:
            raise ValueError("goes on after its values")

    def read_numbers(self, form: str) -> tuple[int, ...]:
        """Return numbers in the file's byte order."""
        return struct.unpack(self.order + form, self.read(struct.calcsize("=" + form)))

    def read_tag(self) -> tuple[int, int, int]:
        """Return type, size and padding of the element that begins here; up to four bytes lie within the tag."""
        (kind,) = self.read_numbers("I")
        if kind >> 16:
            return kind & 0xFFFF, kind >> 16, 4 - (kind >> 16)
        (size,) = self.read_numbers("I")
        return kind, size, -size % 8

    def read_short(self) -> bytes:
        """Return the content of the short element that begins here."""
        _, size, padding = self.read_tag()
        if size > SHORT or padding < 0:
            raise ValueError("has no sound head")
        return self.read(size + padding)[:size]


class _MatVariable(NamedTuple):
    """A variable of the file.

    Attributes:
        kind: its class; 0 for complex and for logical numbers.
        element: what follows its name.
    """

    kind: int
    shape: tuple[int, ...]
    element: _MatElement


def _read_variables(file: IO[bytes]) -> dict[str, _MatVariable]:
    """Return all variables by name, their values still in the file."""
    order = ORDERS.get(file.read(128)[124:])
    if order is None:
        raise ValueError("no such head")
    variables: dict[str, _MatVariable] = {}
    while tag := file.read(8):
        kind, size = struct.unpack(order + "2I", tag)
        element = _MatElement(file, order, size, packed=kind == PACKED)
        after = element.position + size
        if kind == PACKED:
            kind, _ = element.read_numbers("2I")
        flags, shape, name = (
            element.read_short(),
            element.read_short(),
            element.read_short().decode("latin-1"),
        )
        if kind != MATRIX or len(variables) == VARIABLES or name in variables:
            raise ValueError(f"holds something else than {VARIABLES} variables at most")
        (word,) = struct.unpack_from(order + "I", flags)
        plain = 0 if word & COMPLEX_OR_LOGICAL else word & 0xFF
        variables[name] = _MatVariable(plain, tuple(np.frombuffer(shape, order + "i4").tolist()), element)
        file.seek(after)
    return variables


def _read_stored_type(variable: _MatVariable, limit: int) -> np.dtype[np.generic]:
    """Return the type of the stored values, which come next; ValueError when their size is not the shape's."""
    kind, size, padding = variable.element.read_tag()
    if variable.kind not in NUMBERS or kind not in STORED:
        raise ValueError("X or y holds no plain numbers")
    dtype = np.dtype(variable.element.order + STORED[kind])
    if size != prod(variable.shape) * dtype.itemsize or padding < 0:
        raise ValueError(f"an array of {variable.shape} has {size} bytes")
    if size > limit:
        raise ValueError(f"an array of {variable.shape} in so small a file, a bomb")
    return dtype


def _read_labels(variable: _MatVariable, limit: int, highest: int) -> NDArray[np.int64]:
    """Return the labels, with 0 for the highest."""
    dtype = _read_stored_type(variable, limit)
    if len(variable.shape) != 2 or variable.shape[1] != 1:
        raise ValueError(f"y is {variable.shape}, no column")
    labels = np.frombuffer(variable.element.read(variable.shape[0] * dtype.itemsize), dtype)
    variable.element.check_end()
    with np.errstate(invalid="ignore"):
        whole = labels.astype(np.int64)
    if (whole != labels).any():
        raise ValueError("y holds labels that are no integers")
    return np.where(whole == highest, 0, whole)
