"""Features of all pathways concatenated, then one linear layer: `g = W [f_1; ...; f_K] + b`.

The feature-level alternative to merging logits. Written out, `g = sum_k W_k f_k + b`, so it is the add merge
up to its initial weights (drawn for the longer input, hence smaller) and its single bias. A pathway's own logits
are its share of that sum, `W_k f_k + b / K`; the heads of the network are not used. Without its own head
a pathway alone was never trained to classify, and its accuracy shows just that.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from guidebp.methods.contract import MakeOptimiser, MergeMethod


@dataclass(frozen=True)
class Options:
    """None: the layer's size follows from the network."""


class Concatenate(MergeMethod):
    """Cross-entropy of one linear layer on the concatenated features."""

    def setup(self, options: Options) -> None:
        """One linear layer over all features; heads end in a linear layer, which says their input width."""
        shapes = [list(head.parameters())[-2].shape for head in self.network.exit_heads]
        self.widths = [shape[1] for shape in shapes]
        self.layer = nn.Linear(sum(self.widths), shapes[0][0])

    def make_optimisers(self, make_optimiser: MakeOptimiser) -> dict[str, torch.optim.Optimizer]:
        """The network's unused heads are left out: weight decay would shrink them for nothing."""
        unused = {id(p) for head in self.network.exit_heads for p in head.parameters()}
        return {"main": make_optimiser([p for p in self.parameters() if id(p) not in unused])}

    def outputs(self, images: Tensor) -> list[Tensor]:
        """Each pathway's share [N, classes] of the linear layer's output."""
        return [self.share(k, f) for k, f in enumerate(self.network.features(images))]

    def share(self, k: int, features: Tensor) -> Tensor:
        """Pathway k's share of features [N, F_k], with an equal share of the bias."""
        weight = self.layer.weight.split(self.widths, dim=1)[k]
        found: Tensor = features @ weight.T + self.layer.bias / len(self.widths)
        return found

    def sub_model(self, k: int) -> nn.Module:
        """The share takes the place of the network's own head, which has its shape (and so its cost)."""
        return nn.Sequential(*self.network.stages()[k][:-1], Share(self, k))

    def merge(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The linear layer's output [N, classes]: the sum of the shares."""
        return logits.sum(dim=0)

    def predict(self, logits: Tensor) -> Tensor:
        """The linear layer's output [N, classes]."""
        return logits.sum(dim=0)


class Share(nn.Module):
    """One pathway's part of the linear layer."""

    def __init__(self, method: Concatenate, k: int) -> None:
        super().__init__()
        self.of, self.k = [method], k  # in a list: the method is not a part of its share

    def forward(self, features: Tensor) -> Tensor:
        """[N, F_k] to [N, classes]."""
        return self.of[0].share(self.k, features)


METHOD = Concatenate
