"""Hostile and damaged pickles: nothing in them is run, nothing of this program is changed."""

import copyreg
import pickle
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from guidebp.ingest.untrusted import pickles
from guidebp.ingest.untrusted.pickles import read_pickle
from tests.support.hostile_files import refused, select_positions
from tests.support.valid_files import batch, files, noise, python2, read


def code(value: Any) -> bytes:
    """The instructions that build a value of plain types."""
    if value is None or isinstance(value, bool):
        return b"N" if value is None else b"\x88" if value else b"\x89"
    if isinstance(value, int):
        number = value.to_bytes(9, "little", signed=True)
        return b"\x8a" + bytes([len(number)]) + number
    if isinstance(value, float):
        return b"G" + struct.pack(">d", value)
    if isinstance(value, bytes | str):
        content = value if isinstance(value, bytes) else value.encode()
        return (b"B" if isinstance(value, bytes) else b"X") + struct.pack("<I", len(content)) + content
    if isinstance(value, dict):
        return b"(" + b"".join(code(item) for pair in value.items() for item in pair) + b"d"
    return b"(" + b"".join(map(code, value)) + (b"t" if isinstance(value, tuple) else b"l")


def call(name: str, *arguments: Any) -> bytes:
    """The instructions that call `module.name`."""
    module, _, function = name.rpartition(".")
    return f"c{module}\n{function}\n".encode() + code(arguments) + b"R"


def got(name: str) -> bytes:
    """The instructions that get `module.name`."""
    module, _, function = name.rpartition(".")
    return f"c{module}\n{function}\n".encode()


# Each makes a file or a folder of the given name; none ends with STOP.
ATTACKS: dict[str, Callable[[str], bytes]] = {
    "GLOBAL": lambda name: call("os.mkdir", name),
    "os.system": lambda name: call("os.system", f"mkdir '{name}'"),
    "posix.system": lambda name: call("posix.system", f"mkdir '{name}'"),
    "subprocess": lambda name: call("subprocess.check_call", ["mkdir", name]),
    "eval": lambda name: call("builtins.eval", f"__import__('os').mkdir({name!r})"),
    "eval of Python 2": lambda name: call("__builtin__.eval", f"__import__('os').mkdir({name!r})"),
    "exec": lambda name: call("builtins.exec", f"import os; os.mkdir({name!r})"),
    "getattr": lambda name: (
        (
            got("builtins.getattr")
            + b"("
            + call("builtins.__import__", "os")
            + code("mkdir")
            + b"tR"
            + code((name,))
        )
        + b"R"
    ),
    "import": lambda name: call("builtins.__import__", "guidebp_evil"),
    "find_class imports": lambda name: got("guidebp_evil.nothing_but_a_name"),
    "partial": lambda name: (
        got("functools.partial") + b"(" + got("os.mkdir") + code(name) + b"tR" + code(()) + b"R"
    ),
    "STACK_GLOBAL": lambda name: b"\x80\x04" + code("os") + code("mkdir") + b"\x93" + code((name,)) + b"R",
    "STACK_GLOBAL through a module": lambda name: (
        b"\x80\x04" + code("numpy") + code("ma.core.np.save") + b"\x93" + code((name, 1)) + b"R"
    ),
    "INST": lambda name: b"(" + code(name) + b"ios\nmkdir\n",
    "OBJ": lambda name: b"(" + got("os.mkdir") + code(name) + b"o",
    "NEWOBJ": lambda name: got("numpy.memmap") + code((name, "u1", "w+", 0, 8)) + b"\x81",
    "NEWOBJ_EX": lambda name: (
        b"\x80\x04" + got("numpy.memmap") + code((name, "u1")) + code({"mode": "w+", "shape": 8}) + b"\x92"
    ),
    "EXT1": lambda name: b"\x82\xf0" + code((name,)) + b"R",
    "EXT2": lambda name: b"\x83\xf0\0" + code((name,)) + b"R",
    "EXT4": lambda name: b"\x84\xf0\0\0\0" + code((name,)) + b"R",
    "numpy.save": lambda name: call("numpy.save", name, 1),
    "numpy.memmap": lambda name: call("numpy.memmap", name, "u1", "w+", 0, 8),
    "shutil": lambda name: call("shutil.copyfile", "/dev/null", name),
    "open": lambda name: call("io.open", name, "w"),
}


@pytest.mark.parametrize("inside", [False, True], ids=["alone", "inside good data"])
@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_nothing_in_a_pickle_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, attack: str, inside: bool
) -> None:
    """Python's own reader runs it: the attack is one."""
    marker, path = tmp_path / "marker.npy", tmp_path / "batch"
    (tmp_path / "guidebp_evil.py").write_text(f"import os; os.mkdir({str(marker)!r}); nothing_but_a_name = 1")
    monkeypatch.syspath_prepend(tmp_path)
    content = ATTACKS[attack](str(marker))
    if inside:
        head, body = (content[:2], content[2:]) if content[:1] == b"\x80" else (b"", content)
        content = head + b"}" + code(b"labels") + code([1, 2]) + b"s" + code(b"x") + body + b"s"
    copyreg.add_extension("os", "mkdir", 0xF0)
    try:
        pickle.loads(content + b".")
        assert marker.exists()
        marker.rmdir() if marker.is_dir() else marker.unlink()
        sys.modules.pop("guidebp_evil", None)
        path.write_bytes(content + b".")
        with refused(path, "refused: (asks for|holds the instruction)"):
            read_pickle(path)
        assert not marker.exists() and "guidebp_evil" not in sys.modules
    finally:
        sys.modules.pop("guidebp_evil", None)
        copyreg.remove_extension("os", "mkdir", 0xF0)


@pytest.mark.parametrize(
    "content",
    [
        b"Pos.mkdir\n.",
        code("os.mkdir") + b"Q.",
        got("numpy.fromfile") + b".",
        got("numpy.core.multiarray.scalar") + b".",
        got("numpy.ma.core._mareconstruct") + b".",
        got("numpy.random.mtrand.RandomState") + b".",
        got("numpy.loads") + b".",
        got("numpy.core.multiarray._reconstruct.__globals__") + b".",
        b"\x80\x04" + code("numpy") + code("ndarray.tofile") + b"\x93.",
        got("_codecs.decode") + b".",
        got("copyreg._reconstructor") + b".",
        got("builtins.object") + b".",
        got("builtins.bytes") + b".",
        got("guidebp.ingest.untrusted.pickles._Array") + b".",
        call("_codecs.encode", "a", "idna") + b".",
        call("_codecs.encode", b"a", "latin1") + b".",
        call("_codecs.encode", "a", "latin1", "ignore") + b".",
        got("os\r\x1b[31m.mkdir") + b".",
        b"\x80\x04" + code("line\nline" * 900) + code("\x1b[2J") + b"\x93.",
        b"\x97.",
        b"\x98.",
        b"(0.",
        b"(1.",
        b"N2.",
        b"\x8f.",
        b"(\x91.",
        b"G" + bytes(8) + b".",
        b"F1.5\n.",
        b"\x8b" + bytes(4) + b".",
    ],
    ids=lambda content: content[:60].decode("latin-1").encode("unicode_escape").decode(),
)
def test_pickle_that_asks_for_more_than_data(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "batch").write_bytes(content)
    with refused(tmp_path / "batch"):
        read_pickle(tmp_path / "batch")


def dtype(name: Any = "u1", state: Any = (3, "|", None, None, None, -1, -1, 0)) -> bytes:
    """The instructions that build a type of numbers."""
    return call("numpy.dtype", name, False, True) + (b"" if state is None else code(state) + b"b")


def array(
    version: Any = 1, shape: Any = (2, 3), kind: bytes = dtype(), fortran: Any = False, raw: Any = bytes(6)
) -> bytes:
    """The instructions that build an array."""
    made = (
        got("numpy.core.multiarray._reconstruct")
        + b"("
        + got("numpy.ndarray")
        + code((0,))
        + code(b"b")
        + b"tR"
    )
    return made + b"(" + code(version) + code(shape) + kind + code(fortran) + code(raw) + b"tb"


def from_buffer(raw: Any, kind: bytes, shape: Any, order: Any) -> bytes:
    """The instructions that build an array as protocol 5 does."""
    return (
        got("numpy._core.numeric._frombuffer") + b"(" + code(raw) + kind + code(shape) + code(order) + b"tR"
    )


@pytest.mark.parametrize("made", [array(), from_buffer(bytes(6), dtype(), (2, 3), "C")], ids=["old", "new"])
def test_hand_made_array_is_read(tmp_path: Path, made: bytes) -> None:
    """So that the bad ones below are bad for one reason only."""
    (tmp_path / "batch").write_bytes(b"}" + code(b"data") + made + b"s.")
    found = read_pickle(tmp_path / "batch")[b"data"]
    assert found.dtype == np.uint8 and found.shape == (2, 3) and not found.any()


ODD_TYPES: list[Any] = [
    "O",
    "O8",
    "V1",
    "S1",
    "U1",
    "M8",
    "m8",
    "c8",
    "f2",
    "u3",
    "|u1",
    "u1,u1",
    "(6,)u1",
    "",
    b"\xff",
    1,
    [],
]
ODD_STATES: list[Any] = [
    (3, "x", None, None, None, -1, -1, 0),
    (3, b"\xff", None, None, None, -1, -1, 0),
    (3, 1, None, None, None, -1, -1, 0),
    (3, [], None, None, None, -1, -1, 0),
    (3, "|", ("u1", (2,)), None, None, -1, -1, 0),
    (3, "|", None, ("a",), {"a": 0}, -1, -1, 0),
    (3, "|", None, None, {}, -1, -1, 0),
    (3,),
    (),
    {},
    "<<<<<<",
    7,
]
BAD_ARRAYS = (
    {
        "too few bytes": array(raw=bytes(5)),
        "too many bytes": array(raw=bytes(7)),
        "negative shape": array(shape=(-2, -3)),
        "one negative": array(shape=(6, -1)),
        "huge shape": array(shape=(1 << 40, 1 << 20)),
        "huge empty shape": array(shape=(0, 1 << 62, 1 << 62), raw=b""),
        "shape of truth": array(shape=(True, 6)),
        "shape of fractions": array(shape=(2.0, 3)),
        "shape of text": array(shape=("2", 3)),
        "no shape": array(shape=None),
        "shape as a list": array(shape=[2, 3]),
        "too many dimensions": array(shape=(1,) * 70, raw=b"1"),
        "Fortran order": array(fortran=True),
        "Fortran order as a number": array(fortran=1),
        "version 0": array(version=0),
        "version 2": array(version=2),
        "text for bytes": array(raw="abcdef"),
        "list for bytes": array(raw=[1, 2, 3, 4, 5, 6]),
        "no bytes": array(raw=None),
        "number for the type": array(kind=code(1)),
        "class for the type": array(kind=got("numpy.dtype")),
        "array for the type": array(kind=array()),
        "structured": array(kind=dtype("V6"), shape=(1,)),
        "objects": array(kind=dtype("O8", (3, "|", None, None, None, -1, -1, 63)), raw=bytes(48)),
        "objects in a list": array(kind=dtype("O8", (3, "|", None, None, None, -1, -1, 63)), raw=[None] * 6),
        "half a number": array(kind=dtype("u4", None)),
        "nothing in it": got("numpy.core.multiarray._reconstruct") + b"(tR",
        "state of another length": got("numpy.core.multiarray._reconstruct") + b"(tR" + code((1, 2)) + b"b",
        "new in Fortran order": from_buffer(bytes(6), dtype(), (2, 3), "F"),
        "new with too few bytes": from_buffer(bytes(5), dtype(), (2, 3), "C"),
        "new with a negative shape": from_buffer(bytes(6), dtype(), (-2, -3), "C"),
        "new without a type": from_buffer(bytes(6), code(None), (2, 3), "C"),
        "new of text": from_buffer("abcdef", dtype(), (2, 3), "C"),
    }
    | {f"type {name!r}": array(kind=dtype(name)) for name in ODD_TYPES}
    | {f"type with state {number}": array(kind=dtype("u1", state)) for number, state in enumerate(ODD_STATES)}
)


@pytest.mark.parametrize("bad", BAD_ARRAYS)
def test_array_that_is_not_plain(tmp_path: Path, bad: str) -> None:
    (tmp_path / "batch").write_bytes(b"}" + code(b"data") + BAD_ARRAYS[bad] + b"s.")
    with refused(tmp_path / "batch"):
        read_pickle(tmp_path / "batch")


class Plain:
    """A class that a pickle can change."""


@pytest.mark.parametrize("stand_in", pickles.STAND_INS, ids=".".join)
@pytest.mark.parametrize(
    "state",
    [(None, {"value": 1, "order": ">"}), {"value": 1}, (None, {"__setstate__": None}), (1, 2), None, 1],
    ids=str,
)
def test_a_pickle_cannot_change_the_stand_ins(tmp_path: Path, stand_in: tuple[str, str], state: Any) -> None:
    kinds = set(pickles.STAND_INS.values())
    before = {kind: dict(vars(kind)) for kind in kinds}
    (tmp_path / "batch").write_bytes(got(".".join(stand_in)) + code(state) + b"b.")
    with refused(tmp_path / "batch"):
        read_pickle(tmp_path / "batch")
    assert {kind: dict(vars(kind)) for kind in kinds} == before
    (tmp_path / "batch").write_bytes(pickle.dumps({"data": np.arange(4)}))
    assert read_pickle(tmp_path / "batch")["data"].tolist() == [0, 1, 2, 3]


def test_a_pickle_can_change_other_classes() -> None:
    """So that the test above is one."""
    pickle.loads(got(f"{__name__}.Plain") + code((None, {"value": 1})) + b"b.")
    assert "value" in vars(Plain)


MALFORMED = {
    "empty": b"",
    "text": b"no pickle",
    "web page": b"<!DOCTYPE html>",
    "STOP alone": b".",
    "two values": b"NN.",
    "a mark left": b"(.",
    "no mark": b"Nt.",
    "SETITEM on a number": code(1) + code(2) + code(3) + b"s.",
    "APPEND to a tuple": code(()) + b"Na.",
    "APPENDS to a number": code(1) + b"(Ne.",
    "key that is a list": b"}]Ns.",
    "key that is an array": b"}" + array() + b"Ns.",
    "REDUCE of a number": code(1) + code(()) + b"R.",
    "REDUCE without a tuple": got("numpy.ndarray") + b"NR.",
    "REDUCE of an array": array() + code(()) + b"R.",
    "BUILD on a list": b"]" + code({"a": 1}) + b"b.",
    "BUILD on a number": code(1) + code({"a": 1}) + b"b.",
    "BUILD on text": code("a") + code((None, {"a": 1})) + b"b.",
    "BUILD on nothing": b"b.",
    "memo that is empty": b"h\1.",
    "memo by text": b"g17\n.",
    "negative memo": b"Np-1\n.",
    "unknown instruction": b"\xff.",
    "protocol 9": b"\x80\x09N.",
    "no number": b"Iten\n.",
    "no quotes": b"Sabc\n.",
    "half a quote": b"S'abc\n.",
    "odd escapes": b"S'\\x'\n.",
    "no UTF-8": b"X\2\0\0\0\xff\xff.",
    "half a rune": b"V\\u12\n.",
    "huge number in text": b"I" + b"9" * 5000 + b"\n.",
    "huge long in text": b"L" + b"9" * 5000 + b"L\n.",
    "negative length": b"T\xff\xff\xff\xff.",
    "negative long": b"\x8b\xff\xff\xff\xff.",
    "frame that ends early": b"\x80\x04\x95\1\0\0\0\0\0\0\0" + code(300) + b".",
    "many lists": b"]" * 1001 + b".",
    "many tuples": b")" * 1001 + b".",
    "many calls": (got("numpy.ndarray") + b")R") * 600 + b".",
    "nested lists": b"]" * 5000 + b"a" * 4999 + b".",
}


@pytest.mark.parametrize("content", MALFORMED.values(), ids=MALFORMED)
def test_malformed_pickle(tmp_path: Path, content: bytes) -> None:
    refuse_batch(tmp_path, content)


@pytest.mark.parametrize("protocol", range(6))
def test_truncated_pickle(tmp_path: Path, protocol: int) -> None:
    made = batch(noise(2, 3, 4, 4), [1, 2])
    content = python2(made, protocol) if protocol < 3 else pickle.dumps(made, protocol)
    path = tmp_path / "batch"
    for length in select_positions(len(content), 5):
        path.write_bytes(content[:length])
        with refused(path):
            read_pickle(path)


def good_batch(**changes: Any) -> dict[str, Any]:
    """A batch of two images of 1x2x3, or something near it."""
    return {"data": np.zeros((2, 6), np.uint8), "labels": [1, 2]} | changes


RECURSIVE: list[Any] = []
RECURSIVE.append(RECURSIVE)
BAD_BATCHES: dict[str, Any] = {
    "list": [good_batch()],
    "number": 1,
    "array": np.zeros(6, np.uint8),
    "nothing": {},
    "no labels": {"data": np.zeros((2, 6), np.uint8)},
    "no data": {"labels": [1, 2]},
    "labels as a tuple": good_batch(labels=(1, 2)),
    "labels as an array": good_batch(labels=np.array([1, 2])),
    "too few labels": good_batch(labels=[1]),
    "too many labels": good_batch(labels=[1, 2, 3]),
    "negative label": good_batch(labels=[1, -1]),
    "huge label": good_batch(labels=[1, 1 << 70]),
    "label of text": good_batch(labels=[1, "2"]),
    "label of truth": good_batch(labels=[1, True]),
    "label missing": good_batch(labels=[1, None]),
    "recursive labels": good_batch(labels=RECURSIVE),
    "data as a list": good_batch(data=[0] * 12),
    "data as bytes": good_batch(data=bytes(12)),
    "data of other numbers": good_batch(data=np.zeros((2, 6), np.int16)),
    "data of another shape": good_batch(data=np.zeros((2, 7), np.uint8)),
    "data in another order": good_batch(data=np.zeros((2, 1, 2, 3), np.uint8)),
    "data deeper down": good_batch(data=[np.zeros((2, 6), np.uint8)]),
}
BAD_NAMES: dict[str, Any] = {
    "none": {},
    "text": {"label_names": "ab"},
    "numbers": {"label_names": [1, 2]},
    "lines": {"label_names": ["a\nb", "c"]},
    "list": ["a", "b"],
    "surrogate": {"label_names": ["\ud800"]},
}


CIFAR = files("cifar", "training", "test", "names", shape=(1, 2, 3))
SOUND = {"training": good_batch(), "test": good_batch(), "names": {"label_names": ["x", "y"]}}


def refuse_batch(folder: Path, content: bytes, name: str = "test") -> None:
    """Reading refuses the content in the place of one of three sound files."""
    for sound, value in SOUND.items():
        (folder / sound).write_bytes(content if sound == name else pickle.dumps(value))
    with refused(folder / name):
        read(CIFAR, folder)


def test_good_batch_is_read(tmp_path: Path) -> None:
    for name, value in SOUND.items():
        (tmp_path / name).write_bytes(pickle.dumps(value))
    assert read(CIFAR, tmp_path).labels.tolist() == [1, 2, 1, 2]


@pytest.mark.parametrize("bad", BAD_BATCHES)
def test_batch_that_is_not_cifars(tmp_path: Path, bad: str) -> None:
    refuse_batch(tmp_path, pickle.dumps(BAD_BATCHES[bad]))


@pytest.mark.parametrize("bad", BAD_NAMES)
def test_names_that_are_not_cifars(tmp_path: Path, bad: str) -> None:
    refuse_batch(tmp_path, pickle.dumps(BAD_NAMES[bad]), "names")
