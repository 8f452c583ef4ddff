"""Plain training of a network with exits: the cross-entropy of the last output, `L = CE(z[K], y)`.

What the papers on auxiliary outputs and local critics compare with. Auxiliary exits of the network stay as they
were drawn: no optimiser has them, and their accuracy says nothing.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from guidebp.methods.contract import MakeOptimiser, Method


@dataclass(frozen=True)
class Options:
    """None."""

    def needs(self) -> dict[str, tuple[int, str]]:
        """A last output."""
        return {
            "trunk": (1, "its last pathway has to be the output of the whole network, not one of several")
        }


class Backprop(Method):
    """Cross-entropy of the last exit."""

    def make_optimisers(self, make_optimiser: MakeOptimiser) -> dict[str, torch.optim.Optimizer]:
        """Over the last exit's own way."""
        used = [parameter for module in self.stages()[-1] for parameter in module.parameters()]
        return {"main": make_optimiser(used)}

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Mean over the batch."""
        return F.cross_entropy(logits[-1], labels)


METHOD = Backprop
