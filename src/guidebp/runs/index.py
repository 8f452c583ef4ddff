"""Pack indexes: the small files by which the workflow knows that a pack's runs are in the store."""

import json
from collections.abc import Sequence
from pathlib import Path

from guidebp.errors import UserError
from guidebp.files import write_atomic
from guidebp.hashing import encode_readable_json
from guidebp.runs.store import RunStore


def write_index(path: Path, keys: Sequence[str], store: RunStore, keep_time: bool = False) -> None:
    """Write a pack's index, key to record checksum, and remove its indexes with other ids.

    `path` is FOLDER/NAME.ID.json. With `keep_time` a file with the same content keeps its time stamp.
    """
    content = encode_readable_json({key: store.read(key).sha256 for key in keys})
    if not path.exists() or path.read_bytes() != content or not keep_time:
        write_atomic(path, content)
    name = path.name.rsplit(".", 2)[0]
    for other in path.parent.glob(f"{name}.*.json"):
        if other != path:
            other.unlink()


def read_index(path: Path, keys: Sequence[str]) -> dict[str, str]:
    """Return the record checksum of each of these runs, by key.

    Raises FileNotFoundError without the file and UserError for one that is damaged or lacks a key.
    """
    try:
        index = dict(json.loads(path.read_text()).items())
        return {key: index[key] for key in keys}
    except FileNotFoundError:
        raise
    except (ValueError, LookupError, AttributeError, RecursionError) as error:
        raise UserError(f"{path}: damaged index of a pack. Run: rm -r {path} && snakemake") from error
