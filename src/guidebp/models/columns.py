"""Columns that differ in kernel size: the multi-column network of the GuideBP authors' neighbourhood.

Source (medium confidence): three columns with kernel orders (3,5,7), (5,7,3), (7,3,5), widths
32-64-256, batch normalisation and ReLU on 32x32 grey images. The paper's own architectures are unknown;
pooling after every layer, the flattened features and one linear layer as head are our reading.
"""

from dataclasses import dataclass
from typing import Literal

from torch import nn

from guidebp.models.contract import Parallel
from guidebp.models.layers import GlobalAverage, make_conv_bn_relu


@dataclass(frozen=True)
class Options:
    """Kernel sizes per column and layer, and the channels of the layers, the same for every column."""

    kernels: list[list[int]]
    widths: list[int]
    features: Literal["flatten", "average"] = "flatten"

    def __post_init__(self) -> None:
        """Raise ValueError for a network that cannot be built."""
        if not self.kernels or not self.widths or min(self.widths) < 1:
            raise ValueError("needs at least one column and one positive width")
        if any(len(column) != len(self.widths) for column in self.kernels):
            raise ValueError("each column needs one kernel size per width")
        if any(kernel < 1 or kernel % 2 == 0 for column in self.kernels for kernel in column):
            raise ValueError("kernel sizes must be odd and positive: even ones cannot keep the map's size")

    def smallest_image(self) -> int:
        """Pixels: each layer halves the map."""
        return int(2 ** len(self.widths))


def build(options: Options, shape: tuple[int, int, int], classes: int) -> Parallel:
    """The network for images of `shape` (C, H, W)."""
    channels, height, width = shape
    downsample = 2 ** len(options.widths)
    pixels = (height // downsample) * (width // downsample) if options.features == "flatten" else 1

    def build_column(kernels: list[int]) -> nn.Module:
        layers: list[nn.Module] = []
        inputs = channels
        for kernel, outputs in zip(kernels, options.widths, strict=True):
            layers += [make_conv_bn_relu(inputs, outputs, kernel), nn.MaxPool2d(2)]
            inputs = outputs
        layers.append(nn.Flatten() if options.features == "flatten" else GlobalAverage())
        return nn.Sequential(*layers)

    def name_column(kernels: list[int]) -> str:
        sizes = kernels[:1] if len(set(kernels)) == 1 else kernels
        return "kernel " + "-".join(map(str, sizes))

    return Parallel(
        pathway_names=[name_column(kernels) for kernels in options.kernels],
        columns=[build_column(kernels) for kernels in options.kernels],
        heads=[nn.Linear(options.widths[-1] * pixels, classes) for _ in options.kernels],
    )
