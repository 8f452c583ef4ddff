"""From a study's name to its runs: every name looked up, every combination checked, every run with its key.

The only place where keys are computed. A run's key is the hash of everything that decides its result: dataset,
architecture and method with their resolved options and the code of their own files, recipe, repetition, and the
engine version for all shared code. Titles, claims and the study itself are not part of it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import groupby, product
from pathlib import Path
from typing import Any

from guidebp import ENGINE_VERSION
from guidebp.canonical import json_hash
from guidebp.errors import UserError
from guidebp.study import schema
from guidebp.study.catalogue import Catalogues
from guidebp.study.claims import scale_of
from guidebp.study.datasets import Augmentation, Dataset
from guidebp.study.families import families, plain, several_exits, unmet
from guidebp.study.files import nearest, read_file
from guidebp.study.published import PaperTable

Spec = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """One run: its names in this study and its resolved spec (which has no names)."""

    dataset: str
    architecture: str
    method: str
    recipe: str
    repetition: int
    spec: Spec

    @property
    def key(self) -> str:
        """20 hexadecimal digits."""
        return str(self.spec["key"])


@dataclass(frozen=True)
class Pack:
    """Runs of one dataset and architecture that one process trains; `id` changes whenever a key does."""

    name: str
    runs: list[Run]

    @property
    def id(self) -> str:
        """`name.hash of the keys`."""
        return f"{self.name}.{json_hash([run.key for run in self.runs], 12)}"


@dataclass(frozen=True)
class Part:
    """What shares figures and tables: (dataset, architecture, method) cells.

    `exits` when some have several exits, `trunk` when some of those are the architecture's own and share gradients.
    """

    name: str
    title: str
    cells: list[tuple[str, str, str]]
    exits: bool
    trunk: bool


@dataclass(frozen=True)
class Study:
    """A resolved study; the catalogues hold only what it uses."""

    name: str
    file: schema.StudyFile
    runs: list[Run]
    packs: list[Pack]
    parts: list[Part]
    datasets: dict[str, Dataset]
    architectures: dict[str, schema.Architecture]
    methods: dict[str, schema.Method]
    recipes: dict[str, schema.Recipe | schema.TunedRecipe]
    claims: dict[str, schema.Claim]
    published: dict[str, PaperTable]
    claim_locks: dict[str, str]  # hashes of their rules
    config: schema.Config
    all_datasets: dict[str, Dataset]  # a dataset that is used may be a part of one that is not


def begun(study: Study, packs: Iterable[Pack]) -> Study:
    """The study without the networks and datasets of which no pack is among `packs`; its other runs stay."""
    cells = {(run.dataset, run.architecture) for pack in packs for run in pack.runs}
    runs = [run for run in study.runs if (run.dataset, run.architecture) in cells]
    datasets = {run.dataset for run in runs}
    parts = [
        replace(part, cells=[cell for cell in part.cells if cell[:2] in cells])
        for part in study.parts
        if any(cell[:2] in cells for cell in part.cells)
    ]
    return replace(
        study,
        runs=runs,
        packs=[pack for pack in study.packs if (pack.runs[0].dataset, pack.runs[0].architecture) in cells],
        parts=parts,
        datasets={name: entry for name, entry in study.datasets.items() if name in datasets},
    )


def load_study(name: str, root: Path = Path()) -> Study:
    """Resolve config/studies/NAME.yaml below root.

    Raises UserError naming file, key, expectation and the nearest valid name.
    """
    catalogues = Catalogues(root)
    folder = root / "config" / "studies"
    path = folder / f"{name}.yaml"
    if not path.exists():
        raise UserError(
            f"{path}: no study '{name}'; {nearest(name, (p.stem for p in folder.glob('*.yaml')))}"
        )
    file: schema.StudyFile = read_file(path, "study")
    runs: dict[str, Run] = {}
    cells: dict[str, dict[tuple[str, str, str], tuple[bool, bool]]] = {
        name: {} for name in file.parts or ("",)
    }
    for number, block in enumerate(file.blocks):
        where = f"{path}: blocks.{number}"
        parts = _Parts(catalogues, where, claims=not file.tunes)
        recipes = tried(catalogues, block, where)
        for names in product(block.datasets, block.architectures, block.methods):
            parts.check_fit(*names)
            for other, found in cells.items():
                if names in found and other != (block.part or ""):
                    raise UserError(
                        f"{where}: {'/'.join(names)} belongs to part '{other}' already, and its figures show all "
                        f"repetitions; name the same part here"
                    )
            cells[block.part or ""][names] = parts.exits(names[1], names[2])
            for repetition, recipe in product(block.repetitions, recipes):
                run = parts.run(*names, recipe, repetition)
                if run.key in runs:
                    raise UserError(f"{where}: {_label(run)} is listed already as {_label(runs[run.key])}")
                runs[run.key] = run
    recipe_of: dict[tuple[str, str], tuple[str, list[float]]] = {}
    for block in file.blocks:
        for dataset, architecture in product(block.datasets, block.architectures):
            own = block.recipe, sorted(block.rates)
            known = recipe_of.setdefault((dataset, architecture), own)
            if known != own:
                what = "two recipes" if known[0] != own[0] else "other rates in another block"
                raise UserError(
                    f"{path}: blocks: {architecture} on {dataset} is trained by {what}, which no table could tell "
                    f"apart; give one of them its own entry in config/architectures.yaml, or its own study"
                )
            if file.tunes and not catalogues.datasets[dataset].split.validation:
                raise UserError(f"{path}: tunes: dataset '{dataset}' has no validation images to tune on")
    trained = {run.method for run in runs.values()}
    for method in file.references:
        if method not in trained:
            raise UserError(
                f"{path}: references: '{method}' is trained in no block; {nearest(method, trained)}"
            )
    ordered = list(runs.values())

    def used(catalogue: dict[str, Any], attribute: str) -> dict[str, Any]:
        names = {getattr(run, attribute) for run in ordered}
        return {name: entry for name, entry in catalogue.items() if name in names}

    return Study(
        name=name,
        file=file,
        runs=ordered,
        packs=_packs(ordered, file.repetitions_per_pack),
        parts=[
            Part(
                name,
                file.parts.get(name, ""),
                list(found),
                *(any(some) for some in zip(*found.values(), strict=True)),
            )
            for name, found in cells.items()
        ],
        datasets=used(catalogues.datasets, "dataset"),
        architectures=used(catalogues.architectures, "architecture"),
        methods=used(catalogues.methods, "method"),
        recipes=with_bases(used(catalogues.recipes, "recipe"), catalogues.recipes),
        claims=catalogues.claims,
        published=catalogues.published,
        claim_locks=catalogues.locks,
        config=catalogues.config,
        all_datasets=catalogues.datasets,
    )


def with_bases(
    recipes: dict[str, schema.Recipe | schema.TunedRecipe],
    known: dict[str, schema.Recipe | schema.TunedRecipe],
) -> dict[str, schema.Recipe | schema.TunedRecipe]:
    """The recipes and those that tuned ones among them are made of."""
    bases = [entry.base for entry in recipes.values() if isinstance(entry, schema.TunedRecipe)]
    return recipes | {name: known[name] for name in bases}


def tried(catalogues: Catalogues, block: schema.Block, where: str) -> list[str]:
    """The recipes of a block by name: its own or, for tuning, that at every rate, put into the catalogue."""
    if not block.rates:
        return [block.recipe]
    base = catalogues.recipe(block.recipe, f"{where}.recipe")
    names: dict[str, schema.Recipe] = {
        f"{block.recipe}-lr-{rate!r}": schema.at_rate(base, rate) for rate in block.rates
    }
    for name, recipe in names.items():
        if catalogues.recipes.setdefault(name, recipe) != recipe:
            raise UserError(f"{where}.rates: there is another recipe '{name}'; give it another name")
    return list(names)


def all_studies(root: Path = Path()) -> list[Study]:
    """Every study of root/config/studies; UserError when one of them has a mistake."""
    return [load_study(path.stem, root) for path in sorted((root / "config" / "studies").glob("*.yaml"))]


def resolve_run(
    dataset: str, architecture: str, method: str, recipe: str, repetition: int, root: Path = Path()
) -> Run:
    """One run of no study, from the catalogues below root/config. Raises UserError as `load_study` does."""
    parts = _Parts(Catalogues(root), "run")
    parts.check_fit(dataset, architecture, method)
    return parts.run(dataset, architecture, method, recipe, repetition)


def _label(run: Run) -> str:
    return f"{run.dataset}/{run.architecture}/{run.method}/{run.recipe}/repetition {run.repetition}"


def _packs(runs: list[Run], size: int) -> list[Pack]:
    """Group runs by dataset, architecture and block of `size` repetitions."""

    def group(run: Run) -> tuple[str, str, int]:
        return run.dataset, run.architecture, run.repetition // size * size

    packs = []
    for (dataset, architecture, first), members in groupby(sorted(runs, key=group), key=group):
        name = f"{dataset}_{architecture}_r{first:03d}-{first + size - 1:03d}"
        packs.append(Pack(name, sorted(members, key=lambda run: run.repetition)))
    return packs


class _Parts:
    """Resolved datasets, architectures, methods and recipes of one block, each resolved once."""

    def __init__(self, catalogues: Catalogues, where: str, claims: bool = True) -> None:
        """`claims`: whether runs may help to decide some; those that tune may not."""
        self.catalogues = catalogues
        self.claims = catalogues.claims if claims else {}
        self.where = where
        self.known: dict[tuple[str, str], Any] = {}

    def run(self, dataset: str, architecture: str, method: str, recipe: str, repetition: int) -> Run:
        """A run with its key; the rules of the claims that it may help to decide travel beside the key."""
        locks = {
            name: self.catalogues.locks[name]
            for name, claim in self.claims.items()
            if scale_of(claim, dataset, architecture, method, recipe, repetition)
        }
        spec: Spec = {
            "engine": ENGINE_VERSION,
            "dataset": self.dataset(dataset),
            "architecture": self.architecture(architecture),
            "method": self.method(method),
            "recipe": self.recipe(recipe, dataset, architecture, method),
            "repetition": repetition,
        }
        spec = {"key": json_hash(spec, 20), "claims": locks, **spec}
        return Run(dataset, architecture, method, recipe, repetition, spec)

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

        Without augmentation there is no such key, so that older runs keep theirs.
        """
        if name not in self.catalogues.recipes:
            raise UserError(
                f"{self.where}.recipe: unknown name '{name}'; {nearest(name, self.catalogues.recipes)}"
            )
        entry = self.catalogues.recipes[name]
        if isinstance(entry, schema.TunedRecipe):
            rate = entry.rates.get(dataset, {}).get(architecture, {}).get(method)
            if rate is None:
                raise UserError(
                    f"{self.where}.recipe: '{name}' has no rate for {dataset}/{architecture}/{method}; "
                    f"run the study that tunes it, or train these by '{entry.base}'"
                )
            entry = schema.at_rate(self.catalogues.recipe(entry.base, f"{self.where}.recipe"), rate)
        recipe: Spec = entry.model_dump(mode="json", exclude={"augmentation"})
        chosen = entry.augmentation
        if chosen == "dataset":
            chosen = self.entry("datasets", dataset).augmentation
        if isinstance(chosen, Augmentation) and chosen != Augmentation():
            recipe["augmentation"] = chosen.model_dump(mode="json")
        return recipe

    def method(self, name: str) -> Spec:
        """Family, options with defaults, code."""
        spec: Spec = self._resolve("methods", "methods", name)[0]
        return spec

    def architecture(self, name: str) -> Spec:
        """Family, options with defaults, code, and the base's likewise."""
        spec: Spec = self._resolve("architectures", "models", name)[0]
        return spec

    def check_fit(self, dataset: str, architecture: str, method: str) -> None:
        """UserError when the method cannot train the architecture or the images are too small for it."""
        family, options, sized = self._resolve("architectures", "models", architecture)[1:]
        if reason := unmet(self._resolve("methods", "methods", method)[2], options):
            raise UserError(
                f"{self.where}: method '{method}' cannot train architecture '{architecture}' "
                f"(family {family.name}): {reason}"
            )
        shape = self.entry("datasets", dataset).shape
        if min(shape[1:]) < sized.smallest_image():
            raise UserError(
                f"{self.where}: architecture '{architecture}' needs images of at least "
                f"{sized.smallest_image()} pixels a side, dataset '{dataset}' has {shape[1]}x{shape[2]}"
            )

    def exits(self, architecture: str, method: str) -> tuple[bool, bool]:
        """Whether runs of the two have several exits along one trunk; whether these are the architecture's own."""
        options = self._resolve("architectures", "models", architecture)[2]
        return several_exits(self._resolve("methods", "methods", method)[2], options), several_exits(
            None, options
        )

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
