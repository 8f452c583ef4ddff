"""Methods: one family per file, each with an `Options` dataclass and `METHOD`, a subclass of `Method`.

A family's name in the configuration is its file's name with `-` for `_`. A method that cannot train every
architecture says so in `Options.requirement() -> Requirement`. Others import `build_method`, `Method`,
`OptimiserFactory` and `Step` (`contract.py`), and what methods share (`exits.py`, `gradients.py`).
"""

from importlib import import_module

from guidebp.methods.contract import Method
from guidebp.models.contract import Network
from guidebp.optimisers import OptimiserFactory
from guidebp.runs.spec import FamilySpec


def build_method(spec: FamilySpec, network: Network, make_optimiser: OptimiserFactory) -> Method:
    """The method of a resolved spec, ready to train `network`."""
    module = import_module(f"guidebp.methods.{spec.module}")
    method = module.METHOD(network, module.Options(**spec.options), make_optimiser)
    assert isinstance(method, Method)
    return method
