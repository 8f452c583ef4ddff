"""Train one run and measure it: from a resolved spec and its data to everything its record holds.

The only place that knows the order of things in a run; what a method or an architecture does is theirs.
"""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from guidebp.data.batches import Batches
from guidebp.data.prepared import Prepared, downsampled
from guidebp.data.splits import draw_split
from guidebp.evaluation.calibration import calibration
from guidebp.evaluation.conflict import conflicts, cosines, probe
from guidebp.evaluation.cost import cost
from guidebp.evaluation.inference import ensembles, inference
from guidebp.evaluation.outputs import (
    all_logits,
    correct,
    output_names,
    predicted_classes,
    primary_output,
    probabilities,
)
from guidebp.methods import build_method
from guidebp.methods.contract import Method
from guidebp.models import build_network
from guidebp.seeds import seeded, stream_seed
from guidebp.training.checkpoints import Checkpoints
from guidebp.training.numerics import autocast, set_numerics
from guidebp.training.schedules import lr_factor, optimiser_maker, set_lr
from guidebp.training.state import State, new_state

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
    dataset, seed = spec["dataset"]["name"], spec["seed"]
    parts = (dataset, without_code(spec["architecture"]), seed)
    data = downsampled(data, spec["recipe"].get("downsample", 1))
    channels, height, width = data.images.shape[1:]
    with seeded("initial weights", *parts):
        network = build_network(spec["architecture"], (channels, height, width), spec["dataset"]["classes"])
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    with seeded("method's own parts", *parts):
        method = build_method(spec["method"], network, optimiser_maker(spec["recipe"]))
    split = draw_split(data.labels, data.official_test, spec["dataset"], seed)
    return method, Batches(data, split, spec, device)


def without_code(architecture: dict[str, Any]) -> dict[str, Any]:
    """A resolved architecture without the hashes of its files: an edit must not redraw its weights."""
    kept = {key: value for key, value in architecture.items() if key != "code"}
    return kept | {"base": without_code(kept["base"])} if "base" in kept else kept


def train_run(
    spec: dict[str, Any],
    data: Prepared,
    device: torch.device,
    report: Report | None = None,
    checkpoints: Checkpoints | None = None,
) -> Outcome:
    """Train and test one run; `report(epoch, validation accuracy of the primary output)` after each epoch.

    A loss that is no longer finite ends the run: its result says `diverged` and has no accuracies. With
    `checkpoints` it goes on from the newest one, to the same result, and raises `Stopped` when it is to stop.
    """
    begun, recipe = time.perf_counter(), spec["recipe"]
    set_numerics(recipe["numerics"], device)
    method, batches = start_run(spec, data, device)
    state = new_state(method, device, begun)
    outputs, primary = output_names(method), primary_output(method)
    sizes = {name: len(labels) for name, labels in batches.labels.items()}
    image = batches.normalise(batches.images[:1])
    result: dict[str, Any] = {
        "status": "finished",
        "outputs": outputs,
        "pathways": method.pathways,
        "primary": primary,
        "sizes": sizes,
        "parameters": sum(p.numel() for p in optimised_parameters(method)),
        "trained": trained_pathways(method, image),
        "backward_passes": method.passes,
        "cost": cost(method.stages(), image),
        "history": None,
        "cosines": None,
        "test_correct": None,
        "calibration": None,
        "inference": None,
    }
    predictions = torch.zeros(len(outputs), 0, dtype=torch.int64)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        if checkpoints and (found := checkpoints.newest()):
            state.put_back(*found)
        while state.epoch < recipe["epochs"]:
            if not train_epoch(state, batches, recipe, checkpoints):
                result |= {"status": "diverged", "diverged_in_epoch": state.epoch}
                break
            if report and sizes["validation"]:
                right = state.history["validation_correct"][-1][outputs.index(primary)]
                report(state.epoch - 1, right / sizes["validation"])
            if checkpoints and checkpoints.due(ended=state.epoch):
                checkpoints.save(*state.capture())
        else:
            if all(bool(torch.isfinite(p).all()) for p in method.parameters()):
                with autocast(recipe["numerics"], device):
                    predictions, measured = measure(method, batches)
                result |= measured
            else:
                result |= {"status": "diverged", "diverged_in_epoch": recipe["epochs"] - 1}
    result |= {"history": state.history, "cosines": state.cosines}
    small = torch.uint8 if spec["dataset"]["classes"] <= 256 else torch.int16
    return Outcome(result, predictions.to(small).cpu(), unique_tensors(method), state.cost())


def train_epoch(
    state: State, batches: Batches, recipe: dict[str, Any], checkpoints: Checkpoints | None = None
) -> bool:
    """The rest of an epoch and its validation, into `state`; whether the loss was finite.

    Everything is summed on the device and fetched once at the end. Gradients of the pathways are compared at
    every step by methods that have them, else on the last batch once more.
    """
    method, device, numerics = state.method, batches.device, recipe["numerics"]
    total = batches.steps * recipe["epochs"]
    if state.step == 0:
        torch.manual_seed(stream_seed("chance within a step", batches.dataset, batches.seed, state.epoch))
    method.train()
    state.start_clock()
    for images, labels in batches.epoch(state.epoch, method.streams, state.step):
        if checkpoints and checkpoints.due():
            state.stop_clock()
            checkpoints.save(*state.capture())
        factor = lr_factor(recipe, state.epoch * batches.steps + state.step, total)
        for name, optimiser in method.optimisers.items():
            if name not in method.constant:
                set_lr(optimiser, factor)
        with autocast(numerics, device):
            done = method.step(images, labels)
        state.add(done)
    state.stop_clock()
    loss, gradient = state.sums["loss"], state.sums["gradient"]
    if not bool(torch.isfinite(loss + gradient.sum())):
        return False
    angles, conflicting, compared = state.sums["angles"], state.sums["conflicting"], state.compared
    if not method.compares:
        with autocast(numerics, device):
            probed = probe(method, images, labels)
        if probed is not None:
            angles, conflicting, compared = cosines(probed), conflicts(probed), 1
    share = gradient / gradient.sum().clamp(min=torch.finfo(torch.float64).tiny)
    entry: dict[str, Any] = {
        "loss": rounded(loss.item() / batches.steps),
        "gradient_share": [round(value, 4) for value in share.tolist()],
        "cosine": None,
        "conflict": None,
        "validation_correct": [],
    }
    state.cosines = None
    if compared and method.pathways > 1 and bool(torch.isfinite(angles).all()):
        mean = (angles / compared).cpu()
        above = mean[torch.ones_like(mean, dtype=torch.bool).triu(diagonal=1)]
        entry["cosine"] = round(above.mean().item(), 4)
        entry["conflict"] = round(conflicting.item() / compared, 4)
        state.cosines = [[round(value, 4) for value in row] for row in mean.tolist()]
    if len(batches.labels["validation"]):
        with autocast(numerics, device):
            found = predicted_classes(method, all_logits(method, batches.evaluation("validation")))
        entry["validation_correct"] = correct(found, batches.labels["validation"]).tolist()
    state.end_epoch(entry)
    return True


def measure(method: Method, batches: Batches) -> tuple[Tensor, dict[str, Any]]:
    """Predicted classes [K + 2, N_test] and what the record says of the trained network."""
    logits = all_logits(method, batches.evaluation("test"))
    labels = {name: found.cpu() for name, found in batches.labels.items()}
    predictions = predicted_classes(method, logits)
    chances = probabilities(method, logits).cpu()
    measured: dict[str, Any] = {
        "test_correct": correct(predictions, batches.labels["test"]).tolist(),
        "calibration": calibration(chances, labels["test"]),
    }
    if method.primary == "last" and method.pathways > 1:
        validation = torch.zeros(method.pathways, 0, chances.shape[2])
        if len(labels["validation"]):
            validation = all_logits(method, batches.evaluation("validation")).softmax(dim=2).cpu()
        found = inference(chances[: method.pathways], labels["test"], validation, labels["validation"])
        # of the mean logits, as the authors of local critic training ensemble
        measured["inference"] = found | {"logit_ensembles": ensembles(logits.cpu(), labels["test"])}
    return predictions, measured


def rounded(value: float) -> float:
    """Six significant digits: what a float32 sum can promise, and half the size of a record."""
    return float(f"{value:.6g}")


def optimised_parameters(method: Method) -> set[nn.Parameter]:
    """Parameters that some optimiser trains: unused heads and originals of copies do not count."""
    groups = (group for optimiser in method.optimisers.values() for group in optimiser.param_groups)
    return {p for group in groups for p in group["params"]}


def trained_pathways(method: Method, image: Tensor) -> list[bool]:
    """For each pathway whether all that its logits depend on is trained; `image` is [1, C, H, W]."""
    method.eval()
    parameters, trained = list(method.parameters()), optimised_parameters(method)
    found = []
    for logits in method.outputs(image):
        gradients = torch.autograd.grad(logits.sum(), parameters, retain_graph=True, allow_unused=True)
        moving = (p for p, g in zip(parameters, gradients, strict=True) if g is not None and bool(g.any()))
        found.append(trained.issuperset(moving))
    return found


def unique_tensors(method: Method) -> dict[str, Tensor]:
    """The state dict on the CPU, without second names of the same tensor."""
    seen: set[int] = set()
    found = {}
    for name, tensor in method.state_dict().items():
        if tensor.data_ptr() not in seen:
            seen.add(tensor.data_ptr())
            found[name] = tensor.cpu().contiguous()
    return found
