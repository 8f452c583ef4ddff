"""Files damaged at random: reading gives a UserError or arrays of the right shape and type, never anything else.

Where a checksum covers the contents, it is a UserError or the right contents.
"""

import pickle
import struct
import tarfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from guidebp.errors import UserError
from guidebp.ingest.untrusted import pickles
from guidebp.ingest.untrusted.archives import unpack_archive
from guidebp.ingest.untrusted.pickles import read_pickle
from guidebp.schema.datasets import Dataset
from tests.ingest.untrusted.test_archives import rewritten
from tests.ingest.untrusted.test_npz import NPZ, archive_of, npy
from tests.ingest.untrusted.test_pickles import code
from tests.support.hostile_files import FULL, REMEDY
from tests.support.valid_files import (
    batch,
    described,
    digits,
    files,
    idx,
    mat,
    noise,
    npz,
    packed,
    picture,
    python2,
    read,
    svhn,
    tar,
    zipped,
)

FEWER_EXAMPLES = settings(max_examples=500 if FULL else min(10, settings().max_examples))
IMAGES, LABELS = noise(6, 3, 4, 4), digits(6)
GREY = IMAGES[:, :1]
MEMBERS = {"d/one": b"1" * 700, "good": IMAGES.tobytes(), "d/two": b"2"}


class Sample(NamedTuple):
    """A sound dataset: its entry, its files, and whether damage cannot change what is read.

    An entry of None stands for an archive with the file `good`.
    """

    entry: Dataset | None
    files: dict[str, bytes]
    checked: bool = False


def pickled(write: Any) -> Sample:
    """CIFAR's three files."""
    made = batch(IMAGES, LABELS)
    contents = {"a": write(made), "b": write(made), "c": write({b"label_names": [b"x", b"y"]})}
    return Sample(files("cifar", "a", "b", "c", shape=(3, 4, 4)), contents)


def pictures(suffix: str, form: str, **options: Any) -> Sample:
    """A folder of two classes, turned by EXIF where there is some."""
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "described"
    more = {} if form in ("GIF", "BMP", "PPM") else {"exif": exif}
    contents = {
        f"f/{name}/x.{suffix}": picture(image.transpose(1, 2, 0), form, **options, **more)
        for name, image in zip("ab", IMAGES[:2], strict=True)
    }
    return Sample(described({"folder": "f", "fit": "stretch"}, (3, 4, 4), 2), contents)


def csv() -> bytes:
    """Digits."""
    rows = np.column_stack([noise(4, 64) % 17, digits(4)])
    return "".join(",".join(map(str, row)) + "\n" for row in rows.tolist()).encode()


IDX = files("idx", "a", "b", shape=(1, 4, 4))
THREE = files("npz", "a", shape=(3, 4, 4))
MAT = files("mat", "a", shape=(3, 4, 4))
SAMPLES = {
    "idx": Sample(IDX, {"a": idx(GREY[:, 0]), "b": idx(LABELS)}),
    "idx.gz": Sample(IDX, {"a": packed(idx(GREY[:, 0])), "b": packed(idx(LABELS))}, checked=True),
    "npz stored": Sample(THREE, {"a": npz(images=IMAGES, labels=LABELS)}, checked=True),
    "npz deflated": Sample(THREE, {"a": npz(True, images=IMAGES, labels=LABELS)}, checked=True),
    "mat stored": Sample(MAT, {"a": mat(**svhn(IMAGES, LABELS))}),
    "mat deflated": Sample(MAT, {"a": mat(True, **svhn(IMAGES, LABELS))}, checked=True),
    **{
        f"cifar by Python 2, protocol {protocol}": pickled(lambda value, p=protocol: python2(value, p))
        for protocol in range(3)
    },
    **{
        f"cifar by Python 3, protocol {protocol}": pickled(lambda value, p=protocol: pickle.dumps(value, p))
        for protocol in range(6)
    },
    "digits": Sample(files("digits-csv", "a", shape=(1, 8, 8)), {"a": packed(csv())}, checked=True),
    "png": pictures("png", "PNG"),
    "jpeg": pictures("jpg", "JPEG"),
    "gif": pictures("gif", "GIF"),
    "bmp": pictures("bmp", "BMP"),
    "tiff": pictures("tif", "TIFF"),
    "webp": pictures("webp", "WEBP", lossless=True),
    "ppm": pictures("ppm", "PPM"),
    "tar": Sample(None, {"a": tar(MEMBERS)}),
    "tar.gz": Sample(None, {"a": tar(MEMBERS, "gz")}, checked=True),
    "tar.bz2": Sample(None, {"a": tar(MEMBERS, "bz2")}, checked=True),
    "tar.xz": Sample(None, {"a": tar(MEMBERS, "xz")}, checked=True),
    "zip": Sample(None, {"a": zipped(MEMBERS)}, checked=True),
}


def result(sample: Sample, folder: Path) -> list[Any]:
    """What is read: arrays, checked to be what a reader promises, or the contents of the file in the archive."""
    if sample.entry is None:
        (folder / "out").unlink(missing_ok=True)
        try:
            unpack_archive(folder / "a", {"good": folder / "out"})
        finally:
            assert {path.name for path in folder.iterdir()} <= {"a", "out"}
        return [(folder / "out").read_bytes()]
    entry = sample.entry
    if entry.source.model_dump().get("folder"):
        source = entry.source.model_copy(update={"folder": str(folder / "f")})
        entry = entry.model_copy(update={"source": source})
    found = read(entry, folder)
    assert found.names is None or all(name.isprintable() for name in found.names)
    return [found.images.tobytes(), found.labels.tobytes(), found.test.tobytes()]


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """The content with one to three changes."""
    made = bytearray(content)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(len(made) - 1, 0)))
        kind = draw(st.sampled_from(["flip", "flip", "set", "number", "cut", "insert", "remove", "repeat"]))
        if kind == "flip" and made:
            made[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "set" and made:
            made[at] = draw(st.integers(0, 255))
        elif kind == "number":
            number = draw(st.sampled_from([0, 1, 1 << 16, (1 << 31) - 1, 1 << 31, (1 << 32) - 1]))
            made[at : at + 4] = struct.pack(draw(st.sampled_from(["<I", ">I"])), number)
        elif kind == "cut":
            del made[at:]
        elif kind == "insert":
            made[at:at] = draw(st.binary(min_size=1, max_size=9))
        elif kind == "remove":
            del made[at : at + draw(st.integers(1, 40))]
        else:
            made[at:at] = made[at : at + draw(st.integers(1, 40))]
    return bytes(made)


def check_refusal(error: UserError, where: Path) -> None:
    """One printable line that names a file in the folder, and what to do."""
    message = str(error)
    assert message.startswith(f"{where}/") and message.isprintable() and len(message) < 1000, message
    assert REMEDY.search(message), message


# thirty formats: fewer examples of each
@settings(FEWER_EXAMPLES)
@pytest.mark.parametrize("name", SAMPLES)
@given(data=st.data())
def test_damaged_file(tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject) -> None:
    sample, folder = SAMPLES[name], tmp_path_factory.mktemp("damaged")
    for path, content in sample.files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    good = result(sample, folder)
    victim = data.draw(st.sampled_from(sorted(sample.files)))
    (folder / victim).write_bytes(data.draw(damaged(sample.files[victim])))
    try:
        found = result(sample, folder)
    except UserError as error:
        check_refusal(error, folder)
    else:
        assert not sample.checked or found == good


PIECES = [
    *(bytes([byte]) for byte in b"N\x88\x89]})(tlds.aeub012\x85\x86\x87\x81\x90\x92\x93\x94Q"),
    *(name.encode().join([b"c", b"\n"]).replace(b" ", b"\n") for name in map(" ".join, pickles.STAND_INS)),
    *(name.encode().join([b"c", b"\n"]) for name in ("os\nmkdir", "builtins\nlist", "numpy\narray")),
    *map(code, [0, 1, -1, 6, 1 << 70, "u1", "|", b"abcdef", "latin1", "x", (2, 3), (0,), (None,) * 3]),
    code((3, "|", None, None, None, -1, -1, 0)),
    *(b"q" + bytes([place]) for place in range(3)),
    *(b"h" + bytes([place]) for place in range(3)),
    *(b"p%d\n" % place for place in (0, 7, -1)),
    b"I01\n",
    b"L12L\n",
    b"S'\\xff'\n",
    b"Vtext\n",
    b"R",
    b"R",
    b"b",
]
PLAIN = (bool, int, bytes, bytearray, str, list, dict, tuple, np.ndarray, type(None), type, pickles._StandIn)


@given(st.lists(st.sampled_from(PIECES), max_size=25), st.sampled_from([b"", b"\x80\x02", b"\x80\x04"]))
def test_any_pickle(tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes], head: bytes) -> None:
    """Any instructions in any order: plain data or a UserError, and the stand-ins stay what they are."""
    folder = tmp_path_factory.mktemp("pickle")
    kinds = set(pickles.STAND_INS.values())
    before = {kind: dict(vars(kind)) for kind in kinds}
    (folder / "batch").write_bytes(head + b"".join(pieces) + b".")
    try:
        found = read_pickle(folder / "batch")
    except UserError as error:
        check_refusal(error, folder)
    else:
        assert isinstance(found, PLAIN) and (not isinstance(found, type) or found in kinds)
    assert {kind: dict(vars(kind)) for kind in kinds} == before


TOKENS = [
    *"{}()[]',:-+.#\\\n\t L0",
    *(
        "'descr'",
        "'|u1'",
        "'<i8'",
        "'O'",
        "'fortran_order'",
        "True",
        "False",
        "'shape'",
        "(6, 1, 4, 4)",
        "6L",
    ),
    *(
        "__import__('os')",
        "lambda: 0",
        "f'{1}'",
        "9**9",
        "1_0",
        "0x",
        "1e999",
        "'''",
        "b'",
        "é",
        "\0",
        "None",
        "...",
    ),
]
HEADER = ["{", "'descr'", ": ", "'|u1'", ", ", "'fortran_order'", ": ", "False", ", ", "'shape'", ": "]


@given(st.data())
def test_any_npy_header(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Headers are a piece of Python: a good one with some of its tokens exchanged, or any tokens."""
    good = [*HEADER, "(6, 1, 4, 4)", "}"]
    if data.draw(st.booleans()):
        tokens = data.draw(st.lists(st.sampled_from(TOKENS), max_size=30))
    else:
        tokens = list(good)
        for _ in range(data.draw(st.integers(1, 2))):
            tokens[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.sampled_from(TOKENS))
    folder = tmp_path_factory.mktemp("header")
    content = archive_of(npy(GREY, "".join(tokens)), npy(LABELS))
    (folder / "a.npz").write_bytes(content)
    try:
        found = read(NPZ, folder)
    except UserError as error:
        check_refusal(error, folder)
    else:
        assert np.array_equal(found.images, GREY) and np.array_equal(found.labels, LABELS)


@given(st.data())
def test_any_tar_header(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Headers with a right checksum: their fields reach the reader."""
    folder = tmp_path_factory.mktemp("tar")
    content = tar(MEMBERS)
    member = data.draw(st.sampled_from([0, 512 + 1024]))  # the first header, the second
    assert content[member + 257 : member + 262] == b"ustar"
    header = content[member : member + 512]
    kinds = [bytes([byte]) for byte in b"\x001234567LKSxgXDVMA"]
    texts = st.sampled_from([b"good", b"../good", b"/good", b"a:b", b"\xff\xfe", b"", b"12 path=../good\n"])
    numbers = st.sampled_from(
        [b"0", b"-1", b"\xff" * 12, b"\x80" + b"\xff" * 11, b"7" * 11, b"x", b"00000000777"]
    )
    for _ in range(data.draw(st.integers(1, 3))):
        at, values, size = data.draw(
            st.sampled_from(
                [(0, texts, 100), (124, numbers, 12), (156, st.sampled_from(kinds), 1), (157, texts, 100)]
            )
        )
        header = rewritten(header, at, data.draw(values).ljust(size, b"\0")[:size])
    (folder / "a").write_bytes(content[:member] + header + content[member + 512 :])
    try:
        unpack_archive(folder / "a", {"good": folder / "out"})
    except UserError as error:
        check_refusal(error, folder)
    except tarfile.TarError:
        pytest.fail("no UserError")
    assert {path.name for path in folder.iterdir()} <= {"a", "out"}
    assert not (folder.parent / "good").exists()
