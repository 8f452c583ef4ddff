"""A run between two steps: everything that what comes after depends on, as tensors and JSON.

Batches, augmentation and initial weights follow from streams by name (`streams.py`), so of chance only torch's own
generators have a state, and those that methods keep as extra state of their own.
"""

import time
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from guidebp.evaluation.conflict import conflicts, cosines
from guidebp.methods.contract import Method, Step

HISTORY = ("loss", "gradient_share", "cosine", "conflict", "validation_correct")


@dataclass
class State:
    """Where a run is: before step `step` of epoch `epoch`, both from 0.

    Attributes:
        history: a column per quantity, a value per finished epoch.
        cosines: of the last finished epoch.
        sums: what the present epoch has added up, float64 on the device.
        compared: steps of the present epoch that gave inner products.
        telemetry: what the run has cost so far, but for its whole time.
        begun, earlier: when this process began with the run; the seconds of those before it.
        clock: when the clock of the steps was last started or stopped.
    """

    method: Method
    device: torch.device
    sums: dict[str, Tensor]
    telemetry: dict[str, Any]
    begun: float
    epoch: int = 0
    step: int = 0
    history: dict[str, list[Any]] = field(default_factory=lambda: {column: [] for column in HISTORY})
    cosines: list[list[float]] | None = None
    compared: int = 0
    earlier: float = 0.0
    clock: float = 0.0

    def capture(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors by name, on the CPU and sharing nothing, and all the rest as JSON."""
        generators = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            generators["cuda"] = torch.cuda.get_rng_state(self.device)
        parts = {
            "method": self.method.state_dict(),
            "optimisers": {name: made.state_dict() for name, made in self.method.optimisers.items()},
            "sums": self.sums,
            "generators": generators,
        }
        tensors: dict[str, Tensor] = {}
        about = {
            "epoch": self.epoch,
            "step": self.step,
            "history": self.history,
            "cosines": self.cosines,
            "compared": self.compared,
            "telemetry": self.cost(),
            "parts": flattened(parts, "", tensors, {}),
        }
        return tensors, about

    def put_back(self, tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
        """Be where `capture` was, with a method made from the same spec."""
        parts = restored(about["parts"], tensors)
        self.method.load_state_dict(parts["method"])
        for name, optimiser in self.method.optimisers.items():
            optimiser.load_state_dict(parts["optimisers"][name])
        for name, found in parts["sums"].items():
            self.sums[name].copy_(found)
        torch.set_rng_state(parts["generators"]["cpu"])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(parts["generators"]["cuda"], self.device)
        self.epoch, self.step, self.compared = about["epoch"], about["step"], about["compared"]
        self.history, self.cosines = about["history"], about["cosines"]
        self.telemetry |= about["telemetry"]
        self.telemetry["resumed"] = self.telemetry.get("resumed", 0) + 1
        self.earlier = self.telemetry["seconds"]

    def add(self, done: Step) -> None:
        """Add up what a step reports; nothing waits for the device."""
        self.step += 1
        self.telemetry["steps"] += 1
        self.sums["loss"] += done.loss
        self.sums["gradient"] += done.gradient
        if done.products is not None:
            self.sums["angles"] += cosines(done.products)
            self.sums["conflicting"] += conflicts(done.products)
            self.compared += 1

    def end_epoch(self, entry: dict[str, Any]) -> None:
        """Put the epoch's entry into the history, and be before the next one."""
        for column in HISTORY:
            self.history[column].append(entry[column])
        for total in self.sums.values():
            total.zero_()
        self.epoch, self.step, self.compared = self.epoch + 1, 0, 0

    def start_clock(self) -> None:
        """Steps follow."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        self.clock = time.perf_counter()

    def stop_clock(self) -> None:
        """Count the time of the steps since the clock was started or last stopped, and their memory."""
        self.sums["loss"].item()  # waits for the device, so the time is right
        now = time.perf_counter()
        self.telemetry["step_seconds"] += now - self.clock
        self.clock = now
        if self.device.type == "cuda":  # of the steps alone: probing and testing need more
            peak = torch.cuda.max_memory_allocated(self.device)
            self.telemetry["peak_memory"] = max(self.telemetry["peak_memory"], peak)

    def cost(self) -> dict[str, Any]:
        """The telemetry as it is now."""
        return self.telemetry | {"seconds": self.earlier + time.perf_counter() - self.begun}


def new_state(method: Method, device: torch.device, begun: float) -> State:
    """A run before its first step, begun at this reading of `time.perf_counter`."""
    count = method.pathways
    sizes: dict[str, tuple[int, ...]] = {
        "loss": (),
        "gradient": (count,),
        "angles": (count, count),
        "conflicting": (),
    }
    sums = {name: torch.zeros(size, dtype=torch.float64, device=device) for name, size in sizes.items()}
    telemetry: dict[str, Any] = {"seconds": 0.0, "step_seconds": 0.0, "steps": 0}
    if device.type == "cuda":
        telemetry["peak_memory"] = 0
    return State(method, device, sums, telemetry, begun)


def flattened(value: Any, path: str, tensors: dict[str, Tensor], seen: dict[Any, str]) -> Any:
    """The nested value as JSON, its tensors by name in `tensors`; a second name of a tensor is stored once."""
    if isinstance(value, Tensor):
        memory = value.data_ptr(), value.shape, value.stride(), value.dtype
        name = seen.setdefault(memory, path) if value.numel() else path
        if name not in tensors:
            tensors[name] = value.detach().to("cpu", copy=True).contiguous()
        return {"tensor": name}
    if isinstance(value, dict):
        return {
            "dict": [[key, flattened(part, f"{path}/{key}", tensors, seen)] for key, part in value.items()]
        }
    if isinstance(value, list | tuple):
        parts = [flattened(part, f"{path}/{i}", tensors, seen) for i, part in enumerate(value)]
        return {"tuple" if isinstance(value, tuple) else "list": parts}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{path}: a state of type {type(value).__name__} cannot be stored without pickling")


def restored(value: Any, tensors: dict[str, Tensor]) -> Any:
    """What `flattened` was given."""
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {key: restored(part, tensors) for key, part in content}
    parts = [restored(part, tensors) for part in content]
    return tuple(parts) if kind == "tuple" else parts
