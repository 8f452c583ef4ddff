"""What a person sees while a study trains: runs done of total, what runs, how accurate it is, time left."""

import sys
import time

from guidebp.jobs.pack import Event
from guidebp.runs.store import RunStore
from guidebp.study.resolve import Study

QUIET_SECONDS = 30.0


class Progress:
    """Turns the events of one pack into lines on standard error; counts over the whole study."""

    def __init__(self, study: Study, store: RunStore) -> None:
        self.study = study
        self.runs = {run.key: run for run in study.runs}
        self.store = store
        self.started = self.spoke = time.monotonic()
        self.done_at_start = self.done()
        self.accuracy: dict[str, float] = {}

    def done(self) -> int:
        """Finished runs of the study, whichever process trained them."""
        return sum(self.store.has(key) for key in self.runs)

    def follow(self, event: Event) -> None:
        """Say something about a finished run, a death, or a long run's epoch."""
        run = self.runs[event["key"]]
        name = f"{run.architecture} {run.method}, seed {run.seed}"
        if event["event"] == "epoch":
            self.accuracy[run.key] = event["accuracy"]
            if time.monotonic() - self.spoke > QUIET_SECONDS:
                epochs = run.spec["recipe"]["epochs"]
                self.say(
                    f"{name}: epoch {event['epoch'] + 1} of {epochs}, validation {event['accuracy']:.1%}"
                )
        elif event["event"] == "start" and event["checkpoint"]:
            self.say(f"{name}: goes on from epoch {int(event['checkpoint'][0].split('-')[0]) + 1}")
        elif event["event"] == "death":
            self.say(f"{name}: its process died ({event['signal']})")
        elif event["event"] == "done":
            found = f", validation {self.accuracy[run.key]:.1%}" if run.key in self.accuracy else ""
            self.say(f"{name}: {event['status']}{found}")

    def say(self, text: str) -> None:
        """One line with the study's state in front."""
        self.spoke = time.monotonic()
        done, total = self.done(), len(self.runs)
        trained = done - self.done_at_start
        left = ""
        if trained >= 3 and done < total:
            seconds = (total - done) * (self.spoke - self.started) / trained
            left = f", about {clock(seconds)} left"
        print(f"{self.study.name}: {done} of {total} runs{left} | {text}", file=sys.stderr, flush=True)


def clock(seconds: float) -> str:
    """A duration as m:ss or h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def status(study: Study, store: RunStore) -> str:
    """A table for a person: per dataset and architecture, runs done and what runs now."""
    running = store.running()
    lines = [f"{study.name}: {sum(store.has(run.key) for run in study.runs)} of {len(study.runs)} runs done"]
    for dataset in study.datasets:
        for architecture in study.architectures:
            runs = [r for r in study.runs if (r.dataset, r.architecture) == (dataset, architecture)]
            if runs:
                done = sum(store.has(run.key) for run in runs)
                lines.append(f"  {dataset} {architecture}: {done} of {len(runs)}")
    lines += [
        f"  now: {run.dataset} {run.architecture} {run.method}, seed {run.seed}"
        for run in study.runs
        if run.key in running
    ]
    return "\n".join(lines)
