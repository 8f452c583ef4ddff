"""The record of one finished run."""

import hashlib
import json
from pathlib import Path
from typing import Any

from guidebp.errors import UserError
from guidebp.hashing import canonical_json, json_hash

RECORD_VERSION = 3


def encode_record(spec: dict[str, Any], data: str, result: dict[str, Any], files: dict[str, bytes]) -> bytes:
    """The bytes of record.json; `data` is the content hash of the prepared dataset."""
    record: dict[str, Any] = {
        "version": RECORD_VERSION,
        "spec": spec,
        "data": data,
        "result": result,
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    }
    return canonical_json(record | {"sha256": json_hash(record)})


def decode_record(raw: bytes, key: str, path: Path, remedy: str) -> dict[str, Any]:
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
