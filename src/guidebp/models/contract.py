"""The contract of every architecture: K pathways, each with its own features, head and logits.

Two shapes cover the papers: `Parallel`, pathways side by side that share nothing, and `Chain`, a trunk
of segments with an exit after each. A method may rely on this contract and on nothing else.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

TrunkState = Tensor | list[Tensor]  # one map [N, C, H, W], or several, the coarsest last


class Network(nn.Module, ABC):
    """K pathways from images [N, C, H, W] to logits [K, N, classes].

    Attributes:
        pathway_names: K labels of the pathways, for figures and tables.
        primary: the output that speaks for the network: "merge" (the method's label-free merge) or "last"
            (the last exit).
        shape: (C, H, W) of the images it was built for.
        classes: number of classes.
    """

    pathway_names: list[str]
    primary: str = "merge"
    shape: tuple[int, int, int]
    classes: int

    @property
    @abstractmethod
    def exit_heads(self) -> Sequence[nn.Module]:
        """K modules; head k maps features [N, F_k] to logits [N, classes]."""

    @abstractmethod
    def features(self, images: Tensor) -> list[Tensor]:
        """K tensors [N, F_k]: the input of each pathway's head."""

    @abstractmethod
    def stages(self) -> list[list[nn.Module]]:
        """For each pathway the modules from images to its logits, in order; shared ones appear in several."""

    def outputs(self, images: Tensor) -> list[Tensor]:
        """K separate logits [N, classes] of images [N, C, H, W], so that a gradient visits one pathway only."""
        return [head(features) for head, features in zip(self.exit_heads, self.features(images), strict=True)]

    def forward(self, images: Tensor) -> Tensor:
        """Logits [K, N, classes] of images [N, C, H, W]."""
        return torch.stack(self.outputs(images))

    @property
    def pathways(self) -> int:
        """K, the number of pathways."""
        return len(self.pathway_names)


class Parallel(Network):
    """Pathways that share nothing: column k maps images to features [N, F_k], head k to logits."""

    def __init__(
        self, pathway_names: list[str], columns: Sequence[nn.Module], heads: Sequence[nn.Module]
    ) -> None:
        super().__init__()
        self.pathway_names = pathway_names
        self.columns = nn.ModuleList(columns)
        self.heads = nn.ModuleList(heads)

    @property
    def exit_heads(self) -> Sequence[nn.Module]:
        """The K heads."""
        return list(self.heads)

    def features(self, images: Tensor) -> list[Tensor]:
        """K tensors [N, F_k]."""
        return [column(images) for column in self.columns]

    def stages(self) -> list[list[nn.Module]]:
        """Column and head of each pathway."""
        return [[column, head] for column, head in zip(self.columns, self.heads, strict=True)]


class Chain(Network):
    """A trunk with an exit after each segment.

    Segment k maps the state after segment k - 1 (the images for k = 0) to the next (`TrunkState`). Exit k turns it
    into features [N, F_k], head k those into logits. The last exit is the network's own output.

    Attributes:
        depths: K numbers of layers with weights from the images to the state that exit k reads, along the longest
            way and without the exit itself.
    """

    primary = "last"

    def __init__(
        self,
        segments: Sequence[nn.Sequential],
        exits: Sequence[nn.Module],
        heads: Sequence[nn.Module],
        depths: Sequence[int],
    ) -> None:
        super().__init__()
        count = len(segments)
        self.pathway_names = [f"exit {k + 1}" for k in range(count)] if count > 1 else ["main"]
        self.segments = nn.ModuleList(segments)
        self.exits = nn.ModuleList(exits)
        self.heads = nn.ModuleList(heads)
        self.depths = list(depths)

    @property
    def exit_heads(self) -> Sequence[nn.Module]:
        """The K heads."""
        return list(self.heads)

    def features(self, images: Tensor) -> list[Tensor]:
        """K tensors [N, F_k]; the trunk runs once."""
        features = []
        state: TrunkState = images
        for segment, exit_ in zip(self.segments, self.exits, strict=True):
            state = segment(state)
            features.append(exit_(state))
        return features

    def stages(self) -> list[list[nn.Module]]:
        """For exit k: segments 0 to k, the exit, its head."""
        segments = list(self.segments)
        return [[*segments[: k + 1], self.exits[k], self.heads[k]] for k in range(self.pathways)]

    def units(self) -> list[nn.Module]:
        """The trunk's modules in order, between which a method may cut it. Each maps one map to the next."""
        return [unit for segment in self.segments for unit in segment.children()]


def find_shared_parameters(pathways: Sequence[Sequence[nn.Module]]) -> list[nn.Parameter]:
    """The parameters that serve more than one pathway, in order, given each pathway's modules (`stages`)."""
    counts: dict[nn.Parameter, int] = {}
    for modules in pathways:
        for parameter in dict.fromkeys(p for module in modules for p in module.parameters()):
            counts[parameter] = counts.get(parameter, 0) + 1
    return [parameter for parameter, count in counts.items() if count > 1]
