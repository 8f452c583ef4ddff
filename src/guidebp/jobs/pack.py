"""Train a pack: train missing runs in a child process and survive its crashes.

A child process pays for importing torch only when there is something to train. A run can kill its process (out of
memory, a crash in a kernel); this affects no other run of the pack. At the second death without a new checkpoint in
between the run is recorded as crashed, and the others continue. Signals that ask to stop are forwarded to the
child, which writes a checkpoint.
"""

import json
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from guidebp.errors import StopRequested, UserError
from guidebp.files import write_atomic
from guidebp.hashing import encode_readable_json
from guidebp.jobs.worker import TrainingOptions, run_worker
from guidebp.runs.record import encode_record
from guidebp.runs.result import RunResult
from guidebp.runs.spec import PlannedRun
from guidebp.runs.store import RECORD, TELEMETRY, RunStore
from guidebp.training.events import TrainingEvent
from guidebp.training.stop import CONTINUE, OUT_OF_MEMORY

DEATHS_ALLOWED = 2
DEATHS = "deaths.json"
# What a run does to its own process, and what asks the process to stop.
CRASHES = {"SIGKILL", "SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "out of memory"}
STOP_SIGNALS = {"SIGTERM", "SIGINT", "SIGHUP"}


def train_pack(
    runs: Sequence[PlannedRun],
    data: Path,
    hashes: Mapping[str, str],
    store: RunStore,
    options: TrainingOptions,
    follow: Callable[[TrainingEvent], None],
) -> None:
    """Train the runs that the store does not hold, calling `follow` with each event.

    `hashes` maps dataset names to the content hashes of their manifests. Raises UserError when the child fails
    without being killed. Raises StopRequested when it was asked to stop or when runs are handed back.
    """
    handed_back: set[str] = set()
    missing_before = -1  # when the last child that ended well had started
    while True:
        missing = [run for run in runs if not store.holds(run.spec, hashes[run.spec.dataset.name])]
        to_train = [run for run in missing if run.key not in handed_back]
        if not missing:
            return
        if not to_train:
            raise StopRequested(
                f"{len(missing)} runs died; the next start, best with more memory, tries them once more"
            )
        if len(to_train) == missing_before:
            raise UserError(f"{data}: the prepared data changed while training. Run: snakemake")
        code, current = run_worker(to_train, data, store, options, follow)
        if code == 0:
            missing_before = len(to_train)
            continue
        cause = _name_cause(code)
        if code == CONTINUE or cause in STOP_SIGNALS:
            raise StopRequested("finished runs and checkpoints are kept")
        if current is None or cause not in CRASHES:
            raise UserError(f"training stopped ({cause}); its messages stand above, finished runs are kept")
        run = next(run for run in to_train if run.key == current.key)
        if _record_death(run, hashes, store, current, cause, follow) and options.hand_back:
            handed_back.add(run.key)


def _name_cause(code: int) -> str:
    """The cause of the worker's exit in words; negative codes are signals."""
    if code < 0:
        return signal.Signals(-code).name
    return "out of memory" if code == OUT_OF_MEMORY else f"exit code {code}"


def _record_death(
    run: PlannedRun,
    hashes: Mapping[str, str],
    store: RunStore,
    start: TrainingEvent,
    cause: str,
    follow: Callable[[TrainingEvent], None],
) -> bool:
    """Count a death of the run's process; return True if the run may be tried again.

    At the last death allowed the run is recorded as crashed.
    """
    data = hashes[run.spec.dataset.name]
    if store.holds(run.spec, data):  # died right after, or another process has trained it since
        return False
    follow(TrainingEvent("death", run.key, signal=cause))
    if _count_death(store, run.key) < DEATHS_ALLOWED:
        return True
    publish_crashed(run, data, store, start.device_class)
    follow(TrainingEvent("done", run.key, status="crashed"))
    return False


def _count_death(store: RunStore, key: str) -> int:
    """Count a death of the run; return the number of deaths since its newest checkpoint."""
    path, checkpoint = store.unfinished(key) / DEATHS, str(store.newest_checkpoint(key) or "")
    count = 0
    with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):  # none yet, or damaged
        deaths = json.loads(path.read_bytes())
        count = int(deaths["count"]) if deaths["since"] == checkpoint else 0
    write_atomic(path, encode_readable_json({"count": count + 1, "since": checkpoint}))
    return count + 1


def publish_crashed(run: PlannedRun, data: str, store: RunStore, device_class: str) -> None:
    """Record that a run killed its process on a device of this class, unless another process has finished it."""
    files = {
        RECORD: encode_record(run, data, RunResult(status="crashed"), {}),
        TELEMETRY: encode_readable_json({"device_class": device_class}),
    }
    with store.lock(run.key):
        if not store.holds(run.spec, data):
            store.publish(run.key, files)
