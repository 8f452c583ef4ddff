"""Cost of every output of a network: parameters and operations for one image.

Operations are counted as the public counter for MSDNet counts them (docs/methods/deconfliction.md; the
published counts are a test). A convolution or linear layer has one per multiply-add; a linear layer also has one
per bias. A ReLU has one per element, a pooling the window's elements per value. Batch normalisation is free
(it folds into the convolution). Papers on these networks report this number as FLOPs, not twice this number.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from guidebp.models.layers import GlobalAverage
from guidebp.runs.result import NetworkCost, PathwayCounts


def count_layer_operations(module: nn.Module, given: Tensor, found: Tensor) -> int:
    """Return the operations of one layer for one image, from its input [1, ...] and output [1, ...].

    Layers that are not counted have 0.
    """
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
    """Return parameters and operations of each pathway, from its modules in order and an image [1, C, H, W].

    The counts `together` include everything computed before the image leaves at this pathway.
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
