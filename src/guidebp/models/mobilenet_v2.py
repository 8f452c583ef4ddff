"""MobileNetV2 with exits after given stages, for small and for large images.

Sandler et al., "MobileNetV2: inverted residuals and linear bottlenecks" (2018): seven stages of inverted
residual blocks, a 1x1 convolution to 1280 channels, global average pooling, one linear layer. Like
torchvision's (an oracle of the tests: same parameters, same outputs) but without dropout, whose masks would
differ between the methods that are compared. `small_images` leaves out the first two halvings (the first
convolution and the second stage), as is usual for 32x32 pixels. Multi-way backpropagation names MobileNet
without saying where its outputs stand (docs/methods/multiway.md): the exits, a 1x1 convolution to `head` channels,
batch normalisation, ReLU6, global average pooling and a linear layer, are our reading.
"""

from dataclasses import dataclass, field

from torch import Tensor, nn

from guidebp.models.contract import Chain
from guidebp.models.layers import GlobalAverage, draw_he_normal
from guidebp.requirements import Offer

# expansion, channels, blocks, stride of the first block: table 2 of the paper
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
FIRST_CHANNELS, LAST_CHANNELS = 32, 1280


@dataclass(frozen=True)
class Options:
    """Stages (1 to 6) after which an auxiliary exit leaves, factor of the widths, channels of an exit."""

    exits: list[int] = field(default_factory=list)
    width: float = 1.0
    head: int = 256
    small_images: bool = True

    def __post_init__(self) -> None:
        """Raise ValueError for a network that cannot be built."""
        if self.exits != sorted(set(self.exits)) or any(not 1 <= stage <= 6 for stage in self.exits):
            raise ValueError("exits must be ascending stages from 1 to 6")
        if not self.width > 0 or self.head < 1:
            raise ValueError("width and head must be positive")

    def offer(self) -> Offer:
        """Exits of one trunk; without auxiliary ones the blocks can be cut apart."""
        blocks = sum(stage[2] for stage in STAGES)
        return Offer(exits=len(self.exits) + 1, units=0 if self.exits else blocks + 2)

    def smallest_image(self) -> int:
        """Pixels: three or five halvings of the map, rounded up."""
        return 8 if self.small_images else 32


def _make_conv_bn(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    """Convolution and batch normalisation."""
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [convolution, nn.BatchNorm2d(outputs)]


class InvertedResidual(nn.Module):
    """Widen by a 1x1 convolution, filter each channel by a 3x3 one, narrow by a linear 1x1 one."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        widen = [*_make_conv_bn(inputs, hidden, 1), nn.ReLU6(inplace=True)] if expansion > 1 else []
        self.layers = nn.Sequential(
            *widen,
            *_make_conv_bn(hidden, hidden, 3, stride, groups=hidden),
            nn.ReLU6(inplace=True),
            *_make_conv_bn(hidden, outputs, 1),
        )
        self.adds = stride == 1 and inputs == outputs

    def forward(self, maps: Tensor) -> Tensor:
        """[N, inputs, H, W] to [N, outputs, H / stride, W / stride], rounded up."""
        residual: Tensor = self.layers(maps)
        return maps + residual if self.adds else residual


def _round_channels(channels: float) -> int:
    """The nearest multiple of 8, at least 8, never below 90 % of `channels`."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * channels else nearest


def build(options: Options, shape: tuple[int, int, int], classes: int) -> Chain:
    """The network for images of `shape` (C, H, W)."""
    inputs, depth = _round_channels(FIRST_CHANNELS * options.width), 1
    first = _make_conv_bn(shape[0], inputs, 3, 1 if options.small_images else 2)
    segments: list[list[nn.Module]] = [[nn.Sequential(*first, nn.ReLU6(inplace=True))]]
    exits: list[nn.Module] = []
    heads: list[nn.Module] = []
    depths: list[int] = []
    for stage, (expansion, channels, blocks, first_stride) in enumerate(STAGES, start=1):
        outputs = _round_channels(channels * options.width)
        for block in range(blocks):
            stride = first_stride if not block and not (options.small_images and stage == 2) else 1
            segments[-1].append(InvertedResidual(inputs, outputs, stride, expansion))
            inputs, depth = outputs, depth + (3 if expansion > 1 else 2)
        if stage in options.exits:
            segments.append([])
            exits.append(
                nn.Sequential(
                    *_make_conv_bn(inputs, options.head, 1), nn.ReLU6(inplace=True), GlobalAverage()
                )
            )
            heads.append(nn.Linear(options.head, classes))
            depths.append(depth)
    last_channels = _round_channels(LAST_CHANNELS * max(1.0, options.width))
    segments[-1].append(nn.Sequential(*_make_conv_bn(inputs, last_channels, 1), nn.ReLU6(inplace=True)))
    exits.append(GlobalAverage())
    heads.append(nn.Linear(last_channels, classes))
    network = Chain([nn.Sequential(*units) for units in segments], exits, heads, [*depths, depth + 1])
    draw_he_normal(network)
    for head in network.heads:
        nn.init.normal_(next(head.parameters()), 0.0, 0.01)
    return network
