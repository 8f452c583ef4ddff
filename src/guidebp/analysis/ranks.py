"""Methods over several datasets: Friedman, Iman and Davenport, Nemenyi, Wilcoxon with Holm (Demsar 2006).

Descriptive: it decides no claim. A block is a dataset: the mean accuracy of the primary output over the
seeds, then over the architectures that all of its methods train. The methods that every dataset of a section has
are ranked. Below five datasets there are no ranks, and packages that are slow to import are not imported.
"""

import math
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from guidebp.analysis.comparisons import fill_chance_accuracy
from guidebp.analysis.results import PRIMARY, Results
from guidebp.analysis.statistics import DECIMALS, LEVEL, compute_signed_rank_p, correct_by_holm

FEWEST_DATASETS = 5
RANK_COLUMNS = ["section", "method", "rank", "accuracy", "datasets", "chi2", "f", "p", "critical_difference"]
RANK_PAIR_COLUMNS = ["section", "first", "second", "difference", "p_nemenyi", "p_wilcoxon", "p_holm"]


class FriedmanTest(NamedTuple):
    """Mean ranks [k], 1 for the best; Friedman's statistic, Iman and Davenport's F and its p."""

    ranks: NDArray[np.float64]
    chi2: float
    f: float
    p: float


def run_friedman_test(table: NDArray[np.float64]) -> FriedmanTest:
    """Test of k methods over N datasets, table [N, k], more is better. Formulas and ranks of ties as Demsar's.

    Ties share the mean of their ranks; chi2 has no correction for them, which makes it smaller, never larger.
    """
    from scipy import stats

    n, k = table.shape
    ranks = stats.rankdata(-table, axis=1).mean(axis=0)
    chi2 = 12 * n / (k * (k + 1)) * (float(np.sum(ranks**2)) - k * (k + 1) ** 2 / 4)
    rest = n * (k - 1) - chi2
    f = (n - 1) * chi2 / rest if rest > 1e-9 else math.inf
    return FriedmanTest(ranks, chi2, f, float(stats.f.sf(f, k - 1, (k - 1) * (n - 1))))


def compute_critical_difference(k: int, n: int) -> float:
    """Nemenyi's critical difference: mean ranks of k methods over n datasets further apart differ at 0.05."""
    from scipy import stats

    q = float(stats.studentized_range.ppf(1 - LEVEL, k, np.inf)) / math.sqrt(2)
    return q * math.sqrt(k * (k + 1) / (6 * n))


def rank_methods(results: Results) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tables with the columns RANKS and PAIRS; a section with too few datasets or methods has no rows."""
    ranks: list[pd.DataFrame] = []
    pairs: list[pd.DataFrame] = []
    for section in results.about["sections"]:
        table = _average_by_dataset(results.section(section["name"]))
        n, k = table.shape
        if n < FEWEST_DATASETS or k < 2:
            continue
        test = run_friedman_test(table.to_numpy(float))
        statistics = {"chi2": test.chi2, "f": test.f, "p": test.p}
        ranks.append(
            pd.DataFrame({"method": table.columns, "rank": test.ranks, "accuracy": table.mean().to_numpy()})
            .assign(
                section=section["name"],
                datasets=n,
                critical_difference=compute_critical_difference(k, n),
                **statistics,
            )
            .sort_values("rank", kind="stable")
        )
        pairs.append(_compare_ranks(table, test.ranks).assign(section=section["name"]))
    return tuple(
        pd.concat([pd.DataFrame(columns=columns), *tables], ignore_index=True)[columns]
        if tables
        else pd.DataFrame(columns=columns)
        for tables, columns in ((ranks, RANK_COLUMNS), (pairs, RANK_PAIR_COLUMNS))
    )  # type: ignore[return-value]


def _average_by_dataset(results: Results) -> pd.DataFrame:
    """Mean accuracy of the primary output: a row per dataset, a column per method that every dataset has."""
    means = (
        fill_chance_accuracy(results)
        .groupby(["dataset", "architecture", "method"], sort=False)[PRIMARY]
        .mean()
    )
    rows: dict[str, pd.Series[float]] = {}
    for dataset, cells in means.groupby("dataset", sort=False):
        wide = cells.unstack("method")
        rows[str(dataset)] = wide.dropna(axis=1).mean()  # methods that all of its architectures have
    table = pd.DataFrame(rows).T.dropna(axis=1).round(DECIMALS)
    return table[[method for method in results.about["methods"] if method in table]]


def _compare_ranks(table: pd.DataFrame, ranks: NDArray[np.float64]) -> pd.DataFrame:
    """Every pair of methods: difference of mean ranks, Nemenyi's p, Wilcoxon's p before and after Holm."""
    from scikit_posthocs import posthoc_nemenyi_friedman

    nemenyi = posthoc_nemenyi_friedman(table.to_numpy(float))
    rows = [
        {
            "first": table.columns[a],
            "second": table.columns[b],
            "difference": ranks[a] - ranks[b],
            "p_nemenyi": nemenyi.iloc[a, b],
            "p_wilcoxon": compute_signed_rank_p((table.iloc[:, a] - table.iloc[:, b]).to_numpy(float)),
        }
        for a, b in combinations(range(table.shape[1]), 2)
    ]
    pairs = pd.DataFrame(rows)
    return pairs.assign(p_holm=correct_by_holm(pairs["p_wilcoxon"]))
