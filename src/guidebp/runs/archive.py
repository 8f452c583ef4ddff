"""The archives of a study: its records, most with predictions, in files whose bytes follow from them alone."""

import io
import lzma
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from guidebp.errors import UserError
from guidebp.files import atomic_file
from guidebp.paths import Layout
from guidebp.runs.store import PREDICTIONS, RECORD, RunStore
from guidebp.study.keys import Run

# Far above any real record; an archive that says otherwise is not ours.
LARGEST_FILE = 16 * 2**20
SUFFIX = ".tar.xz"
PRESET = 2  # of xz: two thirds of the time of its default, a fifth more bytes


def write_archives(
    layout: Layout, store: RunStore, runs: Iterable[Run], kept: set[tuple[str, str]]
) -> list[Path]:
    """One archive per dataset and network, with predictions where the store has to have them; their paths.

    Other archives are removed but for those of `kept`, the datasets and networks that the study plans.
    """
    # rates are chosen from records alone, and predictions are nine tenths of an archive
    parts = (RECORD, PREDICTIONS) if store.predictions else (RECORD,)
    keys: dict[Path, set[str]] = {}
    for run in runs:
        keys.setdefault(layout.archive(run.dataset, run.architecture), set()).add(run.key)
    for path, found in keys.items():
        write_archive(path, store, sorted(found), parts)
    for path in set(layout.records.glob(f"*{SUFFIX}")) - {layout.archive(*cell) for cell in kept}:
        path.unlink()
    return list(keys)


def write_archive(path: Path, store: RunStore, keys: Sequence[str], parts: Sequence[str]) -> None:
    """An xz-compressed tar of these files of each run, as far as there are any, with empty metadata."""
    with (
        atomic_file(path) as file,
        lzma.open(file, "wb", preset=PRESET) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for key in keys:
            for name in parts:
                part = store.folder(key) / name
                if not part.exists():
                    continue
                content = part.read_bytes()
                entry = tarfile.TarInfo(f"{key}/{name}")
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))


def read_archive(path: Path, keys: set[str]) -> Iterator[tuple[str, dict[str, bytes]]]:
    """(key, files) of the archived runs whose key is in `keys`; nothing is written.

    Raises UserError for a damaged archive and for any member that an archive of ours cannot have.
    """
    found: dict[str, dict[str, bytes]] = {}
    try:
        with tarfile.open(path, "r:xz") as archive:
            for member in archive:
                key, _, name = member.name.partition("/")
                if not member.isfile() or name not in (RECORD, PREDICTIONS) or member.size > LARGEST_FILE:
                    raise UserError(f"{path}: unexpected member {member.name!r}; not a records archive")
                if key in keys:
                    file = archive.extractfile(member)
                    assert file is not None
                    found.setdefault(key, {})[name] = file.read()
    except (tarfile.TarError, lzma.LZMAError, EOFError, ValueError, OverflowError) as error:
        raise UserError(f"{path}: damaged ({error}); run: git checkout {path}") from error
    yield from sorted(found.items())
