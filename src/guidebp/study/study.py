"""A resolved study: its runs, the packs that train them and the sections of its report."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from guidebp.hashing import hash_json
from guidebp.runs.spec import Locks
from guidebp.schema.architectures import Architecture
from guidebp.schema.claims import Claim
from guidebp.schema.config import Config
from guidebp.schema.datasets import Dataset
from guidebp.schema.methods import Method
from guidebp.schema.published import PaperTable
from guidebp.schema.recipe_files import Recipes
from guidebp.schema.studies import StudyFile
from guidebp.study.keys import Run


@dataclass(frozen=True)
class Pack:
    """Runs of one dataset and architecture that one process trains. `id` changes whenever a run's key does."""

    name: str
    runs: list[Run]

    @property
    def id(self) -> str:
        """The name of the pack and the hash of its keys: NAME.HASH."""
        return f"{self.name}.{hash_json([run.key for run in self.runs], 12)}"

    @property
    def dataset(self) -> str:
        """The dataset of all runs of the pack."""
        return self.runs[0].dataset

    @property
    def architecture(self) -> str:
        """The architecture of all runs of the pack."""
        return self.runs[0].architecture


@dataclass(frozen=True)
class Section:
    """A section of the report: (dataset, architecture, method) combinations that share figures and tables.

    Attributes:
        exits: some combinations have several exits.
        trunk: some of those exits are the architecture's own and share gradients.
    """

    name: str
    title: str
    combinations: list[tuple[str, str, str]]
    exits: bool
    trunk: bool


@dataclass(frozen=True)
class Study:
    """A resolved study. Except for `all_datasets`, `claims` and `published`, its catalogues hold only used entries.

    Attributes:
        claim_locks: hash of the rule that decides a claim, by claim and setting.
        all_datasets: the whole catalogue, because a used dataset may be a subset of an unused one.
    """

    name: str
    file: StudyFile
    runs: list[Run]
    packs: list[Pack]
    sections: list[Section]
    datasets: dict[str, Dataset]
    architectures: dict[str, Architecture]
    methods: dict[str, Method]
    recipes: Recipes
    claims: dict[str, Claim]
    published: dict[str, PaperTable]
    claim_locks: Locks
    config: Config
    all_datasets: dict[str, Dataset]


def restrict_to_packs(study: Study, packs: Iterable[Pack]) -> Study:
    """Keep only the (dataset, architecture) pairs that occur in `packs`."""
    pairs = {(pack.dataset, pack.architecture) for pack in packs}
    runs = [run for run in study.runs if (run.dataset, run.architecture) in pairs]
    datasets = {run.dataset for run in runs}
    sections = [
        replace(section, combinations=[names for names in section.combinations if names[:2] in pairs])
        for section in study.sections
        if any(names[:2] in pairs for names in section.combinations)
    ]
    return replace(
        study,
        runs=runs,
        packs=[pack for pack in study.packs if (pack.dataset, pack.architecture) in pairs],
        sections=sections,
        datasets={name: entry for name, entry in study.datasets.items() if name in datasets},
    )
