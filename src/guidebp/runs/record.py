"""The record of one finished run: record.json, verified against its own checksum and its spec's key."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

from guidebp.errors import UserError
from guidebp.hashing import encode_canonical_json, hash_json
from guidebp.runs.json_fields import from_json, to_json
from guidebp.runs.result import RunResult
from guidebp.runs.spec import Locks, PlannedRun, RunSpec, spec_from_json, spec_to_json

RECORD_VERSION = 4


@dataclass(frozen=True)
class RunRecord:
    """The stored record of a run.

    Attributes:
        data: content hash of the prepared dataset that it was trained on.
        files: checksums of the run's other files, by name.
        locks: hashes of the claims' rules when the run was trained. They are no part of the key.
        sha256: checksum of all of the above.
    """

    spec: RunSpec
    data: str
    result: RunResult
    files: dict[str, str] = field(default_factory=dict)
    locks: Locks = field(default_factory=dict)
    sha256: str = ""


def encode_record(run: PlannedRun, data: str, result: RunResult, files: dict[str, bytes]) -> bytes:
    """The bytes of record.json; `data` is the content hash of the dataset, `files` are the run's other files."""
    body = {
        "version": RECORD_VERSION,
        "spec": spec_to_json(run.spec),
        "data": data,
        "result": to_json(result),
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
        "locks": run.locks,
    }
    return encode_canonical_json(body | {"sha256": hash_json(body)})


def decode_record(content: bytes, key: str, path: Path, remedy: str) -> RunRecord:
    """The record in the bytes of a record.json.

    Raises UserError when the bytes are no record of this version, do not match their checksum, or hold a spec that
    does not hash to `key`. The error names `path` and `remedy`.
    """
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not a record ({error}); {remedy}") from error
    if not isinstance(value, dict) or value.get("version") != RECORD_VERSION:
        raise UserError(f"{path}: not a record of version {RECORD_VERSION}; {remedy}")
    body = {name: entry for name, entry in value.items() if name != "sha256"}
    try:
        if value.get("sha256") != hash_json(body):
            raise UserError(f"{path}: its checksum does not match its contents; {remedy}")
        record = RunRecord(
            spec=spec_from_json(body.get("spec")),
            data=from_json(str, body.get("data"), "data"),
            result=from_json(RunResult, body.get("result"), "result"),
            files=from_json(dict[str, str], body.get("files"), "files"),
            locks=from_json(Locks, body.get("locks"), "locks"),
            sha256=value["sha256"],
        )
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise UserError(f"{path}: not a record ({error}); {remedy}") from error
    if record.spec.key != key:
        raise UserError(f"{path}: its spec has the key {record.spec.key}, not {key}; {remedy}")
    return record
