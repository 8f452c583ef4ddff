"""Progress of a study for people: finished and planned runs, present runs, accuracy, time left."""

import sys
import time

from guidebp.runs.store import RunStore
from guidebp.study.keys import Run
from guidebp.study.study import Study
from guidebp.training.events import TrainingEvent

QUIET_SECONDS = 30.0


class Progress:
    """Printer of the events of one pack on standard error, with counts over the whole study."""

    def __init__(self, study: Study, store: RunStore) -> None:
        self.study = study
        self.runs = {run.key: run for run in study.runs}
        self.store = store
        self.started = self.printed = time.monotonic()
        self.finished_at_start = self._count_finished()
        self.accuracy: dict[str, float] = {}

    def follow(self, event: TrainingEvent) -> None:
        """Print a resumed or finished run, a death, or an epoch of a long run."""
        run = self.runs[event.key]
        name = _name_run(run)
        if event.kind == "epoch":
            self.accuracy[run.key] = event.accuracy
            if time.monotonic() - self.printed > QUIET_SECONDS:
                epochs = run.spec.recipe.epochs
                self._print(f"{name}: epoch {event.epoch + 1} of {epochs}, validation {event.accuracy:.1%}")
        elif event.kind == "start" and event.resumed_epoch is not None:
            self._print(f"{name}: resumes in epoch {event.resumed_epoch + 1}")
        elif event.kind == "death":
            self._print(f"{name}: its process died ({event.signal})")
        elif event.kind == "done":
            accuracy = f", validation {self.accuracy[run.key]:.1%}" if run.key in self.accuracy else ""
            self._print(f"{name}: {event.status}{accuracy}")

    def _count_finished(self) -> int:
        """The number of finished runs of the study, whichever process trained them."""
        return sum(self.store.has(key) for key in self.runs)

    def _print(self, text: str) -> None:
        """Print one line that begins with the state of the study."""
        self.printed = time.monotonic()
        finished, total = self._count_finished(), len(self.runs)
        trained = finished - self.finished_at_start
        left = ""
        if trained >= 3 and finished < total:
            seconds = (total - finished) * (self.printed - self.started) / trained
            left = f", about {format_duration(seconds)} left"
        print(f"{self.study.name}: {finished} of {total} runs{left} | {text}", file=sys.stderr, flush=True)


def format_duration(seconds: float) -> str:
    """Format a duration in seconds as m:ss or h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def format_status(study: Study, store: RunStore) -> str:
    """A text for a person: finished runs per dataset and architecture, and the runs in training now."""
    running = store.running_keys()
    lines = [
        f"{study.name}: {sum(store.has(run.key) for run in study.runs)} of {len(study.runs)} runs finished"
    ]
    for dataset in study.datasets:
        for architecture in study.architectures:
            runs = [r for r in study.runs if (r.dataset, r.architecture) == (dataset, architecture)]
            if runs:
                finished = sum(store.has(run.key) for run in runs)
                lines.append(f"  {dataset} {architecture}: {finished} of {len(runs)}")
    lines += [f"  now: {run.dataset} {_name_run(run)}" for run in study.runs if run.key in running]
    return "\n".join(lines)


def _name_run(run: Run) -> str:
    return f"{run.architecture} {run.method}, seed {run.seed}"
