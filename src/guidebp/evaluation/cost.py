"""What every output of a network costs: parameters and operations for one image.

Operations are counted as the public counter for MSDNet counts them (docs/methods/deconfliction.md; the
published counts are a test): one per multiply-add of a convolution or a linear layer, one per bias of a linear
layer, one per element of a ReLU, and the window's elements per value of a pooling; batch normalisation is free
(it folds into the convolution). What people call FLOPs of these networks is this number, not twice it.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from guidebp.models.layers import GlobalAverage
from guidebp.runs.result import NetworkCost, PathwayCounts


def count_layer_operations(module: nn.Module, given: Tensor, found: Tensor) -> int:
    """Operations of one layer for one image, from its input [1, ...] and output [1, ...]; 0 for what is free."""
    if isinstance(module, nn.Conv2d):
        return module.weight.numel() * found.shape[2] * found.shape[3]
    if isinstance(module, nn.Linear):
        return module.weight.numel() + (0 if module.bias is None else module.bias.numel())
    if isinstance(module, nn.ReLU | nn.ReLU6):
        return found.numel()
    if isinstance(module, nn.MaxPool2d | nn.AvgPool2d):
        size = module.kernel_size
        window = size * size if isinstance(size, int) else math.prod(size)
        return found.numel() * window
    if isinstance(module, GlobalAverage):
        return given.numel()
    return 0


@torch.inference_mode()
def compute_network_cost(stages: Sequence[Sequence[nn.Module]], image: Tensor) -> NetworkCost:
    """Parameters and operations of each pathway, from its modules in order and an image [1, C, H, W].

    The counts `together` are what has been computed when the image leaves at this pathway.
    """
    operations: dict[nn.Module, int] = {}

    def count(module: nn.Module, inputs: tuple[object, ...], output: object) -> None:
        if isinstance(inputs[0], Tensor) and isinstance(output, Tensor):
            operations[module] = count_layer_operations(module, inputs[0], output)

    alone: list[set[nn.Module]] = []
    training = {
        module: module.training for modules in stages for part in modules for module in part.modules()
    }
    hooks = [module.register_forward_hook(count) for module in training]
    try:
        for modules in stages:
            state: object = image
            for part in modules:
                part.eval()
                state = part(state)
            alone.append({module for part in modules for module in part.modules()})
    finally:
        for hook in hooks:
            hook.remove()
        for module, mode in training.items():
            module.training = mode
    together = [set().union(*alone[: k + 1]) for k in range(len(alone))]

    def count_parameters(modules: set[nn.Module]) -> int:
        return sum(p.numel() for p in {p for m in modules for p in m.parameters(recurse=False)})

    def count_operations(modules: set[nn.Module]) -> int:
        return sum(operations.get(module, 0) for module in modules)

    return NetworkCost(
        parameters=PathwayCounts([*map(count_parameters, alone)], [*map(count_parameters, together)]),
        operations=PathwayCounts([*map(count_operations, alone)], [*map(count_operations, together)]),
    )
