"""What a command ends with other than well: a mistake that a user can mend, or a wish to stop."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# What of the file system is no fault of a source, and what mends it.
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
    """Something the user can mend: the message names the file or key, the expectation and the remedy.

    The command line prints it as one line, without a traceback, and exits with code 2.
    """


class Untuned(UserError):  # noqa: N818
    """A study waits for a learning rate that another one is to choose."""


class Stopped(Exception):  # noqa: N818
    """What was asked to stop has stopped; the same command goes on from there. Exit code 75."""


@contextmanager
def disk_trouble(folder: Path) -> Iterator[None]:
    """Turn what the file system refuses into a UserError that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in REMEDIES:
            raise
        where = error.filename2 or error.filename or folder
        raise UserError(
            f"{os.fspath(where)}: {error.strerror}; {REMEDIES[error.errno]} and run the same again"
        ) from error
