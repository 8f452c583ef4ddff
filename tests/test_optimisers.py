"""Our optimisers against torch.optim, bit for bit, and why they exist."""

import copy
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import nn

from guidebp.optimisers import OPTIMISERS

TORCH_OPTIMISERS = {"sgd": torch.optim.SGD, "rmsprop": torch.optim.RMSprop, "adam": torch.optim.Adam}
SETTINGS: list[tuple[str, dict[str, Any]]] = [
    ("sgd", {"lr": 0.1}),
    ("sgd", {"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-3}),
    ("sgd", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    ("rmsprop", {"lr": 0.01}),
    ("rmsprop", {"lr": 0.01, "alpha": 0.9, "momentum": 0.5, "weight_decay": 0.01}),
    ("adam", {"lr": 0.01}),
    ("adam", {"lr": 0.01, "betas": (0.8, 0.99), "weight_decay": 0.01}),
]


def train_parameters(
    kind: str, settings: dict[str, Any], ours: bool, dtype: torch.dtype
) -> list[torch.Tensor]:
    """Parameters after six steps of a changing rate; one of them has a gradient from the third step on only."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3)).to(dtype)
    late, never = (nn.Parameter(torch.ones(3, dtype=dtype)) for _ in range(2))
    parameters = [*net.to(memory_format=torch.channels_last).parameters(), late, never]
    fused = {} if ours or kind == "rmsprop" else {"fused": True}
    optimiser = (OPTIMISERS if ours else TORCH_OPTIMISERS)[kind](parameters, **settings, **fused)
    images = torch.randn(6, 5, 2, 4, 4, dtype=dtype)
    for step in range(6):
        optimiser.zero_grad(set_to_none=True)
        loss = net(images[step]).square().sum() + (late.sum().square() if step > 1 and kind != "sgd" else 0)
        loss.backward()
        optimiser.param_groups[0]["lr"] = settings["lr"] / (step + 1)
        optimiser.step()
    return [parameter.detach() for parameter in parameters]


@pytest.mark.parametrize(("kind", "settings"), SETTINGS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_they_are_torchs_bit_for_bit(kind: str, settings: dict[str, Any], dtype: torch.dtype) -> None:
    ours, theirs = (train_parameters(kind, settings, which, dtype) for which in (True, False))
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert not torch.equal(ours[0], train_parameters(kind, settings | {"lr": 0.02}, True, dtype)[0])


@pytest.mark.parametrize(("kind", "settings"), SETTINGS)
def test_a_gradient_may_lie_otherwise_in_memory(kind: str, settings: dict[str, Any]) -> None:
    """As from `torch.autograd.grad`; torch's own fused kernels would pair it with the wrong weights."""
    weights = []
    for layout in (torch.contiguous_format, torch.channels_last):
        weight = nn.Parameter(torch.ones(2, 3, 4, 5))
        optimiser = OPTIMISERS[kind]([weight], **settings)
        for step in range(2):
            gradient = torch.arange(120.0).view(2, 3, 4, 5) * (step + 1)
            weight.grad = gradient.contiguous(memory_format=layout)
            optimiser.step()
        weights.append(weight.detach().contiguous())
    assert torch.equal(*weights)


def test_a_late_gradient_starts_its_own_velocity() -> None:
    """torch.optim's fused SGD refuses this; its plain one is the oracle."""
    values = []
    for optimiser_of in (
        lambda p: OPTIMISERS["sgd"](p, lr=0.1, momentum=0.9),
        lambda p: torch.optim.SGD(p, 0.1, 0.9),
    ):
        early, late = (nn.Parameter(torch.ones(3)) for _ in range(2))
        optimiser = optimiser_of([early, late])
        for step in range(4):
            optimiser.zero_grad(set_to_none=True)
            ((early**2).sum() + ((late**3).sum() if step else 0)).backward()
            optimiser.step()
        values += [torch.cat([early, late]).detach()]
    torch.testing.assert_close(*values)


@pytest.mark.parametrize(("kind", "settings"), SETTINGS)
def test_a_copy_goes_on_alike_and_leaves_the_others_alone(kind: str, settings: dict[str, Any]) -> None:
    net = nn.Linear(3, 2)
    optimiser = OPTIMISERS[kind](net.parameters(), **settings)

    def step(net: nn.Module, optimiser: torch.optim.Optimizer) -> None:
        optimiser.zero_grad()
        net(torch.arange(6.0).view(2, 3)).square().sum().backward()
        optimiser.step()

    step(net, optimiser)
    twin, twin_optimiser = copy.deepcopy((net, optimiser))
    before = twin.weight.clone()
    step(net, optimiser)
    assert torch.equal(twin.weight, before)
    step(twin, twin_optimiser)
    assert torch.equal(twin.weight, net.weight) and not torch.equal(twin.weight, before)


@pytest.mark.slow
def test_training_leaves_torchs_compiler_alone() -> None:
    """Importing it takes longer than a small run."""
    code = """
import sys, torch
from guidebp.training.trainer import train_run
from tests.support.tiny import prepared, recipe, spec
for method, architecture in (("guidebp", "columns"), ("local-critic", "vgg")):
    train_run(spec(method, architecture, recipe=recipe(epochs=1)), prepared(120), torch.device("cpu"))
assert "torch._dynamo" not in sys.modules, "imported"
"""
    subprocess.run([sys.executable, "-c", code], check=True)
