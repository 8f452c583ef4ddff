"""Architectures: one family per file, all keeping the contract of `contract.py`.

A family is a file with an `Options` dataclass and `build(options, shape, classes) -> Network`. Its name in
the configuration is the file's name with `-` for `_`. What its networks have that some methods need, `Options`
says in `offers() -> dict[str, int]`:

- `trunk`: how many exits leave one shared trunk (a `Chain`);
- `parts`: how many modules in a row a network of one exit can be cut between (`Chain.parts`).
"""

from importlib import import_module

from guidebp.models.contract import Network
from guidebp.runs.spec import FamilySpec


def build_network(spec: FamilySpec, shape: tuple[int, int, int], classes: int) -> Network:
    """The network of a resolved architecture: {"family", "options"} and, for one made of others, {"base"}."""
    module = import_module(f"guidebp.models.{spec.module}")
    options = module.Options(**spec.options)
    if spec.base:
        copies = [build_network(spec.base, shape, classes) for _ in range(options.copies)]
        network = module.build(options, copies)
    else:
        network = module.build(options, shape, classes)
    assert isinstance(network, Network)
    network.shape, network.classes = shape, classes
    return network
