"""Read the records of a study into tidy tables, and pack them into archives.

A record is refused if it is damaged, was trained on other data than the manifest's, or differs from the one in its
pack's index.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from guidebp.collect.rows import TABLES, VERSION, Row, TableColumns, name_run_columns
from guidebp.data.manifest import read_manifest
from guidebp.errors import UserError
from guidebp.files import write_atomic, write_checksums
from guidebp.hashing import encode_canonical_json, encode_readable_json
from guidebp.paths import COLLECTED_FILES, PREPARED, StudyPaths
from guidebp.runs.archive import SUFFIX, write_archive
from guidebp.runs.record import RunRecord
from guidebp.runs.spec import Locks
from guidebp.runs.store import RunStore
from guidebp.schema.published import to_json
from guidebp.schema.recipes import TunedRecipe
from guidebp.study.keys import Run
from guidebp.study.packs import list_trained_packs, open_store, read_data_hashes, read_indexes
from guidebp.study.plan import plan_claims
from guidebp.study.study import Study, restrict_to_packs


def collect_records(study: Study, partial: bool = False) -> None:
    """Write study.json, the tables of `rows.TABLES`, claims.lock.json, telemetry.jsonl and records/.

    Their checksums are written last. Runs of packs that are not trained raise UserError or, if `partial`, have the
    status "missing".
    """
    layout, store = StudyPaths(study.name), open_store(study)
    planned, pairs = len(study.runs), {(run.dataset, run.architecture) for run in study.runs}
    if partial:
        study = restrict_to_packs(study, list_trained_packs(study))
        if not study.runs:
            raise UserError(
                f"{layout.folder}: nothing is trained yet. Run: snakemake --config study={study.name}"
            )
    index = read_indexes(study, partial)
    hashes = read_data_hashes(study.datasets)
    tables = {name: TableColumns(columns) for name, (columns, _) in TABLES.items()}
    telemetry: list[bytes] = []
    locks: list[tuple[Locks, Locks, str]] = []
    for run in study.runs:
        if run.key not in index:
            tables["metrics"].add(name_run_columns(run) | {"device_class": "none"}, [{"status": "missing"}])
            continue
        record = read_accepted_record(run, store, index, hashes[run.dataset])
        cost = store.telemetry(run.key)
        names = name_run_columns(run) | {"device_class": cost.get("device_class", "unknown")}
        for name, (_, rows_of) in TABLES.items():
            tables[name].add(names, rows_of(record.result))
        locks.append((run.planned.locks, record.locks, str(cost.get("commit") or "unknown")))
        telemetry.append(encode_canonical_json({"key": run.key} | cost))
    write_atomic(layout.about, encode_readable_json(describe_study(study, planned)))
    for name, columns in tables.items():
        table = pd.DataFrame(columns.values)
        path = getattr(layout, name)
        text = path.suffix == ".csv"
        content = (
            table.to_csv(index=False, lineterminator="\n").encode() if text else table.to_parquet(index=False)
        )
        write_atomic(path, content)
    write_atomic(layout.lock, encode_readable_json(count_locks(study.claim_locks, locks)))
    write_atomic(layout.telemetry, b"\n".join(telemetry) + b"\n")
    archives = write_archives(layout, store, (run for run in study.runs if run.key in index), pairs)
    write_checksums(
        layout.collected_checksums, [*(getattr(layout, name) for name in COLLECTED_FILES), *archives]
    )


def read_accepted_record(run: Run, store: RunStore, index: dict[str, str], data: str) -> RunRecord:
    """Return the run's record. Raises UserError unless it matches the spec, pack index and data manifest."""
    folder, what = store.folder(run.key), f"run {run.label} ({run.key})"
    remedy = "Run: rm -r results/*/packs && snakemake"
    if not store.has(run.key):
        raise UserError(
            f"{folder}: {what} is indexed but gone. {remedy}, which trains what is missing and nothing else"
        )
    record = store.read(run.key)
    if record.spec != run.spec:
        raise UserError(f"{folder}: {what} was trained by another spec. {remedy}")
    if record.data != data:
        raise UserError(
            f"{folder}: {what} was trained on other data than data/prepared/{run.dataset}.json "
            f"describes. {remedy}, which trains it anew"
        )
    if index[run.key] != record.sha256:
        raise UserError(
            f"{folder}: {what} is not the one its pack was indexed with (another study trained it anew?). {remedy}"
        )
    return record


def count_locks(now: Locks, runs: Iterable[tuple[Locks, Locks, str]]) -> Row:
    """Return, per claim and setting, the present hash of the rule and those under which its runs were trained.

    Each rule has the number of its runs and the commits of their code. Runs without a lock count under "none".

    Args:
        now: claim to setting to hash.
        runs: for every run its present locks, the locks in its record, and the commit of its code.
    """
    locks: Row = {}
    for wanted, recorded, commit in runs:
        pairs = [
            (claim, setting) for known in (wanted, recorded) for claim in known for setting in known[claim]
        ]
        for claim, setting in dict.fromkeys(pairs):
            current = now.get(claim, {}).get(setting)
            entry = locks.setdefault(claim, {}).setdefault(setting, {"now": current, "runs": {}})
            rule = recorded.get(claim, {}).get(setting, "none")
            count = entry["runs"].setdefault(rule, {"count": 0, "commits": []})
            count |= {"count": count["count"] + 1, "commits": sorted({*count["commits"], commit})}
    return locks


def write_archives(
    layout: StudyPaths, store: RunStore, runs: Iterable[Run], pairs: set[tuple[str, str]]
) -> list[Path]:
    """Write an archive per dataset and architecture; return their paths.

    Archives of other pairs than `pairs`, which the study plans, are removed.
    """
    keys: dict[Path, set[str]] = {}
    for run in runs:
        keys.setdefault(layout.archive(run.dataset, run.architecture), set()).add(run.key)
    for path, keys_of_path in keys.items():
        write_archive(path, store, sorted(keys_of_path))
    for path in set(layout.records.glob(f"*{SUFFIX}")) - {layout.archive(*pair) for pair in pairs}:
        path.unlink()
    return list(keys)


def describe_study(study: Study, planned: int) -> Row:
    """Return the parts of the configuration that rendering needs, in display order.

    `planned` is the number of runs of the whole study; `study` may be a part of it.
    """

    def order(attribute: str) -> list[str]:
        return list(dict.fromkeys(getattr(run, attribute) for run in study.runs))

    return {
        "version": VERSION,
        "name": study.name,
        "title": study.file.title,
        "about": study.file.about,
        "baselines": study.file.baselines,
        "claims": plan_claims(study),
        "planned": planned,
        "sections": [asdict(section) for section in study.sections],
        "datasets": {name: json.loads(study.datasets[name].model_dump_json()) for name in order("dataset")},
        "data": {name: read_manifest(PREPARED, name).to_json() for name in order("dataset")},
        "architectures": {
            name: json.loads(study.architectures[name].model_dump_json()) for name in order("architecture")
        },
        "methods": {name: json.loads(study.methods[name].model_dump_json()) for name in order("method")},
        "tunes": study.file.tunes,
        "recipes": {name: _describe_recipe(study, name) for name in study.recipes},
        "published": to_json(study.published),
    }


def _describe_recipe(study: Study, name: str) -> Row:
    """Return a recipe as JSON; a tuned one has only the rates that the study trains at, as others may change.

    `downsample` is left out if it is 1, as in keys, so that the files of older studies do not change.
    """
    entry = study.recipes[name]
    found: Row = json.loads(entry.model_dump_json())
    if found.get("downsample") == 1:
        del found["downsample"]
    if isinstance(entry, TunedRecipe):
        found["rates"] = {}
        for run in study.runs:
            if run.recipe == name:
                of_network = found["rates"].setdefault(run.dataset, {}).setdefault(run.architecture, {})
                of_network[run.method] = run.spec.recipe.optimiser.lr
    return found
