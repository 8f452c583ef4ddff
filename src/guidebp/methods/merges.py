"""The fixed merges that GuideBP is compared with: add, average and max of the parallel logits.

The paper names adding and averaging as the usual ways (docs/methods/guidebp.md, high confidence); the other merges
it compared with are unknown, max is our addition. With logits `z[k]`::

    add      g = sum_k z[k]          hands every pathway the full gradient of the loss
    average  g = mean_k z[k]         hands every pathway 1/K of it
    max      g = max_k z[k]          per class; ties share the gradient equally

Prediction needs no labels, so it uses the same merge (add and average predict the same class).
"""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from guidebp.methods.contract import MergeMethod


@dataclass(frozen=True)
class Options:
    """The merge."""

    merge: Literal["add", "average", "max"]


class Merge(MergeMethod):
    """Cross-entropy of the summed, averaged or largest logits."""

    options: Options

    def merge(self, logits: Tensor, labels: Tensor) -> Tensor:
        """One logit [N, classes] from logits [K, N, classes]; the labels are not used."""
        if self.options.merge == "add":
            return logits.sum(dim=0)
        if self.options.merge == "average":
            return logits.mean(dim=0)
        return logits.amax(dim=0)

    def predict(self, logits: Tensor) -> Tensor:
        """The merge itself."""
        return self.merge(logits, logits)


METHOD = Merge
