"""The contract of every method: one optimiser step on a batch, and a label-free prediction.

A method owns the network it trains, every module of its own (mixing weights, critics) and all optimisers. The
`state_dict` of the module and of the optimisers is therefore all there is to store. The trainer knows no method by
name.
"""

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from guidebp.models.contract import Network
from guidebp.optimisers import OptimiserFactory


class Step(NamedTuple):
    """The report of one step; its tensors stay on the device.

    Attributes:
        loss: scalar, the mean training loss of the batch.
        gradient_norms: [K], per pathway the L2 norm of the loss gradient at its logits, summed over the samples.
        gradient_products: [K, K], inner products of the pathways' gradients at the parameters that pathways share,
            from methods that have them anyway.
    """

    loss: Tensor
    gradient_norms: Tensor
    gradient_products: Tensor | None = None


class Method(nn.Module):
    """Trains a network on one loss of its parallel logits; subclasses give `loss`, or a whole `step`.

    Attributes:
        options: the family's `Options`; subclasses declare the type.
        pathway_names: K labels of the pathways: the network's, unless the method adds some.
        primary: the output that speaks for the network, as in `Network`.
        backward_passes: backward passes per step, in the mean.
        reports_products: whether its steps report `gradient_products`.
        streams: independent batch orders that a step consumes; the batch is their concatenation, stream 0 first.
        optimisers: by name; all follow the recipe's schedule unless their name is in `constant_rates`.
        constant_rates: names of optimisers whose learning rate the schedule leaves alone.
    """

    options: object
    pathway_names: list[str]
    primary: str
    backward_passes: float = 1
    reports_products: bool = False
    streams: int = 1
    constant_rates: frozenset[str] = frozenset()

    def __init__(self, network: Network, options: object, make_optimiser: OptimiserFactory) -> None:
        super().__init__()
        self.network = network
        self.pathway_names, self.primary = list(network.pathway_names), network.primary
        self.options = options
        self.set_up()
        # drawn on the CPU, so that every device starts from the same weights; then moved to the network's device
        self.to(next(network.parameters()).device)
        self.optimisers: dict[str, Optimizer] = self.make_optimisers(make_optimiser)

    def set_up(self) -> None:
        """Add the method's own modules and buffers; their weights come from the stream of their own."""

    def make_optimisers(self, make_optimiser: OptimiserFactory) -> dict[str, Optimizer]:
        """One optimiser for the network and the method's own parameters, unless a method needs several."""
        return {"main": make_optimiser(self.parameters())}

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Scalar training loss of logits [K, N, classes] and labels [N]."""
        raise NotImplementedError  # pragma: no cover

    def outputs(self, images: Tensor) -> list[Tensor]:
        """K logits [N, classes], of every pathway alone."""
        return self.network.outputs(images)

    def logits(self, images: Tensor) -> Tensor:
        """The outputs in one tensor [K, N, classes]."""
        return torch.stack(self.outputs(images))

    def stages(self) -> list[list[nn.Module]]:
        """For each pathway the modules from images to its logits, in order, as `logits` runs them."""
        return self.network.stages()

    def sub_model(self, k: int) -> nn.Module:
        """Pathway k as a network of its own, images [N, C, H, W] to logits [N, classes]; its weights are shared."""
        return nn.Sequential(*self.stages()[k])

    def predict(self, logits: Tensor) -> Tensor:
        """The label-free merge of logits [K, N, classes] into one logit [N, classes]: the average."""
        return logits.mean(dim=0)

    def step(self, images: Tensor, labels: Tensor) -> Step:
        """One optimiser step on images [N, C, H, W] and labels [N]."""
        logits = self.logits(images)
        logits.retain_grad()
        loss = self.loss(logits, labels)
        self.descend(loss)
        assert logits.grad is not None
        return Step(loss.detach(), compute_pathway_norms(logits.grad))

    def descend(self, loss: Tensor) -> None:
        """Back-propagate and step every optimiser once."""
        for optimiser in self.optimisers.values():
            optimiser.zero_grad(set_to_none=True)
        loss.backward()
        for optimiser in self.optimisers.values():
            optimiser.step()

    @property
    def pathways(self) -> int:
        """K, the number of pathways."""
        return len(self.pathway_names)


class MergeMethod(Method, ABC):
    """Cross-entropy of one merged logit; subclasses give the merge."""

    @abstractmethod
    def merge(self, logits: Tensor, labels: Tensor) -> Tensor:
        """One logit [N, classes] for training, from logits [K, N, classes] and labels [N]."""

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy of the merged logit, mean over the batch."""
        return F.cross_entropy(self.merge(logits, labels), labels)


def compute_pathway_norms(gradient: Tensor) -> Tensor:
    """[K, N, classes] to [K]: L2 norm over the classes, summed over the samples."""
    norms: Tensor = torch.linalg.vector_norm(
        gradient, dim=2, dtype=torch.promote_types(gradient.dtype, torch.float32)
    )
    return norms.sum(dim=1)
