"""A GPU for every process of a machine that trains, as evenly as can be.

How many packs train at once is Snakemake's to say (its resource `gpu`); here each takes the device with the fewest.
"""

import fcntl
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import torch

from guidebp.files import locked


def find_lease_folder() -> Path:
    """Where this user's leases lie; not in the project: two projects share the devices of a machine."""
    return Path(tempfile.gettempdir()) / f"guidebp-{os.getuid()}" / "gpus"


@contextmanager
def lease_device(names: Sequence[str], where: Path) -> Iterator[int]:
    """The number of the device, of those named, with the fewest other leases, held until the block ends.

    A lease is a locked file, DEVICE.NUMBER; the kernel unlocks it when its owner dies. The file names the owner.
    """
    with locked(where, "choosing"):
        owners = [sum(is_lease_held(path) for path in where.glob(f"{name}.*")) for name in names]
        device = owners.index(min(owners))
        paths = (where / f"{names[device]}.{number}" for number in count())
        file = next(path for path in paths if not is_lease_held(path)).open("w")
        fcntl.flock(file, fcntl.LOCK_EX)
    with file:
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield device


def is_lease_held(path: Path) -> bool:
    """Whether some process has a lock on the file."""
    if not path.exists():
        return False
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@contextmanager
def use_leased_device(device: torch.device) -> Iterator[torch.device]:
    """The device, for "cuda" the one leased within the block; their hardware names them, not their order here."""
    if device.type != "cuda":
        yield device
        return
    numbers = range(torch.cuda.device_count())
    names = [str(torch.cuda.get_device_properties(number).uuid) for number in numbers]
    with lease_device(names, find_lease_folder()) as number:
        torch.cuda.set_device(number)
        yield torch.device("cuda", number)
