"""Sound files of every format that has a reader, made by other people's code where there is some."""

import bz2
import gzip
import io
import lzma
import pickle
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.io import savemat

from guidebp.ingest.contents import CHUNK_ROWS, Images, Labels
from guidebp.ingest.readers import get_reader
from guidebp.schema.datasets import Dataset

Shape = tuple[int, int, int]


class Found(NamedTuple):
    """Everything that a reader yields, joined."""

    images: Images
    labels: Labels
    test: NDArray[np.bool_]
    names: list[str] | None


def described(source: Mapping[str, Any], shape: Shape, classes: int | list[str] = 10) -> Dataset:
    """A catalogue entry, checked by the schema."""
    entry = {"title": "Sound", "source": source, "shape": shape, "classes": classes}
    return Dataset.model_validate(entry | {"split": {"test": 0.2, "validation": 0.1}})


def files(reader: str, *paths: str, shape: Shape, classes: int | list[str] = 10) -> Dataset:
    """The entry of published files below data/raw/DATASET/."""
    listed = [{"path": path, "unverified": True} for path in paths]
    return described({"files": listed, "reader": reader}, shape, classes)


def read(dataset: Dataset, folder: Path) -> Found:
    """Every chunk, each of which must be what `Chunk` promises."""
    contents = get_reader(dataset)(folder, dataset)
    images, labels, test = (
        [np.empty((0, *dataset.shape), np.uint8)],
        [np.empty(0, np.int64)],
        [np.empty(0, bool)],
    )
    for chunk in contents.chunks:
        assert chunk.images.dtype == np.uint8 and chunk.images.shape == (len(chunk.labels), *dataset.shape)
        assert chunk.labels.dtype == np.int64 and chunk.labels.ndim == 1 and type(chunk.test) is bool
        assert 0 < len(chunk.labels) <= CHUNK_ROWS or dataset.source.model_dump().get("reader") == "cifar"
        images.append(chunk.images)
        labels.append(chunk.labels)
        test.append(np.full(len(chunk.labels), chunk.test))
    return Found(np.concatenate(images), np.concatenate(labels), np.concatenate(test), contents.names)


def same(found: Found, images: NDArray[Any], labels: Any, test: int = 0) -> None:
    """The reader's arrays are these; the last `test` images are the official test set."""
    assert np.array_equal(found.images, images)
    assert np.array_equal(found.labels, labels)
    assert found.test.tolist() == [False] * (len(images) - test) + [True] * test


def noise(count: int, *shape: int, seed: int = 0) -> Images:
    """Random bytes [count, *shape]."""
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def digits(count: int, seed: int = 0) -> Labels:
    """Random labels from 0 to 9."""
    return np.random.default_rng(seed + 1).integers(0, 10, count)


def packed(content: bytes) -> bytes:
    """gzip, without the time."""
    return gzip.compress(content, mtime=0)


PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gz": packed,
    "bz2": bz2.compress,
    "xz": lzma.compress,
}


def idx(array: NDArray[Any]) -> bytes:
    """The idx format."""
    return (
        struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()
    )


def npz(compressed: bool = False, **arrays: Any) -> bytes:
    """NumPy's archive."""
    file = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(file, **arrays)
    return file.getvalue()


def mat(compressed: bool = False, **arrays: Any) -> bytes:
    """SciPy's MATLAB file, without the time in its head."""
    file = io.BytesIO()
    savemat(file, arrays, do_compression=compressed)
    return b"MATLAB 5.0 MAT-file".ljust(124) + file.getvalue()[124:]


def svhn(images: Images, labels: Any) -> dict[str, Any]:
    """Images [N, C, H, W] and labels in SVHN's layout: 10 stands for 0."""
    numbers = np.array(labels, dtype=np.uint8).reshape(-1, 1)
    return {"X": images.transpose(2, 3, 1, 0), "y": np.where(numbers == 0, 10, numbers).astype(np.uint8)}


def element(kind: int, content: bytes, order: str = "<") -> bytes:
    """An element of a MATLAB file: tag, contents, padding."""
    return struct.pack(order + "2I", kind, len(content)) + content + bytes(-len(content) % 8)


def matrix(
    name: str,
    shape: tuple[int, ...],
    content: bytes,
    stored: int = 2,
    kind: int = 9,
    flags: int = 0,
    order: str = "<",
    compressed: bool = False,
) -> bytes:
    """A variable of a MATLAB file as its description says, so that any of it can be wrong."""
    inside = element(6, struct.pack(order + "2I", flags << 8 | kind, 0), order)
    inside += element(5, struct.pack(f"{order}{len(shape)}i", *shape), order)
    inside += element(1, name.encode(), order) + element(stored, content, order)
    whole = element(14, inside, order)
    return packed_element(whole, order) if compressed else whole


def packed_element(content: bytes, order: str = "<") -> bytes:
    """An element of a MATLAB file that holds others, packed."""
    small = zlib.compress(content)
    return struct.pack(order + "2I", 15, len(small)) + small


def mat_head(order: str = "<", version: int = 0x0100) -> bytes:
    """The first 128 bytes of a MATLAB file."""
    return b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack(order + "2H", version, 0x4D49)


class Python2(pickle._Pickler):
    """Writes what Python 2 wrote: byte strings as its strings, NumPy's old module names."""

    dispatch: ClassVar[dict[type, Any]] = dict(pickle._Pickler.dispatch)

    def save_string(self, value: bytes) -> None:
        """As Python 2's `save_string`."""
        if self.proto == 0:  # type: ignore[attr-defined]
            self.write(b"S" + repr(value)[1:].encode() + b"\n")  # type: ignore[attr-defined]
        elif len(value) < 256:
            self.write(b"U" + bytes([len(value)]) + value)  # type: ignore[attr-defined]
        else:
            self.write(b"T" + struct.pack("<i", len(value)) + value)  # type: ignore[attr-defined]
        self.memoize(value)  # type: ignore[attr-defined]

    dispatch[bytes] = save_string


def python2(value: Any, protocol: int) -> bytes:
    """A pickle as Python 2 wrote it with protocol 0, 1 or 2."""
    file = io.BytesIO()
    Python2(file, protocol).dump(value)
    return file.getvalue().replace(b"cnumpy._core.", b"cnumpy.core.")


def older(content: bytes) -> bytes:
    """A pickle of protocol 4 or 5, in one frame, with the module names of NumPy before 2."""
    (length,) = struct.unpack_from("<Q", content, 3)
    body = content[11:]
    assert content[2:3] == b"\x95" and length == len(body)
    for name in (b"numpy._core.multiarray", b"numpy._core.numeric"):
        old = name.replace(b"_core", b"core")
        body = body.replace(b"\x8c" + bytes([len(name)]) + name, b"\x8c" + bytes([len(old)]) + old)
    return content[:3] + struct.pack("<Q", len(body)) + body


def batch(images: Images, labels: Any, key: str = "labels") -> dict[bytes, Any]:
    """What a CIFAR batch holds."""
    rows = np.ascontiguousarray(images.reshape(len(images), -1))
    return {b"batch_label": b"batch", key.encode(): [int(label) for label in labels], b"data": rows}


def text_keys(value: dict[bytes, Any]) -> dict[str, Any]:
    """The dictionary as Python 3 would write it."""
    return {key.decode(): item for key, item in value.items()}


def picture(pixels: NDArray[Any], form: str = "PNG", **options: Any) -> bytes:
    """A picture file of pixels [H, W] or [H, W, C]."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form, **options)
    return file.getvalue()


def tar(members: Mapping[str, bytes], form: str = "plain") -> bytes:
    """A tar archive, packed by `form` (gz, bz2, xz), without the time."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return PACKINGS[form](file.getvalue())


def zipped(members: Mapping[str, bytes], packing: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip archive, without the time."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", packing) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = packing
            archive.writestr(info, content)
    return file.getvalue()
