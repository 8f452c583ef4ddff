"""Read the records of a study into tidy tables, and pack them into one archive.

Refuses what does not belong: a record that is damaged, was trained on other data than the manifest's, or
is not the one its pack was indexed with.
"""

import json
from collections.abc import Iterator
from typing import Any

import pandas as pd

from guidebp.analysis.archive import pack_records
from guidebp.analysis.packs import data_hashes, indexed
from guidebp.canonical import canonical_json, readable_json
from guidebp.data.manifest import read_manifest
from guidebp.errors import UserError
from guidebp.store import RunStore, write_atomic
from guidebp.study.layout import PREPARED, RUNS, Layout
from guidebp.study.resolve import Run, Study

Row = dict[str, Any]


def collect(study: Study) -> None:
    """Write study.json, metrics.csv, history.parquet, telemetry.jsonl and records.tar.xz."""
    layout, store = Layout(study.name), RunStore(RUNS)
    hashes, index = data_hashes(study.datasets), indexed(study)
    metrics: list[Row] = []
    history: list[Row] = []
    telemetry: list[bytes] = []
    for run in study.runs:
        record = checked_record(run, store, index, hashes[run.dataset])
        cost = store.telemetry(run.key)
        names = run_names(run)
        metrics += [names | row for row in metric_rows(record, cost)]
        history += [names | row for row in history_rows(record)]
        telemetry.append(canonical_json({"key": run.key} | cost))
    write_atomic(layout.about, readable_json(describe(study)))
    write_atomic(layout.metrics, pd.DataFrame(metrics).to_csv(index=False, lineterminator="\n").encode())
    write_atomic(layout.history, pd.DataFrame(history).to_parquet(index=False))
    write_atomic(layout.telemetry, b"\n".join(telemetry) + b"\n")
    write_atomic(layout.records, pack_records(store, [run.key for run in study.runs]))


def checked_record(run: Run, store: RunStore, index: dict[str, str], data: str) -> Row:
    """The run's record, if it is what the pack index and the data manifest say."""
    what = f"{run.dataset}/{run.architecture}/{run.method}/repetition {run.repetition} ({run.key})"
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


def run_names(run: Run) -> Row:
    """The columns that name a run in every table."""
    return {
        "dataset": run.dataset,
        "architecture": run.architecture,
        "method": run.method,
        "recipe": run.recipe,
        "repetition": run.repetition,
        "key": run.key,
    }


def metric_rows(record: Row, cost: Row) -> Iterator[Row]:
    """One row per output: test accuracy in percent, empty for a run without one."""
    result = record["result"]
    sizes = result.get("sizes", {"train": None, "test": None})
    correct = result["test_correct"] or [None] * len(result["outputs"])
    for number, (name, right) in enumerate(zip(result["outputs"], correct, strict=True)):
        yield {
            "status": result["status"],
            "device_class": cost.get("device_class", "unknown"),
            "output": name,
            "pathway": number + 1 if number < result["pathways"] else None,
            "primary": name == result["primary"],
            "accuracy": None if right is None else 100 * right / sizes["test"],
            "train_images": sizes["train"],
            "test_images": sizes["test"],
        }
    if not result["outputs"]:  # crashed: nothing is known but that
        yield {"status": result["status"], "device_class": cost.get("device_class", "unknown")}


def history_rows(record: Row) -> Iterator[Row]:
    """One row per epoch, output and quantity (loss, gradient share, validation accuracy in percent)."""
    result = record["result"]
    history = result["history"]
    if not history:
        return
    for epoch, loss in enumerate(history["loss"]):
        yield {"epoch": epoch + 1, "output": None, "quantity": "loss", "value": loss}
        for name, share in zip(result["outputs"], history["gradient_share"][epoch], strict=False):
            yield {"epoch": epoch + 1, "output": name, "quantity": "gradient share", "value": share}
        for name, right in zip(result["outputs"], history["validation_correct"][epoch], strict=False):
            accuracy = 100 * right / result["sizes"]["validation"]
            yield {"epoch": epoch + 1, "output": name, "quantity": "validation accuracy", "value": accuracy}


def describe(study: Study) -> Row:
    """What rendering needs to know of the configuration, in the order in which it is to be shown."""

    def order(attribute: str) -> list[str]:
        return list(dict.fromkeys(getattr(run, attribute) for run in study.runs))

    return {
        "name": study.name,
        "title": study.file.title,
        "about": study.file.about,
        "references": study.file.references,
        "datasets": {name: json.loads(study.datasets[name].model_dump_json()) for name in order("dataset")},
        "data": {name: read_manifest(PREPARED, name) for name in order("dataset")},
        "architectures": {
            name: json.loads(study.architectures[name].model_dump_json()) for name in order("architecture")
        },
        "methods": {name: json.loads(study.methods[name].model_dump_json()) for name in order("method")},
        "recipes": {name: json.loads(study.recipes[name].model_dump_json()) for name in order("recipe")},
    }
