"""Diagnose problems of the environment, processes, data and every run of a study, and name the fix."""

import json
import os
import shutil
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from guidebp.errors import UserError
from guidebp.files import file_hash
from guidebp.ingest.verify import verify_dataset
from guidebp.jobs.pack import DEATHS
from guidebp.paths import PREPARED, RAW, StudyPaths
from guidebp.provenance import describe_code, read_processor_name
from guidebp.runs.checkpoint_name import CheckpointName
from guidebp.runs.store import RECORD, RunStore
from guidebp.study.keys import Run
from guidebp.study.packs import open_store
from guidebp.study.study import Study
from guidebp.upkeep.gc import find_garbage, format_size
from guidebp.upkeep.processes import find_workers, is_snakemake_locked

SHOWN = 3  # runs named of each kind of finding
MANY = 10  # names in a command that is to be copied


class Finding(NamedTuple):
    """A problem and its fix; a `fault` endangers a result or blocks the workflow."""

    kind: str
    text: str
    remedy: str
    fault: bool = False


def diagnose(study: Study, studies: Iterable[Study]) -> list[Finding]:
    """All findings on a study; runs of any of the project's `studies` are no garbage."""
    store = open_store(study)
    return [
        *_find_locks(study),
        *_find_damaged_data(study),
        *_find_run_problems(study, store),
        *_find_leftovers(studies, store),
    ]


def describe_environment() -> str:
    """Versions, devices and free space, in a few lines."""
    source = describe_code()
    versions = [f"Python {source['python']}", f"guidebp {source['guidebp']}"]
    for name in ("torch", "snakemake", "dvc"):
        try:
            versions.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            versions.append(f"no {name}")
    devices = []
    if Path("/dev/nvidiactl").exists():  # else torch, which takes seconds to import, has nothing to add
        import torch

        devices = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    edited = ", edited" if source["edited"] else ""
    return "\n".join(
        [
            f"versions      {', '.join(versions)}",
            f"code          {source['commit'] or 'no git checkout'}{edited}",
            f"machine       {read_processor_name()}, {os.cpu_count()} cores; GPUs: {', '.join(devices) or 'none'}",
            f"disk          {format_size(shutil.disk_usage('.').free)} free",
        ]
    )


def _find_locks(study: Study) -> Iterator[Finding]:
    """Processes that work here, and a lock that a killed Snakemake left behind."""
    workers = find_workers()
    for worker in workers:
        yield Finding("working", f"process {worker.number}: {worker.command}", "wait for its end, or stop it")
    if is_snakemake_locked() and not any("snakemake" in worker.command for worker in workers):
        yield Finding(
            "stale lock",
            "Snakemake's lock is here and none of yours runs on this machine; unless one does elsewhere",
            f"snakemake --unlock; {_make_resume_command(study)}",
            fault=True,
        )


def _find_damaged_data(study: Study) -> Iterator[Finding]:
    """Raw and prepared files that differ from the catalogue or the manifests."""
    for name, dataset in study.all_datasets.items():
        if name in study.datasets:
            for finding in verify_dataset(name, dataset, RAW, PREPARED):
                if finding.state == "damaged":
                    yield Finding("damaged data", finding.text, "as it says", fault=True)


def _find_run_problems(study: Study, store: RunStore) -> Iterator[Finding]:
    """Missing, unfinished, diverged, crashed, corrupt and stale runs, and indexes that name other records."""
    hashes: dict[str, str] = {}
    for name in study.datasets:
        try:
            hashes[name] = json.loads((PREPARED / f"{name}.json").read_bytes())["sha256"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            continue
    layout, kinds = StudyPaths(study.name), dict[str, list[tuple[Run, str]]]()
    paths = {run.key: layout.pack(pack.id) for pack in study.packs for run in pack.runs}
    for run in study.runs:
        kind, text = _classify_run(run, store, hashes.get(run.dataset))
        kinds.setdefault(kind, []).append((run, text))
    bad, trained = _find_unsound_indexes(study, store), ("corrupt", "stale", "unfinished", "missing")
    # Without its index, a pack trains the runs that the store lacks. One command fixes all of them, because
    # collecting would stop at the first that remains.
    lacking = [paths[run.key] for kind in trained for run, _ in kinds.get(kind, [])]
    indexes = [path for path in dict.fromkeys([*lacking, *bad]) if path.exists()]
    train = f"{_make_removal_command(indexes)}{_make_resume_command(study)}"
    for kind in (*trained, "crashed", "diverged"):
        members = kinds.get(kind, [])
        remedy = {
            "crashed": f"guidebp gc --crashed; {_make_resume_command(study)}",
            "diverged": "none: a diverged run is a result, and tables count it",
        }.get(kind, train)
        if members:
            texts = [f"{_label_run(run)}{': ' * bool(text)}{text}" for run, text in members[:SHOWN]]
            more = [f"and {len(members) - SHOWN} more"] * (len(members) > SHOWN)
            note = "; with more memory they may be trained" * (kind == "crashed")
            text = f"{len(members)} runs: {'; '.join([*texts, *more])}{note}"
            yield Finding(kind, text, remedy, kind in ("corrupt", "stale"))
    if bad:
        text = f"{len(bad)} packs are indexed with records that are not in the store (first: {bad[0]})"
        yield Finding("stale index", text, train, fault=True)


def _classify_run(run: Run, store: RunStore, data_hash: str | None) -> tuple[str, str]:
    """The kind of finding that a run is, or "finished", with an explanation."""
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


def _find_unsound_indexes(study: Study, store: RunStore) -> list[Path]:
    """Indexes that cannot be read, or name other records than the store has."""
    layout = StudyPaths(study.name)
    bad = []
    for pack in study.packs:
        path = layout.pack(pack.id)
        if not path.exists():
            continue
        try:
            index = json.loads(path.read_bytes())
            now = {key: json.loads((store.folder(key) / RECORD).read_bytes())["sha256"] for key in index}
            sound = index == now and {run.key for run in pack.runs} <= index.keys()
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            sound = False
        if not sound:
            bad.append(path)
    return bad


def _find_leftovers(studies: Iterable[Study], store: RunStore) -> Iterator[Finding]:
    """Files that nobody needs."""
    kinds: dict[str, list[int]] = {}
    for item in find_garbage(studies, store):
        kinds.setdefault(item.why, []).append(item.size)
    for why, sizes in kinds.items():
        yield Finding("orphaned", f"{len(sizes)} {why}, {format_size(sum(sizes))}", "guidebp gc")


def _make_removal_command(indexes: list[Path]) -> str:
    """The start of a command that removes these indexes or, where they are many, all in their folder."""
    if not indexes:
        return ""
    return f"rm {' '.join(map(str, indexes))}; " if len(indexes) <= MANY else f"rm -r {indexes[0].parent}; "


def _label_run(run: Run) -> str:
    """The names and the key of a run."""
    return f"{run.dataset} {run.architecture} {run.method} seed {run.seed} ({run.key})"


def _make_resume_command(study: Study) -> str:
    """The command that continues a study."""
    return f"snakemake --config study={study.name}"
