"""A GPU for every process of a machine that trains, as evenly as can be.

How many packs train at once is Snakemake's to say (its resource `gpu`); here each takes the device with the fewest.
"""

import fcntl
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from guidebp.errors import UserError

MOST = 64  # processes on one device


def folder() -> Path:
    """Where this user's leases lie; not in the project: two projects share the devices of a machine."""
    return Path(tempfile.gettempdir()) / f"guidebp-{os.getuid()}" / "gpus"


@contextmanager
def leased(names: Sequence[str], where: Path) -> Iterator[int]:
    """The number of the device, of those named, that the fewest other processes hold, until the block ends.

    A lease is a locked file, DEVICE.NUMBER; the kernel unlocks it when its owner dies. The file names the owner.
    """
    where.mkdir(parents=True, exist_ok=True)
    for number in range(MOST):
        for device, name in enumerate(names):
            with (where / f"{name}.{number}").open("a") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                file.truncate(0)
                file.write(f"{os.getpid()}\n")
                file.flush()
                yield device
                return
    raise UserError(
        f"{where}: {MOST} processes train on every GPU; give Snakemake's resource gpu a smaller number"
    )


@contextmanager
def on_device(device: torch.device) -> Iterator[torch.device]:
    """The device, for "cuda" the one leased within the block; their hardware names them, not their order here."""
    if device.type != "cuda":
        yield device
        return
    count = torch.cuda.device_count()
    names = [str(torch.cuda.get_device_properties(number).uuid) for number in range(count)]
    with leased(names, folder()) as number:
        torch.cuda.set_device(number)
        yield torch.device("cuda", number)
