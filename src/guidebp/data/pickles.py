"""Read a pickle that may build nothing but numbers, bytes, strings, lists, dictionaries and arrays of numbers.

A pickle is a program: unpickling one may run anything. Two barriers: the file may hold only the
instructions that plain data and arrays need, none with an argument that asks for memory beyond the file's own
size; and the three names that arrays need (`numpy.ndarray`, `numpy.dtype`, `_reconstruct`) stand for
stand-ins of this module, so that no code of NumPy or of anybody else runs on what the file says.
"""

import pickle
import pickletools
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from guidebp.errors import UserError

LIMIT = 1 << 30  # bytes of a file
INSTRUCTIONS = """
    PROTO FRAME STOP MARK NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1
    STRING BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES BINBYTES8
    UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8
    EMPTY_LIST LIST APPEND APPENDS EMPTY_DICT DICT SETITEM SETITEMS
    EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3
    PUT BINPUT LONG_BINPUT MEMOIZE GET BINGET LONG_BINGET GLOBAL STACK_GLOBAL REDUCE BUILD
"""
ALLOWED = frozenset(INSTRUCTIONS.split())
NUMBERS = {"u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8", "b1"}


def read_pickle(path: Path) -> Any:
    """What the pickle holds, arrays as NumPy arrays; UserError when it holds or asks for anything else."""
    if path.stat().st_size > LIMIT:
        raise UserError(f"{path}: refused: more than {LIMIT} bytes")
    try:
        with path.open("rb") as file:
            check_instructions(file)
            file.seek(0)
            return settled(_Reader(file, encoding="bytes").load())
    except (pickle.UnpicklingError, MemoryError, RecursionError, OverflowError) as error:
        raise UserError(f"{path}: refused: {error}; delete it and fetch again") from error
    except (ValueError, TypeError, EOFError, IndexError, KeyError, AttributeError) as error:
        raise UserError(f"{path}: no such pickle as CIFAR's ({error}); delete it and fetch again") from error


def check_instructions(file: Any) -> None:
    """UnpicklingError at an instruction beyond ALLOWED, or an index into the memo that nothing has filled."""
    for count, (code, argument, _) in enumerate(pickletools.genops(file)):
        if code.name not in ALLOWED:
            raise pickle.UnpicklingError(f"holds the instruction {code.name}, which plain data does not need")
        if code.name in ("PUT", "BINPUT", "LONG_BINPUT") and int(argument or 0) > count:
            raise pickle.UnpicklingError(f"numbers an object {argument} before it has built as many")


class _Array:
    """Stands for an array while the pickle is read."""

    value: NDArray[Any] | None = None

    def __init__(self, *ignored: Any) -> None:
        """As `_reconstruct`, which is called with a class, an empty shape and a type."""

    def __setstate__(self, state: Any) -> None:
        version, shape, dtype, fortran, raw = state
        sound = version == 1 and type(shape) is tuple and type(dtype) is _Dtype and type(raw) is bytes
        if not sound or fortran is not False or not all(type(n) is int and n >= 0 for n in shape):
            raise pickle.UnpicklingError("holds an array that is not plain")
        numbers = np.frombuffer(raw, dtype.order + dtype.name)
        if numbers.size != prod(shape):
            raise pickle.UnpicklingError("holds an array whose bytes do not fill its shape")
        self.value = numbers.reshape(shape)


class _Dtype:
    """Stands for a type of numbers while the pickle is read."""

    order = "<"

    def __init__(self, name: Any, align: Any, copy: Any) -> None:
        self.name = name.decode("ascii") if type(name) is bytes else name
        if self.name not in NUMBERS:
            raise pickle.UnpicklingError("holds an array of something other than numbers")

    def __setstate__(self, state: Any) -> None:
        order = state[1].decode("ascii") if type(state[1]) is bytes else state[1]
        if order not in ("<", ">", "|", "=") or any(part is not None for part in state[2:5]):
            raise pickle.UnpicklingError("holds an array of something other than plain numbers")
        self.order = order


# Classes only: an instruction could change the attributes of a function.
STAND_INS = {
    (module, name): stand_in
    for module in ("numpy", "numpy.core.multiarray", "numpy._core.multiarray")
    for name, stand_in in (("ndarray", _Array), ("dtype", _Dtype), ("_reconstruct", _Array))
}


class _Reader(pickle.Unpickler):
    """Knows the stand-ins and no other name."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in STAND_INS:
            raise pickle.UnpicklingError(f"asks for {module}.{name}")
        return STAND_INS[module, name]

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("asks for an object outside the file")


def settled(value: Any) -> Any:
    """The value with arrays in the place of their stand-ins, one level down; anything deeper is left out."""
    if isinstance(value, _Array):
        if value.value is None:
            raise pickle.UnpicklingError("holds an array without contents")
        return value.value
    if isinstance(value, dict):
        return {key: settled(item) if isinstance(item, _Array) else item for key, item in value.items()}
    return value
