"""The checkpoints of one run: when one is due, how it is written and read.

A file is named EPOCH-STEP.SHA256.safetensors after its own contents: a damaged one is known by its name, and
the one before it, which is kept, takes its place. What it must fit is inside.
"""

import hashlib
import json
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from guidebp.errors import StopRequested, UserError
from guidebp.files import file_hash, write_atomic
from guidebp.provenance import processor
from guidebp.runs.store import RunStore

VERSION = 1
KEPT = 2


class ElsewhereError(UserError):
    """A run cannot go on here."""


@dataclass(frozen=True)
class Plan:
    """Every how many epochs or minutes a checkpoint is due; a wish to stop makes one due at once.

    `warn` is told when one could not be written; training goes on.
    """

    epochs: int | None = None
    minutes: float | None = None
    stop: Callable[[], bool] = lambda: False
    warn: Callable[[str], None] = lambda text: None


@dataclass
class Checkpoints:
    """The checkpoints of a run in the store.

    Attributes:
        data: the content hash of the prepared dataset; a checkpoint of other data is passed over.
        where: the machine's `birthplace`: going on elsewhere would give other bytes, so it is refused.
    """

    store: RunStore
    key: str
    data: str
    where: dict[str, str]
    plan: Plan
    written: float = field(default_factory=time.monotonic)

    def due(self, ended: int = 0) -> bool:
        """Whether to save now: between two steps or, with their number, when so many epochs have ended."""
        if self.plan.stop():
            return True
        if ended and self.plan.epochs and ended % self.plan.epochs == 0:
            return True
        return self.plan.minutes is not None and time.monotonic() - self.written >= 60 * self.plan.minutes

    def save(self, tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
        """Write a checkpoint and keep the one before; raises Stopped where that is why it was due."""
        fits = {"version": VERSION, "key": self.key, "data": self.data, "where": self.where}
        content = save(tensors, {"run": json.dumps({**fits, "about": about})})
        name = f"{about['epoch']:06d}-{about['step']:08d}.{hashlib.sha256(content).hexdigest()}.safetensors"
        try:
            write_atomic(self.store.unfinished(self.key) / name, content)
        except OSError as error:
            self.plan.warn(f"no checkpoint written ({error}); the run goes on without")
        for old in self.store.checkpoints(self.key)[KEPT:]:
            old.unlink(missing_ok=True)
        self.written = time.monotonic()
        if self.plan.stop():
            raise StopRequested

    def newest(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """What was saved last and is sound; None without any.

        Raises ElsewhereError when it was made on another kind of machine or with another torch.
        """
        for path in self.store.checkpoints(self.key):
            tensors, header = read_checkpoint(path)
            if (header.get("version"), header.get("data")) != (VERSION, self.data):
                path.unlink(missing_ok=True)  # or it would stand before those to come
                continue
            if header["where"] != self.where:
                there, here = (", ".join(where.values()) for where in (header["where"], self.where))
                raise ElsewhereError(
                    f"{path.parent}: this run was begun on {there}; here ({here}) it would end otherwise: "
                    f"go on there, or give up what is done of it: rm -r {path.parent}"
                )
            about: dict[str, Any] = header["about"]
            return tensors, about
        return None


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and header of a file, both empty where it is damaged or gone."""
    try:
        if file_hash(path) == path.name.split(".")[1]:
            with safe_open(path, "pt") as file:
                return {name: file.get_tensor(name) for name in file.keys()}, json.loads(  # noqa: SIM118
                    file.metadata()["run"]
                )
    except (OSError, SafetensorError, ValueError, KeyError, TypeError):
        pass
    return {}, {}


def birthplace(device_class: str) -> dict[str, str]:
    """What of a machine decides the bytes of a result, for a person to read."""
    found = {"device_class": device_class, "torch": f"torch {torch.__version__}"}
    if device_class == "cpu":  # libraries choose their kernels by it
        capability = torch.backends.cpu.get_cpu_capability()
        return found | {"processor": f"{platform.machine()} {processor().split()[0]} with {capability}"}
    return found | {"cuda": f"CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"}
