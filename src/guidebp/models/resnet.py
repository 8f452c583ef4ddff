"""The pre-activation ResNet for small images, of depth 6n + 2, with exits at given layers (MwResNet).

He et al., "Identity mappings in deep residual networks" (2016), as multi-way backpropagation uses it (Guo et
al., arXiv 1611.01773, and its authors' code; docs/methods/multiway.md): widths 16, 32, 64 times `width`, the first
convolution as wide as the first stage; the first block of every stage takes its shortcut from the activated
input, through a 1x1 convolution where the width changes. An exit is batch normalisation, ReLU, global average
pooling and one linear layer. Layers are counted as the paper does: the first convolution is layer 1, a block
has two, the last linear layer is layer `depth`; so exits of depth 56 at 15, 25, 35 and 45 have its table's
numbers of parameters (tested). Without exits it is the plain ResNet.
"""

from dataclasses import dataclass, field

from torch import Tensor, nn

from guidebp.models.contract import Chain
from guidebp.models.layers import GlobalAverage, draw_he_normal
from guidebp.requirements import Offer

STAGES = 3


@dataclass(frozen=True)
class Options:
    """Depth 6n + 2, layers of the auxiliary exits (the last layer always is one), channels.

    The first stage has `channels` times `width`, every other twice those of the stage before.
    """

    depth: int = 56
    exits: list[int] = field(default_factory=list)
    width: int = 1
    channels: int = 16

    def __post_init__(self) -> None:
        """Raise ValueError for a network that cannot be built."""
        if self.depth < 8 or (self.depth - 2) % 6:
            raise ValueError("depth must be 6n + 2: 8, 14, 20, 26, 32, 38, 44, 50, 56, 110, ...")
        if self.width < 1 or self.channels < 1:
            raise ValueError("width and channels must be positive")
        if self.exits != sorted(set(self.exits)) or any(
            layer < 3 or layer % 2 == 0 or layer >= self.depth - 1 for layer in self.exits
        ):
            raise ValueError(
                f"exits must be ascending odd layers from 3 to {self.depth - 3}: the ends of blocks"
            )

    def offer(self) -> Offer:
        """Exits of one trunk; without auxiliary ones the first convolution and the blocks can be cut apart."""
        return Offer(exits=len(self.exits) + 1, units=0 if self.exits else (self.depth - 2) // 2 + 1)

    def smallest_image(self) -> int:
        """Pixels: two stages halve the map."""
        return 4


class PreActivationBlock(nn.Module):
    """Two 3x3 convolutions, each after batch normalisation and ReLU, added to the input."""

    def __init__(self, inputs: int, outputs: int, stride: int, first: bool) -> None:
        super().__init__()
        self.first, self.stride = first, stride
        self.activate = nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU(inplace=True))
        self.convolve = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
        )
        self.widen = nn.Conv2d(inputs, outputs, 1, bias=False) if inputs != outputs else nn.Identity()

    def forward(self, maps: Tensor) -> Tensor:
        """[N, inputs, H, W] to [N, outputs, H / stride, W / stride]."""
        activated = self.activate(maps)
        # not the convolution's own stride: below 16 channels that of a 1x1 convolution writes out of bounds on CPUs
        # (oneDNN's issue 6035)
        shortcut = (activated if self.first else maps)[:, :, :: self.stride, :: self.stride]
        outputs: Tensor = self.convolve(activated) + self.widen(shortcut)
        return outputs


def build(options: Options, shape: tuple[int, int, int], classes: int) -> Chain:
    """The network for images of `shape` (C, H, W)."""
    inputs = options.channels * options.width
    segments: list[list[nn.Module]] = [[nn.Conv2d(shape[0], inputs, 3, 1, 1, bias=False)]]
    widths, depths, layer = [], [], 1
    for stage in range(STAGES):
        outputs = options.channels * options.width * 2**stage
        for block in range((options.depth - 2) // 6):
            stride = 2 if stage and not block else 1
            segments[-1].append(PreActivationBlock(inputs, outputs, stride, first=not block))
            inputs, layer = outputs, layer + 2
            if layer in options.exits:
                widths.append(outputs)
                depths.append(layer)
                segments.append([])
    network = Chain(
        [nn.Sequential(*units) for units in segments],
        [nn.Sequential(nn.BatchNorm2d(w), nn.ReLU(inplace=True), GlobalAverage()) for w in [*widths, inputs]],
        [nn.Linear(width, classes) for width in [*widths, inputs]],
        [*depths, layer],
    )
    draw_he_normal(network)
    return network
