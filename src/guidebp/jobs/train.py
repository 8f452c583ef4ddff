"""Train one pack of a study and write its index: the job of one Snakemake rule."""

from guidebp.errors import UserError, suggest_name
from guidebp.jobs.pack import train_pack
from guidebp.jobs.progress import Progress
from guidebp.jobs.worker import TrainingOptions
from guidebp.paths import PREPARED, StudyPaths
from guidebp.runs.index import write_index
from guidebp.study.packs import open_store, read_data_hashes
from guidebp.study.study import Study


def train_and_index(study: Study, pack_id: str, options: TrainingOptions) -> None:
    """Train the runs of a pack that the store lacks and write its index."""
    packs = {pack.id: pack for pack in study.packs}
    if pack_id not in packs:
        raise UserError(
            f"study '{study.name}' has no pack {pack_id!r}; it may have been edited since: run snakemake "
            f"again; {suggest_name(pack_id, packs)}"
        )
    pack, store = packs[pack_id], open_store(study)
    store.register_project()
    train_pack(
        [run.planned for run in pack.runs],
        PREPARED,
        read_data_hashes([pack.dataset]),
        store,
        options,
        Progress(study, store).follow,
    )
    write_index(StudyPaths(study.name).pack(pack.id), [run.key for run in pack.runs], store)
