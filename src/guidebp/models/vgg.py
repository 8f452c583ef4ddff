"""The VGG-like network of local critic training: 3x3 convolutions in stages that halve the map, one linear layer.

Lee and Lee, arXiv 1805.01128; Lee, Hsieh and Lee, arXiv 2102.01963 (docs/methods/local-critic.md,
reconstructed: all printed numbers of parameters match, tested): stages of 2, 3, 3 and 3 convolutions with 64,
128, 256 and 512 channels, each with batch normalisation and ReLU. Readings: max pooling between the stages, a
flattened map before the linear layer. It has one output; modules that a method attaches between
its units belong to the method.
"""

from dataclasses import dataclass, field

from torch import nn

from guidebp.models.contract import Chain
from guidebp.models.layers import draw_he_normal, make_conv_bn_relu
from guidebp.requirements import Offer


@dataclass(frozen=True)
class Options:
    """Convolutions and channels of each stage."""

    depths: list[int] = field(default_factory=lambda: [2, 3, 3, 3])
    widths: list[int] = field(default_factory=lambda: [64, 128, 256, 512])

    def __post_init__(self) -> None:
        """Raise ValueError for a network that cannot be built."""
        if not self.depths or len(self.depths) != len(self.widths):
            raise ValueError("depths and widths must be lists of the same length, at least 1")
        if min(*self.depths, *self.widths) < 1:
            raise ValueError("depths and widths must be positive")

    def offer(self) -> Offer:
        """One exit; every convolution is a unit."""
        return Offer(exits=1, units=sum(self.depths))

    def smallest_image(self) -> int:
        """Pixels: every stage but the first halves the map."""
        return int(2 ** (len(self.depths) - 1))


def build(options: Options, shape: tuple[int, int, int], classes: int) -> Chain:
    """The network for images of `shape` (C, H, W)."""
    inputs, height, width = shape
    units: list[nn.Module] = []
    for stage, (depth, outputs) in enumerate(zip(options.depths, options.widths, strict=True)):
        for layer in range(depth):
            convolution = make_conv_bn_relu(inputs, outputs, 3)
            if stage and not layer:  # so that a cut before it leaves the larger map
                convolution.insert(0, nn.MaxPool2d(2))
            units.append(convolution)
            inputs = outputs
    downsample = 2 ** (len(options.depths) - 1)
    head = nn.Linear(inputs * (height // downsample) * (width // downsample), classes)
    network = Chain([nn.Sequential(*units)], [nn.Flatten()], [head], [len(units)])
    draw_he_normal(network)
    return network
