"""Find files that no study of this project uses, and delete them after confirmation."""

import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

from guidebp.errors import UserError
from guidebp.paths import PREPARED, StudyPaths
from guidebp.runs.store import RunStore
from guidebp.study.study import Study
from guidebp.upkeep.processes import find_workers

KEY = re.compile(r"[0-9a-f]{20}")
# `tempfile` appends this to the name of a file, which stays when the writing process is killed.
UNWRITTEN = re.compile(r"\..+\.[a-z0-9_]{8}")
SHOWN = 5


class Garbage(NamedTuple):
    """A file or folder that nobody needs.

    Attributes:
        why: completes "3 ...".
        size: in bytes.
        key: of the run, if it is in the run store.
    """

    path: Path
    why: str
    size: int
    key: str = ""


def find_garbage(studies: Iterable[Study], store: RunStore, crashed: bool = False) -> Iterator[Garbage]:
    """Files that none of the studies uses; with `crashed` also crashed runs, which are then trained again."""
    studies = list(studies)
    if not store.is_shared():  # else another project may use these runs
        yield from _find_unused_runs({run.key for study in studies for run in study.runs}, store)
    for study in studies:
        yield from _find_unused_indexes(study)
        if crashed:
            yield from _find_crashed_runs(study, store)
    for folder in (PREPARED, *(StudyPaths(study.name).folder for study in studies)):
        for path in sorted(folder.rglob(".*")):
            if path.is_file() and UNWRITTEN.fullmatch(path.name):
                yield Garbage(
                    path, "files that were being written when their process was killed", _count_bytes(path)
                )


def _find_unused_runs(used: set[str], store: RunStore) -> Iterator[Garbage]:
    """Runs and checkpoints of other keys, and files that a killed process was writing."""
    running = store.running_keys()
    for path in sorted(store.root.glob("*")):
        key = path.name.lstrip(".").split(".")[0]
        if key in running or not KEY.fullmatch(key):
            continue
        if UNWRITTEN.fullmatch(path.name):
            yield Garbage(
                path, "runs that were being written when their process was killed", _count_bytes(path), key
            )
        elif path.name not in used:
            yield Garbage(path, "runs that no study uses", _count_bytes(path), key)
    for path in sorted((store.root / ".unfinished").glob("*")):
        if path.name not in running and (path.name not in used or store.has(path.name)):
            yield Garbage(path, "checkpoints that no study uses", _count_bytes(path), path.name)


def _find_unused_indexes(study: Study) -> Iterator[Garbage]:
    """Indexes of packs that the study does not have."""
    layout = StudyPaths(study.name)
    indexes = {layout.pack(pack.id) for pack in study.packs}
    for path in sorted(layout.folder.glob("packs/*.json")):
        if path not in indexes:
            yield Garbage(path, "indexes of packs that their study does not have", _count_bytes(path))


def _find_crashed_runs(study: Study, store: RunStore) -> Iterator[Garbage]:
    """Crashed runs, and the indexes that name them."""
    layout = StudyPaths(study.name)
    for pack in study.packs:
        keys = [run.key for run in pack.runs if store.has(run.key) and _is_crashed(run.key, store)]
        for key in keys:
            yield Garbage(store.folder(key), "runs that crashed", _count_bytes(store.folder(key)), key)
        if keys and (index := layout.pack(pack.id)).exists():
            yield Garbage(index, "indexes of packs with runs that crashed", _count_bytes(index))


def _is_crashed(key: str, store: RunStore) -> bool:
    """Return True if the run is recorded as crashed, False if its record is damaged."""
    try:
        return store.read(key).result.status == "crashed"
    except UserError:
        return False


def collect_garbage(
    studies: Iterable[Study], store: RunStore, agreed: Callable[[str], bool], crashed: bool = False
) -> str:
    """Delete the garbage if `agreed` returns True for its description; return what was done.

    Raises UserError while another process works here: the files that it is writing look like garbage.
    """
    studies = list(studies)
    garbage = _find_deletable(studies, store, crashed)
    if not garbage:
        return "nothing to free"
    counts = Counter(item.why for item in garbage)
    sizes = {why: format_size(sum(item.size for item in garbage if item.why == why)) for why in counts}
    lines = [f"{count} {why}, {sizes[why]}" for why, count in counts.items()]
    lines += [f"  {item.path}" for item in garbage[:SHOWN]] + ["  ..."] * (len(garbage) > SHOWN)
    if not agreed("\n".join(lines)):
        return "nothing was deleted"
    # files that came into use while the person decided stay
    still = {item.path for item in _find_deletable(studies, store, crashed)}
    freed = 0
    for item in garbage:
        if item.path in still:
            with store.lock(item.key) if item.key else nullcontext():
                _delete_path(item.path)
                freed += item.size
    return f"{format_size(freed)} freed"


def _find_deletable(studies: list[Study], store: RunStore, crashed: bool) -> list[Garbage]:
    """The garbage; raises UserError while another process works here."""
    if workers := find_workers():
        raise UserError(f"process {workers[0].number} works here ({workers[0].command}); wait for its end")
    return list(find_garbage(studies, store, crashed))


def _delete_path(path: Path) -> None:
    """Delete a file, or a folder so that nobody sees half of it."""
    if not path.is_dir():
        path.unlink(missing_ok=True)
        return
    trash = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name.lstrip('.')}."))
    path.rename(trash / path.name)
    shutil.rmtree(trash)


def _count_bytes(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    if not path.is_dir():
        return path.lstat().st_size
    return sum(part.lstat().st_size for part in path.rglob("*") if not part.is_dir())


def format_size(count: float) -> str:
    """A number of bytes in a readable unit."""
    for unit in ("bytes", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"
