"""Open archives of unknown origin: only the regular files that a caller names reach the disk.

An archive that holds a link, a device, an absolute path or a way upwards is refused whole, as is one that
unpacks to far more than a dataset would. Nothing is written under the archive's own names: callers say which
member goes where.
"""

import bz2
import errno
import gzip
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from guidebp.errors import UserError, summarise_error

MAX_MEMBERS = 100_000
MAX_UNPACKED_BYTES = 16 << 30  # of all members together
MAX_RATIO = 200  # unpacked to packed bytes, beyond FREE_BYTES
FREE_BYTES = 64 << 20  # bytes that may unpack from anything
BLOCK = 1 << 20

MAGICS: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
ZIP_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # zipfile unpacks the others without a bound
ARCHIVE_DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    ValueError,
    NotImplementedError,
    MemoryError,
    OSError,
)


def unpack_archive(archive: Path, wanted: Mapping[str, Path]) -> None:
    """Write the members named by the keys of `wanted` to its paths, which are temporary ones of the caller's.

    Raises UserError when the archive is damaged, hostile, or lacks one of them.
    """
    missing = dict(wanted)
    try:
        for name, file in _iterate_members(archive):
            if name in missing:
                with missing.pop(name).open("wb") as target:
                    _copy_at_most(file, target, MAX_UNPACKED_BYTES, archive)
    except ARCHIVE_DAMAGE as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise  # the disk's fault, not the archive's
        raise UserError(
            f"{archive}: damaged ({summarise_error(error)}); delete it and fetch again"
        ) from error
    if missing:
        raise UserError(f"{archive}: holds no {', '.join(missing)}; delete it and fetch again")


def _iterate_members(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield name and contents of every regular file in a zip or tar archive, in order."""
    with archive.open("rb") as file:
        zipped = file.read(2) == b"PK"  # a tar archive may end with a zip archive that is a member of it
    if zipped:
        with zipfile.ZipFile(archive) as opened:
            check_zip_archive(opened, archive)
            for info in opened.infolist():
                if not info.is_dir():
                    with opened.open(info) as file:
                        yield info.filename, file
        return
    with _open_bounded(archive) as stream, tarfile.open(fileobj=cast("IO[bytes]", stream), mode="r|") as tar:
        for count, member in enumerate(tar):
            if count >= MAX_MEMBERS:
                raise UnsafeArchiveError(archive, f"holds more than {MAX_MEMBERS} members")
            _check_member_name(member.name, archive)
            if member.issparse() or not (member.isreg() or member.isdir()):
                raise UnsafeArchiveError(archive, f"{member.name!r:.80} is a link, a device or sparse")
            if (
                not 0 <= member.size <= get_unpacked_limit(archive)
            ):  # tarfile would skip it step by step, for years
                raise UnsafeArchiveError(archive, f"{member.name!r:.80} announces {member.size} bytes")
            contents = tar.extractfile(member)
            if member.isreg() and contents is not None:
                yield member.name.removeprefix("./"), contents
        while stream.read(BLOCK):
            pass  # to the end, where checksums are


def check_zip_archive(archive: zipfile.ZipFile, path: Path) -> None:
    """Raise UserError when the list of members of a zip archive is unsafe."""
    listed = archive.infolist()
    if len(listed) > MAX_MEMBERS or len({info.filename for info in listed}) != len(listed):
        raise UnsafeArchiveError(path, f"holds more than {MAX_MEMBERS} members or one name twice")
    for info in listed:
        _check_member_name(info.orig_filename, path)  # zipfile cuts the other one at a zero byte
        mode = info.external_attr >> 16
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise UnsafeArchiveError(path, f"{info.filename!r:.80} is a link or a device")
        if info.flag_bits & 1 or info.compress_type not in ZIP_PACKINGS:
            raise UnsafeArchiveError(path, f"{info.filename!r:.80} is encrypted or packed in an unusual way")
        if info.file_size > max(FREE_BYTES, MAX_RATIO * info.compress_size):
            raise UnsafeArchiveError(path, f"{info.filename!r:.80} unpacks to {info.file_size} bytes, a bomb")
    if sum(info.file_size for info in listed) > MAX_UNPACKED_BYTES:
        raise UnsafeArchiveError(path, f"unpacks to more than {MAX_UNPACKED_BYTES} bytes")
    if sum(info.compress_size for info in listed) > path.stat().st_size:
        raise UnsafeArchiveError(path, "its members overlap, as in a bomb")


def _check_member_name(name: str, archive: Path) -> None:
    """Raise UserError for a name that is absolute, leads upwards or is no plain path."""
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name or ":" in name:
        raise UnsafeArchiveError(archive, f"a member is called {name!r:.80}, which leads out of the archive")


class UnsafeArchiveError(UserError):
    """Error for an unsafe archive."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path}: refused: {problem}; delete it and get it from a source that you trust")


class _BoundedStream:
    """A stream that refuses to yield more bytes than allowed."""

    def __init__(self, file: IO[bytes], get_unpacked_limit: int, path: Path) -> None:
        self.file, self.left, self.path = file, get_unpacked_limit, path

    def read(self, size: int = -1) -> bytes:
        content = self.file.read(min(size, BLOCK) if size >= 0 else BLOCK)
        self.left -= len(content)
        if self.left < 0:
            raise UnsafeArchiveError(self.path, "unpacks to far more than its own size, a bomb")
        return content


def get_unpacked_limit(path: Path) -> int:
    """Return how many bytes a file may unpack to."""
    return min(MAX_UNPACKED_BYTES, max(FREE_BYTES, MAX_RATIO * path.stat().st_size))


@contextmanager
def _open_bounded(path: Path) -> Iterator[_BoundedStream]:
    """Open a file, decompressed if it is gzip, bzip2 or xz; reading too many bytes from it is a UserError."""
    with path.open("rb") as raw:
        head = raw.read(5)
    opener = next((function for magic, function in MAGICS.items() if head.startswith(magic)), None)
    with opener(path, "rb") if opener else path.open("rb") as file:
        yield _BoundedStream(file, get_unpacked_limit(path), path)


def decompress_file(packed: Path, target: Path, size: int | None) -> None:
    """Decompress a file to `target`; UserError when it is damaged or holds more than `size` bytes."""
    try:
        with _open_bounded(packed) as file, target.open("wb") as out:
            _copy_at_most(file, out, MAX_UNPACKED_BYTES if size is None else size, packed)
    except ARCHIVE_DAMAGE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's fault, not the file's
        raise UserError(f"{packed}: damaged ({summarise_error(error)}); replace it") from error


def _copy_at_most(file: IO[bytes] | _BoundedStream, target: IO[bytes], limit: int, source: Path) -> None:
    """Copy at most `limit` bytes; UserError when there are more."""
    left = limit
    while block := file.read(BLOCK):
        left -= len(block)
        if left < 0:
            raise UnsafeArchiveError(source, f"holds more than the {limit} bytes expected")
        target.write(block)
