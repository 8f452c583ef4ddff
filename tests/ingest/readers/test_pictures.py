"""Folders of pictures and classes of torchvision give what Pillow and torchvision read from them."""

import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torchvision.datasets
from numpy.typing import NDArray
from PIL import Image, ImageOps

from guidebp.ingest import contents as contents_module
from guidebp.ingest.readers.image_folder import read_image_folder
from tests.support.valid_files import described, digits, files, idx, noise, picture, read, same

# Folders of pictures


def folder_of(root: Path, contents: dict[str, bytes]) -> Path:
    """A folder with these files."""
    for name, content in contents.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def folder_entry(root: Path, shape: tuple[int, int, int], classes: int | list[str] = 2, **more: str) -> Any:
    """The catalogue entry."""
    return described({"folder": str(root), **more}, shape, classes)


def test_folder_with_one_sub_folder_per_class(tmp_path: Path) -> None:
    pixels = noise(4, 3, 5)
    names = ["b/2.png", "b/10.png", "a/z.png", "a/deep/er/y.png"]
    root = folder_of(tmp_path, {name: picture(image) for name, image in zip(names, pixels, strict=True)})
    found = read(folder_entry(root, (1, 3, 5)), tmp_path)
    same(found, pixels[[3, 2, 1, 0], None], [0, 0, 1, 1])  # a/deep/er/y, a/z, b/10, b/2
    assert found.names == ["a", "b"]


def test_folder_with_train_and_test(tmp_path: Path) -> None:
    pixels = noise(5, 3, 5)
    names = ["train/b/x.png", "train/a/x.png", "train/a/y.png", "test/a/x.png", "test/b/x.png"]
    root = folder_of(tmp_path, {name: picture(image) for name, image in zip(names, pixels, strict=True)})
    found = read(folder_entry(root, (1, 3, 5)), tmp_path)
    same(found, pixels[[1, 2, 0, 3, 4], None], [0, 0, 1, 0, 1], test=2)
    assert found.names == ["a", "b"]


def test_folder_with_names_in_the_catalogues_order(tmp_path: Path) -> None:
    pixels = noise(3, 2, 2)
    root = folder_of(
        tmp_path, {f"{name}/x.png": picture(image) for name, image in zip("abc", pixels, strict=True)}
    )
    found = read(folder_entry(root, (1, 2, 2), ["c", "a", "b"]), tmp_path)
    same(found, pixels[[2, 0, 1], None], [0, 1, 2])
    assert found.names == ["c", "a", "b"]


def test_folder_leaves_out_what_is_hidden_or_no_picture(tmp_path: Path) -> None:
    pixels = noise(2, 2, 2)
    damaged = dict.fromkeys(
        ["a/.hidden.png", "a/.checkpoints/x.png", "a/notes.txt", "a/README", ".git/x.png", "list.csv"],
        b"none",
    )
    root = folder_of(tmp_path, {"a/x.png": picture(pixels[0]), "b/x.PNG": picture(pixels[1]), **damaged})
    same(read(folder_entry(root, (1, 2, 2)), tmp_path), pixels[:, None], [0, 1])


def test_folder_of_more_than_a_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents_module, "CHUNK_ROWS", 20)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(21):
            image = np.full((1, 2), (number + len(name)) % 251, np.uint8)
            (tmp_path / name / f"{number:05}.pgm").write_bytes(picture(image, "PPM"))
    chunks = read_image_folder(tmp_path, folder_entry(tmp_path, (1, 1, 2))).chunks
    assert [len(chunk.labels) for chunk in chunks] == [20, 20, 2]
    found = read(folder_entry(tmp_path, (1, 1, 2)), tmp_path)
    assert found.labels.tolist() == [0] * 21 + [1] * 21
    assert np.array_equal(found.images[:, 0, 0, 0], [(n + 1) % 251 for n in range(21)] * 2)


PIXELS = {
    "1": np.array([[True, False, True], [False, False, True]]),
    "L": noise(1, 2, 3)[0],
    "LA": noise(1, 2, 3, 2)[0],
    "RGB": noise(1, 2, 3, 3)[0],
    "RGBA": noise(1, 2, 3, 4)[0],
}


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("mode", [*PIXELS, "P", "P with transparency", "CMYK"])
def test_picture_of_any_mode(tmp_path: Path, mode: str, channels: int) -> None:
    """Pillow's own conversion is the oracle, but grey and colour that need none are compared with the pixels."""
    if mode in PIXELS:
        image = Image.fromarray(PIXELS[mode])
    else:
        image = Image.fromarray(PIXELS["RGB"]).convert("CMYK" if mode == "CMYK" else "P")
    options = {"transparency": bytes([0, 128, 255])} if "transparency" in mode else {}
    file = io.BytesIO()
    image.save(file, "TIFF" if mode == "CMYK" else "PNG", **options)
    root = folder_of(tmp_path, {"a/x.tif" if mode == "CMYK" else "a/x.png": file.getvalue()})
    folder_of(tmp_path, {"b/x.png": picture(PIXELS["L"])})
    (found, grey), labels, _, _ = read(folder_entry(root, (channels, 2, 3)), root)
    assert labels.tolist() == [0, 1]
    assert np.array_equal(grey[0], PIXELS["L"])
    with warnings.catch_warnings(), Image.open(file) as opened:
        warnings.simplefilter("ignore")  # Pillow's advice on palettes with transparency
        oracle = np.asarray(opened.convert({1: "L", 3: "RGB", 4: "RGBA"}[channels]))
    assert np.array_equal(found, oracle.reshape(2, 3, channels).transpose(2, 0, 1))
    if mode in ("L", "RGB", "RGBA") and channels == len(mode):
        assert np.array_equal(found, PIXELS[mode].reshape(2, 3, channels).transpose(2, 0, 1))


@pytest.mark.parametrize("form", ["PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM"])
def test_picture_of_any_lossless_format(tmp_path: Path, form: str) -> None:
    pixels = noise(2, 4, 5)
    options = {"lossless": True} if form == "WEBP" else {}
    suffix = ".pgm" if form == "PPM" else f".{form.lower()}"
    contents = {
        f"{name}/x{suffix}": picture(image, form, **options) for name, image in zip("ab", pixels, strict=True)
    }
    same(read(folder_entry(folder_of(tmp_path, contents), (1, 4, 5)), tmp_path), pixels[:, None], [0, 1])


def test_jpeg_is_what_pillow_decodes(tmp_path: Path) -> None:
    content = picture(noise(1, 16, 24, 3)[0], "JPEG", quality=80)
    folder_of(tmp_path, {"a/x.jpg": content, "b/x.jpeg": content})
    with Image.open(io.BytesIO(content)) as image:
        pixels = np.asarray(image).transpose(2, 0, 1)
    same(read(folder_entry(tmp_path, (3, 16, 24)), tmp_path), np.stack([pixels, pixels]), [0, 1])


# What a viewer does to the stored pixels for each value of the EXIF tag, by its definition.
TURNS: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
    1: lambda pixels: pixels,
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.T,
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: pixels[::-1, ::-1].T,
    8: lambda pixels: np.rot90(pixels),
}


@pytest.mark.parametrize("orientation", TURNS)
def test_picture_is_turned_upright(tmp_path: Path, orientation: int) -> None:
    pixels, exif = noise(1, 4, 4)[0], Image.Exif()
    exif[0x0112] = orientation
    folder_of(tmp_path, {"a/x.png": picture(pixels, exif=exif), "b/x.png": picture(pixels)})
    found = read(folder_entry(tmp_path, (1, 4, 4)), tmp_path)
    assert np.array_equal(found.images[0, 0], TURNS[orientation](pixels))
    assert np.array_equal(found.images[1, 0], pixels)


def test_turned_picture_changes_its_shape(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    folder_of(tmp_path, {f"{name}/x.png": picture(noise(1, 2, 5)[0], exif=exif) for name in "ab"})
    found = read(folder_entry(tmp_path, (1, 5, 2)), tmp_path)
    assert np.array_equal(found.images[0, 0], np.rot90(noise(1, 2, 5)[0], -1))


def test_fit_crop_cuts_at_the_centre(tmp_path: Path) -> None:
    wide, high = noise(1, 4, 10, 3)[0], noise(1, 10, 4, 3, seed=1)[0]
    folder_of(tmp_path, {"a/x.png": picture(wide), "b/x.png": picture(high)})
    found = read(folder_entry(tmp_path, (3, 4, 4), fit="crop"), tmp_path)
    same(found, np.stack([wide[:, 3:7], high[3:7]]).transpose(0, 3, 1, 2), [0, 1])


@pytest.mark.parametrize("fit", ["crop", "stretch"])
def test_fit_is_pillows(tmp_path: Path, fit: str) -> None:
    pixels = noise(1, 23, 31, 3)[0]
    folder_of(tmp_path, {f"{name}/x.png": picture(pixels) for name in "ab"})
    found = read(folder_entry(tmp_path, (3, 8, 6), fit=fit), tmp_path)
    image, bilinear = Image.fromarray(pixels), Image.Resampling.BILINEAR
    fitted = ImageOps.fit(image, (6, 8), bilinear) if fit == "crop" else image.resize((6, 8), bilinear)
    assert np.array_equal(found.images[0], np.asarray(fitted).transpose(2, 0, 1))


@pytest.mark.parametrize("fit", ["exact", "crop", "stretch"])
def test_fit_leaves_the_right_size_alone(tmp_path: Path, fit: str) -> None:
    pixels = noise(2, 5, 3)
    folder_of(tmp_path, {"a/x.png": picture(pixels[0]), "b/x.png": picture(pixels[1])})
    same(read(folder_entry(tmp_path, (1, 5, 3), fit=fit), tmp_path), pixels[:, None], [0, 1])


# Classes of torchvision


def test_torchvision_fake_data(tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"size": 9, "image_size": [3, 5, 4], "num_classes": 10}
    offset = {"size": 4, "random_offset": 77}
    source = {"torchvision": "FakeData", "arguments": arguments, "test_arguments": arguments | offset}
    found = read(described(source, (3, 5, 4)), tmp_path)
    items = [*torchvision.datasets.FakeData(**arguments)]
    items += [*torchvision.datasets.FakeData(**arguments | offset)]
    images = np.stack([np.asarray(image).transpose(2, 0, 1) for image, _ in items])
    same(found, images, [label for _, label in items], test=4)
    assert found.names is None


@pytest.mark.parametrize("root", [None, "mine"])
def test_torchvision_mnist_is_the_idx_files(tmp_path: Path, root: str | None) -> None:
    folder = tmp_path / (root or "raw")
    raw = folder / "MNIST/raw"
    raw.mkdir(parents=True)
    names = [f"{half}-{what}-ubyte" for half in ("train", "t10k") for what in ("images-idx3", "labels-idx1")]
    arrays: list[NDArray[Any]] = [noise(9, 28, 28), digits(9), noise(4, 28, 28), digits(4)]
    for name, array in zip(names, arrays, strict=True):
        (raw / name).write_bytes(idx(array))
    source = {"torchvision": "MNIST", "arguments": {"train": True}, "test_arguments": {"train": False}}
    entry = described(source | ({"root": str(folder)} if root else {}), (1, 28, 28))
    found = read(entry, tmp_path / "raw")
    oracle = read(files("idx", *(f"MNIST/raw/{name}" for name in names), shape=(1, 28, 28)), folder)
    same(found, oracle.images, oracle.labels, test=4)
    assert found.names == torchvision.datasets.MNIST.classes


def test_torchvision_image_folder_is_the_folder_reader(tmp_path: Path) -> None:
    pixels = noise(3, 6, 5, 3)
    names = ["b/x.png", "a/y.png", "a/x.png"]
    root = folder_of(tmp_path, {name: picture(image) for name, image in zip(names, pixels, strict=True)})
    source = {"torchvision": "ImageFolder", "root": str(root), "fit": "crop"}
    found = read(described(source, (3, 4, 4), 2), tmp_path / "nowhere")
    oracle = read(folder_entry(root, (3, 4, 4), fit="crop"), tmp_path)
    same(found, oracle.images, oracle.labels)
    assert found.names == oracle.names == ["a", "b"]
