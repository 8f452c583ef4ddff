"""The child process that trains runs: started, followed by its events, stopped with us."""

import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from guidebp.runs.spec import PlannedRun, planned_run_to_json
from guidebp.runs.store import RunStore
from guidebp.training.events import TrainingEvent, read_event
from guidebp.training.stop import CONTINUE, forward_signals


@dataclass(frozen=True)
class TrainingOptions:
    """How to train, whatever the runs.

    Attributes:
        device: auto, cpu or cuda.
        keep_weights: whether to store the final weights.
        checkpoint_epochs, checkpoint_minutes: when checkpoints are due.
        hand_back: leave a run that died to whoever starts this again, with more memory: a scheduler.
    """

    device: str = "auto"
    keep_weights: bool = False
    checkpoint_epochs: int | None = None
    checkpoint_minutes: float | None = None
    hand_back: bool = False

    def arguments(self) -> list[str]:
        """On the command line of the worker."""
        minutes = math.inf if self.checkpoint_minutes is None else self.checkpoint_minutes
        arguments = ["--device", self.device, "--checkpoint-minutes", str(minutes)]
        if self.checkpoint_epochs is not None:
            arguments += ["--checkpoint-epochs", str(self.checkpoint_epochs)]
        return arguments + ["--keep-weights"] * self.keep_weights


def run_worker(
    runs: Sequence[PlannedRun],
    data: Path,
    store: RunStore,
    options: TrainingOptions,
    follow: Callable[[TrainingEvent], None],
) -> tuple[int, TrainingEvent | None]:
    """Train in a child process, calling `follow` with each of its events.

    Returns its exit code (negative: the signal that killed it) and the start event of the run that it was at.
    """
    current: TrainingEvent | None = None
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump([planned_run_to_json(run) for run in runs], file)
        file.flush()
        command = [sys.executable, "-m", "guidebp.training", file.name, "--parent", str(os.getpid())]
        command += ["--data", str(data), "--store", str(store.root), *options.arguments()]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as child:
            try:
                assert child.stdout is not None
                with forward_signals(child.terminate, child.kill) as signals:
                    for line in child.stdout:
                        event = read_event(line)
                        current = event if event.kind == "start" else current
                        current = None if event.kind == "done" else current
                        follow(event)
                    code = child.wait()
                if signals and code != 0:  # however it ended, it was no death of its own
                    code = CONTINUE
            finally:
                child.kill()
    return code, current
