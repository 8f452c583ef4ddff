"""A GoogLeNet-style trunk with two auxiliary heads.

Szegedy et al., "Going deeper with convolutions" (2015), reduced to small images: a stem, then three
segments of inception modules, with an auxiliary classifier (average pool, 1x1 convolution, fully connected
layer, ReLU, linear) after each segment but the last, and global average pooling with a linear layer at the
end. Deviations: batch normalisation after every convolution (as in its second version), no dropout in
the heads, one inception module per segment unless `depth` says otherwise. The GuideBP paper names
GoogLeNet's auxiliary classifiers as a motivation (medium confidence); its own network is unknown.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from guidebp.models.contract import Chain
from guidebp.models.layers import GlobalAverage, make_conv_bn_relu
from guidebp.requirements import Offer


@dataclass(frozen=True)
class Options:
    """Channels of the stem and of each segment's modules (multiples of 8), modules per segment, head width."""

    stem: int = 16
    widths: tuple[int, int, int] = (32, 48, 64)
    depth: int = 1
    head: int = 64

    def __post_init__(self) -> None:
        """Raise ValueError for a network that cannot be built."""
        if self.stem < 1 or self.depth < 1 or self.head < 1:
            raise ValueError("stem, depth and head must be positive")
        if len(self.widths) != 3 or any(width < 8 or width % 8 for width in self.widths):
            raise ValueError("widths must be three positive multiples of 8")

    def offer(self) -> Offer:
        """Three exits of one trunk."""
        return Offer(exits=3)

    def smallest_image(self) -> int:
        """Pixels: two segments halve the map, and the auxiliary heads pool a 2x2 plane."""
        return 8


class _Inception(nn.Module):
    """Four parallel routes, concatenated: 1x1, 3x3, 5x5 and pooled, roughly in GoogLeNet's proportions."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        eighth = outputs // 8
        self.routes = nn.ModuleList(
            [
                make_conv_bn_relu(inputs, 2 * eighth, 1),
                nn.Sequential(
                    make_conv_bn_relu(inputs, 3 * eighth, 1), make_conv_bn_relu(3 * eighth, 4 * eighth, 3)
                ),
                nn.Sequential(make_conv_bn_relu(inputs, eighth, 1), make_conv_bn_relu(eighth, eighth, 5)),
                nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), make_conv_bn_relu(inputs, eighth, 1)),
            ]
        )

    def forward(self, maps: Tensor) -> Tensor:
        """[N, inputs, H, W] to [N, outputs, H, W]."""
        return torch.cat([route(maps) for route in self.routes], dim=1)


def build(options: Options, shape: tuple[int, int, int], classes: int) -> Chain:
    """The network for images of `shape` (C, H, W)."""
    channels, height, width = shape
    segments: list[nn.Sequential] = []
    exits: list[nn.Module] = []
    heads: list[nn.Module] = []
    inputs = options.stem
    for k, outputs in enumerate(options.widths):
        modules: list[nn.Module] = (
            [make_conv_bn_relu(channels, options.stem, 3)] if k == 0 else [nn.MaxPool2d(2)]
        )
        for depth in range(options.depth):
            modules.append(_Inception(inputs if depth == 0 else outputs, outputs))
        inputs = outputs
        segments.append(nn.Sequential(*modules))
        if k == 2:
            exits.append(GlobalAverage())
            heads.append(nn.Linear(outputs, classes))
            continue
        map_height, map_width = height // 2**k, width // 2**k
        pool = (map_height // 2, map_width // 2)
        pixels = (map_height // pool[0]) * (map_width // pool[1])  # of the pooled map
        exits.append(
            nn.Sequential(
                nn.AvgPool2d(pool),
                make_conv_bn_relu(outputs, options.head // 4, 1),
                nn.Flatten(),
                nn.Linear(options.head // 4 * pixels, options.head),
                nn.ReLU(inplace=True),
            )
        )
        heads.append(nn.Linear(options.head, classes))
    depths = [1 + 2 * options.depth * (k + 1) for k in range(3)]  # a module is two layers deep
    return Chain(segments, exits, heads, depths)
