"""Bring a dataset's raw files to data/raw/DATASET/, verified against the catalogue, or say what is missing.

Tried in order: the file itself where it is intact, mirrors, the package that bundles it, its official address, the
archive that holds it. A file appears in its place only when it is what the catalogue says; what has arrived of a
download stays beside it, hidden, for the next attempt.
"""

import errno
import importlib.util
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from guidebp.canonical import readable_json
from guidebp.data.raw.checks import fault, fingerprints
from guidebp.data.raw.download import LARGEST, Downloader, UnavailableError
from guidebp.data.untrusted.archives import decompress, unpack
from guidebp.errors import UserError
from guidebp.store import locked, sync_folder, write_atomic
from guidebp.study.datasets import Dataset, Files, RawFile, Subset, Torchvision
from guidebp.study.layout import FETCHED

PACKINGS = ("", ".xz", ".gz")  # how a mirror may hold a file

# What of the file system is no fault of a source, and what mends it.
REMEDIES = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some of your quota",
    errno.EFBIG: "raise the limit on the size of files",
    errno.EACCES: "give yourself the right to write there",
    errno.EPERM: "give yourself the right to write there",
    errno.EROFS: "mount it writable or work elsewhere",
    errno.ENOTDIR: "a file stands where a folder should be: move it away",
    errno.EEXIST: "a file stands where a folder should be: move it away",
    errno.EISDIR: "a folder stands where a file should be: move it away",
}

# A place that may have a file: its name for messages, and what writes the file to a temporary path.
Place = tuple[str, Callable[[Path], None]]


def fetch(
    name: str,
    dataset: Dataset,
    raw: Path,
    mirrors: Sequence[str] = (),
    allow_unverified: bool = False,
    downloader: Downloader | None = None,
) -> None:
    """Make everything that preparing the dataset needs present and verified, and list it in fetched.json.

    `raw` is data/raw/. Raises UserError that names the files, what to put where, and what was tried.
    """
    folder = raw / name
    with disk_trouble(folder):
        if isinstance(dataset.source, Files):
            Fetch(name, folder, mirrors, allow_unverified, downloader or Downloader()).files(dataset.source)
        elif isinstance(dataset.source, Torchvision) and dataset.source.download:
            from guidebp.data.readers.torchvision_class import instance

            folder.mkdir(parents=True, exist_ok=True)
            for arguments in (dataset.source.arguments, dataset.source.test_arguments):
                if arguments is not None:
                    instance(dataset.source, folder, arguments, download=True)
        if not isinstance(dataset.source, Subset):
            note, marker = readable_json({"files": fingerprints(dataset, folder)}), folder / FETCHED
            if not marker.is_file() or marker.read_bytes() != note:  # else it may lie where nobody may write
                write_atomic(marker, note)


def mirrors_of(configured: Sequence[str]) -> list[str]:
    """All mirrors: those of the environment (separated by commas), then those of config/config.yaml."""
    named = [mirror.strip() for mirror in os.environ.get("GUIDEBP_MIRRORS", "").split(",")]
    return list(dict.fromkeys([*filter(None, named), *configured]))


class Fetch:
    """One dataset's published files on their way into `folder`."""

    def __init__(
        self, name: str, folder: Path, mirrors: Sequence[str], allow_unverified: bool, downloader: Downloader
    ) -> None:
        self.name, self.folder, self.mirrors = name, folder, mirrors
        self.allow_unverified, self.downloader = allow_unverified, downloader

    def files(self, source: Files) -> None:
        """Every file of the source; UserError with a line for each that cannot be had."""
        missing = {}
        for wanted in source.files:
            tried = self.place(wanted)
            if tried is not None:
                missing[wanted.path] = (wanted, tried)
        if missing and source.archive:
            tried = self.place(source.archive)
            if tried is None:
                self.take_out(source.archive, [wanted for wanted, _ in missing.values()])
                return
            missing[source.archive.path] = (source.archive, tried)
        if missing:
            raise UserError("\n".join(self.explain(source, *entry) for entry in missing.values()))

    def explain(self, source: Files, wanted: RawFile, tried: list[str]) -> str:
        """What to do about a file that cannot be had."""
        whole = ", or the whole archive as said below" if source.archive and wanted != source.archive else ""
        what = f", which holds all of {self.name}" if wanted == source.archive else ""
        return (
            f"{self.folder / wanted.path}: not to be had{what} ({wanted.described}); put it there, or as "
            f"{wanted.path} into a folder that GUIDEBP_MIRRORS names{whole}, and run: guidebp fetch {self.name}; "
            f"tried: {'; '.join(tried) or 'no mirror is named and no address known'}"
        )

    def place(self, wanted: RawFile) -> list[str] | None:
        """Bring one file to its place; None when it is there, else what was tried and why each failed."""
        target = self.folder / wanted.path
        found = fault(target, wanted)
        if found is None:
            return None
        with locked(self.folder.parent / ".locks", self.name):
            found = fault(target, wanted)  # another process may have been faster
            if found is None:
                return None
            tried = [f"{target}: {found}"] if target.exists() else []
            part = part_of(target)
            parts = [part.with_name(f"{part.name}{packing}") for packing in PACKINGS]
            for place, write in self.places(wanted):
                if not wanted.verifiable:  # nothing would tell that a beginning is of another version
                    remove(parts)
                resumed = [path for path in parts if path.exists()]
                found = self.attempt(write, target, wanted)
                if found and not all(path.exists() for path in resumed):  # the beginning was of another file
                    found = self.attempt(write, target, wanted)
                if found is None:
                    part.replace(target)
                    sync_folder(target.parent)
                    remove(parts)
                    return None
                tried.append(f"{place}: {found}")
        return tried

    def attempt(self, write: Callable[[Path], None], target: Path, wanted: RawFile) -> str | None:
        """Write the part and check it; None when it is what is wanted, else why not. What is wrong is removed."""
        part = part_of(target)
        part.parent.mkdir(parents=True, exist_ok=True)
        try:
            write(part)
        except UnavailableError as error:
            return str(error)
        except UserError as error:  # a damaged or hostile packing
            part.unlink(missing_ok=True)
            return str(error)
        except OSError as error:
            if error.errno not in REMEDIES:
                return f"cannot be read ({error.strerror})"
            raise OSError(error.errno, error.strerror, str(target)) from error
        found = fault(part, wanted)
        if found:
            part.unlink(missing_ok=True)
        return found

    def places(self, wanted: RawFile) -> Iterator[Place]:
        """Where the file may be, in the order to try."""
        allowed = wanted.verifiable or self.allow_unverified
        addresses = [mirror for mirror in self.mirrors if mirror.startswith(("http://", "https://"))]
        for mirror in self.mirrors:
            if mirror not in addresses:
                yield from self.in_folder(home(mirror), wanted)
            elif allowed:
                for packing in PACKINGS:
                    address = f"{mirror.rstrip('/')}/{wanted.path}{packing}"
                    yield address, self.from_address(address, packing, wanted.size)
        if wanted.package:
            yield f"package {wanted.package}", self.from_package(wanted.package)
        if wanted.url and allowed:
            yield wanted.url, self.from_address(wanted.url, "", wanted.size)
        elif wanted.url or (addresses and not allowed):
            reason = (
                "not downloaded, as its owner publishes no checksum to verify it by; to allow it, run: "
                f"guidebp fetch --allow-unverified {self.name}, or set allow_unverified in config/config.yaml"
            )
            yield wanted.url or addresses[0], refuse(reason)

    def in_folder(self, mirror: Path, wanted: RawFile) -> Iterator[Place]:
        """The files of a mirror folder that may be it."""
        path = mirror / wanted.path
        packings = [packing for packing in PACKINGS if there(path.with_name(f"{path.name}{packing}"))]
        for packing in packings:
            packed = path.with_name(f"{path.name}{packing}")
            yield str(packed), self.from_folder(packed, packing, wanted.size)
        if not packings and mirror.is_dir():
            yield str(path), refuse("no such file")
        elif not packings:
            yield str(mirror), refuse("no such folder")

    def from_address(self, address: str, packing: str, size: int | None) -> Callable[[Path], None]:
        """Download, and unpack what is packed."""

        def write(part: Path) -> None:
            if not packing:
                self.downloader.download(address, part, size)
                return
            packed = part.with_name(f"{part.name}{packing}")
            # packing makes no file much larger
            self.downloader.download(
                address, packed, None, LARGEST if size is None else size + size // 8 + 4096
            )
            try:
                decompress(packed, part, size)
            finally:
                packed.unlink()

        return write

    def from_folder(self, path: Path, packing: str, size: int | None) -> Callable[[Path], None]:
        """Copy, and unpack what is packed."""

        def write(part: Path) -> None:
            try:
                path.open("rb").close()
            except OSError as error:
                raise UnavailableError(f"cannot be read ({error.strerror})") from error
            if packing:
                decompress(path, part, size)
            else:
                shutil.copyfile(path, part)

        return write

    def from_package(self, package: str) -> Callable[[Path], None]:
        """Copy out of an installed package, without importing it."""

        def write(part: Path) -> None:
            top, _, inside = package.partition("/")
            found = importlib.util.find_spec(top) if top.isidentifier() else None
            for place in (found.submodule_search_locations or []) if found else []:
                if (Path(place) / inside).is_file():
                    shutil.copyfile(Path(place) / inside, part)
                    return
            raise UnavailableError(f"'{top}' with {inside} is not installed; run: make setup")

        return write

    def take_out(self, archive: RawFile, wanted: Sequence[RawFile]) -> None:
        """Unpack files of a verified archive into their places; UserError when one is not what it should be."""
        path = self.folder / archive.path
        with locked(self.folder.parent / ".locks", self.name):
            left = {file.path: file for file in wanted if fault(self.folder / file.path, file) is not None}
            parts = {}
            for file in left:
                parts[file] = part_of(self.folder / file)
                parts[file].parent.mkdir(parents=True, exist_ok=True)
            try:
                unpack(path, parts)
                wrong = []
                for file, part in parts.items():
                    found = fault(part, left[file])
                    if found:
                        wrong.append(f"{path}: {file} in it {found}; delete the archive and fetch again")
                    else:
                        part.replace(self.folder / file)
                        sync_folder(part.parent)
                if wrong:
                    raise UserError("\n".join(wrong))
            finally:
                remove(parts.values())


def home(mirror: str) -> Path:
    """A folder as a user names it: `~` is the home folder; that of an unknown user is no folder."""
    try:
        return Path(mirror).expanduser()
    except RuntimeError:
        return Path(mirror)


def part_of(target: Path) -> Path:
    """Where a file waits until it is complete and checked."""
    return target.with_name(f".{target.name}.part")


def remove(paths: Iterable[Path]) -> None:
    """Delete those that are there."""
    for path in paths:
        path.unlink(missing_ok=True)


def there(path: Path) -> bool:
    """Whether it is a file; what may not be looked at counts, so that the attempt to read it says why."""
    try:
        return path.is_file()
    except OSError:
        return True


def refuse(reason: str) -> Callable[[Path], None]:
    """A place that only says why it is none."""

    def write(part: Path) -> None:
        raise UnavailableError(reason)

    return write


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
