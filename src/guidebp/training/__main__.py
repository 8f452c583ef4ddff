"""Train resolved runs one after another in this process: `python -m guidebp.training SPECS.json`.

SPECS.json is a list of resolved specs (`guidebp specs` prints them). Needs torch, numpy and safetensors, nothing
else: so runs can be trained on any machine and their folders copied into the store. Says what it does in
JSON, one event a line, on standard output.
"""

import argparse
import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

# cuBLAS is deterministic only with a fixed workspace, named before it starts
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

from guidebp.canonical import readable_json
from guidebp.data.prepared import Prepared, load_prepared
from guidebp.errors import UserError
from guidebp.provenance import machine
from guidebp.store import PREDICTIONS, RECORD, TELEMETRY, WEIGHTS, RunStore, make_record
from guidebp.training.lease import on_device
from guidebp.training.numerics import check_torch, choose_device
from guidebp.training.specs import read_specs
from guidebp.training.trainer import train_run


def say(event: str, **details: object) -> None:
    """One event, at once."""
    print(json.dumps({"event": event, **details}), flush=True)


def say_epoch(key: str, epoch: int, accuracy: float) -> None:
    """The event of a finished epoch."""
    say("epoch", key=key, epoch=epoch, accuracy=accuracy)


def train_all(
    specs: list[dict[str, Any]], data: Path, store: RunStore, chosen: torch.device, keep: bool
) -> None:
    """Train what the store does not hold yet; runs that another process trains meanwhile are waited for."""
    torch.set_num_threads(1)  # as in every run; here so that the provenance says so
    where = machine(str(chosen))
    loaded: dict[str, Prepared] = {}
    for spec in specs:
        key, name = spec["key"], spec["dataset"]["name"]
        with store.lock(key):
            if name not in loaded:
                loaded[name] = load_prepared(data, name).on(chosen)
            dataset = loaded[name]
            if store.holds(key, dataset.manifest["sha256"]):
                say("held", key=key)
                continue
            say("start", key=key, device_class=where["device_class"])
            outcome = train_run(
                spec,
                dataset,
                chosen,
                partial(say_epoch, key),
            )
            files = {PREDICTIONS: save({"predictions": outcome.predictions})}
            files[RECORD] = make_record(spec, dataset.manifest["sha256"], outcome.result, files)
            files[TELEMETRY] = readable_json(outcome.telemetry | where)
            if keep:
                files[WEIGHTS] = save(outcome.weights)
            store.publish(key, files)
            say("done", key=key, status=outcome.result["status"])


def main() -> None:
    """Parse the command line and train; a user's mistake ends with one line and code 2."""
    parser = argparse.ArgumentParser(prog="python -m guidebp.training", description=__doc__)
    parser.add_argument("specs", type=Path)
    parser.add_argument("--data", type=Path, default=Path("data/prepared"))
    parser.add_argument("--store", type=Path, default=Path("results/runs"))
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--keep-weights", action="store_true")
    args = parser.parse_args()
    try:
        check_torch()
        specs = read_specs(args.specs)
        with on_device(choose_device(args.device)) as device:
            train_all(specs, args.data, RunStore(args.store), device, args.keep_weights)
    except (UserError, OSError) as error:
        if isinstance(error, OSError) and error.filename is None:
            raise
        lines = str(error).splitlines()
        print("\n".join(f"{parser.prog}: {line}" for line in lines), file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
