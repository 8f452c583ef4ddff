"""Requirements of a method on an architecture, and the offer of an architecture.

`Options` of methods return a `Requirement` from `requirement()`, those of architectures an `Offer` from `offer()`.
Only the standard library: the study matches pairs without importing torch, and methods do not import pydantic.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Offer:
    """Exits and units of an architecture's networks.

    Attributes:
        exits: exits along one trunk, the last of which is the output of the whole network; 0 without a trunk.
        units: modules in a row that the trunk of a network with a single exit can be cut between
            (`Chain.units`); 0 for other networks.
    """

    exits: int = 0
    units: int = 0


@dataclass(frozen=True)
class Requirement:
    """The least that a method needs of each, and the reason to give where an architecture has less."""

    exits: int = 0
    units: int = 0
    reason: str = ""

    def is_met_by(self, offer: Offer) -> bool:
        """Return True if the architecture has enough exits and units."""
        return offer.exits >= self.exits and offer.units >= self.units
