"""Locations that may hold a raw file: mirrors, the package that bundles it, its official address."""

import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from guidebp.ingest.fetching.download import MAX_DOWNLOAD_BYTES, Downloader, UnavailableError
from guidebp.ingest.untrusted.archives import decompress_file
from guidebp.schema.datasets import RawFile, expand_user_path

COMPRESSION_SUFFIXES = ("", ".xz", ".gz")  # how a mirror may hold a file

FileWriter = Callable[[Path], None]


class FileLocation(NamedTuple):
    """A location that may hold a raw file.

    Attributes:
        label: its address or path, for messages.
        write: brings the file to a temporary path; UnavailableError when it is not there.
    """

    label: str
    write: FileWriter


def list_mirrors(configured: Sequence[str]) -> list[str]:
    """Return all mirrors: those of the environment (separated by commas), then those of config/config.yaml."""
    named = [mirror.strip() for mirror in os.environ.get("GUIDEBP_MIRRORS", "").split(",")]
    return list(dict.fromkeys([*filter(None, named), *configured]))


@dataclass
class FileLocations:
    """The locations of one dataset's raw files.

    Attributes:
        name: of the dataset.
        mirrors: folders and addresses.
        allow_unverified: whether to download files without a published checksum.
    """

    name: str
    mirrors: Sequence[str]
    allow_unverified: bool
    downloader: Downloader

    def list_for(self, wanted: RawFile) -> Iterator[FileLocation]:
        """Yield the locations that may hold the file, in the order to try."""
        allowed = wanted.verifiable or self.allow_unverified
        addresses = [mirror for mirror in self.mirrors if mirror.startswith(("http://", "https://"))]
        for mirror in self.mirrors:
            if mirror not in addresses:
                yield from self._list_in_folder(expand_user_path(mirror), wanted)
            elif allowed:
                for suffix in COMPRESSION_SUFFIXES:
                    address = f"{mirror.rstrip('/')}/{wanted.path}{suffix}"
                    yield FileLocation(address, self._download_from(address, suffix, wanted.size))
        if wanted.package:
            yield FileLocation(f"package {wanted.package}", _copy_from_package(wanted.package))
        if wanted.url and allowed:
            yield FileLocation(wanted.url, self._download_from(wanted.url, "", wanted.size))
        elif wanted.url or (addresses and not allowed):
            reason = (
                "not downloaded, as its owner publishes no checksum to verify it by; to allow it, run: "
                f"guidebp fetch --allow-unverified {self.name}, or set allow_unverified in config/config.yaml"
            )
            yield FileLocation(wanted.url or addresses[0], _refuse(reason))

    def _list_in_folder(self, mirror: Path, wanted: RawFile) -> Iterator[FileLocation]:
        """Yield the forms in which a mirror folder holds the file."""
        path = mirror / wanted.path
        forms = {suffix: path.with_name(f"{path.name}{suffix}") for suffix in COMPRESSION_SUFFIXES}
        present = {suffix: form for suffix, form in forms.items() if _file_may_exist(form)}
        for suffix, form in present.items():
            yield FileLocation(str(form), _copy_from_folder(form, suffix, wanted.size))
        if not present and mirror.is_dir():
            yield FileLocation(str(path), _refuse("no such file"))
        elif not present:
            yield FileLocation(str(mirror), _refuse("no such folder"))

    def _download_from(self, address: str, suffix: str, size: int | None) -> FileWriter:
        """Return a writer that downloads, and decompresses what is compressed."""

        def write(partial: Path) -> None:
            if not suffix:
                self.downloader.download(address, partial, size)
                return
            compressed = partial.with_name(f"{partial.name}{suffix}")
            # compression makes no file much larger
            limit = MAX_DOWNLOAD_BYTES if size is None else size + size // 8 + 4096
            self.downloader.download(address, compressed, None, limit)
            try:
                decompress_file(compressed, partial, size)
            finally:
                compressed.unlink()

        return write


def _copy_from_folder(path: Path, suffix: str, size: int | None) -> FileWriter:
    """Return a writer that copies, and decompresses what is compressed."""

    def write(partial: Path) -> None:
        try:
            path.open("rb").close()
        except OSError as error:
            raise UnavailableError(f"cannot be read ({error.strerror})") from error
        if suffix:
            decompress_file(path, partial, size)
        else:
            shutil.copyfile(path, partial)

    return write


def _copy_from_package(package: str) -> FileWriter:
    """Return a writer that copies out of an installed package, without importing it."""

    def write(partial: Path) -> None:
        top, _, inside = package.partition("/")
        spec = importlib.util.find_spec(top) if top.isidentifier() else None
        for folder in (spec.submodule_search_locations or []) if spec else []:
            if (Path(folder) / inside).is_file():
                shutil.copyfile(Path(folder) / inside, partial)
                return
        raise UnavailableError(f"'{top}' with {inside} is not installed; run: make setup")

    return write


def _file_may_exist(path: Path) -> bool:
    """Return whether it is a file; a path that may not be looked at counts, so that reading it gives the reason."""
    try:
        return path.is_file()
    except OSError:
        return True


def _refuse(reason: str) -> FileWriter:
    """Return a writer that only gives the reason why nothing can be had."""

    def write(partial: Path) -> None:
        raise UnavailableError(reason)

    return write
