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

from guidebp.methods.contract import Method
from guidebp.methods.critics import build_critics, cut_trunk, name_critic_pathways
from guidebp.methods.exits import compute_exit_losses
from guidebp.models.contract import Chain
from guidebp.optimisers import OptimiserFactory
from guidebp.requirements import Requirement


@dataclass(frozen=True)
class Options:
    """The number of critics, and their convolutions and channels."""

    critics: int = 3
    depth: int = 1
    channels: int = 128

    def __post_init__(self) -> None:
        """Raise ValueError for values without a meaning."""
        if self.critics < 0 or min(self.depth, self.channels) < 1:
            raise ValueError("critics must not be negative; depth and channels must be positive")

    def requirement(self) -> Requirement:
        """Enough units in a row."""
        groups = self.critics + 1
        return Requirement(
            units=groups,
            reason=f"{self.critics} critics need a network of one exit that can be cut into {groups} groups",
        )


class SubModels(Method):
    """One private network per sub-model."""

    network: Chain
    options: Options

    def set_up(self) -> None:
        """Make private copies, equal at the start where sub-models share modules."""
        options = self.options
        groups = cut_trunk(self.network, options.critics)
        critics = build_critics(self.network, groups, options.depth, options.channels)
        ends = [*critics, nn.Sequential(self.network.exits[0], self.network.heads[0])]
        self.alone = nn.ModuleList(
            copy.deepcopy(nn.Sequential(*groups[: i + 1], end)) for i, end in enumerate(ends)
        )
        self.pathway_names = name_critic_pathways(options.critics)

    def make_optimisers(self, make_optimiser: OptimiserFactory) -> dict[str, Optimizer]:
        """One per sub-model."""
        return {
            name: make_optimiser(net.parameters())
            for name, net in zip(self.pathway_names, self.alone, strict=True)
        }

    def stages(self) -> list[list[nn.Module]]:
        """For each pathway its sub-model."""
        return [[net] for net in self.alone]

    def outputs(self, images: Tensor) -> list[Tensor]:
        """K logits [N, classes]: every sub-model on the same images."""
        return [net(images) for net in self.alone]

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Sum over K of the batch means."""
        return torch.stack(compute_exit_losses(logits, labels)).sum()


METHOD = SubModels
