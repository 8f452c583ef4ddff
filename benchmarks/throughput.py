"""Training throughput of the whole machine: a process of ours per core, or several per GPU, against a user's loop.

Run as a program it is one process of a side: it says "ready" after an epoch to warm up, waits for a line, and
prints its images per second.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from functools import partial
from typing import Any

from benchmarks.measure import AbsentError, Case
from benchmarks.specs import NETWORKS, images_of, resolve_spec
from guidebp.training.numerics import cpu_has_bf16

IMAGES, SECONDS = 2560, 8.0


def cases(device: str, seconds: float = SECONDS) -> list[Case]:
    """A case per network."""
    at_once = [1, 2, 4, 8] if device == "cuda" else [os.cpu_count() or 1]
    found = []
    for network in NETWORKS:
        sides = {"user's loop": partial(together, "user", network, "exact", device, 1, seconds)}
        for numerics in ("exact", "fast"):
            for count in at_once:
                name = f"{numerics}, {count} at once"
                sides[name] = partial(together, "ours", network, numerics, device, count, seconds)
        wanted = {"exact": 4.0, "fast": 4.0} if "digits" in network else {"exact": 1.6, "fast": 3.0}
        needed = {name: wanted[name.split(",")[0]] for name in sides if name != "user's loop"}
        found.append(Case(f"Training {network}, {device}", "images/s", sides, needed=needed))
    return found


def together(side: str, network: str, numerics: str, device: str, count: int, seconds: float) -> float:
    """Images per second of so many processes at once, all in all."""
    if numerics == "fast" and device == "cpu" and not cpu_has_bf16():
        raise AbsentError("computes as exact does: no bf16 here")
    command = [sys.executable, "-m", "benchmarks.throughput", side, network, numerics, device, str(seconds)]
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    environment |= {"OMP_NUM_THREADS": "1"} if side == "ours" else {}
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    workers = [subprocess.Popen(command, env=environment, **pipes) for _ in range(count)]
    try:
        for worker in workers:
            assert worker.stdout is not None
            if worker.stdout.readline() != "ready\n":
                raise RuntimeError(f"{' '.join(command)}: ended early")
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write("go\n")
            worker.stdin.flush()
        return sum(float(json.loads(worker.communicate()[0])) for worker in workers)
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()


def one_process() -> None:
    """Measure one side in this process."""
    parser = argparse.ArgumentParser(description=one_process.__doc__)
    parser.add_argument("side", choices=["ours", "user"])
    parser.add_argument("network", choices=NETWORKS)
    parser.add_argument("numerics")
    parser.add_argument("device")
    parser.add_argument("seconds", type=float)
    args = parser.parse_args()
    import torch

    spec, device = resolve_spec(args.network, args.numerics), torch.device(args.device)
    data = images_of(spec.dataset.name, IMAGES)
    if args.side == "user":
        from benchmarks.user_loop import Loop

        loop = Loop(spec, data, device)
        loop.epoch()
        print("ready", flush=True)
        sys.stdin.readline()
        print(json.dumps(loop.images_per_second(args.seconds)))
        return
    from guidebp.training.epoch import train_epoch
    from guidebp.training.numerics import set_numerics
    from guidebp.training.state import create_state
    from guidebp.training.trainer import start_run

    set_numerics(args.numerics, device)
    method, batches = start_run(spec, data.copy_to(device), device)
    state = create_state(method, device, time.perf_counter())
    train_epoch(state, batches, spec.recipe)
    print("ready", flush=True)
    sys.stdin.readline()
    started, count = time.perf_counter(), 0
    while time.perf_counter() - started < args.seconds:
        state.epoch = 1
        train_epoch(state, batches, spec.recipe)
        count += batches.steps * batches.size
    print(json.dumps(count / (time.perf_counter() - started)))


if __name__ == "__main__":
    one_process()
