"""The catalogues below config/: every entry by name, subsets of datasets filled in from their base datasets."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from guidebp.errors import UserError, suggest_name
from guidebp.schema.architectures import Architecture
from guidebp.schema.claims import Claim
from guidebp.schema.config import Config
from guidebp.schema.datasets import (
    Dataset,
    FilesSource,
    FolderSource,
    ImageCounts,
    NpzSource,
    SubsetEntry,
    SubsetSource,
    TorchvisionSource,
)
from guidebp.schema.methods import Method
from guidebp.schema.published import PaperTable
from guidebp.schema.recipe_files import Recipes, TunedIn, read_recipes
from guidebp.schema.recipes import Recipe, TunedRecipe
from guidebp.schema.yaml_files import read_config_file

# The reader of each source that needs no choice of one.
SOURCE_READERS = {FolderSource: "image_folder", NpzSource: "npz", TorchvisionSource: "torchvision_class"}
READERS = Path(__file__).parent.parent / "ingest" / "readers"


def read_datasets(root: Path = Path()) -> dict[str, Dataset]:
    """Read every dataset below root/config by name; UserError names the key that is wrong."""
    path = root / "config" / "datasets.yaml"
    entries: dict[str, Dataset | SubsetEntry] = read_config_file(path, "datasets")
    bases = {name: entry for name, entry in entries.items() if isinstance(entry, Dataset)}
    datasets = {}
    for name, entry in entries.items():
        if isinstance(entry, SubsetEntry):
            if entry.subset_of not in bases:
                if entry.subset_of in entries:
                    raise UserError(
                        f"{path}: {name}.subset_of: '{entry.subset_of}' is itself a subset; name its base dataset"
                    )
                raise UserError(
                    f"{path}: {name}.subset_of: no base dataset '{entry.subset_of}'; "
                    f"{suggest_name(entry.subset_of, bases)}"
                )
            datasets[name] = resolve_subset(bases[entry.subset_of], entry)
        else:
            _check_reader(entry, f"{path}: {name}")
            datasets[name] = entry
    return datasets


def resolve_subset(base: Dataset, entry: SubsetEntry) -> Dataset:
    """Return the subset as a dataset of its own."""
    counted = "training images" if base.split.test == "official" else "images"
    return base.model_copy(
        update={
            "title": entry.title or f"{base.title}, {entry.images:,} {counted}",
            "source": SubsetSource(subset_of=entry.subset_of, images=entry.images),
            "counts": ImageCounts(training=entry.images, test=base.counts.test) if base.counts else None,
        }
    )


def get_reader_name(dataset: Dataset) -> str | None:
    """Return the module of guidebp.ingest.readers for a dataset's source; None for a subset, which has none."""
    if isinstance(dataset.source, FilesSource):
        return dataset.source.reader.replace("-", "_")
    return SOURCE_READERS.get(type(dataset.source))


def _check_reader(dataset: Dataset, where: str) -> None:
    """Raise UserError when there is no module for the reader."""
    if isinstance(dataset.source, FilesSource):
        others = {"__init__", *SOURCE_READERS.values()} - {"npz"}
        readers = [path.stem.replace("_", "-") for path in READERS.glob("*.py") if path.stem not in others]
        reader = dataset.source.reader
        if reader not in readers:
            raise UserError(
                f"{where}.source.reader: unknown reader '{reader}'; {suggest_name(reader, readers)}"
            )


def select_base_datasets(datasets: dict[str, Dataset]) -> dict[str, Dataset]:
    """Return the datasets that raw files belong to: a subset stands for its base dataset."""
    bases = {}
    catalogue = (
        read_datasets() if any(isinstance(d.source, SubsetSource) for d in datasets.values()) else datasets
    )
    for name, dataset in datasets.items():
        base = dataset.source.subset_of if isinstance(dataset.source, SubsetSource) else name
        bases[base] = catalogue[base]
    return bases


@dataclass
class Catalogues:
    """All files of config/ but the studies, read and checked one by one."""

    root: Path
    config: Config = field(init=False)
    datasets: dict[str, Dataset] = field(init=False)
    architectures: dict[str, Architecture] = field(init=False)
    methods: dict[str, Method] = field(init=False)
    recipes: Recipes = field(init=False)
    recipe_files: dict[str, Path] = field(init=False)  # the first file that holds each recipe
    tuned_in: TunedIn = field(init=False)
    claims: dict[str, Claim] = field(init=False)
    published: dict[str, PaperTable] = field(init=False)
    locks: dict[str, dict[str, str]] = field(init=False)  # claim > setting: hash of its rules

    def __post_init__(self) -> None:
        """Read the files below root/config; UserError at the first fault."""
        folder = self.root / "config"
        self.config = read_config_file(folder / "config.yaml", "config")
        self.datasets = read_datasets(self.root)
        self.architectures = read_config_file(folder / "architectures.yaml", "architectures")
        self.methods = read_config_file(folder / "methods.yaml", "methods")
        self.claims = read_config_file(folder / "claims.yaml", "claims")
        self.published = read_config_file(folder / "published.yaml", "published")
        self.locks = {name: claim.locks for name, claim in self.claims.items()}
        self.recipes, self.recipe_files, self.tuned_in = read_recipes(folder / "recipes")
        for name, recipe in self.recipes.items():
            if isinstance(recipe, TunedRecipe):
                self.get_plain_recipe(recipe.base, f"config/recipes: {name}.base")
        names: dict[str, Iterable[str]] = {
            "method": self.methods,
            "architecture": self.architectures,
            "dataset": self.datasets,
            "recipe": self.recipes,
            "study": [path.stem for path in (folder / "studies").glob("*.yaml")],
        }
        _check_names(folder / "claims.yaml", self.claims, names)
        _check_names(folder / "published.yaml", self.published, names)

    def get_plain_recipe(self, name: str, where: str) -> Recipe:
        """Return a recipe that is not itself tuned; UserError, which begins with `where`, when there is none."""
        plain = {key: entry for key, entry in self.recipes.items() if isinstance(entry, Recipe)}
        if name not in plain:
            raise UserError(f"{where}: no recipe '{name}' with a learning rate; {suggest_name(name, plain)}")
        return plain[name]


def _check_names(
    path: Path, entries: Mapping[str, Claim | PaperTable], valid: Mapping[str, Iterable[str]]
) -> None:
    """Raise UserError when an entry names something that does not exist; `valid` holds all names by kind."""
    for name, entry in entries.items():
        for kind, named in entry.names():
            if named not in set(valid[kind]):
                raise UserError(
                    f"{path}: {name}: unknown {kind} '{named}'; {suggest_name(named, valid[kind])}"
                )
