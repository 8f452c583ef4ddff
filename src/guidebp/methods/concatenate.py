"""Features of all pathways concatenated, then one linear layer: `g = W [f_1; ...; f_K] + b`.

The feature-level alternative to merging logits. Written out, `g = sum_k W_k f_k + b`, so it is the add merge
up to its initial weights (drawn for the longer input, hence smaller) and its single bias. A pathway's own logits
are its share of that sum, `W_k f_k + b / K`; the heads of the network are not used. A pathway alone is never
trained to classify, so its accuracy is low.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from guidebp.methods.contract import MergeMethod
from guidebp.optimisers import OptimiserFactory


@dataclass(frozen=True)
class Options:
    """No options: the layer's size follows from the network."""


class Concatenate(MergeMethod):
    """Cross-entropy of one linear layer on the concatenated features."""

    def set_up(self) -> None:
        """Add one linear layer over all features; heads end in a linear layer, which has their input width."""
        shapes = [list(head.parameters())[-2].shape for head in self.network.exit_heads]
        self.widths = [shape[1] for shape in shapes]
        self.layer = nn.Linear(sum(self.widths), shapes[0][0])

    def make_optimisers(self, make_optimiser: OptimiserFactory) -> dict[str, torch.optim.Optimizer]:
        """One for all but the network's unused heads, which weight decay would shrink for nothing."""
        unused = {id(p) for head in self.network.exit_heads for p in head.parameters()}
        return {"main": make_optimiser([p for p in self.parameters() if id(p) not in unused])}

    def outputs(self, images: Tensor) -> list[Tensor]:
        """Each pathway's share [N, classes] of the linear layer's output."""
        return [self.compute_share(k, features) for k, features in enumerate(self.network.features(images))]

    def compute_share(self, k: int, features: Tensor) -> Tensor:
        """Pathway k's share [N, classes] of the output, bias included, from its features [N, F_k]."""
        weight = self.layer.weight.split(self.widths, dim=1)[k]
        share: Tensor = features @ weight.T + self.layer.bias / len(self.widths)
        return share

    def sub_model(self, k: int) -> nn.Module:
        """Pathway k with its share in place of the network's own head, which has the same shape and cost."""
        return nn.Sequential(*self.network.stages()[k][:-1], _Share(self, k))

    def merge(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The linear layer's output [N, classes]: the sum of the shares."""
        return logits.sum(dim=0)

    def predict(self, logits: Tensor) -> Tensor:
        """The linear layer's output [N, classes]."""
        return logits.sum(dim=0)


class _Share(nn.Module):
    """One pathway's share of the linear layer."""

    def __init__(self, method: Concatenate, k: int) -> None:
        super().__init__()
        self.owners, self.k = (
            [method],
            k,
        )  # in a list, so that the method does not become a submodule of its share

    def forward(self, features: Tensor) -> Tensor:
        """[N, F_k] to [N, classes]."""
        return self.owners[0].compute_share(self.k, features)


METHOD = Concatenate
