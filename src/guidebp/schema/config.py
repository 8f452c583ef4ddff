"""The schema of config/config.yaml: settings that belong to no study."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from guidebp.schema.entry import Entry, Name, Text

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
