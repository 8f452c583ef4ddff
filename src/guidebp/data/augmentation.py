"""Augmentation of training images: whole batches on the device, with separate parameters for every image.

Parameters are drawn for all images of an epoch at once, on the CPU, from streams named by purpose, dataset,
seed, epoch and stream number. So any image of any epoch can be reproduced alone, and one change does not alter the
draws of the others. The order is torchvision's usual one: RandomCrop(padding),
RandomHorizontalFlip, Normalize. Cutout follows (DeVries and Taylor, arXiv 1708.04552): a square around any pixel,
cut off at the border, is set to the mean, which is zero after normalisation. Their square of odd side loses a row
and a column to integer division; ours does not.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from guidebp.runs.spec import AugmentationSpec
from guidebp.seeds import derive_stream_seed


@dataclass(frozen=True)
class AugmentationDraws:
    """Parameters of all images of an epoch, int64 [N] or bool [N]; None where a change is off.

    Attributes:
        flip: [N], True if the image is mirrored.
        crop: [2, N], row and column of the cut-out in the padded image, from 0 to twice the padding.
        cutout: [2, N], row and column of the square's first pixel; may lie outside the image.
    """

    flip: Tensor | None
    crop: Tensor | None
    cutout: Tensor | None

    def to(self, device: torch.device) -> "AugmentationDraws":
        """Return the parameters on the device."""
        found = (None if part is None else part.to(device) for part in (self.flip, self.crop, self.cutout))
        return AugmentationDraws(*found)


def draw_augmentation(
    augmentation: AugmentationSpec, count: int, size: tuple[int, int], *stream: object
) -> AugmentationDraws:
    """Draw parameters for `count` images of `size` (height, width); they depend on `stream` alone."""

    def integers(purpose: str, low: int, high: int) -> Tensor:
        generator = torch.Generator().manual_seed(derive_stream_seed(f"augmentation: {purpose}", *stream))
        return torch.randint(low, high, (count,), generator=generator)

    flip = crop = cutout = None
    if augmentation.flip:
        flip = integers("flip", 0, 2).bool()
    if padding := augmentation.crop:
        crop = torch.stack([integers(f"crop {axis}", 0, 2 * padding + 1) for axis in ("row", "column")])
    if side := augmentation.cutout:
        centres = [
            integers(f"cutout {axis}", 0, length)
            for axis, length in zip(("row", "column"), size, strict=True)
        ]
        cutout = torch.stack(centres) - side // 2
    return AugmentationDraws(flip, crop, cutout)


def join_draws(parts: list[AugmentationDraws]) -> AugmentationDraws:
    """Concatenate the draws of several streams."""

    def cat(name: str) -> Tensor | None:
        found = [getattr(part, name) for part in parts]
        return None if found[0] is None else torch.cat(found, dim=-1)

    return AugmentationDraws(cat("flip"), cat("crop"), cat("cutout"))


def crop_and_flip(
    images: Tensor, augmentation: AugmentationSpec, draws: AugmentationDraws, index: Tensor
) -> Tensor:
    """Crop and flip uint8 images [B, C, H, W]; `index` [B] holds their positions in the epoch's draws."""
    if draws.flip is None and draws.crop is None:
        return images
    count, channels, height, width = images.shape
    rows = torch.arange(height, device=images.device).expand(count, height)
    columns = torch.arange(width, device=images.device).expand(count, width)
    if draws.flip is not None:
        columns = torch.where(draws.flip[index, None], width - 1 - columns, columns)
    if draws.crop is not None:
        images = torch.nn.functional.pad(images, (augmentation.crop,) * 4)
        rows, columns = rows + draws.crop[0, index, None], columns + draws.crop[1, index, None]
    places = rows[:, :, None] * images.shape[3] + columns[:, None, :]
    places = places.view(count, 1, -1).expand(count, channels, -1)
    return images.flatten(2).gather(2, places).view(count, channels, height, width)


def apply_cutout(
    images: Tensor, augmentation: AugmentationSpec, draws: AugmentationDraws, index: Tensor
) -> Tensor:
    """Set the squares of normalised images [B, C, H, W] to zero, in place."""
    if draws.cutout is None:
        return images
    inside = []
    for axis, length in enumerate(images.shape[2:]):
        place = torch.arange(length, device=images.device) - draws.cutout[axis, index, None]
        inside.append((place >= 0) & (place < augmentation.cutout))
    square = inside[0][:, None, :, None] & inside[1][:, None, None, :]
    return images.masked_fill_(square, 0.0)
