"""The schema of config/recipes/*.yaml: how to train, whatever the method."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from guidebp.schema.datasets import AugmentationEntry
from guidebp.schema.entry import Entry, Name, Share


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
    """The course of the learning rate over a run."""

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
        Annotated[Literal["dataset", "none"], Tag("<word>")] | Annotated[AugmentationEntry, Tag("<entry>")],
        Discriminator(lambda value: "<word>" if isinstance(value, str) else "<entry>"),
    ] = Field("dataset", description="Of training images; `dataset`: as the dataset's entry says.")
    downsample: int = Field(
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
