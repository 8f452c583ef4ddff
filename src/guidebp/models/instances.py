"""n copies of one base network with different initial weights.

The setting of the paper's second claim: several instances of one model trained in parallel under one
guided loss. The base is any architecture of the study; the pathways of all copies are the pathways of the network.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from guidebp.models.contract import Network


@dataclass(frozen=True)
class Options:
    """The base architecture, by its name in config/architectures.yaml, and how many copies of it.

    A resolved spec carries the spec of the base instead of its name.
    """

    base: str = ""
    copies: int = 3

    def __post_init__(self) -> None:
        """Raise ValueError for a network that cannot be built."""
        if self.copies < 1:
            raise ValueError("copies must be at least 1")


class Instances(Network):
    """Copies of a base network side by side; weights differ because they are drawn one after another."""

    def __init__(self, copies: Sequence[Network]) -> None:
        super().__init__()
        self.copies = nn.ModuleList(copies)
        several = copies[0].pathways > 1
        self.pathway_names = [
            f"copy {i + 1}, {name}" if several else f"copy {i + 1}"
            for i, copy in enumerate(copies)
            for name in copy.pathway_names
        ]

    def _list_copies(self) -> list[Network]:
        return [copy for copy in self.copies if isinstance(copy, Network)]

    @property
    def exit_heads(self) -> Sequence[nn.Module]:
        """The heads of all copies."""
        return [head for copy in self._list_copies() for head in copy.exit_heads]

    def features(self, images: Tensor) -> list[Tensor]:
        """Features of every pathway of every copy."""
        return [features for copy in self._list_copies() for features in copy.features(images)]

    def stages(self) -> list[list[nn.Module]]:
        """Stages of every pathway of every copy."""
        return [stages for copy in self._list_copies() for stages in copy.stages()]


def build(options: Options, copies: Sequence[Network]) -> Instances:
    """The network made of the given copies of the base; `build_network` of this package builds them."""
    return Instances(copies)
