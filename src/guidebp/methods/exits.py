"""Shared parts of methods for networks with several exits: exit losses, weights by depth, gradient equilibrium."""

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import FunctionCtx

from guidebp.models.contract import Chain, TrunkState


def compute_exit_losses(outputs: Iterable[Tensor], labels: Tensor) -> list[Tensor]:
    """Cross-entropy of each exit, means over the batch, of K logits [N, classes] and labels [N]."""
    return [F.cross_entropy(z, labels) for z in outputs]


def compute_depth_weights(depths: Sequence[int]) -> list[float]:
    """K weights of exits by their depths L: `max(0.01, (L_k / L_last)^2)`, and 1 for the final one.

    L_last is that of the deepest auxiliary exit. From multi-way backpropagation (Guo et al., authors' code).
    """
    auxiliary = depths[:-1]
    return [*(max(0.01, (depth / auxiliary[-1]) ** 2) for depth in auxiliary), 1.0]


def compute_ensemble_distances(outputs: Iterable[Tensor], distance: str, temperature: float) -> list[Tensor]:
    """Distance of each exit's logits [N, classes] from the detached mean of all exits' logits, K scalars.

    mse: mean squared difference. kl: Kullback-Leibler divergence at the temperature T, times 0.1 T^2. Both, and the
    0.1, as in the authors' code of exit-ensemble distillation (arXiv 2104.00299), which has the cross-entropy in
    place of the divergence: the same gradient.
    """
    outputs = [z.to(torch.promote_types(z.dtype, torch.float32)) for z in outputs]
    mean = torch.stack([z.detach() for z in outputs]).mean(dim=0)
    if distance == "mse":
        return [F.mse_loss(z, mean) for z in outputs]
    target = (mean / temperature).log_softmax(dim=1)
    scale = 0.1 * temperature**2
    return [
        scale * F.kl_div((z / temperature).log_softmax(dim=1), target, reduction="batchmean", log_target=True)
        for z in outputs
    ]


class _GradientScaleContext(FunctionCtx):
    """The autograd context with the factor of the backward pass."""

    factor: float


class _GradientScale(torch.autograd.Function):
    """The same values, the gradient times a factor."""

    @staticmethod
    def forward(ctx: _GradientScaleContext, values: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return values.view_as(values)

    @staticmethod
    def backward(ctx: _GradientScaleContext, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient * ctx.factor, None


def _scale_gradient(state: TrunkState, factor: float, maps: str) -> TrunkState:
    """The state of a trunk whose gradient is multiplied by `factor` in the backward pass.

    `maps` chooses among several maps: "coarsest" (the last) or "all".
    """
    if isinstance(state, Tensor):
        scaled: Tensor = _GradientScale.apply(state, factor)
        return scaled
    first = len(state) - 1 if maps == "coarsest" else 0
    return [*state[:first], *(_GradientScale.apply(feature_map, factor) for feature_map in state[first:])]


def compute_equilibrium_outputs(network: Chain, images: Tensor, maps: str) -> list[Tensor]:
    """K logits [N, classes] through which gradients reach the trunk as means of all later exits', not as sums.

    Li et al., "Improved techniques for training adaptive deep networks" (2019): before exit i (from 0) of n the
    gradient is multiplied by 1 / (n - i), between it and the next segment by n - i - 1.
    """
    outputs = []
    state: TrunkState = images
    count = network.pathways
    for i, (segment, exit_, head) in enumerate(
        zip(network.segments, network.exits, network.heads, strict=True)
    ):
        state = _scale_gradient(segment(state), 1 / (count - i), maps)
        outputs.append(head(exit_(state)))
        state = _scale_gradient(state, count - i - 1, maps)
    return outputs
