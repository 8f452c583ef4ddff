"""Train one run and measure it: from a resolved spec and its data to all contents of its record.

Only this module knows the order of the stages of a run. Methods and architectures define their own behaviour.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from guidebp.data.batches import Batches
from guidebp.data.prepared import Prepared, downsample
from guidebp.data.splits import draw_split
from guidebp.evaluation.calibration import compute_calibration
from guidebp.evaluation.cost import compute_network_cost
from guidebp.evaluation.inference import evaluate_inference
from guidebp.evaluation.outputs import (
    compute_logits,
    compute_output_probabilities,
    count_correct,
    find_primary_output,
    list_output_names,
    predict_output_classes,
)
from guidebp.methods import build_method
from guidebp.methods.contract import Method
from guidebp.models import build_network
from guidebp.optimisers import make_optimiser_factory
from guidebp.runs.json_fields import JsonObject
from guidebp.runs.result import RunResult, SplitSizes
from guidebp.runs.spec import RunSpec
from guidebp.seeds import name_architecture_stream, use_stream
from guidebp.training.checkpoints import Checkpoints
from guidebp.training.epoch import train_epoch
from guidebp.training.numerics import set_numerics, use_autocast
from guidebp.training.state import create_state

Report = Callable[[int, float], None]


class TrainingOutcome(NamedTuple):
    """The result, predictions, weights and telemetry of a run.

    Attributes:
        result: measurements that depend on spec, data and numerics alone.
        predictions: uint8 or int16 [K + 2, N_test], the predicted class of every output (N_test = 0 for a
            diverged run).
        weights: the method's tensors after the last step, on the CPU.
        telemetry: values that depend on the machine: seconds, memory.
    """

    result: RunResult
    predictions: Tensor
    weights: dict[str, Tensor]
    telemetry: JsonObject


def start_run(spec: RunSpec, data: Prepared, device: torch.device) -> tuple[Method, Batches]:
    """Return the untrained method and the batches of a run, all drawn from its streams."""
    stream = (spec.dataset.name, name_architecture_stream(spec.architecture), spec.seed)
    data = downsample(data, spec.recipe.downsample)
    channels, height, width = data.images.shape[1:]
    with use_stream("initial weights", *stream):
        network = build_network(spec.architecture, (channels, height, width), spec.dataset.classes)
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    with use_stream("method's own parts", *stream):
        method = build_method(spec.method, network, make_optimiser_factory(spec.recipe))
    split = draw_split(data.labels, data.official_test, spec.dataset, spec.seed)
    return method, Batches(data, split, spec, device)


def train_run(
    spec: RunSpec,
    data: Prepared,
    device: torch.device,
    report: Report | None = None,
    checkpoints: Checkpoints | None = None,
) -> TrainingOutcome:
    """Train and test one run; call `report(epoch, validation accuracy of the primary output)` after each epoch.

    A loss that is no longer finite ends the run: its result says `diverged` and has no accuracies. With
    `checkpoints` it resumes from the newest one, to the same result, and raises `StopRequested` when asked to stop.
    """
    started, recipe = time.perf_counter(), spec.recipe
    set_numerics(recipe.numerics, device)
    method, batches = start_run(spec, data, device)
    state = create_state(method, device, started)
    result = describe_network(method, batches)
    predictions = torch.zeros(len(result.outputs), 0, dtype=torch.int64)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        if checkpoints and (checkpoint := checkpoints.newest()):
            state.restore(checkpoint)
        while state.epoch < recipe.epochs:
            if not train_epoch(state, batches, recipe, checkpoints):
                result = replace(result, status="diverged", diverged_in_epoch=state.epoch)
                break
            validation = len(batches.labels["validation"])
            if report and validation:
                right = state.history.validation_correct[-1][result.outputs.index(result.primary)]
                report(state.epoch - 1, right / validation)
            if checkpoints and checkpoints.due(epochs=state.epoch):
                checkpoints.save(state.capture())
        else:
            if all(bool(torch.isfinite(p).all()) for p in method.parameters()):
                with use_autocast(recipe.numerics, device):
                    predictions, result = measure_test_outputs(method, batches, result)
            else:
                result = replace(result, status="diverged", diverged_in_epoch=recipe.epochs - 1)
    result = replace(result, history=state.history, cosines=state.cosines)
    small = torch.uint8 if spec.dataset.classes <= 256 else torch.int16
    return TrainingOutcome(result, predictions.to(small).cpu(), collect_unique_tensors(method), state.cost())


def describe_network(method: Method, batches: Batches) -> RunResult:
    """Return the part of the result that is known before training, with the status of a finished run."""
    image = batches.normalise(batches.images[:1])
    return RunResult(
        status="finished",
        outputs=list_output_names(method),
        pathways=method.pathways,
        primary=find_primary_output(method),
        sizes=SplitSizes(**{name: len(labels) for name, labels in batches.labels.items()}),
        parameters=sum(p.numel() for p in list_optimised_parameters(method)),
        trained=find_trained_pathways(method, image),
        backward_passes=method.backward_passes,
        cost=compute_network_cost(method.stages(), image),
    )


def measure_test_outputs(method: Method, batches: Batches, result: RunResult) -> tuple[Tensor, RunResult]:
    """Return the predicted classes [K + 2, N_test], and `result` with the measurements of the trained network."""
    logits = compute_logits(method, batches.evaluation("test"))
    labels = {name: indices.cpu() for name, indices in batches.labels.items()}
    predictions = predict_output_classes(method, logits)
    chances = compute_output_probabilities(method, logits).cpu()
    result = replace(
        result,
        test_correct=count_correct(predictions, batches.labels["test"]).tolist(),
        calibration=compute_calibration(chances, labels["test"]),
    )
    if method.primary == "last" and method.pathways > 1:
        validation = torch.zeros(method.pathways, 0, chances.shape[2])
        if len(labels["validation"]):
            validation = compute_logits(method, batches.evaluation("validation")).softmax(dim=2).cpu()
        alone = chances[: method.pathways]
        exits = evaluate_inference(logits.cpu(), alone, labels["test"], validation, labels["validation"])
        result = replace(result, inference=exits)
    return predictions, result


def list_optimised_parameters(method: Method) -> set[nn.Parameter]:
    """Return the parameters that some optimiser trains: unused heads and originals of copies do not count."""
    groups = (group for optimiser in method.optimisers.values() for group in optimiser.param_groups)
    return {p for group in groups for p in group["params"]}


def find_trained_pathways(method: Method, image: Tensor) -> list[bool]:
    """Return for each pathway True if all parameters that its logits depend on are trained.

    `image` is [1, C, H, W].
    """
    method.eval()
    parameters, trained = list(method.parameters()), list_optimised_parameters(method)
    flags = []
    for logits in method.outputs(image):
        gradients = torch.autograd.grad(logits.sum(), parameters, retain_graph=True, allow_unused=True)
        moving = (p for p, g in zip(parameters, gradients, strict=True) if g is not None and bool(g.any()))
        flags.append(trained.issuperset(moving))
    return flags


def collect_unique_tensors(method: Method) -> dict[str, Tensor]:
    """Return the state dict on the CPU, each tensor under its first name only."""
    addresses: set[int] = set()
    tensors = {}
    for name, tensor in method.state_dict().items():
        if tensor.data_ptr() not in addresses:
            addresses.add(tensor.data_ptr())
            tensors[name] = tensor.cpu().contiguous()
    return tensors
