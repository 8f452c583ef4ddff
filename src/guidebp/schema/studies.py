"""The schema of config/studies/*.yaml: which runs, and what they are compared with."""

from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from guidebp.schema.entry import Entry, Name, Text


class Block(Entry):
    """A full grid of runs."""

    datasets: Annotated[list[Name], Field(min_length=1)]
    architectures: Annotated[list[Name], Field(min_length=1)]
    methods: Annotated[list[Name], Field(min_length=1)]
    recipe: Name
    seeds: Annotated[
        Annotated[int, Field(ge=1), Tag("<count>")]
        | Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1), Tag("<list>")],
        Discriminator(lambda value: "<list>" if isinstance(value, list) else "<count>"),
    ] = Field(
        description="A list, or their number: 3 means 0, 1, 2. A seed fixes all random streams of a run; methods "
        "are paired by it."
    )
    section: Name | None = Field(
        None,
        description="Section of the report that shows these runs. Blocks of one section share figures and tables.",
    )
    rates: list[Annotated[float, Field(gt=0)]] = Field(
        default_factory=list,
        description="In a study that `tunes`: the learning rates to try in place of the recipe's.",
    )

    @property
    def seed_numbers(self) -> list[int]:
        """The seeds, each by its number."""
        return list(range(self.seeds)) if isinstance(self.seeds, int) else self.seeds

    @field_validator("datasets", "architectures", "methods", "seeds", "rates")
    @classmethod
    def _no_duplicates(cls, values: Any) -> Any:
        if isinstance(values, int):
            return values
        twice = sorted({str(value) for value in values if values.count(value) > 1})
        if twice:
            raise ValueError(f"listed twice: {', '.join(twice)}")
        return values


class StudyFile(Entry):
    """config/studies/NAME.yaml."""

    title: Text
    about: Text = Field(description="A paragraph for the report: what the study shows and at which scale.")
    blocks: Annotated[list[Block], Field(min_length=1)]
    baselines: Annotated[list[Name], Field(min_length=1)] = Field(
        description="Every method is compared with each of these, paired by seed."
    )
    sections: dict[Name, Text] = Field(
        default_factory=dict,
        description="Sections of the report with their titles. Without this key the report has one section.",
    )
    seeds_per_pack: int = Field(
        5, ge=1, description="Runs of so many seeds share a process; fewer balance cores better."
    )
    tunes: Name | None = Field(
        None,
        description="The study is there to choose learning rates, by validation accuracy: "
        "config/recipes/NAME.tuned.yaml. Its blocks have `rates`.",
    )

    @model_validator(mode="after")
    def _rates_are_for_tuning(self) -> "StudyFile":
        for number, block in enumerate(self.blocks):
            if bool(block.rates) != bool(self.tunes):
                what = (
                    "has no rates to try" if self.tunes else "has rates, so the study needs the key `tunes`"
                )
                raise ValueError(f"blocks.{number} {what}")
        return self

    @model_validator(mode="after")
    def _sections_are_used_and_known(self) -> "StudyFile":
        listed = ", ".join(self.sections) or "none"
        for number, block in enumerate(self.blocks):
            known: set[str | None] = {*self.sections} or {None}
            if block.section not in known:
                named = f"section '{block.section}'" if block.section else "no section"
                raise ValueError(f"blocks.{number} names {named}; the study's sections are: {listed}")
        for name in self.sections:
            if name not in {block.section for block in self.blocks}:
                raise ValueError(f"sections.{name}: no block belongs to it")
        return self
