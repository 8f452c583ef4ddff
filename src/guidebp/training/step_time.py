"""Time of a training step on this machine, to predict the hours of runs that nobody has trained."""

import statistics
import time

import torch

from guidebp.methods import build_method
from guidebp.models import build_network
from guidebp.optimisers import make_optimiser_factory
from guidebp.runs.spec import RunSpec
from guidebp.training.numerics import set_numerics, use_autocast

ON_CPU = 16  # images; a step of the whole batch is taken to cost in proportion
SECONDS, STEPS = 1.0, 20  # at most, after one step to warm up


def measure_step_seconds(spec: RunSpec, shape: tuple[int, int, int], device: torch.device) -> float:
    """Return the seconds of one step of a spec's method on random images of `shape` [C, H, W].

    The spec's seed is ignored.
    """
    recipe, classes = spec.recipe, spec.dataset.classes
    set_numerics(recipe.numerics, device)
    network = build_network(spec.architecture, shape, classes)
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    method = build_method(spec.method, network, make_optimiser_factory(recipe)).train()
    size = min(recipe.batch_size, ON_CPU) if device.type == "cpu" else recipe.batch_size
    count = size * method.streams
    images = torch.randn(count, *shape, device=device).to(memory_format=torch.channels_last)
    labels = torch.randint(classes, (count,), device=device)
    times: list[float] = []
    while len(times) <= 1 or (sum(times) < SECONDS and len(times) <= STEPS):
        started = time.perf_counter()
        with use_autocast(recipe.numerics, device):
            method.step(images, labels).loss.item()  # waits for the device
        times.append(time.perf_counter() - started)
    return float(statistics.median(times[1:]) * recipe.batch_size / size)
