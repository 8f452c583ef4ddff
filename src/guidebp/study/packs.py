"""The trained part of a study: its run store, and the indexes of its packs."""

from collections.abc import Iterable

from guidebp.data.manifest import read_manifest
from guidebp.errors import UserError
from guidebp.paths import PREPARED, RUNS, StudyPaths
from guidebp.runs.index import read_index
from guidebp.runs.store import RunStore
from guidebp.study.study import Pack, Study


def read_data_hashes(datasets: Iterable[str]) -> dict[str, str]:
    """Return the content hash in the manifest of each dataset, by name."""
    return {name: read_manifest(PREPARED, name).sha256 for name in datasets}


def open_store(study: Study) -> RunStore:
    """Return the run store for a study; runs of a tuning study may lack predictions."""
    return RunStore(RUNS, predictions=study.file.tunes is None)


def list_trained_packs(study: Study) -> list[Pack]:
    """Return the packs that have an index."""
    layout = StudyPaths(study.name)
    return [pack for pack in study.packs if layout.pack(pack.id).exists()]


def read_indexes(study: Study, partial: bool = False) -> dict[str, str]:
    """Return the record checksums of all packs of the study, by run key.

    Raises UserError for a missing index unless `partial`.
    """
    layout = StudyPaths(study.name)
    checksums: dict[str, str] = {}
    for pack in study.packs:
        path = layout.pack(pack.id)
        try:
            checksums |= read_index(path, [run.key for run in pack.runs])
        except FileNotFoundError as error:
            if partial:
                continue
            raise UserError(f"{path}: not trained yet. Run: snakemake --config study={study.name}") from error
    return checksums
