"""Open archives that somebody else has written: nothing but whitelisted regular files ever reaches the disk.

An archive that holds a link, a device, an absolute path or a way upwards is refused whole, as is one that
unpacks to far more than a dataset would. Writing under the archive's own names never happens: callers
say which member goes where.
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
from typing import IO, Any

from guidebp.errors import UserError

MEMBERS = 100_000
BYTES = 16 << 30  # unpacked, in all
RATIO = 200  # unpacked to packed, beyond FREE
FREE = 64 << 20  # bytes that may unpack from anything
BLOCK = 1 << 20

MAGICS: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
ZIP_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # zipfile unpacks the others without a bound
DAMAGE = (
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
        for name, file in members(archive):
            if name in missing:
                with missing.pop(name).open("wb") as target:
                    copy(file, target, BYTES, archive)
    except DAMAGE as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise  # the disk's fault, not the archive's
        raise UserError(f"{archive}: damaged ({reason(error)}); delete it and fetch again") from error
    if missing:
        raise UserError(f"{archive}: holds no {', '.join(missing)}; delete it and fetch again")


def members(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Name and contents of every regular file in a zip or tar archive, in order."""
    with archive.open("rb") as file:
        zipped = file.read(2) == b"PK"  # a tar archive may end with a zip archive that is a member of it
    if zipped:
        with zipfile.ZipFile(archive) as found:
            check_zip(found, archive)
            for info in found.infolist():
                if not info.is_dir():
                    with found.open(info) as file:
                        yield info.filename, file
        return
    with bounded(archive) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
        for count, member in enumerate(tar):
            if count >= MEMBERS:
                raise refusal(archive, f"holds more than {MEMBERS} members")
            check_name(member.name, archive)
            if member.issparse() or not (member.isreg() or member.isdir()):
                raise refusal(archive, f"{member.name!r:.80} is a link, a device or sparse")
            if not 0 <= member.size <= allowed(archive):  # tarfile would skip it step by step, for years
                raise refusal(archive, f"{member.name!r:.80} announces {member.size} bytes")
            contents = tar.extractfile(member)
            if member.isreg() and contents is not None:
                yield member.name.removeprefix("./"), contents
        while stream.read(BLOCK):
            pass  # to the end, where checksums are


def check_zip(archive: zipfile.ZipFile, path: Path) -> None:
    """UserError when the list of members of a zip archive is not that of an honest one."""
    listed = archive.infolist()
    if len(listed) > MEMBERS or len({info.filename for info in listed}) != len(listed):
        raise refusal(path, f"holds more than {MEMBERS} members or one name twice")
    for info in listed:
        check_name(info.orig_filename, path)  # zipfile cuts the other one at a zero byte
        mode = info.external_attr >> 16
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise refusal(path, f"{info.filename!r:.80} is a link or a device")
        if info.flag_bits & 1 or info.compress_type not in ZIP_PACKINGS:
            raise refusal(path, f"{info.filename!r:.80} is encrypted or packed in an unusual way")
        if info.file_size > max(FREE, RATIO * info.compress_size):
            raise refusal(path, f"{info.filename!r:.80} unpacks to {info.file_size} bytes, a bomb")
    if sum(info.file_size for info in listed) > BYTES:
        raise refusal(path, f"unpacks to more than {BYTES} bytes")
    if sum(info.compress_size for info in listed) > path.stat().st_size:
        raise refusal(path, "its members overlap, as in a bomb")


def check_name(name: str, archive: Path) -> None:
    """UserError for a name that is absolute, leads upwards or is no plain path."""
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name or ":" in name:
        raise refusal(archive, f"a member is called {name!r:.80}, which leads out of the archive")


def refusal(path: Path, why: str) -> UserError:
    """The error for an archive that no honest hand has made."""
    return UserError(f"{path}: refused: {why}; delete it and get it from a source that you trust")


class _Bounded:
    """A stream that refuses to yield more than it may."""

    def __init__(self, file: IO[bytes], allowed: int, path: Path) -> None:
        self.file, self.left, self.path = file, allowed, path

    def read(self, size: int = -1) -> bytes:
        found = self.file.read(min(size, BLOCK) if size >= 0 else BLOCK)
        self.left -= len(found)
        if self.left < 0:
            raise refusal(self.path, "unpacks to far more than its own size, a bomb")
        return found


def allowed(path: Path) -> int:
    """How many bytes a file may unpack to."""
    return min(BYTES, max(FREE, RATIO * path.stat().st_size))


@contextmanager
def bounded(path: Path) -> Iterator[Any]:
    """A file, unpacked if it is gzip, bzip2 or xz, that ends with UserError when it unpacks to too much."""
    with path.open("rb") as raw:
        head = raw.read(5)
    opener = next((function for magic, function in MAGICS.items() if head.startswith(magic)), None)
    with opener(path, "rb") if opener else path.open("rb") as file:
        yield _Bounded(file, allowed(path), path)


def decompress_file(packed: Path, target: Path, size: int | None) -> None:
    """Unpack a compressed file to `target`; UserError when it is damaged or holds more than `size` bytes."""
    try:
        with bounded(packed) as file, target.open("wb") as out:
            copy(file, out, BYTES if size is None else size, packed)
    except DAMAGE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's fault, not the file's
        raise UserError(f"{packed}: damaged ({reason(error)}); replace it") from error


def copy(file: Any, target: IO[bytes], limit: int, source: Path) -> None:
    """Copy at most `limit` bytes; UserError when there are more."""
    left = limit
    while block := file.read(BLOCK):
        left -= len(block)
        if left < 0:
            raise refusal(source, f"holds more than the {limit} bytes expected")
        target.write(block)
