"""Architectures: one family per file, with an `Options` dataclass and `build(options, shape, classes) -> Network`.

A family's name in the configuration is its file's name with `-` for `_`. Its `Options` say in `offer() -> Offer`
what its networks have that some methods need. Others import `build_network`, `Network`, `Chain` and `Parallel`
(`contract.py`).
"""

from importlib import import_module

from guidebp.models.contract import Network
from guidebp.runs.spec import FamilySpec


def build_network(spec: FamilySpec, shape: tuple[int, int, int], classes: int) -> Network:
    """The network of a resolved spec for images of `shape` (C, H, W); one with a base is made of copies of it."""
    module = import_module(f"guidebp.models.{spec.module}")
    options = module.Options(**spec.options)
    if spec.base is not None:
        copies = [build_network(spec.base, shape, classes) for _ in range(options.copies)]
        network = module.build(options, copies)
    else:
        network = module.build(options, shape, classes)
    assert isinstance(network, Network)
    network.shape, network.classes = shape, classes
    return network
