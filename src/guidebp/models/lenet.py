"""LeNet-5 with ReLU and max pooling, and optional exits after its convolutions.

LeCun et al., "Gradient-based learning applied to document recognition" (1998): 5x5 convolutions with 6 and 16
channels, linear layers of 120 and 84. Deviations usual today: ReLU for tanh, max pooling for trained
subsampling, full connections between the maps, a linear output; a padding of 2 in the first layer, so that
28x28 images serve. The exits (one linear layer on the flattened map) are ours, in the manner of BranchyNet's
B-LeNet.
"""

from dataclasses import dataclass, field

from torch import nn

from guidebp.models.contract import Chain
from guidebp.requirements import Offer

CHANNELS = (6, 16)


@dataclass(frozen=True)
class Options:
    """Convolutions (1, 2) after which an auxiliary exit leaves, the linear layers, factor of the channels.

    `padded` keeps the second convolution's map as large as its input: for images too small to lose 4 pixels there.
    """

    exits: list[int] = field(default_factory=list)
    widths: tuple[int, int] = (120, 84)
    width: int = 1
    padded: bool = False

    def __post_init__(self) -> None:
        """Raise ValueError for a network that cannot be built."""
        if self.exits not in ([], [1], [2], [1, 2]):
            raise ValueError("exits must be one of [], [1], [2], [1, 2]")
        if min(*self.widths, self.width) < 1:
            raise ValueError("widths and width must be positive")

    def offer(self) -> Offer:
        """Exits of one trunk; without auxiliary ones the two convolutions can be cut apart."""
        return Offer(exits=len(self.exits) + 1, units=0 if self.exits else len(CHANNELS))

    def smallest_image(self) -> int:
        """Pixels: the side is halved, loses 4 pixels unless padded, and is halved again."""
        return 4 if self.padded else 12


def build(options: Options, shape: tuple[int, int, int], classes: int) -> Chain:
    """The network for images of `shape` (C, H, W)."""
    inputs, height, width = shape
    segments: list[nn.Sequential] = [nn.Sequential()]
    exits: list[nn.Module] = []
    heads: list[nn.Module] = []
    depths: list[int] = []
    for layer, channels in enumerate(CHANNELS, start=1):
        outputs = channels * options.width
        border = (
            0 if layer == 1 or options.padded else 4
        )  # pixels that the convolution takes off each side length
        convolution = nn.Conv2d(inputs, outputs, 5, padding=(4 - border) // 2)
        segments[-1].append(nn.Sequential(convolution, nn.ReLU(inplace=True), nn.MaxPool2d(2)))
        inputs, height, width = outputs, (height - border) // 2, (width - border) // 2
        if layer in options.exits:
            segments.append(nn.Sequential())
            exits.append(nn.Flatten())
            heads.append(nn.Linear(inputs * height * width, classes))
            depths.append(layer)
    first_width, second_width = options.widths
    exits.append(
        nn.Sequential(
            nn.Flatten(),
            nn.Linear(inputs * height * width, first_width),
            nn.ReLU(inplace=True),
            nn.Linear(first_width, second_width),
            nn.ReLU(inplace=True),
        )
    )
    heads.append(nn.Linear(second_width, classes))
    return Chain(segments, exits, heads, [*depths, len(CHANNELS)])
