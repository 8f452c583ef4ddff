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
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Any

from guidebp.canonical import canonical_json, json_hash
from guidebp.errors import Stopped, UserError

RECORD_VERSION = 3
RECORD, PREDICTIONS, TELEMETRY, WEIGHTS = (
    "record.json",
    "predictions.safetensors",
    "telemetry.json",
    "weights.safetensors",
)


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file so that it is either the old or the new one, also after a power cut."""
    with atomic_file(path) as file:
        file.write(content)


@contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """The same for a file that is written bit by bit: it takes its place when the block has ended well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def make_record(spec: dict[str, Any], data: str, result: dict[str, Any], files: dict[str, bytes]) -> bytes:
    """The bytes of record.json; `data` is the content hash of the prepared dataset."""
    record: dict[str, Any] = {
        "version": RECORD_VERSION,
        "spec": spec,
        "data": data,
        "result": result,
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    }
    return canonical_json(record | {"sha256": json_hash(record)})


def parse_record(raw: bytes, key: str, path: Path, remedy: str) -> dict[str, Any]:
    """The record in the bytes of a record.json, checked against its own checksum; UserError names `path`."""
    try:
        record = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not a record ({error}); {remedy}") from error
    if not isinstance(record, dict) or record.get("version") != RECORD_VERSION:
        raise UserError(f"{path}: not a record of version {RECORD_VERSION}; {remedy}")
    body = {name: value for name, value in record.items() if name != "sha256"}
    try:
        intact = record.get("sha256") == json_hash(body) and record["spec"]["key"] == key
    except (ValueError, TypeError, LookupError):  # NaN, which json reads and no record holds; no spec
        intact = False
    if not intact:
        raise UserError(f"{path}: its checksum does not match its contents; {remedy}")
    return record


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
        record = parse_record(raw, key, path, remedy)
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


@contextmanager
def locked(folder: Path, name: str, stop: Callable[[], bool] | None = None) -> Iterator[None]:
    """Hold a lock of this name alone, waiting if need be; the kernel lets go when the process dies."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("a") as file:
        while stop:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if stop():
                    raise Stopped from None
                time.sleep(0.2)
        else:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def file_hash(path: Path) -> str:
    """sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_folder(path: Path) -> None:
    """Make a rename inside the folder survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
