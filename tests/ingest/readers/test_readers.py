"""Sound files of arrays give what other people's code reads from them, value for value."""

import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import torchvision.datasets
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from torchvision.datasets.mnist import read_image_file, read_label_file

from guidebp.ingest.contents import CHUNK_ROWS
from tests.support.valid_files import (
    described,
    digits,
    files,
    idx,
    mat,
    mat_head,
    matrix,
    noise,
    npz,
    packed,
    read,
    same,
    svhn,
    zipped,
)

MANY = 2 * CHUNK_ROWS + 3  # three parts, the last one short


def written(folder: Path, **contents: bytes) -> Path:
    """The folder, with files in it; `_` in a name stands for a dot."""
    for name, content in contents.items():
        (folder / name.replace("_", ".")).write_bytes(content)
    return folder


# idx


@pytest.mark.parametrize("pack", [bytes, packed], ids=["plain", "gz"])
@pytest.mark.parametrize("count", [1, CHUNK_ROWS, MANY])
def test_idx(tmp_path: Path, pack: Callable[[bytes], bytes], count: int) -> None:
    images, labels = noise(count, 3, 2), digits(count)
    written(tmp_path, images=pack(idx(images)), labels=pack(idx(labels)))
    same(read(files("idx", "images", "labels", shape=(1, 3, 2)), tmp_path), images[:, None], labels)


def test_idx_is_what_torchvision_reads(tmp_path: Path) -> None:
    raw = tmp_path / "MNIST/raw"
    raw.mkdir(parents=True)
    names = [f"{half}-{what}-ubyte" for half in ("train", "t10k") for what in ("images-idx3", "labels-idx1")]
    arrays: list[NDArray[Any]] = [noise(9, 28, 28), digits(9), noise(4, 28, 28, seed=1), digits(4, seed=1)]
    for name, array in zip(names, arrays, strict=True):
        (raw / name).write_bytes(idx(array))
    found = read(files("idx", *(f"MNIST/raw/{name}" for name in names), shape=(1, 28, 28)), tmp_path)
    halves = [torchvision.datasets.MNIST(str(tmp_path), train=train) for train in (True, False)]
    images, labels = (np.concatenate([getattr(half, key) for half in halves]) for key in ("data", "targets"))
    same(found, images[:, None], labels, test=4)
    assert np.array_equal(read_image_file(str(raw / names[2])), found.images[9:, 0])
    assert np.array_equal(read_label_file(str(raw / names[3])), found.labels[9:])


def test_idx_gzipped_in_two_pieces(tmp_path: Path) -> None:
    images, labels = noise(5, 4, 4), digits(5)
    content = idx(images)
    written(tmp_path, images=packed(content[:20]) + packed(content[20:]), labels=idx(labels))
    same(read(files("idx", "images", "labels", shape=(1, 4, 4)), tmp_path), images[:, None], labels)


# npz


@pytest.mark.parametrize("compressed", [False, True], ids=["stored", "deflated"])
@pytest.mark.parametrize("layout", ["NHW", "NHWC", "NCHW", "N1HW", "NHW1", "equal"])
def test_npz(tmp_path: Path, layout: str, compressed: bool) -> None:
    labels = digits(MANY)
    if layout in ("NHWC", "NCHW"):
        images = noise(MANY, 3, 4, 5)
        stored = images if layout == "NCHW" else np.ascontiguousarray(images.transpose(0, 2, 3, 1))
    else:
        images = noise(MANY, 1, 4, 5)
        stored = {
            "NHW": images[:, 0],
            "N1HW": images,
            "NHW1": images.reshape(MANY, 4, 5, 1),
            "equal": np.repeat(images.reshape(MANY, 4, 5, 1), 3, axis=3),
        }[layout]
    (tmp_path / "a.npz").write_bytes(npz(compressed, images=stored, labels=labels, other=np.zeros(3)))
    same(read(files("npz", "a.npz", shape=images.shape[1:]), tmp_path), images, labels)


@pytest.mark.parametrize("kind", ["u1", "i1", ">i2", "<u2", "i4", ">u4", "i8", ">u8"])
@pytest.mark.parametrize("column", [False, True], ids=["row", "column"])
def test_npz_labels_of_any_integer_type(tmp_path: Path, kind: str, column: bool) -> None:
    images, labels = noise(7, 1, 2, 2), digits(7)
    stored = labels.astype(kind).reshape((7, 1) if column else 7)
    (tmp_path / "a.npz").write_bytes(npz(images=images, labels=stored))
    same(read(files("npz", "a.npz", shape=(1, 2, 2)), tmp_path), images, labels)


def test_npz_of_two_files(tmp_path: Path) -> None:
    images, labels = noise(9, 1, 2, 2), digits(9)
    for name, rows in (("a.npz", slice(6)), ("b.npz", slice(6, 9))):
        (tmp_path / name).write_bytes(npz(images=images[rows], labels=labels[rows]))
    same(read(files("npz", "a.npz", "b.npz", shape=(1, 2, 2)), tmp_path), images, labels, test=3)


def test_npz_of_the_user_with_other_keys(tmp_path: Path) -> None:
    images, labels = noise(9, 1, 2, 2), digits(9)
    content = npz(True, pixels=images[:6], y=labels[:6], test_pixels=images[6:], test_y=labels[6:])
    path = str(tmp_path / "a.npz")
    Path(path).write_bytes(content)
    source = {
        "npz": {"path": path, "images": "pixels", "labels": "y"},
        "test": {"path": path, "images": "test_pixels", "labels": "test_y"},
    }
    same(read(described(source, (1, 2, 2)), tmp_path / "elsewhere"), images, labels, test=3)


@pytest.mark.parametrize("version", [(1, 0), (2, 0)], ids=["1.0", "2.0"])
def test_npz_headers_of_other_writers(tmp_path: Path, version: tuple[int, int]) -> None:
    images, labels = noise(5, 1, 2, 2), digits(5)
    members = {}
    arrays: dict[str, NDArray[Any]] = {"images": images, "labels": labels}
    for key, array in arrays.items():
        file = io.BytesIO()
        np.lib.format.write_array(file, array, version=version)
        members[f"{key}.npy"] = file.getvalue()
    (tmp_path / "a.npz").write_bytes(zipped(members))
    same(read(files("npz", "a.npz", shape=(1, 2, 2)), tmp_path), images, labels)


def test_npz_header_of_python_2(tmp_path: Path) -> None:
    """Its long integers end in L, of which NumPy warns."""
    images, labels = noise(5, 1, 2, 2), digits(5)
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (5L, 1L, 2L, 2L), }"
    header = header.ljust(117) + b"\n"
    pixels = b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + images.tobytes()
    with zipfile.ZipFile(io.BytesIO(npz(labels=labels))) as archive:
        members = {"images.npy": pixels, "labels.npy": archive.read("labels.npy")}
    (tmp_path / "a.npz").write_bytes(zipped(members))
    same(read(files("npz", "a.npz", shape=(1, 2, 2)), tmp_path), images, labels)


# mat


@pytest.mark.parametrize("compressed", [False, True], ids=["stored", "deflated"])
@pytest.mark.parametrize("count", [1, 6, MANY])
def test_mat(tmp_path: Path, compressed: bool, count: int) -> None:
    images, labels = noise(count, 3, 4, 5), digits(count)
    content = mat(compressed, note="who wrote it", **svhn(images, labels), more=np.eye(3))
    assert b"\x0a" in content or 0 not in labels  # 10 stands for 0
    (tmp_path / "a.mat").write_bytes(content)
    same(read(files("mat", "a.mat", shape=(3, 4, 5)), tmp_path), images, labels)


def test_mat_is_what_torchvision_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, count, seed in (("train", 40, 0), ("test", 30, 5)):
        content = mat(True, **svhn(noise(count, 3, 32, 32, seed=seed), digits(count, seed)))
        (tmp_path / f"{name}_32x32.mat").write_bytes(content)
    unchecked = {name: ["", f"{name}_32x32.mat", None] for name in ("train", "test", "extra")}
    monkeypatch.setattr(torchvision.datasets.SVHN, "split_list", unchecked)
    halves = [torchvision.datasets.SVHN(str(tmp_path), split=name) for name in ("train", "test")]
    found = read(files("mat", "train_32x32.mat", "test_32x32.mat", shape=(3, 32, 32)), tmp_path)
    images, labels = (np.concatenate([getattr(half, key) for half in halves]) for key in ("data", "labels"))
    same(found, images, labels, test=30)
    assert {0, 9} <= set(found.labels.tolist())


@pytest.mark.parametrize("kind", ["u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8", "u8", "i8"])
def test_mat_labels_of_any_type_that_are_whole(tmp_path: Path, kind: str) -> None:
    images, labels = noise(5, 1, 2, 2), np.array([3, 0, 9, 1, 0])
    made = svhn(images, labels)
    (tmp_path / "a.mat").write_bytes(mat(True, X=made["X"], y=made["y"].astype(kind)))
    same(read(files("mat", "a.mat", shape=(1, 2, 2)), tmp_path), images, labels)


@pytest.mark.parametrize("order", ["<", ">"], ids=["little-endian", "big-endian"])
@pytest.mark.parametrize("compressed", [False, True], ids=["stored", "deflated"])
def test_mat_as_matlab_writes_it(tmp_path: Path, order: str, compressed: bool) -> None:
    """Doubles that fit are stored as bytes; the oracle is SciPy."""
    images = noise(3, 3, 4, 2)
    pixels = images.transpose(0, 1, 3, 2).tobytes()
    content = mat_head(order) + matrix("X", (4, 2, 3, 3), pixels, order=order, compressed=compressed)
    content += matrix("y", (3, 1), bytes([10, 2, 7]), kind=6, order=order, compressed=compressed)
    (tmp_path / "a.mat").write_bytes(content)
    oracle = scipy.io.loadmat(tmp_path / "a.mat")
    assert oracle["y"].ravel().tolist() == [10, 2, 7]
    same(read(files("mat", "a.mat", shape=(3, 4, 2)), tmp_path), oracle["X"].transpose(3, 2, 0, 1), [0, 2, 7])
    assert np.array_equal(oracle["X"].transpose(3, 2, 0, 1), images)


# Digits


def test_digits_csv(tmp_path: Path) -> None:
    images, labels = load_digits(return_X_y=True)
    lines = (
        ",".join(f"{value:.0f}" for value in [*row, label]) for row, label in zip(images, labels, strict=True)
    )
    (tmp_path / "a.gz").write_bytes(packed("\n".join(lines).encode()))
    found = read(files("digits-csv", "a.gz", shape=(1, 8, 8)), tmp_path)
    same(found, images.reshape(-1, 1, 8, 8) * 15, labels)
