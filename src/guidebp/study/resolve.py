"""From a study's name to its runs, packs and parts; how a run gets its key stands in `runs.py`."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import groupby, product
from pathlib import Path
from typing import Any

from guidebp.errors import UserError
from guidebp.hashing import json_hash
from guidebp.schema.architectures import Architecture
from guidebp.schema.catalogue import Catalogues
from guidebp.schema.claims import Claim
from guidebp.schema.config import Config
from guidebp.schema.datasets import Dataset
from guidebp.schema.methods import Method
from guidebp.schema.published import PaperTable
from guidebp.schema.recipe_files import Recipes
from guidebp.schema.recipes import Recipe, TunedRecipe, at_rate
from guidebp.schema.studies import Block, StudyFile
from guidebp.schema.yaml_files import nearest, read_file
from guidebp.study.keys import Resolver, Run


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
    file: StudyFile
    runs: list[Run]
    packs: list[Pack]
    parts: list[Part]
    datasets: dict[str, Dataset]
    architectures: dict[str, Architecture]
    methods: dict[str, Method]
    recipes: Recipes
    claims: dict[str, Claim]
    published: dict[str, PaperTable]
    claim_locks: dict[str, str]  # hashes of their rules
    config: Config
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
    file: StudyFile = read_file(path, "study")
    runs: dict[str, Run] = {}
    cells: dict[str, dict[tuple[str, str, str], tuple[bool, bool]]] = {
        name: {} for name in file.parts or ("",)
    }
    for number, block in enumerate(file.blocks):
        where = f"{path}: blocks.{number}"
        resolver = Resolver(catalogues, where, claims=not file.tunes)
        recipes = tried(catalogues, block, where)
        downsample = resolver.downsample(block.recipe)
        for names in product(block.datasets, block.architectures, block.methods):
            resolver.check_fit(*names, downsample)
            for other, found in cells.items():
                if names in found and other != (block.part or ""):
                    raise UserError(
                        f"{where}: {'/'.join(names)} belongs to part '{other}' already, and its figures show all "
                        f"seeds; name the same part here"
                    )
            cells[block.part or ""][names] = resolver.exits(names[1], names[2])
            for seed, recipe in product(block.seeds, recipes):
                run = resolver.run(*names, recipe, seed)
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
            if file.tunes:
                made = folder.parent / "recipes" / f"{file.tunes}.tuned.yaml"
                check_free(f"{block.recipe}-tuned", dataset, architecture, made, catalogues, f"{path}: tunes")
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
        packs=_packs(ordered, file.seeds_per_pack),
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


def check_free(
    recipe: str, dataset: str, architecture: str, made: Path, catalogues: Catalogues, where: str
) -> None:
    """UserError when the rates that a study puts into the file `made` stand elsewhere, or cannot stand there."""
    stands = catalogues.tuned_in.get((recipe, dataset, architecture), made)
    if stands != made:
        raise UserError(
            f"{where}: would make {recipe}.rates.{dataset}.{architecture} in {made.name}, but it stands in "
            f"{stands}; remove it there"
        )
    known = catalogues.recipes.get(recipe)
    if known and not (isinstance(known, TunedRecipe) and f"{known.base}-tuned" == recipe):
        raise UserError(
            f"{where}: would make recipe '{recipe}', but there is one of that name in "
            f"{catalogues.recipe_files[recipe]} that is not made of '{recipe.removesuffix('-tuned')}'; rename it"
        )


def with_bases(recipes: Recipes, known: Recipes) -> Recipes:
    """The recipes and those that tuned ones among them are made of."""
    bases = [entry.base for entry in recipes.values() if isinstance(entry, TunedRecipe)]
    return recipes | {name: known[name] for name in bases}


def tried(catalogues: Catalogues, block: Block, where: str) -> list[str]:
    """The recipes of a block by name: its own or, for tuning, that at every rate, put into the catalogue."""
    if not block.rates:
        return [block.recipe]
    base = catalogues.recipe(block.recipe, f"{where}.recipe")
    names: dict[str, Recipe] = {f"{block.recipe}-lr-{rate!r}": at_rate(base, rate) for rate in block.rates}
    for name, recipe in names.items():
        if catalogues.recipes.setdefault(name, recipe) != recipe:
            raise UserError(f"{where}.rates: there is another recipe '{name}'; give it another name")
    return list(names)


def all_studies() -> list[Study]:
    """Every study of config/studies; UserError when one of them has a mistake."""
    return [load_study(path.stem) for path in sorted(Path("config/studies").glob("*.yaml"))]


def resolve_run(
    dataset: str, architecture: str, method: str, recipe: str, seed: int, root: Path = Path()
) -> Run:
    """One run of no study, from the catalogues below root/config. Raises UserError as `load_study` does."""
    resolver = Resolver(Catalogues(root), "run")
    resolver.check_fit(dataset, architecture, method, resolver.downsample(recipe))
    return resolver.run(dataset, architecture, method, recipe, seed)


def _label(run: Run) -> str:
    return f"{run.dataset}/{run.architecture}/{run.method}/{run.recipe}/seed {run.seed}"


def _packs(runs: list[Run], size: int) -> list[Pack]:
    """Group runs by dataset, architecture and block of `size` seeds."""

    def group(run: Run) -> tuple[str, str, int]:
        return run.dataset, run.architecture, run.seed // size * size

    packs = []
    for (dataset, architecture, first), members in groupby(sorted(runs, key=group), key=group):
        name = f"{dataset}_{architecture}_r{first:03d}-{first + size - 1:03d}"
        packs.append(Pack(name, sorted(members, key=lambda run: run.seed)))
    return packs
