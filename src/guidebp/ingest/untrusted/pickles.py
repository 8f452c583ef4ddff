"""Read a pickle that may build nothing but numbers, bytes, strings, lists, dictionaries and arrays of numbers.

A pickle is a program: unpickling one may run anything. Two barriers: the file may hold only the
instructions that plain data and arrays need, none with an argument that asks for memory beyond the file's own
size; and the few names that arrays need (`STAND_INS`) stand for stand-ins of this module, so that no code of
NumPy or of anybody else runs on what the file says.
"""

import pickle
import pickletools
import warnings
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from guidebp.errors import UserError, summarise_error

LIMIT = 1 << 30  # bytes of a file
INSTRUCTIONS = """
    PROTO FRAME STOP MARK NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1
    STRING BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8
    UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8
    EMPTY_LIST LIST APPEND APPENDS EMPTY_DICT DICT SETITEM SETITEMS
    EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3
    PUT BINPUT LONG_BINPUT MEMOIZE GET BINGET LONG_BINGET GLOBAL STACK_GLOBAL REDUCE BUILD
"""
ALLOWED = frozenset(INSTRUCTIONS.split())
HOLDERS = {code for code in ALLOWED if "LIST" in code or "DICT" in code or "TUPLE" in code} | {"REDUCE"}
CODES = {code.code.encode("latin-1"): code for code in pickletools.opcodes}
MANY = 1_000  # holders; tuples nested deeper than Python can hash would end the process
NUMBERS = {"u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8", "b1"}


def read_pickle(path: Path) -> Any:
    """Return what the pickle holds, arrays as NumPy arrays; UserError when it holds or asks for anything else."""
    size = path.stat().st_size
    if size > LIMIT:
        raise UserError(f"{path}: refused: more than {LIMIT} bytes; delete it and fetch again")
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python's, of odd escapes in strings
            _check_instructions(_BoundedFile(file, size), size)
            file.seek(0)
            return _replace_stand_ins(_Reader(file, encoding="bytes").load())
    except (pickle.UnpicklingError, MemoryError, RecursionError, OverflowError) as error:
        raise UserError(f"{path}: refused: {summarise_error(error)}; delete it and fetch again") from error
    except (ValueError, TypeError, EOFError, IndexError, KeyError, AttributeError) as error:
        raise UserError(
            f"{path}: no such pickle as CIFAR's ({summarise_error(error)}); delete it and fetch again"
        ) from error


class _BoundedFile:
    """A file that is never asked for more bytes than it has, which would take the memory for them first."""

    def __init__(self, file: Any, size: int) -> None:
        self.file, self.size, self.readline = file, size, file.readline

    def read(self, size: int) -> bytes:
        content: bytes = self.file.read(min(size, self.size))
        return content


def _check_instructions(file: Any, size: int) -> None:
    """UnpicklingError at an instruction beyond ALLOWED, or one that asks for more than a file of `size` may."""
    holders = 0
    for count, (name, argument) in enumerate(_iterate_instructions(file)):
        if name not in ALLOWED:
            raise pickle.UnpicklingError(f"holds the instruction {name}, which plain data does not need")
        if name in ("PUT", "BINPUT", "LONG_BINPUT") and argument > count:
            raise pickle.UnpicklingError(f"numbers an object {argument} before it has built as many")
        if name == "FRAME" and argument > size:
            raise pickle.UnpicklingError(f"announces {argument} bytes in a file of {size}")
        holders += name in HOLDERS
        if holders > MANY:
            raise pickle.UnpicklingError(f"holds more than {MANY} lists, tuples and the like")


def _iterate_instructions(file: Any) -> Iterator[tuple[str, Any]]:
    """Yield name and argument of every instruction, as `pickletools.genops`, which knows only ASCII strings."""
    name = ""
    while name != "STOP":
        byte = file.read(1)
        if byte not in CODES:
            raise ValueError(f"holds no instruction {byte!r}" if byte else "ends too early")
        name, argument = CODES[byte].name, CODES[byte].arg
        if argument is None or name == "STRING":
            yield name, file.readline() if argument else None
        else:
            yield name, argument.reader(file)


class _StandIn:
    """Stands for something that an array needs, while the pickle is read.

    Stand-ins are classes with `__setstate__`: of anything else, a pickle could change the attributes.
    """

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("gives a state to what has none")


class _Array(_StandIn):
    """An array, as `_reconstruct` makes it: with a class, an empty shape and a type, filled later."""

    value: NDArray[Any] | None = None

    def __init__(self, *ignored: Any) -> None:
        """Nothing yet."""

    def __setstate__(self, state: Any) -> None:
        version, shape, dtype, fortran, raw = state
        if version != 1 or fortran is not False:
            raise pickle.UnpicklingError("holds an array that is not plain")
        self.fill(raw, dtype, shape)

    def fill(self, raw: Any, dtype: Any, shape: Any) -> None:
        """Take in the bytes."""
        sound = type(shape) is tuple and type(dtype) is _Dtype and type(raw) in (bytes, bytearray)
        if not sound or not all(type(n) is int and n >= 0 for n in shape):
            raise pickle.UnpicklingError("holds an array that is not plain")
        numbers = np.frombuffer(raw, dtype.order + dtype.name)
        if numbers.size != prod(shape):
            raise pickle.UnpicklingError("holds an array whose bytes do not fill its shape")
        self.value = numbers.reshape(shape)


class _FromBuffer(_Array):
    """An array, as `_frombuffer` makes it (protocol 5): from its bytes."""

    def __init__(self, raw: Any, dtype: Any, shape: Any, order: Any) -> None:
        if order != "C":
            raise pickle.UnpicklingError("holds an array that is not plain")
        self.fill(raw, dtype, shape)


class _Dtype(_StandIn):
    """A type of numbers."""

    order = "<"

    def __init__(self, name: Any, align: Any, copy: Any) -> None:
        self.name = name.decode("ascii") if type(name) is bytes else name
        if self.name not in NUMBERS:
            raise pickle.UnpicklingError("holds an array of something other than numbers")

    def __setstate__(self, state: Any) -> None:
        order = state[1].decode("ascii") if type(state[1]) is bytes else state[1]
        if order not in ("<", ">", "|", "=") or any(item is not None for item in state[2:5]):
            raise pickle.UnpicklingError("holds an array of something other than plain numbers")
        self.order = order


class _Encode(_StandIn):
    """`_codecs.encode`, by which Python 3 writes bytes in protocols that have none; calling it gives the bytes."""

    def __new__(cls, text: Any, encoding: Any) -> Any:
        if type(text) is not str or encoding != "latin1":
            raise pickle.UnpicklingError("holds encoded text that is no bytes")
        return text.encode("latin1")


STAND_INS: dict[tuple[str, str], type[_StandIn]] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy.core.numeric", "_frombuffer"): _FromBuffer,
    ("numpy._core.numeric", "_frombuffer"): _FromBuffer,
    ("_codecs", "encode"): _Encode,
}


class _Reader(pickle.Unpickler):
    """Knows the stand-ins and no other name."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in STAND_INS:
            raise pickle.UnpicklingError(f"asks for {module}.{name}")
        return STAND_INS[module, name]

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("asks for an object outside the file")


def _replace_stand_ins(value: Any) -> Any:
    """Return the value with arrays instead of their stand-ins, one level down; anything deeper is left out."""
    if isinstance(value, _Array):
        if value.value is None:
            raise pickle.UnpicklingError("holds an array without contents")
        return value.value
    if isinstance(value, dict):
        return {
            key: _replace_stand_ins(item) if isinstance(item, _Array) else item for key, item in value.items()
        }
    return value
