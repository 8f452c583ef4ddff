"""Paired comparisons: every method with each baseline, at equal seed, on each architecture.

Holm's correction runs over the methods compared with one baseline in one measure on one architecture. A run that
diverged or crashed counts as chance accuracy; `difference_finished` is the difference of the pairs that finished.
"""

import math
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from guidebp.analysis.results import MEASURES, Results, measure_runs
from guidebp.analysis.statistics import Interval, compute_interval, correct_by_holm

FAMILY = ["dataset", "architecture", "recipe", "baseline", "measure"]
COMPARISON_COLUMNS = [
    *FAMILY,
    *("method", "failed", "failed_baseline"),
    *Interval._fields,
    *("n_finished", "difference_finished", "p_holm"),
]


def compare_methods(results: Results) -> pd.DataFrame:
    """One row per dataset, architecture, recipe, baseline, method and measure; columns as in COLUMNS."""
    runs = fill_chance_accuracy(results)
    rows: list[dict[str, Any]] = []
    for (dataset, architecture, recipe), cell in runs.groupby(
        ["dataset", "architecture", "recipe"], sort=False
    ):
        overlap, step = find_split_overlap(results, str(dataset), cell)
        index = ["seed", "device_class"]
        finished = _split_columns(
            cell.pivot(index=index, columns="method", values="status") == "finished", bool
        )
        trained = [method for method in results.about["methods"] if method in set(cell["method"])]
        failed = cell[cell["status"] != "finished"]["method"].value_counts()
        for measure in MEASURES:
            # arrays: a study has many small comparisons, and tables for each take far longer than their numbers
            values = _split_columns(cell.pivot(index=index, columns="method", values=measure), float)
            for baseline in (name for name in results.about["baselines"] if name in trained):
                for method in (name for name in trained if name != baseline):
                    if any(np.isnan(values[side]).all() for side in (method, baseline)):
                        continue  # one of them leaves pathways untrained
                    differences = values[method] - values[baseline]
                    known = ~np.isnan(differences)
                    both = differences[known & finished[method] & finished[baseline]]
                    interval = compute_interval(differences[known], overlap, step)
                    rows.append(
                        {
                            "dataset": dataset,
                            "architecture": architecture,
                            "recipe": recipe,
                            "baseline": baseline,
                            "measure": measure,
                            "method": method,
                            "failed": int(failed.get(method, 0)),
                            "failed_baseline": int(failed.get(baseline, 0)),
                            **interval._asdict(),
                            "n_finished": len(both),
                            "difference_finished": both.mean() if len(both) else math.nan,
                        }
                    )
    table = pd.DataFrame(rows, columns=COMPARISON_COLUMNS)
    table["p_holm"] = table.groupby(FAMILY, sort=False)["p"].transform(correct_by_holm)
    return table


def _split_columns(table: pd.DataFrame, kind: type) -> dict[str, NDArray[Any]]:
    """The columns by name; those of a study with a crashed run are of objects."""
    return {str(name): column.to_numpy(kind) for name, column in table.items()}


def find_split_overlap(results: Results, dataset: str, rows: pd.DataFrame) -> tuple[float, float]:
    """`compute_split_overlap` for the sizes that the first of these runs knows."""
    known = rows[["train_images", "test_images"]].dropna()
    return compute_split_overlap(results, dataset, tuple(known.iloc[0]) if len(known) else None)


def compute_split_overlap(
    results: Results, dataset: str, sizes: tuple[float, float] | None
) -> tuple[float, float]:
    """For `compute_interval`: n_test / n_train where seeds redraw the split, else 0; percent per test image.

    `sizes`: training and test images; None, where no run got so far, gives zeros.
    """
    if sizes is None:
        return 0.0, 0.0
    train, test = map(float, sizes)
    official = results.about["datasets"][dataset]["split"]["test"] == "official"
    return 0.0 if official else test / train, 100 / test


def fill_chance_accuracy(results: Results) -> pd.DataFrame:
    """One row per run with its measures, those of failed runs at chance; of missing runs nothing is known."""
    runs = measure_runs(results.metrics)
    runs = runs[runs["status"] != "missing"].copy()
    chance = runs["dataset"].map(compute_chance_accuracies(results))
    for measure in MEASURES:
        runs[measure] = runs[measure].where(runs["status"] == "finished", chance)
    return runs


def compute_chance_accuracies(results: Results) -> dict[str, float]:
    """Accuracy of guessing in percent, by dataset."""
    classes = {name: entry["classes"] for name, entry in results.about["datasets"].items()}
    return {name: 100 / (len(value) if isinstance(value, list) else value) for name, value in classes.items()}
