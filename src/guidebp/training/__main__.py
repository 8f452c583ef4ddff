"""Train resolved runs one after another in this process: `python -m guidebp.training SPECS.json`.

SPECS.json is a list of resolved specs (`guidebp specs` prints them). Needs torch, numpy and safetensors, nothing
else: so runs can be trained on any machine and their folders copied into the store. Says what it does in
JSON, one event a line, on standard output. Asked to stop, by a signal or by the end of its parent, it leaves a
checkpoint and ends with code 75: the same command goes on from there. Code 71: a run needs more memory.
"""

import argparse
import json
import os
import resource
import sys
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import torch
from safetensors.torch import save

# cuBLAS is deterministic only with a fixed workspace, named before it starts
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

from guidebp.data.prepared import Prepared, load_prepared
from guidebp.errors import StopRequested, UserError, report_disk_errors
from guidebp.hashing import readable_json
from guidebp.provenance import machine
from guidebp.runs.record import encode_record
from guidebp.runs.store import PREDICTIONS, RECORD, TELEMETRY, WEIGHTS, RunStore
from guidebp.training.checkpoints import Checkpoints, ElsewhereError, Plan, birthplace
from guidebp.training.lease import on_device
from guidebp.training.numerics import check_torch, choose_device
from guidebp.training.specs import read_specs
from guidebp.training.stop import CONTINUE, OUT_OF_MEMORY, Wish
from guidebp.training.trainer import train_run


def say(event: str, **details: object) -> None:
    """One event, at once; where nobody listens any more, nothing is said."""
    try:
        print(json.dumps({"event": event, **details}), flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def host_memory() -> int:
    """The most bytes that this process has had in memory so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def say_warning(text: str) -> None:
    """For a person."""
    print(text, file=sys.stderr, flush=True)


def say_epoch(key: str, epoch: int, accuracy: float) -> None:
    """The event of a finished epoch."""
    say("epoch", key=key, epoch=epoch, accuracy=accuracy)


def train_all(
    specs: list[dict[str, Any]],
    data: Path,
    store: RunStore,
    chosen: torch.device,
    keep: bool,
    plan: Plan | None = None,
) -> None:
    """Train what the store does not hold yet; runs that another process trains meanwhile are waited for.

    Goes on from checkpoints, and writes them as `plan` says; raises Stopped when it has a wish to stop.
    """
    plan = plan or Plan()
    torch.set_num_threads(1)  # as in every run; here so that the provenance says so
    where = machine(str(chosen))
    loaded: dict[str, Prepared] = {}
    elsewhere: list[str] = []
    for spec in specs:
        key, name = spec["key"], spec["dataset"]["name"]
        with store.lock(key, plan.stop):
            if plan.stop():
                raise StopRequested
            if name not in loaded:
                loaded[name] = load_prepared(data, name).on(chosen)
            dataset = loaded[name]
            checksum = dataset.manifest["sha256"]
            if store.holds(key, checksum):
                say("held", key=key)
                continue
            newest = [path.name.split(".")[0] for path in store.checkpoints(key)[:1]]
            say("start", key=key, device_class=where["device_class"], checkpoint=newest)
            checkpoints = Checkpoints(store, key, checksum, birthplace(where["device_class"]), plan)
            try:
                outcome = train_run(spec, dataset, chosen, partial(say_epoch, key), checkpoints)
            except ElsewhereError as error:  # the others can be trained
                elsewhere.append(str(error))
                continue
            files = {PREDICTIONS: save({"predictions": outcome.predictions})}
            files[RECORD] = encode_record(spec, checksum, outcome.result, files)
            cost = outcome.telemetry | {"host_memory": host_memory(), "ended": outcome.result["status"]}
            files[TELEMETRY] = readable_json(cost | where)
            if keep:
                files[WEIGHTS] = save(outcome.weights)
            store.publish(key, files)
            say("done", key=key, status=outcome.result["status"])
    if elsewhere:
        raise UserError("\n".join(elsewhere))


def main() -> None:
    """Parse the command line and train; a user's mistake ends with one line and code 2."""
    parser = argparse.ArgumentParser(prog="python -m guidebp.training", description=__doc__)
    parser.add_argument("specs", type=Path)
    parser.add_argument("--data", type=Path, default=Path("data/prepared"))
    parser.add_argument("--store", type=Path, default=Path("results/runs"))
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--keep-weights", action="store_true")
    parser.add_argument("--checkpoint-epochs", type=int, metavar="N", help="a checkpoint every N epochs")
    parser.add_argument(
        "--checkpoint-minutes", type=float, metavar="N", help="and every N minutes", default=10.0
    )
    parser.add_argument("--parent", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    plan = Plan(args.checkpoint_epochs, args.checkpoint_minutes, Wish(args.parent), say_warning)
    try:
        check_torch()
        specs = read_specs(args.specs)
        with on_device(choose_device(args.device)) as device, report_disk_errors(args.store):
            train_all(specs, args.data, RunStore(args.store), device, args.keep_weights, plan)
    except (UserError, OSError) as error:
        if isinstance(error, OSError) and error.filename is None:
            raise
        lines = str(error).splitlines()
        print("\n".join(f"{parser.prog}: {line}" for line in lines), file=sys.stderr)
        sys.exit(2)
    except StopRequested:
        leave(CONTINUE)
    except KeyboardInterrupt:
        leave(130)
    except (MemoryError, RuntimeError) as error:
        said = " ".join(str(error).split())
        # torch has a class of its own for it on a GPU only
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and "allocate memory" not in said:
            raise
        print(f"out of memory: {said}", file=sys.stderr)
        leave(OUT_OF_MEMORY)


def leave(code: int) -> NoReturn:
    """End now; nothing is left to write, and standard output may be closed."""
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
