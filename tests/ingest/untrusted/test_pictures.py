"""Hostile and damaged pictures, folders of them, and classes of torchvision that do not fit."""

import io
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision.datasets
from PIL import EpsImagePlugin, Image

from guidebp.errors import UserError
from guidebp.ingest.untrusted.pictures import convert_picture
from guidebp.schema.datasets import Dataset
from tests.support.hostile_files import changed, refused, tree
from tests.support.valid_files import described, noise, picture, read

# Pictures


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG file."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int = 4, height: int = 4, depth: int = 8, colour: int = 0, *more: bytes) -> bytes:
    """A PNG file that announces a size and holds a few zeros."""
    head = chunk(b"IHDR", struct.pack(">2I5B", width, height, depth, colour, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(bytes(4 * 5 * 8)))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(more) + body + chunk(b"IEND", b"")


def transparent() -> bytes:
    """A picture of which Pillow warns: a palette whose transparency is given colour by colour."""
    image, file = Image.fromarray(noise(1, 4, 4, 3)[0]).convert("P"), io.BytesIO()
    image.save(file, "PNG", transparency=bytes([0, 128, 255]))
    return file.getvalue()


GOOD_PNG = picture(noise(1, 4, 4)[0])
BAD_PICTURES: dict[str, bytes] = {
    "empty": b"",
    "text": b"no picture",
    "web page": b"<!DOCTYPE html><html>not found</html>",
    "script": b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\nshowpage\n",
    "head alone": GOOD_PNG[:8],
    "half a PNG": picture(noise(1, 64, 64)[0])[:-900],
    "half a JPEG": picture(noise(1, 64, 64)[0], "JPEG")[:-900],
    "half a GIF": picture(noise(1, 64, 64)[0], "GIF")[:-900],
    "half a TIFF": picture(noise(1, 64, 64)[0], "TIFF", compression="tiff_lzw")[:900],
    "half a BMP": picture(noise(1, 64, 64)[0], "BMP")[:-900],
    "half a WebP": picture(noise(1, 64, 64)[0], "WEBP", lossless=True)[:-900],
    "damaged PNG": changed(GOOD_PNG, 45, b"\0\0\0\0\0"),
    "bomb": png(50_000, 50_000),
    "large": png(12_000, 8_000),
    "large GIF": b"GIF89a"
    + struct.pack("<2H", 65535, 65535)
    + b"\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\2\2D\1\0;",
    "text bomb": png(4, 4, 8, 0, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(80 << 20)))),
    "no width": png(0),
    "16 bits of grey": picture(noise(1, 4, 4)[0].astype(np.uint16)),
    "16 bits of colour": png(4, 4, 16, 2),
    "16 bits of grey and alpha": png(4, 4, 16, 4),
    "16 bits of colour and alpha": png(4, 4, 16, 6),
    "16 bits in TIFF": picture(noise(1, 4, 4)[0].astype(np.uint16), "TIFF"),
    "32 bits": picture(noise(1, 4, 4)[0].astype(np.int32), "TIFF"),
    "fractions": picture(noise(1, 4, 4)[0].astype(np.float32), "TIFF"),
    "other size": picture(noise(1, 4, 5)[0]),
    "link that leads nowhere": b"",
}


def two_classes(folder: Path, content: bytes, name: str = "b/x.png") -> Path:
    """A folder with a good picture in class `a` and another in class `b`."""
    for path, data in (("a/x.png", GOOD_PNG), (name, content)):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


def folder_entry(root: Path, classes: int | list[str] = 2, channels: int = 1) -> Dataset:
    """The catalogue entry."""
    return described({"folder": str(root)}, (channels, 4, 4), classes)


@pytest.mark.parametrize("bad", BAD_PICTURES)
def test_picture_that_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: str) -> None:
    ran: list[Any] = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *given, **more: ran.append(given))
    two_classes(tmp_path, BAD_PICTURES[bad])
    if bad == "link that leads nowhere":
        (tmp_path / "b/x.png").unlink()
        (tmp_path / "b/x.png").symlink_to("nowhere.png")
    with refused(tmp_path / "b/x.png"):
        read(folder_entry(tmp_path), tmp_path)
    assert not ran


def test_pillow_would_have_run_ghostscript(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the test above is one."""
    ran: list[Any] = []

    def ghostscript(*given: Any, **_: Any) -> Any:
        ran.append(given)
        return Image.new("L", (4, 4)).im

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", ghostscript)
    (tmp_path / "x.png").write_bytes(BAD_PICTURES["PostScript"])
    with Image.open(tmp_path / "x.png") as image:
        image.load()
    assert ran


def test_truncated_picture(tmp_path: Path) -> None:
    """Cut within its pixels; what follows them may be missing."""
    for length in range(GOOD_PNG.index(b"IDAT") + 10):
        two_classes(tmp_path, GOOD_PNG[:length])
        with refused(tmp_path / "b/x.png"):
            read(folder_entry(tmp_path), tmp_path)


@pytest.mark.parametrize("mode", ["LAB", "HSV", "YCbCr"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_picture_in_a_rare_mode_is_converted_or_refused(mode: str, channels: int) -> None:
    image = Image.new(mode, (4, 4))
    try:
        found = convert_picture(image, (channels, 4, 4), "exact", "somewhere")
    except UserError as error:
        assert re.fullmatch(r"somewhere: cannot be converted \(.*\); save it as PNG", str(error))
        with pytest.raises(ValueError, match="conversion"):
            image.convert({1: "L", 3: "RGB", 4: "RGBA"}[channels])
    else:
        assert found.shape == (channels, 4, 4) and found.dtype == np.uint8


def test_picture_for_two_channels(tmp_path: Path) -> None:
    with refused(tmp_path / "a/x.png", "1, 3 or 4 channels"):
        read(folder_entry(two_classes(tmp_path, GOOD_PNG), channels=2), tmp_path)


@pytest.mark.parametrize(
    ("made", "where", "why"),
    [
        ([], "", "no such folder"),
        (["readme.txt"], "", "holds no folders"),
        ([".git/x.png"], "", "holds no folders"),
        (["a/x.png", "b/"], "b", "holds no pictures"),
        (["a/x.png", "b/notes.txt"], "b", "holds no pictures"),
        (["a/x.png", "b/.x.png"], "b", "holds no pictures"),
        (["a/x.png", "b/.cache/x.png"], "b", "holds no pictures"),
        (["train/", "test/"], "train", "holds no folders"),
        (["train/a/x.png", "train/b/x.png", "test/"], "test", "its classes"),
        (["train/a/x.png", "train/b/x.png", "test/a/x.png"], "test", "its classes"),
        (["train/a/x.png", "train/b/x.png", "test/a/x.png", "test/c/x.png"], "test", "its classes"),
        (["train/a/x.png", "train/b/x.png", "test/a/x.png", "test/b/"], "test/b", "holds no pictures"),
    ],
    ids=lambda value: " ".join(value) or "nothing" if isinstance(value, list) else "",
)
def test_folder_that_is_refused(tmp_path: Path, made: list[str], where: str, why: str) -> None:
    root = tmp_path / "pictures"
    for name in made:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            (root / name).mkdir()
        else:
            (root / name).write_bytes(GOOD_PNG)
    with refused(root / where, why):
        read(folder_entry(root), tmp_path)


@pytest.mark.parametrize("names", [["a", "c"], ["a", "b", "c"], ["A", "b"]], ids=str)
def test_folder_with_other_classes_than_the_catalogue(tmp_path: Path, names: list[str]) -> None:
    with refused(tmp_path, "its classes are"):
        read(folder_entry(two_classes(tmp_path, GOOD_PNG), names), tmp_path)


# Classes of torchvision


FAKE: dict[str, Any] = {"size": 3, "image_size": [1, 4, 4]}


def torchvision_entry(name: str, root: Path | None = None, **arguments: Any) -> Dataset:
    """The catalogue entry."""
    source = {"torchvision": name, "arguments": arguments} | ({"root": str(root)} if root else {})
    return described(source, (1, 4, 4))


@pytest.mark.parametrize(
    ("name", "arguments", "why"),
    [
        ("FakeDate", FAKE, "no 'FakeDate'; did you mean 'FakeData'"),
        ("VisionDataset", FAKE, "correct its arguments"),
        ("os", FAKE, "torchvision.datasets has no 'os'"),
        ("read", FAKE, "torchvision.datasets has no 'read'"),
        ("FakeData", FAKE | {"sise": 3}, "unexpected keyword argument 'sise'"),
        ("FakeData", {"size": "many", "image_size": [1, 4, 4]}, "its length"),
        ("FakeData", {"size": 3, "image_size": "small"}, "item 0: "),
        ("FakeData", FAKE | {"num_classes": 0}, "item 0: "),
        ("FakeData", FAKE | {"num_classes": "ten"}, "item 0: "),
        ("FakeData", FAKE | {"transform": "flip"}, "item 0: "),
        ("FakeData", FAKE | {"target_transform": {"a": 1}}, "item 0: "),
        ("FakeData", {"size": 3, "image_size": [1, 4, 5]}, "item 0: is 4x5"),
        ("MNIST", {}, "Dataset not found"),
        ("MNIST", {"train": "yes"}, "correct its arguments"),
        ("SVHN", {"split": "half"}, "correct its arguments"),
        ("ImageFolder", {}, "correct its arguments"),
        ("CocoDetection", {"annFile": "nowhere.json"}, "correct its arguments"),
        ("DatasetFolder", {"loader": "open"}, "correct its arguments"),
    ],
)
def test_torchvision_class_that_is_refused(
    tmp_path: Path, name: str, arguments: dict[str, Any], why: str
) -> None:
    with refused(name, why):
        read(torchvision_entry(name, **arguments), tmp_path / "nowhere")
    assert tree(tmp_path) == set()


def kitti(folder: Path) -> None:
    """A detection dataset: its labels are lists of boxes."""
    for name in ("image_2", "label_2"):
        (folder / "Kitti/raw/training" / name).mkdir(parents=True)
    (folder / "Kitti/raw/training/image_2/000000.png").write_bytes(GOOD_PNG)
    box = "Car 0.00 0 -1.57 1 2 3 4 1.5 1.5 1.5 0 0 0 -1.5\n"
    (folder / "Kitti/raw/training/label_2/000000.txt").write_text(box)


def moving_mnist(folder: Path) -> None:
    """Its items are tensors without a label."""
    (folder / "MovingMNIST").mkdir()
    np.save(folder / "MovingMNIST/mnist_test_seq.npy", np.zeros((20, 2, 64, 64), np.uint8))


def voc(folder: Path) -> None:
    """Its labels are dictionaries."""
    base = folder / "VOCdevkit/VOC2012"
    for name, content in (
        ("ImageSets/Main/train.txt", b"one\n"),
        ("JPEGImages/one.jpg", GOOD_PNG),
        ("Annotations/one.xml", b"<annotation><filename>one.jpg</filename></annotation>"),
    ):
        (base / name).parent.mkdir(parents=True)
        (base / name).write_bytes(content)


@pytest.mark.parametrize(
    ("name", "make", "arguments", "why"),
    [
        ("Kitti", kitti, {"train": True}, "item 0: its label .* is no integer; only classification"),
        ("MovingMNIST", moving_mnist, {}, "item 0: is no pair of picture and label; only classification"),
        (
            "VOCDetection",
            voc,
            {"image_set": "train"},
            "item 0: its label .* is no integer; only classification",
        ),
    ],
    ids=["lists of boxes", "tensors", "dictionaries"],
)
def test_torchvision_class_that_is_no_classification(
    tmp_path: Path, name: str, make: Callable[[Path], None], arguments: dict[str, Any], why: str
) -> None:
    make(tmp_path)
    with refused(f"torchvision.datasets.{name}", why):
        read(torchvision_entry(name, tmp_path, **arguments), tmp_path)


@pytest.mark.parametrize(
    "label",
    [1.5, 1.0, "1", None, [1], {"a": 1}, torch.tensor(1.0), torch.tensor([1, 2]), np.array([1, 2])],
    ids=str,
)
def test_torchvision_label_that_is_no_integer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, label: Any
) -> None:
    item = (Image.new("L", (4, 4)), label)
    monkeypatch.setattr(torchvision.datasets.FakeData, "__getitem__", lambda *_: item)
    with refused("torchvision.datasets.FakeData: item 0: its label", "is no integer"):
        read(torchvision_entry("FakeData", **FAKE), tmp_path)


@pytest.mark.parametrize(
    "label", [1, True, np.int16(1), np.array(1), torch.tensor(1), torch.tensor([1])], ids=repr
)
def test_torchvision_label_of_any_integer_type(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, label: Any
) -> None:
    item = (Image.new("L", (4, 4)), label)
    monkeypatch.setattr(torchvision.datasets.FakeData, "__getitem__", lambda *_: item)
    assert read(torchvision_entry("FakeData", **FAKE), tmp_path).labels.tolist() == [1, 1, 1]


@pytest.mark.parametrize("damage", ["half a PNG", "text", "bomb"])
def test_torchvision_class_with_a_damaged_picture(tmp_path: Path, damage: str) -> None:
    two_classes(tmp_path, BAD_PICTURES[damage])
    with refused("torchvision.datasets.ImageFolder: item 1"):
        read(torchvision_entry("ImageFolder", tmp_path), tmp_path)


@pytest.mark.parametrize("names", [["Train", "Test"], ["train", "test", "val"], ["train"]], ids="-".join)
def test_folder_that_nearly_has_train_and_test(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name / "a").mkdir(parents=True)
        (tmp_path / name / "a/x.png").write_bytes(GOOD_PNG)
    with refused(tmp_path, "expected train and test with classes in each"):
        read(folder_entry(tmp_path), tmp_path)


def test_folder_named_like_a_picture_is_none(tmp_path: Path) -> None:
    two_classes(tmp_path, GOOD_PNG)
    (tmp_path / "b/y.png").mkdir()
    assert len(read(folder_entry(tmp_path), tmp_path).images) == 2
