"""Leases of GPUs, which distribute the training processes of a machine evenly.

Snakemake decides how many packs train at once (its resource `gpu`). Each process takes the device with the fewest
leases.
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
    """The folder of this user's leases. It is outside the project: two projects share the devices of a machine."""
    return Path(tempfile.gettempdir()) / f"guidebp-{os.getuid()}" / "gpus"


@contextmanager
def lease_device(names: Sequence[str], where: Path) -> Iterator[int]:
    """Lease the device with the fewest other leases until the block ends; yield its position in `names`.

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
    """Return True if some process has a lock on the file."""
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
    """Yield the device; for "cuda", lease one within the block.

    Leases name devices by hardware identifier, because their order can differ between processes.
    """
    if device.type != "cuda":
        yield device
        return
    numbers = range(torch.cuda.device_count())
    names = [str(torch.cuda.get_device_properties(number).uuid) for number in numbers]
    with lease_device(names, find_lease_folder()) as number:
        torch.cuda.set_device(number)
        yield torch.device("cuda", number)
