"""The run store: one folder per finished run, shared by all studies. A folder is complete or absent.

`results/runs/<key>/` holds `record.json`, `predictions.safetensors`, `telemetry.json` (what depends on the machine)
and, if kept, `weights.safetensors`. A folder is written next to its final place, flushed to disk and renamed.

The store also holds `.locks/` (a file per run that is or was trained) and `.unfinished/<key>/` (the checkpoints of
a run). `.users/` has a file per other project whose `results/runs` is a link to this store.
"""

import fcntl
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from guidebp.errors import UserError
from guidebp.files import file_hash, locked, sync_folder, write_atomic
from guidebp.hashing import encode_canonical_json
from guidebp.runs.checkpoint_name import CheckpointName
from guidebp.runs.json_fields import JsonObject
from guidebp.runs.record import RunRecord, decode_record
from guidebp.runs.spec import RunSpec

RECORD, PREDICTIONS, TELEMETRY, WEIGHTS = (
    "record.json",
    "predictions.safetensors",
    "telemetry.json",
    "weights.safetensors",
)


class RunStore:
    """The folder of all finished runs.

    With `predictions=False`, runs may lack their predictions: the archives of tuning studies leave them out.
    """

    def __init__(self, root: Path, predictions: bool = True) -> None:
        self.root, self.predictions = root, predictions

    def folder(self, key: str) -> Path:
        """The folder of a run, whether it exists or not."""
        return self.root / key

    def has(self, key: str) -> bool:
        """Return True if the run is finished. Its files are not read."""
        return (self.folder(key) / RECORD).exists()

    def holds(self, spec: RunSpec, data: str) -> bool:
        """Return True if the run of this spec is finished, intact and trained on data with this content hash."""
        try:
            record = self.read(spec.key) if self.has(spec.key) else None
        except UserError:
            return False
        return record is not None and record.data == data and record.spec == spec

    def read(self, key: str) -> RunRecord:
        """The record of a run, verified against its checksums and its key.

        Raises UserError when the run is absent, of another version or damaged.
        """
        folder = self.folder(key)
        path = folder / RECORD
        remedy = f"Run: rm -r {folder} && snakemake"
        try:
            content = path.read_bytes()
        except FileNotFoundError as error:
            raise UserError(f"{path}: no such run. Run: snakemake") from error
        record = decode_record(content, key, path, remedy)
        for name, checksum in record.files.items():
            absent = not (folder / name).exists()
            if absent and name == PREDICTIONS and not self.predictions:
                continue
            if absent or file_hash(folder / name) != checksum:
                raise UserError(f"{folder / name}: missing or changed since it was recorded. {remedy}")
        return record

    def telemetry(self, key: str) -> JsonObject:
        """Costs of the run and the machine that trained it; empty when they are unknown.

        Raises UserError when the file is damaged.
        """
        path = self.folder(key) / TELEMETRY
        if not path.exists():
            return {}
        try:
            telemetry: JsonObject = dict(json.loads(path.read_bytes()).items())
            encode_canonical_json(telemetry)  # refuses NaN
        except (ValueError, AttributeError, RecursionError) as error:
            raise UserError(
                f"{path}: not a run's telemetry ({error}); without it the costs are unknown. Run: rm -r {path}"
            ) from error
        return telemetry

    def publish(self, key: str, files: dict[str, bytes]) -> None:
        """Create the run's folder with all its files in one step, replacing an older one."""
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

    def register_project(self) -> None:
        """Register this project as a user of the store, where the store lies in another project."""
        if not self.root.resolve().is_relative_to(Path.cwd().resolve()):
            here = str(Path.cwd().resolve())
            write_atomic(self.root / ".users" / hashlib.sha256(here.encode()).hexdigest()[:16], here.encode())

    def is_shared(self) -> bool:
        """Return True if other projects may use the store: it lies in another one, or others have registered."""
        elsewhere = not self.root.resolve().is_relative_to(Path.cwd().resolve())
        return elsewhere or any((self.root / ".users").glob("*"))

    def unfinished(self, key: str) -> Path:
        """The folder with the checkpoints of a run that is not finished."""
        return self.root / ".unfinished" / key

    def checkpoints(self, key: str) -> list[Path]:
        """The checkpoint files of a run, the newest first."""
        paths = self.unfinished(key).glob("*.safetensors")
        return sorted((path for path in paths if CheckpointName.parse(path.name)), reverse=True)

    def newest_checkpoint(self, key: str) -> CheckpointName | None:
        """The name of the newest checkpoint of a run, None without any."""
        paths = self.checkpoints(key)
        return CheckpointName.parse(paths[0].name) if paths else None

    def lock(self, key: str, stop: Callable[[], bool] | None = None) -> AbstractContextManager[None]:
        """Lock a run exclusively, waiting if necessary; raises StopRequested when `stop()` becomes true."""
        return locked(self.root / ".locks", key, stop)

    def running_keys(self) -> set[str]:
        """Keys of the runs that some process trains now."""
        keys = set()
        for path in (self.root / ".locks").glob("*"):
            with path.open() as file:  # a shared lock needs no right to write
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    keys.add(path.name)
        return keys
