"""The real catalogue against torchvision's source, and the real files of a local mirror where there is one."""

import hashlib
import importlib
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from guidebp.ingest.fetching.fetch import fetch_dataset
from guidebp.ingest.verify import verify_dataset
from guidebp.schema.catalogue import read_datasets
from guidebp.schema.datasets import FilesSource
from tests.support.tiny import ROOT

MIRRORS = [mirror.strip() for mirror in os.environ.get("GUIDEBP_MIRRORS", "").split(",")]
REAL = ["mnist", "fashion-mnist", "cifar-10", "cmaterdb"]
CLASSES = {
    "mnist": "MNIST",
    "fashion-mnist": "FashionMNIST",
    "kmnist": "KMNIST",
    "svhn": "SVHN",
    "cifar-10": "CIFAR10",
    "cifar-100": "CIFAR100",
}


def catalogue(name: str) -> FilesSource:
    found = read_datasets(ROOT)[name].source
    assert isinstance(found, FilesSource)
    return found


def torchvision_knows(name: str) -> dict[str, tuple[str, set[str]]]:
    """By path: the md5 in torchvision's source, and its addresses of the file; none for what is in the archive."""
    known: Any = getattr(importlib.import_module("torchvision.datasets"), CLASSES[name])
    if name == "svhn":
        return {
            path: (md5, {url}) for url, path, md5 in (known.split_list[half] for half in ("train", "test"))
        }
    if not name.startswith("cifar"):
        return {
            f"{known.__name__}/raw/{file}": (md5, {f"{mirror}{file}" for mirror in known.mirrors})
            for file, md5 in known.resources
        }
    held = [*known.train_list, *known.test_list, (known.meta["filename"], known.meta["md5"])]
    archive = {known.filename: (known.tgz_md5, {known.url})}
    return archive | {f"{known.base_folder}/{file}": (md5, set()) for file, md5 in held}


@pytest.mark.parametrize("name", CLASSES)
def test_catalogue_agrees_with_torchvision(name: str) -> None:
    source = catalogue(name)
    entries = {file.path: file for file in [*source.files, *([source.archive] if source.archive else [])]}
    known = torchvision_knows(name)
    assert {path: entry.md5 for path, entry in entries.items()} == {
        path: md5 for path, (md5, _) in known.items()
    }
    for path, (_, addresses) in known.items():
        assert entries[path].url in addresses if addresses else entries[path].url is None
    assert all(entry.size for entry in entries.values())


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """data/raw/ with the real datasets, from the mirror and from nowhere else."""
    folders = [mirror for mirror in MIRRORS if mirror and Path(mirror).is_dir()]
    if not folders:
        pytest.skip("GUIDEBP_MIRRORS names no folder with the real files")
    raw = tmp_path_factory.mktemp("raw")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", lambda *_: pytest.fail("the network was used"))
        patch.setattr(socket, "getaddrinfo", lambda *_: pytest.fail("a name was looked up"))
        for name in REAL:
            fetch_dataset(name, read_datasets(ROOT)[name], raw, folders)
    return raw


@pytest.mark.parametrize("name", REAL)
def test_real_files(real: Path, tmp_path: Path, name: str) -> None:
    """Every file is the owner's by the checksums of torchvision's source, where it has one."""
    files = {
        path.relative_to(real / name).as_posix(): path for path in (real / name).rglob("*") if path.is_file()
    }
    assert sorted(files) == sorted(["fetched.json", *(file.path for file in catalogue(name).files)])
    if name != "cmaterdb":
        known = {path: md5 for path, (md5, _) in torchvision_knows(name).items()}
        for path in set(files) - {"fetched.json"}:
            assert hashlib.md5(files[path].read_bytes()).hexdigest() == known[path]
    raw, prepared = verify_dataset(name, read_datasets(ROOT)[name], real, tmp_path)
    assert (raw.state, prepared.state) == ("ok", "absent"), raw.text
