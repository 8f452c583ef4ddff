"""What preparing writes: the file, its manifest, its sheet of samples; and that nothing is left half-written."""

import errno
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from guidebp.data import manifest as manifest_module
from guidebp.data.manifest import PreparedFile, compute_content_hash, read_manifest
from guidebp.data.prepared import load_prepared
from guidebp.errors import UserError
from guidebp.files import file_hash
from guidebp.ingest import prepare as prepare_module
from guidebp.ingest.contents import Chunk, DatasetContents, Images
from guidebp.ingest.prepare import prepare_dataset
from guidebp.ingest.samples import count_samples_per_class
from guidebp.schema.catalogue import resolve_subset
from guidebp.schema.datasets import SubsetEntry
from tests.support.arrays_on_disk import (
    DRAWN,
    OFFICIAL,
    contents,
    entry,
    extra_memory,
    needs_proc,
    noise,
    prepared,
)

FILE = "prepared/made.safetensors"


# The file


@pytest.mark.parametrize(
    ("shape", "training", "test"),
    [
        ((1, 7, 7), 9, 5),
        ((3, 5, 2), 1, 1),
        ((4, 1, 3), 7, 0),
        ((2, 3, 3), 5, 2),
        ((1, 2, 1), 4097, 2003),  # several parts of the reader
    ],
    ids=str,
)
@pytest.mark.parametrize("block", [1, 1000, 1 << 20])  # less than an image, several, all
def test_file_holds_the_arrays(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    shape: tuple[int, int, int],
    training: int,
    test: int,
    block: int,
) -> None:
    monkeypatch.setattr(prepare_module, "IMAGE_BLOCK", block)
    images, labels = noise(training + test, shape), np.arange(training + test) % 3
    halves = (images[training:], labels[training:]) if test else ()
    manifest = prepared(tmp_path, entry(tmp_path, images[:training], labels[:training], *halves, classes=3))
    found = load_file(tmp_path / FILE)
    assert {name: array.dtype.str for name, array in found.items()} == {
        "images": "|u1",
        "labels": "<i2",
        "test": "|u1",
    }
    assert np.array_equal(found["images"], images)
    assert np.array_equal(found["labels"], labels)
    assert np.array_equal(found["test"], np.arange(training + test) >= training)
    assert (
        manifest["sha256"]
        == compute_content_hash(found)
        == PreparedFile(tmp_path / FILE).compute_content_hash()
    )
    loaded = load_prepared(tmp_path / "prepared", "made")
    assert np.array_equal(loaded.images.numpy(), images)
    assert loaded.labels.tolist() == labels.tolist()
    assert loaded.official_test.sum() == test


@pytest.mark.parametrize(
    ("shape", "training", "test"),
    [((1, 1, 1), 1, 0), ((3, 5, 7), 1, 2), ((1, 9, 9), 9, 9), ((4, 1, 9), 3, 4)],
    ids=str,
)
def test_labels_start_at_an_even_position(
    tmp_path: Path, shape: tuple[int, int, int], training: int, test: int
) -> None:
    """Two-byte numbers at an odd position would be read wrongly or not at all by some machines."""
    halves = (noise(test, shape, 1), [1] * test) if test else ()
    prepared(tmp_path, entry(tmp_path, noise(training, shape), [0] * training, *halves))
    content = (tmp_path / FILE).read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    assert length % 8 == 0 and header["labels"]["data_offsets"][0] % 2 == 0
    assert load_prepared(tmp_path / "prepared", "made").labels.tolist() == [0] * training + [1] * test


def test_blocks_of_a_prepared_file_are_its_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest_module, "READ_BLOCK", 200)
    images, labels = noise(901, (1, 2, 1)), np.arange(901) % 7
    prepared(tmp_path, entry(tmp_path, images, labels))
    file = PreparedFile(tmp_path / FILE)
    blocks = list(file.read_blocks("images"))
    assert [len(block) for block in blocks] == [100] * 9 + [1]
    assert np.array_equal(np.concatenate(blocks), images)
    assert np.array_equal(np.concatenate(list(file.read_blocks("labels"))), labels)
    assert file.compute_content_hash() == compute_content_hash(load_file(tmp_path / FILE))
    monkeypatch.setattr(manifest_module, "READ_BLOCK", 1)  # less than a row
    assert [len(block) for block in file.read_blocks("images")] == [1] * 901


def test_same_bytes_wherever_and_whenever(tmp_path: Path) -> None:
    dataset = entry(tmp_path, noise(9, (3, 4, 4)), [0, 1, 2] * 3, noise(4, (3, 4, 4), 1), [0, 1, 2, 0])
    prepared(tmp_path, dataset)
    first = contents(tmp_path / "prepared")
    assert sorted(first) == ["made.json", "made.png", "made.safetensors"]
    prepared(tmp_path, dataset)
    assert contents(tmp_path / "prepared") == first
    prepare_dataset("made", dataset, tmp_path / "raw", tmp_path / "elsewhere")
    assert contents(tmp_path / "elsewhere") == first


# The manifest


@pytest.mark.parametrize("block", [1000, 1 << 20])
def test_manifest_counts_and_statistics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(prepare_module, "IMAGE_BLOCK", block)
    images, labels = noise(4500, (3, 3, 2)), np.arange(4500) % 4
    images[:, 1] //= 7
    images[:, 2] = 17
    test, test_labels = noise(30, (3, 3, 2), 1), [0] * 10 + [2] * 20
    manifest = prepared(tmp_path, entry(tmp_path, images, labels, test, test_labels))
    assert manifest["dataset"] == "made" and manifest["shape"] == [3, 3, 2]
    assert (manifest["images"], manifest["official_test_images"]) == (4530, 30)
    assert manifest["per_class"] == {"training": [1125] * 4, "test": [10, 0, 20, 0]}
    assert manifest["mean"] == pytest.approx(images.mean(axis=(0, 2, 3)).tolist(), rel=1e-5)
    assert manifest["deviation"] == pytest.approx(images.std(axis=(0, 2, 3)).tolist(), rel=1e-5)


def test_statistics_are_of_the_images_that_are_kept(tmp_path: Path) -> None:
    images = np.array([0, 0, 0, 10, 20, 20], dtype=np.uint8).reshape(-1, 1, 1, 1)
    manifest = prepared(tmp_path, entry(tmp_path, images, [0, 1] * 3, drop_copies=True))
    assert manifest["per_class"] == {"training": [2, 1], "test": [0, 0]}
    assert manifest["mean"] == [10.0]
    assert manifest["deviation"] == pytest.approx([np.std([0, 10, 20])], rel=1e-5)


def pictures(folder: Path, classes: list[str]) -> dict[str, Any]:
    """A source: one black picture for each class."""
    for name in classes:
        (folder / name).mkdir(parents=True)
        Image.new("L", (2, 2)).save(folder / name / "a.png")
    return {"folder": str(folder)}


def test_names_of_the_classes(tmp_path: Path) -> None:
    dataset = entry(tmp_path, noise(3, (1, 2, 2)), [0, 1, 2])
    assert prepared(tmp_path, dataset)["classes"] == ["0", "1", "2"]
    named = entry(tmp_path, noise(3, (1, 2, 2)), [0, 1, 2], classes=["dog", "cat", "bird"])
    assert prepared(tmp_path, named)["classes"] == ["dog", "cat", "bird"]
    source = pictures(tmp_path / "pictures", ["cat", "bird"])
    found = entry(tmp_path, noise(1, (1, 2, 2)), [0], source=source, classes=2)
    assert prepared(tmp_path, found)["classes"] == ["bird", "cat"]
    both = entry(tmp_path, noise(1, (1, 2, 2)), [0], source=source, classes=["cat", "bird"])
    assert prepared(tmp_path, both)["classes"] == ["cat", "bird"]


def test_fewer_names_than_classes_leave_the_old_files(tmp_path: Path) -> None:
    prepared(tmp_path, entry(tmp_path, noise(3, (1, 2, 2)), [0, 1, 2]))
    before = contents(tmp_path / "prepared")
    source = pictures(tmp_path / "pictures", ["cat", "bird"])
    dataset = entry(tmp_path, noise(1, (1, 2, 2)), [0], source=source, classes=3)
    with pytest.raises(UserError, match="dataset 'made': its files name 2 classes, the catalogue says 3"):
        prepared(tmp_path, dataset)
    assert contents(tmp_path / "prepared") == before


def test_manifest_names_the_raw_files(tmp_path: Path) -> None:
    dataset = entry(tmp_path, noise(3, (1, 2, 2)), [0, 1, 2], noise(3, (1, 2, 2), 1), [0, 1, 2])
    paths = [tmp_path / "training.npz", tmp_path / "test.npz"]
    assert prepared(tmp_path, dataset)["files"] == {str(path): file_hash(path) for path in paths}


# Copies

# Numbers of images, which are equal where the numbers are: in training, in the official test set.
SAME: list[tuple[list[int], list[int]]] = [
    ([0], [1]),
    ([0], [0]),  # all test images are copies
    ([2, 2, 2], [2, 2]),
    ([0, 1, 2, 3], [4, 4, 4]),
    ([0, 1, 0, 2, 1], [3, 1, 3, 4, 0, 4]),
    ([4, 3, 2, 1, 0], [0, 0, 1, 5, 6]),
    ([1, 1, 0, 0, 3, 3, 4, 1], [2, 0, 2, 3]),
]


def by_hand(training: list[int], test: list[int]) -> dict[str, Any]:
    """The manifest's account of images that are equal when their numbers are."""
    return {
        "within_training": len(training) - len(set(training)),
        "within_test": len(test) - len(set(test)),
        "test_in_training": [place for place, image in enumerate(test) if image in training],
    }


def as_images(numbers: list[int]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Images [N, 1, 2, 1], equal where the numbers are."""
    return np.array([[number, 200] for number in numbers], dtype=np.uint8).reshape(-1, 1, 2, 1)


@pytest.mark.parametrize(("training", "test"), SAME, ids=str)
def test_copies_are_counted(tmp_path: Path, training: list[int], test: list[int]) -> None:
    dataset = entry(
        tmp_path, as_images(training), [0] * len(training), as_images(test), [1] * len(test), classes=2
    )
    manifest = prepared(tmp_path, dataset)
    assert manifest["copies"] == by_hand(training, test) | {"dropped": 0}
    assert manifest["images"] == len(training) + len(test)


@pytest.mark.parametrize("official", [True, False], ids=["official", "drawn"])
@pytest.mark.parametrize(("training", "test"), SAME, ids=str)
def test_copies_are_dropped(tmp_path: Path, training: list[int], test: list[int], official: bool) -> None:
    """With an official test set those of its images that stand in training, else all but the first of each."""
    folder = tmp_path
    labels = [range(len(training)), range(len(training), len(training) + len(test))]
    dataset = entry(
        folder,
        *(as_images(training), labels[0], as_images(test), labels[1]),
        split=OFFICIAL if official else DRAWN,
        drop_copies=True,
    )
    if official:
        kept = [
            *labels[0],
            *(label for label, image in zip(labels[1], test, strict=True) if image not in training),
        ]
        if len(kept) == len(training):
            with pytest.raises(UserError, match="all of its official test images are copies"):
                prepared(folder, dataset)
            assert contents(folder / "prepared") == {}
            return
    else:
        both = training + test
        kept = [place for place, image in enumerate(both) if image not in both[:place]]
    manifest = prepared(folder, dataset)
    found = load_file(folder / FILE)
    assert found["labels"].tolist() == kept
    assert np.array_equal(found["images"], as_images(training + test)[kept])
    assert found["test"].tolist() == [place >= len(training) for place in kept]
    dropped = len(training) + len(test) - len(kept)
    assert manifest["copies"] == by_hand(training, test) | {"dropped": dropped}
    assert manifest["images"] == len(kept) == sum(map(sum, manifest["per_class"].values()))


def test_copies_are_dropped_from_every_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare_module, "IMAGE_BLOCK", 200)
    numbers = np.arange(901)
    for copy in (99, 100, 101, *range(300, 400), 899, 900):  # one block has nothing else
        numbers[copy] = 3
    images = np.stack([numbers % 256, numbers // 256], axis=1).astype(np.uint8).reshape(-1, 1, 1, 2)
    prepared(tmp_path, entry(tmp_path, images, numbers % 10, drop_copies=True))
    kept = np.unique(numbers)
    found = load_file(tmp_path / FILE)
    assert np.array_equal(found["images"], images[kept]) and np.array_equal(found["labels"], kept % 10)


# The sheet of samples


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (2, "L"), (3, "RGB"), (4, "RGBA")])
def test_sheet_shows_the_first_training_images_of_each_class(
    tmp_path: Path, channels: int, mode: str
) -> None:
    shape = (channels, 3, 2)
    images, labels = noise(31, shape), [0, 1, 1] * 10 + [3]  # of class 2 there is none
    prepared(tmp_path, entry(tmp_path, images, labels, noise(8, shape, 1), [0, 1, 2, 3] * 2))
    with Image.open(tmp_path / "prepared/made.png") as sheet:
        assert sheet.mode == mode and sheet.size == (10 * 2, 4 * 3)
        found = np.asarray(sheet).reshape(4, 3, 10, 2, -1).transpose(0, 2, 4, 1, 3)  # class, place, C, H, W
    for label in range(4):
        members = images[np.array(labels) == label][:10]
        if channels == 2:
            members = members[:, :1]
        assert np.array_equal(found[label, : len(members)], members)
        assert not found[label, len(members) :].any()


def test_sheet_of_many_classes_and_of_images_that_come_late(tmp_path: Path) -> None:
    assert [count_samples_per_class(classes) for classes in (2, 20, 40, 100, 200, 201)] == [
        10,
        10,
        5,
        2,
        1,
        1,
    ]
    images = noise(5000, (1, 1, 1))
    labels = [*([0] * 4990), *range(1, 11)]  # ten classes first seen in the reader's last part
    prepared(tmp_path, entry(tmp_path, images, labels, classes=40))
    with Image.open(tmp_path / "prepared/made.png") as sheet:
        found = np.asarray(sheet)
    assert found.shape == (40, 5)
    assert found[0].tolist() == images[:5].ravel().tolist()
    assert found[1:11, 0].tolist() == images[4990:].ravel().tolist() and not found[1:, 1:].any()


def test_sheet_of_large_images_and_hundreds_of_classes_stays_small(tmp_path: Path) -> None:
    images = noise(150, (3, 130, 40))
    prepared(tmp_path, entry(tmp_path, images, list(range(150)), classes=150))
    with Image.open(tmp_path / "prepared/made.png") as sheet:
        found = np.asarray(sheet)
    assert found.shape == (100 * 44, 2 * 14, 3), "every third pixel of a hundred classes"
    assert np.array_equal(found[44:88, :14], images[1, :, ::3, ::3].transpose(1, 2, 0))


# What cannot be prepared

SMALL = (1, 2, 2)
FAULTS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "label beyond the classes": (
        lambda folder: entry(folder, noise(3, SMALL), [0, 1, 5], classes=5),
        "dataset 'made': labels from 0 to 5, not 0 to 4, as its classes in config/datasets.yaml say",
    ),
    "test label beyond the classes": (
        lambda folder: entry(folder, noise(2, SMALL), [0, 1], noise(1, SMALL), [2], classes=2),
        "dataset 'made': labels from 2 to 2, not 0 to 1",
    ),
    "negative label": (
        lambda folder: entry(folder, noise(3, SMALL), [0, 1, -1]),
        "dataset 'made': labels from -1 to 1, not 0 to 1",
    ),
    "no official test images": (
        lambda folder: entry(folder, noise(3, SMALL), [0, 1, 1], split=OFFICIAL),
        "dataset 'made': has no official test set; give a share as split.test",
    ),
    "only test images": (
        lambda folder: entry(folder, noise(0, SMALL), [], noise(3, SMALL), [0, 1, 1]),
        "dataset 'made': has no training images",
    ),
    "only test images, split drawn": (
        lambda folder: entry(folder, noise(0, SMALL), [], noise(3, SMALL), [0, 1, 1], split=DRAWN),
        "dataset 'made': has no training images",
    ),
    "no images": (lambda folder: entry(folder, noise(0, SMALL), []), "dataset 'made': holds no images"),
    "images of another size": (
        lambda folder: entry(folder, noise(3, SMALL), [0, 1, 1], shape=(1, 2, 3)),
        r"training\.npz: images: images are \(1, 2, 2\), the catalogue's shape is \(1, 2, 3\)",
    ),
    "second file damaged": (
        lambda folder: damaged(entry(folder, noise(3, SMALL), [0, 1, 1], noise(3, SMALL), [0, 1, 1]), folder),
        r"test\.npz: no intact \.npz file",
    ),
}


def damaged(dataset: Any, folder: Path) -> Any:
    (folder / "test.npz").write_bytes((folder / "test.npz").read_bytes()[:-30])
    return dataset


@pytest.mark.parametrize("case", FAULTS)
def test_fault_leaves_the_old_files(tmp_path: Path, case: str) -> None:
    prepared(tmp_path, entry(tmp_path, noise(4, SMALL), [0, 1, 2, 3]))
    before = contents(tmp_path / "prepared")
    make, message = FAULTS[case]
    with pytest.raises(UserError, match=message):
        prepared(tmp_path, make(tmp_path))
    assert contents(tmp_path / "prepared") == before


@pytest.mark.parametrize("where", ["reading", "writing", "publishing", "drawing the sheet"])
@pytest.mark.parametrize("failure", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left")], ids=repr)
def test_interruption_leaves_the_old_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, failure: BaseException
) -> None:
    """The old manifest goes with the old file, and no temporary file stays."""
    dataset = entry(tmp_path, noise(4, SMALL), [0, 1, 2, 3])
    prepared(tmp_path, dataset)
    before = contents(tmp_path / "prepared")
    seen = []

    def fail(*_: Any) -> Any:
        seen.append(where)
        raise failure

    def parts() -> Iterator[Chunk]:
        yield Chunk(noise(3, SMALL, 1), np.array([0, 1, 2]), False)
        fail()

    def half_of(*_: Any) -> Iterator[Images]:
        yield noise(2, SMALL)
        fail()

    if where == "reading":
        monkeypatch.setattr(prepare_module, "get_reader", lambda _: lambda *_: DatasetContents(parts()))
    elif where == "writing":
        monkeypatch.setattr(prepare_module, "_iterate_kept_images", half_of)
    elif where == "publishing":
        monkeypatch.setattr("os.fsync", fail)
    else:
        monkeypatch.setattr(prepare_module.SampleSheet, "to_png", fail)
    other = entry(tmp_path, noise(4, SMALL, 2), [0, 1, 2, 3])
    expected = UserError if isinstance(failure, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        prepared(tmp_path, other)
    assert seen and contents(tmp_path / "prepared") == before


def test_file_whose_manifest_could_not_be_written_is_not_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared(tmp_path, entry(tmp_path, noise(4, SMALL), [0, 1, 2, 3]))

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left")

    monkeypatch.setattr(prepare_module, "write_atomic", full)
    other = entry(tmp_path, noise(4, SMALL, 2), [0, 1, 2, 3])
    with pytest.raises(UserError, match="No space left; free some space"):
        prepared(tmp_path, other)
    with pytest.raises(UserError, match=r"made\.safetensors: its contents differ from the manifest"):
        load_prepared(tmp_path / "prepared", "made")
    monkeypatch.undo()
    prepared(tmp_path, other)
    assert np.array_equal(load_prepared(tmp_path / "prepared", "made").images.numpy(), noise(4, SMALL, 2))


# Memory


def idx(path: Path, array: Images) -> None:
    """An idx file of bytes."""
    head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, dtype=">u4").tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(head + array.tobytes())


@pytest.mark.slow
@needs_proc
def test_preparing_needs_less_memory_than_the_dataset(tmp_path: Path) -> None:
    count, test = 60_000, 10_000
    images = noise(count, (1, 28, 28))[:, 0]
    labels = np.arange(count, dtype=np.uint8) % 10
    arrays = {"images": images[test:], "labels": labels[test:], "test": images[:test], "tests": labels[:test]}
    for name, array in arrays.items():
        idx(tmp_path / "raw/made" / name, array)
    files = [
        {
            "path": name,
            "sha256": file_hash(tmp_path / "raw/made" / name),
            "size": array.size + 4 + 4 * array.ndim,
        }
        for name, array in arrays.items()
    ]
    dataset = entry(
        tmp_path,
        *(noise(1, (1, 28, 28)), [0]),
        source={"reader": "idx", "files": files},
        classes=10,
        split=OFFICIAL,
        drop_copies=True,
    )
    extra = extra_memory("made", dataset, tmp_path)
    size = (tmp_path / FILE).stat().st_size
    assert size > count * 28 * 28 and read_manifest(tmp_path / "prepared", "made").images == count
    assert extra < size, f"{extra} bytes for {size}"
    subset = resolve_subset(dataset, SubsetEntry(subset_of="made", images=40_000, title=None))
    extra = extra_memory("part", subset, tmp_path)
    assert extra < (tmp_path / "prepared/part.safetensors").stat().st_size, f"{extra} bytes"
