"""Bring a study's committed records back into the run store: after a clone nothing has to be trained."""

import hashlib
import json
from pathlib import Path

from guidebp.analysis.archive import unpack_records
from guidebp.analysis.packs import data_hashes, write_index
from guidebp.analysis.rows import Row
from guidebp.canonical import readable_json
from guidebp.errors import UserError
from guidebp.store import RECORD, TELEMETRY, RunStore, parse_record
from guidebp.study.layout import RUNS, Layout
from guidebp.study.resolve import Study


def restore(study: Study) -> str:
    """Unpack, verify, index; says what is to be done next.

    Raises UserError when the archive is damaged, or lacks runs of the study as it is configured now, or
    holds records of other data: then training is needed, and the message says of which runs.
    """
    layout, store, hashes = Layout(study.name), RunStore(RUNS), data_hashes(study.datasets)
    costs = read_telemetry(layout)
    datasets = {run.key: run.dataset for run in study.runs}
    unpacked = 0
    for key, files in unpack_records(layout.records, set(datasets)):
        record = verify(files, key, layout.records)
        if record["data"] != hashes[datasets[key]]:
            continue
        with store.lock(key):
            if not store.holds(key, hashes[datasets[key]]):
                store.publish(key, files | {TELEMETRY: costs.get(key, b"{}\n")})
                unpacked += 1
    missing = [run for run in study.runs if not store.holds(run.key, hashes[run.dataset])]
    whole = [pack for pack in study.packs if not any(run in missing for run in pack.runs)]
    for pack in whole:
        write_index(study, pack, store, keep_time=True)
    if missing:
        first = missing[0]
        raise UserError(
            f"{layout.records}: {len(missing)} of {len(study.runs)} runs of study '{study.name}' are not in it "
            f"(first: {first.dataset}/{first.architecture}/{first.method}/repetition {first.repetition}, "
            f"key {first.key}); the code or the study has changed since, or they were never trained; run: "
            f"snakemake --config study={study.name}, which trains them; with partial=true it reports on the others"
        )
    return (
        f"{len(study.runs)} runs of study '{study.name}' are in the store ({unpacked} unpacked, all verified); "
        f"run: snakemake --config study={study.name}, which trains nothing and renders everything"
    )


def verify(files: dict[str, bytes], key: str, archive: Path) -> Row:
    """The record; UserError when an archived run is not what its checksums say."""
    remedy = f"run: git checkout {archive}"
    record = parse_record(files.get(RECORD, b""), key, archive, remedy)
    for name, checksum in record["files"].items():
        if hashlib.sha256(files.get(name, b"")).hexdigest() != checksum:
            raise UserError(f"{archive}: {key}/{name} is missing or damaged; {remedy}")
    return record


def read_telemetry(layout: Layout) -> dict[str, bytes]:
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
