"""What every architecture offers: K pathways, each with its own features, head and logits.

Two shapes cover the papers: `Parallel`, pathways side by side that share nothing, and `Chain`, a trunk
of segments with an exit after each. A method may rely on what stands here and on nothing else.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


class Network(nn.Module, ABC):
    """K pathways from images [N, C, H, W] to logits [K, N, classes].

    Attributes:
        names: K labels of the pathways, for figures and tables.
        primary: which output speaks for the network: "merge" (the method's label-free merge) or "last"
            (the last exit).
        shape: (C, H, W) of the images it was built for.
        classes: number of classes.
    """

    names: list[str]
    primary: str = "merge"
    shape: tuple[int, int, int]
    classes: int

    @property
    @abstractmethod
    def exit_heads(self) -> Sequence[nn.Module]:
        """K modules; head k maps features [N, F_k] to logits [N, classes]."""

    @abstractmethod
    def features(self, images: Tensor) -> list[Tensor]:
        """K tensors [N, F_k]: what each pathway's head reads."""

    @abstractmethod
    def stages(self) -> list[list[nn.Module]]:
        """For each pathway the modules from images to its logits, in order; shared ones appear in several."""

    def outputs(self, images: Tensor) -> list[Tensor]:
        """K logits [N, classes] of images [N, C, H, W]; apart, so that one's gradient does not visit the others."""
        return [head(f) for head, f in zip(self.exit_heads, self.features(images), strict=True)]

    def forward(self, images: Tensor) -> Tensor:
        """Logits [K, N, classes] of images [N, C, H, W]."""
        return torch.stack(self.outputs(images))

    @property
    def pathways(self) -> int:
        """K."""
        return len(self.names)


class Parallel(Network):
    """Pathways that share nothing: column k maps images to features [N, F_k], head k to logits."""

    def __init__(self, names: list[str], columns: Sequence[nn.Module], heads: Sequence[nn.Module]) -> None:
        super().__init__()
        self.names = names
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

    Segment k maps the state after segment k - 1 (the images for k = 0) to the next; the state is one map
    [N, C, H, W] or a list of maps. Exit k turns it into features [N, F_k], head k those into logits. The last
    exit is the network's own output.

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
        self.names = [f"exit {k + 1}" for k in range(len(segments))] if len(segments) > 1 else ["main"]
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
        found = []
        state: Any = images
        for segment, leave in zip(self.segments, self.exits, strict=True):
            state = segment(state)
            found.append(leave(state))
        return found

    def stages(self) -> list[list[nn.Module]]:
        """For exit k: segments 0 to k, the exit, its head."""
        segments = list(self.segments)
        return [[*segments[: k + 1], self.exits[k], self.heads[k]] for k in range(self.pathways)]

    def parts(self) -> list[nn.Module]:
        """The trunk's modules in order: where a method may cut it. Each maps one map to the next."""
        return [part for segment in self.segments for part in segment.children()]


def shared_parameters(pathways: Sequence[Sequence[nn.Module]]) -> list[nn.Parameter]:
    """The parameters that serve more than one pathway, in order, given each pathway's modules (`stages`)."""
    users: dict[nn.Parameter, int] = {}
    for modules in pathways:
        for parameter in dict.fromkeys(p for module in modules for p in module.parameters()):
            users[parameter] = users.get(parameter, 0) + 1
    return [parameter for parameter, count in users.items() if count > 1]
