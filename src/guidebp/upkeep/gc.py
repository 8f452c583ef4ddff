"""What no study of this project uses: found, and freed once somebody has agreed."""

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
from guidebp.upkeep.processes import workers

KEY = re.compile(r"[0-9a-f]{20}")
# What `tempfile` appends to the name of what was being written when its process was killed.
UNWRITTEN = re.compile(r"\..+\.[a-z0-9_]{8}")
SHOWN = 5


class Rubbish(NamedTuple):
    """A file or a folder that nobody needs; `why` completes "3 ..."; `key` of what lies in the run store."""

    path: Path
    why: str
    size: int
    key: str = ""


def rubbish(studies: Iterable[Study], store: RunStore, crashed: bool = False) -> Iterator[Rubbish]:
    """What none of the studies uses; with `crashed` also crashed runs, which are then trained again."""
    studies = list(studies)
    if not store.is_shared():  # else others may use what is of no use here
        yield from unused_runs({run.key for study in studies for run in study.runs}, store)
    for study in studies:
        yield from unused_indexes(study)
        if crashed:
            yield from crashed_runs(study, store)
    for folder in (PREPARED, *(StudyPaths(study.name).folder for study in studies)):
        for path in sorted(folder.rglob(".*")):
            if path.is_file() and UNWRITTEN.fullmatch(path.name):
                yield Rubbish(path, "files that were being written when their process was killed", size(path))


def unused_runs(used: set[str], store: RunStore) -> Iterator[Rubbish]:
    """Runs and checkpoints of other keys, and what was being written."""
    running = store.running_keys()
    for path in sorted(store.root.glob("*")):
        key = path.name.lstrip(".").split(".")[0]
        if key in running or not KEY.fullmatch(key):
            continue
        if UNWRITTEN.fullmatch(path.name):
            yield Rubbish(path, "runs that were being written when their process was killed", size(path), key)
        elif path.name not in used:
            yield Rubbish(path, "runs that no study uses", size(path), key)
    for path in sorted((store.root / ".unfinished").glob("*")):
        if path.name not in running and (path.name not in used or store.has(path.name)):
            yield Rubbish(path, "checkpoints that no study uses", size(path), path.name)


def unused_indexes(study: Study) -> Iterator[Rubbish]:
    """Indexes of packs that the study does not have."""
    layout = StudyPaths(study.name)
    known = {layout.pack(pack.id) for pack in study.packs}
    for path in sorted(layout.folder.glob("packs/*.json")):
        if path not in known:
            yield Rubbish(path, "indexes of packs that their study does not have", size(path))


def crashed_runs(study: Study, store: RunStore) -> Iterator[Rubbish]:
    """Crashed runs, and the indexes that name them."""
    layout = StudyPaths(study.name)
    for pack in study.packs:
        keys = [run.key for run in pack.runs if store.has(run.key) and is_crashed(run.key, store)]
        for key in keys:
            yield Rubbish(store.folder(key), "runs that crashed", size(store.folder(key)), key)
        if keys and (index := layout.pack(pack.id)).exists():
            yield Rubbish(index, "indexes of packs with runs that crashed", size(index))


def is_crashed(key: str, store: RunStore) -> bool:
    """Whether the run is recorded as crashed; a damaged one is not."""
    try:
        return store.read(key).result.status == "crashed"
    except UserError:
        return False


def free(
    studies: Iterable[Study], store: RunStore, agreed: Callable[[str], bool], crashed: bool = False
) -> str:
    """Delete the rubbish if, told what it is, somebody has `agreed`; says what was done.

    Raises UserError while another process works here: what it is writing looks like rubbish.
    """
    studies = list(studies)
    found = what_may_go(studies, store, crashed)
    if not found:
        return "nothing to free"
    counts = Counter(part.why for part in found)
    sizes = {why: size_text(sum(part.size for part in found if part.why == why)) for why in counts}
    lines = [f"{count} {why}, {sizes[why]}" for why, count in counts.items()]
    lines += [f"  {part.path}" for part in found[:SHOWN]] + ["  ..."] * (len(found) > SHOWN)
    if not agreed("\n".join(lines)):
        return "nothing was deleted"
    # a person may take their time: what has come into use meanwhile stays
    still = {part.path for part in what_may_go(studies, store, crashed)}
    freed = 0
    for part in found:
        if part.path in still:
            with store.lock(part.key) if part.key else nullcontext():
                delete(part.path)
            freed += part.size
    return f"{size_text(freed)} freed"


def what_may_go(studies: list[Study], store: RunStore, crashed: bool) -> list[Rubbish]:
    """The rubbish, when nobody else works here."""
    if working := workers():
        raise UserError(f"process {working[0].number} works here ({working[0].command}); wait for its end")
    return list(rubbish(studies, store, crashed))


def delete(path: Path) -> None:
    """Delete a file, or a folder whole at once."""
    if not path.is_dir():
        path.unlink(missing_ok=True)
        return
    trash = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name.lstrip('.')}."))
    path.rename(trash / path.name)
    shutil.rmtree(trash)


def size(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    if not path.is_dir():
        return path.lstat().st_size
    return sum(part.lstat().st_size for part in path.rglob("*") if not part.is_dir())


def size_text(count: float) -> str:
    """Bytes for a person."""
    for unit in ("bytes", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"
