"""Errors that a command can end with, and the request to stop."""

import difflib
import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

# Errors of the file system that a user can fix, with the remedy.
REMEDIES = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some of your quota",
    errno.EFBIG: "raise the limit on the size of files",
    errno.EACCES: "give yourself the right to read and write there",
    errno.EPERM: "give yourself the right to read and write there",
    errno.EROFS: "mount it writable or work elsewhere",
    errno.ENOTDIR: "a file stands where a folder should be: move it away",
    errno.EEXIST: "a file stands where a folder should be: move it away",
    errno.EISDIR: "a folder stands where a file should be: move it away",
}


class UserError(Exception):
    """An error that the user can fix: the message names the file or key, the problem and the remedy.

    The command line prints it without a traceback and exits with code 2.
    """


class MissingRateError(UserError):
    """A study needs a learning rate that a tuning study has not chosen yet."""


class StopRequested(Exception):  # noqa: N818 - not an error
    """Work stopped on request and can be resumed by the same command. Exit code 75."""


@contextmanager
def report_disk_errors(folder: Path) -> Iterator[None]:
    """Turn errors of the file system that a user can fix into a UserError with the remedy."""
    try:
        yield
    except OSError as error:
        if error.errno not in REMEDIES:
            raise
        where = error.filename2 or error.filename or folder
        raise UserError(
            f"{os.fspath(where)}: {error.strerror}; {REMEDIES[error.errno]} and run the same again"
        ) from error


def summarise_error(error: BaseException) -> str:
    """Return an exception's message, short and on one line; a hostile file may have chosen the words."""
    text = "".join(letter if letter.isprintable() else " " for letter in str(error)[:2000])
    return " ".join(text.split())[:200] or type(error).__name__


def suggest_name(name: str, valid: Iterable[str]) -> str:
    """Return a clause for error messages: the nearest valid name if there is one, and all valid names."""
    names = sorted(valid)
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean '{close[0]}'? " if close else ""
    return f"{hint}known: {', '.join(names) or 'none'}"
