"""What no study of this project uses: found, and freed once somebody has agreed."""

import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from guidebp.errors import UserError
from guidebp.store import RunStore
from guidebp.study.layout import PREPARED, Layout
from guidebp.study.resolve import Study
from guidebp.upkeep.processes import workers

# What `tempfile` appends to the name of what was being written when its process was killed.
UNWRITTEN = re.compile(r"\..+\.[a-z0-9_]{8}")


class Rubbish(NamedTuple):
    """A file or a folder that nobody needs; `why` completes "3 ..."."""

    path: Path
    why: str
    size: int


def rubbish(studies: Iterable[Study], store: RunStore) -> Iterator[Rubbish]:
    """What none of the studies uses."""
    studies = list(studies)
    used = {run.key for study in studies for run in study.runs}
    running = store.running()
    for path in sorted(store.root.glob("*")):
        key = path.name.split(".")[1] if path.name.startswith(".") and "." in path.name[1:] else path.name
        if key in running or path.name in (".locks", ".unfinished"):
            continue
        if UNWRITTEN.fullmatch(path.name):
            yield Rubbish(path, "runs that were being written when their process was killed", size(path))
        elif path.is_dir() and key not in used:
            yield Rubbish(path, "runs that no study uses", size(path))
    for path in sorted((store.root / ".unfinished").glob("*")):
        if path.name not in running and (path.name not in used or store.has(path.name)):
            yield Rubbish(path, "checkpoints that no study uses", size(path))
    for study in studies:
        layout = Layout(study.name)
        known = {layout.pack(pack.id) for pack in study.packs}
        for path in sorted(layout.folder.glob("packs/*.json")):
            if path not in known:
                yield Rubbish(path, "indexes of packs that their study does not have", size(path))
    for folder in (PREPARED, *(Layout(study.name).folder for study in studies)):
        for path in sorted(folder.rglob(".*")):
            if path.is_file() and UNWRITTEN.fullmatch(path.name):
                yield Rubbish(path, "files that were being written when their process was killed", size(path))


def free(studies: Iterable[Study], store: RunStore, agreed: Callable[[str], bool]) -> str:
    """Delete the rubbish if, told what it is, somebody has `agreed`; says what was done.

    Raises UserError while another process works here: what it is writing looks like rubbish.
    """
    if working := workers():
        raise UserError(f"process {working[0].number} works here ({working[0].command}); wait for its end")
    found = list(rubbish(studies, store))
    if not found:
        return "nothing to free"
    counts = Counter(part.why for part in found)
    sizes = {why: size_text(sum(part.size for part in found if part.why == why)) for why in counts}
    if not agreed("\n".join(f"{count} {why}, {sizes[why]}" for why, count in counts.items())):
        return "nothing was deleted"
    for part in found:
        if part.path.parent == store.root and not part.path.name.startswith("."):
            store.remove(part.path.name)
        elif part.path.is_dir():
            shutil.rmtree(part.path)
        else:
            part.path.unlink()
    return f"{size_text(sum(part.size for part in found))} freed"


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
