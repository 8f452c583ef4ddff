"""Check raw files against the catalogue, and hash the raw files of a dataset."""

import hashlib
from pathlib import Path

from guidebp.errors import UserError
from guidebp.files import file_hash
from guidebp.ingest.readers.image_folder import list_class_folders, list_picture_files, list_split_folders
from guidebp.paths import FETCH_RECORD
from guidebp.schema.datasets import (
    Dataset,
    FilesSource,
    FolderSource,
    NpzSource,
    RawFile,
    TorchvisionSource,
    expand_user_path,
)

WEB_PAGE_HEADS = (b"<!doctype html", b"<html", b"<?xml", b"<head")


def find_raw_file_fault(path: Path, wanted: RawFile) -> str | None:
    """Return what is wrong with the file, as a clause for a message; None when it is what the catalogue says."""
    if not path.is_file():
        return "is missing"
    size = path.stat().st_size
    if size == 0:
        return "is empty"
    if wanted.size is not None and size != wanted.size:
        return f"{_describe_web_page(path)}has {size} bytes, expected {wanted.size}"
    for kind, expected in (("sha256", wanted.sha256), ("md5", wanted.md5)):
        if expected is not None:
            with path.open("rb") as file:
                checksum = hashlib.file_digest(file, kind).hexdigest()
            if checksum != expected:
                return f"{_describe_web_page(path)}has {kind} {checksum}, expected {expected}"
    if not wanted.verifiable and _describe_web_page(path):
        return "is a web page, not data"
    return None


def _describe_web_page(path: Path) -> str:
    """Return a clause that says so when the file is a web page, else an empty text."""
    with path.open("rb") as file:
        head = file.read(512).lstrip().lower()
    return "is a web page, not data, and " if head.startswith(WEB_PAGE_HEADS) else ""


def hash_raw_files(dataset: Dataset, folder: Path) -> dict[str, str]:
    """Return the sha256 of every raw file by its path; of a folder, one over names and contents of all its files.

    `folder` is data/raw/DATASET/, where a torchvision class has its files. Raises UserError when one of the user's
    own files is missing.
    """
    source = dataset.source
    if isinstance(source, FilesSource):
        return {file.path: file_hash(folder / file.path) for file in source.files}
    if isinstance(source, NpzSource):
        paths = dict.fromkeys(arrays.path for arrays in (source.npz, source.test) if arrays)
        for path in paths:
            if not expand_user_path(path).is_file():
                raise UserError(f"{path}: no such file; correct its path in config/datasets.yaml")
        return {path: file_hash(expand_user_path(path)) for path in paths}
    if isinstance(source, FolderSource):
        root = expand_user_path(source.folder)
        folders = [half / name for half, _ in list_split_folders(root) for name in list_class_folders(half)]
        files = [path for class_folder in folders for path in list_picture_files(class_folder)]
        return {source.folder: _hash_tree(root, files)}
    # a root of the user's own may hold far more than this dataset
    if isinstance(source, TorchvisionSource) and not source.root:
        files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != FETCH_RECORD)
        return {str(folder): _hash_tree(folder, files)} if files else {}
    return {}


def _hash_tree(root: Path, files: list[Path]) -> str:
    """Return the sha256 over the relative names and the checksums of files."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{file_hash(path)} {path.relative_to(root).as_posix()}\n".encode())
    return digest.hexdigest()
