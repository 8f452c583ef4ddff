"""Conversion of one run's result to rows of the tidy tables."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import repeat
from typing import Any

from guidebp.runs.result import Calibration, RunResult
from guidebp.study.keys import Run

VERSION = 2  # of all tables together; the analysis refuses others
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


def name_run_columns(run: Run) -> Row:
    """Return the values of the columns that name a run in every table."""
    return {name: getattr(run, name) for name in NAMES}


class TableColumns:
    """A table as a list per column, to which the rows of each run are added.

    A dictionary per row would need gigabytes for 10,000 runs.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self.values: dict[str, list[Any]] = {name: [] for name in columns}

    def add(self, names: Row, rows: Iterable[Row]) -> None:
        """Add rows that share the values in `names`.

        A missing value is None. A value without a column is left out.
        """
        own = [(name, values) for name, values in self.values.items() if name not in names]
        count = 0
        for row in rows:
            count += 1
            for name, values in own:
                values.append(row.get(name))
        for name, value in names.items():
            if name in self.values:
                self.values[name].extend(repeat(value, count))


def list_metric_rows(result: RunResult) -> Iterator[Row]:
    """Yield one row per output: test accuracy and calibration error in percent, None for a run without them.

    Parameters and operations are those of a pathway by itself; merged outputs have those of all pathways.
    A crashed run has one row with its status.
    """
    status = {"status": result.status}
    if result.sizes is None:  # crashed: nothing is known but that
        yield status
        return
    count, unknown = result.pathways, [None] * len(result.outputs)
    correct = result.test_correct or unknown
    errors = compute_calibration_errors(result.calibration) or unknown
    for number, (name, right) in enumerate(zip(result.outputs, correct, strict=True)):
        parameters, operations = result.cost.parameters, result.cost.operations
        alone = number < count
        yield status | {
            "output": name,
            "pathway": number + 1 if alone else None,
            "primary": name == result.primary,
            "trained": result.trained[number] if alone else all(result.trained),
            "accuracy": None if right is None else 100 * right / result.sizes.test,
            "calibration_error": errors[number],
            "parameters": parameters.alone[number] if alone else parameters.together[-1],
            "operations": operations.alone[number] if alone else operations.together[-1],
            "backward_passes": result.backward_passes,
            "train_images": result.sizes.train,
            "test_images": result.sizes.test,
        }


def compute_calibration_errors(bins: Calibration | None) -> list[float]:
    """Return the expected calibration error per output, in percent.

    It is the mean distance of confidence and accuracy over the bins, weighted by images.
    """
    if bins is None:
        return []
    return [
        round(100 * sum(abs(r - c) for r, c in zip(right, confidence, strict=True)) / sum(images), 6)
        for images, right, confidence in zip(bins.images, bins.correct, bins.confidence, strict=True)
    ]


def list_history_rows(result: RunResult) -> Iterator[Row]:
    """Yield a row per epoch, output and quantity: loss, gradient share, cosine, conflict, validation accuracy."""
    history = result.history
    for epoch, loss in enumerate(history.loss):
        row = {"epoch": epoch + 1, "output": None, "primary": False}
        yield row | {"quantity": "loss", "value": loss}
        for quantity, values in (("cosine", history.cosine), ("conflict", history.conflict)):
            if values[epoch] is not None:
                yield row | {"quantity": quantity, "value": values[epoch]}
        for name, share in zip(result.outputs, history.gradient_share[epoch], strict=False):
            yield row | {"output": name, "quantity": "gradient share", "value": share}
        for name, right in zip(result.outputs, history.validation_correct[epoch], strict=False):
            assert result.sizes is not None
            accuracy = 100 * right / result.sizes.validation
            names = {"output": name, "primary": name == result.primary}
            yield row | names | {"quantity": "validation accuracy", "value": accuracy}


def list_inference_rows(result: RunResult) -> Iterator[Row]:
    """Yield one row per way of using several exits and level.

    A row has the test accuracy in percent and the mean operations per image.
    """
    ways, sizes = result.inference, result.sizes
    if ways is None or sizes is None:
        return
    operations = result.cost.operations

    def row(way: str, level: float, right: int, cost: float) -> Row:
        return {"way": way, "level": level, "accuracy": 100 * right / sizes.test, "operations": cost}

    exits = {"confidence": ways.confidence, "certainty": ways.certainty, "budgeted": ways.budgeted}
    for way, tallies in exits.items():
        if tallies:
            for level, right, leave in zip(tallies.level, tallies.correct, tallies.leave, strict=True):
                spent = sum(images * cost for images, cost in zip(leave, operations.together, strict=True))
                yield row(way, level, right, spent / sizes.test)
    for way, counts in (("ensemble", ways.ensembles), ("logit ensemble", ways.logit_ensembles)):
        for number, right in enumerate(counts, start=1):
            yield row(way, number, right, operations.together[number - 1])
    if ways.smallest and result.test_correct:
        for points, number in zip(ways.smallest.points, ways.smallest.exit, strict=True):
            yield row("smallest within", points, result.test_correct[number], operations.alone[number])


def list_calibration_rows(result: RunResult) -> Iterator[Row]:
    """Yield one row per output and bin of confidence that holds test images.

    `images` counts the images and `correct` the correct predictions. `confidence` is the sum of their largest
    probabilities.
    """
    bins = result.calibration
    if bins is None:
        return
    for name, *output in zip(result.outputs, bins.images, bins.correct, bins.confidence, strict=True):
        for number, (images, right, confidence) in enumerate(zip(*output, strict=True), start=1):
            if images:
                counts = {"images": images, "correct": right, "confidence": confidence}
                yield {"output": name, "bin": number} | counts


def list_cosine_rows(result: RunResult) -> Iterator[Row]:
    """Yield one row per pair of pathways: the mean cosine of their gradients in the last epoch.

    The gradients are those of shared parameters. There are no rows where the gradients were not compared.
    """
    if result.cosines is None:
        return
    names = result.outputs[: result.pathways]
    for first, row in zip(names, result.cosines, strict=True):
        for second, value in zip(names, row, strict=True):
            yield {"first": first, "second": second, "cosine": value}


# What `collect` writes, by the name of the file in `StudyPaths`.
TABLES: dict[str, tuple[list[str], Callable[[RunResult], Iterator[Row]]]] = {
    "metrics": (METRICS, list_metric_rows),
    "history": (HISTORY, list_history_rows),
    "inference": (INFERENCE, list_inference_rows),
    "calibration": (CALIBRATION, list_calibration_rows),
    "cosines": (COSINES, list_cosine_rows),
}
