"""Bring a study back from what is committed: after a clone nothing is trained and every figure is the same."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

from guidebp.analysis.tuning import locate_tuned_recipes
from guidebp.errors import UserError
from guidebp.git import run_git
from guidebp.hashing import readable_json
from guidebp.paths import PREPARED, StudyPaths
from guidebp.runs.archive import SUFFIX, read_archive
from guidebp.runs.index import write_index
from guidebp.runs.record import RunRecord, decode_record
from guidebp.runs.store import PREDICTIONS, RECORD, TELEMETRY
from guidebp.schema.catalogue import wholes
from guidebp.study.packs import open_store, read_data_hashes
from guidebp.study.study import Study


def restore(study: Study, records_only: bool = False) -> str:
    """Unpack, verify and index the records, render everything from them, and compare it with what was committed.

    With `records_only` nothing is rendered.

    Raises UserError when the archive is damaged, or lacks runs of the study as it is configured now, or holds
    records of other data (then training is needed, and the message says of which runs), and when something is not
    as it was committed.
    """
    unpacked = unpack(study)
    said = (
        f"{len(study.runs)} runs of study '{study.name}' are in the store ({unpacked} unpacked, all verified)"
    )
    if records_only:
        return f"{said}; run: snakemake --config study={study.name}, which trains nothing"
    command = f"snakemake -n --config study={study.name}"
    if "train" in planned(study):  # a clone's time stamps say nothing
        touch(study)
        if wanted := planned(study).get("train"):
            raise UserError(
                f"all records are there, yet snakemake would train {wanted} packs; run: {command}"
            )
    snakemake(study)
    if left := planned(study):
        raise UserError(f"all is rendered, yet snakemake would run {', '.join(left)}; run: {command}")
    changed = changed_since_commit(study)
    if changed:
        raise UserError("\n".join(f"{path}: not as it was committed" for path in changed))
    compared = ", not compared with a commit" if changed is None else ", all as it was committed"
    made = locate_tuned_recipes(study) if study.file.tunes else StudyPaths(study.name).report
    return f"{said}; nothing is left to do; {made} and all figures are made{compared}"


def unpack(study: Study) -> int:
    """Bring the records into the store and index the packs; how many the store did not have."""
    layout, store, hashes = StudyPaths(study.name), open_store(study), read_data_hashes(study.datasets)
    store.register_project()
    costs = read_telemetry(layout)
    runs = {run.key: run for run in study.runs}
    unpacked = 0
    archives = sorted(layout.records.glob(f"*{SUFFIX}"))
    if not archives:
        raise UserError(f"{layout.records}: no archives of records; run snakemake to train the study")
    for archive in archives:
        for key, files in read_archive(archive, set(runs)):
            run = runs[key]
            record = verify(files, key, archive, store.predictions)
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


def touch(study: Study) -> None:
    """Make the manifests, by which the records were verified, newer than the code, then the indexes."""
    layout = StudyPaths(study.name)
    # what a subset is a part of comes first: it must be older
    names = dict.fromkeys([*wholes(study.datasets), *study.datasets])
    prepared = [PREPARED / f"{name}{kind}" for name in names for kind in (".png", ".json")]
    for path in (*prepared, *(layout.pack(pack.id) for pack in study.packs)):
        if path.exists():
            path.touch()


def snakemake(study: Study, *options: str) -> str:
    """Run the workflow on the study, silently unless it fails; what it said on standard output."""
    command = [sys.executable, "-m", "snakemake", "--config", f"study={study.name}", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.stderr.write(done.stdout + done.stderr)  # with the log of what failed
        raise UserError(
            f"{' '.join(command[2:])} failed with code {done.returncode}; what it said stands above"
        )
    return done.stdout


def planned(study: Study) -> dict[str, int]:
    """Jobs that snakemake would run, by rule, without those that have no work of their own."""
    lines = (line.split() for line in snakemake(study, "-n", "--quiet", "rules").splitlines())
    jobs = {words[0]: int(words[1]) for words in lines if len(words) == 2 and words[1].isdigit()}
    return {rule: count for rule, count in jobs.items() if rule not in ("total", "all")}


def changed_since_commit(study: Study) -> list[str] | None:
    """Files of the study that are not as git has them, figures by their checksums; None where git has none."""
    layout, project = StudyPaths(study.name), Path()
    if run_git(project, "ls-files", "--error-unmatch", str(layout.rendered_checksums)).returncode:
        return None
    # provenance names the commit that rendered
    made = [
        ":(exclude)*.provenance.json",
        layout.folder,
        *([locate_tuned_recipes(study)] if study.file.tunes else []),
    ]
    done = run_git(project, "status", "--porcelain", "--untracked-files=no", "--", *map(str, made))
    return [line[3:] for line in done.stdout.splitlines()]


def verify(files: dict[str, bytes], key: str, archive: Path, predictions: bool) -> RunRecord:
    """The record; UserError when an archived run, with `predictions` or without, is not what its checksums say."""
    remedy = f"run: git checkout {archive}"
    record = decode_record(files.get(RECORD, b""), key, archive, remedy)
    for name, checksum in record.files.items():
        if name not in files and name == PREDICTIONS and not predictions:
            continue
        if hashlib.sha256(files.get(name, b"")).hexdigest() != checksum:
            raise UserError(f"{archive}: {key}/{name} is missing or damaged; {remedy}")
    return record


def read_telemetry(layout: StudyPaths) -> dict[str, bytes]:
    """Key to the bytes of the run's telemetry.json; UserError when the file is damaged."""
    if not layout.telemetry.exists():
        return {}
    found = {}
    try:
        for line in layout.telemetry.read_text().splitlines():
            cost = json.loads(line)
            found[str(cost.pop("key"))] = readable_json(cost)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(
            f"{layout.telemetry}: damaged ({error}); run: git checkout {layout.telemetry}"
        ) from error
    return found
