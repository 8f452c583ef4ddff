"""Batches of a run, gathered, augmented and normalised on the device. The data itself is not changed."""

from collections.abc import Iterator

import torch
from torch import Tensor

from guidebp.data.augmentation import apply_cutout, crop_and_flip, draw_augmentation, join_draws
from guidebp.data.prepared import Prepared
from guidebp.data.splits import Split
from guidebp.errors import UserError
from guidebp.runs.spec import RunSpec
from guidebp.seeds import draw_permutation

BLOCK = 1 << 22  # bytes of images looked at together, so that nothing of a dataset's size is ever copied


def compute_channel_statistics(images: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation per channel, float32 [C], of the uint8 images [N, C, H, W] at `index`.

    They are computed from counts of the 256 values, so they are exact and equal on every machine.
    """
    values = torch.arange(256, dtype=torch.float64)
    counts = torch.zeros(images.shape[1], 256, dtype=torch.float64)
    for rows in index.split(max(1, BLOCK // images[0].numel())):
        for channel, part in enumerate(images[rows].unbind(dim=1)):
            counts[channel] += torch.bincount(part.flatten(), minlength=256).cpu()
    means, deviations = [], []
    for count in counts:
        mean = (count * values).sum() / count.sum()
        means.append(mean)
        deviations.append(((count * (values - mean) ** 2).sum() / count.sum()).sqrt())
    return torch.stack(means).float(), torch.stack(deviations).clamp(min=1.0).float()


class Batches:
    """The images of one run on its device, and its batches in an order drawn from named streams."""

    def __init__(self, data: Prepared, split: Split, spec: RunSpec, device: torch.device) -> None:
        """Compute the statistics of the run's training images; `data` must be on the device.

        Raises UserError when the training images do not fill one batch.
        """
        self.dataset, self.seed = spec.dataset.name, spec.seed
        self.size = spec.recipe.batch_size
        self.augmentation = spec.recipe.augmentation
        self.device = device
        self.images = data.images
        self.index = {name: index.to(device) for name, index in split._asdict().items()}
        self.labels = {name: data.labels[index].to(device) for name, index in split._asdict().items()}
        mean, deviation = compute_channel_statistics(data.images, self.index["train"])
        self.scale = (1.0 / deviation).view(1, -1, 1, 1).to(device)
        self.shift = (-mean / deviation).view(1, -1, 1, 1).to(device)
        self.steps = len(split.train) // self.size  # whole batches only: batch norm dislikes small ones
        if not self.steps:
            raise UserError(
                f"dataset '{self.dataset}': {len(split.train)} training images fill no batch of {self.size}; "
                "choose a smaller batch_size in the recipe"
            )

    def normalise(self, images: Tensor) -> Tensor:
        """Convert uint8 [N, C, H, W] to float32 of zero mean and unit variance, channels last."""
        floats = images.to(torch.float32, memory_format=torch.channels_last)
        return floats.mul_(self.scale).add_(self.shift)

    def epoch(self, epoch: int, streams: int, first: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (images, labels) for each step from `first`; the batches of several streams are concatenated."""
        count, size = len(self.labels["train"]), (self.images.shape[2], self.images.shape[3])
        names = [(self.dataset, self.seed, epoch, stream) for stream in range(streams)]
        orders = torch.stack([draw_permutation(count, "batch order", *name) for name in names]).to(
            self.device
        )
        begin = torch.arange(streams, device=self.device).view(-1, 1) * count  # place of a stream's draws
        if self.augmentation:
            draws = join_draws(
                [draw_augmentation(self.augmentation, count, size, *name) for name in names]
            ).to(self.device)
        for step in range(first, self.steps):
            batch = orders[:, step * self.size : (step + 1) * self.size]
            index = batch.flatten()
            images = self.images[self.index["train"][index]]
            if self.augmentation:
                which = (batch + begin).flatten()
                images = self.normalise(crop_and_flip(images, self.augmentation, draws, which))
                images = apply_cutout(images, self.augmentation, draws, which)
            else:
                images = self.normalise(images)
            yield images, self.labels["train"][index]

    def evaluation(self, part: str, size: int = 1000) -> Iterator[Tensor]:
        """Yield the normalised images of "validation" or "test" in order, in batches of `size`."""
        for rows in self.index[part].split(size):
            yield self.normalise(self.images[rows])
