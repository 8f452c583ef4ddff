"""One run's spec and key from the catalogues: every name looked up, every combination checked.

The only place where keys are computed. A run's key is the hash of everything that decides its result: dataset,
architecture and method with their resolved options and the code of their own files, recipe, seed, and the
engine version for all shared code. Titles, claims and the study itself are not part of it.
"""

from dataclasses import dataclass
from typing import Any

from guidebp import ENGINE_VERSION
from guidebp.errors import MissingRateError, UserError
from guidebp.hashing import json_hash
from guidebp.schema.catalogue import Catalogues
from guidebp.schema.claims import scale_of
from guidebp.schema.datasets import Augmentation, Dataset
from guidebp.schema.families import families, plain, several_exits, unmet
from guidebp.schema.recipes import Recipe, TunedRecipe, at_rate
from guidebp.schema.yaml_files import nearest

Spec = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """One run: its names in this study and its resolved spec (which has no names)."""

    dataset: str
    architecture: str
    method: str
    recipe: str
    seed: int
    spec: Spec

    @property
    def key(self) -> str:
        """20 hexadecimal digits."""
        return str(self.spec["key"])


class Resolver:
    """Resolved datasets, architectures, methods and recipes of one block, each resolved once."""

    def __init__(self, catalogues: Catalogues, where: str, claims: bool = True) -> None:
        """`claims`: whether runs may help to decide some; those that tune may not."""
        self.catalogues = catalogues
        self.claims = catalogues.claims if claims else {}
        self.where = where
        self.known: dict[tuple[str, str], Any] = {}

    def run(self, dataset: str, architecture: str, method: str, recipe: str, seed: int) -> Run:
        """A run with its key; the rules of the claims that it may help to decide travel beside the key."""
        locks = {
            name: self.catalogues.locks[name]
            for name, claim in self.claims.items()
            if scale_of(claim, dataset, architecture, method, recipe, seed)
        }
        spec: Spec = {
            "engine": ENGINE_VERSION,
            "dataset": self.dataset(dataset),
            "architecture": self.architecture(architecture),
            "method": self.method(method),
            "recipe": self.recipe(recipe, dataset, architecture, method),
            "seed": seed,
        }
        spec = {"key": json_hash(spec, 20), "claims": locks, **spec}
        return Run(dataset, architecture, method, recipe, seed, spec)

    def entry(self, kind: str, name: str) -> Any:
        """The catalogue entry, or UserError with the nearest name."""
        catalogue = getattr(self.catalogues, kind)
        if name not in catalogue:
            raise UserError(f"{self.where}.{kind}: unknown name '{name}'; {nearest(name, catalogue)}")
        return catalogue[name]

    def dataset(self, name: str) -> Spec:
        """What of a dataset decides results: name, split, classes."""
        entry: Dataset = self.entry("datasets", name)
        return {"name": name, "split": entry.split.model_dump(mode="json"), "classes": entry.class_count}

    def recipe(self, name: str, dataset: str, architecture: str, method: str) -> Spec:
        """The recipe with all defaults filled in, the dataset's augmentation and a tuned rate among them.

        What leaves the images as they are (no augmentation, no downsampling) has no such key, so that older runs
        keep theirs.
        """
        entry = self._recipe(name)
        if isinstance(entry, TunedRecipe):
            rate = entry.rates.get(dataset, {}).get(architecture, {}).get(method)
            if rate is None:
                raise MissingRateError(
                    f"{self.where}.recipe: '{name}' has no rate for {dataset}/{architecture}/{method}; "
                    f"run the study that tunes it, or train these by '{entry.base}'"
                )
            entry = at_rate(self.catalogues.recipe(entry.base, f"{self.where}.recipe"), rate)
        recipe: Spec = entry.model_dump(mode="json", exclude={"augmentation", "downsample"})
        if entry.downsample > 1:
            recipe["downsample"] = entry.downsample
        chosen = entry.augmentation
        if chosen == "dataset":
            chosen = self.entry("datasets", dataset).augmentation
        if isinstance(chosen, Augmentation) and chosen != Augmentation():
            # an augmentation counts the pixels of images as they are
            crop, cutout = (-(-pixels // entry.downsample) for pixels in (chosen.crop, chosen.cutout))
            smaller = chosen.model_copy(update={"crop": crop, "cutout": cutout})
            recipe["augmentation"] = smaller.model_dump(mode="json")
        return recipe

    def downsample(self, name: str) -> int:
        """How many pixels a side a recipe averages over."""
        entry = self._recipe(name)
        if isinstance(entry, TunedRecipe):
            entry = self.catalogues.recipe(entry.base, f"{self.where}.recipe")
        return entry.downsample

    def method(self, name: str) -> Spec:
        """Family, options with defaults, code."""
        spec: Spec = self._resolve("methods", "methods", name)[0]
        return spec

    def architecture(self, name: str) -> Spec:
        """Family, options with defaults, code, and the base's likewise."""
        spec: Spec = self._resolve("architectures", "models", name)[0]
        return spec

    def check_fit(self, dataset: str, architecture: str, method: str, downsample: int = 1) -> None:
        """Raise UserError when the method cannot train the architecture, or the images are too small for it."""
        family, options, sized = self._resolve("architectures", "models", architecture)[1:]
        if reason := unmet(self._resolve("methods", "methods", method)[2], options):
            raise UserError(
                f"{self.where}: method '{method}' cannot train architecture '{architecture}' "
                f"(family {family.name}): {reason}"
            )
        shape = self.entry("datasets", dataset).shape
        if shape[1] % downsample or shape[2] % downsample:
            raise UserError(
                f"{self.where}: images of dataset '{dataset}' ({shape[1]}x{shape[2]}) cannot be downsampled by "
                f"{downsample}"
            )
        height, width = shape[1] // downsample, shape[2] // downsample
        if min(height, width) < sized.smallest_image():
            raise UserError(
                f"{self.where}: architecture '{architecture}' needs images of at least "
                f"{sized.smallest_image()} pixels a side, dataset '{dataset}' has {height}x{width}"
                + (f", downsampled by {downsample}" if downsample > 1 else "")
            )

    def exits(self, architecture: str, method: str) -> tuple[bool, bool]:
        """Whether runs of the two have several exits along one trunk; whether these are the architecture's own."""
        options = self._resolve("architectures", "models", architecture)[2]
        return several_exits(self._resolve("methods", "methods", method)[2], options), several_exits(
            None, options
        )

    def _recipe(self, name: str) -> Recipe | TunedRecipe:
        if name not in self.catalogues.recipes:
            raise UserError(
                f"{self.where}.recipe: unknown name '{name}'; {nearest(name, self.catalogues.recipes)}"
            )
        return self.catalogues.recipes[name]

    def _resolve(self, kind: str, package: Any, name: str, within: tuple[str, ...] = ()) -> Any:
        """(spec, family, options, options that know sizes) of a method or an architecture."""
        if (kind, name) not in self.known:
            entry = self.entry(kind, name)
            where = f"config/{kind}.yaml: {name}"
            known = families(package)
            if entry.family not in known:
                raise UserError(
                    f"{where}.family: unknown family '{entry.family}'; {nearest(entry.family, known)}"
                )
            family = known[entry.family]
            options, faults = family.resolve(entry.options)
            if faults:
                raise UserError("\n".join(f"{where}.options.{fault}" for fault in faults))
            spec: Spec = {"family": family.name, "options": plain(options), "code": family.code}
            sized = options
            if hasattr(options, "base"):
                if options.base in (name, *within):
                    raise UserError(f"{where}.options.base: '{options.base}' is made of itself")
                bases = getattr(self.catalogues, kind)
                if options.base not in bases:
                    raise UserError(
                        f"{where}.options.base: unknown name '{options.base}'; {nearest(options.base, bases)}"
                    )
                spec["base"], _, _, sized = self._resolve(kind, package, options.base, (name, *within))
                del spec["options"]["base"]  # a name; what it stands for is in spec["base"]
            self.known[kind, name] = spec, family, options, sized
        return self.known[kind, name]
