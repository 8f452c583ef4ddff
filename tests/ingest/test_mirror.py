"""The real datasets, where GUIDEBP_MIRRORS names a folder that holds them: contents, copies, memory."""

import gzip
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torchvision
from safetensors.numpy import load_file

from guidebp.data.manifest import ClassCounts, CopyCounts, read_manifest
from guidebp.ingest.fetching.fetch import fetch_dataset
from guidebp.ingest.fetching.locations import COMPRESSION_SUFFIXES
from guidebp.ingest.prepare import prepare_dataset
from guidebp.schema.catalogue import read_datasets
from guidebp.schema.datasets import FilesSource, SubsetSource
from tests.support.arrays_on_disk import needs_proc, peak_memory
from tests.support.tiny import ROOT

DATASETS = read_datasets(ROOT)
FOLDERS = [Path(name.strip()) for name in os.environ.get("GUIDEBP_MIRRORS", "").split(",") if name.strip()]

Prepare = Callable[[str], Path]


def mirrors(name: str) -> list[str]:
    """Folders that hold every file of the dataset: nothing is ever downloaded."""
    source = DATASETS[name].source
    assert isinstance(source, FilesSource)
    found = [
        str(folder)
        for folder in FOLDERS
        if all(
            any((folder / f"{file.path}{p}").is_file() for p in COMPRESSION_SUFFIXES) for file in source.files
        )
    ]
    return found or pytest.skip(f"GUIDEBP_MIRRORS names no folder with the files of {name}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where raw/ and prepared/ are."""
    return tmp_path_factory.mktemp("real")


@pytest.fixture(scope="module")
def fetched(folder: Path) -> Prepare:
    """Fetches a dataset when a test needs it; its raw folder."""

    def bring(name: str) -> Path:
        found = mirrors(name)
        if not (folder / "raw" / name / "fetched.json").exists():
            fetch_dataset(name, DATASETS[name], folder / "raw", found)
        return folder / "raw" / name

    return bring


@pytest.fixture(scope="module")
def made(folder: Path, fetched: Prepare) -> Prepare:
    """Prepares a dataset when a test needs it; its prepared file."""

    def make(name: str) -> Path:
        fetched(name)
        if not (folder / "prepared" / f"{name}.json").exists():
            prepare_dataset(name, DATASETS[name], folder / "raw", folder / "prepared")
        return folder / "prepared" / f"{name}.safetensors"

    return make


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_idx_contents_are_torchvisions(fetched: Prepare, made: Prepare, name: str) -> None:
    raw, found = fetched(name), load_file(made(name))
    for packed in raw.rglob("*.gz"):  # torchvision unpacks only what it has downloaded itself
        with gzip.open(packed) as source, packed.with_suffix("").open("wb") as target:
            shutil.copyfileobj(source, target)
    kind = {"mnist": torchvision.datasets.MNIST, "fashion-mnist": torchvision.datasets.FashionMNIST}[name]
    halves = [kind(raw, train=train, download=False) for train in (True, False)]
    assert np.array_equal(found["images"][:, 0], np.concatenate([half.data.numpy() for half in halves]))
    assert np.array_equal(found["labels"], np.concatenate([half.targets.numpy() for half in halves]))
    assert np.array_equal(found["test"], np.repeat([0, 1], [60_000, 10_000]))


def test_cifar_contents_are_torchvisions(fetched: Prepare, made: Prepare) -> None:
    raw, path = fetched("cifar-10"), made("cifar-10")
    halves = [torchvision.datasets.CIFAR10(raw, train=train, download=False) for train in (True, False)]
    found = load_file(path)
    assert np.array_equal(found["labels"], np.concatenate([half.targets for half in halves]))
    assert np.array_equal(found["test"], np.repeat([0, 1], [50_000, 10_000]))
    assert np.array_equal(found["images"][:50_000], halves[0].data.transpose(0, 3, 1, 2))
    assert np.array_equal(found["images"][50_000:], halves[1].data.transpose(0, 3, 1, 2))
    assert list(read_manifest(path.parent, "cifar-10").classes) == halves[0].classes


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "cifar-10"])
def test_no_image_stands_twice(made: Prepare, name: str) -> None:
    manifest = read_manifest(made(name).parent, name)
    assert manifest.copies == CopyCounts(0, 0, (), dropped=0)
    test = manifest.official_test_images
    assert sum(manifest.per_class.training) == manifest.images - test
    assert sum(manifest.per_class.test) == test == 10_000


def test_copies_of_cmaterdb_are_reported_and_dropped(made: Prepare) -> None:
    path = made("cmaterdb")
    copies = read_manifest(path.parent, "cmaterdb").copies
    assert copies.test_in_training == (41, 79, 258, 288, 471, 758, 862)
    images = load_file(path)["images"]
    assert len(images) == 6_000 - copies.dropped == len({image.tobytes() for image in images})
    assert copies.dropped == 7 + copies.within_training + copies.within_test


@pytest.mark.parametrize("name", ["cmaterdb", "mnist", "fashion-mnist", "cifar-10"])
def test_sheets_are_small_enough_for_git(made: Prepare, name: str) -> None:
    assert made(name).with_suffix(".png").stat().st_size < 1 << 18


@needs_proc
@pytest.mark.parametrize("name", ["mnist", "cifar-10", "cifar-10-10k"])
def test_preparing_needs_less_memory_than_the_dataset(folder: Path, made: Prepare, name: str) -> None:
    """Prepared once more, in a process of its own."""
    dataset = DATASETS[name]
    made(dataset.source.subset_of if isinstance(dataset.source, SubsetSource) else name)
    extra = peak_memory(name, dataset, folder) - peak_memory()
    size = (folder / "prepared" / f"{name}.safetensors").stat().st_size
    assert extra < size, f"{extra} bytes for {size}"
    if isinstance(dataset.source, SubsetSource):
        manifest = read_manifest(folder / "prepared", name)
        assert manifest.per_class == ClassCounts((1_000,) * 10, (1_000,) * 10)
        assert list(manifest.classes) == dataset.classes
