"""The resolved specification of one run: everything that decides its result, and nothing else.

Only the standard library: `guidebp.study` computes specs without importing torch, `guidebp.training` trains them on
machines that have neither Snakemake nor pydantic.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

from guidebp import ENGINE_VERSION
from guidebp.hashing import hash_json
from guidebp.runs.json_fields import JsonObject, from_json, to_json

KEY_DIGITS = 20
# Claim to setting to the hash of the rule that decides the claim there.
Locks = dict[str, dict[str, str]]


@dataclass(frozen=True)
class SplitSpec:
    """The choice of test and validation images.

    Attributes:
        test: "official", or the stratified share that each seed draws anew.
        validation: stratified share of the images outside the test set.
    """

    test: Literal["official"] | float
    validation: float


@dataclass(frozen=True)
class DatasetSpec:
    """The settings of a dataset that decide results; the record's `data` hash identifies its bytes."""

    name: str
    split: SplitSpec
    classes: int


@dataclass(frozen=True)
class FamilySpec:
    """A method or an architecture: its family's file with all options.

    Attributes:
        family: the file's name with "-" for "_".
        options: every field of the file's `Options`, defaults filled in.
        code: hash of the file's code; "" in specs whose key is not used.
        base: the architecture that this one copies, for families with an option `base`.
    """

    family: str
    options: JsonObject
    code: str = ""
    base: "FamilySpec | None" = None

    @property
    def module(self) -> str:
        """The name of the family's Python module."""
        return self.family.replace("-", "_")

    def without_code(self) -> "FamilySpec":
        """Return the family without hashes of code: an edit of code must not change the initial weights."""
        return replace(self, code="", base=self.base.without_code() if self.base else None)


@dataclass(frozen=True)
class OptimiserSpec:
    """An optimiser by name ("sgd", "rmsprop" or "adam") with its base learning rate and other settings."""

    name: str
    lr: float
    settings: JsonObject = field(default_factory=dict)


@dataclass(frozen=True)
class ScheduleSpec:
    """The course of the learning rate over a run; see `guidebp.training.schedules.compute_lr_factor`."""

    name: Literal["constant", "cosine", "step"] = "constant"
    warmup: float = 0.0
    milestones: tuple[float, ...] = ()
    factor: float = 0.1


@dataclass(frozen=True)
class AugmentationSpec:
    """Random changes of training images, in pixels of the downsampled image; the default changes nothing."""

    flip: bool = False
    crop: int = 0
    cutout: int = 0

    def __bool__(self) -> bool:
        """Return True if any change of images is switched on."""
        return self.flip or self.crop > 0 or self.cutout > 0


@dataclass(frozen=True)
class RecipeSpec:
    """Training settings that do not depend on the method.

    Attributes:
        downsample: side in pixels of the squares that images are averaged over.
        numerics: "exact" (fp32) or "fast" (bf16 autocast).
    """

    optimiser: OptimiserSpec
    epochs: int
    batch_size: int
    schedule: ScheduleSpec = ScheduleSpec()
    augmentation: AugmentationSpec = AugmentationSpec()
    downsample: int = 1
    numerics: Literal["exact", "fast"] = "exact"

    def __post_init__(self) -> None:
        """Raise ValueError for numbers without a meaning."""
        if min(self.epochs, self.batch_size, self.downsample) < 1 or not self.optimiser.lr > 0:
            raise ValueError("recipe: epochs, batch_size, downsample and optimiser.lr must be positive")
        if min(self.augmentation.crop, self.augmentation.cutout) < 0:
            raise ValueError("recipe.augmentation: crop and cutout must not be negative")


@dataclass(frozen=True)
class RunSpec:
    """One (dataset, architecture, method, recipe, seed) with everything resolved.

    The key is the hash of all fields. Titles, claims and the study are not part of it.
    """

    dataset: DatasetSpec
    architecture: FamilySpec
    method: FamilySpec
    recipe: RecipeSpec
    seed: int
    engine: int = ENGINE_VERSION

    def __post_init__(self) -> None:
        """Raise ValueError for numbers without a meaning."""
        if self.seed < 0 or self.dataset.classes < 1:
            raise ValueError("seed must not be negative, dataset.classes must be positive")

    @cached_property
    def key(self) -> str:
        """The key of the run: 20 hexadecimal digits."""
        return hash_json(spec_to_json(self), KEY_DIGITS)


def spec_to_json(spec: RunSpec) -> JsonObject:
    """The JSON object of a spec. It always holds the engine version."""
    value: JsonObject = to_json(spec)
    return value | {"engine": spec.engine}


def spec_from_json(value: object) -> RunSpec:
    """The spec that a JSON object describes. Raises ValueError that names the wrong key."""
    if not isinstance(value, dict):
        raise ValueError(f"spec: expected an object, found {value!r:.60}")
    if "engine" not in value:
        raise ValueError("engine: missing")
    return from_json(RunSpec, value)


@dataclass(frozen=True)
class PlannedRun:
    """A run to be trained: its spec, and the hashes of the rules of the claims that it may help to decide."""

    spec: RunSpec
    locks: Locks = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The spec's key."""
        return self.spec.key


def planned_run_to_json(run: PlannedRun) -> JsonObject:
    """The JSON object of a planned run, with its key for people to read."""
    return {"key": run.key, "spec": spec_to_json(run.spec), "locks": run.locks}


def planned_run_from_json(value: object) -> PlannedRun:
    """The planned run that a JSON object describes.

    Raises ValueError for an invalid spec, and for one that does not hash to its key.
    """
    if not isinstance(value, dict):
        raise ValueError("expected an object")
    for name in ("key", "spec", "locks"):
        if name not in value:
            raise ValueError(f"{name}: missing")
    if unknown := set(value) - {"key", "spec", "locks"}:
        raise ValueError(f"{min(unknown)!r}: unknown key")
    spec = spec_from_json(value["spec"])
    if spec.key != value["key"]:
        raise ValueError(f"key: the spec has the key {spec.key}, not {value['key']!r:.60}")
    return PlannedRun(spec, from_json(Locks, value["locks"], "locks"))
