"""A prepared dataset: one safetensors file (uint8 images, labels, official split) and its manifest.

The manifest, a small JSON file kept in git, says what the file must contain: training reads the file only
if both agree. Imports only torch, numpy and safetensors: it travels with training.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from guidebp.errors import UserError


@dataclass(frozen=True)
class Prepared:
    """One dataset in memory.

    Attributes:
        images: uint8 [N, C, H, W].
        labels: int64 [N].
        official_test: bool [N]; all False where the dataset has no official split.
        manifest: the parsed manifest; `manifest["sha256"]` is the hash of the contents.
    """

    images: Tensor
    labels: Tensor
    official_test: Tensor
    manifest: dict[str, Any]


def content_hash(tensors: dict[str, Tensor]) -> str:
    """sha256 over names, types, shapes and bytes, in name order: independent of the file's layout."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        array = tensors[name].contiguous().numpy()
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.data)
    return digest.hexdigest()


def read_manifest(folder: Path, dataset: str) -> dict[str, Any]:
    """The manifest of a prepared dataset; UserError when there is none or it is no JSON object."""
    path = folder / f"{dataset}.json"
    remedy = f"run: snakemake {path}"
    if not path.exists():
        raise UserError(f"{path}: no manifest of dataset '{dataset}'; {remedy}")
    try:
        manifest = json.loads(path.read_text())
    except ValueError as error:
        raise UserError(f"{path}: not a JSON manifest ({error}); delete it and {remedy}") from error
    if not isinstance(manifest, dict):
        raise UserError(f"{path}: expected a JSON object; delete it and {remedy}")
    return manifest


def load_prepared(folder: Path, dataset: str) -> Prepared:
    """Read a prepared dataset and check it against its manifest.

    Raises UserError when the file is missing, unreadable or not what the manifest says.
    """
    manifest = read_manifest(folder, dataset)
    path = folder / f"{dataset}.safetensors"
    remedy = f"delete it and run: snakemake {path}"
    if not path.exists():
        raise UserError(f"{path}: missing; run: snakemake {path}")
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise UserError(f"{path}: not a safetensors file ({error}); {remedy}") from error
    if content_hash(tensors) != manifest.get("sha256"):
        raise UserError(
            f"{path}: its contents differ from the manifest {path.with_suffix('.json')}; {remedy}"
        )
    return Prepared(tensors["images"], tensors["labels"].long(), tensors["test"].bool(), manifest)
