"""What every method offers: one optimiser step on a batch, and a label-free prediction.

A method owns the network it trains, every module of its own (mixing weights, critics) and all optimisers,
so `state_dict` of the module and of the optimisers is all there is to store. The trainer knows no method by
name.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from guidebp.models.contract import Network

MakeOptimiser = Callable[[Iterable[nn.Parameter]], Optimizer]


class Step(NamedTuple):
    """What one step reports, left on the device.

    Attributes:
        loss: scalar, the mean training loss of the batch.
        gradient: [K], per pathway the L2 norm of the loss gradient at its logits, summed over the samples.
        products: [K, K], inner products of the pathways' gradients at the parameters that pathways share, from
            methods that have them anyway.
    """

    loss: Tensor
    gradient: Tensor
    products: Tensor | None = None


class Method(nn.Module):
    """Trains a network on one loss of its parallel logits; subclasses give `loss`, or a whole `step`.

    Attributes:
        names: K labels of the pathways: the network's, unless the method adds some.
        primary: which output speaks for the network, as in `Network`.
        passes: backward passes per step, in the mean.
        compares: whether its steps report `products`.
        streams: independent batch orders a step consumes; the batch is their concatenation, stream 0 first.
        optimisers: by name; all follow the recipe's schedule unless their name is in `constant`.
        constant: names of optimisers whose learning rate the schedule leaves alone.
    """

    names: list[str]
    primary: str
    passes: float = 1
    compares: bool = False
    streams: int = 1
    constant: frozenset[str] = frozenset()

    def __init__(self, network: Network, options: Any, make_optimiser: MakeOptimiser) -> None:
        super().__init__()
        self.network = network
        self.names, self.primary = list(network.names), network.primary
        self.options = options
        self.setup(options)
        # drawn on the CPU, so that every device starts from the same weights; then beside the network
        self.to(next(network.parameters()).device)
        self.optimisers: dict[str, Optimizer] = self.make_optimisers(make_optimiser)

    def setup(self, options: Any) -> None:
        """Make the method's own modules and buffers; their weights come from the stream of their own."""

    def make_optimisers(self, make_optimiser: MakeOptimiser) -> dict[str, Optimizer]:
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
        return Step(loss.detach(), pathway_norms(logits.grad))

    def descend(self, loss: Tensor) -> None:
        """Back-propagate and step every optimiser once."""
        for optimiser in self.optimisers.values():
            optimiser.zero_grad(set_to_none=True)
        loss.backward()
        for optimiser in self.optimisers.values():
            optimiser.step()

    @property
    def pathways(self) -> int:
        """K."""
        return len(self.names)


class MergeMethod(Method, ABC):
    """Cross-entropy of one merged logit; subclasses give the merge."""

    @abstractmethod
    def merge(self, logits: Tensor, labels: Tensor) -> Tensor:
        """One logit [N, classes] for training, from logits [K, N, classes] and labels [N]."""

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy of the merged logit, mean over the batch."""
        return F.cross_entropy(self.merge(logits, labels), labels)


def pathway_norms(gradient: Tensor) -> Tensor:
    """[K, N, classes] to [K]: L2 norm over the classes, summed over the samples."""
    norms: Tensor = torch.linalg.vector_norm(
        gradient, dim=2, dtype=torch.promote_types(gradient.dtype, torch.float32)
    )
    return norms.sum(dim=1)
