"""Checksums of a step's files, as `sha256sum --check` reads them: a change of a single digit does not go unseen."""

from collections.abc import Iterable
from pathlib import Path

from guidebp.errors import UserError
from guidebp.store import file_hash, write_atomic


def write_sums(sums: Path, paths: Iterable[Path]) -> None:
    """Write the checksums of files."""
    write_atomic(sums, "".join(f"{file_hash(path)}  {path}\n" for path in paths).encode())


def check_sums(sums: Path, paths: Iterable[Path], again: str) -> None:
    """UserError with the command `again` when a file is not what its step has written.

    Without the checksums nothing is known; the workflow makes them again.
    """
    if not sums.exists():
        return
    try:
        lines = [line.split("  ", 1) for line in sums.read_text().splitlines()]
        known = {Path(path): checksum for checksum, path in lines}
    except (OSError, ValueError) as error:
        raise UserError(f"{sums}: no list of checksums ({error}); run: rm -r {sums} && {again}") from error
    for path in paths:
        if path.is_file() and known.get(path) != file_hash(path):
            raise UserError(f"{path}: changed since it was made; run: rm -r {path} && {again}")
