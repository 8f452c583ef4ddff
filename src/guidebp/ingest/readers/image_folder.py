"""A folder of pictures: one sub-folder per class, or `train` and `test` with those in each."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from guidebp.errors import UserError
from guidebp.ingest.contents import Chunk, DatasetContents, count_chunk_rows
from guidebp.ingest.untrusted.pictures import convert_picture, open_picture
from guidebp.schema.datasets import Dataset, FolderSource, expand_user_path

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm"}


def read_image_folder(folder: Path, dataset: Dataset) -> DatasetContents:
    """Classes are the names of the sub-folders in alphabetical order, or in that of the catalogue's names."""
    assert isinstance(dataset.source, FolderSource)
    fit = dataset.source.fit
    root = expand_user_path(dataset.source.folder)
    halves = list_split_folders(root)
    names = list_class_folders(halves[0][0])
    if not names:
        raise UserError(
            f"{halves[0][0]}: holds no folders; put the pictures of each class into one of its own"
        )
    for half, _ in halves[1:]:
        if list_class_folders(half) != names:
            raise UserError(
                f"{half}: its classes {list_class_folders(half)} are not those of training: {names}; "
                "make them agree"
            )
    if isinstance(dataset.classes, list):
        if sorted(dataset.classes) != names:
            raise UserError(
                f"{root}: its classes are {names}, the catalogue's {sorted(dataset.classes)}; make them agree"
            )
        names = dataset.classes

    def read_chunks() -> Iterator[Chunk]:
        for half, test in halves:
            files = [
                (path, label) for label, name in enumerate(names) for path in list_picture_files(half / name)
            ]
            rows = count_chunk_rows(dataset.shape)
            for start in range(0, len(files), rows):
                batch = files[start : start + rows]
                images = [convert_picture(open_picture(path), dataset.shape, fit, path) for path, _ in batch]
                yield Chunk(np.stack(images), np.array([label for _, label in batch]), test)

    return DatasetContents(read_chunks(), names)


def list_split_folders(root: Path) -> list[tuple[Path, bool]]:
    """Return the folders that hold classes, and whether each is the official test set."""
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; correct its path in config/datasets.yaml")
    names = list_class_folders(root)
    if names == ["test", "train"]:
        return [(root / "train", False), (root / "test", True)]
    if {name.lower() for name in names} & {"train", "test"}:
        raise UserError(
            f"{root}: holds {', '.join(names)}; expected train and test with classes in each and nothing beside, "
            "or classes alone; correct the names or move the rest away"
        )
    return [(root, False)]


def list_class_folders(folder: Path) -> list[str]:
    """Return the names of the sub-folders, hidden ones left out, in alphabetical order."""
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def list_picture_files(folder: Path) -> list[Path]:
    """Return the pictures of a class, also in deeper folders, in alphabetical order; UserError if there is none."""
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and not any(name.startswith(".") for name in path.relative_to(folder).parts)
    )
    for path in files:
        if not path.exists():
            raise UserError(f"{path}: a link that leads nowhere; mend or remove it")
    files = [path for path in files if path.is_file()]
    if not files:
        raise UserError(
            f"{folder}: holds no pictures ({', '.join(sorted(SUFFIXES))}); put some there or remove it"
        )
    return files
