"""Resolution of a study's name to its runs, packs and sections; `keys.py` resolves single runs."""

from collections.abc import Iterator
from itertools import groupby, product
from pathlib import Path
from typing import TypeVar

from guidebp.errors import UserError, suggest_name
from guidebp.schema.catalogue import Catalogues
from guidebp.schema.recipe_files import Recipes
from guidebp.schema.recipes import Recipe, TunedRecipe, at_rate
from guidebp.schema.studies import Block, StudyFile
from guidebp.schema.yaml_files import read_config_file
from guidebp.study.keys import Exits, Resolver, Run
from guidebp.study.study import Pack, Section, Study

Entry = TypeVar("Entry")
Combination = tuple[str, str, str]  # dataset, architecture, method


def load_study(name: str, root: Path = Path()) -> Study:
    """Resolve config/studies/NAME.yaml below `root`.

    Raises UserError that names file, key, expectation and the nearest valid name.
    """
    catalogues = Catalogues(root)
    folder = root / "config" / "studies"
    path = folder / f"{name}.yaml"
    if not path.exists():
        raise UserError(
            f"{path}: no study '{name}'; {suggest_name(name, (p.stem for p in folder.glob('*.yaml')))}"
        )
    file: StudyFile = read_config_file(path, "study")
    blocks = _Blocks(catalogues, file, path)
    _check_recipes(file, path)
    if file.tunes:
        _check_tuning(file, path, catalogues)
    _check_baselines(file, path, blocks.runs)
    return _build_study(name, file, catalogues, blocks)


def load_all_studies() -> list[Study]:
    """Return every study of config/studies. Raises UserError when one of them has a mistake."""
    return [load_study(path.stem) for path in sorted(Path("config/studies").glob("*.yaml"))]


def resolve_run(
    dataset: str, architecture: str, method: str, recipe: str, seed: int, root: Path = Path()
) -> Run:
    """Return a run outside any study, from the catalogues below root/config.

    Raises UserError as `load_study` does.
    """
    resolver = Resolver(Catalogues(root), "run")
    resolver.check_fit(dataset, architecture, method, resolver.find_downsampling(recipe))
    return resolver.resolve_run(dataset, architecture, method, recipe, seed)


class _Blocks:
    """The runs of all blocks in their order, and the combinations of each section with their exits."""

    def __init__(self, catalogues: Catalogues, file: StudyFile, path: Path) -> None:
        self.catalogues, self.tunes = catalogues, bool(file.tunes)
        self.runs: dict[str, Run] = {}
        self.combinations: dict[str, dict[Combination, Exits]] = {name: {} for name in file.sections or ("",)}
        for number, block in enumerate(file.blocks):
            self._add(block, f"{path}: blocks.{number}")

    def _add(self, block: Block, where: str) -> None:
        resolver = Resolver(self.catalogues, where, claims=not self.tunes)
        recipes = candidate_recipes(self.catalogues, block, where)
        downsample = resolver.find_downsampling(block.recipe)
        section = block.section or ""
        for names in product(block.datasets, block.architectures, block.methods):
            resolver.check_fit(*names, downsample)
            self._check_section(section, names, where)
            self.combinations[section][names] = resolver.find_exits(names[1], names[2])
            for seed, recipe in product(block.seed_numbers, recipes):
                run = resolver.resolve_run(*names, recipe, seed)
                if run.key in self.runs:
                    raise UserError(f"{where}: {run.label} is listed already as {self.runs[run.key].label}")
                self.runs[run.key] = run

    def _check_section(self, section: str, names: Combination, where: str) -> None:
        for other, combinations in self.combinations.items():
            if names in combinations and other != section:
                raise UserError(
                    f"{where}: {'/'.join(names)} belongs to section '{other}' already, and its figures show "
                    f"all seeds; name the same section here"
                )


def candidate_recipes(catalogues: Catalogues, block: Block, where: str) -> list[str]:
    """Return the names of a block's recipes: its own or, for tuning, one per rate.

    Recipes for tuning are added to the catalogue. Raises UserError if a name is taken by another recipe.
    """
    if not block.rates:
        return [block.recipe]
    base = catalogues.get_plain_recipe(block.recipe, f"{where}.recipe")
    recipes: dict[str, Recipe] = {f"{block.recipe}-lr-{rate!r}": at_rate(base, rate) for rate in block.rates}
    for name, recipe in recipes.items():
        if catalogues.recipes.setdefault(name, recipe) != recipe:
            raise UserError(f"{where}.rates: there is another recipe '{name}'; give it another name")
    return list(recipes)


def _pairs(file: StudyFile) -> Iterator[tuple[Block, str, str]]:
    """Yield (block, dataset, architecture) for every pair of every block."""
    for block in file.blocks:
        for dataset, architecture in product(block.datasets, block.architectures):
            yield block, dataset, architecture


def _check_recipes(file: StudyFile, path: Path) -> None:
    """Raise UserError when an architecture is trained on a dataset by two recipes or at two lists of rates."""
    recipe_of: dict[tuple[str, str], tuple[str, list[float]]] = {}
    for block, dataset, architecture in _pairs(file):
        own = block.recipe, sorted(block.rates)
        first = recipe_of.setdefault((dataset, architecture), own)
        if first != own:
            what = "two recipes" if first[0] != own[0] else "other rates in another block"
            raise UserError(
                f"{path}: blocks: {architecture} on {dataset} is trained by {what}, which no table could tell "
                f"apart; give one of them its own entry in config/architectures.yaml, or its own study"
            )


def _check_tuning(file: StudyFile, path: Path, catalogues: Catalogues) -> None:
    """Raise UserError when a tuning study cannot write its rates, or a dataset has no validation images."""
    target = path.parent.parent / "recipes" / f"{file.tunes}.tuned.yaml"
    for block, dataset, architecture in _pairs(file):
        recipe, where = f"{block.recipe}-tuned", f"{path}: tunes"
        owner = catalogues.tuned_in.get((recipe, dataset, architecture), target)
        if owner != target:
            raise UserError(
                f"{where}: would make {recipe}.rates.{dataset}.{architecture} in {target.name}, but it stands in "
                f"{owner}; remove it there"
            )
        entry = catalogues.recipes.get(recipe)
        if entry and not (isinstance(entry, TunedRecipe) and f"{entry.base}-tuned" == recipe):
            raise UserError(
                f"{where}: would make recipe '{recipe}', but there is one of that name in "
                f"{catalogues.recipe_files[recipe]} that is not made of '{block.recipe}'; rename it"
            )
        if not catalogues.datasets[dataset].split.validation:
            raise UserError(f"{where}: dataset '{dataset}' has no validation images to tune on")


def _check_baselines(file: StudyFile, path: Path, runs: dict[str, Run]) -> None:
    methods = {run.method for run in runs.values()}
    for method in file.baselines:
        if method not in methods:
            raise UserError(
                f"{path}: baselines: '{method}' is trained in no block; {suggest_name(method, methods)}"
            )


def _build_study(name: str, file: StudyFile, catalogues: Catalogues, blocks: _Blocks) -> Study:
    runs = list(blocks.runs.values())

    def select(catalogue: dict[str, Entry], attribute: str) -> dict[str, Entry]:
        names = {getattr(run, attribute) for run in runs}
        return {key: entry for key, entry in catalogue.items() if key in names}

    sections = [
        Section(
            section,
            file.sections.get(section, ""),
            list(combinations),
            exits=any(exits.several for exits in combinations.values()),
            trunk=any(exits.of_architecture for exits in combinations.values()),
        )
        for section, combinations in blocks.combinations.items()
    ]
    return Study(
        name=name,
        file=file,
        runs=runs,
        packs=_group_packs(runs, file.seeds_per_pack),
        sections=sections,
        datasets=select(catalogues.datasets, "dataset"),
        architectures=select(catalogues.architectures, "architecture"),
        methods=select(catalogues.methods, "method"),
        recipes=_add_bases(select(catalogues.recipes, "recipe"), catalogues.recipes),
        claims=catalogues.claims,
        published=catalogues.published,
        claim_locks=catalogues.locks,
        config=catalogues.config,
        all_datasets=catalogues.datasets,
    )


def _add_bases(recipes: Recipes, catalogue: Recipes) -> Recipes:
    """Return the recipes, with the bases of tuned ones added."""
    bases = [entry.base for entry in recipes.values() if isinstance(entry, TunedRecipe)]
    return recipes | {name: catalogue[name] for name in bases}


def _group_packs(runs: list[Run], size: int) -> list[Pack]:
    """Return packs of the runs that share dataset, architecture and a block of `size` seeds."""

    def group(run: Run) -> tuple[str, str, int]:
        return run.dataset, run.architecture, run.seed // size * size

    packs = []
    for (dataset, architecture, first), members in groupby(sorted(runs, key=group), key=group):
        name = f"{dataset}_{architecture}_s{first:03d}-{first + size - 1:03d}"
        packs.append(Pack(name, sorted(members, key=lambda run: run.seed)))
    return packs
