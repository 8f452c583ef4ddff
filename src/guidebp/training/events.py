"""What a training process reports: one event a line, as JSON on its standard output."""

import json
import os
import sys
from dataclasses import dataclass
from typing import Literal

from guidebp.runs.json_fields import from_json, to_json


@dataclass(frozen=True)
class TrainingEvent:
    """Something that happened to a run.

    Attributes:
        kind: held (another process has finished it), start, epoch, done, or death of its process.
        device_class: start: what it runs on.
        resumed_epoch: start: the epoch, from 0, of the checkpoint that it resumes from; None without one.
        epoch: epoch: which one has ended, from 0.
        accuracy: epoch: validation accuracy of the primary output.
        status: done: that of its result.
        signal: death: what killed the process.
    """

    kind: Literal["held", "start", "epoch", "done", "death"]
    key: str
    device_class: str = ""
    resumed_epoch: int | None = None
    epoch: int = 0
    accuracy: float = 0.0
    status: str = ""
    signal: str = ""


def emit_event(event: TrainingEvent) -> None:
    """Print an event at once; without a listener it is dropped."""
    try:
        print(json.dumps(to_json(event)), flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def read_event(line: str) -> TrainingEvent:
    """The event of a line that `emit_event` printed."""
    return from_json(TrainingEvent, json.loads(line))
