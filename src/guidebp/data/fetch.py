"""Bring a dataset's raw files to data/raw/, verified against the catalogue, or say what is missing."""

import hashlib
import importlib.util
from pathlib import Path

from guidebp.errors import UserError
from guidebp.store import file_hash, write_atomic
from guidebp.study.schema import Dataset, SourceFile


def intact(path: Path, wanted: SourceFile) -> bool:
    """Whether the file is there with the size and checksum of the catalogue."""
    return path.exists() and path.stat().st_size == wanted.size and file_hash(path) == wanted.sha256


def fetch(name: str, dataset: Dataset, raw: Path) -> None:
    """Make every raw file of the dataset present and verified below `raw`.

    Raises UserError naming the file and what to do when it cannot be had or is not what it should be.
    """
    for wanted in dataset.files:
        target = raw / wanted.path
        if intact(target, wanted):
            continue
        content = bundled(name, wanted)
        if len(content) != wanted.size or hashlib.sha256(content).hexdigest() != wanted.sha256:
            raise UserError(
                f"{wanted.package}: not the file of the catalogue (expected {wanted.size} bytes, sha256 "
                f"{wanted.sha256}); install the package at the version of requirements.lock, or put the "
                f"right file at {target}"
            )
        write_atomic(target, content)


def bundled(name: str, wanted: SourceFile) -> bytes:
    """The file out of the installed package that bundles it, without importing the package."""
    if wanted.package is None:
        raise UserError(
            f"dataset '{name}': no source for {wanted.path}; put the file of {wanted.size} bytes with sha256 "
            f"{wanted.sha256} at data/raw/{wanted.path}"
        )
    package, _, inside = wanted.package.partition("/")
    found = importlib.util.find_spec(package)
    folders = list(found.submodule_search_locations or []) if found else []
    for folder in folders:
        if (Path(folder) / inside).exists():
            return (Path(folder) / inside).read_bytes()
    raise UserError(f"dataset '{name}': package '{package}' with {inside} is not installed; run: make setup")
