"""Random streams: every random decision of a run is drawn from a stream named by its purpose.

A stream's seed is a hash of its purpose and of what it may depend on, so streams are independent of
each other, of the order in which they are used and of how far a run has come: to continue a run, only
what torch's own generators have come to within an epoch has to be stored. No stream depends on the method or
on the study (paired randomness):

====================  ===========================================
initial weights       dataset, architecture, seed
a method's own parts  dataset, architecture, seed
batch order           dataset, seed, epoch, stream number
augmentation          dataset, seed, epoch, stream number
chance within a step  dataset, seed, epoch (torch's own generators: dropout)
split                 dataset, seed
====================  ===========================================
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from guidebp.hashing import encode_canonical_json
from guidebp.runs.json_fields import JsonObject, to_json
from guidebp.runs.spec import FamilySpec


def derive_stream_seed(purpose: str, *parts: object) -> int:
    """A 63-bit seed that follows from the purpose and the JSON-serialisable parts alone."""
    digest = hashlib.sha256(encode_canonical_json([purpose, *parts])).digest()
    return int.from_bytes(digest[:8], "big") >> 1


@contextmanager
def use_stream(purpose: str, *parts: object) -> Iterator[None]:
    """Within the block torch's global CPU generator follows the named stream; afterwards it is as before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_stream_seed(purpose, *parts))
        yield


def draw_permutation(n: int, purpose: str, *parts: object) -> torch.Tensor:
    """A random order of range(n), int64 on the CPU, drawn from the named stream."""
    generator = torch.Generator().manual_seed(derive_stream_seed(purpose, *parts))
    return torch.randperm(n, generator=generator)


def name_architecture_stream(architecture: FamilySpec) -> JsonObject:
    """The name of an architecture in streams. It has no hashes of code: an edit must not redraw initial weights."""
    stream: JsonObject = to_json(architecture.without_code())
    return stream
