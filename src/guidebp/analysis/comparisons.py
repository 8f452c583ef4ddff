"""Paired comparisons: every method with each reference, at equal repetition.

Mean difference, t interval and paired t test. Where repetitions redraw the split, their training sets overlap
and plain intervals are too short: the variance then carries the factor 1/n + n_test/n_train instead of 1/n
(Nadeau and Bengio 2003, corrected resampled t test). Holm's correction runs over the methods compared with
one reference in one measure on one network. A run that diverged or crashed counts as chance accuracy.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.multitest import multipletests

from guidebp.analysis.tables import MEASURES, Results, run_measures

DUST = 1e-9  # below any real difference of accuracies in percent, above rounding
FAMILY = ["dataset", "architecture", "recipe", "reference", "measure"]


class Interval(NamedTuple):
    """The mean of n values; interval and p are NaN where the values do not allow them."""

    n: int
    difference: float
    sd: float
    low: float
    high: float
    p: float


def mean_interval(values: NDArray[np.float64], overlap: float = 0.0) -> Interval:
    """Mean, 95 % t interval and two-sided p against 0 of values [n], say paired differences.

    `overlap` is n_test / n_train where the repetitions redraw the split, else 0.
    """
    n = len(values)
    mean = float(np.mean(values)) if n else math.nan
    if n < 2:
        return Interval(n, mean, math.nan, math.nan, math.nan, math.nan)
    sd = float(np.std(values, ddof=1))
    error = sd * math.sqrt(1 / n + overlap)
    half = float(stats.t.ppf(0.975, n - 1)) * error
    # a t test says nothing of equal values: accuracies move in steps
    equal = 1.0 if abs(mean) <= DUST else math.nan
    p = equal if sd <= DUST else float(2 * stats.t.sf(abs(mean) / error, n - 1))
    return Interval(n, mean, sd, mean - half, mean + half, p)


def compare(results: Results) -> pd.DataFrame:
    """One row per dataset, architecture, recipe, reference, method and measure."""
    runs = with_chance(results)
    rows: list[dict[str, Any]] = []
    for (dataset, architecture, recipe), cell in runs.groupby(
        ["dataset", "architecture", "recipe"], sort=False
    ):
        overlap = split_overlap(results, str(dataset), cell)
        pairs = {
            m: cell.pivot(index=["repetition", "device_class"], columns="method", values=m) for m in MEASURES
        }
        trained = [method for method in results.about["methods"] if method in set(cell["method"])]
        failed = cell[cell["status"] != "finished"]["method"].value_counts()
        for reference in (name for name in results.about["references"] if name in trained):
            for method in (name for name in trained if name != reference):
                for measure in MEASURES:
                    sides = pairs[measure][[method, reference]]
                    if sides.isna().all().any():  # one of them leaves pathways untrained
                        continue
                    differences = (sides[method] - sides[reference]).dropna()
                    found = mean_interval(differences.to_numpy(float), overlap)
                    rows.append(
                        {
                            "dataset": dataset,
                            "architecture": architecture,
                            "recipe": recipe,
                            "reference": reference,
                            "measure": measure,
                            "method": method,
                            "failed": int(failed.get(method, 0)),
                            **found._asdict(),
                        }
                    )
    table = pd.DataFrame(rows, columns=[*FAMILY, "method", "failed", *Interval._fields])
    table["p_holm"] = table.groupby(FAMILY, sort=False)["p"].transform(holm)
    return table


def split_overlap(results: Results, dataset: str, rows: pd.DataFrame) -> float:
    """n_test / n_train where the repetitions of these runs redraw the split, else 0."""
    known = rows.dropna(subset=["train_images"])
    if results.about["datasets"][dataset]["split"]["test"] == "official" or known.empty:
        return 0.0
    return float(known["test_images"].iloc[0] / known["train_images"].iloc[0])


def with_chance(results: Results) -> pd.DataFrame:
    """One row per run with its measures, those of failed runs at chance."""
    runs = run_measures(results.metrics)
    chance = runs["dataset"].map({name: 100 / d["classes"] for name, d in results.about["datasets"].items()})
    for measure in MEASURES:
        runs[measure] = runs[measure].where(runs["status"] == "finished", chance)
    return runs


def holm(p: "pd.Series[float]") -> "pd.Series[float]":
    """Holm's step-down correction; NaN stays NaN and is not counted."""
    corrected = p.copy()
    known = p.notna()
    if known.any():
        corrected[known] = multipletests(p[known], method="holm")[1]
    return corrected
