"""Batches of a run: the data stays on the device as uint8, a batch is gathered and normalised there."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from guidebp.data.prepared import Prepared
from guidebp.data.splits import Split
from guidebp.errors import UserError
from guidebp.streams import permutation


def channel_statistics(images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation per channel, float32 [C], of uint8 images [N, C, H, W].

    From counts of the 256 values, so exact and the same on every machine.
    """
    values = torch.arange(256, dtype=torch.float64)
    means, deviations = [], []
    for channel in images.unbind(dim=1):
        counts = torch.bincount(channel.flatten(), minlength=256).double()
        mean = (counts * values).sum() / counts.sum()
        means.append(mean)
        deviations.append(((counts * (values - mean) ** 2).sum() / counts.sum()).sqrt())
    return torch.stack(means).float(), torch.stack(deviations).clamp(min=1.0).float()


class Batches:
    """The images of one run on its device, and its batches in an order that follows from streams."""

    def __init__(self, data: Prepared, split: Split, spec: dict[str, Any], device: torch.device) -> None:
        """Keep the splits of the run on the device; the statistics are those of its training images."""
        self.dataset: str = spec["dataset"]["name"]
        self.repetition: int = spec["repetition"]
        self.size: int = spec["recipe"]["batch_size"]
        self.device = device
        mean, deviation = channel_statistics(data.images[split.train])
        self.scale = (1.0 / deviation).view(1, -1, 1, 1).to(device)
        self.shift = (-mean / deviation).view(1, -1, 1, 1).to(device)
        self.images = {name: data.images[index].to(device) for name, index in split._asdict().items()}
        self.labels = {name: data.labels[index].to(device) for name, index in split._asdict().items()}
        self.steps = len(split.train) // self.size  # whole batches only: batch norm dislikes small ones
        if not self.steps:
            raise UserError(
                f"dataset '{self.dataset}': {len(split.train)} training images fill no batch of {self.size}; "
                "choose a smaller batch_size in the recipe"
            )

    def normalise(self, images: Tensor) -> Tensor:
        """uint8 [N, C, H, W] to float32 of zero mean and unit variance, channels last."""
        floats = images.to(torch.float32, memory_format=torch.channels_last)
        return floats.mul_(self.scale).add_(self.shift)

    def epoch(self, epoch: int, streams: int) -> Iterator[tuple[Tensor, Tensor]]:
        """(images, labels) for each step; with several streams their batches one after another."""
        count = len(self.labels["train"])
        orders = torch.stack(
            [
                permutation(count, "batch order", self.dataset, self.repetition, epoch, stream)
                for stream in range(streams)
            ]
        ).to(self.device)
        for step in range(self.steps):
            index = orders[:, step * self.size : (step + 1) * self.size].flatten()
            yield self.normalise(self.images["train"][index]), self.labels["train"][index]

    def evaluation(self, part: str, size: int = 1000) -> Iterator[Tensor]:
        """The images of "validation" or "test" in order, in large batches."""
        for images in self.images[part].split(size):
            yield self.normalise(images)
