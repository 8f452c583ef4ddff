"""What is wrong here, and the command that mends it: environment, processes, data, and every run of a study."""

import json
import os
import shutil
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from guidebp.errors import UserError
from guidebp.files import file_hash
from guidebp.ingest.verify import verify
from guidebp.jobs.pack import DEATHS
from guidebp.paths import PREPARED, RAW, StudyPaths
from guidebp.provenance import describe_code, read_processor_name
from guidebp.runs.checkpoint_name import CheckpointName
from guidebp.runs.store import RECORD, RunStore
from guidebp.study.keys import Run
from guidebp.study.packs import open_store
from guidebp.study.study import Study
from guidebp.upkeep.gc import rubbish, size_text
from guidebp.upkeep.processes import snakemake_locked, workers

SHOWN = 3  # of many findings of one kind
MANY = 10  # names in a command that a person copies


class Finding(NamedTuple):
    """One thing to know: `fault` when a result is in danger or nothing can go on until it is mended."""

    kind: str
    text: str
    remedy: str
    fault: bool = False


def diagnose(study: Study, studies: Iterable[Study]) -> list[Finding]:
    """All findings on a study; `studies` are all of this project, whose runs are none's rubbish."""
    store = open_store(study)
    return [*locks(study), *data(study), *runs(study, store), *left(studies, store)]


def environment() -> str:
    """Versions, devices, free space: a few lines for a person."""
    found = describe_code()
    versions = [f"Python {found['python']}", f"guidebp {found['guidebp']}"]
    for name in ("torch", "snakemake", "dvc"):
        try:
            versions.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            versions.append(f"no {name}")
    devices = []
    if Path("/dev/nvidiactl").exists():  # else torch, which takes seconds to import, has nothing to add
        import torch

        devices = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    edited = ", edited" if found["edited"] else ""
    return "\n".join(
        [
            f"versions      {', '.join(versions)}",
            f"code          {found['commit'] or 'no git checkout'}{edited}",
            f"machine       {read_processor_name()}, {os.cpu_count()} cores; GPUs: {', '.join(devices) or 'none'}",
            f"disk          {size_text(shutil.disk_usage('.').free)} free",
        ]
    )


def locks(study: Study) -> Iterator[Finding]:
    """Who works here, or left Snakemake's lock behind."""
    working = workers()
    for worker in working:
        yield Finding("working", f"process {worker.number}: {worker.command}", "wait for its end, or stop it")
    if snakemake_locked() and not any("snakemake" in worker.command for worker in working):
        yield Finding(
            "stale lock",
            "Snakemake's lock is here and none of yours runs on this machine; unless one does elsewhere",
            f"snakemake --unlock; {again(study)}",
            fault=True,
        )


def data(study: Study) -> Iterator[Finding]:
    """Raw and prepared files that are not what the catalogue and the manifests say."""
    for name, dataset in study.all_datasets.items():
        if name in study.datasets:
            for found in verify(name, dataset, RAW, PREPARED):
                if found.state == "damaged":
                    yield Finding("damaged data", found.text, "as it says", fault=True)


def runs(study: Study, store: RunStore) -> Iterator[Finding]:
    """Missing, unfinished, diverged, crashed, corrupt and stale runs, and indexes that are not theirs."""
    hashes: dict[str, str] = {}
    for name in study.datasets:
        try:
            hashes[name] = json.loads((PREPARED / f"{name}.json").read_bytes())["sha256"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            continue
    layout, kinds = StudyPaths(study.name), dict[str, list[tuple[Run, str]]]()
    paths = {run.key: layout.pack(pack.id) for pack in study.packs for run in pack.runs}
    for run in study.runs:
        kind, text = state_of(run, store, hashes.get(run.dataset))
        kinds.setdefault(kind, []).append((run, text))
    bad, trained = unsound_indexes(study, store), ("corrupt", "stale", "unfinished", "missing")
    # Without its index a pack is trained as far as the store lacks it. One command for all: collecting would stop
    # at the first that is left.
    lacking = [paths[run.key] for kind in trained for run, _ in kinds.get(kind, [])]
    train = f"{without([path for path in dict.fromkeys([*lacking, *bad]) if path.exists()])}{again(study)}"
    for kind in (*trained, "crashed", "diverged"):
        found = kinds.get(kind, [])
        remedy = {
            "crashed": f"guidebp gc --crashed; {again(study)}",
            "diverged": "none: a diverged run is a result, and tables count it",
        }.get(kind, train)
        if found:
            texts = [f"{label(run)}{': ' * bool(text)}{text}" for run, text in found[:SHOWN]]
            more = [f"and {len(found) - SHOWN} more"] * (len(found) > SHOWN)
            note = "; with more memory they may be trained" * (kind == "crashed")
            text = f"{len(found)} runs: {'; '.join([*texts, *more])}{note}"
            yield Finding(kind, text, remedy, kind in ("corrupt", "stale"))
    if bad:
        text = f"{len(bad)} packs are indexed with records that are not in the store (first: {bad[0]})"
        yield Finding("stale index", text, train, fault=True)


def state_of(run: Run, store: RunStore, data_hash: str | None) -> tuple[str, str]:
    """The kind of finding that a run is, or "finished", and what more there is to say."""
    if store.has(run.key):
        try:
            record = store.read(run.key)
        except UserError as error:
            return "corrupt", str(error).split("; ", 1)[0]
        if data_hash is not None and record.data != data_hash:
            return "stale", "trained on other data than the manifest describes"
        return record.result.status, ""
    checkpoints = store.checkpoints(run.key)
    notes = []
    if newest := store.newest_checkpoint(run.key):
        notes.append(f"resumes in epoch {newest.epoch + 1} of {run.spec.recipe.epochs}")
        names = [(path, CheckpointName.parse(path.name)) for path in checkpoints]
        if any(name and file_hash(path) != name.sha256 for path, name in names):
            notes.append("a checkpoint is damaged, the one before it is taken")
    if (store.unfinished(run.key) / DEATHS).exists():
        notes.append("its process has died")
    return ("unfinished" if notes else "missing"), ", ".join(notes)


def unsound_indexes(study: Study, store: RunStore) -> list[Path]:
    """Indexes of packs that cannot be read or name other records than the store has."""
    layout = StudyPaths(study.name)
    bad = []
    for pack in study.packs:
        path = layout.pack(pack.id)
        if not path.exists():
            continue
        try:
            known = json.loads(path.read_bytes())
            now = {key: json.loads((store.folder(key) / RECORD).read_bytes())["sha256"] for key in known}
            sound = known == now and {run.key for run in pack.runs} <= known.keys()
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            sound = False
        if not sound:
            bad.append(path)
    return bad


def left(studies: Iterable[Study], store: RunStore) -> Iterator[Finding]:
    """What nobody needs."""
    kinds: dict[str, list[int]] = {}
    for found in rubbish(studies, store):
        kinds.setdefault(found.why, []).append(found.size)
    for why, sizes in kinds.items():
        yield Finding("orphaned", f"{len(sizes)} {why}, {size_text(sum(sizes))}", "guidebp gc")


def without(indexes: list[Path]) -> str:
    """The beginning of a command: away with these indexes or, where they are many, with all beside them."""
    if not indexes:
        return ""
    return f"rm {' '.join(map(str, indexes))}; " if len(indexes) <= MANY else f"rm -r {indexes[0].parent}; "


def label(run: Run) -> str:
    """A run for a person."""
    return f"{run.dataset} {run.architecture} {run.method} seed {run.seed} ({run.key})"


def again(study: Study) -> str:
    """The command that goes on with a study."""
    return f"snakemake --config study={study.name}"
