"""A prepared dataset as training reads it: uint8 images, labels, official split.

On the CPU the images stay in the file, mapped into memory: processes that train on one dataset share a single copy.
Downsampled images are not shared. Training uses the file only if it matches its manifest. This module is part of
training, so it imports only torch, numpy and safetensors.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from guidebp.data.manifest import (
    Manifest,
    PreparedFile,
    check_content_hash,
    compute_content_hash,
    explain_remake,
    read_manifest,
)
from guidebp.errors import UserError

DOWNSAMPLE_BLOCK = 1 << 22  # bytes of images downsampled together


@dataclass(frozen=True, eq=False)
class Prepared:
    """A prepared dataset.

    Attributes:
        images: uint8 [N, C, H, W].
        labels: int64 [N], on the CPU.
        official_test: bool [N], on the CPU; all False where the dataset has no official split.
        manifest: its `sha256` is the hash of the contents.
    """

    images: Tensor
    labels: Tensor
    official_test: Tensor
    manifest: Manifest

    def copy_to(self, device: torch.device) -> "Prepared":
        """Return the same dataset with its images on the device: one copy for all runs of a process."""
        return replace(self, images=self.images.to(device))


def downsample(data: Prepared, side: int) -> Prepared:
    """Return the dataset with images averaged over squares of `side` pixels: uint8 [N, C, H / side, W / side].

    `side` must divide height and width; halves are rounded up. With 1 the data is returned unchanged.
    """
    if side == 1:
        return data
    height, width = data.images.shape[2:]
    if height % side or width % side:
        raise UserError(
            f"images of {height}x{width} pixels cannot be downsampled by {side}; correct the recipe"
        )
    return _downsample_images(data, side)


@lru_cache(maxsize=1)  # most runs of a process share dataset and recipe
def _downsample_images(data: Prepared, side: int) -> Prepared:
    count, channels, height, width = data.images.shape
    small = torch.empty(
        count, channels, height // side, width // side, dtype=torch.uint8, device=data.images.device
    )
    block = max(1, DOWNSAMPLE_BLOCK // (channels * height * width))
    for rows in torch.arange(count, device=small.device).split(block):
        squares = data.images[rows].unflatten(3, (-1, side)).unflatten(2, (-1, side))
        sums = squares.sum(dim=(3, 5), dtype=torch.int32)
        small[rows] = ((2 * sums + side * side) // (2 * side * side)).to(torch.uint8)
    return replace(data, images=small)


def load_prepared(folder: Path, dataset: str) -> Prepared:
    """Open a prepared dataset and check it against its manifest.

    Raises UserError when the file is missing, unreadable or different from its manifest.
    """
    manifest = read_manifest(folder, dataset)
    path = folder / f"{dataset}.safetensors"
    if not path.exists():
        raise UserError(f"{path}: missing; run: snakemake {path}")
    PreparedFile(path)  # refuses what safetensors can read but preparing never writes
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise UserError(f"{path}: not a safetensors file ({error}); {explain_remake(path)}") from error
    content_hash = compute_content_hash({name: tensor.numpy() for name, tensor in tensors.items()})
    check_content_hash(content_hash, manifest, path)
    return Prepared(tensors["images"], tensors["labels"].long(), tensors["test"].bool(), manifest)
