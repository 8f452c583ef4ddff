"""The schema of config/claims.yaml: published statements, the runs that may decide them, and the rules."""

from collections.abc import Iterator
from functools import cached_property
from typing import Annotated, Literal

from pydantic import Field

from guidebp.hashing import hash_json
from guidebp.schema.entry import Entry, Name, Text

SettingName = Literal["published", "small-scale", "exploratory"]
SETTING_TITLES: dict[str, str] = {
    "published": "published",
    "small-scale": "small scale",
    "exploratory": "exploratory",
}
Metric = Literal[
    "merged", "primary", "every pathway", "every sub-model", "ensemble", "time and memory per step"
]
# Only these seeds decide. Seeds below are for trying things out, those from 900 for tuning.
DECIDING_SEEDS = range(100, 900)
ALL_SEEDS = range(2**63 - 1)


class ComparisonSide(Entry):
    """One side of a comparison, on the architecture that the setting names."""

    method: Name
    metric: Metric | None = Field(None, description="Only where it differs from the claim's.")


class Comparison(Entry):
    """Two methods that a claim compares."""

    candidate: ComparisonSide = Field(description="The side that the claim says is better.")
    baseline: ComparisonSide


class ArchitecturePair(Entry):
    """The architectures of the two sides where they differ."""

    candidate: Name
    baseline: Name


class Setting(Entry):
    """Runs on which a claim may be decided: every dataset with every architecture."""

    datasets: Annotated[list[Name], Field(min_length=1)]
    architectures: Annotated[list[Name | ArchitecturePair], Field(min_length=1)] = Field(
        description="Names; `{candidate: NAME, baseline: NAME}` where the sides differ."
    )
    recipes: list[Name] = Field(
        default_factory=list, description="Only runs trained by one of these; by default any."
    )
    study: Name | None = Field(None, description="The study that trains them.")
    substitutes: dict[Name, Name] = Field(
        default_factory=dict,
        description="Methods that replace those of the claim where these do not work in this setting.",
    )

    def list_architecture_pairs(self) -> list[tuple[str, str]]:
        """(candidate, baseline) architectures."""
        return [(n, n) if isinstance(n, str) else (n.candidate, n.baseline) for n in self.architectures]

    def apply_substitutes(self, methods: set[str]) -> set[str]:
        """The methods, each replaced by its substitute if it has one."""
        return {self.substitutes.get(name, name) for name in methods}


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
        description="Other readings of the candidate method; contradicted only if all of them are.",
    )
    context_methods: list[Name] = Field(
        default_factory=list, description="Methods shown for context; they do not affect the verdict."
    )
    settings: Annotated[dict[SettingName, Setting], Field(min_length=1)] = Field(
        description="Runs of the published protocol, of a small-scale version of it, and for exploration."
    )
    differs: Text | None = Field(None, description="How our runs differ from the published protocol.")

    @property
    def locks(self) -> dict[str, str]:
        """By setting, the hash of everything that decides the claim there: no prose, no other setting.

        Keys that have their default are left out, so that a new optional key changes no lock.
        """
        rule = self.model_dump(
            mode="json",
            include={"metric", "rule", "margin", "comparisons", "readings"},
            exclude_defaults=True,
        )
        locks: dict[str, str] = {}
        for name, setting in self.settings.items():
            runs = setting.model_dump(mode="json", exclude={"study"}, exclude_defaults=True)
            seeds = find_deciding_seeds(name)
            locks[name] = hash_json({**rule, "seeds": [seeds.start, seeds.stop], "runs": runs}, 16)
        return locks

    @cached_property
    def candidate_methods(self) -> set[str]:
        """Methods of the candidate side, all readings among them."""
        return {*(pair.candidate.method for pair in self.comparisons), *self.readings}

    @cached_property
    def other_methods(self) -> set[str]:
        """Methods of the baseline side, and those shown for context."""
        return {*(pair.baseline.method for pair in self.comparisons), *self.context_methods}

    def names(self) -> Iterator[tuple[str, str]]:
        """All (kind, name) that must stand in a catalogue."""
        yield from (("method", name) for name in sorted(self.candidate_methods | self.other_methods))
        for setting in self.settings.values():
            yield from (("dataset", name) for name in setting.datasets)
            yield from (("recipe", name) for name in setting.recipes)
            yield from (("method", name) for pair in setting.substitutes.items() for name in pair)
            yield from (("architecture", name) for pair in setting.list_architecture_pairs() for name in pair)
            yield from (("study", name) for name in [setting.study] if name)


def find_deciding_seeds(setting: str) -> range:
    """The seeds that count in a setting."""
    return ALL_SEEDS if setting == "exploratory" else DECIDING_SEEDS


def settings_of(
    claim: Claim, dataset: str, architecture: str, method: str, recipe: str, seed: int
) -> list[SettingName]:
    """All settings of the claim in which such a run counts or is shown for context."""
    return [
        name
        for name, setting in claim.settings.items()
        if dataset in setting.datasets
        and any(
            (architecture == candidate and method in setting.apply_substitutes(claim.candidate_methods))
            or (architecture == baseline and method in setting.apply_substitutes(claim.other_methods))
            for candidate, baseline in setting.list_architecture_pairs()
        )
        and (not setting.recipes or recipe in setting.recipes)
        and seed in find_deciding_seeds(name)
    ]
