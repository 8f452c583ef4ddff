"""Turn raw files into one prepared file per dataset and the manifest that says what it holds."""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save

from guidebp.canonical import readable_json
from guidebp.data.fetch import intact
from guidebp.data.prepared import content_hash
from guidebp.data.readers import READERS
from guidebp.errors import UserError
from guidebp.store import write_atomic
from guidebp.study.files import nearest
from guidebp.study.schema import Dataset


def prepare(name: str, dataset: Dataset, raw: Path, prepared: Path) -> None:
    """Write `prepared`/NAME.safetensors and, after it, `prepared`/NAME.json.

    Raises UserError when a raw file is not that of the catalogue or holds something else than announced.
    """
    for wanted in dataset.files:
        if not intact(raw / wanted.path, wanted):
            raise UserError(f"{raw / wanted.path}: missing or damaged; run: guidebp fetch {name}")
    if dataset.reader not in READERS:
        raise UserError(
            f"dataset '{name}': unknown reader '{dataset.reader}'; {nearest(dataset.reader, READERS)}"
        )
    images, labels, test = READERS[dataset.reader]([raw / wanted.path for wanted in dataset.files])
    if images.shape[1:] != dataset.shape:
        raise UserError(
            f"dataset '{name}': images are {images.shape[1:]}, the catalogue says {dataset.shape}"
        )
    if labels.min() < 0 or labels.max() >= dataset.classes:
        raise UserError(
            f"dataset '{name}': labels from {labels.min()} to {labels.max()}, not 0 to classes - 1"
        )
    if dataset.split.test == "official" and not test.any():
        raise UserError(f"dataset '{name}': has no official test set; give a share as split.test")
    tensors = {
        "images": torch.from_numpy(images),
        "labels": torch.from_numpy(labels.astype(np.int16)),
        "test": torch.from_numpy(test.astype(np.uint8)),
    }
    manifest = {
        "dataset": name,
        "sha256": content_hash(tensors),
        "images": len(images),
        "official_test_images": int(test.sum()),
        "shape": list(images.shape[1:]),
        "per_class": np.bincount(labels, minlength=dataset.classes).tolist(),
        "files": {wanted.path: wanted.sha256 for wanted in dataset.files},
    }
    write_atomic(prepared / f"{name}.safetensors", save(tensors))
    write_atomic(prepared / f"{name}.json", readable_json(manifest))
