"""What methods for networks with several exits share: losses per exit, weights by depth, gradient equilibrium."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from guidebp.models.contract import Chain


def exit_losses(outputs: Iterable[Tensor], labels: Tensor) -> list[Tensor]:
    """Cross-entropy of each exit, means over the batch, of K logits [N, classes] and labels [N]."""
    return [F.cross_entropy(z, labels) for z in outputs]


def depth_weights(depths: Sequence[int]) -> list[float]:
    """K weights of exits by their depths L: `max(0.01, (L_k / L_last)^2)`, and 1 for the final one.

    L_last is that of the deepest auxiliary exit. Multi-way backpropagation's (Guo et al., authors' code).
    """
    auxiliary = depths[:-1]
    return [*(max(0.01, (depth / auxiliary[-1]) ** 2) for depth in auxiliary), 1.0]


def distances(outputs: Iterable[Tensor], distance: str, temperature: float) -> list[Tensor]:
    """Distance of each exit's logits [N, classes] from the detached mean of all exits' logits.

    mse: mean squared difference. kl: Kullback-Leibler divergence at the temperature T, times 0.1 T^2. Both, and the
    0.1, as in the authors' code of exit-ensemble distillation (arXiv 2104.00299), which has the cross-entropy in
    place of the divergence: the same gradient.
    """
    outputs = [z.to(torch.promote_types(z.dtype, torch.float32)) for z in outputs]
    target = torch.stack([z.detach() for z in outputs]).mean(dim=0)
    if distance == "mse":
        return [F.mse_loss(z, target) for z in outputs]
    soft = (target / temperature).log_softmax(dim=1)
    scale = 0.1 * temperature**2
    return [
        scale * F.kl_div((z / temperature).log_softmax(dim=1), soft, reduction="batchmean", log_target=True)
        for z in outputs
    ]


class _Scale(torch.autograd.Function):
    """The same values, the gradient times a factor."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient * ctx.factor, None


def scaled(state: Any, factor: float, maps: str) -> Any:
    """The state of a trunk (a map, or a list of maps, coarsest last) whose gradient is multiplied on its way back.

    `maps` says which of several: "coarsest" or "all".
    """
    if isinstance(state, Tensor):
        return _Scale.apply(state, factor)
    first = len(state) - 1 if maps == "coarsest" else 0
    return [*state[:first], *(_Scale.apply(map_, factor) for map_ in state[first:])]


def equilibrium_outputs(network: Chain, images: Tensor, maps: str) -> list[Tensor]:
    """K logits [N, classes] through which gradients reach the trunk as means of all later exits', not as sums.

    Li et al., "Improved techniques for training adaptive deep networks" (2019): before exit i (from 0) of n the
    gradient is multiplied by 1 / (n - i), between it and the next segment by n - i - 1.
    """
    found = []
    state: Any = images
    count = network.pathways
    for i, (segment, leave, head) in enumerate(
        zip(network.segments, network.exits, network.heads, strict=True)
    ):
        state = scaled(segment(state), 1 / (count - i), maps)
        found.append(head(leave(state)))
        state = scaled(state, count - i - 1, maps)
    return found
