"""Exit-ensemble distillation: every exit learns the labels and the mean of all exits.

Lee and Lee, "Students are the best teacher" (arXiv 2104.00299), the distillation of outputs: `L = sum_k
CE(z[k], y) + weight * distance(z[k], mean_j z[j])`, the mean detached. The authors' code has the mean squared
error (its default) or the Kullback-Leibler divergence at temperature 3, times 0.1 * 3^2. Their further loss on
feature maps is left out: it needs maps of one shape at every exit.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from guidebp.methods.contract import Method
from guidebp.methods.exits import compute_ensemble_distances, compute_exit_losses


@dataclass(frozen=True)
class Options:
    """The distance, a factor on the authors' own weight of it, the temperature of `kl`."""

    distance: Literal["mse", "kl"] = "mse"
    weight: float = 1.0
    temperature: float = 3.0

    def __post_init__(self) -> None:
        """Raise ValueError for values without a meaning."""
        if self.weight < 0 or not self.temperature > 0:
            raise ValueError("weight must not be negative, temperature must be positive")
        if self.distance == "mse" and self.temperature != 3.0:
            raise ValueError("temperature belongs to the distance 'kl'")


class ExitDistillation(Method):
    """Cross-entropies plus distances from the mean of the logits."""

    options: Options

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Sum over K of the batch means."""
        distances = compute_ensemble_distances(logits, self.options.distance, self.options.temperature)
        losses = torch.stack(compute_exit_losses(logits, labels))
        total: Tensor = (losses + self.options.weight * torch.stack(distances)).sum()
        return total


METHOD = ExitDistillation
