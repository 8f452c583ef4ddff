"""Methods: one family per file, all keeping the contract of `contract.py`.

A family is a file with an `Options` dataclass and `METHOD`, a subclass of `Method`. Its name in the
configuration is the file's name with `-` for `_`. What it needs of an architecture, `Options` says in `needs()
-> dict[str, tuple[int, str]]`: of what how much at least (see `guidebp.models`), and the reason given
otherwise.
"""

from importlib import import_module

from guidebp.methods.contract import MakeOptimiser, Method
from guidebp.models.contract import Network
from guidebp.runs.spec import FamilySpec


def build_method(spec: FamilySpec, network: Network, make_optimiser: MakeOptimiser) -> Method:
    """The method of a resolved entry {"family", "options"}, ready to train `network`."""
    module = import_module(f"guidebp.methods.{spec.module}")
    method = module.METHOD(network, module.Options(**spec.options), make_optimiser)
    assert isinstance(method, Method)
    return method
