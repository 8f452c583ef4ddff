"""Each pathway trained on its own: own loss, own optimiser, own batch order.

What "training instances separately" means in the paper's second claim. Pathway 0 sees the batches every
other method sees, pathway k > 0 those of batch order k. Pathways that share parts (a trunk) get private copies
of them, equal at the start. Per pathway this is plain training of a plain network.
"""

import copy
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from guidebp.methods.contract import MakeOptimiser, Method, Step, pathway_norms
from guidebp.models.contract import shared_parameters


@dataclass(frozen=True)
class Options:
    """None."""


class Separate(Method):
    """K networks of one pathway each."""

    def setup(self, options: Options) -> None:
        """One plain network per pathway; shared parts are copied, so the given network is left as it was."""
        self.streams = self.network.pathways
        pathways = self.network.stages()
        shared = shared_parameters(pathways)
        self.alone = nn.ModuleList(
            nn.Sequential(*(copy.deepcopy(stages) if shared else stages)) for stages in pathways
        )

    def make_optimisers(self, make_optimiser: MakeOptimiser) -> dict[str, Optimizer]:
        """One per pathway."""
        return {f"pathway {k}": make_optimiser(net.parameters()) for k, net in enumerate(self.alone)}

    def stages(self) -> list[list[nn.Module]]:
        """Every network."""
        return [[net] for net in self.alone]

    def outputs(self, images: Tensor) -> list[Tensor]:
        """K logits [N, classes]: every network on the same images."""
        return [net(images) for net in self.alone]

    def step(self, images: Tensor, labels: Tensor) -> Step:
        """One step of every network, each on its own part of the batch [K * N, C, H, W]."""
        logits = torch.stack(
            [net(part) for net, part in zip(self.alone, images.chunk(self.streams), strict=True)]
        )
        logits.retain_grad()
        parts = zip(logits, labels.chunk(self.streams), strict=True)
        loss = torch.stack([F.cross_entropy(z, y) for z, y in parts]).sum()
        self.descend(loss)
        assert logits.grad is not None
        return Step(loss.detach(), pathway_norms(logits.grad))


METHOD = Separate
