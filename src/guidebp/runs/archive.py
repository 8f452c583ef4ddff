"""Archives of runs: their records, most with predictions. The bytes of an archive depend on these alone."""

import io
import lzma
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from guidebp.errors import UserError
from guidebp.files import atomic_file
from guidebp.runs.store import PREDICTIONS, RECORD, RunStore

# Far above any real record; a larger member is not ours.
LARGEST_FILE = 16 * 2**20
SUFFIX = ".tar.xz"
PRESET = 2  # of xz: two thirds of the time of its default, a fifth more bytes


def write_archive(path: Path, store: RunStore, keys: Sequence[str]) -> None:
    """Write an xz-compressed tar of the runs' records and, where the store requires them, predictions.

    The metadata of its members are empty.
    """
    # rates are chosen from records alone, and predictions are nine tenths of an archive
    names = (RECORD, PREDICTIONS) if store.predictions else (RECORD,)
    with (
        atomic_file(path) as file,
        lzma.open(file, "wb", preset=PRESET) as compressed,
        tarfile.open(fileobj=compressed, mode="w|", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for key in keys:
            for name in names:
                source = store.folder(key) / name
                if not source.exists():
                    continue
                content = source.read_bytes()
                member = tarfile.TarInfo(f"{key}/{name}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))


def read_archive(path: Path, keys: set[str]) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Yield (key, files) of the archived runs whose key is in `keys`; nothing is written.

    Raises UserError for a damaged archive and for any member that an archive of ours cannot have.
    """
    runs: dict[str, dict[str, bytes]] = {}
    try:
        with tarfile.open(path, "r:xz") as archive:
            for member in archive:
                key, _, name = member.name.partition("/")
                if not member.isfile() or name not in (RECORD, PREDICTIONS) or member.size > LARGEST_FILE:
                    raise UserError(f"{path}: unexpected member {member.name!r}; not a records archive")
                if key in keys:
                    file = archive.extractfile(member)
                    assert file is not None
                    runs.setdefault(key, {})[name] = file.read()
    except (tarfile.TarError, lzma.LZMAError, EOFError, ValueError, OverflowError) as error:
        raise UserError(f"{path}: damaged ({error}). Run: git checkout {path}") from error
    yield from sorted(runs.items())
