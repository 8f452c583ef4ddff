"""The run store: one folder per finished run, shared by all studies, complete or absent.

`results/runs/<key>/` holds `record.json` (spec, data hash, result, checksums of the other files, and a
checksum of itself), `predictions.safetensors`, `telemetry.json` (what depends on the machine) and, if kept,
`weights.safetensors`. A folder is written beside its place, flushed to disk and renamed. Beside the runs,
`.locks/` has a file per run that somebody trains or has trained, `.unfinished/<key>/` the checkpoints of a run,
`.users/` a file per other project whose `results/runs` is a link to this one.
"""

import fcntl
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from guidebp.errors import UserError
from guidebp.files import file_hash, locked, sync_folder, write_atomic
from guidebp.hashing import canonical_json
from guidebp.runs.record import decode_record

RECORD, PREDICTIONS, TELEMETRY, WEIGHTS = (
    "record.json",
    "predictions.safetensors",
    "telemetry.json",
    "weights.safetensors",
)


class RunStore:
    """The folder of all finished runs.

    Without `predictions`, as for studies that tune, whose archives leave them out, runs need not have theirs.
    """

    def __init__(self, root: Path, predictions: bool = True) -> None:
        self.root, self.predictions = root, predictions

    def folder(self, key: str) -> Path:
        """Where the run is, or will be."""
        return self.root / key

    def has(self, key: str) -> bool:
        """Whether the run is finished; does not read it."""
        return (self.folder(key) / RECORD).exists()

    def holds(self, key: str, data: str) -> bool:
        """Whether the run is finished, intact and was trained on the data with this hash."""
        try:
            return self.has(key) and self.read(key)["data"] == data
        except UserError:
            return False

    def read(self, key: str) -> dict[str, Any]:
        """The record of a run, verified against its own checksum and those of its files.

        Raises UserError when it is absent, of another version or not what its checksums say.
        """
        folder = self.folder(key)
        path = folder / RECORD
        remedy = f"delete {folder} and run snakemake again"
        try:
            raw = path.read_bytes()
        except FileNotFoundError as error:
            raise UserError(f"{path}: no such run; run snakemake to train it") from error
        record = decode_record(raw, key, path, remedy)
        for name, checksum in record["files"].items():
            absent = not (folder / name).exists()
            if absent and name == PREDICTIONS and not self.predictions:
                continue
            if absent or file_hash(folder / name) != checksum:
                raise UserError(f"{folder / name}: missing or changed since it was recorded; {remedy}")
        return record

    def telemetry(self, key: str) -> dict[str, Any]:
        """What the run cost and where it ran; empty when that is not known."""
        path = self.folder(key) / TELEMETRY
        if not path.exists():
            return {}
        try:
            found: dict[str, Any] = dict(json.loads(path.read_bytes()).items())
            canonical_json(found)  # refuses NaN
        except (ValueError, AttributeError, RecursionError) as error:
            raise UserError(
                f"{path}: not a run's telemetry ({error}); delete it, and its costs are unknown"
            ) from error
        return found

    def publish(self, key: str, files: dict[str, bytes]) -> None:
        """Make the run's folder appear at once, with all its files, replacing what was there."""
        self.root.mkdir(parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(dir=self.root, prefix=f".{key}."))
        try:
            for name, content in files.items():
                write_atomic(staged / name, content)
            staged.chmod(0o755)
            sync_folder(staged)
            old = self.folder(key)
            if old.exists():
                trash = Path(tempfile.mkdtemp(dir=self.root, prefix=f".{key}.old."))
                old.rename(trash / key)
                staged.rename(old)
                shutil.rmtree(trash)
            else:
                staged.rename(old)
        except BaseException:
            shutil.rmtree(staged, ignore_errors=True)
            raise
        sync_folder(self.root)
        shutil.rmtree(self.unfinished(key), ignore_errors=True)

    def join(self) -> None:
        """Leave word that this project uses the store, where it lies in another one."""
        if not self.root.resolve().is_relative_to(Path.cwd().resolve()):
            here = str(Path.cwd().resolve())
            write_atomic(self.root / ".users" / hashlib.sha256(here.encode()).hexdigest()[:16], here.encode())

    def shared(self) -> bool:
        """Whether other projects may use the store: it lies in another one, or they have left word."""
        elsewhere = not self.root.resolve().is_relative_to(Path.cwd().resolve())
        return elsewhere or any((self.root / ".users").glob("*"))

    def unfinished(self, key: str) -> Path:
        """Where the checkpoints of a run lie that is not finished."""
        return self.root / ".unfinished" / key

    def checkpoints(self, key: str) -> list[Path]:
        """EPOCH-STEP.SHA256.safetensors, the newest first."""
        return sorted(self.unfinished(key).glob("*-*.*.safetensors"), reverse=True)

    def lock(self, key: str, stop: Callable[[], bool] | None = None) -> AbstractContextManager[None]:
        """Hold the run alone, waiting if need be; raises Stopped when `stop` says so meanwhile."""
        return locked(self.root / ".locks", key, stop)

    def running(self) -> set[str]:
        """Keys of the runs that some process trains now."""
        found = set()
        for path in (self.root / ".locks").glob("*"):
            with path.open() as file:  # shared: that needs no right to write
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    found.add(path.name)
        return found
