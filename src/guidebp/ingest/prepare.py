"""Prepare datasets: turn raw files into one prepared file each, its manifest, and a sheet of samples.

Images pass in chunks and wait in a temporary file, so memory stays below the size of a dataset. NumPy only:
importing torch would cost more than preparing most datasets.
"""

import hashlib
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from guidebp.data.manifest import Manifest, ManifestClassCounts, format_array_line, read_manifest
from guidebp.errors import UserError, report_disk_errors
from guidebp.files import atomic_file, sync_folder, write_atomic
from guidebp.ingest.contents import Chunk, DatasetContents, Images, Labels
from guidebp.ingest.fetching.checks import find_raw_file_fault, hash_raw_files
from guidebp.ingest.readers import get_reader
from guidebp.ingest.samples import SampleSheet
from guidebp.ingest.subset import read_subset
from guidebp.ingest.summary import DatasetSummary, ExactCopies, PixelStatistics
from guidebp.schema.datasets import Dataset, FilesSource, SubsetSource

IMAGE_BLOCK = 1 << 20  # bytes


def prepare_dataset(name: str, dataset: Dataset, raw: Path, prepared: Path) -> None:
    """Write `prepared`/NAME.safetensors, NAME.png and, after them, NAME.json.

    Raises UserError when a raw file is not that of the catalogue or its contents differ from the entry.
    """
    with report_disk_errors(prepared):
        prepared.mkdir(parents=True, exist_ok=True)
        contents = _open_contents(name, dataset, raw, prepared)
        names = _choose_class_names(name, dataset, contents.names)
        summary, samples = DatasetSummary(), SampleSheet(dataset.class_count)
        with tempfile.TemporaryFile(dir=prepared) as waiting:
            for chunk in contents.chunks:
                _check_chunk(name, dataset, chunk)
                images = np.ascontiguousarray(chunk.images)
                chunk = chunk._replace(images=images)
                summary.add(chunk)
                samples.add(chunk)
                waiting.write(images.data)
            if not summary.labels:
                raise UserError(f"dataset '{name}': holds no images")
            waiting.seek(0)
            origins, sheet = _hash_origins(dataset, raw / name, prepared), samples.to_png(dataset.shape)
            path = prepared / f"{name}.safetensors"
            manifest = _write_prepared_file(name, dataset, names, summary, waiting, path, origins)
        write_atomic(prepared / f"{name}.png", sheet)
        write_atomic(prepared / f"{name}.json", manifest.to_bytes())


def _open_contents(name: str, dataset: Dataset, raw: Path, prepared: Path) -> DatasetContents:
    """Check the dataset's raw files and return its contents."""
    source = dataset.source
    if isinstance(source, SubsetSource):
        return read_subset(prepared, source, dataset.split.test == "official")
    if isinstance(source, FilesSource):
        for wanted in source.files:
            fault = find_raw_file_fault(raw / name / wanted.path, wanted)
            if fault:
                raise UserError(f"{raw / name / wanted.path}: {fault}; run: guidebp fetch {name}")
    try:
        return get_reader(dataset)(raw / name, dataset)
    except ValueError as error:
        raise UserError(f"dataset '{name}': {error}") from error


def _check_chunk(name: str, dataset: Dataset, chunk: Chunk) -> None:
    """UserError when a chunk's labels or images do not fit the catalogue."""
    if len(chunk.labels) and (chunk.labels.min() < 0 or chunk.labels.max() >= dataset.class_count):
        raise UserError(
            f"dataset '{name}': labels from {chunk.labels.min()} to {chunk.labels.max()}, "
            f"not 0 to {dataset.class_count - 1}, as its classes in config/datasets.yaml say; correct the entry"
        )
    if chunk.images.shape[1:] != dataset.shape:
        raise UserError(
            f"dataset '{name}': images are {chunk.images.shape[1:]}, the catalogue says {dataset.shape}"
        )


def _write_prepared_file(
    name: str,
    dataset: Dataset,
    names: list[str],
    summary: DatasetSummary,
    waiting: IO[bytes],
    path: Path,
    origins: dict[str, str],
) -> Manifest:
    """Write the waiting images that are kept, with labels and split; return the manifest."""
    labels, test = np.concatenate(summary.labels), np.concatenate(summary.test)
    _check_split(name, dataset, labels, test)
    copies = ExactCopies(summary.digests, test)
    kept = np.ones(len(labels), dtype=np.bool_)
    if dataset.drop_copies:
        kept[copies.across if dataset.split.test == "official" else copies.any] = False
    counts = copies.count_copies(dropped=int((~kept).sum()))
    labels, test = labels[kept], test[kept]
    if dataset.split.test == "official" and not test.any():
        raise UserError(
            f"dataset '{name}': all of its official test images are copies of training images; "
            "give a share as split.test"
        )
    tensors = {"labels": labels.astype("<i2"), "test": test.astype(np.uint8)}
    shape = (len(labels), *dataset.shape)
    digest = hashlib.sha256(format_array_line("images", np.dtype(np.uint8), shape))
    statistics, done = PixelStatistics(dataset.shape[0]), 0
    with atomic_file(path) as file:
        file.write(_build_safetensors_header(shape))
        file.write(tensors["labels"].tobytes())
        for images in _iterate_kept_images(waiting, kept, dataset.shape):
            digest.update(images.data)
            file.write(images.data)
            statistics.add(images[~test[done : done + len(images)]])
            done += len(images)
        file.write(tensors["test"].tobytes())
    for key in ("labels", "test"):
        digest.update(format_array_line(key, tensors[key].dtype, tensors[key].shape))
        digest.update(tensors[key].data)
    sync_folder(path.parent)
    means, deviations = statistics.compute_mean_and_deviation()
    return Manifest(
        dataset=name,
        sha256=digest.hexdigest(),
        images=len(labels),
        official_test_images=int(test.sum()),
        shape=dataset.shape,
        classes=tuple(names),
        per_class=ManifestClassCounts(
            training=_count_classes(labels[~test], dataset.class_count),
            test=_count_classes(labels[test], dataset.class_count),
        ),
        mean=means,
        deviation=deviations,
        copies=counts,
        files=origins,
    )


def _check_split(name: str, dataset: Dataset, labels: Labels, test: NDArray[np.bool_]) -> None:
    """UserError when training or official test images are missing; warn of classes without training images."""
    if dataset.split.test == "official" and not test.any():
        raise UserError(f"dataset '{name}': has no official test set; give a share as split.test")
    if test.all():
        raise UserError(f"dataset '{name}': has no training images")
    empty = set(range(dataset.class_count)) - set(labels[~test].tolist())
    if empty and not isinstance(dataset.source, SubsetSource):
        print(f"dataset '{name}': no training images of labels {sorted(empty)}", file=sys.stderr)


def _count_classes(labels: Labels, classes: int) -> tuple[int, ...]:
    """Return the number of labels of each class."""
    return tuple(np.bincount(labels, minlength=classes).tolist())


def _build_safetensors_header(shape: tuple[int, ...]) -> bytes:
    """Return the head of a safetensors file of int16 labels, uint8 images and uint8 test flags, in this order.

    Labels come first: two-byte numbers have to start at an even position.
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


def _iterate_kept_images(
    waiting: IO[bytes], kept: NDArray[np.bool_], shape: tuple[int, int, int]
) -> Iterator[Images]:
    """Yield the images to keep, in blocks."""
    size = int(np.prod(shape))
    rows = max(1, IMAGE_BLOCK // size)
    for start in range(0, len(kept), rows):
        mask = kept[start : start + rows]
        images = np.frombuffer(waiting.read(len(mask) * size), np.uint8).reshape(-1, *shape)
        if mask.any():
            yield images if mask.all() else images[mask]


def _choose_class_names(name: str, dataset: Dataset, file_names: list[str] | None) -> list[str]:
    """Return names in the order of the labels: the catalogue's, else the files', else numbers."""
    if file_names is not None and len(file_names) != dataset.class_count:
        raise UserError(
            f"dataset '{name}': its files name {len(file_names)} classes, the catalogue says {dataset.class_count}"
        )
    if isinstance(dataset.classes, list):
        return list(dataset.classes)
    return file_names or [str(label) for label in range(dataset.class_count)]


def _hash_origins(dataset: Dataset, folder: Path, prepared: Path) -> dict[str, str]:
    """Return the sha256 of what a file is prepared from: raw files, or the base dataset's contents of a subset."""
    if isinstance(dataset.source, SubsetSource):
        base = dataset.source.subset_of
        return {f"{base}.safetensors": read_manifest(prepared, base).sha256}
    return hash_raw_files(dataset, folder)
