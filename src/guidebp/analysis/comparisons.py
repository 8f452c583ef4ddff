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

FAMILY = ["dataset", "architecture", "recipe", "reference", "measure"]


class Paired(NamedTuple):
    """A paired comparison of n differences; interval and p are NaN where n does not allow them."""

    n: int
    difference: float
    sd: float
    low: float
    high: float
    p: float


def paired_test(differences: NDArray[np.float64], overlap: float = 0.0) -> Paired:
    """Mean, 95 % t interval and two-sided p of paired differences [n].

    `overlap` is n_test / n_train where the repetitions redraw the split, else 0.
    """
    n = len(differences)
    mean = float(np.mean(differences)) if n else math.nan
    if n < 2:
        return Paired(n, mean, math.nan, math.nan, math.nan, math.nan)
    sd = float(np.std(differences, ddof=1))
    error = sd * math.sqrt(1 / n + overlap)
    half = float(stats.t.ppf(0.975, n - 1)) * error
    # equal differences: nothing to test when they are zero, beyond doubt otherwise
    certain = 1.0 if mean == 0.0 else 0.0
    p = certain if error == 0.0 else float(2 * stats.t.sf(abs(mean) / error, n - 1))
    return Paired(n, mean, sd, mean - half, mean + half, p)


def compare(results: Results) -> pd.DataFrame:
    """One row per dataset, architecture, recipe, reference, method and measure."""
    runs = with_chance(results)
    rows: list[dict[str, Any]] = []
    for (dataset, architecture, recipe), cell in runs.groupby(
        ["dataset", "architecture", "recipe"], sort=False
    ):
        redrawn = results.about["datasets"][dataset]["split"]["test"] != "official"
        sizes = cell.dropna(subset=["train_images"]).iloc[:1]
        overlap = (
            float((sizes["test_images"] / sizes["train_images"]).iloc[0]) if redrawn and len(sizes) else 0.0
        )
        pairs = {
            m: cell.pivot(index=["repetition", "device_class"], columns="method", values=m) for m in MEASURES
        }
        trained = [method for method in results.about["methods"] if method in set(cell["method"])]
        failed = cell[cell["status"] != "finished"]["method"].value_counts()
        for reference in (name for name in results.about["references"] if name in trained):
            for method in (name for name in trained if name != reference):
                for measure in MEASURES:
                    differences = (pairs[measure][method] - pairs[measure][reference]).dropna()
                    found = paired_test(differences.to_numpy(float), overlap)
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
    table = pd.DataFrame(rows)
    table["p_holm"] = table.groupby(FAMILY, sort=False)["p"].transform(holm)
    return table


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
