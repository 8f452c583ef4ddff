"""Hostile and damaged files of arrays: idx, MATLAB's, CSV."""

import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat
from scipy.io.matlab import MatlabObject
from scipy.sparse import coo_matrix

from guidebp.errors import UserError
from tests.support.hostile_files import COLOURS, IMAGES, LABELS, REMEDY, changed, refused, select_positions
from tests.support.valid_files import (
    element,
    files,
    idx,
    mat,
    mat_head,
    matrix,
    packed,
    packed_element,
    read,
    svhn,
)

# idx


IDX = files("idx", "images", "labels", shape=(1, 4, 4))
GREY = IMAGES[:, 0]
PIXELS, NUMBERS = idx(GREY), idx(LABELS)
MOST = (1 << 32) - 1


def sizes(*announced: int) -> bytes:
    """The images behind a header with other sizes."""
    return struct.pack(f">4B{len(announced)}I", 0, 0, 8, len(announced), *announced) + GREY.tobytes()


# images, labels, which of them the message names, why
BAD_IDX: dict[str, tuple[bytes, bytes, str, str]] = {
    "empty": (b"", NUMBERS, "images", "no idx file"),
    "empty labels": (PIXELS, b"", "labels", "no idx file"),
    "text": (b"no idx file at all", NUMBERS, "images", "no idx file"),
    "web page": (b"<!DOCTYPE html>" * 9, NUMBERS, "images", "no idx file"),
    "exchanged": (NUMBERS, PIXELS, "images", "no idx file"),
    "images twice": (PIXELS, PIXELS, "labels", "no idx file"),
    "first byte": (b"\1" + PIXELS[1:], NUMBERS, "images", "no idx file"),
    "signed bytes": (changed(PIXELS, 2, b"\x09"), NUMBERS, "images", "no idx file"),
    "floats": (changed(PIXELS, 2, b"\x0d"), NUMBERS, "images", "no idx file"),
    "two dimensions": (sizes(6, 16), NUMBERS, "images", "no idx file"),
    "four dimensions": (sizes(6, 1, 4, 4), NUMBERS, "images", "no idx file"),
    "255 dimensions": (changed(PIXELS, 3, b"\xff"), NUMBERS, "images", "no idx file"),
    "labels in two dimensions": (PIXELS, idx(LABELS[:, None]), "labels", "no idx file"),
    "half a header": (PIXELS[:11], NUMBERS, "images", "no idx file"),
    "other size": (sizes(6, 2, 8), NUMBERS, "images", "catalogue's shape"),
    "nothing by nothing": (sizes(6, 0, 0), NUMBERS, "images", "catalogue's shape"),
    "fewer images": (sizes(5, 4, 4), NUMBERS, "images", "5 images of 4x4 for 6 labels"),
    "more images": (sizes(7, 4, 4), NUMBERS, "images", "7 images of 4x4 for 6 labels"),
    "fewer of both": (sizes(5, 4, 4), idx(LABELS[:5]), "images", "goes on after"),
    "more of both": (sizes(7, 4, 4), idx(np.append(LABELS, 1)), "images", "ends before"),
    "labels end early": (PIXELS, NUMBERS[:-1], "labels", "ends before"),
    "labels go on": (PIXELS, NUMBERS + b"x", "labels", "goes on after"),
    "images end early": (PIXELS[:-1], NUMBERS, "images", "ends before"),
    "images go on": (PIXELS + b"x", NUMBERS, "images", "goes on after"),
    "all sizes at their most": (sizes(MOST, MOST, MOST), NUMBERS, "images", "catalogue's shape"),
    "as many as there can be": (sizes(MOST, 4, 4), b"\0\0\x08\1\xff\xff\xff\xffx", "images", "far more than"),
    "gzip in name only": (b"\x1f\x8bno gzip", NUMBERS, "images", "damaged"),
    "half a gzip": (packed(PIXELS)[:-20], NUMBERS, "images", "damaged"),
    "gzip without its end": (packed(PIXELS)[:-1], NUMBERS, "images", "damaged"),
    "labels in half a gzip": (PIXELS, packed(NUMBERS)[:-9], "labels", "damaged"),
    "wrong checksum": (
        packed(PIXELS)[:-8] + b"1234" + packed(PIXELS)[-4:],
        NUMBERS,
        "images",
        "damaged.*CRC",
    ),
    "wrong length": (packed(PIXELS)[:-4] + b"1234", NUMBERS, "images", "damaged"),
    "labels with a wrong checksum": (PIXELS, packed(NUMBERS)[:-8] + b"12341234", "labels", "damaged.*CRC"),
    "both gzipped, images damaged": (packed(PIXELS)[:40], packed(NUMBERS), "images", "damaged"),
    "both gzipped, labels damaged": (packed(PIXELS), packed(NUMBERS)[:12], "labels", "damaged"),
    "no deflate inside": (packed(b"")[:10] + b"\xff" * 40, NUMBERS, "images", "damaged"),
    "gzip of text": (packed(b"no idx file"), NUMBERS, "images", "no idx file"),
    "gzip goes on": (packed(PIXELS + b"x"), NUMBERS, "images", "goes on after"),
    "gzip followed by text": (packed(PIXELS) + b"text", NUMBERS, "images", "damaged"),
    "gzip in gzip": (packed(packed(PIXELS)), NUMBERS, "images", "no idx file"),
}


@pytest.mark.parametrize("bad", BAD_IDX)
def test_idx_that_is_refused(tmp_path: Path, bad: str) -> None:
    images, labels, where, why = BAD_IDX[bad]
    (tmp_path / "images").write_bytes(images)
    (tmp_path / "labels").write_bytes(labels)
    with refused(tmp_path / where, why):
        read(IDX, tmp_path)


@pytest.mark.parametrize("pack", [bytes, packed], ids=["plain", "gz"])
def test_truncated_idx(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    good = {"images": pack(PIXELS), "labels": pack(NUMBERS)}
    for name, content in good.items():
        for length in select_positions(len(content), 3):
            for other in good:
                (tmp_path / other).write_bytes(content[:length] if other == name else good[other])
            with refused(tmp_path / name):
                read(IDX, tmp_path)


# mat


MAT = files("mat", "a.mat", shape=(3, 4, 4))
SVHN = svhn(COLOURS, LABELS)
SHAPE = (4, 4, 3, 6)
BYTES = SVHN["X"].tobytes(order="F")
X, Y = matrix("X", SHAPE, BYTES), matrix("y", (6, 1), SVHN["y"].tobytes())


def version4() -> bytes:
    """A file of the format before, which has two dimensions."""
    file = io.BytesIO()
    savemat(file, {"X": COLOURS.reshape(6, -1), "y": LABELS.astype(float)}, format="4")
    return file.getvalue()


def made(**arrays: Any) -> bytes:
    """SciPy's file of SVHN's arrays, or others in their place."""
    return mat(**SVHN | arrays)


def hand_made(shape: tuple[int, ...] = SHAPE, content: bytes = BYTES, **more: Any) -> bytes:
    """A file with any X."""
    return mat_head() + matrix("X", shape, content, **more) + Y


def inside(content: bytes) -> bytes:
    """A file with anything in the place of X's flags and what follows them."""
    return mat_head() + element(14, content) + Y


BAD_MAT: dict[str, bytes] = {
    "empty": b"",
    "text": b"no MATLAB file",
    "head alone": mat_head(),
    "half a head": mat_head()[:60],
    "version 4": version4(),
    "version 7.3": b"MATLAB 7.3 MAT-file".ljust(124)
    + b"\0\2IM"
    + bytes(384)
    + b"\x89HDF\r\n\x1a\n"
    + bytes(99),
    "HDF5": b"\x89HDF\r\n\x1a\n" + bytes(500),
    "other version": mat_head(version=0x0300) + X + Y,
    "no X": mat(y=SVHN["y"]),
    "no y": mat(X=SVHN["X"]),
    "other names": mat(x=SVHN["X"], Y=SVHN["y"]),
    "structure": made(X={"a": SVHN["X"]}),
    "cells": made(X=np.array([SVHN["X"], "text"], dtype=object)),
    "text for X": made(X="no picture"),
    "text for y": made(y=np.array(["a"] * 6)[:, None]),
    "sparse": made(X=coo_matrix(np.eye(3))),
    "sparse y": made(y=coo_matrix(np.eye(3))),
    "object": made(X=MatlabObject(np.zeros((1,), [("a", "O")]), "someclass")),
    "function": hand_made(kind=16),
    "opaque": hand_made(kind=17),
    "no class": hand_made(kind=0),
    "class 255": hand_made(kind=255),
    "fractions": made(X=SVHN["X"] / 255),
    "signed bytes": made(X=SVHN["X"].astype(np.int8)),
    "wide integers": made(X=SVHN["X"].astype(np.int32)),
    "truth": made(X=SVHN["X"] > 9),
    "complex": made(X=SVHN["X"] * 1j),
    "complex bytes": hand_made(flags=8),
    "logical bytes": hand_made(flags=2),
    "other size": made(X=SVHN["X"][:3]),
    "images first": made(X=COLOURS),
    "flat": made(X=COLOURS.reshape(6, -1)),
    "one image": made(X=SVHN["X"][..., 0]),
    "too few images": made(X=SVHN["X"][..., :5]),
    "too few labels": made(y=SVHN["y"][:5]),
    "labels in a row": made(y=SVHN["y"].T),
    "labels in a cube": made(y=SVHN["y"][:, :, None]),
    "labels of truth": made(y=SVHN["y"] > 3),
    "labels of fractions": made(y=SVHN["y"] + 0.5),
    "labels that are not numbers": made(y=np.where(SVHN["y"] > 3, np.nan, 1)),
    "endless labels": made(y=np.full((6, 1), np.inf)),
    "huge labels": made(y=np.full((6, 1), 2.0**63)),
    "huge whole labels": made(y=np.full((6, 1), (1 << 63) + 1, dtype=np.uint64)),
    "complex labels": made(y=SVHN["y"] * 1j),
    "many variables": made(**{f"v{number}": number for number in range(16)}),
    "X twice": mat_head() + X + Y + X,
    "no matrix": mat_head() + element(9, bytes(64)) + X + Y,
    "element of zeros": mat_head() + X + Y + bytes(8),
    "half a tag": mat_head() + X + Y + b"1234",
    "X holds more": hand_made(content=BYTES + bytes(8)),
    "X holds less": hand_made(content=BYTES[:-8]),
    "X goes on": inside(X[8:] + bytes(16)),
    "packed X goes on": mat_head() + packed_element(X + bytes(16)) + Y,
    "X as doubles": hand_made(content=SVHN["X"].astype(float).tobytes(), stored=9),
    "X as text": hand_made(stored=16),
    "a type that crashes SciPy": hand_made(stored=0x7402),
    "huge dimensions": hand_made((4, 4, 3, (1 << 31) - 1), b"1"),
    "huge dimensions of both": (
        mat_head() + matrix("X", (4, 4, 3, 1 << 30), b"1") + matrix("y", (1 << 30, 1), b"1")
    ),
    "negative dimensions": hand_made((4, 4, -3, -6)),
    "negative count": mat_head() + matrix("X", (4, 4, 3, -6), b"") + matrix("y", (-6, 1), b""),
    "no dimensions": hand_made((), b""),
    "y without dimensions": mat_head() + X + matrix("y", (), b"1"),
    "many dimensions": hand_made((1,) * 5000, b""),
    "long name": mat_head() + matrix("X" * 5000, SHAPE, BYTES) + Y,
    "short element that is long": inside(b"\6\0\xff\xff" + bytes(64)),
    "huge flags": inside(struct.pack("<2I", 6, MOST) + bytes(64)),
    "no flags": inside(element(6, b"") + X[24:]),
    "nothing inside": inside(b""),
    "element larger than the file": mat_head() + struct.pack("<2I", 14, MOST) + X[8:],
    "packed by something else": mat_head() + element(15, b"no zlib") + Y,
    "packed nothing": mat_head() + packed_element(b"") + Y,
    "packed text": mat_head() + packed_element(b"text" * 9) + Y,
    "packed twice": mat_head() + packed_element(packed_element(X)) + Y,
}


def test_mat_made_by_hand_is_read(tmp_path: Path) -> None:
    """So that the bad ones are bad for one reason only."""
    for content in (
        made(),
        hand_made(),
        mat_head() + packed_element(X) + Y,
        mat_head() + Y + packed_element(X),
    ):
        (tmp_path / "a.mat").write_bytes(content)
        found = read(MAT, tmp_path)
        assert np.array_equal(found.images, COLOURS) and np.array_equal(found.labels, LABELS)


@pytest.mark.parametrize("bad", BAD_MAT)
def test_mat_that_is_refused(tmp_path: Path, bad: str) -> None:
    (tmp_path / "a.mat").write_bytes(BAD_MAT[bad])
    with refused(tmp_path / "a.mat", "no intact MATLAB file of version 5"):
        read(MAT, tmp_path)


@pytest.mark.parametrize("compressed", [False, True], ids=["stored", "deflated"])
def test_truncated_mat(tmp_path: Path, compressed: bool) -> None:
    content = mat(compressed, **SVHN)
    for length in select_positions(len(content) - 2, 7):  # stored, it ends with two bytes of padding
        (tmp_path / "a.mat").write_bytes(content[:length])
        with refused(tmp_path / "a.mat"):
            read(MAT, tmp_path)


def test_flipped_byte_in_a_packed_mat_is_found_or_changes_nothing(tmp_path: Path) -> None:
    content, found = mat(True, **SVHN), 0
    positions = [128 + position for position in select_positions(len(content) - 128, 3)]
    for at in positions:
        (tmp_path / "a.mat").write_bytes(changed(content, at, bytes([content[at] ^ 1])))
        try:
            made = read(MAT, tmp_path)
        except UserError as error:
            assert str(error).startswith(f"{tmp_path / 'a.mat'}: no intact") and REMEDY.search(str(error))
            found += 1
        else:
            assert np.array_equal(made.images, COLOURS) and np.array_equal(made.labels, LABELS)
    assert found > len(positions) / 2


# Digits


BAD_CSV: dict[str, bytes] = {
    "empty": b"",
    "no gzip": b"1,2,3",
    "gzip in name only": b"\x1f\x8bno gzip",
    "half a gzip": packed(b"0," * 64 + b"1\n")[:-9],
    "no deflate inside": packed(b"")[:10] + b"\xff" * 40,
    "wrong checksum": packed(b"0," * 64 + b"1\n")[:-8] + b"12341234",
    "no lines": packed(b""),
    "blank lines": packed(b"\n" * 99),
    "comment": packed(b"# nothing\n"),
    "letters": packed(b"a,b\n"),
    "no text": packed(bytes(range(256))),
    "zero bytes": packed(bytes(999)),
    "three columns": packed(b"1,2,3\n"),
    "lines of different length": packed(b"0," * 64 + b"1\n1\n"),
    "beyond 16": packed(b"17," + b"0," * 63 + b"1\n"),
    "negative": packed(b"-1," + b"0," * 63 + b"1\n"),
    "fractions": packed(b"0.5," + b"0," * 63 + b"1\n"),
    "huge numbers": packed(b"9" * 99 + b"," + b"0," * 63 + b"1\n"),
    "label that is no number": packed(b"0," * 64 + b"nan\n"),
    "five megabytes": packed((b"0," * 64 + b"1\n") * 41_000),
}


@pytest.mark.parametrize("bad", BAD_CSV)
def test_digits_that_are_refused(tmp_path: Path, bad: str) -> None:
    (tmp_path / "a.gz").write_bytes(BAD_CSV[bad])
    with refused(tmp_path / "a.gz"):
        read(files("digits-csv", "a.gz", shape=(1, 8, 8)), tmp_path)
