"""The real datasets, where GUIDEBP_MIRRORS names a folder that holds them: contents, copies, memory."""

import gzip
import hashlib
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torchvision
from safetensors.numpy import load_file

from guidebp.data.manifest import ManifestClassCounts, ManifestCopyCounts, read_manifest
from guidebp.ingest.fetching.fetch import fetch_dataset
from guidebp.ingest.fetching.locations import COMPRESSION_SUFFIXES
from guidebp.ingest.prepare import prepare_dataset
from guidebp.ingest.verify import verify_dataset
from guidebp.schema.catalogue import read_datasets
from guidebp.schema.datasets import FilesSource, SubsetSource
from tests.ingest.fetching.test_catalogue_checksums import torchvision_knows
from tests.support.arrays_on_disk import MEASURABLE, extra_memory, needs_proc
from tests.support.hostile_files import FULL
from tests.support.tiny import ROOT

pytestmark = pytest.mark.slow

DATASETS = read_datasets(ROOT)
FOLDERS = [Path(name.strip()) for name in os.environ.get("GUIDEBP_MIRRORS", "").split(",") if name.strip()]

Prepare = Callable[[str], Path]

# Large, or read as one that is tested anyway.
only_in_full = pytest.mark.skipif(not FULL, reason="the same with more real images: make test-full")


def named(*names: str) -> list[Any]:
    """Names of datasets as parameters, the large ones for `make test-full` only."""
    large = {"fashion-mnist", "cifar-10", "cifar-10-10k"}
    return [pytest.param(name, marks=only_in_full) if name in large else name for name in names]


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
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(socket.socket, "connect", lambda *_: pytest.fail("the network was used"))
                patch.setattr(socket, "getaddrinfo", lambda *_: pytest.fail("a name was looked up"))
                fetch_dataset(name, DATASETS[name], folder / "raw", found)
        return folder / "raw" / name

    return bring


@pytest.fixture(scope="module")
def peaks() -> dict[str, int]:
    """Bytes that preparing a dataset needed, beyond those of importing; where they can be measured."""
    return {}


@pytest.fixture(scope="module")
def made(folder: Path, fetched: Prepare, peaks: dict[str, int]) -> Prepare:
    """Prepares a dataset when a test needs it, in a process of its own; its prepared file."""

    def make(name: str) -> Path:
        dataset = DATASETS[name]
        if isinstance(dataset.source, SubsetSource):
            make(dataset.source.subset_of)
        else:
            fetched(name)
        if not (folder / "prepared" / f"{name}.json").exists():
            if MEASURABLE:
                peaks[name] = extra_memory(name, dataset, folder)
            else:
                prepare_dataset(name, dataset, folder / "raw", folder / "prepared")
        return folder / "prepared" / f"{name}.safetensors"

    return make


@pytest.mark.parametrize("name", named("mnist", "fashion-mnist"))
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


@only_in_full
def test_cifar_contents_are_torchvisions(fetched: Prepare, made: Prepare) -> None:
    raw, path = fetched("cifar-10"), made("cifar-10")
    halves = [torchvision.datasets.CIFAR10(raw, train=train, download=False) for train in (True, False)]
    found = load_file(path)
    assert np.array_equal(found["labels"], np.concatenate([half.targets for half in halves]))
    assert np.array_equal(found["test"], np.repeat([0, 1], [50_000, 10_000]))
    assert np.array_equal(found["images"][:50_000], halves[0].data.transpose(0, 3, 1, 2))
    assert np.array_equal(found["images"][50_000:], halves[1].data.transpose(0, 3, 1, 2))
    assert list(read_manifest(path.parent, "cifar-10").classes) == halves[0].classes


@pytest.mark.parametrize("name", named("mnist", "fashion-mnist", "cifar-10"))
def test_no_image_stands_twice(made: Prepare, name: str) -> None:
    manifest = read_manifest(made(name).parent, name)
    assert manifest.copies == ManifestCopyCounts(0, 0, (), dropped=0)
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


@pytest.mark.parametrize("name", named("cmaterdb", "mnist", "fashion-mnist", "cifar-10"))
def test_sheets_are_small_enough_for_git(made: Prepare, name: str) -> None:
    assert made(name).with_suffix(".png").stat().st_size < 1 << 18


@needs_proc
@pytest.mark.parametrize("name", named("mnist", "cifar-10", "cifar-10-10k"))
def test_preparing_needs_less_memory_than_the_dataset(
    made: Prepare, peaks: dict[str, int], name: str
) -> None:
    size = made(name).stat().st_size
    assert peaks[name] < size, f"{peaks[name]} bytes for {size}"


@only_in_full
def test_subset_of_real_images(made: Prepare) -> None:
    manifest = read_manifest(made("cifar-10-10k").parent, "cifar-10-10k")
    assert manifest.per_class == ManifestClassCounts((1_000,) * 10, (1_000,) * 10)
    assert list(manifest.classes) == DATASETS["cifar-10-10k"].classes


@pytest.mark.parametrize("name", named("mnist", "fashion-mnist", "cifar-10", "cmaterdb"))
def test_real_files(fetched: Prepare, tmp_path: Path, name: str) -> None:
    """Every file is the owner's by the checksums of torchvision's source, where it has one."""
    folder, source = fetched(name), DATASETS[name].source
    assert isinstance(source, FilesSource)
    wanted = [file.path for file in source.files]
    listed = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    unpacked = {path.removesuffix(".gz") for path in wanted}  # for torchvision, by the tests above
    assert listed - unpacked - set(wanted) == {"fetched.json"} and set(wanted) <= listed
    if name != "cmaterdb":
        known = {path: md5 for path, (md5, _) in torchvision_knows(name).items()}
        for path in wanted:
            assert hashlib.md5((folder / path).read_bytes()).hexdigest() == known[path]
    raw, prepared = verify_dataset(name, DATASETS[name], folder.parent, tmp_path)
    assert (raw.state, prepared.state) == ("ok", "absent"), raw.text
