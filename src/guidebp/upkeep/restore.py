"""Restore a study from its archived records: after a clone, nothing is trained and every figure is the same."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

from guidebp.analysis.expected import compare_with_expected
from guidebp.analysis.tuning import locate_tuned_recipes
from guidebp.errors import UserError
from guidebp.git import is_tracked
from guidebp.hashing import encode_readable_json
from guidebp.paths import PREPARED, StudyPaths
from guidebp.runs.archive import SUFFIX, read_archive
from guidebp.runs.index import write_index
from guidebp.runs.record import RunRecord, decode_record
from guidebp.runs.store import PREDICTIONS, RECORD, TELEMETRY
from guidebp.schema.catalogue import select_base_datasets
from guidebp.study.packs import open_store, read_data_hashes
from guidebp.study.study import Study


def restore(study: Study, records_only: bool = False) -> str:
    """Unpack, verify and index the study's records, render everything, and compare with the expected results.

    With `records_only` nothing is rendered or compared. Returns a message on what was done.

    Raises UserError when an archive is damaged, lacks runs of the study as it is configured now, or holds records
    of other data (the message says which runs need training), and when a study that tunes now chooses other rates.
    """
    unpacked = _unpack_records(study)
    message = (
        f"{len(study.runs)} runs of study '{study.name}' are in the store ({unpacked} unpacked, all verified)"
    )
    if records_only:
        return f"{message}; run: snakemake --config study={study.name}, which trains nothing"
    command = f"snakemake -n --config study={study.name}"
    if "train" in _count_planned_jobs(study):  # a clone's time stamps say nothing
        _touch_inputs(study)
        if packs := _count_planned_jobs(study).get("train"):
            raise UserError(f"all records are there, yet snakemake would train {packs} packs; run: {command}")
    recipes = locate_tuned_recipes(study) if study.file.tunes else None
    before = recipes.read_bytes() if recipes and recipes.exists() else None
    _run_snakemake(study, "--no-hooks")
    if jobs := _count_planned_jobs(study):
        raise UserError(f"all is rendered, yet snakemake would run {', '.join(jobs)}; run: {command}")
    if recipes and before not in (None, recipes.read_bytes()):
        raise UserError(f"{recipes}: the records choose other learning rates now. Run: git diff {recipes}")
    layout = StudyPaths(study.name)
    message += f"; nothing is left to do; {recipes or layout.report} and all figures are rendered"
    comparison = compare_with_expected(layout)
    return f"{message}\n{comparison.message(study.name)}" if comparison else message


def _unpack_records(study: Study) -> int:
    """Add the records to the store and index the packs; return how many runs were not in the store."""
    layout, store, hashes = StudyPaths(study.name), open_store(study), read_data_hashes(study.datasets)
    store.register_project()
    costs = _read_telemetry(layout)
    runs = {run.key: run for run in study.runs}
    unpacked = 0
    archives = sorted(layout.records.glob(f"*{SUFFIX}"))
    if not archives:
        remedy = (
            f"run: git checkout {layout.records}"
            if is_tracked(layout.records)
            else f"git does not have them; run: snakemake --config study={study.name}, which trains the study"
        )
        raise UserError(f"{layout.records}: no archives of records; {remedy}")
    for archive in archives:
        for key, files in read_archive(archive, set(runs)):
            run = runs[key]
            record = _verify_run(files, key, archive, store.predictions)
            if record.data != hashes[run.dataset] or record.spec != run.spec:
                continue
            with store.lock(key):
                if not store.holds(run.spec, hashes[run.dataset]):
                    store.publish(key, files | {TELEMETRY: costs.get(key, b"{}\n")})
                    unpacked += 1
    missing = {run.key: run for run in study.runs if not store.holds(run.spec, hashes[run.dataset])}
    for pack in study.packs:
        if not any(run.key in missing for run in pack.runs):
            write_index(layout.pack(pack.id), [run.key for run in pack.runs], store, keep_time=True)
    if missing:
        first = next(iter(missing.values()))
        lost = sorted(
            {layout.archive(run.dataset, run.architecture) for run in missing.values()} - {*archives}
        )
        if lost:
            raise UserError(
                f"{lost[0]}: {len(missing)} of {len(study.runs)} runs of study '{study.name}' are not there, and "
                f"{len(lost)} archives neither; run: git checkout {layout.records}, or, where they were never "
                f"committed, snakemake --config study={study.name}, which trains them"
            )
        raise UserError(
            f"{layout.records}: {len(missing)} of {len(study.runs)} runs of study '{study.name}' are not there "
            f"(first: {first.dataset}/{first.architecture}/{first.method}/seed {first.seed}, "
            f"key {first.key}); the code or the study has changed since, or they were never trained; run: "
            f"snakemake --config study={study.name}, which trains them; with partial=true it reports on the others"
        )
    return unpacked


def _touch_inputs(study: Study) -> None:
    """Make the manifests that the records were verified with newer than the code, and the indexes newest."""
    layout = StudyPaths(study.name)
    # the dataset that a subset is taken from comes first, because it must be older
    names = dict.fromkeys([*select_base_datasets(study.datasets), *study.datasets])
    prepared = [PREPARED / f"{name}{kind}" for name in names for kind in (".png", ".json")]
    for path in (*prepared, *(layout.pack(pack.id) for pack in study.packs)):
        if path.exists():
            path.touch()


def _run_snakemake(study: Study, *options: str) -> str:
    """Run the workflow on the study, silently unless it fails; return its standard output."""
    command = [sys.executable, "-m", "snakemake", "--config", f"study={study.name}", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.stderr.write(done.stdout + done.stderr)  # with the log of what failed
        raise UserError(f"{' '.join(command[2:])} failed with code {done.returncode}; its output is above")
    return done.stdout


def _count_planned_jobs(study: Study) -> dict[str, int]:
    """Number of jobs that snakemake would run, by rule, without the rule that only collects targets."""
    lines = (line.split() for line in _run_snakemake(study, "-n", "--quiet", "rules").splitlines())
    jobs = {words[0]: int(words[1]) for words in lines if len(words) == 2 and words[1].isdigit()}
    return {rule: count for rule, count in jobs.items() if rule not in ("total", "all")}


def _advise_repair(path: Path) -> str:
    """The command that replaces a damaged file: git's version, or another one that the workflow writes."""
    return f"run: git checkout {path}" if is_tracked(path) else f"run: rm -r {path} && snakemake"


def _verify_run(files: dict[str, bytes], key: str, archive: Path, predictions: bool) -> RunRecord:
    """The record of an archived run; raises UserError when a file differs from its checksum.

    The file of predictions may be missing unless `predictions`.
    """
    remedy = _advise_repair(archive)
    record = decode_record(files.get(RECORD, b""), key, archive, remedy)
    for name, checksum in record.files.items():
        if name not in files and name == PREDICTIONS and not predictions:
            continue
        if hashlib.sha256(files.get(name, b"")).hexdigest() != checksum:
            raise UserError(f"{archive}: {key}/{name} is missing or damaged; {remedy}")
    return record


def _read_telemetry(layout: StudyPaths) -> dict[str, bytes]:
    """The bytes of each run's telemetry.json, by key; raises UserError when the file is damaged."""
    if not layout.telemetry.exists():
        return {}
    costs = {}
    try:
        for line in layout.telemetry.read_text().splitlines():
            cost = json.loads(line)
            costs[str(cost.pop("key"))] = encode_readable_json(cost)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(
            f"{layout.telemetry}: damaged ({error}); {_advise_repair(layout.telemetry)}"
        ) from error
    return costs
