"""Do the gradients of the pathways' own losses agree? Inner products over the parameters that pathways share."""

import torch
from torch import Tensor

from guidebp.methods.contract import Method
from guidebp.methods.exits import compute_exit_losses
from guidebp.methods.gradients import PathwayGradients, force_full_precision
from guidebp.models.contract import find_shared_parameters


def probe_conflict(method: Method, images: Tensor, labels: Tensor) -> Tensor | None:
    """[K, K] inner products on one batch, of each pathway's cross-entropy, whatever loss the method trains by.

    None where no parameter has gradients from two pathways. Leaves the method as it was: no step is taken, and
    running statistics are put back.
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
    """[K, K] cosines of the angles between the gradients; 0 where one of them is zero."""
    lengths = products.diagonal().clamp(min=0).sqrt()
    scale = lengths.outer(lengths)
    return torch.where(scale > 0, products / scale.where(scale > 0, 1.0), 0.0)


def has_conflict(products: Tensor) -> Tensor:
    """Whether any two gradients have a negative inner product: a scalar, true or false."""
    return (products.triu(diagonal=1) < 0).any()
