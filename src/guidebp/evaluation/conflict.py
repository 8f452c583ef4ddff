"""Conflicts between the gradients of the pathways' own losses: inner products over their shared parameters."""

import torch
from torch import Tensor

from guidebp.methods.contract import Method
from guidebp.methods.exits import compute_exit_losses
from guidebp.methods.gradients import PathwayGradients, force_full_precision
from guidebp.models.contract import find_shared_parameters


def probe_conflict(method: Method, images: Tensor, labels: Tensor) -> Tensor | None:
    """Return the [K, K] inner products of the gradients of the pathways' cross-entropies on one batch.

    The losses are cross-entropies whatever loss the method trains by. Return None if no parameter has gradients
    from two pathways. The method is not changed: no step is taken, and running statistics are restored.
    """
    stages = method.stages()
    shared = find_shared_parameters(stages)
    if not shared:
        return None
    kept = {name: buffer.clone() for name, buffer in method.named_buffers()}
    outputs = method.outputs(images)
    gradients = PathwayGradients(stages, shared, "network")
    gradients.fill(compute_exit_losses(outputs, labels), outputs)
    for name, buffer in method.named_buffers():
        buffer.copy_(kept[name])
    if max(gradients.reach_counts) < 2:  # local critics: shared parts, separate gradients
        return None
    with force_full_precision(images.device):
        return gradients.shared_products


def compute_cosines(products: Tensor) -> Tensor:
    """Return the [K, K] cosines of the angles between the gradients; 0 where one of them is zero."""
    lengths = products.diagonal().clamp(min=0).sqrt()
    scale = lengths.outer(lengths)
    return torch.where(scale > 0, products / scale.where(scale > 0, 1.0), 0.0)


def has_conflict(products: Tensor) -> Tensor:
    """Return a scalar bool tensor: True if any two gradients have a negative inner product."""
    return (products.triu(diagonal=1) < 0).any()
