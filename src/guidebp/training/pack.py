"""Train a pack: start a process for what the store lacks, follow it, outlive it.

The process that trains is a child, so that importing torch is paid only when there is something to train, and a
run that takes its process down (out of memory, a crash in a kernel) costs the pack that run alone: at the second
death it is recorded as crashed, and the others go on.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from guidebp.canonical import readable_json
from guidebp.errors import UserError
from guidebp.store import RECORD, TELEMETRY, RunStore, make_record

Event = dict[str, Any]
DEATHS_ALLOWED = 2
# What a run does to its own process; any other signal is somebody's wish to stop.
CRASHES = {"SIGKILL", "SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL"}


def train_pack(
    specs: list[dict[str, Any]],
    data: Path,
    hashes: dict[str, str],
    store: RunStore,
    device: str,
    keep_weights: bool,
    follow: Callable[[Event], None],
) -> None:
    """Train the runs that the store does not hold, calling `follow` with each event of `__main__`.

    `hashes` maps dataset names to the content hashes of their manifests. Raises UserError when the child
    fails other than by being killed, with what it said.
    """
    deaths: dict[str, int] = {}
    before = -1  # runs missing before the last child that ended well
    while True:
        missing = [s for s in specs if not store.holds(s["key"], hashes[s["dataset"]["name"]])]
        if not missing:
            return
        if len(missing) == before:
            raise UserError(
                f"{data}: the prepared data changed while training; run snakemake again, which prepares it first"
            )
        code, current = run_child(missing, data, store, device, keep_weights, follow)
        if code == 0:
            before = len(missing)
            continue
        cause = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        if current is None or cause not in CRASHES:
            raise UserError(f"training stopped ({cause}); what it said stands above, finished runs are kept")
        key = current["key"]
        deaths[key] = deaths.get(key, 0) + 1
        follow({"event": "death", "key": key, "signal": cause})
        if deaths[key] >= DEATHS_ALLOWED:
            spec = next(s for s in specs if s["key"] == key)
            publish_crashed(spec, hashes[spec["dataset"]["name"]], store, current["device_class"])
            follow({"event": "done", "key": key, "status": "crashed"})


def publish_crashed(spec: dict[str, Any], data: str, store: RunStore, device_class: str) -> None:
    """Record that a run killed its process on a device of this class."""
    result: dict[str, Any] = {"status": "crashed", "outputs": [], "history": None, "test_correct": None}
    files = {
        RECORD: make_record(spec, data, result, {}),
        TELEMETRY: readable_json({"device_class": device_class}),
    }
    with store.lock(spec["key"]):
        store.publish(spec["key"], files)


def run_child(
    specs: list[dict[str, Any]],
    data: Path,
    store: RunStore,
    device: str,
    keep_weights: bool,
    follow: Callable[[Event], None],
) -> tuple[int, Event | None]:
    """Train in a child; its exit code (negative: the signal that killed it) and the start of the run it was at."""
    current: Event | None = None
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(specs, file)
        file.flush()
        command = [sys.executable, "-m", "guidebp.training", file.name]
        command += ["--data", str(data), "--store", str(store.root), "--device", device]
        command += ["--keep-weights"] * keep_weights
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as child:
            try:
                assert child.stdout is not None
                for line in child.stdout:
                    event = json.loads(line)
                    current = event if event["event"] == "start" else current
                    current = None if event["event"] == "done" else current
                    follow(event)
                code = child.wait()
            finally:
                child.kill()
    return code, current
