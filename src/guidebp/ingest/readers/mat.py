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

from guidebp.errors import UserError
from guidebp.ingest.contents import Chunk, DatasetContents, count_chunk_rows
from guidebp.ingest.readers import list_raw_paths
from guidebp.ingest.untrusted.archives import allowed
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


def read(folder: Path, dataset: Dataset) -> DatasetContents:
    """Files in the order training images, test images; or the first alone."""
    paths = list_raw_paths(folder, dataset, 1, 2)

    def parts() -> Iterator[Chunk]:
        for number, path in enumerate(paths):
            try:
                yield from read_file(path, dataset, test=number == 1)
            except (ValueError, struct.error, zlib.error) as error:
                raise UserError(
                    f"{path}: no intact MATLAB file of version 5 ({reason(error)}); delete it and fetch again"
                ) from error

    return DatasetContents(parts())


def read_file(path: Path, dataset: Dataset, test: bool) -> Iterator[Chunk]:
    """One file, part by part; ValueError when it is not what it should be."""
    channels, height, width = dataset.shape
    with path.open("rb") as file:
        found = variables(file)
        if not {"X", "y"} <= found.keys():
            raise ValueError("expected the arrays X and y")
        limit = allowed(path)
        labels, images = read_labels(found["y"], limit, dataset.class_count), found["X"]
        if images.shape != (height, width, channels, len(labels)):
            raise ValueError(
                f"X is {images.shape} for {len(labels)} labels, the catalogue's shape is {dataset.shape}"
            )
        if images.kind != UINT8 or stored_as(images, limit) != np.uint8:
            raise ValueError("X does not hold bytes")
        rows = count_chunk_rows(dataset.shape)
        for start in range(0, len(labels), rows):
            numbers = labels[start : start + rows]
            pixels = images.element.read(len(numbers) * channels * width * height)
            turned = np.frombuffer(pixels, np.uint8).reshape(len(numbers), channels, width, height)
            yield Chunk(turned.transpose(0, 1, 3, 2), numbers, test)
        images.element.end()


class Element:
    """What is inside one element of the file, unpacked if it is packed."""

    def __init__(self, file: IO[bytes], order: str, size: int, packed: bool) -> None:
        self.file, self.order, self.place, self.left = file, order, file.tell(), size
        self.unpacker = zlib.decompressobj() if packed else None

    def stored(self, size: int) -> bytes:
        """At most `size` bytes as they are in the file."""
        self.file.seek(self.place)
        found = self.file.read(min(size, self.left))
        self.place += len(found)
        self.left -= len(found)
        return found

    def some(self, size: int) -> bytes:
        """At most `size` bytes, none at the end only."""
        if self.unpacker is None:
            return self.stored(size)
        block = b""
        while not block and not self.unpacker.eof:
            data = self.unpacker.unconsumed_tail or self.stored(BLOCK)
            block = self.unpacker.decompress(data, size)
            if not data and not block:
                raise ValueError("ends too early")
        return block

    def read(self, size: int) -> bytes:
        """Exactly `size` bytes."""
        found = bytearray()
        while len(found) < size:
            block = self.some(size - len(found))
            if not block:
                raise ValueError("ends too early")
            found += block
        return bytes(found)

    def end(self) -> None:
        """ValueError when more than padding is left, or the checksum of a packed element is wrong."""
        left = 8
        while left > 0 and (block := self.some(left)):
            left -= len(block)
        if left <= 0:
            raise ValueError("goes on after its values")

    def numbers(self, form: str) -> tuple[int, ...]:
        """Numbers in the file's byte order."""
        return struct.unpack(self.order + form, self.read(struct.calcsize("=" + form)))

    def tag(self) -> tuple[int, int, int]:
        """Type, size and padding of the element that begins here; up to four bytes share the tag's place."""
        (kind,) = self.numbers("I")
        if kind >> 16:
            return kind & 0xFFFF, kind >> 16, 4 - (kind >> 16)
        (size,) = self.numbers("I")
        return kind, size, -size % 8

    def short(self) -> bytes:
        """The contents of the element that begins here."""
        _, size, padding = self.tag()
        if size > SHORT or padding < 0:
            raise ValueError("has no sound head")
        return self.read(size + padding)[:size]


class Variable(NamedTuple):
    """A variable of the file.

    Attributes:
        kind: its class; 0 for complex and for logical numbers.
        element: what follows its name.
    """

    kind: int
    shape: tuple[int, ...]
    element: Element


def variables(file: IO[bytes]) -> dict[str, Variable]:
    """All variables by name, their values still in the file."""
    order = ORDERS.get(file.read(128)[124:])
    if order is None:
        raise ValueError("no such head")
    found: dict[str, Variable] = {}
    while tag := file.read(8):
        kind, size = struct.unpack(order + "2I", tag)
        element = Element(file, order, size, packed=kind == PACKED)
        after = element.place + size
        if kind == PACKED:
            kind, _ = element.numbers("2I")
        flags, shape, name = element.short(), element.short(), element.short().decode("latin-1")
        if kind != MATRIX or len(found) == VARIABLES or name in found:
            raise ValueError(f"holds something else than {VARIABLES} variables at most")
        (word,) = struct.unpack_from(order + "I", flags)
        plain = 0 if word & COMPLEX_OR_LOGICAL else word & 0xFF
        found[name] = Variable(plain, tuple(np.frombuffer(shape, order + "i4").tolist()), element)
        file.seek(after)
    return found


def stored_as(variable: Variable, limit: int) -> np.dtype[np.generic]:
    """The type of the stored values, which come next; ValueError when they are not as many as the shape says."""
    kind, size, padding = variable.element.tag()
    if variable.kind not in NUMBERS or kind not in STORED:
        raise ValueError("X or y holds no plain numbers")
    dtype = np.dtype(variable.element.order + STORED[kind])
    if size != prod(variable.shape) * dtype.itemsize or padding < 0:
        raise ValueError(f"an array of {variable.shape} has {size} bytes")
    if size > limit:
        raise ValueError(f"an array of {variable.shape} in so small a file, a bomb")
    return dtype


def read_labels(variable: Variable, limit: int, highest: int) -> NDArray[np.int64]:
    """The labels, with 0 for the highest."""
    dtype = stored_as(variable, limit)
    if len(variable.shape) != 2 or variable.shape[1] != 1:
        raise ValueError(f"y is {variable.shape}, no column")
    labels = np.frombuffer(variable.element.read(variable.shape[0] * dtype.itemsize), dtype)
    variable.element.end()
    with np.errstate(invalid="ignore"):
        whole = labels.astype(np.int64)
    if (whole != labels).any():
        raise ValueError("y holds labels that are no integers")
    return np.where(whole == highest, 0, whole)
