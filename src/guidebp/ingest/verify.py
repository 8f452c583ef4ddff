"""Verify files by their hashes: raw files against the catalogue, prepared files against their manifests."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from guidebp.data.manifest import PreparedFile, check_content_hash, read_manifest
from guidebp.errors import UserError
from guidebp.ingest.fetching.checks import find_raw_file_fault, hash_raw_files
from guidebp.paths import FETCH_RECORD
from guidebp.schema.datasets import Dataset, FilesSource, SubsetSource

VerificationState = Literal["ok", "absent", "damaged"]


class VerificationResult(NamedTuple):
    """State of one dataset's raw or prepared files; `text` says how they were checked, or the remedy."""

    dataset: str
    kind: Literal["raw", "prepared"]
    state: VerificationState
    text: str


def verify_dataset(name: str, dataset: Dataset, raw: Path, prepared: Path) -> Iterator[VerificationResult]:
    """Yield the state of the raw files of a dataset, unless it is a subset, and of its prepared file."""
    if not isinstance(dataset.source, SubsetSource):
        yield VerificationResult(
            name, "raw", *_report_unreadable_files(lambda: _verify_raw(name, dataset, raw / name))
        )
    yield VerificationResult(
        name, "prepared", *_report_unreadable_files(lambda: _verify_prepared(name, prepared))
    )


def _report_unreadable_files(
    check: Callable[[], tuple[VerificationState, str]],
) -> tuple[VerificationState, str]:
    """Return the result of the check; `damaged` when a file cannot be read."""
    try:
        return check()
    except OSError as error:
        reason = f"{error.filename or 'a file'} cannot be read ({error.strerror})"
        return "damaged", f"{reason}; give yourself the right to read it, or delete it and run: snakemake"


def _verify_raw(name: str, dataset: Dataset, folder: Path) -> tuple[VerificationState, str]:
    """Check raw files against the catalogue's checksums, and against those noted when they were fetched."""
    marker, remedy = folder / FETCH_RECORD, f"run: guidebp fetch {name}"
    files = dataset.source.files if isinstance(dataset.source, FilesSource) else []
    if not marker.exists() and not any((folder / file.path).exists() for file in files):
        return "absent", remedy
    for wanted in files:
        fault = find_raw_file_fault(folder / wanted.path, wanted)
        if fault:
            return "damaged", f"{folder / wanted.path} {fault}; {remedy}"
    try:
        noted = dict(json.loads(marker.read_bytes())["files"])
    except FileNotFoundError:
        return "damaged", f"{marker} is missing; {remedy}"
    except (ValueError, KeyError, TypeError, RecursionError):
        return "damaged", f"{marker} is no note of what was fetched; {remedy}"
    try:
        hashes = hash_raw_files(dataset, folder)
    except UserError as error:
        return "damaged", str(error)
    changed = [path for path in {**noted, **hashes} if noted.get(path) != hashes.get(path)]
    if changed:
        return "damaged", f"{changed[0]} has changed since it was fetched; {remedy}, then snakemake"
    if not hashes:
        return "ok", "no raw files of its own"
    checks = {kind for file in files for kind in ("md5", "sha256") if getattr(file, kind)}
    if not files:
        return "ok", f"{', '.join(hashes)} unchanged since it was fetched"
    by = " and ".join(sorted(checks)) if checks else "sha256 since it was fetched"
    unverified = sum(file.unverified for file in files)
    return "ok", f"{len(files)} files by {by}" + (f", {unverified} unverified" if unverified else "")


def _verify_prepared(name: str, folder: Path) -> tuple[VerificationState, str]:
    """Check the prepared file against its manifest."""
    path = folder / f"{name}.safetensors"
    if not path.exists():
        return "absent", f"run: snakemake {path}"
    try:
        check_content_hash(PreparedFile(path).compute_content_hash(), read_manifest(folder, name), path)
    except UserError as error:
        return "damaged", str(error)
    return "ok", "contents as in the manifest"
