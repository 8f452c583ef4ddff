"""One loss per pathway, added: `L = sum_k CE(z[k], y)`.

Each pathway gets the gradient of its own cross-entropy, on the same batches, in one backward pass; pathways
that share no modules do not influence each other. It is the baseline of every guided reading: it shows what
guidance adds over giving each pathway its own loss.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from guidebp.methods.contract import Method


@dataclass(frozen=True)
class Options:
    """No options."""


class Independent(Method):
    """Sum over the pathways of their own cross-entropies."""

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Sum over K of the batch means."""
        return torch.stack([F.cross_entropy(z, labels) for z in logits]).sum()


METHOD = Independent
