"""Each pathway trained on its own: own loss, own optimiser, own batch order.

The paper's second claim calls this "training instances separately". Pathway 0 sees the batches every
other method sees, pathway k > 0 those of batch order k. Pathways that share modules (a trunk) get private copies
of them, equal at the start. Per pathway this is plain training of a plain network.
"""

import copy
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from guidebp.methods.contract import Method, Step, compute_pathway_norms
from guidebp.models.contract import find_shared_parameters
from guidebp.optimisers import OptimiserFactory


@dataclass(frozen=True)
class Options:
    """No options."""


class Separate(Method):
    """K networks of one pathway each."""

    def set_up(self) -> None:
        """Make one plain network per pathway; shared modules are copied, so the given network stays unchanged."""
        self.streams = self.network.pathways
        pathways = self.network.stages()
        shared = find_shared_parameters(pathways)
        self.alone = nn.ModuleList(
            nn.Sequential(*(copy.deepcopy(stages) if shared else stages)) for stages in pathways
        )

    def make_optimisers(self, make_optimiser: OptimiserFactory) -> dict[str, Optimizer]:
        """One per pathway."""
        return {f"pathway {k}": make_optimiser(net.parameters()) for k, net in enumerate(self.alone)}

    def stages(self) -> list[list[nn.Module]]:
        """For each pathway its network."""
        return [[net] for net in self.alone]

    def outputs(self, images: Tensor) -> list[Tensor]:
        """K logits [N, classes]: every network on the same images."""
        return [net(images) for net in self.alone]

    def step(self, images: Tensor, labels: Tensor) -> Step:
        """One step of every network, each on its own N images of the batch [K * N, C, H, W]."""
        logits = torch.stack(
            [net(own_images) for net, own_images in zip(self.alone, images.chunk(self.streams), strict=True)]
        )
        logits.retain_grad()
        pairs = zip(logits, labels.chunk(self.streams), strict=True)
        loss = torch.stack([F.cross_entropy(z, y) for z, y in pairs]).sum()
        self.descend(loss)
        assert logits.grad is not None
        return Step(loss.detach(), compute_pathway_norms(logits.grad))


METHOD = Separate
