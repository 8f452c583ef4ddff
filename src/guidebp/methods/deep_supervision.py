"""One weighted sum of all exits' losses, `L = sum_k w[k] CE(z[k], y)`, back-propagated at once.

Deeply-supervised nets (Lee et al. 2015) and MSDNet (equal weights: Huang et al. 2018, and the "sum of losses"
row in docs/methods/deconfliction.md). With `weights: depth` it is the joint counterpart of `multiway`, with the
same weights.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from guidebp.methods.contract import Method
from guidebp.methods.exits import compute_depth_weights, compute_exit_losses
from guidebp.models.contract import Chain
from guidebp.requirements import Requirement


@dataclass(frozen=True)
class Options:
    """Weights of the exits: all 1, or by depth as in multi-way backpropagation."""

    weights: Literal["equal", "depth"] = "equal"

    def requirement(self) -> Requirement:
        """Exits of one trunk."""
        return Requirement(
            exits=1,
            reason="it sums the losses of exits along one trunk; for pathways apart take 'independent'",
        )


class DeepSupervision(Method):
    """Weighted sum of the exits' cross-entropies."""

    network: Chain
    options: Options
    weights: Tensor

    def set_up(self) -> None:
        """Add the weights of the exits [K]."""
        depths = self.network.depths
        weights = compute_depth_weights(depths) if self.options.weights == "depth" else [1.0] * len(depths)
        self.register_buffer("weights", torch.tensor(weights, dtype=torch.float64), persistent=False)

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Weighted sum over K of the batch means."""
        losses = torch.stack(compute_exit_losses(logits, labels))
        return (self.weights.to(losses) * losses).sum()


METHOD = DeepSupervision
