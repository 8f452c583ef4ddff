"""Turn raw files into one prepared file per dataset, the manifest that says what it holds, and a sheet of samples.

Images go through part by part and wait in a temporary file, so memory stays below the size of a dataset. NumPy
only: importing torch would cost more than preparing most datasets.
"""

import hashlib
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from guidebp.data.manifest import format_array_line
from guidebp.errors import UserError, report_disk_errors
from guidebp.files import atomic_file, sync_folder, write_atomic
from guidebp.hashing import readable_json
from guidebp.ingest.contents import Chunk, DatasetContents, Images
from guidebp.ingest.fetching.checks import find_raw_file_fault, hash_raw_files
from guidebp.ingest.readers import get_reader
from guidebp.ingest.samples import SampleSheet
from guidebp.ingest.subset import read_subset
from guidebp.ingest.summary import Copies, DatasetSummary, Statistics
from guidebp.schema.datasets import Dataset, FilesSource, SubsetSource

BLOCK = 1 << 20  # bytes


def prepare_dataset(name: str, dataset: Dataset, raw: Path, prepared: Path) -> None:
    """Write `prepared`/NAME.safetensors, NAME.png and, after them, NAME.json.

    Raises UserError when a raw file is not that of the catalogue or holds something else than announced.
    """
    with report_disk_errors(prepared):
        prepared.mkdir(parents=True, exist_ok=True)
        contents = opened(name, dataset, raw, prepared)
        names = class_names(name, dataset, contents.names)
        summary, samples = DatasetSummary(), SampleSheet(dataset.class_count)
        with tempfile.TemporaryFile(dir=prepared) as waiting:
            for part in contents.parts:
                check_part(name, dataset, part)
                images = np.ascontiguousarray(part.images)
                part = part._replace(images=images)
                summary.add(part)
                samples.add(part)
                waiting.write(images.data)
            if not summary.labels:
                raise UserError(f"dataset '{name}': holds no images")
            waiting.seek(0)
            files, sheet = files_of(dataset, raw / name, prepared), samples.sheet(dataset.shape)
            path = prepared / f"{name}.safetensors"
            manifest = write_prepared(name, dataset, names, summary, waiting, path) | {"files": files}
        write_atomic(prepared / f"{name}.png", sheet)
        write_atomic(prepared / f"{name}.json", readable_json(manifest))


def opened(name: str, dataset: Dataset, raw: Path, prepared: Path) -> DatasetContents:
    """The dataset's contents, its raw files checked."""
    source = dataset.source
    if isinstance(source, SubsetSource):
        return read_subset(prepared, source, dataset.split.test == "official")
    if isinstance(source, FilesSource):
        for wanted in source.files:
            found = find_raw_file_fault(raw / name / wanted.path, wanted)
            if found:
                raise UserError(f"{raw / name / wanted.path}: {found}; run: guidebp fetch {name}")
    try:
        return get_reader(dataset)(raw / name, dataset)
    except ValueError as error:
        raise UserError(f"dataset '{name}': {error}") from error


def check_part(name: str, dataset: Dataset, part: Chunk) -> None:
    """UserError when a part's labels are beyond the catalogue's classes."""
    if len(part.labels) and (part.labels.min() < 0 or part.labels.max() >= dataset.class_count):
        raise UserError(
            f"dataset '{name}': labels from {part.labels.min()} to {part.labels.max()}, "
            f"not 0 to {dataset.class_count - 1}, as its classes in config/datasets.yaml say; correct the entry"
        )
    if part.images.shape[1:] != dataset.shape:
        raise UserError(
            f"dataset '{name}': images are {part.images.shape[1:]}, the catalogue says {dataset.shape}"
        )


def write_prepared(
    name: str, dataset: Dataset, names: list[str], summary: DatasetSummary, waiting: IO[bytes], path: Path
) -> dict[str, Any]:
    """Write the waiting images that are kept, with labels and split; returns what the manifest says of them."""
    labels, test = np.concatenate(summary.labels), np.concatenate(summary.test)
    if dataset.split.test == "official" and not test.any():
        raise UserError(f"dataset '{name}': has no official test set; give a share as split.test")
    if test.all():
        raise UserError(f"dataset '{name}': has no training images")
    empty = set(range(dataset.class_count)) - set(labels[~test].tolist())
    if empty and not isinstance(dataset.source, SubsetSource):
        print(f"dataset '{name}': no training images of labels {sorted(empty)}", file=sys.stderr)
    copies = Copies(summary.digests, test)
    kept = np.ones(len(labels), dtype=np.bool_)
    if dataset.drop_copies:
        kept[copies.across if dataset.split.test == "official" else copies.any] = False
    listed = copies.listed() | {"dropped": int((~kept).sum())}
    labels, test = labels[kept], test[kept]
    if dataset.split.test == "official" and not test.any():
        raise UserError(
            f"dataset '{name}': all of its official test images are copies of training images; "
            "give a share as split.test"
        )
    tensors = {"labels": labels.astype("<i2"), "test": test.astype(np.uint8)}
    shape = (len(labels), *dataset.shape)
    digest = hashlib.sha256(format_array_line("images", np.dtype(np.uint8), shape))
    statistics, done = Statistics(dataset.shape[0]), 0
    with atomic_file(path) as file:
        file.write(safetensors_header(shape))
        file.write(tensors["labels"].tobytes())
        for images in blocks(waiting, kept, dataset.shape):
            digest.update(images.data)
            file.write(images.data)
            statistics.add(images[~test[done : done + len(images)]])
            done += len(images)
        file.write(tensors["test"].tobytes())
    for key in ("labels", "test"):
        digest.update(format_array_line(key, tensors[key].dtype, tensors[key].shape))
        digest.update(tensors[key].data)
    sync_folder(path.parent)
    means, deviations = statistics.mean_and_deviation()
    return {
        "dataset": name,
        "sha256": digest.hexdigest(),
        "images": len(labels),
        "official_test_images": int(test.sum()),
        "shape": list(dataset.shape),
        "classes": names,
        "per_class": {
            "training": np.bincount(labels[~test], minlength=dataset.class_count).tolist(),
            "test": np.bincount(labels[test], minlength=dataset.class_count).tolist(),
        },
        "mean": means,
        "deviation": deviations,
        "copies": listed,
    }


def safetensors_header(shape: tuple[int, ...]) -> bytes:
    """The head of a safetensors file of int16 labels, uint8 images and uint8 test flags, in this order.

    Labels first: two-byte numbers have to start at an even place.
    """
    count = shape[0]
    sizes = {"labels": ("I16", [count], 2 * count), "images": ("U8", list(shape), int(np.prod(shape)))}
    sizes["test"] = ("U8", [count], count)
    entries, start = {}, 0
    for name, (kind, dimensions, size) in sizes.items():
        entries[name] = {"dtype": kind, "shape": dimensions, "data_offsets": [start, start + size]}
        start += size
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def blocks(waiting: IO[bytes], kept: NDArray[np.bool_], shape: tuple[int, int, int]) -> Iterator[Images]:
    """The images to keep, block by block."""
    size = int(np.prod(shape))
    rows = max(1, BLOCK // size)
    for start in range(0, len(kept), rows):
        mask = kept[start : start + rows]
        images = np.frombuffer(waiting.read(len(mask) * size), np.uint8).reshape(-1, *shape)
        if mask.any():
            yield images if mask.all() else images[mask]


def class_names(name: str, dataset: Dataset, found: list[str] | None) -> list[str]:
    """Names in the order of the labels: the catalogue's, else the files', else numbers."""
    if found is not None and len(found) != dataset.class_count:
        raise UserError(
            f"dataset '{name}': its files name {len(found)} classes, the catalogue says {dataset.class_count}"
        )
    if isinstance(dataset.classes, list):
        return list(dataset.classes)
    return found or [str(label) for label in range(dataset.class_count)]


def files_of(dataset: Dataset, folder: Path, prepared: Path) -> dict[str, str]:
    """What the prepared file was made from: raw files by sha256, a subset's dataset by its content hash."""
    if isinstance(dataset.source, SubsetSource):
        base = json.loads((prepared / f"{dataset.source.subset_of}.json").read_bytes())
        return {f"{dataset.source.subset_of}.safetensors": base["sha256"]}
    return hash_raw_files(dataset, folder)
