"""Read the records of a study into tidy tables, and pack them into archives.

Refuses what does not belong: a record that is damaged, was trained on other data than the manifest's, or
is not the one its pack was indexed with.
"""

import json
from dataclasses import asdict

import pandas as pd

from guidebp.collect.rows import TABLES, VERSION, Columns, Row, run_names
from guidebp.data.manifest import read_manifest
from guidebp.errors import UserError
from guidebp.files import write_atomic, write_checksums
from guidebp.hashing import canonical_json, readable_json
from guidebp.paths import COLLECTED, PREPARED, Layout
from guidebp.runs.archive import write_archives
from guidebp.runs.index import data_hashes, indexed, store_of, trained_packs
from guidebp.runs.store import RunStore
from guidebp.schema.published import to_json
from guidebp.schema.recipes import TunedRecipe
from guidebp.study.keys import Run
from guidebp.study.plan import described
from guidebp.study.resolve import Study, begun


def collect(study: Study, partial: bool = False) -> None:
    """Write study.json, the tables of `rows.TABLES`, claims.lock.json, telemetry.jsonl and records/.

    Their checksums come last. Runs of packs that are not trained are an error or, if `partial`, have the status
    "missing".
    """
    layout, store = Layout(study.name), store_of(study)
    planned, kept = len(study.runs), {(run.dataset, run.architecture) for run in study.runs}
    if partial:
        study = begun(study, trained_packs(study))
        if not study.runs:
            raise UserError(
                f"{layout.folder}: nothing is trained yet; run: snakemake --config study={study.name}"
            )
    index = indexed(study, partial)
    done = [run for run in study.runs if run.key in index]
    hashes = data_hashes(study.datasets)
    tables = {name: Columns(columns) for name, (columns, _) in TABLES.items()}
    telemetry: list[bytes] = []
    trained: list[tuple[dict[str, str], str]] = []
    for run in study.runs:
        if run.key not in index:
            tables["metrics"].add(run_names(run) | {"device_class": "none"}, [{"status": "missing"}])
            continue
        record = checked_record(run, store, index, hashes[run.dataset])
        cost = store.telemetry(run.key)
        names = run_names(run) | {"device_class": cost.get("device_class", "unknown")}
        for name, (_, rows_of) in TABLES.items():
            tables[name].add(names, rows_of(record))
        trained.append((record["spec"]["claims"], cost.get("commit") or "unknown"))
        telemetry.append(canonical_json({"key": run.key} | cost))
    write_atomic(layout.about, readable_json(describe(study, planned)))
    for name, columns in tables.items():
        table = pd.DataFrame(columns.values)
        path = getattr(layout, name)
        text = path.suffix == ".csv"
        content = (
            table.to_csv(index=False, lineterminator="\n").encode() if text else table.to_parquet(index=False)
        )
        write_atomic(path, content)
    write_atomic(layout.lock, readable_json(locks(study.claim_locks, trained)))
    write_atomic(layout.telemetry, b"\n".join(telemetry) + b"\n")
    archives = write_archives(layout, store, done, kept)
    write_checksums(layout.collected_sums, [*(getattr(layout, name) for name in COLLECTED), *archives])


def checked_record(run: Run, store: RunStore, index: dict[str, str], data: str) -> Row:
    """The run's record, if it is what the pack index and the data manifest say."""
    what = f"{run.dataset}/{run.architecture}/{run.method}/seed {run.seed} ({run.key})"
    if not store.has(run.key):
        raise UserError(
            f"{store.folder(run.key)}: run {what} is indexed but gone; "
            f"run: rm -r results/*/packs && snakemake, which trains what is missing and nothing else"
        )
    record = store.read(run.key)
    if record["data"] != data:
        raise UserError(
            f"{store.folder(run.key)}: run {what} was trained on other data than data/prepared/{run.dataset}.json "
            f"describes; run: rm -r results/*/packs && snakemake, which trains it anew"
        )
    if index.get(run.key) != record["sha256"]:
        raise UserError(
            f"{store.folder(run.key)}: run {what} is not the one its pack was indexed with (another study trained "
            f"it anew?); run: rm -r results/*/packs && snakemake"
        )
    return record


def locks(now: dict[str, str], trained: list[tuple[dict[str, str], str]]) -> Row:
    """Per claim the hash of its rule now, and of those under which its runs were trained, with number and commits.

    `trained` holds, for every run, the hashes of the claims that it may help to decide, and the commit of the code.
    """
    found: Row = {}
    for rules, commit in trained:
        for name, rule in rules.items():
            runs = found.setdefault(name, {"now": now.get(name), "runs": {}})["runs"]
            known = runs.setdefault(rule, {"count": 0, "commits": []})
            known |= {"count": known["count"] + 1, "commits": sorted({*known["commits"], commit})}
    return found


def describe(study: Study, planned: int) -> Row:
    """What rendering needs to know of the configuration, in the order in which it is to be shown.

    `planned`: runs of the whole study, of which this may be a part.
    """

    def order(attribute: str) -> list[str]:
        return list(dict.fromkeys(getattr(run, attribute) for run in study.runs))

    return {
        "version": VERSION,
        "name": study.name,
        "title": study.file.title,
        "about": study.file.about,
        "references": study.file.references,
        "claims": described(study),
        "planned": planned,
        "parts": [asdict(part) for part in study.parts],
        "datasets": {name: json.loads(study.datasets[name].model_dump_json()) for name in order("dataset")},
        "data": {name: read_manifest(PREPARED, name) for name in order("dataset")},
        "architectures": {
            name: json.loads(study.architectures[name].model_dump_json()) for name in order("architecture")
        },
        "methods": {name: json.loads(study.methods[name].model_dump_json()) for name in order("method")},
        "tunes": study.file.tunes,
        "recipes": {name: described_recipe(study, name) for name in study.recipes},
        "published": to_json(study.published),
    }


def described_recipe(study: Study, name: str) -> Row:
    """A recipe; of one that is tuned only the rates that the study trains at: others may change.

    `downsample` only where it does something, as in keys: older studies stay as they are.
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
                of_network[run.method] = run.spec["recipe"]["optimiser"]["lr"]
    return found
