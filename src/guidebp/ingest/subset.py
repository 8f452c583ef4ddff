"""A fixed stratified subset of a prepared dataset.

A number of the images outside the official test set, each class by its share (largest remainders, ties to the
lower label). A stream that follows from the dataset's name and the size alone chooses them. The official test set
stays whole. Where each seed draws its own test set, the subset is chosen among all images.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from guidebp.data.manifest import PreparedFile, check_content_hash, read_manifest
from guidebp.errors import UserError
from guidebp.hashing import hash_json
from guidebp.ingest.contents import Chunk, DatasetContents
from guidebp.schema.datasets import SubsetSource


def read_subset(prepared: Path, source: SubsetSource, official: bool) -> DatasetContents:
    """Return the subset's contents, from the base dataset's prepared file, which its manifest must describe."""
    path, manifest = prepared / f"{source.subset_of}.safetensors", read_manifest(prepared, source.subset_of)
    if not path.exists():
        raise UserError(f"{path}: missing; run: snakemake {path}")
    file = PreparedFile(path)
    check_content_hash(file.compute_content_hash(), manifest, path)
    labels = np.concatenate(list(file.read_blocks("labels"))).astype(np.int64)
    test = np.concatenate(list(file.read_blocks("test"))).astype(np.bool_)
    kept = test & official
    candidates = np.flatnonzero(~kept)
    if source.images > len(candidates):
        where = " outside its test set" if official else ""
        raise UserError(
            f"dataset '{source.subset_of}' has {len(candidates)} images{where}, fewer than the "
            f"{source.images} of its subset; lower `images`"
        )
    kept[choose_subset_images(labels, candidates, source.images, source.subset_of)] = True

    def read_chunks() -> Iterator[Chunk]:
        start = 0
        for images in file.read_blocks("images"):
            rows = slice(start, start + len(images))
            start += len(images)
            for is_test in (False, True):
                mask = kept[rows] & (test[rows] == is_test)
                if mask.any():
                    yield Chunk(images[mask], labels[rows][mask], is_test)

    return DatasetContents(read_chunks(), list(manifest.classes))


def choose_subset_images(
    labels: NDArray[np.int64], candidates: NDArray[np.int64], count: int, name: str
) -> NDArray[np.int64]:
    """Return the positions of `count` of the candidates, in ascending order."""
    classes, sizes = np.unique(labels[candidates], return_counts=True)
    quota, remainders = np.divmod(sizes * count, len(candidates))  # integers, so ties are ties
    rest = np.argsort(-remainders, kind="stable")[: count - quota.sum()]
    quota[rest] += 1
    chosen = []
    for label, wanted in zip(classes.tolist(), quota.tolist(), strict=True):
        members = candidates[labels[candidates] == label]
        # NumPy promises to keep a generator's raw bits, not its permutations: sort by the bits
        seed = int(hash_json(["subset", name, count, label], 16), 16)
        bits = np.random.PCG64(seed).random_raw(len(members))
        chosen.append(members[np.argsort(bits, kind="stable")[:wanted]])
    return np.sort(np.concatenate(chosen))
