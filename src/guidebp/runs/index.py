"""Pack indexes: the small files by which the workflow knows that a pack's runs are in the store."""

import json
from collections.abc import Iterable

from guidebp.data.manifest import read_manifest
from guidebp.errors import UserError
from guidebp.files import write_atomic
from guidebp.hashing import readable_json
from guidebp.jobs.pack import Training, train_pack
from guidebp.jobs.progress import Progress
from guidebp.paths import PREPARED, RUNS, Layout
from guidebp.runs.store import RunStore
from guidebp.schema.yaml_files import nearest
from guidebp.study.resolve import Pack, Study


def data_hashes(datasets: Iterable[str]) -> dict[str, str]:
    """Content hash of each dataset's manifest."""
    return {name: str(read_manifest(PREPARED, name).get("sha256")) for name in datasets}


def store_of(study: Study) -> RunStore:
    """The run store as the study sees it."""
    return RunStore(RUNS, predictions=study.file.tunes is None)


def train_and_index(study: Study, pack_id: str, training: Training) -> None:
    """Train what the store lacks of a pack and write its index."""
    packs = {pack.id: pack for pack in study.packs}
    if pack_id not in packs:
        raise UserError(
            f"study '{study.name}' has no pack {pack_id!r}; it may have been edited since: run snakemake "
            f"again; {nearest(pack_id, packs)}"
        )
    pack, store = packs[pack_id], store_of(study)
    store.join()
    train_pack(
        [run.spec for run in pack.runs],
        PREPARED,
        data_hashes({run.dataset for run in pack.runs}),
        store,
        training,
        Progress(study, store).follow,
    )
    write_index(study, pack, store)


def write_index(study: Study, pack: Pack, store: RunStore, keep_time: bool = False) -> None:
    """Publish the pack's index and remove those it had under other keys; an equal one may keep its time stamp."""
    path = Layout(study.name).pack(pack.id)
    content = readable_json({run.key: store.read(run.key)["sha256"] for run in pack.runs})
    if not path.exists() or path.read_bytes() != content or not keep_time:
        write_atomic(path, content)
    for old in path.parent.glob(f"{pack.name}.*.json"):
        if old != path:
            old.unlink()


def trained_packs(study: Study) -> list[Pack]:
    """The packs that have an index."""
    layout = Layout(study.name)
    return [pack for pack in study.packs if layout.pack(pack.id).exists()]


def indexed(study: Study, partial: bool = False) -> dict[str, str]:
    """Key to record checksum, over all packs of the study; UserError names a missing index unless `partial`."""
    layout = Layout(study.name)
    found: dict[str, str] = {}
    for pack in study.packs:
        path = layout.pack(pack.id)
        try:
            index = dict(json.loads(path.read_text()).items())
            found |= {run.key: index[run.key] for run in pack.runs}
        except FileNotFoundError as error:
            if partial:
                continue
            raise UserError(f"{path}: not trained yet; run: snakemake --config study={study.name}") from error
        except (ValueError, LookupError, AttributeError, RecursionError) as error:
            raise UserError(f"{path}: damaged; delete it and run snakemake again") from error
    return found
