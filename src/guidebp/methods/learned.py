"""A merge with trained weights: `g = sum_k v[k] z[k]`, one weight per pathway or per pathway and class.

A usual alternative to adding and averaging; the GuideBP paper does not say whether it compared with one.
The weights start at 1/K, so training starts as `average`, and are trained with the network by the same
optimiser.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from guidebp.methods.contract import MergeMethod


@dataclass(frozen=True)
class Options:
    """One weight per pathway, or per pathway and class."""

    per: Literal["pathway", "class"] = "class"


class Learned(MergeMethod):
    """Cross-entropy of a trained weighted sum of the logits."""

    options: Options

    def set_up(self) -> None:
        """Add weights [K, classes] or [K, 1], all 1/K."""
        pathways = self.network.pathways
        columns = self.network.classes if self.options.per == "class" else 1
        self.weights = nn.Parameter(torch.full((pathways, columns), 1.0 / pathways))

    def merge(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The weighted sum [N, classes]; the labels are not used."""
        return self.predict(logits)

    def predict(self, logits: Tensor) -> Tensor:
        """The weighted sum [N, classes] of logits [K, N, classes]."""
        return (logits * self.weights.unsqueeze(1)).sum(dim=0)


METHOD = Learned
