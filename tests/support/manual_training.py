"""Training written out by hand, for the tests: the SGD formulas, chains of linear layers, comparisons."""

import copy
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from guidebp.methods import build_method
from guidebp.methods.contract import Method
from guidebp.models.contract import Chain
from tests.support.tiny import CLASSES, METHODS, batch, maker, network

LR, MOMENTUM, DECAY = 0.05, 0.9, 0.01
SGD = {"name": "sgd", "lr": LR, "momentum": MOMENTUM, "nesterov": True, "weight_decay": DECAY}


class Sgd:
    """Nesterov momentum and weight decay; a parameter without a gradient rests."""

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float = LR) -> None:
        self.parameters, self.lr = list(parameters), lr
        self.buffers = [torch.zeros_like(p) for p in self.parameters]

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor | None]) -> None:
        for parameter, buffer, raw_gradient in zip(self.parameters, self.buffers, gradients, strict=True):
            if raw_gradient is not None:
                gradient = raw_gradient + DECAY * parameter
                buffer.copy_(MOMENTUM * buffer + gradient)
                parameter.sub_(self.lr * (gradient + MOMENTUM * buffer))


def make_linear_chain(layer_counts: Sequence[int] = (1, 2, 1), width: int = 7, seed: int = 0) -> Chain:
    """Segments of so many linear layers, each with ReLU; exits read the map as it is, heads are linear."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        segments = [
            nn.Sequential(*(m for _ in range(count) for m in (nn.Linear(width, width), nn.ReLU())))
            for count in layer_counts
        ]
        heads = [nn.Linear(width, CLASSES) for _ in layer_counts]
    depths = torch.tensor(layer_counts).cumsum(0).tolist()
    return Chain(segments, [nn.Identity() for _ in layer_counts], heads, depths).double()


def make_double_method(name: str, network: Any, **options: Any) -> Method:
    """A method of config/methods.yaml with other options, in float64 from the start, on a copy of the network."""
    spec = replace(METHODS[name], options=METHODS[name].options | options)
    default_dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.random.fork_rng():
            torch.manual_seed(1)
            return build_method(spec, copy.deepcopy(network), maker(optimiser=SGD)).train()
    finally:
        torch.set_default_dtype(default_dtype)


def make_tiny_chain(architecture: str) -> Chain:
    """A tiny network of exits, in float64 and for training."""
    chain = network(architecture).double().train()
    assert isinstance(chain, Chain)
    return chain


def make_double_batch(count: int = 8, seed: int = 0) -> tuple[Tensor, Tensor]:
    """A batch in float64."""
    images, labels = batch(count, seed)
    return images.double(), labels


def make_vector_batch(width: int = 7, count: int = 8, seed: int = 0) -> tuple[Tensor, Tensor]:
    """A batch for `chain`."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(count, width, generator=generator, dtype=torch.float64)
    return images, torch.arange(count) % CLASSES


def assert_equal_modules(actual: nn.Module, expected: nn.Module, rtol: float = 1e-9) -> None:
    """Equal parameters and buffers."""
    actual_state, expected_state = actual.state_dict(), expected.state_dict()
    assert actual_state.keys() == expected_state.keys()
    for name, tensor in actual_state.items():
        torch.testing.assert_close(tensor, expected_state[name], rtol=rtol, atol=1e-10)


def parameters_differ(first: nn.Module, second: nn.Module) -> bool:
    """Whether any parameter differs by more than rounding."""
    return any(
        not torch.allclose(p, q, rtol=1e-6, atol=1e-9)
        for p, q in zip(first.parameters(), second.parameters(), strict=True)
    )
