"""MSDNet: a dense network at several scales at once, with a classifier after every block.

Huang et al., "Multi-scale dense networks for resource efficient image classification" (2018), in the form for
small images whose parameter counts docs/methods/deconfliction.md quotes (tested): every layer adds `growth`
channels at each scale (times 1, 2, 4), from the maps of its own scale and of the finer one; the finest scale is
given up after each third of the layers (of `scales` equal shares), where a 1x1 convolution also keeps only
`reduction` of the channels. Classifier: two convolutions of stride 2 with 128 channels, average pooling 2x2,
one linear layer.
"""

from dataclasses import dataclass
from math import ceil, floor

import torch
from torch import Tensor, nn

from guidebp.models.contract import Chain
from guidebp.models.layers import conv_bn_relu, he_normal

FACTORS = (1, 2, 4)  # of a scale's channels and of its bottleneck

Maps = list[Tensor]  # one per scale, the finest first


@dataclass(frozen=True)
class Options:
    """Blocks (each with a classifier), layers of the first and of every other block, channels, scales.

    `reduction` is the share of the channels that is kept where a scale is given up, `head` a classifier's channels.
    """

    blocks: int = 7
    first: int = 4
    step: int = 2
    channels: int = 16
    growth: int = 16
    scales: int = 3
    reduction: float = 0.5
    head: int = 128

    def __post_init__(self) -> None:
        """Refuse what cannot be built."""
        if min(
            self.blocks, self.first, self.step, self.channels, self.head
        ) < 1 or not 1 <= self.scales <= len(FACTORS):
            raise ValueError("blocks, first, step, channels and head must be positive, scales from 1 to 3")
        if self.growth < 2 or self.growth % 2:
            raise ValueError("growth must be even: half comes from the finer scale")
        if not 0 < self.reduction <= 1:
            raise ValueError("reduction must be above 0 and at most 1")

    def offers(self) -> dict[str, int]:
        """Every block has an exit; the trunk passes several maps, so nothing that reads one can be attached."""
        return {"trunk": self.blocks}

    def smallest_image(self) -> int:
        """Pixels: the coarsest map has two a side; classifiers halve it twice, and pool if anything is left."""
        return int(2**self.scales)


def narrow(inputs: int, outputs: int, factor: int, stride: int = 1) -> nn.Sequential:
    """A 1x1 convolution to at most `factor` times the outputs, then a 3x3 one."""
    inner = min(inputs, factor * outputs)
    return nn.Sequential(conv_bn_relu(inputs, inner, 1), conv_bn_relu(inner, outputs, 3, stride))


class First(nn.Module):
    """From images to maps at every scale, each made of the one before."""

    def __init__(self, inputs: int, channels: int, scales: int) -> None:
        super().__init__()
        sizes = [inputs, *(channels * factor for factor in FACTORS[:scales])]
        self.scales = nn.ModuleList(
            conv_bn_relu(sizes[k], sizes[k + 1], 3, 1 if k == 0 else 2) for k in range(scales)
        )

    def forward(self, images: Tensor) -> Maps:
        """[N, C, H, W] to one map per scale."""
        found = []
        for scale in self.scales:
            images = scale(images)
            found.append(images)
        return found


class Layer(nn.Module):
    """`growth` more channels at every scale that is kept; `first` is the finest scale that comes in."""

    def __init__(self, channels: int, growth: int, first: int, kept: int, scales: int) -> None:
        super().__init__()
        self.skipped = kept - first
        self.same, self.finer = nn.ModuleList(), nn.ModuleList()
        for scale in range(kept, scales):
            factor, alone = FACTORS[scale], scale == first
            outputs = growth * factor if alone else growth * factor // 2
            self.same.append(narrow(channels * factor, outputs, factor))
            if not alone:
                self.finer.append(narrow(channels * FACTORS[scale - 1], outputs, FACTORS[scale - 1], 2))

    def forward(self, maps: Maps) -> Maps:
        """Maps of the scales that come in to maps of those that are kept."""
        found = []
        missing = len(self.same) - len(self.finer)  # the finest of all has no finer one
        for place, same in enumerate(self.same):
            own = maps[place + self.skipped]
            new = [own]
            if place >= missing:
                new.append(self.finer[place - missing](maps[place + self.skipped - 1]))
            found.append(torch.cat([*new, same(own)], dim=1))
        return found


class Reduce(nn.Module):
    """A 1x1 convolution at every scale."""

    def __init__(self, inputs: int, outputs: int, first: int, scales: int) -> None:
        super().__init__()
        self.scales = nn.ModuleList(conv_bn_relu(inputs * f, outputs * f, 1) for f in FACTORS[first:scales])

    def forward(self, maps: Maps) -> Maps:
        """Maps to maps of fewer channels."""
        return [scale(x) for scale, x in zip(self.scales, maps, strict=True)]


class Leave(nn.Module):
    """Features of a classifier, from the coarsest map."""

    def __init__(self, channels: int, head: int, pool: tuple[int, int]) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            conv_bn_relu(channels, head, 3, 2),
            conv_bn_relu(head, head, 3, 2),
            nn.AvgPool2d(pool),
            nn.Flatten(),
        )

    def forward(self, maps: Maps) -> Tensor:
        """Maps to [N, features]."""
        found: Tensor = self.layers(maps[-1])
        return found


def build(options: Options, shape: tuple[int, int, int], classes: int) -> Chain:
    """The network for images of `shape` (C, H, W)."""
    layers = options.first + options.step * (options.blocks - 1)
    every = ceil(layers / options.scales)  # layers between two scales given up
    sides = [ceil(side / 2 ** (options.scales + 1)) for side in shape[1:]]  # of a classifier's last map
    pool = min(2, sides[0]), min(2, sides[1])
    plane = (sides[0] // pool[0]) * (sides[1] // pool[1])
    channels, number, depth = options.channels, 0, options.scales
    parts: list[nn.Module] = [First(shape[0], channels, options.scales)]
    segments, exits, heads, depths = [], [], [], []
    for block in range(options.blocks):
        for _ in range(options.first if block == 0 else options.step):
            number += 1
            first, kept = max(0, number - 2) // every, (number - 1) // every
            parts.append(Layer(channels, options.growth, first, kept, options.scales))
            channels, depth = channels + options.growth, depth + 2
            if kept > first and options.reduction < 1:
                fewer = max(1, floor(options.reduction * channels))
                parts.append(Reduce(channels, fewer, kept, options.scales))
                channels, depth = fewer, depth + 1
        segments.append(nn.Sequential(*parts))
        exits.append(Leave(channels * FACTORS[options.scales - 1], options.head, pool))
        heads.append(nn.Linear(options.head * plane, classes))
        depths.append(depth)
        parts = []
    network = Chain(segments, exits, heads, depths)
    he_normal(network)
    return network
