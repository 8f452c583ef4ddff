"""Hostile and damaged .npz files."""

import os
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from guidebp.errors import UserError
from guidebp.ingest.prepare import prepare_dataset
from tests.support.hostile_files import IMAGES, LABELS, changed, refused, select_positions, tree
from tests.support.valid_files import described, files, noise, npz, packed, read, zipped

NPZ = files("npz", "a.npz", shape=(1, 4, 4))


def npy(
    array: Any = IMAGES, header: str | bytes | None = None, version: int = 1, length: int | None = None
) -> bytes:
    """An array in NumPy's format, with any header."""
    found = np.asarray(array)
    if header is None:
        header = f"{{'descr': {found.dtype.str!r}, 'fortran_order': False, 'shape': {found.shape}}}"
    text = header.encode("latin-1") if isinstance(header, str) else header
    size = struct.pack("<H" if version == 1 else "<I", len(text) if length is None else length)
    return b"\x93NUMPY" + bytes([version, 0]) + size + text + found.tobytes()


def archive_of(
    images: bytes = npy(), labels: bytes = npy(LABELS), packing: int = zipfile.ZIP_DEFLATED
) -> bytes:
    """An .npz file of two arrays."""
    return zipped({"images.npy": images, "labels.npy": labels}, packing)


def header(descr: str = "'|u1'", fortran: str = "False", shape: str = "(6, 1, 4, 4)") -> bytes:
    """The images with a header of these pieces of Python."""
    return npy(header=f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}}}")


def lying(content: bytes, **sizes: int) -> bytes:
    """The zip archive, its list announcing another `packed` or `unpacked` size of the first member."""
    made = bytearray(content)
    for name, value in sizes.items():
        at = content.index(b"PK\1\2") + {"packed": 20, "unpacked": 24}[name]
        made[at : at + 4] = struct.pack("<I", value)
    return bytes(made)


BAD_NPZ: dict[str, bytes] = {
    "objects": npz(images=np.array([None, 1]), labels=LABELS),
    "objects as labels": npz(images=IMAGES, labels=LABELS.astype(object)),
    "objects in a structure": npz(images=np.zeros(6, [("a", "u1"), ("b", "O")]), labels=LABELS),
    "no images": npz(labels=LABELS),
    "no labels": npz(images=IMAGES),
    "nothing": zipped({}),
    "other keys": npz(False, **{"a\n\x1b[2J" + "b" * 3000: IMAGES, "y": LABELS}),
    "Fortran order": npz(images=np.asfortranarray(IMAGES), labels=LABELS),
    "fractions": npz(images=IMAGES / 255, labels=LABELS),
    "wide integers": npz(images=IMAGES.astype(np.int64), labels=LABELS),
    "signed bytes": npz(images=IMAGES.astype(np.int8), labels=LABELS),
    "truth": npz(images=IMAGES > 9, labels=LABELS),
    "text": npz(images=IMAGES.astype("S3"), labels=LABELS),
    "structure": npz(images=np.zeros((6, 4, 4), [("a\n" * 30, "u1")]), labels=LABELS),
    "labels of fractions": npz(images=IMAGES, labels=LABELS / 2),
    "labels that are not numbers": npz(images=IMAGES, labels=np.array([1, 2, 3, 4, 5, np.nan])),
    "labels that are all whole doubles": npz(images=IMAGES, labels=LABELS.astype(float)),
    "labels of truth": npz(images=IMAGES, labels=LABELS > 3),
    "labels of text": npz(images=IMAGES, labels=LABELS.astype("U1")),
    "labels as dates": npz(images=IMAGES, labels=LABELS.astype("M8[s]")),
    "complex labels": npz(images=IMAGES, labels=LABELS.astype(complex)),
    "too few labels": npz(images=IMAGES, labels=LABELS[:5]),
    "too many labels": npz(images=IMAGES, labels=np.append(LABELS, 1)),
    "one label": npz(images=IMAGES, labels=np.array(3)),
    "one hot labels": npz(images=IMAGES, labels=np.eye(10, dtype=int)[LABELS]),
    "labels in a cube": npz(images=IMAGES, labels=LABELS.reshape(6, 1, 1)),
    "one image": npz(images=IMAGES[0, 0], labels=LABELS),
    "a number for images": npz(images=np.uint8(3), labels=LABELS),
    "flat images": npz(images=IMAGES.reshape(6, -1), labels=LABELS),
    "larger images": npz(images=noise(6, 5, 4), labels=LABELS),
    "colour for grey": npz(images=noise(6, 4, 4, 3), labels=LABELS),
    "colour first for grey": npz(images=noise(6, 3, 4, 4), labels=LABELS),
    "five dimensions": npz(images=IMAGES[None], labels=LABELS[:1]),
    "more than announced": archive_of(npy() + b"x"),
    "less than announced": archive_of(npy()[:-1]),
    "labels less than announced": archive_of(labels=npy(LABELS)[:-1]),
    "a huge shape": archive_of(header(shape=f"(6, 1, 4, {1 << 60})")),
    "two huge sizes": archive_of(header(shape=f"(6, 1, {1 << 40}, {1 << 40})")),
    "a huge number of images": archive_of(header(shape=f"({1 << 62}, 1, 4, 4)")),
    "a negative shape": archive_of(header(shape="(-6, -1, 4, 4)")),
    "a shape of truth": archive_of(header(shape="(6, True, 4, 4)")),
    "a shape of fractions": archive_of(header(shape="(6.0, 1, 4, 4)")),
    "a shape of text": archive_of(header(shape="'6144'")),
    "no shape": archive_of(npy(header="{'descr': '|u1', 'fortran_order': False}")),
    "one key more": archive_of(
        npy(header="{'descr': '|u1', 'fortran_order': False, 'shape': (), 'more': 1}")
    ),
    "Fortran order as a number": archive_of(header(fortran="1")),
    "no such type": archive_of(header("'|x9'")),
    "type of objects": archive_of(header("'|O'")),
    "type as a number": archive_of(header("7")),
    "type as nothing": archive_of(header("()")),
    "type as a tuple": archive_of(header("('|u1',)")),
    "type as a list": archive_of(header("[('a',)]")),
    "type of types": archive_of(header(f"[('a', '|u1', ({1 << 40},))]")),
    "call in the header": archive_of(npy(header="__import__('os').abort()")),
    "call for the type": archive_of(header("__import__('os').abort()")),
    "power in the header": archive_of(header(shape="(9 ** 9 ** 9, 1)")),
    "no dictionary": archive_of(npy(header="[1, 2]")),
    "open quotes": archive_of(npy(header="{'descr': '''")),
    "open brackets": archive_of(npy(header="(" * 5000)),
    "many signs": archive_of(npy(header="-" * 9000 + "1")),
    "odd escape": archive_of(npy(header="{'\\d': 1}")),
    "odd indent": archive_of(npy(header="  1\n 2L")),
    "zero bytes": archive_of(npy(header=bytes(100))),
    "no letters": archive_of(npy(header=bytes(range(128, 256)))),
    "no Python": archive_of(npy(header="1L L1 \\")),
    "empty header": archive_of(npy(header="")),
    "header longer than the member": archive_of(npy(length=60_000)),
    "header of 4 GiB": archive_of(npy(version=2, length=(1 << 32) - 1)),
    "header of 60 KB": archive_of(npy(header=npy()[10:].ljust(60_000))),
    "version 3": archive_of(npy(version=3)),
    "version 9": archive_of(npy(version=9)),
    "no NumPy": archive_of(b"no array"),
    "nothing in it": archive_of(b""),
    "a folder": zipped({"images/": b"", "labels.npy": npy(LABELS)}),
    "no zip": b"no zip archive",
    "empty": b"",
    "web page": b"<!DOCTYPE html><html>not found</html>",
    "one array": npy(),
    "gzipped": packed(archive_of()),
    "bzip2": archive_of(packing=zipfile.ZIP_BZIP2),
    "lzma": archive_of(packing=zipfile.ZIP_LZMA),
    "list announces less": lying(archive_of(), unpacked=100),
    "list announces more": lying(archive_of(), unpacked=1 << 20),
    "list announces a bomb": lying(archive_of(), unpacked=1 << 30),
    "list announces too much packed": lying(archive_of(), packed=1 << 20),
    "list announces too little packed": lying(archive_of(), packed=10),
    "way out": zipped({"images.npy": npy(), "labels.npy": npy(LABELS), "../../evil.npy": npy()}),
    "same name twice": npz(images=IMAGES, labels=LABELS, imagez=IMAGES).replace(b"imagez", b"images"),
}


def test_npz_made_by_hand_is_read(tmp_path: Path) -> None:
    """So that the bad ones are bad for one reason only."""
    for content in (archive_of(), archive_of(header()), archive_of(npy(version=2)), lying(archive_of())):
        (tmp_path / "a.npz").write_bytes(content)
        found = read(NPZ, tmp_path)
        assert np.array_equal(found.images, IMAGES) and np.array_equal(found.labels, LABELS)


@pytest.mark.parametrize("bad", BAD_NPZ)
def test_npz_that_is_refused(tmp_path: Path, bad: str) -> None:
    (tmp_path / "a.npz").write_bytes(BAD_NPZ[bad])
    with refused(tmp_path / "a.npz"):
        read(NPZ, tmp_path)
    assert tree(tmp_path) == {"a.npz"}


class Payload:
    """An object whose pickle makes a folder."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __reduce__(self) -> Any:
        return os.mkdir, (self.name,)


def test_pickles_in_npz_are_not_run(tmp_path: Path) -> None:
    marker, path = tmp_path / "marker", tmp_path / "a.npz"
    labels = np.array([Payload(str(marker)), *range(5)], dtype=object)
    path.write_bytes(npz(images=IMAGES, labels=labels))
    with np.load(path, allow_pickle=True) as loaded:
        assert len(loaded["labels"]) == 6 and marker.exists()  # NumPy can be told to run it
    marker.rmdir()
    with refused(path, "labels: refused: holds object, not numbers"):
        read(NPZ, tmp_path)
    assert not marker.exists()


@pytest.mark.parametrize("compressed", [False, True], ids=["stored", "deflated"])
def test_truncated_npz(tmp_path: Path, compressed: bool) -> None:
    content = npz(compressed, images=IMAGES, labels=LABELS)
    for length in select_positions(len(content), 11):
        (tmp_path / "a.npz").write_bytes(content[:length])
        with refused(tmp_path / "a.npz", "no intact .npz file"):
            read(NPZ, tmp_path)


@pytest.mark.parametrize("key", ["images", "labels"])
def test_flipped_byte_in_an_array_is_found(tmp_path: Path, key: str) -> None:
    content = npz(images=IMAGES, labels=LABELS)
    at = content.index({"images": IMAGES.tobytes(), "labels": LABELS.tobytes()}[key])
    (tmp_path / "a.npz").write_bytes(changed(content, at + 5, bytes([content[at + 5] ^ 1])))
    with refused(tmp_path / "a.npz", "CRC"):
        read(NPZ, tmp_path)


@pytest.mark.parametrize("what", ["nothing", "folder"])
def test_npz_of_the_user_that_is_not_there(tmp_path: Path, what: str) -> None:
    path = tmp_path / "a.npz"
    if what == "folder":
        path.mkdir()
    with refused(path, "no such file|no intact"):
        read(described({"npz": {"path": str(path)}}, (1, 4, 4)), tmp_path)


@pytest.mark.parametrize("last", [-1, 10, (1 << 64) - 1])
def test_labels_beyond_the_classes(tmp_path: Path, last: int) -> None:
    labels = np.array([0, 1, 2, 3, 4, last], dtype=np.uint64 if last > 10 else np.int64)
    (tmp_path / "a.npz").write_bytes(npz(images=IMAGES, labels=labels))
    entry = described({"npz": {"path": str(tmp_path / "a.npz")}}, (1, 4, 4))
    with pytest.raises(UserError, match=r"^dataset 'made': labels from -?\d+ to \d+, not 0 to 9"):
        prepare_dataset("made", entry, tmp_path / "raw", tmp_path / "prepared")
    assert tree(tmp_path) == {"a.npz", "prepared"}
