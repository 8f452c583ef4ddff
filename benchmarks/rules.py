"""One training step by every gradient rule on MSDNet with seven exits (7.36 million parameters).

Compared with K plain backward passes, the least that gradients of K losses can cost, and with TorchJD.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.measure import Case
from guidebp.methods import build_method
from guidebp.methods.exits import compute_exit_losses
from guidebp.models import build_network
from guidebp.optimisers import make_optimiser_factory
from guidebp.study.resolve import resolve_run
from guidebp.training.numerics import set_numerics

METHODS = [
    "deconfliction",
    "deconfliction-deeper",
    "deconfliction-trunk",
    "deconfliction-tensor",
    "deconfliction-upgrad",
]
FLOOR = "K backward passes"
MOST = 1.25
BATCH, STEPS = 16, 3


def cases(device: str) -> list[Case]:
    """One case; a step's time includes its forward pass and the optimiser's step."""
    chosen = torch.device(device)
    set_numerics("exact", chosen)
    sides: dict[str, Callable[[], float]] = {
        FLOOR: partial(seconds, Steps(chosen, "deep-supervision", plain))
    }
    sides["the same again"] = partial(seconds, Steps(chosen, "deep-supervision", plain))  # how much is noise
    for method in METHODS:
        sides[method] = partial(seconds, Steps(chosen, method, None))
    for name, backward in (("TorchJD, PCGrad", jacobian("PCGrad")), ("TorchJD, UPGrad", jacobian("UPGrad"))):
        sides[name] = partial(seconds, Steps(chosen, "deep-supervision", backward))
    return [
        Case(
            f"A step on MSDNet, 7 exits, batch {BATCH}, {device}, one thread",
            "s",
            sides,
            more=False,
            needed=dict.fromkeys(METHODS, MOST),
        )
    ]


class Steps:
    """Steps of a method, or of the same network by a backward function of the losses and parameters."""

    def __init__(
        self,
        device: torch.device,
        method: str,
        backward: Callable[[Sequence[Tensor], list[nn.Parameter]], None] | None,
    ) -> None:
        spec = resolve_run("cifar-10", "msdnet-7", method, "msdnet-cifar", 0).spec
        torch.manual_seed(0)
        network = build_network(spec.architecture, (3, 32, 32), 10)
        network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.method = build_method(spec.method, network, make_optimiser_factory(spec.recipe)).train()
        images = torch.randn(BATCH, 3, 32, 32, device=device)
        self.images = images.to(memory_format=torch.channels_last)
        self.labels = torch.randint(10, (BATCH,), device=device)
        self.backward = backward

    def step(self) -> None:
        """One step."""
        if self.backward is None:
            self.method.step(self.images, self.labels)
            return
        optimiser = self.method.optimisers["main"]
        optimiser.zero_grad(set_to_none=True)
        losses = compute_exit_losses(self.method.outputs(self.images), self.labels)
        self.backward(losses, list(self.method.parameters()))
        optimiser.step()


def seconds(steps: Steps) -> float:
    """Of one step, mean of a few after one to warm up."""
    steps.step()
    wait(steps.images.device)
    started = time.perf_counter()
    for _ in range(STEPS):
        steps.step()
    wait(steps.images.device)
    return (time.perf_counter() - started) / STEPS


def wait(device: torch.device) -> None:
    """Until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def plain(losses: Sequence[Tensor], parameters: list[nn.Parameter]) -> None:
    """A backward pass per loss, gradients added up."""
    for k, loss in enumerate(losses):
        loss.backward(retain_graph=k < len(losses) - 1)


def jacobian(aggregator: str) -> Callable[[Sequence[Tensor], list[nn.Parameter]], None]:
    """TorchJD's way: the Jacobian of the losses, then an aggregator; row by row, as batch norm wants it."""

    def backward(losses: Sequence[Tensor], parameters: list[nn.Parameter]) -> None:
        import torchjd.aggregation
        import torchjd.autojac

        rule: Any = getattr(torchjd.aggregation, aggregator)()
        torchjd.autojac.backward(list(losses), inputs=parameters, parallel_chunk_size=1)
        torchjd.autojac.jac_to_grad(parameters, rule)

    return backward
