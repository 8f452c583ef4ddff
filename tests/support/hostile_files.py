"""Hostile files, and how they must be refused."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from guidebp.errors import UserError
from tests.support.valid_files import digits, noise

REMEDY = re.compile(
    r"; .*\b(delete it|fetch again|fetch it again|correct|convert|remove or replace|save|set fit|make them agree|"
    r"give one|mend|put|replace it|only \w+ datasets fit|did you mean|known)\b"
)
IMAGES, LABELS = noise(6, 1, 4, 4), digits(6)
COLOURS = noise(6, 3, 4, 4)


FULL = bool(os.environ.get("GUIDEBP_FULL"))


def select_positions(count: int, step: int, head: int = 64, tail: int = 16) -> list[int]:
    """Positions below `count`: those of head and tail, every `step`-th between; all for `make test-full`."""
    if FULL:
        return list(range(count))
    return sorted({*range(min(head, count)), *range(0, count, step), *range(max(0, count - tail), count)})


@contextmanager
def refused(where: Path | str, why: str = "") -> Iterator[None]:
    """A UserError of one printable line that names the file, why, and what to do."""
    with pytest.raises(UserError) as caught:
        yield
    message = str(caught.value)
    assert str(where) in message and re.search(why, message), message
    assert message.isprintable() and len(message) < 1000, message
    assert REMEDY.search(message), message


def changed(content: bytes, at: int, new: bytes) -> bytes:
    """The bytes with others at a place."""
    assert content[at : at + len(new)] != new
    return content[:at] + new + content[at + len(new) :]


def tree(folder: Path) -> set[str]:
    """Everything below a folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}
