"""Events that a training process reports: one JSON object a line on its standard output."""

import json
import os
import sys
from dataclasses import dataclass
from typing import Literal

from guidebp.runs.json_fields import from_json, to_json


@dataclass(frozen=True)
class TrainingEvent:
    """An event in the training of a run. Most attributes are set by one kind of event, named in brackets.

    Attributes:
        kind: held (another process has finished the run), start, epoch, done, or death of the run's process.
        device_class: class of the device that trains the run (start).
        resumed_epoch: epoch, from 0, of the checkpoint that the run resumes from; None without one (start).
        epoch: number of the finished epoch, from 0 (epoch).
        accuracy: validation accuracy of the primary output (epoch).
        status: status of the run's result (done).
        signal: name of the cause that killed the process (death).
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
    """Print an event at once; drop it if nobody reads standard output."""
    try:
        print(json.dumps(to_json(event)), flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def read_event(line: str) -> TrainingEvent:
    """Return the event of a line that `emit_event` printed."""
    return from_json(TrainingEvent, json.loads(line))
