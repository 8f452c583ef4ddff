"""One byte form for each JSON value, and its hash: what keys, seeds and checksums are computed from."""

import hashlib
import json


def encode_canonical_json(value: object) -> bytes:
    """Sorted keys, no spaces, no NaN; equal values give equal bytes.

    Raises ValueError for NaN or infinity, which JSON cannot carry.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def hash_json(value: object, length: int = 64) -> str:
    """The first `length` hexadecimal digits of the sha256 of the canonical form."""
    return hashlib.sha256(encode_canonical_json(value)).hexdigest()[:length]


def encode_readable_json(value: object) -> bytes:
    """The form for files that people read: indented, in the order given, one newline at the end."""
    return (json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n").encode()
