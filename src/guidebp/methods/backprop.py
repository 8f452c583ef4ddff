"""Plain training of a network with exits: the cross-entropy of the last output, `L = CE(z[K], y)`.

The baseline of the papers on auxiliary outputs and local critics. Auxiliary exits of the network keep their initial
weights: no optimiser has them, and their accuracy says nothing.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from guidebp.methods.contract import Method
from guidebp.optimisers import OptimiserFactory
from guidebp.requirements import Requirement


@dataclass(frozen=True)
class Options:
    """No options."""

    def requirement(self) -> Requirement:
        """A last output."""
        return Requirement(
            exits=1, reason="its last pathway has to be the output of the whole network, not one of several"
        )


class Backprop(Method):
    """Cross-entropy of the last exit."""

    def make_optimisers(self, make_optimiser: OptimiserFactory) -> dict[str, torch.optim.Optimizer]:
        """One over the modules from the images to the last exit's logits."""
        parameters = [parameter for module in self.stages()[-1] for parameter in module.parameters()]
        return {"main": make_optimiser(parameters)}

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Mean over the batch."""
        return F.cross_entropy(logits[-1], labels)


METHOD = Backprop
