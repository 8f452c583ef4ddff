"""Train resolved runs one after another in this process: `python -m guidebp.training SPECS.json`.

SPECS.json is a list of resolved specs (`guidebp specs` prints them). Needs torch, numpy and safetensors, nothing
else: so runs can be trained on any machine and their folders copied into the store. Says what it does in
JSON, one event a line, on standard output.
"""

import argparse
import json
import os
import re
import sys
from collections.abc import Iterator
from functools import partial
from importlib import import_module
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
from guidebp.training.schedules import lr_factor, optimiser_maker
from guidebp.training.trainer import train_run


def say(event: str, **details: object) -> None:
    """One event, at once."""
    print(json.dumps({"event": event, **details}), flush=True)


def say_epoch(key: str, epoch: int, accuracy: float) -> None:
    """The event of a finished epoch."""
    say("epoch", key=key, epoch=epoch, accuracy=accuracy)


# What a spec must hold; a key and a dataset's name become names of files.
PARTS: dict[str, dict[str, type]] = {
    "dataset": {"name": str, "split": dict, "classes": int},
    "architecture": {"family": str, "options": dict},
    "method": {"family": str, "options": dict},
    "recipe": {"optimiser": dict, "schedule": dict, "epochs": int, "batch_size": int, "numerics": str},
}


def read_specs(path: Path) -> list[dict[str, Any]]:
    """The specs in a file; UserError when it holds anything else."""
    remedy = f"write it anew: guidebp specs > {path}"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not JSON ({error}); {remedy}") from error
    if not isinstance(found, list):
        raise UserError(f"{path}: not a list of specs; {remedy}")
    for number, spec in enumerate(found):
        if wrong := next(faults(spec), None):
            raise UserError(
                f"{path}: {number}: {wrong} is missing or of another kind than a spec's; {remedy}"
            )
        try:
            for package, part in (("models", "architecture"), ("methods", "method")):
                family = import_module(f"guidebp.{package}.{spec[part]['family'].replace('-', '_')}")
                family.Options(**spec[part]["options"])
            optimiser_maker(spec["recipe"])([torch.nn.Parameter(torch.zeros(1))])
            lr_factor(spec["recipe"], 0, 1)
        except (ImportError, LookupError, TypeError, ValueError, AttributeError) as error:
            raise UserError(
                f"{path}: {number}: names what this version has not ({error}); {remedy}"
            ) from error
    return found


def faults(spec: Any) -> Iterator[str]:
    """What of a spec is not as `guidebp specs` prints it."""
    if not isinstance(spec, dict):
        yield "the spec"
        return
    if not re.fullmatch(r"[0-9a-z]+(-[0-9a-z]+)*", str(spec.get("key"))):
        yield "key"
    if type(spec.get("repetition")) is not int:
        yield "repetition"
    for part, wanted in PARTS.items():
        entry = spec.get(part)
        for name, kind in wanted.items():
            if not isinstance(entry, dict) or type(entry.get(name)) is not kind:
                yield f"{part}.{name}"
    if not re.fullmatch(r"[a-z0-9]+([.-][a-z0-9]+)*", str((spec.get("dataset") or {}).get("name"))):
        yield "dataset.name"


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
