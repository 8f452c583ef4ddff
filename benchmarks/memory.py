"""Preparing CIFAR-10, and what several processes that train on it at once hold of its images.

Run as a program it is one of these processes: it trains a few steps, says "ready", waits for a line and prints what
it holds.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.measure import AbsentError
from benchmarks.pipeline import run
from benchmarks.specs import PREPARED, resolve_spec

DATASET = "cifar-10"
AT_ONCE = [1, 2, 4, 8]


def measure() -> dict[str, Any]:
    """A table: seconds and memory of preparing, then a row per number of processes."""
    if not (PREPARED / f"{DATASET}.safetensors").exists():
        raise AbsentError(f"needs the dataset: snakemake -- {PREPARED}/{DATASET}.json")
    rows: list[dict[str, Any]] = []
    seconds, memory = run("guidebp", "prepare", DATASET)
    rows.append({"what": f"guidebp prepare {DATASET}", "seconds": round(seconds, 2), "MiB": round(memory)})
    images = (PREPARED / f"{DATASET}.safetensors").stat().st_size / 2**20
    for count in AT_ONCE:
        held = together(count)
        row = {"what": f"{count} packs over {DATASET}: its images, all in all", "MiB": round(held["images"])}
        rows.append(row | {"at most MiB": round(images) + 1})
        rows.append(
            {
                "what": f"{count} packs over {DATASET}: the rest of a process",
                "MiB": round(held["rest"] / count),
            }
        )
    return {"title": "Preparing and memory", "rows": rows}


def together(count: int) -> dict[str, float]:
    """MiB of so many processes, pages that they share counted once."""
    command = [sys.executable, "-m", "benchmarks.memory"]
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    workers = [subprocess.Popen(command, **pipes) for _ in range(count)]
    try:
        for worker in workers:
            assert worker.stdout is not None
            if worker.stdout.readline() != "ready\n":
                raise RuntimeError("a process ended early")
        held = []
        for worker in workers:  # all are alive while each looks
            assert worker.stdin is not None and worker.stdout is not None
            worker.stdin.write("go\n")
            worker.stdin.flush()
            held.append(json.loads(worker.stdout.readline()))
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    return {name: sum(one[name] for one in held) for name in ("images", "rest")}


def one_process() -> None:
    """Train a few steps and say what the process holds: each page divided by the processes that share it."""
    import torch

    from guidebp.data.prepared import load_prepared
    from guidebp.training.numerics import set_numerics
    from guidebp.training.trainer import start_run

    spec = resolve_spec("three columns on CIFAR-10")
    device = torch.device("cpu")
    set_numerics("exact", device)
    method, batches = start_run(spec, load_prepared(PREPARED, DATASET), device)
    for step, (images, labels) in enumerate(batches.epoch(0, method.streams)):
        method.step(images, labels)
        if step == 2:
            break
    print("ready", flush=True)
    sys.stdin.readline()
    held = {"images": 0.0, "rest": 0.0}
    name = "rest"
    for line in Path("/proc/self/smaps").read_text().splitlines():
        words = line.split()
        if not words[0].endswith(":"):  # where a mapping begins, with its file at the end
            name = "images" if f"{DATASET}.safetensors" in line else "rest"
        elif words[0] == "Pss:":
            held[name] += int(words[1]) / 1024
    print(json.dumps(held), flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    one_process()
