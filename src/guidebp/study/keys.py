"""Resolution of one run's spec from the catalogues, with a check of every name and combination.

A run's key is the hash of its spec: dataset, architecture, method, recipe, seed and engine version. Architecture
and method have their resolved options and the code of their own files. The engine version stands for all shared
code. Titles, claims and the study are not part of the key.
"""

from dataclasses import dataclass
from typing import Literal, TypeVar

from guidebp import ENGINE_VERSION
from guidebp.errors import MissingRateError, UserError, suggest_name
from guidebp.runs.json_fields import JsonObject
from guidebp.runs.spec import (
    AugmentationSpec,
    DatasetSpec,
    FamilySpec,
    Locks,
    OptimiserSpec,
    PlannedRun,
    RecipeSpec,
    RunSpec,
    ScheduleSpec,
    SplitSpec,
)
from guidebp.schema.catalogue import Catalogues
from guidebp.schema.claims import settings_of
from guidebp.schema.datasets import AugmentationEntry, Dataset
from guidebp.schema.families import (
    ArchitectureOptions,
    Family,
    explain_mismatch,
    has_several_exits,
    options_to_json,
    read_families,
)
from guidebp.schema.recipes import Recipe, TunedRecipe, at_rate

Entry = TypeVar("Entry")


@dataclass(frozen=True)
class Run:
    """One run of a study: its names there, and its spec, which has no names."""

    dataset: str
    architecture: str
    method: str
    recipe: str
    seed: int
    planned: PlannedRun

    @property
    def spec(self) -> RunSpec:
        """The resolved spec."""
        return self.planned.spec

    @property
    def key(self) -> str:
        """The key of the run: 20 hexadecimal digits."""
        return self.spec.key

    @property
    def label(self) -> str:
        """The run's names in one line, for messages."""
        return f"{self.dataset}/{self.architecture}/{self.method}/{self.recipe}/seed {self.seed}"


@dataclass(frozen=True)
class ResolvedFamily:
    """A catalogue entry of a method or an architecture with its family and validated options.

    Attributes:
        options: the family's `Options` object.
        sized: for an architecture, the `Options` with its smallest image: its base's, if it has a base.
    """

    spec: FamilySpec
    family: Family
    options: object
    sized: ArchitectureOptions


@dataclass(frozen=True)
class Exits:
    """Exits along one trunk.

    Attributes:
        several: True if runs have several exits along one trunk.
        of_architecture: True if the architecture itself has several.
    """

    several: bool
    of_architecture: bool


class Resolver:
    """Resolver of datasets, architectures, methods and recipes. Its error messages begin with `where`."""

    def __init__(self, catalogues: Catalogues, where: str, claims: bool = True) -> None:
        """Read the catalogues; with `claims=False` runs decide no claims, as in tuning studies."""
        self.catalogues = catalogues
        self.claims = catalogues.claims if claims else {}
        self.where = where
        self._families: dict[tuple[str, str], ResolvedFamily] = {}

    def resolve_run(self, dataset: str, architecture: str, method: str, recipe: str, seed: int) -> Run:
        """Return a run with its spec, and the locks of the claims that it may help to decide."""
        spec = RunSpec(
            dataset=self.resolve_dataset(dataset),
            architecture=self.resolve_architecture(architecture).spec,
            method=self.resolve_method(method).spec,
            recipe=self.resolve_recipe(recipe, dataset, architecture, method),
            seed=seed,
            engine=ENGINE_VERSION,
        )
        locks = self._locks(dataset, architecture, method, recipe, seed)
        return Run(dataset, architecture, method, recipe, seed, PlannedRun(spec, locks))

    def resolve_dataset(self, name: str) -> DatasetSpec:
        """Return the settings of a dataset that decide results."""
        entry = self._dataset(name)
        split = SplitSpec(entry.split.test, entry.split.validation)
        return DatasetSpec(name, split, entry.class_count)

    def resolve_recipe(self, name: str, dataset: str, architecture: str, method: str) -> RecipeSpec:
        """Return the recipe with its tuned rate and the dataset's augmentation filled in."""
        entry = self._plain_recipe(name, dataset, architecture, method)
        settings: JsonObject = entry.optimiser.model_dump(mode="json", exclude={"name", "lr"})
        schedule = entry.schedule
        return RecipeSpec(
            optimiser=OptimiserSpec(entry.optimiser.name, entry.optimiser.lr, settings),
            epochs=entry.epochs,
            batch_size=entry.batch_size,
            schedule=ScheduleSpec(
                schedule.name, schedule.warmup, tuple(schedule.milestones), schedule.factor
            ),
            augmentation=self._augmentation(entry, dataset),
            downsample=entry.downsample,
            numerics=entry.numerics,
        )

    def resolve_method(self, name: str) -> ResolvedFamily:
        """Return a method's entry with family, options and code."""
        return self._resolve_family("methods", name)

    def resolve_architecture(self, name: str) -> ResolvedFamily:
        """Return an architecture's entry with family, options and code, those of its base included."""
        return self._resolve_family("architectures", name)

    def check_fit(self, dataset: str, architecture: str, method: str, downsample: int = 1) -> None:
        """Raise UserError when the method cannot train the architecture, or the images are too small for it."""
        resolved = self.resolve_architecture(architecture)
        if reason := explain_mismatch(self.resolve_method(method).options, resolved.options):
            raise UserError(
                f"{self.where}: method '{method}' cannot train architecture '{architecture}' "
                f"(family {resolved.family.name}): {reason}"
            )
        shape = self._dataset(dataset).shape
        if shape[1] % downsample or shape[2] % downsample:
            raise UserError(
                f"{self.where}: images of dataset '{dataset}' ({shape[1]}x{shape[2]}) cannot be downsampled by "
                f"{downsample}"
            )
        height, width = shape[1] // downsample, shape[2] // downsample
        if min(height, width) < resolved.sized.smallest_image():
            raise UserError(
                f"{self.where}: architecture '{architecture}' needs images of at least "
                f"{resolved.sized.smallest_image()} pixels a side, dataset '{dataset}' has {height}x{width}"
                + (f", downsampled by {downsample}" if downsample > 1 else "")
            )

    def find_exits(self, architecture: str, method: str) -> Exits:
        """Return the exits of runs of this architecture and method."""
        options = self.resolve_architecture(architecture).options
        return Exits(
            has_several_exits(self.resolve_method(method).options, options), has_several_exits(None, options)
        )

    def find_downsampling(self, recipe: str) -> int:
        """Return the side in pixels of the squares that a recipe averages images over."""
        entry = self._recipe(recipe)
        if isinstance(entry, TunedRecipe):
            entry = self.catalogues.get_plain_recipe(entry.base, f"{self.where}.recipe")
        return entry.downsample

    def _locks(self, dataset: str, architecture: str, method: str, recipe: str, seed: int) -> Locks:
        locks = {}
        for name, claim in self.claims.items():
            if settings := settings_of(claim, dataset, architecture, method, recipe, seed):
                locks[name] = {str(setting): self.catalogues.locks[name][setting] for setting in settings}
        return locks

    def _dataset(self, name: str) -> Dataset:
        return self._find_entry(self.catalogues.datasets, "datasets", name)

    def _recipe(self, name: str) -> Recipe | TunedRecipe:
        return self._find_entry(self.catalogues.recipes, "recipe", name)

    def _find_entry(self, catalogue: dict[str, Entry], kind: str, name: str) -> Entry:
        if name not in catalogue:
            raise UserError(f"{self.where}.{kind}: unknown name '{name}'; {suggest_name(name, catalogue)}")
        return catalogue[name]

    def _plain_recipe(self, name: str, dataset: str, architecture: str, method: str) -> Recipe:
        """Return the recipe at the rate of this combination. Raises MissingRateError if it has no rate."""
        entry = self._recipe(name)
        if isinstance(entry, Recipe):
            return entry
        rate = entry.rates.get(dataset, {}).get(architecture, {}).get(method)
        if rate is None:
            raise MissingRateError(
                f"{self.where}.recipe: '{name}' has no rate for {dataset}/{architecture}/{method}; "
                f"run the study that tunes it, or train these by '{entry.base}'"
            )
        return at_rate(self.catalogues.get_plain_recipe(entry.base, f"{self.where}.recipe"), rate)

    def _augmentation(self, recipe: Recipe, dataset: str) -> AugmentationSpec:
        """Return the recipe's or the dataset's augmentation, in pixels of the downsampled image."""
        chosen = recipe.augmentation
        if chosen == "dataset":
            chosen = self._dataset(dataset).augmentation
        if not isinstance(chosen, AugmentationEntry):
            return AugmentationSpec()
        crop, cutout = (-(-pixels // recipe.downsample) for pixels in (chosen.crop, chosen.cutout))
        return AugmentationSpec(chosen.flip, crop, cutout)

    def _resolve_family(
        self, kind: Literal["methods", "architectures"], name: str, within: tuple[str, ...] = ()
    ) -> ResolvedFamily:
        if (kind, name) not in self._families:
            self._families[kind, name] = self._read_family(kind, name, within)
        return self._families[kind, name]

    def _read_family(
        self, kind: Literal["methods", "architectures"], name: str, within: tuple[str, ...]
    ) -> ResolvedFamily:
        catalogue = getattr(self.catalogues, kind)
        entry = self._find_entry(catalogue, kind, name)
        where = f"config/{kind}.yaml: {name}"
        package = read_families("methods" if kind == "methods" else "models")
        if entry.family not in package:
            raise UserError(
                f"{where}.family: unknown family '{entry.family}'; {suggest_name(entry.family, package)}"
            )
        family = package[entry.family]
        options, faults = family.resolve(entry.options)
        if faults:
            raise UserError("\n".join(f"{where}.options.{fault}" for fault in faults))
        values: JsonObject = options_to_json(options)
        if "base" not in values:
            return ResolvedFamily(FamilySpec(family.name, values, family.code), family, options, options)
        base_name = str(values.pop("base"))  # what the name stands for is the spec's `base`
        if base_name in (name, *within):
            raise UserError(f"{where}.options.base: '{base_name}' is made of itself")
        if base_name not in catalogue:
            raise UserError(
                f"{where}.options.base: unknown name '{base_name}'; {suggest_name(base_name, catalogue)}"
            )
        base = self._resolve_family(kind, base_name, (name, *within))
        spec = FamilySpec(family.name, values, family.code, base.spec)
        return ResolvedFamily(spec, family, options, base.sized)
