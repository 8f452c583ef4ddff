"""From one run record to rows of the tidy tables."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import repeat
from typing import Any

from guidebp.study.keys import Run

VERSION = 1  # of all tables together; the analysis refuses others
Row = dict[str, Any]

NAMES = ["dataset", "architecture", "method", "recipe", "seed", "key"]
METRICS = [
    *NAMES,
    *("device_class", "status", "output", "pathway", "primary", "trained", "accuracy", "calibration_error"),
    *("parameters", "operations", "backward_passes", "train_images", "test_images"),
]
HISTORY = [*NAMES, "epoch", "output", "primary", "quantity", "value"]
INFERENCE = [*NAMES, "way", "level", "accuracy", "operations"]
CALIBRATION = [*NAMES, "output", "bin", "images", "correct", "confidence"]
COSINES = [*NAMES, "first", "second", "cosine"]


def run_names(run: Run) -> Row:
    """The columns that name a run in every table."""
    return {name: getattr(run, name) for name in NAMES}


class Columns:
    """A table that grows by the rows of one run after the other, as a list per column.

    The rows of 10,000 runs, kept as dictionaries, would fill gigabytes.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self.values: dict[str, list[Any]] = {name: [] for name in columns}

    def add(self, names: Row, rows: Iterable[Row]) -> None:
        """Rows that share the values in `names`; what neither has is None, what is no column is left out."""
        own = [(name, values) for name, values in self.values.items() if name not in names]
        count = 0
        for row in rows:
            count += 1
            for name, values in own:
                values.append(row.get(name))
        for name, value in names.items():
            if name in self.values:
                self.values[name].extend(repeat(value, count))


def metric_rows(record: Row) -> Iterator[Row]:
    """One row per output: test accuracy and calibration error in percent, empty for a run without one.

    Parameters and operations are those of a pathway by itself; of all of them for the merged outputs.
    """
    result = record["result"]
    status = {"status": result["status"]}
    if not result["outputs"]:  # crashed: nothing is known but that
        yield status
        return
    sizes, price, count = result["sizes"], result["cost"], result["pathways"]
    unknown = [None] * len(result["outputs"])
    correct = result["test_correct"] or unknown
    errors = calibration_errors(result["calibration"]) or unknown
    for number, (name, right) in enumerate(zip(result["outputs"], correct, strict=True)):
        kind, place = ("alone", number) if number < count else ("together", count - 1)
        yield status | {
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


def calibration_rows(record: Row) -> Iterator[Row]:
    """One row per output and bin of confidence that holds test images.

    `correct` of its `images` were right; `confidence` is the sum of the largest probabilities.
    """
    result = record["result"]
    bins = result["calibration"] if result["outputs"] else None
    if bins is None:
        return
    for name, *output in zip(
        result["outputs"], bins["images"], bins["correct"], bins["confidence"], strict=True
    ):
        for number, (images, right, confidence) in enumerate(zip(*output, strict=True), start=1):
            if images:
                counts = {"images": images, "correct": right, "confidence": confidence}
                yield {"output": name, "bin": number} | counts


def cosine_rows(record: Row) -> Iterator[Row]:
    """One row per pair of pathways that share parameters: the mean cosine of their gradients in the last epoch."""
    result = record["result"]
    matrix = result.get("cosines")
    if matrix is None:
        return
    names = result["outputs"][: result["pathways"]]
    for first, row in zip(names, matrix, strict=True):
        for second, value in zip(names, row, strict=True):
            yield {"first": first, "second": second, "cosine": value}


# What `collect` writes, by the name of the file in `Layout`.
TABLES: dict[str, tuple[list[str], Callable[[Row], Iterator[Row]]]] = {
    "metrics": (METRICS, metric_rows),
    "history": (HISTORY, history_rows),
    "inference": (INFERENCE, inference_rows),
    "calibration": (CALIBRATION, calibration_rows),
    "cosines": (COSINES, cosine_rows),
}
