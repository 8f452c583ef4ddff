"""Methods over several datasets: Friedman, Iman and Davenport, Nemenyi, Wilcoxon with Holm (Demsar 2006).

Descriptive: it decides no claim. A block is a dataset: the mean accuracy of the primary output over the
seeds, then over the networks that all of its methods train. Ranked are the methods that every dataset of a
section has; below five datasets nothing is said, and the packages behind it, slow to import, are not asked.
"""

import math
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from guidebp.analysis.comparisons import with_chance
from guidebp.analysis.results import PRIMARY, Results
from guidebp.analysis.statistics import DECIMALS, LEVEL, holm, signed_rank

FEWEST = 5  # datasets
RANKS = ["section", "method", "rank", "accuracy", "datasets", "chi2", "f", "p", "critical_difference"]
PAIRS = ["section", "first", "second", "difference", "p_nemenyi", "p_wilcoxon", "p_holm"]


class Friedman(NamedTuple):
    """Mean ranks [k], 1 for the best; Friedman's statistic, Iman and Davenport's F and its p."""

    ranks: NDArray[np.float64]
    chi2: float
    f: float
    p: float


def friedman(table: NDArray[np.float64]) -> Friedman:
    """Test of k methods over N datasets, table [N, k], more is better. Formulas and ranks of ties as Demsar's.

    Ties share the mean of their ranks; chi2 has no correction for them, which makes it smaller, never larger.
    """
    from scipy import stats

    n, k = table.shape
    ranks = stats.rankdata(-table, axis=1).mean(axis=0)
    chi2 = 12 * n / (k * (k + 1)) * (float(np.sum(ranks**2)) - k * (k + 1) ** 2 / 4)
    rest = n * (k - 1) - chi2
    f = (n - 1) * chi2 / rest if rest > 1e-9 else math.inf
    return Friedman(ranks, chi2, f, float(stats.f.sf(f, k - 1, (k - 1) * (n - 1))))


def critical_difference(k: int, n: int) -> float:
    """Nemenyi's: mean ranks of k methods over n datasets that lie further apart differ at 0.05."""
    from scipy import stats

    q = float(stats.studentized_range.ppf(1 - LEVEL, k, np.inf)) / math.sqrt(2)
    return q * math.sqrt(k * (k + 1) / (6 * n))


def rank(results: Results) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tables with the columns RANKS and PAIRS; a section with too few datasets or methods has no rows."""
    ranks: list[pd.DataFrame] = []
    pairs: list[pd.DataFrame] = []
    for section in results.about["sections"]:
        table = blocks(results.section(section["name"]))
        n, k = table.shape
        if n < FEWEST or k < 2:
            continue
        found = friedman(table.to_numpy(float))
        statistics = {"chi2": found.chi2, "f": found.f, "p": found.p}
        ranks.append(
            pd.DataFrame({"method": table.columns, "rank": found.ranks, "accuracy": table.mean().to_numpy()})
            .assign(
                section=section["name"],
                datasets=n,
                critical_difference=critical_difference(k, n),
                **statistics,
            )
            .sort_values("rank", kind="stable")
        )
        pairs.append(compared(table, found.ranks).assign(section=section["name"]))
    return tuple(
        pd.concat([pd.DataFrame(columns=columns), *tables], ignore_index=True)[columns]
        if tables
        else pd.DataFrame(columns=columns)
        for tables, columns in ((ranks, RANKS), (pairs, PAIRS))
    )  # type: ignore[return-value]


def blocks(results: Results) -> pd.DataFrame:
    """Mean accuracy of the primary output: a row per dataset, a column per method that every dataset has."""
    means = with_chance(results).groupby(["dataset", "architecture", "method"], sort=False)[PRIMARY].mean()
    rows: dict[str, pd.Series[float]] = {}
    for dataset, cells in means.groupby("dataset", sort=False):
        wide = cells.unstack("method")
        rows[str(dataset)] = wide.dropna(axis=1).mean()  # methods that all of its networks have
    table = pd.DataFrame(rows).T.dropna(axis=1).round(DECIMALS)
    return table[[method for method in results.about["methods"] if method in table]]


def compared(table: pd.DataFrame, ranks: NDArray[np.float64]) -> pd.DataFrame:
    """Every pair of methods: difference of mean ranks, Nemenyi's p, Wilcoxon's p before and after Holm."""
    from scikit_posthocs import posthoc_nemenyi_friedman

    nemenyi = posthoc_nemenyi_friedman(table.to_numpy(float))
    rows = [
        {
            "first": table.columns[a],
            "second": table.columns[b],
            "difference": ranks[a] - ranks[b],
            "p_nemenyi": nemenyi.iloc[a, b],
            "p_wilcoxon": signed_rank((table.iloc[:, a] - table.iloc[:, b]).to_numpy(float)),
        }
        for a, b in combinations(range(table.shape[1]), 2)
    ]
    found = pd.DataFrame(rows)
    return found.assign(p_holm=holm(found["p_wilcoxon"]))
