"""The state of a run between two steps, as tensors and JSON: everything that later steps depend on.

Batches, augmentation and initial weights follow from named streams (`guidebp.seeds`). Therefore only two kinds of
generators have a state: torch's own, and those that methods keep as extra state.
"""

import time
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from guidebp.evaluation.conflict import compute_cosines, has_conflict
from guidebp.methods.contract import Method, Step
from guidebp.runs.json_fields import JsonObject, from_json, to_json
from guidebp.runs.result import History
from guidebp.training.checkpoints import Checkpoint
from guidebp.training.state_tree import flatten_state, unflatten_state


class EpochEntry(NamedTuple):
    """The values that the history stores for an epoch; columns as in `History`, and [K, K] cosines."""

    loss: float
    gradient_share: list[float]
    validation_correct: list[int]
    cosine: float | None = None
    conflict: float | None = None
    cosines: list[list[float]] | None = None


@dataclass
class Telemetry:
    """The cost of a run so far.

    Attributes:
        seconds: total time in earlier processes and this one.
        step_seconds: time of the steps alone.
        peak_memory: peak memory of the steps on a GPU, in bytes; None on a CPU.
        resumed: number of times that the run resumed from a checkpoint.
    """

    seconds: float = 0.0
    step_seconds: float = 0.0
    steps: int = 0
    peak_memory: int | None = None
    resumed: int = 0


@dataclass
class TrainingState:
    """The state of a run before step `step` of epoch `epoch`, both from 0.

    Attributes:
        sums: sums over the steps of the present epoch, float64 on the device.
        history: a column per quantity, a value per finished epoch.
        cosines: [K, K] cosines of the last finished epoch.
        compared: number of steps of the present epoch that gave inner products.
        started: time at which this process began with the run, by `time.perf_counter`.
        earlier_seconds: seconds that the run took in earlier processes.
        clock: time at which the clock of the steps was last started or stopped.
    """

    method: Method
    device: torch.device
    sums: dict[str, Tensor]
    telemetry: Telemetry
    started: float
    epoch: int = 0
    step: int = 0
    history: History = field(default_factory=History)
    cosines: list[list[float]] | None = None
    compared: int = 0
    earlier_seconds: float = 0.0
    clock: float = 0.0

    def capture(self) -> Checkpoint:
        """Return the whole state as JSON and CPU tensors that share no memory with the run."""
        generators = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            generators["cuda"] = torch.cuda.get_rng_state(self.device)
        tree = {
            "method": self.method.state_dict(),
            "optimisers": {
                name: optimiser.state_dict() for name, optimiser in self.method.optimisers.items()
            },
            "sums": self.sums,
            "generators": generators,
        }
        tensors: dict[str, Tensor] = {}
        about: JsonObject = {
            "history": to_json(self.history),
            "cosines": self.cosines,
            "compared": self.compared,
            "telemetry": self.cost(),
            "state": flatten_state(tree, tensors),
        }
        return Checkpoint(self.epoch, self.step, tensors, about)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Restore the state that `capture` returned; the method must be made from the same spec."""
        about = checkpoint.about
        tree = unflatten_state(about["state"], checkpoint.tensors)
        self.method.load_state_dict(tree["method"])
        for name, optimiser in self.method.optimisers.items():
            optimiser.load_state_dict(tree["optimisers"][name])
        for name, total in tree["sums"].items():
            self.sums[name].copy_(total)
        torch.set_rng_state(tree["generators"]["cpu"])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(tree["generators"]["cuda"], self.device)
        self.epoch, self.step = checkpoint.epoch, checkpoint.step
        self.compared = from_json(int, about["compared"])
        self.history = from_json(History, about["history"])
        self.cosines = from_json(list[list[float]], about["cosines"]) if about["cosines"] else None
        self.telemetry = from_json(Telemetry, about["telemetry"])
        self.telemetry.resumed += 1
        self.earlier_seconds = self.telemetry.seconds

    def add(self, step: Step) -> None:
        """Add the values that a step reports to the sums, without waiting for the device."""
        self.step += 1
        self.telemetry.steps += 1
        self.sums["loss"] += step.loss
        self.sums["gradient"] += step.gradient_norms
        if step.gradient_products is not None:
            self.sums["angles"] += compute_cosines(step.gradient_products)
            self.sums["conflicting"] += has_conflict(step.gradient_products)
            self.compared += 1

    def end_epoch(self, entry: EpochEntry) -> None:
        """Add the epoch's entry to the history and move to the start of the next epoch."""
        self.history.loss.append(entry.loss)
        self.history.gradient_share.append(entry.gradient_share)
        self.history.cosine.append(entry.cosine)
        self.history.conflict.append(entry.conflict)
        self.history.validation_correct.append(entry.validation_correct)
        self.cosines = entry.cosines
        for total in self.sums.values():
            total.zero_()
        self.epoch, self.step, self.compared = self.epoch + 1, 0, 0

    def start_clock(self) -> None:
        """Start timing steps."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        self.clock = time.perf_counter()

    def stop_clock(self) -> None:
        """Record the time of the steps since the clock was started or last stopped, and their peak memory."""
        self.sums["loss"].item()  # waits for the device, so the time is right
        now = time.perf_counter()
        self.telemetry.step_seconds += now - self.clock
        self.clock = now
        if self.telemetry.peak_memory is not None:  # of the steps alone: probing and testing need more
            peak = torch.cuda.max_memory_allocated(self.device)
            self.telemetry.peak_memory = max(self.telemetry.peak_memory, peak)

    def cost(self) -> JsonObject:
        """Return the present telemetry as JSON. It always holds seconds and steps."""
        self.telemetry.seconds = self.earlier_seconds + time.perf_counter() - self.started
        cost: JsonObject = to_json(self.telemetry)
        return {"seconds": 0.0, "step_seconds": 0.0, "steps": 0} | cost


def create_state(method: Method, device: torch.device, started: float) -> TrainingState:
    """Return the state of a run before its first step; `started` is its start by `time.perf_counter`."""
    pathways = method.pathways
    sizes: dict[str, tuple[int, ...]] = {
        "loss": (),
        "gradient": (pathways,),
        "angles": (pathways, pathways),
        "conflicting": (),
    }
    sums = {name: torch.zeros(size, dtype=torch.float64, device=device) for name, size in sizes.items()}
    return TrainingState(
        method, device, sums, Telemetry(peak_memory=0 if device.type == "cuda" else None), started
    )
