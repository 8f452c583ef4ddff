"""What every output of a network costs: parameters and operations for one image.

Operations are counted as the public counter for MSDNet counts them (docs/methods/deconfliction.md; the
published counts are a test): one per multiply-add of a convolution or a linear layer, one per bias of a linear
layer, one per element of a ReLU, and the window's elements per value of a pooling; batch normalisation is free
(it folds into the convolution). What people call FLOPs of these networks is this number, not twice it.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from guidebp.models.layers import GlobalAverage


def operations_of(module: nn.Module, given: Tensor, found: Tensor) -> int:
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
def cost(stages: Sequence[Sequence[nn.Module]], image: Tensor) -> dict[str, dict[str, list[int]]]:
    """Parameters and operations of each pathway, from its modules in order and an image [1, C, H, W].

    `alone`: of the pathway by itself, a sub-model. `together`: of this and all earlier pathways, each module
    once: what has been computed when the image leaves here.
    """
    counted: dict[nn.Module, int] = {}

    def count(module: nn.Module, given: tuple[Any, ...], found: Any) -> None:
        if isinstance(given[0], Tensor) and isinstance(found, Tensor):
            counted[module] = operations_of(module, given[0], found)

    result: dict[str, dict[str, list[int]]] = {
        kind: {"alone": [], "together": []} for kind in ("parameters", "operations")
    }
    seen: set[nn.Module] = set()
    training = {
        module: module.training for modules in stages for part in modules for module in part.modules()
    }
    hooks = [module.register_forward_hook(count) for module in training]
    try:
        for modules in stages:
            state: Any = image
            for part in modules:
                part.eval()
                state = part(state)
            own = {module for part in modules for module in part.modules()}
            seen |= own
            for kind, among in (("alone", own), ("together", seen)):
                parameters = {p for module in among for p in module.parameters(recurse=False)}
                result["parameters"][kind].append(sum(p.numel() for p in parameters))
                result["operations"][kind].append(sum(counted.get(module, 0) for module in among))
    finally:
        for hook in hooks:
            hook.remove()
        for module, was in training.items():
            module.training = was
    return result
