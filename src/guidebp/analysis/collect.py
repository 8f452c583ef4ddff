"""Read the records of a study into tidy tables, and pack them into one archive.

Refuses what does not belong: a record that is damaged, was trained on other data than the manifest's, or
is not the one its pack was indexed with.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict
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

NAMES = ["dataset", "architecture", "method", "recipe", "repetition", "key"]
METRICS = [
    *NAMES,
    *("status", "device_class", "output", "pathway", "primary", "trained", "accuracy", "calibration_error"),
    *("parameters", "operations", "backward_passes", "train_images", "test_images"),
]
HISTORY = [*NAMES, "epoch", "output", "primary", "quantity", "value"]
INFERENCE = [*NAMES, "way", "level", "accuracy", "operations"]


def collect(study: Study) -> None:
    """Write study.json, metrics.csv, history.parquet, inference.parquet, telemetry.jsonl and records.tar.xz."""
    layout, store = Layout(study.name), RunStore(RUNS)
    hashes, index = data_hashes(study.datasets), indexed(study)
    metrics: list[Row] = []
    history: list[Row] = []
    inference: list[Row] = []
    telemetry: list[bytes] = []
    for run in study.runs:
        record = checked_record(run, store, index, hashes[run.dataset])
        cost = store.telemetry(run.key)
        names = run_names(run)
        metrics += [names | row for row in metric_rows(record, cost)]
        history += [names | row for row in history_rows(record)]
        inference += [names | row for row in inference_rows(record)]
        telemetry.append(canonical_json({"key": run.key} | cost))
    write_atomic(layout.about, readable_json(describe(study)))
    table = pd.DataFrame(
        metrics, columns=METRICS
    )  # also when all runs crashed, and nothing is known of outputs
    write_atomic(layout.metrics, table.to_csv(index=False, lineterminator="\n").encode())
    write_atomic(layout.history, pd.DataFrame(history, columns=HISTORY).to_parquet(index=False))
    write_atomic(layout.inference, pd.DataFrame(inference, columns=INFERENCE).to_parquet(index=False))
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
    return {name: getattr(run, name) for name in NAMES}


def metric_rows(record: Row, cost: Row) -> Iterator[Row]:
    """One row per output: test accuracy and calibration error in percent, empty for a run without one.

    Parameters and operations are those of a pathway by itself; of all of them for the merged outputs.
    """
    result = record["result"]
    run = {"status": result["status"], "device_class": cost.get("device_class", "unknown")}
    if not result["outputs"]:  # crashed: nothing is known but that
        yield run
        return
    sizes, price, count = result["sizes"], result["cost"], result["pathways"]
    unknown = [None] * len(result["outputs"])
    correct = result["test_correct"] or unknown
    errors = calibration_errors(result["calibration"]) or unknown
    for number, (name, right) in enumerate(zip(result["outputs"], correct, strict=True)):
        kind, place = ("alone", number) if number < count else ("together", count - 1)
        yield run | {
            "output": name,
            "pathway": number + 1 if number < count else None,
            "primary": name == result["primary"],
            "trained": result["trained"][number] if number < count else all(result["trained"]),
            "accuracy": None if right is None else 100 * right / sizes["test"],
            "calibration_error": errors[number],
            "parameters": price["parameters"][kind][place],
            "operations": price["operations"][kind][place],
            "backward_passes": result["backward_passes"],
            "train_images": sizes["train"],
            "test_images": sizes["test"],
        }


def calibration_errors(bins: Row | None) -> list[float]:
    """Expected calibration error in percent per output: mean distance of confidence and accuracy over the bins."""
    if bins is None:
        return []
    rows = zip(bins["images"], bins["correct"], bins["confidence"], strict=True)
    return [
        round(100 * sum(abs(r - c) for r, c in zip(right, confidence, strict=True)) / sum(images), 6)
        for images, right, confidence in rows
    ]


def history_rows(record: Row) -> Iterator[Row]:
    """One row per epoch, output and quantity: loss, gradient share, cosine, conflict, validation accuracy."""
    result = record["result"]
    history = result["history"]
    if not history:
        return
    for epoch, loss in enumerate(history["loss"]):
        row = {"epoch": epoch + 1, "output": None, "primary": False}
        yield row | {"quantity": "loss", "value": loss}
        for quantity in ("cosine", "conflict"):
            if history[quantity][epoch] is not None:
                yield row | {"quantity": quantity, "value": history[quantity][epoch]}
        for name, share in zip(result["outputs"], history["gradient_share"][epoch], strict=False):
            yield row | {"output": name, "quantity": "gradient share", "value": share}
        for name, right in zip(result["outputs"], history["validation_correct"][epoch], strict=False):
            accuracy = 100 * right / result["sizes"]["validation"]
            named = {"output": name, "primary": name == result["primary"]}
            yield row | named | {"quantity": "validation accuracy", "value": accuracy}


def inference_rows(record: Row) -> Iterator[Row]:
    """One row per way of using several exits and its level: test accuracy in percent, mean operations per image."""
    result = record["result"]
    found = result.get("inference")
    if not found:
        return
    images, price = result["sizes"]["test"], result["cost"]["operations"]

    def row(way: str, level: float, right: int, operations: float) -> Row:
        return {"way": way, "level": level, "accuracy": 100 * right / images, "operations": operations}

    for way in ("confidence", "certainty", "budgeted"):
        if found[way]:
            for level, right, leave in zip(
                *(found[way][k] for k in ("level", "correct", "leave")), strict=True
            ):
                spent = sum(count * cost for count, cost in zip(leave, price["together"], strict=True))
                yield row(way, level, right, spent / images)
    for way, key in (("ensemble", "ensembles"), ("logit ensemble", "logit_ensembles")):
        for exits, right in enumerate(found[key], start=1):
            yield row(way, exits, right, price["together"][exits - 1])
    chosen = found["smallest"] or {"points": [], "exit": []}
    for points, place in zip(chosen["points"], chosen["exit"], strict=True):
        yield row("smallest within", points, result["test_correct"][place], price["alone"][place])


def describe(study: Study) -> Row:
    """What rendering needs to know of the configuration, in the order in which it is to be shown."""

    def order(attribute: str) -> list[str]:
        return list(dict.fromkeys(getattr(run, attribute) for run in study.runs))

    return {
        "name": study.name,
        "title": study.file.title,
        "about": study.file.about,
        "references": study.file.references,
        "parts": [asdict(part) for part in study.parts],
        "datasets": {name: json.loads(study.datasets[name].model_dump_json()) for name in order("dataset")},
        "data": {name: read_manifest(PREPARED, name) for name in order("dataset")},
        "architectures": {
            name: json.loads(study.architectures[name].model_dump_json()) for name in order("architecture")
        },
        "methods": {name: json.loads(study.methods[name].model_dump_json()) for name in order("method")},
        "recipes": {name: json.loads(study.recipes[name].model_dump_json()) for name in order("recipe")},
    }
