"""The schema of config/claims.yaml: published statements, the runs that may decide them, and the rules."""

from collections.abc import Iterator
from functools import cached_property
from typing import Annotated, Literal

from pydantic import Field

from guidebp.hashing import json_hash
from guidebp.schema.entry import Entry, Name, Text

Scale = Literal["published", "desk", "exploratory"]
Metric = Literal[
    "merged", "primary", "every pathway", "every sub-model", "ensemble", "time and memory per step"
]
# Seeds below are for trying things out, those from 900 for tuning.
DECIDING = range(100, 900)


class Side(Entry):
    """One side of a comparison, on the network that the ground names."""

    method: Name
    metric: Metric | None = Field(None, description="Where it is not the claim's.")


class Comparison(Entry):
    """What a claim puts against what."""

    better: Side = Field(description="The side the claim speaks for.")
    than: Side


class Networks(Entry):
    """The two sides' networks where they differ."""

    better: Name
    than: Name


class Ground(Entry):
    """Runs on which a claim may be decided: every dataset with every network."""

    datasets: Annotated[list[Name], Field(min_length=1)]
    networks: Annotated[list[Name | Networks], Field(min_length=1)] = Field(
        description="Architectures; `{better: NAME, than: NAME}` where the sides differ."
    )
    recipes: list[Name] = Field(
        default_factory=list, description="Only runs trained by one of these; by default any."
    )
    study: Name | None = Field(None, description="The study that trains them.")
    instead: dict[Name, Name] = Field(
        default_factory=dict,
        description="Methods that stand in for those of the claim, where these cannot do at this scale.",
    )

    def pairs(self) -> list[tuple[str, str]]:
        """(better, than) architectures."""
        return [(n, n) if isinstance(n, str) else (n.better, n.than) for n in self.networks]

    def standing_in(self, methods: set[str]) -> set[str]:
        """The methods, or what stands in for them here."""
        return {self.instead.get(name, name) for name in methods}


class Claim(Entry):
    """An entry of config/claims.yaml: one published statement and the rule that decides it."""

    paper: Literal["guidebp", "multiway", "deconfliction", "local-critic", "ours"]
    statement: Text
    source: Text = Field(description="Where it is published, and how sure our wording is.")
    published: Text = Field("none reachable", description="The published figures, where they are known.")
    metric: Metric = Field(
        description="Test accuracy in percent of an output (`ensemble`: mean logits of all outputs), or cost."
    )
    rule: Literal["superiority", "non-inferiority"] = Field(
        description="superiority: the interval above 0 and the estimate at `margin` or more; "
        "non-inferiority: the interval above -margin."
    )
    margin: float = Field(gt=0, description="In points of accuracy, or in percent of cost.")
    comparisons: Annotated[list[Comparison], Field(min_length=1)] = Field(
        description="All must hold for the claim to hold."
    )
    readings: list[Name] = Field(
        default_factory=list,
        description="Methods that may stand for the better side; contradicted only if all of them are.",
    )
    beside: list[Name] = Field(
        default_factory=list, description="Methods shown next to the comparison; they decide nothing."
    )
    grounds: Annotated[dict[Scale, Ground], Field(min_length=1)] = Field(
        description="Runs of the published protocol, of its desk proxy, and for exploration."
    )
    differs: Text | None = Field(None, description="How our runs differ from the published protocol.")

    @property
    def lock(self) -> str:
        """The hash of everything that decides."""
        found = self.model_dump(
            mode="json", exclude={"paper", "statement", "source", "published", "differs", "beside"}
        )
        for ground in found["grounds"].values():
            del ground["study"]
        return json_hash(found, 16)

    @cached_property
    def first(self) -> set[str]:
        """Methods of the side that the claim speaks for."""
        return {*(pair.better.method for pair in self.comparisons), *self.readings}

    @cached_property
    def second(self) -> set[str]:
        """Methods of the other side, and those beside."""
        return {*(pair.than.method for pair in self.comparisons), *self.beside}

    def names(self) -> Iterator[tuple[str, str]]:
        """All (kind, name) that must stand in a catalogue."""
        yield from (("method", name) for name in sorted(self.first | self.second))
        for ground in self.grounds.values():
            yield from (("dataset", name) for name in ground.datasets)
            yield from (("recipe", name) for name in ground.recipes)
            yield from (("method", name) for pair in ground.instead.items() for name in pair)
            yield from (("architecture", name) for pair in ground.pairs() for name in pair)
            yield from (("study", name) for name in [ground.study] if name)


def scale_of(
    claim: Claim, dataset: str, architecture: str, method: str, recipe: str, seed: int
) -> Scale | None:
    """The scale at which such a run counts for the claim or stands beside it."""
    for scale, ground in claim.grounds.items():
        if (
            dataset in ground.datasets
            and any(
                (architecture == first and method in ground.standing_in(claim.first))
                or (architecture == second and method in ground.standing_in(claim.second))
                for first, second in ground.pairs()
            )
            and (not ground.recipes or recipe in ground.recipes)
            and (scale == "exploratory" or seed in DECIDING)
        ):
            return scale
    return None
