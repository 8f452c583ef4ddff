"""The file name of a checkpoint: EPOCH-STEP.SHA256.safetensors. Only the standard library."""

import re
from dataclasses import dataclass
from typing import Self

_PATTERN = re.compile(r"(\d{6,})-(\d{8,})\.([0-9a-f]{64})\.safetensors")


@dataclass(frozen=True)
class CheckpointName:
    """The position of a run when its checkpoint was written, and the checksum of the checkpoint's contents.

    Attributes:
        epoch: number of the epoch, from 0.
        step: next step of that epoch, from 0.
        sha256: checksum of the file's contents.
    """

    epoch: int
    step: int
    sha256: str

    def __str__(self) -> str:
        """The file name; names sort by epoch and step."""
        return f"{self.epoch:06d}-{self.step:08d}.{self.sha256}.safetensors"

    @classmethod
    def parse(cls, name: str) -> Self | None:
        """The parts of a file name; None for a file that is no checkpoint."""
        match = _PATTERN.fullmatch(name)
        parts = cls(int(match[1]), int(match[2]), match[3]) if match else None
        return parts if str(parts) == name else None  # not with further zeros or other digits than 0 to 9
