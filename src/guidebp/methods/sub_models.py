"""The sub-models of local critic training, each trained alone by backpropagation.

The papers' comparison (docs/methods/local-critic.md: CIFAR-10, 74.46 alone against 85.24 inside local critic
training): groups 1 to i and critic i as a network of their own, trained on the labels by the recipe's
optimiser; the last one is the whole network. Cut, critics, their initial weights and the batches are those of
`local-critic` with the same options.
"""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from guidebp.methods import critics
from guidebp.methods.contract import MakeOptimiser, Method
from guidebp.methods.exits import exit_losses
from guidebp.models.contract import Chain


@dataclass(frozen=True)
class Options:
    """How many critics, their convolutions and channels."""

    critics: int = 3
    depth: int = 1
    channels: int = 128

    def __post_init__(self) -> None:
        """Refuse what has no meaning."""
        if self.critics < 0 or min(self.depth, self.channels) < 1:
            raise ValueError("critics must not be negative; depth and channels must be positive")

    def needs(self) -> dict[str, tuple[int, str]]:
        """Enough parts in a row."""
        return {
            "parts": (
                self.critics + 1,
                f"{self.critics} critics need a network of one exit that can be cut into {self.critics + 1} groups",
            )
        }


class SubModels(Method):
    """One private network per sub-model."""

    network: Chain

    def setup(self, options: Options) -> None:
        """Copies, equal at the start where they share parts."""
        groups = critics.cut(self.network, options.critics)
        made = critics.make_critics(self.network, groups, options.depth, options.channels)
        ends = [*made, nn.Sequential(self.network.exits[0], self.network.heads[0])]
        self.alone = nn.ModuleList(
            copy.deepcopy(nn.Sequential(*groups[: i + 1], end)) for i, end in enumerate(ends)
        )
        self.names = critics.names(options.critics)

    def make_optimisers(self, make_optimiser: MakeOptimiser) -> dict[str, Optimizer]:
        """One per sub-model."""
        return {
            name: make_optimiser(net.parameters()) for name, net in zip(self.names, self.alone, strict=True)
        }

    def stages(self) -> list[list[nn.Module]]:
        """Every sub-model."""
        return [[net] for net in self.alone]

    def outputs(self, images: Tensor) -> list[Tensor]:
        """K logits [N, classes]: every sub-model on the same images."""
        return [net(images) for net in self.alone]

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Sum over K of the batch means."""
        return torch.stack(exit_losses(logits, labels)).sum()


METHOD = SubModels
