"""GuideBP: one guided logit that steers the gradient through the weakest pathways, class by class.

Mandal, Ghosh, Gonçalves, Quaresma, Nasipuri, Das, "GuideBP", arXiv 2104.11620 (2021). The idea is known (a
weakness score per pathway *and class*, used to build one logit), the formula is not: each variant here
is a reading of ours (docs/methods/guidebp.md), and no reading is certain. With logits `z[k]`, one-hot labels `t`,
`p[k] = softmax(z[k])`, the weakness `w[k, n, c]` (no gradient flows through it) is one of::

    error      |t - p[k]|                                      how wrong the pathway is about the class
    recall     1 - running recall of pathway k on class c      the same for all samples
    pathway    1 - p[k][y]                                     one value per pathway and sample
    logit      -z[k] for the true class, z[k] for the others   hard selection only

and the guided logit, whose cross-entropy is the loss, one of::

    soft, scale sum    g = sum_k a[k] z[k],  a = K w / sum_k w    weights sum to K: counterpart of add
    soft, scale mean   the same with a = w / sum_k w              weights sum to 1: counterpart of average
    hard               g = z of the weakest pathway, per class

With `guide: gradient` the value is that of `add` and only the gradient into each pathway is scaled by `a`.

Named readings: `guidebp` (primary: error, soft, sum), `guidebp-average` (error, soft, mean), `guidebp-gradient`
(error, soft, sum, gradient), `guidebp-hard` (error, hard), `guidebp-margin` (logit, hard), `guidebp-class`
(recall, soft, sum), `guidebp-pathway` (pathway, hard).

Ties, which identical initial weights produce, are shared: hard selection averages the tied pathways, and
where no pathway shows any weakness all weigh the same. Prediction has no labels and averages the logits.
"""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from guidebp.methods.contract import MergeMethod


@dataclass(frozen=True)
class Options:
    """One reading: a score, a selection, a scale, what is guided; `memory` is the running recall's decay."""

    score: Literal["error", "recall", "pathway", "logit"] = "error"
    selection: Literal["soft", "hard"] = "soft"
    scale: Literal["sum", "mean"] = "sum"
    guide: Literal["logit", "gradient"] = "logit"
    memory: float = 0.9

    def __post_init__(self) -> None:
        """Raise ValueError for combinations without a meaning."""
        if self.score == "logit" and self.selection == "soft":
            raise ValueError("the score 'logit' can be negative: it selects hard, set selection: hard")
        if self.selection == "hard" and self.scale == "mean":
            raise ValueError("scale belongs to soft selection: a hard one has weights that sum to 1")
        if self.score != "recall" and self.memory != 0.9:
            raise ValueError("memory belongs to the score 'recall'")
        if not 0.0 <= self.memory < 1.0:
            raise ValueError("memory must lie in [0, 1)")


class GuideBP(MergeMethod):
    """Cross-entropy of the guided logit."""

    options: Options
    recall: Tensor

    def set_up(self) -> None:
        """Add the running recall [K, classes], zero at the start: every pathway equally weak."""
        if self.options.score == "recall":
            self.register_buffer("recall", torch.zeros(self.network.pathways, self.network.classes))

    def merge(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The guided logit [N, classes] of logits [K, N, classes] and labels [N]."""
        truth = F.one_hot(labels, logits.shape[2]).bool()
        with torch.no_grad():
            weights = compute_pathway_weights(self._compute_weakness(logits, truth), self.options.selection)
            if self.options.selection == "soft" and self.options.scale == "sum":
                weights = weights * len(logits)
        guided = (weights * logits).sum(dim=0)
        if self.options.guide == "gradient":
            # the value of add with the guided gradient: the bracket is exactly zero
            return logits.sum(dim=0).detach() + (guided - guided.detach())
        return guided

    def _compute_weakness(self, logits: Tensor, truth: Tensor) -> Tensor:
        """`w`, broadcastable to [K, N, classes], of logits and bool one-hot labels [N, classes]."""
        if self.options.score == "logit":
            return torch.where(truth, -logits, logits)
        if self.options.score == "recall":
            self._update_recall(logits, truth)
            return (1 - self.recall).unsqueeze(1)
        error = compute_class_error(logits, truth)
        if self.options.score == "pathway":
            return (error * truth).sum(dim=2, keepdim=True)
        return error

    def _update_recall(self, logits: Tensor, truth: Tensor) -> None:
        """Move the running recall of the classes present in the batch towards the batch's recall."""
        hits = F.one_hot(logits.argmax(dim=2), logits.shape[2]) * truth
        class_counts = truth.sum(dim=0)
        batch_recall = hits.sum(dim=1) / class_counts.clamp(min=1)
        average = torch.lerp(batch_recall.to(self.recall), self.recall, self.options.memory)
        self.recall.copy_(torch.where(class_counts > 0, average, self.recall))


def compute_class_error(logits: Tensor, truth: Tensor) -> Tensor:
    """`|t - softmax(z)|`, [K, N, classes]; `-expm1` keeps 1 - p exact where p rounds to 1."""
    log_probabilities = logits.log_softmax(dim=2)
    return torch.where(truth, -torch.expm1(log_probabilities), log_probabilities.exp())


def compute_pathway_weights(weakness: Tensor, selection: str) -> Tensor:
    """Weights [K, N, classes] over the pathways that sum to 1, from the weakness [K, N, classes]."""
    if selection == "hard":
        weakness = (weakness == weakness.amax(dim=0)).to(weakness.dtype)
    total = weakness.sum(dim=0)
    return torch.where(total > 0, weakness / total, 1.0 / len(weakness))


METHOD = GuideBP
