"""The checksums and addresses of the real catalogue against torchvision's source."""

import importlib
from typing import Any

import pytest

from guidebp.schema.catalogue import read_datasets
from guidebp.schema.datasets import FilesSource
from tests.support.tiny import ROOT

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
