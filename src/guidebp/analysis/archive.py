"""The records archive: all records and predictions of a study in one file whose bytes follow from them alone."""

import io
import lzma
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from guidebp.errors import UserError
from guidebp.store import PREDICTIONS, RECORD, RunStore, atomic_file

# Far above any real record; an archive that says otherwise is not ours.
LARGEST_FILE = 16 * 2**20
PRESET = 2  # of xz: two thirds of the time of its default, a fifth more bytes


def write_archive(path: Path, store: RunStore, keys: Sequence[str]) -> None:
    """An xz-compressed tar of `<key>/record.json` and the predictions, in key order, with empty metadata."""
    with (
        atomic_file(path) as file,
        lzma.open(file, "wb", preset=PRESET) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for key in sorted(keys):
            for name in (RECORD, PREDICTIONS):
                part = store.folder(key) / name
                if not part.exists():
                    continue
                content = part.read_bytes()
                entry = tarfile.TarInfo(f"{key}/{name}")
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))


def unpack_records(path: Path, keys: set[str]) -> Iterator[tuple[str, dict[str, bytes]]]:
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
    except FileNotFoundError as error:
        raise UserError(f"{path}: no records archive; run snakemake to train the study") from error
    except (tarfile.TarError, lzma.LZMAError, EOFError, ValueError, OverflowError) as error:
        raise UserError(f"{path}: damaged ({error}); run: git checkout {path}") from error
    yield from sorted(found.items())
