"""Runs per hour: a pack against a process per run and, on a GPU, how many packs at once one device carries."""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.measure import AbsentError, Case
from benchmarks.specs import PREPARED, resolve_spec
from guidebp.runs.spec import PlannedRun, planned_run_to_json

RUNS = 20
ALONE = 5  # of them, each in a process of its own: enough to know how many would be trained in an hour
BESIDE = 10.0  # percent
RECIPES = {"8 epochs": 8, "2 epochs": 2}


def cases(device: str) -> list[Case]:
    """Twenty runs of three columns on digits, of the demo's recipe and of a shorter one."""
    at_once = [1, 2, 4, 8, 16] if device == "cuda" else [1, os.cpu_count() or 1]
    found = []
    for name, epochs in RECIPES.items():
        runs = plan_runs(epochs)
        sides = {"a process per run": partial(per_hour, [[run] for run in runs[:ALONE]], device, 1)}
        for count in at_once:
            told = "a pack" if count == 1 else f"{count} packs at once"
            packs = [plan_runs(epochs, first=RUNS * number) for number in range(count)]
            sides[told] = partial(per_hour, packs, device, count)
        title = f"{RUNS} runs of three columns on digits, {name}, {device}"
        found.append(Case(title, "runs/h", sides, needed={"a pack": 5.0}))
    return found


def plan_runs(epochs: int, first: int = 0) -> list[PlannedRun]:
    """`RUNS` runs that differ in their seed, from `first` on."""
    spec = resolve_spec("three columns on digits")
    split = replace(spec.dataset.split, validation=0.1)
    spec = replace(
        spec,
        dataset=replace(spec.dataset, split=split),
        recipe=replace(spec.recipe, epochs=epochs),
    )
    return [PlannedRun(replace(spec, seed=seed)) for seed in range(first, first + RUNS)]


def per_hour(packs: list[list[PlannedRun]], device: str, at_once: int) -> float:
    """Train packs, so many at once, each in a process of its own, with an empty store; runs per hour."""
    return trained(packs, device, at_once)[0]


def beside(device: str) -> dict[str, Any]:
    """A table: what a pack's process takes beside its runs' own time, in percent of that."""
    rows = []
    for name, epochs in RECIPES.items():
        per_hour, own = trained([plan_runs(epochs)], device, 1)
        wall = 3600 * RUNS / per_hour
        row = {
            "what": f"a pack of {RUNS} runs, {name}",
            "seconds": round(wall, 2),
            "runs' own": round(own, 2),
        }
        rows.append(row | {"beside, %": round(100 * (wall - own) / own, 1), "at most, %": BESIDE})
    return {"title": f"A pack beside its runs, {device}", "rows": rows}


def trained(packs: list[list[PlannedRun]], device: str, at_once: int) -> tuple[float, float]:
    """Runs per hour of packs trained as `per_hour` says, and the seconds that the runs themselves took."""
    if not (PREPARED / "digits.safetensors").exists():
        raise AbsentError("needs the demo's data (make)")
    with tempfile.TemporaryDirectory() as folder:
        waiting: list[list[str]] = []
        for number, runs in enumerate(packs):
            path = Path(folder) / f"{number}.json"
            path.write_text(json.dumps([planned_run_to_json(run) for run in runs]))
            command = [sys.executable, "-m", "guidebp.training", str(path), "--device", device]
            waiting.append([*command, "--data", str(PREPARED), "--store", f"{folder}/runs"])
        environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "0"}
        started = time.perf_counter()
        running: list[subprocess.Popen[bytes]] = []
        try:
            while waiting or running:
                while waiting and len(running) < at_once:
                    command = waiting.pop(0)
                    running.append(subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL))
                if running[0].wait() != 0:
                    raise RuntimeError("a process failed")
                running.pop(0)
        finally:
            for process in running:
                process.kill()
                process.wait()
        seconds = time.perf_counter() - started
        costs = [json.loads(path.read_text()) for path in Path(folder, "runs").glob("*/telemetry.json")]
    return 3600 * sum(map(len, packs)) / seconds, sum(cost["seconds"] for cost in costs)
