"""The VGG-like network of local critic training: 3x3 convolutions in stages that halve the map, one linear layer.

Lee and Lee, arXiv 1805.01128; Lee, Hsieh and Lee, arXiv 2102.01963 (docs/methods/local-critic.md,
reconstructed: all printed numbers of parameters match, tested): stages of 2, 3, 3 and 3 convolutions with 64,
128, 256 and 512 channels, each with batch normalisation and ReLU. Readings: max pooling between the stages, a
flattened map before the linear layer. It has one output; what is attached between its parts belongs to the
method.
"""

from dataclasses import dataclass, field

from torch import nn

from guidebp.models.contract import Chain
from guidebp.models.layers import conv_bn_relu, he_normal


@dataclass(frozen=True)
class Options:
    """Convolutions and channels of each stage."""

    depths: list[int] = field(default_factory=lambda: [2, 3, 3, 3])
    widths: list[int] = field(default_factory=lambda: [64, 128, 256, 512])

    def __post_init__(self) -> None:
        """Refuse what cannot be built."""
        if not self.depths or len(self.depths) != len(self.widths):
            raise ValueError("depths and widths must be lists of the same length, at least 1")
        if min(*self.depths, *self.widths) < 1:
            raise ValueError("depths and widths must be positive")

    def offers(self) -> dict[str, int]:
        """One exit; every convolution is a part."""
        return {"trunk": 1, "parts": sum(self.depths)}

    def smallest_image(self) -> int:
        """Pixels: every stage but the first halves the map."""
        return int(2 ** (len(self.depths) - 1))


def build(options: Options, shape: tuple[int, int, int], classes: int) -> Chain:
    """The network for images of `shape` (C, H, W)."""
    inputs, height, width = shape
    parts: list[nn.Module] = []
    for stage, (depth, outputs) in enumerate(zip(options.depths, options.widths, strict=True)):
        for layer in range(depth):
            convolution = conv_bn_relu(inputs, outputs, 3)
            if stage and not layer:  # so a cut before it leaves the larger map
                convolution.insert(0, nn.MaxPool2d(2))
            parts.append(convolution)
            inputs = outputs
    downsample = 2 ** (len(options.depths) - 1)
    head = nn.Linear(inputs * (height // downsample) * (width // downsample), classes)
    network = Chain([nn.Sequential(*parts)], [nn.Flatten()], [head], [len(parts)])
    he_normal(network)
    return network
