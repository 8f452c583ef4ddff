"""Paired comparisons: every method with each reference, at equal seed, network by network.

Holm's correction runs over the methods compared with one reference in one measure on one network. A run that
diverged or crashed counts as chance accuracy; the difference of the pairs that finished stands beside.
"""

import math
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from guidebp.analysis.results import MEASURES, Results, run_measures
from guidebp.analysis.statistics import Interval, holm, mean_interval

FAMILY = ["dataset", "architecture", "recipe", "reference", "measure"]
COLUMNS = [
    *FAMILY,
    *("method", "failed", "failed_reference"),
    *Interval._fields,
    *("n_finished", "difference_finished", "p_holm"),
]


def compare(results: Results) -> pd.DataFrame:
    """One row per dataset, architecture, recipe, reference, method and measure; columns as in COLUMNS."""
    runs = with_chance(results)
    rows: list[dict[str, Any]] = []
    for (dataset, architecture, recipe), cell in runs.groupby(
        ["dataset", "architecture", "recipe"], sort=False
    ):
        overlap, step = grid_of(results, str(dataset), cell)
        index = ["seed", "device_class"]
        finished = arrays(cell.pivot(index=index, columns="method", values="status") == "finished", bool)
        trained = [method for method in results.about["methods"] if method in set(cell["method"])]
        failed = cell[cell["status"] != "finished"]["method"].value_counts()
        for measure in MEASURES:
            # arrays: a study has many small comparisons, and tables for each take far longer than their numbers
            values = arrays(cell.pivot(index=index, columns="method", values=measure), float)
            for reference in (name for name in results.about["references"] if name in trained):
                for method in (name for name in trained if name != reference):
                    if any(np.isnan(values[side]).all() for side in (method, reference)):
                        continue  # one of them leaves pathways untrained
                    differences = values[method] - values[reference]
                    known = ~np.isnan(differences)
                    both = differences[known & finished[method] & finished[reference]]
                    found = mean_interval(differences[known], overlap, step)
                    rows.append(
                        {
                            "dataset": dataset,
                            "architecture": architecture,
                            "recipe": recipe,
                            "reference": reference,
                            "measure": measure,
                            "method": method,
                            "failed": int(failed.get(method, 0)),
                            "failed_reference": int(failed.get(reference, 0)),
                            **found._asdict(),
                            "n_finished": len(both),
                            "difference_finished": both.mean() if len(both) else math.nan,
                        }
                    )
    table = pd.DataFrame(rows, columns=COLUMNS)
    table["p_holm"] = table.groupby(FAMILY, sort=False)["p"].transform(holm)
    return table


def arrays(table: pd.DataFrame, kind: type) -> dict[str, NDArray[Any]]:
    """The columns by name; those of a study with a crashed run are of objects."""
    return {str(name): column.to_numpy(kind) for name, column in table.items()}


def grid_of(results: Results, dataset: str, rows: pd.DataFrame) -> tuple[float, float]:
    """`grid` for the sizes that the first of these runs knows."""
    known = rows[["train_images", "test_images"]].dropna()
    return grid(results, dataset, tuple(known.iloc[0]) if len(known) else None)


def grid(results: Results, dataset: str, sizes: tuple[float, float] | None) -> tuple[float, float]:
    """For `mean_interval`: n_test / n_train where seeds redraw the split, else 0; percent per test image.

    `sizes`: training and test images; None, where no run got so far, gives zeros.
    """
    if sizes is None:
        return 0.0, 0.0
    train, test = map(float, sizes)
    official = results.about["datasets"][dataset]["split"]["test"] == "official"
    return 0.0 if official else test / train, 100 / test


def with_chance(results: Results) -> pd.DataFrame:
    """One row per run with its measures, those of failed runs at chance; of missing runs nothing is known."""
    runs = run_measures(results.metrics)
    runs = runs[runs["status"] != "missing"].copy()
    chance = runs["dataset"].map(chances(results))
    for measure in MEASURES:
        runs[measure] = runs[measure].where(runs["status"] == "finished", chance)
    return runs


def chances(results: Results) -> dict[str, float]:
    """Accuracy of guessing in percent, by dataset."""
    named = {name: entry["classes"] for name, entry in results.about["datasets"].items()}
    return {name: 100 / (len(found) if isinstance(found, list) else found) for name, found in named.items()}
