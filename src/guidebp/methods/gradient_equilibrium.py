"""Gradient equilibrium: all exits' losses summed, their gradients averaged in the trunk instead of added.

Li, Zhang, Qi, Yang and Huang, "Improved techniques for training adaptive deep networks" (2019). Before exit i
(from 0) of n the gradient is multiplied by `1 / (n - i)`, between that exit and the next segment by `n - i -
1`; values stay as they are. Of the several maps that a trunk may pass on (MSDNet), only the coarsest is scaled,
as in the authors' code; `maps: all` is the other reading.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from guidebp.methods.contract import Method
from guidebp.methods.exits import compute_equilibrium_outputs, compute_exit_losses
from guidebp.models.contract import Chain
from guidebp.requirements import Requirement


@dataclass(frozen=True)
class Options:
    """Which of several maps of a trunk are scaled."""

    maps: Literal["coarsest", "all"] = "coarsest"

    def requirement(self) -> Requirement:
        """Exits of one trunk."""
        return Requirement(
            exits=1, reason="it balances gradients within one trunk, which pathways apart do not have"
        )


class GradientEquilibrium(Method):
    """Sum of the exits' cross-entropies, gradients rescaled on their way through the trunk."""

    network: Chain
    options: Options

    def outputs(self, images: Tensor) -> list[Tensor]:
        """K logits [N, classes]."""
        return compute_equilibrium_outputs(self.network, images, self.options.maps)

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Sum over K of the batch means."""
        return torch.stack(compute_exit_losses(logits, labels)).sum()


METHOD = GradientEquilibrium
