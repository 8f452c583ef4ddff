"""MSDNet: a dense network at several scales at once, with a classifier after every block.

Huang et al., "Multi-scale dense networks for resource efficient image classification" (2018), in the form for
small images whose parameter counts docs/methods/deconfliction.md quotes (tested): every layer adds `growth`
channels at each scale (times 1, 2, 4), from the maps of its own scale and of the finer one. The layers are divided
into `scales` equal stretches; after each the finest scale is dropped, and a 1x1 convolution keeps only
`reduction` of the channels. Classifier: two convolutions of stride 2 with 128 channels, average pooling 2x2,
one linear layer.
"""

from dataclasses import dataclass
from math import ceil, floor

import torch
from torch import Tensor, nn

from guidebp.models.contract import Chain
from guidebp.models.layers import draw_he_normal, make_conv_bn_relu
from guidebp.requirements import Offer

FACTORS = (1, 2, 4)  # of a scale's channels and of its bottleneck

Maps = list[Tensor]  # one per scale, the finest first


@dataclass(frozen=True)
class Options:
    """Blocks (each with a classifier), layers of the first and of every other block, channels, scales.

    `reduction` is the share of the channels that is kept where a scale is dropped, `head` a classifier's channels.
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
        """Raise ValueError for a network that cannot be built."""
        if min(
            self.blocks, self.first, self.step, self.channels, self.head
        ) < 1 or not 1 <= self.scales <= len(FACTORS):
            raise ValueError("blocks, first, step, channels and head must be positive, scales from 1 to 3")
        if self.growth < 2 or self.growth % 2:
            raise ValueError("growth must be even: half comes from the finer scale")
        if not 0 < self.reduction <= 1:
            raise ValueError("reduction must be above 0 and at most 1")

    def offer(self) -> Offer:
        """Every block has an exit; the trunk passes several maps, so a module that reads one cannot be attached."""
        return Offer(exits=self.blocks)

    def smallest_image(self) -> int:
        """Pixels: the coarsest map has two a side; classifiers halve it twice and pool a remainder above one."""
        return int(2**self.scales)


def _make_bottleneck(inputs: int, outputs: int, factor: int, stride: int = 1) -> nn.Sequential:
    """A 1x1 convolution to at most `factor` times the outputs, then a 3x3 one."""
    hidden = min(inputs, factor * outputs)
    return nn.Sequential(make_conv_bn_relu(inputs, hidden, 1), make_conv_bn_relu(hidden, outputs, 3, stride))


class _FirstLayer(nn.Module):
    """From images to maps at every scale, each computed from the finer one."""

    def __init__(self, inputs: int, channels: int, scales: int) -> None:
        super().__init__()
        sizes = [inputs, *(channels * factor for factor in FACTORS[:scales])]
        self.scales = nn.ModuleList(
            make_conv_bn_relu(sizes[k], sizes[k + 1], 3, 1 if k == 0 else 2) for k in range(scales)
        )

    def forward(self, images: Tensor) -> Maps:
        """[N, C, H, W] to one map per scale."""
        maps = []
        scale_map = images
        for scale in self.scales:
            scale_map = scale(scale_map)
            maps.append(scale_map)
        return maps


class _DenseLayer(nn.Module):
    """`growth` more channels at every scale from `finest_output` on; the input has those from `finest_input` on."""

    def __init__(
        self, channels: int, growth: int, finest_input: int, finest_output: int, scales: int
    ) -> None:
        super().__init__()
        self.dropped = finest_output - finest_input  # number of scales that end here
        self.same, self.finer = nn.ModuleList(), nn.ModuleList()
        for scale in range(finest_output, scales):
            factor, has_finer = FACTORS[scale], scale > finest_input
            outputs = growth * factor // 2 if has_finer else growth * factor
            self.same.append(_make_bottleneck(channels * factor, outputs, factor))
            if has_finer:
                self.finer.append(
                    _make_bottleneck(channels * FACTORS[scale - 1], outputs, FACTORS[scale - 1], 2)
                )

    def forward(self, maps: Maps) -> Maps:
        """Maps of the input's scales to maps of the output's."""
        outputs = []
        without_finer = len(self.same) - len(
            self.finer
        )  # 1 where the finest scale of all is among the outputs
        for i, same in enumerate(self.same):
            own_map = maps[i + self.dropped]
            features = [own_map]
            if i >= without_finer:
                features.append(self.finer[i - without_finer](maps[i + self.dropped - 1]))
            outputs.append(torch.cat([*features, same(own_map)], dim=1))
        return outputs


class _Reduction(nn.Module):
    """A 1x1 convolution at every scale."""

    def __init__(self, inputs: int, outputs: int, finest: int, scales: int) -> None:
        super().__init__()
        self.scales = nn.ModuleList(
            make_conv_bn_relu(inputs * factor, outputs * factor, 1) for factor in FACTORS[finest:scales]
        )

    def forward(self, maps: Maps) -> Maps:
        """Maps to maps of fewer channels."""
        return [scale(scale_map) for scale, scale_map in zip(self.scales, maps, strict=True)]


class _Exit(nn.Module):
    """Features of a classifier, from the coarsest map."""

    def __init__(self, channels: int, head: int, pool: tuple[int, int]) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            make_conv_bn_relu(channels, head, 3, 2),
            make_conv_bn_relu(head, head, 3, 2),
            nn.AvgPool2d(pool),
            nn.Flatten(),
        )

    def forward(self, maps: Maps) -> Tensor:
        """Maps to [N, features]."""
        features: Tensor = self.layers(maps[-1])
        return features


def build(options: Options, shape: tuple[int, int, int], classes: int) -> Chain:
    """The network for images of `shape` (C, H, W)."""
    layers = options.first + options.step * (options.blocks - 1)
    stretch = ceil(layers / options.scales)  # layers until a scale is dropped
    sides = [ceil(side / 2 ** (options.scales + 1)) for side in shape[1:]]  # of a classifier's last map
    pool = min(2, sides[0]), min(2, sides[1])
    pixels = (sides[0] // pool[0]) * (sides[1] // pool[1])
    channels, layer, depth = options.channels, 0, options.scales
    units: list[nn.Module] = [_FirstLayer(shape[0], channels, options.scales)]
    segments, exits, heads, depths = [], [], [], []
    for block in range(options.blocks):
        for _ in range(options.first if block == 0 else options.step):
            layer += 1
            finest_input, finest_output = max(0, layer - 2) // stretch, (layer - 1) // stretch
            units.append(_DenseLayer(channels, options.growth, finest_input, finest_output, options.scales))
            channels, depth = channels + options.growth, depth + 2
            if finest_output > finest_input and options.reduction < 1:
                reduced = max(1, floor(options.reduction * channels))
                units.append(_Reduction(channels, reduced, finest_output, options.scales))
                channels, depth = reduced, depth + 1
        segments.append(nn.Sequential(*units))
        exits.append(_Exit(channels * FACTORS[options.scales - 1], options.head, pool))
        heads.append(nn.Linear(options.head * pixels, classes))
        depths.append(depth)
        units = []
    network = Chain(segments, exits, heads, depths)
    draw_he_normal(network)
    return network
