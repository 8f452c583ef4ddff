"""Methods over several datasets: Demsar's worked example, other packages, and what is ranked at all."""

import math
from collections.abc import Sequence
from dataclasses import fields, replace
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scikit_posthocs import posthoc_nemenyi_friedman
from scipy import stats
from statsmodels.stats.anova import AnovaRM
from statsmodels.stats.multitest import multipletests

from guidebp.analysis.ranks import (
    RANK_COLUMNS,
    RANK_PAIR_COLUMNS,
    compute_critical_difference,
    rank_methods,
    run_friedman_test,
)
from guidebp.analysis.results import MERGED, Results
from guidebp.analysis.statistics import compute_signed_rank_p
from tests.support.made_up_results import METHODS, made_up

Array = NDArray[np.float64]

# Demsar 2006, "Statistical Comparisons of Classifiers over Multiple Data Sets", tables 2 and 6: AUC of C4.5, with
# tuned m, with tuned cf, with both. Iris is 0.975 twice in print, yet ranked 2 and 3: scipy's tests say 0.9751.
AUC = np.array(
    [
        [0.763, 0.599, 0.954, 0.628, 0.882, 0.936, 0.661, 0.583, 0.775, 1.0, 0.940, 0.619, 0.972, 0.957],
        [0.768, 0.591, 0.971, 0.661, 0.888, 0.931, 0.668, 0.583, 0.838, 1.0, 0.962, 0.666, 0.981, 0.978],
        [0.771, 0.590, 0.968, 0.654, 0.886, 0.916, 0.609, 0.563, 0.866, 1.0, 0.965, 0.614, 0.9751, 0.946],
        [0.798, 0.569, 0.967, 0.657, 0.898, 0.931, 0.685, 0.625, 0.875, 1.0, 0.962, 0.669, 0.975, 0.970],
    ]
).T
PRINTED_RANKS = np.array(
    [
        *[
            (4, 3, 2, 1),
            (1, 2, 3, 4),
            (4, 1, 2, 3),
            (4, 1, 3, 2),
            (4, 2, 3, 1),
            (1, 2.5, 4, 2.5),
            (3, 2, 4, 1),
        ],
        *[
            (2.5, 2.5, 4, 1),
            (4, 3, 2, 1),
            (2.5,) * 4,
            (4, 2.5, 1, 2.5),
            (3, 2, 4, 1),
            (4, 1, 2, 3),
            (3, 1, 4, 2),
        ],
    ]
)


@pytest.mark.parametrize("table", [AUC, -PRINTED_RANKS], ids=["values", "ranks"])
def test_demsars_friedman_test(table: Array) -> None:
    found = run_friedman_test(table)
    assert found.ranks == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=5e-4)
    assert found.chi2 == pytest.approx(9.28, abs=5e-3)
    assert found.f == pytest.approx(3.69, abs=5e-3)
    assert found.f > 2.85, "the critical value of F(3, 39) at 0.05"
    assert found.p < 0.05


def test_demsars_critical_value_of_f_is_at_five_percent() -> None:
    # the p that `friedman` gives has these degrees of freedom
    found = run_friedman_test(AUC)
    assert found.p == pytest.approx(stats.f.sf(3.69, 3, 39), rel=0.01)
    assert stats.f.sf(2.85, 3, 39) == pytest.approx(0.05, abs=5e-4)


def test_demsars_critical_differences() -> None:
    assert compute_critical_difference(4, 14) == pytest.approx(1.25, abs=5e-3)
    # table 5a; the paper cuts some of the digits that it should round
    printed = [1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164]
    for k, q in enumerate(printed, start=2):
        for n in (5, 14, 30):
            assert compute_critical_difference(k, n) / math.sqrt(k * (k + 1) / (6 * n)) == pytest.approx(
                q, abs=1e-3
            )


def test_demsars_wilcoxon_test() -> None:
    """Table 2, C4.5 and C4.5+m: R+ 93, R- 12, so T = 12 of 14 datasets; critical at 0.05 is 21.

    Its z is (12 - 14 * 15 / 4) / sqrt(14 * 15 * 29 / 24) = -40.5 / 15.93 = -2.542.
    """
    differences = AUC[:, 1] - AUC[:, 0]
    order = stats.rankdata(np.abs(np.round(differences, 3)))
    zeros = order[np.round(differences, 3) == 0].sum() / 2
    assert (order[differences > 1e-9].sum() + zeros, order[differences < -1e-9].sum() + zeros) == (93, 12)
    # tables of the exact test without ties: 12 is critical at 0.01, 15 at 0.02; the normal p is 0.011
    assert compute_signed_rank_p(differences) == pytest.approx(0.01, abs=2.5e-3)


def untied(n: int, k: int, seed: int) -> Array:
    return np.random.default_rng(seed).normal(size=(n, k)) + np.linspace(0, 1, k)


@given(st.integers(5, 30), st.integers(3, 8), st.integers(0, 2**32 - 1))
def test_friedman_is_scipys_and_an_analysis_of_variance_of_ranks(n: int, k: int, seed: int) -> None:
    table = untied(n, k, seed)
    found = run_friedman_test(table)
    assert found.chi2 == pytest.approx(stats.friedmanchisquare(*table.T).statistic, rel=1e-9, abs=1e-9)
    ranks = stats.rankdata(-table, axis=1)
    assume(not np.all(ranks == ranks[0]))  # no variance is left to compare with
    long = pd.DataFrame(ranks).rename_axis("dataset").reset_index().melt("dataset")
    anova = AnovaRM(long, "value", "dataset", within=["variable"]).fit().anova_table.iloc[0]
    assert found.f == pytest.approx(anova["F Value"], rel=1e-6, abs=1e-9)
    assert found.p == pytest.approx(anova["Pr > F"], rel=1e-6, abs=1e-12)


@given(st.integers(5, 20), st.integers(3, 6), st.integers(0, 2**32 - 1))
def test_ties_make_chi2_smaller_never_larger(n: int, k: int, seed: int) -> None:
    table = np.random.default_rng(seed).integers(0, 4, size=(n, k)).astype(float)
    assume((table != table[:, :1]).any())
    corrected = stats.friedmanchisquare(*table.T).statistic
    assert run_friedman_test(table).chi2 <= corrected + 1e-9
    assert run_friedman_test(table).ranks.sum() == pytest.approx(k * (k + 1) / 2)


def test_datasets_that_all_agree_are_no_division_by_zero() -> None:
    found = run_friedman_test(np.tile([[1.0, 3.0, 2.0]], (6, 1)))
    assert found.ranks.tolist() == [3, 1, 2]
    assert found.chi2 == pytest.approx(12)
    assert (found.f, found.p) == (math.inf, 0.0)
    same = run_friedman_test(np.ones((6, 3)))
    assert (same.chi2, same.f, same.p) == pytest.approx((0, 0, 1))


@given(st.integers(5, 30), st.integers(2, 8), st.integers(0, 2**32 - 1))
def test_the_critical_difference_is_where_nemenyis_p_is_five_percent(n: int, k: int, seed: int) -> None:
    table = untied(n, k, seed)
    ranks, critical = run_friedman_test(table).ranks, compute_critical_difference(k, n)
    p = posthoc_nemenyi_friedman(table).to_numpy()
    for a, b in combinations(range(k), 2):
        apart = abs(ranks[a] - ranks[b])
        if abs(apart - critical) > 1e-3:
            assert (p[a, b] < 0.05) == (apart > critical)


def study(
    places: Sequence[tuple[str, str]],
    seeds: int = 3,
    failed: tuple[str, str, str, int] | None = None,
    lacking: Sequence[tuple[str, str, str]] = (),
    seed: int = 0,
) -> Results:
    """A study of several (dataset, architecture), `failed` with one run that diverged, `lacking` some cells."""
    random = np.random.default_rng(seed)
    wholes = []
    for dataset, architecture in places:
        lost = failed[2:] if failed and failed[:2] == (dataset, architecture) else None
        one = made_up(seeds, failed=lost)
        tables: dict[str, Any] = {}
        for name in (f.name for f in fields(one)):
            table = getattr(one, name)
            if isinstance(table, pd.DataFrame):
                key = f"{dataset}-{architecture}-" + table["key"]
                here = table.assign(dataset=dataset, architecture=architecture, key=key)
                tables[name] = here[[(dataset, architecture, m) not in lacking for m in here["method"]]]
        moves = dict(zip(METHODS, random.normal(0, 2, len(METHODS)), strict=True))
        tables["metrics"]["accuracy"] += tables["metrics"]["method"].map(moves)
        wholes.append(tables)
    cells = [[d, a, m] for d, a in places for m in METHODS if (d, a, m) not in lacking]
    about = {
        **one.about,
        "datasets": {dataset: one.about["datasets"]["digits"] for dataset, _ in places},
        "architectures": {architecture: one.about["architectures"]["columns"] for _, architecture in places},
        "sections": [one.about["sections"][0] | {"combinations": cells}],
    }
    joined: dict[str, Any] = {
        name: pd.concat([tables[name] for tables in wholes], ignore_index=True) for name in wholes[0]
    }
    return replace(one, about=about, **joined)


def datasets(count: int) -> list[tuple[str, str]]:
    return [(f"data-{number}", "columns") for number in range(count)]


def expected_table(results: Results) -> pd.DataFrame:
    """Mean accuracy of the merged output, which is the primary one: a row per dataset, a column per method."""
    merged = results.metrics[results.metrics["output"] == MERGED]
    return merged.pivot_table(index="dataset", columns="method", values="accuracy", sort=False)[METHODS]


@pytest.mark.parametrize("count", [5, 8])
def test_methods_are_ranked_by_their_means_over_datasets(count: int) -> None:
    results = study(datasets(count))
    ranks, pairs = rank_methods(results)
    table = expected_table(results)
    assert list(ranks.columns) == RANK_COLUMNS and list(pairs.columns) == RANK_PAIR_COLUMNS
    means = table.rank(axis=1, ascending=False).mean().sort_values()
    assert ranks["method"].tolist() == means.index.tolist(), "best first"
    assert ranks["rank"].to_list() == pytest.approx(means.to_list())
    assert ranks["accuracy"].to_list() == pytest.approx(table.mean()[means.index].to_list())
    oracle = stats.friedmanchisquare(*table.to_numpy().T).statistic
    assert ranks["chi2"].to_list() == pytest.approx([oracle] * 3)
    assert set(ranks["datasets"]) == {count}
    assert ranks["critical_difference"].to_list() == pytest.approx(
        [2.343 * math.sqrt(12 / 6 / count)] * 3, rel=1e-3
    )
    nemenyi = posthoc_nemenyi_friedman(table.to_numpy())
    assert list(zip(pairs["first"], pairs["second"], strict=True)) == list(combinations(METHODS, 2))
    for pair, (a, b) in zip(pairs.to_dict("records"), combinations(range(3), 2), strict=True):
        assert pair["difference"] == pytest.approx(means[METHODS[a]] - means[METHODS[b]])
        assert pair["p_nemenyi"] == pytest.approx(nemenyi.iloc[a, b])


@pytest.mark.parametrize("count", [5, 6, 9])
def test_pairs_have_wilcoxons_p_with_holm(count: int) -> None:
    results = study(datasets(count), seed=count)
    _, pairs = rank_methods(results)
    table = expected_table(results)
    if count < 6:
        assert pairs[["p_wilcoxon", "p_holm"]].isna().all(axis=None)
        return
    p = [stats.wilcoxon(table[a] - table[b]).pvalue for a, b in combinations(METHODS, 2)]
    assert pairs["p_wilcoxon"].to_list() == pytest.approx(p)
    assert pairs["p_holm"].to_list() == pytest.approx(list(multipletests(p, method="holm")[1]))


def test_below_five_datasets_nothing_is_said() -> None:
    ranks, pairs = rank_methods(study(datasets(4)))
    assert ranks.empty and pairs.empty
    assert list(ranks.columns) == RANK_COLUMNS and list(pairs.columns) == RANK_PAIR_COLUMNS


def test_each_section_is_ranked_by_itself() -> None:
    results = study(datasets(6))
    section = results.about["sections"][0]
    cells = section["combinations"]
    sections = [
        section | {"name": "few", "combinations": [cell for cell in cells if cell[0] <= "data-3"]},
        section | {"name": "two", "combinations": [cell for cell in cells if cell[2] != "average"]},
        section | {"name": "one", "combinations": [cell for cell in cells if cell[2] == "average"]},
        section | {"name": "five", "combinations": [cell for cell in cells if cell[0] != "data-5"]},
    ]
    ranks, pairs = rank_methods(replace(results, about=results.about | {"sections": sections}))
    assert list(dict.fromkeys(ranks["section"])) == list(dict.fromkeys(pairs["section"])) == ["two", "five"]
    two = ranks[ranks["section"] == "two"]
    assert set(two["method"]) == {"independent", "guidebp"}
    assert two["rank"].sum() == pytest.approx(3)
    assert set(ranks[ranks["section"] == "five"]["datasets"]) == {5}


def test_a_method_that_a_dataset_lacks_is_not_ranked() -> None:
    results = study(datasets(6), lacking=[("data-2", "columns", "average")])
    ranks, pairs = rank_methods(results)
    assert set(ranks["method"]) == {"independent", "guidebp"}
    assert len(pairs) == 1
    assert ranks["rank"].sum() == pytest.approx(3), "ranks of two methods, not two of three"


def test_a_method_that_a_network_lacks_is_not_ranked_and_networks_are_averaged() -> None:
    places = [(dataset, network) for dataset, _ in datasets(5) for network in ("columns", "rows")]
    results = study(places)
    merged = results.metrics[results.metrics["output"] == MERGED]
    ranks, _ = rank_methods(results)
    means = merged.groupby("method")["accuracy"].mean()
    assert ranks["accuracy"].to_list() == pytest.approx(means[ranks["method"]].to_list())
    assert set(ranks["datasets"]) == {5}, "a dataset is one block, however many networks"
    ranks, _ = rank_methods(study(places, lacking=[("data-1", "rows", "guidebp")]))
    assert set(ranks["method"]) == {"average", "independent"}


def test_a_run_that_diverged_counts_as_chance() -> None:
    failed = study(datasets(5), failed=("data-1", "columns", "guidebp", 2))
    table = expected_table(failed)  # the mean of the two runs that finished
    column = table["guidebp"]
    table["guidebp"] = column.where(column.index != "data-1", (2 * column + 10) / 3)
    ranks = rank_methods(failed)[0].set_index("method")
    assert ranks.loc[METHODS, "accuracy"].to_list() == pytest.approx(table.mean().to_list())
    assert ranks.loc[METHODS, "rank"].to_list() == pytest.approx(
        table.rank(axis=1, ascending=False).mean().to_list()
    )


def test_means_that_are_equal_but_for_rounding_are_ties() -> None:
    """The same three accuracies in another order: their mean differs in its last bit."""
    results = study(datasets(6))
    metrics = results.metrics
    accuracies = [100 * right / 359 for right in (331, 317, 344)]
    orders = {"average": [0, 1, 2], "independent": [2, 1, 0], "guidebp": [1, 2, 0]}
    for method, order in orders.items():
        here = metrics["method"] == method
        metrics.loc[here, "accuracy"] = metrics.loc[here, "seed"].map(lambda r, o=order: accuracies[o[r]])
    assert len(set(expected_table(results).to_numpy().ravel())) > 1
    ranks, pairs = rank_methods(results)
    assert ranks["rank"].to_list() == [2, 2, 2]
    assert ranks["method"].to_list() == METHODS, "equal ranks in the study's order"
    assert pairs["p_wilcoxon"].to_list() == [1, 1, 1]
