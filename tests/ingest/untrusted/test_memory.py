"""Files that ask for much memory, in a process that may take little more than it starts with.

There, warnings are no errors, and none is printed: sound files of an odd kind are read in silence.
"""

import io
import json
import lzma
import pickle
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from guidebp.schema.datasets import Dataset
from tests.ingest.untrusted.test_archives import rewritten
from tests.ingest.untrusted.test_arrays import BAD_MAT, IDX, MAT, MOST, NUMBERS, PIXELS, SHAPE, SVHN, Y, sizes
from tests.ingest.untrusted.test_npz import BAD_NPZ, NPZ, archive_of, header, lying, npy
from tests.ingest.untrusted.test_pickles import CIFAR, array, code, good_batch, got
from tests.ingest.untrusted.test_pictures import GOOD_PNG, chunk, png, transparent
from tests.support.hostile_files import IMAGES, LABELS
from tests.support.valid_files import (
    described,
    files,
    idx,
    mat,
    mat_head,
    matrix,
    noise,
    npz,
    packed,
    picture,
    svhn,
    tar,
)

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such limit"),
    pytest.mark.slow,
]

HEADROOM = 128 << 20
MUCH = 192 << 20  # bytes, which would not fit
BLOCK = bytes(1 << 20)

LIMITED = f"""
import json, resource, sys
from pathlib import Path
from PIL import Image
from guidebp.ingest.untrusted.archives import unpack_archive
from guidebp.ingest.readers import cifar, digits_csv, idx, image_folder, mat, npz, get_reader
from guidebp.errors import UserError
from guidebp.schema.datasets import Dataset

Image.init()
taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + {HEADROOM},) * 2)
for name, entry, folder in json.loads(Path(sys.argv[1]).read_text()):
    try:
        if entry is None:
            unpack_archive(Path(folder) / "a", {{"good": Path(folder) / "out"}})
        else:
            dataset = Dataset.model_validate_json(json.dumps(entry))
            count = sum(len(chunk.labels) for chunk in get_reader(dataset)(Path(folder), dataset).chunks)
        message = "read"
    except UserError as error:
        message = str(error)
    print(json.dumps([name, message]), flush=True)
"""

Case = tuple[Dataset | None, dict[str, bytes]]  # None: an archive
CSV = files("digits-csv", "a", shape=(1, 8, 8))


def zeros(size: int = MUCH, head: bytes = b"") -> bytes:
    """So many zero bytes behind a head, packed by zlib."""
    packer = zlib.compressobj(1)
    return (
        packer.compress(head) + b"".join(packer.compress(BLOCK) for _ in range(size >> 20)) + packer.flush()
    )


def gzipped(head: bytes, size: int = MUCH) -> bytes:
    """So many zero bytes behind a head, packed by gzip."""
    return packed(head) + packed(BLOCK) * (size >> 20)


def zip_of(
    head: bytes, size: int = MUCH, name: str = "images.npy", packing: int = zipfile.ZIP_DEFLATED
) -> bytes:
    """A zip archive of so many zero bytes behind a head, and of labels."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", packing, compresslevel=1) as archive:
        with archive.open(name, "w") as member:
            member.write(head)
            for _ in range(size >> 20):
                member.write(BLOCK)
        archive.writestr("labels.npy", npy(LABELS))
    return file.getvalue()


def npy_head(shape: str) -> bytes:
    """The header of an array of bytes."""
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}}}".encode()
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text


def tar_head(size: int, kind: bytes = tarfile.REGTYPE, name: str = "zeros") -> bytes:
    """The header of a member of a tar archive."""
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


def xz_with_dictionary(content: bytes) -> bytes:
    """The content in xz, which announces that unpacking takes nearly 4 GiB."""
    made = bytearray(lzma.compress(content))
    end = 12 + (made[12] + 1) * 4 - 4
    made[made.index(b"\x21\x01", 12) + 2] = 39
    made[end : end + 4] = struct.pack("<I", zlib.crc32(made[12:end]))
    return bytes(made)


def mat_of_zeros() -> bytes:
    """X and y of zeros, each a bomb for its size."""
    count = MUCH // 48
    inside = matrix("X", (4, 4, 3, count), b"")[8:-8] + struct.pack("<2I", 2, count * 48)
    packed_x = zeros(head=struct.pack("<2I", 14, len(inside) + MUCH) + inside)
    y = matrix("y", (count, 1), bytes(count), compressed=True)
    return mat_head() + struct.pack("<2I", 15, len(packed_x)) + packed_x + y


def folder_case(**pictures: bytes) -> Case:
    """A folder of pictures of two classes."""
    contents = {f"f/{name}/x.png": content for name, content in pictures.items()}
    return described({"folder": "f"}, (1, 4, 4), 2), contents


def pickle_case(content: bytes) -> Case:
    """A pickle in the place of CIFAR's training batch."""
    sound = {"test": pickle.dumps(good_batch()), "names": pickle.dumps({"label_names": ["x", "y"]})}
    return CIFAR, {"training": content, **sound}


REFUSED: dict[str, Callable[[], Case]] = {
    "idx of 4 billion images": lambda: (
        IDX,
        {"images": sizes(MOST, 4, 4), "labels": b"\0\0\x08\1" + b"\xff" * 4},
    ),
    "idx of zeros": lambda: (
        IDX,
        {
            "images": gzipped(struct.pack(">4B3I", 0, 0, 8, 3, 16 << 20, 4, 4)),
            "labels": gzipped(struct.pack(">4BI", 0, 0, 8, 1, 16 << 20), 16 << 20),
        },
    ),
    "npz of zeros": lambda: (NPZ, {"a.npz": zip_of(npy_head(f"(6, {MUCH // 24}, 4)"))}),
    "npz that hides its size": lambda: (NPZ, {"a.npz": lying(zip_of(npy_head("(6, 4, 4)")), unpacked=99)}),
    "npz packed by lzma": lambda: (
        NPZ,
        {"a.npz": lying(zip_of(npy_head("(6, 4, 4)"), packing=zipfile.ZIP_LZMA), unpacked=160)},
    ),
    "npz packed by bzip2": lambda: (
        NPZ,
        {"a.npz": lying(zip_of(npy_head("(6, 4, 4)"), packing=zipfile.ZIP_BZIP2), unpacked=160)},
    ),
    "npz with a header of 4 GiB": lambda: (NPZ, {"a.npz": BAD_NPZ["header of 4 GiB"]}),
    "npz with a header of all its bytes": lambda: (
        NPZ,
        {"a.npz": zip_of(b"\x93NUMPY\2\0" + struct.pack("<I", MUCH))},
    ),
    "npz with a huge shape": lambda: (NPZ, {"a.npz": BAD_NPZ["two huge sizes"]}),
    "mat of zeros": lambda: (MAT, {"a.mat": mat_of_zeros()}),
    "mat with huge dimensions": lambda: (MAT, {"a.mat": BAD_MAT["huge dimensions of both"]}),
    "mat with a huge element": lambda: (MAT, {"a.mat": BAD_MAT["element larger than the file"]}),
    "mat with huge flags": lambda: (MAT, {"a.mat": BAD_MAT["huge flags"]}),
    "mat with huge flags packed": lambda: (
        MAT,
        {"a.mat": mat_head() + packed_zeros(struct.pack("<4I", 14, MOST, 6, MUCH)) + Y},
    ),
    "mat with huge values packed": lambda: (
        MAT,
        {"a.mat": mat_head() + packed_zeros(matrix("X", SHAPE, b"")[:-8] + struct.pack("<2I", 2, MUCH)) + Y},
    ),
    "digits of zeros": lambda: (CSV, {"a": gzipped(b"")}),
    "digits of lines": lambda: (CSV, {"a": packed(b"\n" * (4 << 20))}),
    "bomb of a picture": lambda: folder_case(a=png(50_000, 50_000), b=GOOD_PNG),
    "picture with much text": lambda: folder_case(
        a=png(4, 4, 8, 0, chunk(b"zTXt", b"a\0\0" + zeros())), b=GOOD_PNG
    ),
    "tar of zeros": lambda: (None, {"a": gzipped(tar_head(MUCH)) + packed(tar({"good": b"good"}))}),
    "zip of zeros": lambda: (None, {"a": zip_of(b"", name="good")}),
    "tar with a long name": lambda: (None, {"a": gzipped(tar_head(MUCH, tarfile.GNUTYPE_LONGNAME))}),
    "tar with a long description": lambda: (None, {"a": gzipped(tar_head(MUCH, tarfile.XHDTYPE))}),
    "tar with a huge name": lambda: (
        None,
        {"a": rewritten(tar_head(0, tarfile.GNUTYPE_LONGNAME), 124, b"77777777777\0") + bytes(999)},
    ),
    "xz that wants 4 GiB": lambda: (None, {"a": xz_with_dictionary(tar({"good": b"good"}))}),
    "pickle with 4 GB of bytes": lambda: pickle_case(b"B\xff\xff\xff\xffabc."),
    "pickle with 2 GB of text": lambda: pickle_case(b"X\xff\xff\xff\x7fabc."),
    "pickle with 1 TB of bytes": lambda: pickle_case(b"\x8e" + struct.pack("<Q", 1 << 40) + b"abc."),
    "pickle with 16 EB of bytes": lambda: pickle_case(b"\x8e" + b"\xff" * 8 + b"abc."),
    "pickle with 1 TB to write to": lambda: pickle_case(b"\x96" + struct.pack("<Q", 1 << 40) + b"abc."),
    "pickle with 1 TB of text": lambda: pickle_case(b"\x8d" + struct.pack("<Q", 1 << 40) + b"abc."),
    "pickle with 2 GB of an old string": lambda: pickle_case(b"T\xff\xff\xff\x7fabc."),
    "pickle with 2 GB of a number": lambda: pickle_case(b"\x8b\xff\xff\xff\x7fabc."),
    "pickle with a frame of 1 TB": lambda: pickle_case(b"\x80\4\x95" + struct.pack("<Q", 1 << 40) + b"N."),
    "pickle with a memo of 4 billion": lambda: pickle_case(b"Nr\xff\xff\xff\xff."),
    "pickle with a memo of 1 billion": lambda: pickle_case(b"Np1000000000\n."),
    "pickle with a memo beyond bounds": lambda: pickle_case(b"Np" + b"9" * 40 + b"\n."),
    "pickle with a huge array": lambda: pickle_case(
        b"}" + code(b"data") + array(shape=(1 << 40,), raw=b"1") + b"s."
    ),
    "pickle with a million lists": lambda: pickle_case(b"(" + b"]" * 1_000_000 + b"l."),
    "pickle with a million calls": lambda: pickle_case(
        got("numpy.ndarray") + b"q\0" + b"h\0)R" * 1_000_000 + b"."
    ),
    # hashing a tuple hashes those inside, without a bound: once a crash
    "pickle with deep tuples": lambda: pickle_case(b"})" + b"\x85" * 1_000_000 + b"Ns."),
    "pickle with deep lists": lambda: pickle_case(b"]" * 1_000_000 + b"a" * 999_999 + b"."),
    "pickle with tuples as deep as is allowed": lambda: pickle_case(b"})" + b"\x85" * 990 + b"Ns."),
}
SOUND: dict[str, Callable[[], Case]] = {
    "palette with transparency": lambda: folder_case(a=transparent(), b=transparent()),
    "npz that Python 2 wrote": lambda: (NPZ, {"a.npz": archive_of(header(shape="(6L, 1L, 4L, 4L)"))}),
    "idx": lambda: (IDX, {"images": packed(PIXELS), "labels": NUMBERS}),
    "large idx": lambda: (
        IDX,
        {"images": idx(np.zeros((2 << 20, 4, 4), np.uint8)), "labels": idx(np.zeros(2 << 20, np.uint8))},
    ),
    "npz": lambda: (NPZ, {"a.npz": npz(images=IMAGES, labels=LABELS)}),
    "mat": lambda: (MAT, {"a.mat": mat(True, **SVHN)}),
    "large mat": lambda: (
        MAT,
        {"a.mat": mat(False, **svhn(noise(1, 3, 4, 4).repeat(3_000_000, axis=0), np.ones(3_000_000)))},
    ),
    "pickle": lambda: pickle_case(pickle.dumps(good_batch())),
    "picture": lambda: folder_case(a=picture(IMAGES[0, 0]), b=GOOD_PNG),
    "tar": lambda: (None, {"a": tar({"good": b"good"}, "xz")}),
}


def packed_zeros(head: bytes) -> bytes:
    """A packed element of a MATLAB file: a head and much behind it."""
    content = zeros(head=head)
    return struct.pack("<2I", 15, len(content)) + content


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the process says of each case: `read`, or the message of a UserError; nothing of those after a crash."""
    root = tmp_path_factory.mktemp("greedy")
    cases: list[tuple[str, Any, str]] = []
    for number, (name, case) in enumerate({**REFUSED, **SOUND}.items()):
        folder = root / str(number)
        entry, contents = case()
        for path, content in contents.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
        entry_of_case = None if entry is None else entry.model_dump(mode="json", exclude_none=True)
        if entry_of_case and "folder" in entry_of_case["source"]:
            entry_of_case["source"]["folder"] = str(folder / "f")
        cases.append((name, entry_of_case, str(folder)))
    (root / "cases.json").write_text(json.dumps(cases))
    command = [sys.executable, "-c", LIMITED, str(root / "cases.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    said = dict(json.loads(line) for line in done.stdout.splitlines())
    return {name: said.get(name, "the process has died").replace(str(root), "") for name, _, _ in cases}


@pytest.mark.parametrize("name", REFUSED)
def test_what_asks_for_much_memory_is_refused_without_it(answers: dict[str, str], name: str) -> None:
    message = answers[name]
    assert message.startswith("/") and message.isprintable() and "; " in message, message
    # xz is the one that has to be given what it asks for
    assert ("MemoryError" in message) == (name == "xz that wants 4 GiB"), message


@pytest.mark.parametrize("name", SOUND)
def test_what_is_sound_is_read_in_silence(answers: dict[str, str], name: str) -> None:
    assert answers[name] == "read"
