"""The checkpoints of one run: the policy that says when one is due, writing and reading.

The name of a file contains the checksum of its contents (`CheckpointName`), so a damaged file is recognised. The
previous checkpoint is kept and used instead. The file names the run, data and machine that it belongs to.
"""

import hashlib
import json
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from guidebp.errors import StopRequested, UserError
from guidebp.files import file_hash, write_atomic
from guidebp.provenance import read_processor_name
from guidebp.runs.checkpoint_name import CheckpointName
from guidebp.runs.json_fields import JsonObject, from_json, to_json
from guidebp.runs.store import RunStore

VERSION = 2
KEPT = 2


class MachineMismatchError(UserError):
    """Error for a checkpoint made on another kind of machine: resuming here would give different bytes."""


class Checkpoint(NamedTuple):
    """The state of a run before step `step` of epoch `epoch`: tensors by name, and all the rest as JSON."""

    epoch: int
    step: int
    tensors: dict[str, Tensor]
    about: JsonObject


@dataclass(frozen=True)
class _Header:
    """The contents of a checkpoint file other than its tensors."""

    version: int
    key: str
    data: str
    machine: dict[str, str]
    about: JsonObject


@dataclass(frozen=True)
class CheckpointPolicy:
    """Rule for writing checkpoints: after `epochs` epochs or `minutes` minutes, and at once when asked to stop.

    Attributes:
        stop: returns True if this process was asked to stop.
        warn: called with a message when a checkpoint could not be written; training continues.
    """

    epochs: int | None = None
    minutes: float | None = None
    stop: Callable[[], bool] = lambda: False
    warn: Callable[[str], None] = lambda text: None


@dataclass
class Checkpoints:
    """The checkpoints of a run in the store.

    Attributes:
        data: content hash of the prepared dataset; a checkpoint of other data is deleted.
        machine: result of `identify_machine` here; a checkpoint of another kind of machine is refused.
        written: time at which the newest checkpoint was written, by `time.monotonic`.
    """

    store: RunStore
    key: str
    data: str
    machine: dict[str, str]
    policy: CheckpointPolicy
    written: float = field(default_factory=time.monotonic)

    def due(self, epochs: int = 0) -> bool:
        """Return True if a checkpoint is due now: between two steps, or after `epochs` finished epochs."""
        policy = self.policy
        if policy.stop():
            return True
        if epochs and policy.epochs and epochs % policy.epochs == 0:
            return True
        return policy.minutes is not None and time.monotonic() - self.written >= 60 * policy.minutes

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint and keep the previous one. Raises StopRequested if the process was asked to stop."""
        header = _Header(VERSION, self.key, self.data, self.machine, checkpoint.about)
        content = save(checkpoint.tensors, {"run": json.dumps(to_json(header))})
        name = CheckpointName(checkpoint.epoch, checkpoint.step, hashlib.sha256(content).hexdigest())
        try:
            write_atomic(self.store.unfinished(self.key) / str(name), content)
        except OSError as error:
            self.policy.warn(f"no checkpoint written ({error}); the run continues without")
        for path in self.store.checkpoints(self.key)[KEPT:]:
            path.unlink(missing_ok=True)
        self.written = time.monotonic()
        if self.policy.stop():
            raise StopRequested

    def newest(self) -> Checkpoint | None:
        """The newest checkpoint that is intact and of the same data; None if there is none.

        Raises MachineMismatchError when the checkpoint was made on another kind of machine or with another torch.
        """
        for path in self.store.checkpoints(self.key):
            name = CheckpointName.parse(path.name)
            tensors, header = _read_checkpoint(path, name)
            if name is None or header is None or (header.version, header.data) != (VERSION, self.data):
                path.unlink(missing_ok=True)  # or it would come before those to be written
                continue
            if header.machine != self.machine:
                there, here = (", ".join(machine.values()) for machine in (header.machine, self.machine))
                raise MachineMismatchError(
                    f"{path.parent}: checkpoint was made on {there} and cannot resume on {here} with identical "
                    f"results; resume there, or delete it: rm -r {path.parent}"
                )
            return Checkpoint(name.epoch, name.step, tensors, header.about)
        return None


def _read_checkpoint(path: Path, name: CheckpointName | None) -> tuple[dict[str, Tensor], _Header | None]:
    """Tensors and header of a checkpoint file; no tensors and no header if it is damaged or gone."""
    try:
        if name and file_hash(path) == name.sha256:
            with safe_open(path, "pt") as file:
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
                return tensors, from_json(_Header, json.loads(file.metadata()["run"]))
    except (OSError, SafetensorError, ValueError, KeyError, TypeError):
        pass
    return {}, None


def identify_machine(device_class: str) -> dict[str, str]:
    """The properties of a machine that decide the bytes of a result, in readable words."""
    description = {"device_class": device_class, "torch": f"torch {torch.__version__}"}
    if device_class == "cpu":  # libraries choose their kernels by it
        capability = torch.backends.cpu.get_cpu_capability()
        return description | {
            "processor": f"{platform.machine()} {read_processor_name().split()[0]} with {capability}"
        }
    return description | {"cuda": f"CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"}
