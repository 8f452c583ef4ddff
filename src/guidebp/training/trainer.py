"""Train one run and measure it: from a resolved spec and its data to everything its record holds.

The only place that knows the order of things in a run; what a method or an architecture does is theirs.
"""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from guidebp.data.batches import Batches
from guidebp.data.prepared import Prepared
from guidebp.data.splits import draw_split
from guidebp.evaluation.outputs import correct, output_names, predicted_classes, primary_output
from guidebp.methods import build_method
from guidebp.methods.contract import Method
from guidebp.models import build_network
from guidebp.streams import seeded
from guidebp.training.numerics import autocast, set_numerics
from guidebp.training.schedules import lr_factor, optimiser_maker, set_lr

Report = Callable[[int, float], None]


class Outcome(NamedTuple):
    """What a run yields.

    Attributes:
        result: JSON-serialisable, a function of spec, data and numerics alone.
        predictions: uint8 or int16 [K + 2, N_test], the predicted class of every output (N_test = 0 for a
            diverged run).
        weights: the method's tensors after the last step, on the CPU.
        telemetry: JSON-serialisable, what depends on the machine: seconds, memory.
    """

    result: dict[str, Any]
    predictions: Tensor
    weights: dict[str, Tensor]
    telemetry: dict[str, Any]


def start_run(spec: dict[str, Any], data: Prepared, device: torch.device) -> tuple[Method, Batches]:
    """The untrained method and the batches of a run, all drawn from its streams."""
    dataset, repetition = spec["dataset"]["name"], spec["repetition"]
    parts = (dataset, without_code(spec["architecture"]), repetition)
    channels, height, width = data.images.shape[1:]
    with seeded("initial weights", *parts):
        network = build_network(spec["architecture"], (channels, height, width), spec["dataset"]["classes"])
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    with seeded("method's own parts", *parts):
        method = build_method(spec["method"], network, optimiser_maker(spec["recipe"]))
    split = draw_split(data.labels, data.official_test, spec["dataset"], repetition)
    return method, Batches(data, split, spec, device)


def without_code(architecture: dict[str, Any]) -> dict[str, Any]:
    """A resolved architecture without the hashes of its files: an edit must not redraw its weights."""
    kept = {key: value for key, value in architecture.items() if key != "code"}
    return kept | {"base": without_code(kept["base"])} if "base" in kept else kept


def train_run(
    spec: dict[str, Any], data: Prepared, device: torch.device, report: Report | None = None
) -> Outcome:
    """Train and test one run; `report(epoch, validation accuracy of the primary output)` after each epoch.

    A loss that is no longer finite ends the run: its result says `diverged` and has no accuracies.
    """
    started = time.perf_counter()
    recipe = spec["recipe"]
    telemetry: dict[str, Any] = {"seconds": 0.0, "step_seconds": 0.0, "steps": 0}
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    set_numerics(recipe["numerics"], device)
    method, batches = start_run(spec, data, device)
    outputs, primary = output_names(method.network), primary_output(method.network)
    sizes = {name: len(labels) for name, labels in batches.labels.items()}
    result: dict[str, Any] = {
        "status": "finished",
        "outputs": outputs,
        "pathways": method.network.pathways,
        "primary": primary,
        "sizes": sizes,
        "parameters": trained_parameters(method),
        "history": {"loss": [], "gradient_share": [], "validation_correct": []},
        "test_correct": None,
    }
    predictions = torch.zeros(len(outputs), 0, dtype=torch.int64)
    for epoch in range(recipe["epochs"]):
        entry = train_epoch(method, batches, recipe, epoch, telemetry)
        if entry is None:
            result |= {"status": "diverged", "diverged_in_epoch": epoch}
            break
        for column, value in entry.items():
            result["history"][column].append(value)
        if report and sizes["validation"]:
            report(epoch, entry["validation_correct"][outputs.index(primary)] / sizes["validation"])
    else:
        if all(bool(torch.isfinite(p).all()) for p in method.parameters()):
            with autocast(recipe["numerics"], device):
                predictions = predicted_classes(method, batches.evaluation("test"))
            result["test_correct"] = correct(predictions, batches.labels["test"]).tolist()
        else:
            result |= {"status": "diverged", "diverged_in_epoch": recipe["epochs"] - 1}
    small = torch.uint8 if spec["dataset"]["classes"] <= 256 else torch.int16
    telemetry["seconds"] = time.perf_counter() - started
    if device.type == "cuda":
        telemetry["peak_memory"] = torch.cuda.max_memory_allocated(device)
    return Outcome(result, predictions.to(small).cpu(), unique_tensors(method), telemetry)


def train_epoch(
    method: Method, batches: Batches, recipe: dict[str, Any], epoch: int, telemetry: dict[str, Any]
) -> dict[str, Any] | None:
    """One epoch and its validation; None when the loss was not finite.

    Everything is summed on the device and fetched once at the end. Adds the steps and their time to `telemetry`.
    """
    started = time.perf_counter()
    device, numerics = batches.device, recipe["numerics"]
    total = batches.steps * recipe["epochs"]
    loss = torch.zeros((), dtype=torch.float64, device=device)
    gradient = torch.zeros(method.network.pathways, dtype=torch.float64, device=device)
    method.train()
    for step, (images, labels) in enumerate(batches.epoch(epoch, method.streams)):
        factor = lr_factor(recipe, epoch * batches.steps + step, total)
        for name, optimiser in method.optimisers.items():
            if name not in method.constant:
                set_lr(optimiser, factor)
        with autocast(numerics, device):
            done = method.step(images, labels)
        loss += done.loss
        gradient += done.gradient
    finite = bool(torch.isfinite(loss + gradient.sum()))  # waits for the device, so the time is right
    telemetry["step_seconds"] += time.perf_counter() - started
    telemetry["steps"] += batches.steps
    if not finite:
        return None
    share = gradient / gradient.sum().clamp(min=torch.finfo(torch.float64).tiny)
    entry: dict[str, Any] = {
        "loss": rounded(loss.item() / batches.steps),
        "gradient_share": [rounded(value) for value in share.tolist()],
        "validation_correct": [],
    }
    if len(batches.labels["validation"]):
        with autocast(numerics, device):
            found = predicted_classes(method, batches.evaluation("validation"))
        entry["validation_correct"] = correct(found, batches.labels["validation"]).tolist()
    return entry


def rounded(value: float) -> float:
    """Six significant digits: what a float32 sum can promise, and half the size of a record."""
    return float(f"{value:.6g}")


def trained_parameters(method: Method) -> int:
    """Number of parameters that some optimiser trains: unused heads and originals of copies do not count."""
    groups = (group for optimiser in method.optimisers.values() for group in optimiser.param_groups)
    return sum(p.numel() for p in {p for group in groups for p in group["params"]})


def unique_tensors(method: Method) -> dict[str, Tensor]:
    """The state dict on the CPU, without second names of the same tensor."""
    seen: set[int] = set()
    found = {}
    for name, tensor in method.state_dict().items():
        if tensor.data_ptr() not in seen:
            seen.add(tensor.data_ptr())
            found[name] = tensor.cpu().contiguous()
    return found
