"""The schema of every YAML file under config/, and the source of the JSON Schemas in workflow/schemas/.

Unknown keys are refused everywhere. What one file alone cannot tell (does this method exist?) is checked in
`resolve.py` and `runs.py`.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag, field_validator, model_validator

from guidebp.study.claims import Claim
from guidebp.study.datasets import Augmentation, DatasetEntry
from guidebp.study.entry import Entry, Name, Share, Text
from guidebp.study.published import PaperTable

TAKEN = ("logs", "runs", "step-times.json")  # what else lies in results/


def _not_taken(name: str) -> str:
    if name in TAKEN:
        raise ValueError(f"results/{name} is something else's; give the study another name")
    return name


StudyName = Annotated[Name, AfterValidator(_not_taken)]


class Config(Entry):
    """config/config.yaml: what is not part of any study."""

    study: StudyName = Field("demo", description="The study that `snakemake` runs: config/studies/NAME.yaml.")
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where to train; auto takes a CUDA device when there is one."
    )
    keep_weights: bool = Field(False, description="Store each run's final weights as safetensors.")
    checkpoint_minutes: float | None = Field(
        10.0, gt=0, description="Store where a run is every so many minutes; from the file only."
    )
    checkpoint_epochs: int | None = Field(
        None, ge=1, description="And every so many epochs; from the file only."
    )
    mirrors: list[Text] = Field(
        default_factory=list,
        description="Folders or addresses that hold copies of raw files; tried before the official address.",
    )
    allow_unverified: bool = Field(False, description="Download files whose owner publishes no checksum.")
    partial: bool = Field(
        False, description="Report on the packs that are trained and train no others; their runs are missing."
    )
    claim: Name | None = Field(
        None, description="Train only the packs that this claim needs; implies `partial`."
    )


class Architecture(Entry):
    """An entry of config/architectures.yaml."""

    title: Text = Field(description="How figures and tables call it.")
    family: Name = Field(description="A file of src/guidebp/models/.")
    options: dict[str, Any] = Field(
        default_factory=dict, description="The fields of that file's Options class."
    )


class Method(Entry):
    """An entry of config/methods.yaml."""

    title: Text = Field(description="How figures and tables call it.")
    family: Name = Field(description="A file of src/guidebp/methods/.")
    group: Text = Field(description="Methods of one group stand together in figures and tables.")
    options: dict[str, Any] = Field(
        default_factory=dict, description="The fields of that file's Options class."
    )


class Sgd(Entry):
    """Stochastic gradient descent."""

    name: Literal["sgd"]
    lr: float = Field(gt=0)
    momentum: float = Field(0.0, ge=0, lt=1)
    nesterov: bool = False
    weight_decay: float = Field(0.0, ge=0)

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> "Sgd":
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs a momentum above 0")
        return self


class RmsProp(Entry):
    """RMSprop; `alpha` smooths the squared gradients."""

    name: Literal["rmsprop"]
    lr: float = Field(gt=0)
    alpha: float = Field(0.99, ge=0, lt=1)
    momentum: float = Field(0.0, ge=0, lt=1)
    weight_decay: float = Field(0.0, ge=0)


class Adam(Entry):
    """Adam."""

    name: Literal["adam"]
    lr: float = Field(gt=0)
    betas: tuple[Share, Share] = (0.9, 0.999)
    weight_decay: float = Field(0.0, ge=0)


class Schedule(Entry):
    """How the learning rate moves over a run."""

    name: Literal["constant", "cosine", "step"] = "constant"
    warmup: float = Field(
        default=0.0, ge=0, lt=1, description="Share of training that rises linearly from 0."
    )
    milestones: list[Share] = Field(
        default_factory=list, description="step: shares of training after which the rate is multiplied."
    )
    factor: float = Field(default=0.1, gt=0, lt=1, description="step: by what.")

    @model_validator(mode="after")
    def _milestones_belong_to_step(self) -> "Schedule":
        if (self.name == "step") != bool(self.milestones):
            raise ValueError("milestones are needed by the schedule 'step' and by no other")
        return self


class Recipe(Entry):
    """An entry of a file in config/recipes/: how to train, whatever the method."""

    optimiser: Annotated[Sgd | RmsProp | Adam, Field(discriminator="name")]
    schedule: Schedule = Field(default_factory=lambda: Schedule(name="constant"))
    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=2)
    augmentation: Annotated[
        Annotated[Literal["dataset", "none"], Tag("<word>")] | Annotated[Augmentation, Tag("<entry>")],
        Discriminator(lambda value: "<word>" if isinstance(value, str) else "<entry>"),
    ] = Field("dataset", description="Of training images; `dataset`: as the dataset's entry says.")
    shrink: int = Field(
        1,
        ge=1,
        description="Images are averaged over squares of so many pixels a side, which divides theirs.",
    )
    numerics: Literal["exact", "fast"] = Field(
        "exact", description="exact: fp32, deterministic; fast: bf16 autocast, TF32."
    )


class TunedRecipe(Entry):
    """A recipe whose learning rate was chosen for every dataset, network and method: made by `guidebp tune`."""

    base: Name = Field(description="The recipe that all else is taken from.")
    rates: dict[Name, dict[Name, dict[Name, Annotated[float, Field(gt=0)]]]] = Field(
        description="Learning rates by dataset, architecture and method."
    )


def _recipe_kind(value: Any) -> str:
    tuned = "base" in value if isinstance(value, dict) else isinstance(value, TunedRecipe)
    return "<tuned>" if tuned else "<recipe>"


RecipeEntry = Annotated[
    Annotated[Recipe, Tag("<recipe>")] | Annotated[TunedRecipe, Tag("<tuned>")], Discriminator(_recipe_kind)
]


def at_rate(recipe: Recipe, rate: float) -> Recipe:
    """The recipe with another learning rate."""
    return recipe.model_copy(update={"optimiser": recipe.optimiser.model_copy(update={"lr": rate})})


class Block(Entry):
    """A full grid of runs."""

    datasets: Annotated[list[Name], Field(min_length=1)]
    architectures: Annotated[list[Name], Field(min_length=1)]
    methods: Annotated[list[Name], Field(min_length=1)]
    recipe: Name
    repetitions: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] = Field(
        description="Each index stands for one set of random streams; methods are paired by it."
    )
    part: Name | None = Field(
        None, description="The part of the report it belongs to: blocks of one part share figures and tables."
    )
    rates: list[Annotated[float, Field(gt=0)]] = Field(
        default_factory=list,
        description="In a study that `tunes`: the learning rates to try in place of the recipe's.",
    )

    @field_validator("datasets", "architectures", "methods", "repetitions", "rates")
    @classmethod
    def _no_duplicates(cls, values: list[Any]) -> list[Any]:
        twice = sorted({str(value) for value in values if values.count(value) > 1})
        if twice:
            raise ValueError(f"listed twice: {', '.join(twice)}")
        return values


class StudyFile(Entry):
    """config/studies/NAME.yaml."""

    title: Text
    about: Text = Field(description="A paragraph for the report: what the study shows and at which scale.")
    blocks: Annotated[list[Block], Field(min_length=1)]
    references: Annotated[list[Name], Field(min_length=1)] = Field(
        description="Every method is compared with each of these, paired by repetition."
    )
    parts: dict[Name, Text] = Field(
        default_factory=dict, description="Parts of the report and their titles; without them it has one."
    )
    repetitions_per_pack: int = Field(
        5, ge=1, description="Runs of so many repetitions share a process; fewer balance cores better."
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
    def _parts_are_used_and_known(self) -> "StudyFile":
        listed = ", ".join(self.parts) or "none"
        for number, block in enumerate(self.blocks):
            known: set[str | None] = {*self.parts} or {None}
            if block.part not in known:
                named = f"part '{block.part}'" if block.part else "no part"
                raise ValueError(f"blocks.{number} names {named}; the study's parts are: {listed}")
        for name in self.parts:
            if name not in {block.part for block in self.blocks}:
                raise ValueError(f"parts.{name}: no block belongs to it")
        return self


FILES: dict[str, Any] = {
    "config": Config,
    "study": StudyFile,
    "datasets": dict[Name, DatasetEntry],
    "architectures": dict[Name, Architecture],
    "methods": dict[Name, Method],
    "recipes": dict[Name, RecipeEntry],
    "claims": dict[Name, Claim],
    "published": dict[Name, PaperTable],
}
