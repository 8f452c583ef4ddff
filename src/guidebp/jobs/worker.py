"""The child process that trains runs: start it, follow its events, and stop it with this process."""

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
    """Settings of a training process that apply to all runs.

    Attributes:
        device: auto, cpu or cuda.
        keep_weights: store the final weights.
        checkpoint_epochs, checkpoint_minutes: epochs and minutes between checkpoints; None for no such limit.
        hand_back: do not retry a run that died here; a scheduler starts the pack again with more memory.
    """

    device: str = "auto"
    keep_weights: bool = False
    checkpoint_epochs: int | None = None
    checkpoint_minutes: float | None = None
    hand_back: bool = False

    def arguments(self) -> list[str]:
        """Return the settings as arguments of the worker's command line."""
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

    Returns its exit code (negative: the signal that killed it) and the start event of the run in training, or None.
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
