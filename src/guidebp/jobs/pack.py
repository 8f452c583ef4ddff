"""Train a pack: start a process for what the store lacks, follow it, outlive it.

The process that trains is a child, so that importing torch is paid only when there is something to train, and a
run that takes its process down (out of memory, a crash in a kernel) costs the pack that run alone: at the second
death without a new checkpoint in between it is recorded as crashed, and the others go on. A signal that asks to
stop is passed on to the child, which leaves a checkpoint.
"""

import json
import math
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from guidebp.errors import StopRequested, UserError
from guidebp.files import write_atomic
from guidebp.hashing import readable_json
from guidebp.runs.record import encode_record
from guidebp.runs.store import RECORD, TELEMETRY, RunStore
from guidebp.training.stop import CONTINUE, OUT_OF_MEMORY, passed_on

Event = dict[str, Any]
DEATHS_ALLOWED = 2
DEATHS = "deaths.json"
# What a run does to its own process, and what somebody wishes.
CRASHES = {"SIGKILL", "SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "out of memory"}
WISHES = {"SIGTERM", "SIGINT", "SIGHUP"}


@dataclass(frozen=True)
class Training:
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

    def options(self) -> list[str]:
        """On the command line of the child."""
        minutes = math.inf if self.checkpoint_minutes is None else self.checkpoint_minutes
        found = ["--device", self.device, "--checkpoint-minutes", str(minutes)]
        if self.checkpoint_epochs is not None:
            found += ["--checkpoint-epochs", str(self.checkpoint_epochs)]
        return found + ["--keep-weights"] * self.keep_weights


def train_pack(
    specs: list[dict[str, Any]],
    data: Path,
    hashes: dict[str, str],
    store: RunStore,
    training: Training,
    follow: Callable[[Event], None],
) -> None:
    """Train the runs that the store does not hold, calling `follow` with each event of `__main__`.

    `hashes` maps dataset names to the content hashes of their manifests. Raises UserError when the child fails
    other than by being killed, with what it said; Stopped when it was asked to stop, or when runs are handed back.
    """
    handed_back: set[str] = set()
    before = -1  # runs missing before the last child that ended well
    while True:
        missing = [s for s in specs if not store.holds(s["key"], hashes[s["dataset"]["name"]])]
        left = [s for s in missing if s["key"] not in handed_back]
        if missing and not left:
            raise StopRequested(
                f"{len(missing)} runs died; the next start, best with more memory, tries them once more"
            )
        if not missing:
            return
        if len(left) == before:
            raise UserError(
                f"{data}: the prepared data changed while training; run snakemake again, which prepares it first"
            )
        code, current = run_child(left, data, store, training, follow)
        if code == 0:
            before = len(left)
            continue
        cause = {OUT_OF_MEMORY: "out of memory"}.get(code, f"exit code {code}")
        cause = signal.Signals(-code).name if code < 0 else cause
        if code == CONTINUE or cause in WISHES:
            raise StopRequested("finished runs and checkpoints are kept")
        if current is None or cause not in CRASHES:
            raise UserError(f"training stopped ({cause}); what it said stands above, finished runs are kept")
        key = current["key"]
        spec = next(s for s in specs if s["key"] == key)
        checksum = hashes[spec["dataset"]["name"]]
        if store.holds(key, checksum):  # died right after, or another process has trained it since
            continue
        follow({"event": "death", "key": key, "signal": cause})
        if count_death(store, key) >= DEATHS_ALLOWED:
            publish_crashed(spec, checksum, store, current["device_class"])
            follow({"event": "done", "key": key, "status": "crashed"})
        elif training.hand_back:
            handed_back.add(key)


def count_death(store: RunStore, key: str) -> int:
    """How often the run has died since its newest checkpoint, this time counted."""
    path, newest = store.unfinished(key) / DEATHS, [path.name for path in store.checkpoints(key)[:1]]
    before = 0
    with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):  # none yet, or damaged
        known = json.loads(path.read_bytes())
        before = int(known["count"]) if known["since"] == newest else 0
    write_atomic(path, readable_json({"count": before + 1, "since": newest}))
    return before + 1


def publish_crashed(spec: dict[str, Any], data: str, store: RunStore, device_class: str) -> None:
    """Record that a run killed its process on a device of this class, unless another process has finished it."""
    result: dict[str, Any] = {"status": "crashed", "outputs": [], "history": None, "test_correct": None}
    files = {
        RECORD: encode_record(spec, data, result, {}),
        TELEMETRY: readable_json({"device_class": device_class}),
    }
    with store.lock(spec["key"]):
        if not store.holds(spec["key"], data):
            store.publish(spec["key"], files)


def run_child(
    specs: list[dict[str, Any]],
    data: Path,
    store: RunStore,
    training: Training,
    follow: Callable[[Event], None],
) -> tuple[int, Event | None]:
    """Train in a child; its exit code (negative: the signal that killed it) and the start of the run it was at."""
    current: Event | None = None
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(specs, file)
        file.flush()
        command = [sys.executable, "-m", "guidebp.training", file.name, "--parent", str(os.getpid())]
        command += ["--data", str(data), "--store", str(store.root), *training.options()]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as child:
            try:
                assert child.stdout is not None
                with passed_on(child.terminate, child.kill) as wishes:
                    for line in child.stdout:
                        event = json.loads(line)
                        current = event if event["event"] == "start" else current
                        current = None if event["event"] == "done" else current
                        follow(event)
                    code = child.wait()
                if wishes and code != 0:  # however it ended then, it was no death of its own
                    code = CONTINUE
            finally:
                child.kill()
    return code, current
