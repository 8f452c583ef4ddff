"""Train planned runs one after another in this process: `python -m guidebp.training SPECS.json`.

`guidebp specs` prints SPECS.json. Training needs only torch, numpy and safetensors, so runs can be trained
on any machine and their folders copied into the store. Events appear as JSON, one a line, on standard output.

When a signal or the end of its parent asks it to stop, the process writes a checkpoint and exits with code 75. The
same command then resumes. Exit code 71 means that a run needs more memory.
"""

import argparse
import os
import resource
import sys
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save

# cuBLAS is deterministic only with a fixed workspace, named before it starts
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

from guidebp.data.prepared import Prepared, load_prepared
from guidebp.errors import StopRequested, UserError, report_disk_errors
from guidebp.hashing import encode_readable_json
from guidebp.provenance import describe_machine
from guidebp.runs.record import encode_record
from guidebp.runs.spec import PlannedRun
from guidebp.runs.store import PREDICTIONS, RECORD, TELEMETRY, WEIGHTS, RunStore
from guidebp.training.checkpoints import (
    CheckpointPolicy,
    Checkpoints,
    MachineMismatchError,
    identify_machine,
)
from guidebp.training.events import TrainingEvent, emit_event
from guidebp.training.lease import use_leased_device
from guidebp.training.numerics import check_torch, choose_device
from guidebp.training.specs import read_planned_runs
from guidebp.training.stop import CONTINUE, OUT_OF_MEMORY, StopRequest, exit_now
from guidebp.training.trainer import TrainingOutcome, train_run


def train_planned_runs(
    runs: list[PlannedRun],
    data: Path,
    store: RunStore,
    device: torch.device,
    keep_weights: bool,
    policy: CheckpointPolicy | None = None,
) -> None:
    """Train the runs that the store does not hold yet; wait for runs that another process trains meanwhile.

    Resumes from checkpoints and writes them as `policy` says. Raises StopRequested when asked to stop, and
    UserError naming the runs whose checkpoints belong to another kind of machine.
    """
    policy = policy or CheckpointPolicy()
    torch.set_num_threads(1)  # as in every run; here so that the provenance says so
    here = describe_machine(str(device))
    datasets: dict[str, Prepared] = {}
    mismatches: list[str] = []
    for run in runs:
        key, name = run.key, run.spec.dataset.name
        with store.lock(key, policy.stop):
            if policy.stop():
                raise StopRequested
            if name not in datasets:
                datasets[name] = load_prepared(data, name).copy_to(device)
            dataset = datasets[name]
            checksum = dataset.manifest.sha256
            if store.holds(run.spec, checksum):
                emit_event(TrainingEvent("held", key))
                continue
            checkpoint = store.newest_checkpoint(key)
            resumed = checkpoint.epoch if checkpoint else None
            emit_event(TrainingEvent("start", key, device_class=here["device_class"], resumed_epoch=resumed))
            checkpoints = Checkpoints(store, key, checksum, identify_machine(here["device_class"]), policy)
            try:
                outcome = train_run(run.spec, dataset, device, partial(report_epoch, key), checkpoints)
            except MachineMismatchError as error:  # the other runs can be trained
                mismatches.append(str(error))
                continue
            store.publish(key, encode_run_files(run, checksum, outcome, here, keep_weights))
            emit_event(TrainingEvent("done", key, status=outcome.result.status))
    if mismatches:
        raise UserError("\n".join(mismatches))


def encode_run_files(
    run: PlannedRun, data: str, outcome: TrainingOutcome, here: dict[str, object], keep_weights: bool
) -> dict[str, bytes]:
    """The contents of a finished run's files, by file name; `here` describes this machine."""
    files = {PREDICTIONS: save({"predictions": outcome.predictions})}
    files[RECORD] = encode_record(run, data, outcome.result, files)
    cost = outcome.telemetry | {"host_memory": measure_host_memory(), "ended": outcome.result.status}
    files[TELEMETRY] = encode_readable_json(cost | here)
    if keep_weights:
        files[WEIGHTS] = save(outcome.weights)
    return files


def measure_host_memory() -> int:
    """The peak memory of this process so far, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def report_epoch(key: str, epoch: int, accuracy: float) -> None:
    """Emit the event of a finished epoch."""
    emit_event(TrainingEvent("epoch", key, epoch=epoch, accuracy=accuracy))


def print_warning(text: str) -> None:
    """Print a line for a person on standard error."""
    print(text, file=sys.stderr, flush=True)


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
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
    return parser.parse_args()


def main() -> None:
    """Parse the command line and train. A user's mistake ends the process with one line and exit code 2."""
    args = parse_arguments()
    stop = StopRequest(args.parent)
    policy = CheckpointPolicy(args.checkpoint_epochs, args.checkpoint_minutes, stop, print_warning)
    try:
        check_torch()
        runs = read_planned_runs(args.specs)
        with use_leased_device(choose_device(args.device)) as device, report_disk_errors(args.store):
            train_planned_runs(runs, args.data, RunStore(args.store), device, args.keep_weights, policy)
    except (UserError, OSError) as error:
        if isinstance(error, OSError) and error.filename is None:
            raise
        for line in str(error).splitlines():
            print_warning(f"python -m guidebp.training: {line}")
        sys.exit(2)
    except StopRequested:
        exit_now(CONTINUE)
    except KeyboardInterrupt:
        exit_now(130)
    except (MemoryError, RuntimeError) as error:
        message = " ".join(str(error).split())
        # torch has a class of its own for it on a GPU only
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and "allocate memory" not in message:
            raise
        print_warning(f"out of memory: {message}")
        exit_now(OUT_OF_MEMORY)


if __name__ == "__main__":
    main()
