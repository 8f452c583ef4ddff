"""Where a raw file may be: mirrors, the package that bundles it, its official address."""

import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from guidebp.ingest.fetching.download import LARGEST, Downloader, UnavailableError
from guidebp.ingest.untrusted.archives import decompress_file
from guidebp.schema.datasets import RawFile, expand_user_path

PACKINGS = ("", ".xz", ".gz")  # how a mirror may hold a file

# A place that may have a file: its name for messages, and what writes the file to a temporary path.
Place = tuple[str, Callable[[Path], None]]


def mirrors_of(configured: Sequence[str]) -> list[str]:
    """All mirrors: those of the environment (separated by commas), then those of config/config.yaml."""
    named = [mirror.strip() for mirror in os.environ.get("GUIDEBP_MIRRORS", "").split(",")]
    return list(dict.fromkeys([*filter(None, named), *configured]))


@dataclass
class Places:
    """The places of one dataset's files.

    Attributes:
        name: of the dataset.
        mirrors: folders and addresses.
        allow_unverified: whether to download what cannot be checked.
    """

    name: str
    mirrors: Sequence[str]
    allow_unverified: bool
    downloader: Downloader

    def of(self, wanted: RawFile) -> Iterator[Place]:
        """Where the file may be, in the order to try."""
        allowed = wanted.verifiable or self.allow_unverified
        addresses = [mirror for mirror in self.mirrors if mirror.startswith(("http://", "https://"))]
        for mirror in self.mirrors:
            if mirror not in addresses:
                yield from self.in_folder(expand_user_path(mirror), wanted)
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
                decompress_file(packed, part, size)
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
                decompress_file(path, part, size)
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
