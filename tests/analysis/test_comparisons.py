import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from guidebp.analysis.comparisons import compare_methods
from guidebp.analysis.results import MEASURES, MERGED, PATHWAYS, WEAKEST, measure_runs
from guidebp.analysis.statistics import compute_interval
from tests.support.made_up_results import made_up


@given(st.lists(st.floats(-50, 50), min_size=2, max_size=20).filter(lambda d: np.std(d) > 1e-3))
def test_without_overlap_it_is_scipys_paired_t_test(differences: list[float]) -> None:
    values = np.array(differences)
    found = compute_interval(values)
    expected = stats.ttest_1samp(values, 0.0)
    interval = expected.confidence_interval(0.95)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-9, abs=1e-300)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-9, abs=1e-12)


def test_overlap_widens_by_the_nadeau_bengio_factor() -> None:
    # Nadeau and Bengio 2003: variance times (1/n + n_test/n_train); by hand for n = 4, ratio 1/4
    values = np.array([1.0, 2.0, 3.0, 4.0])
    found = compute_interval(values, overlap=0.25)
    error = math.sqrt((1 / 4 + 1 / 4) * 5 / 3)
    assert found.high - found.difference == pytest.approx(3.182446305284263 * error)
    assert found.p == pytest.approx(2 * stats.t.sf(2.5 / error, 3))


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_pairs_give_no_interval_and_no_p(n: int) -> None:
    found = compute_interval(np.full(n, 3.0))
    assert found.n == n
    assert all(math.isnan(value) for value in (found.low, found.high, found.p))


def test_equal_differences_are_not_a_division_by_zero() -> None:
    assert compute_interval(np.zeros(4)).p == 1.0
    assert math.isnan(compute_interval(np.ones(4)).p), "equal steps of accuracy prove nothing"


def test_comparison_pairs_equal_seeds() -> None:
    results = made_up()
    table = compare_methods(results)
    row = table[
        (table["method"] == "guidebp") & (table["baseline"] == "average") & (table["measure"] == MERGED)
    ].iloc[0]
    runs = measure_runs(results.metrics).set_index(["method", "seed"])[MERGED]
    differences = (runs["guidebp"] - runs["average"]).to_numpy(float)
    assert row["n"] == 5
    assert row["difference"] == pytest.approx(differences.mean())
    number = int(str(row.name))
    plain = compare_methods(made_up(test="official"))
    plain_row = plain.iloc[number]
    widened = math.sqrt((1 / 5 + 200 / 800) / (1 / 5))
    assert (row["high"] - row["low"]) == pytest.approx(widened * (plain_row["high"] - plain_row["low"]))
    shuffled = made_up()
    shuffled.metrics["seed"] = (
        shuffled.metrics["seed"]
        .map({0: 0, 1: 1, 2: 2, 3: 3, 4: 9})
        .where(shuffled.metrics["method"] == "guidebp", shuffled.metrics["seed"])
    )
    assert compare_methods(shuffled)["n"].to_list()[number] == 4, "a seed without its partner is no pair"


def test_other_device_classes_are_not_paired() -> None:
    results = made_up()
    results.metrics.loc[results.metrics["method"] == "guidebp", "device_class"] = "cuda H200"
    table = compare_methods(results)
    assert set(table[table["method"] == "guidebp"]["n"]) == {0}


def test_a_diverged_run_counts_as_chance() -> None:
    table = compare_methods(made_up(failed=("guidebp", 2)))
    row = table[(table["method"] == "guidebp") & (table["measure"] == PATHWAYS)].iloc[0]
    assert row["failed"] == 1
    assert row["n"] == 5
    assert row["difference"] < -10


def test_measures_of_a_run() -> None:
    results = made_up(seeds=1)
    runs = measure_runs(results.metrics).set_index("method")
    rows = results.metrics[results.metrics["method"] == "guidebp"].set_index("output")["accuracy"]
    assert runs.loc["guidebp", MERGED] == rows["merged"]
    assert runs.loc["guidebp", PATHWAYS] == pytest.approx((rows["kernel 3"] + rows["kernel 5"]) / 2)
    assert runs.loc["guidebp", WEAKEST] == min(rows["kernel 3"], rows["kernel 5"])


def test_a_crashed_run_counts_as_chance_although_it_has_no_outputs() -> None:
    results = made_up()
    metrics = results.metrics
    lost = (metrics["method"] == "guidebp") & (metrics["seed"] == 2)
    row = (
        metrics[lost]
        .iloc[:1]
        .assign(
            status="crashed",
            output=None,
            pathway=None,
            primary=None,
            accuracy=None,
            train_images=None,
            test_images=None,
        )
    )
    crashed = replace(results, metrics=pd.concat([metrics[~lost], row], ignore_index=True))
    table = compare_methods(crashed)
    found = table[(table["method"] == "guidebp") & (table["measure"] == MERGED)].iloc[0]
    assert (found["n"], found["failed"]) == (5, 1)
    assert found["difference"] < -10


def cell_of(table: pd.DataFrame, method: str, baseline: str, measure: str) -> "pd.Series[float]":
    chosen = (table["method"] == method) & (table["baseline"] == baseline) & (table["measure"] == measure)
    (row,) = (row for _, row in table[chosen].iterrows())
    return row


@pytest.mark.parametrize(("seed", "measure"), list(enumerate(MEASURES)))
def test_a_run_that_diverged_never_helps_its_method(seed: int, measure: str) -> None:
    """Neither the difference nor the bound that claims rest on; finished pairs are as without the run."""
    whole = cell_of(compare_methods(made_up()), "guidebp", "average", measure)
    results = made_up()
    measures = measure_runs(results.metrics).set_index(["method", "seed"])[measure]
    lost = results.metrics["key"] == f"guidebp-{seed}"
    results.metrics.loc[lost, "status"] = "diverged"
    results.metrics.loc[lost, ["accuracy", "calibration_error"]] = np.nan
    found = cell_of(compare_methods(results), "guidebp", "average", measure)
    assert found["difference"] <= whole["difference"]
    assert found["low"] <= whole["low"]
    assert (found["failed"], found["failed_baseline"]) == (1, 0)
    assert (found["n"], found["n_finished"]) == (5, 4)
    differences = (measures["guidebp"] - measures["average"]).drop(seed)
    assert found["difference_finished"] == pytest.approx(differences.mean())
    chance = 10 - measures["average"][seed]
    assert found["difference"] == pytest.approx((differences.sum() + chance) / 5)
    assert whole["n_finished"] == 5
    assert whole["difference_finished"] == pytest.approx(whole["difference"])


@pytest.mark.parametrize("status", ["diverged", "crashed"])
def test_failures_are_counted_in_the_arm_where_they_happen(status: str) -> None:
    results = made_up()
    lost = [("average", 0), ("average", 3), ("guidebp", 3), ("guidebp", 4), ("guidebp", 1)]
    metrics = results.metrics
    gone = metrics["key"].isin([f"{method}-{seed}" for method, seed in lost])
    metrics.loc[gone, "status"] = status
    metrics.loc[gone, "accuracy"] = np.nan
    table = compare_methods(results)
    measures = measure_runs(made_up().metrics).set_index(["method", "seed"])[MERGED]
    expected = {("guidebp", "average"): (3, 2, [2]), ("independent", "average"): (0, 2, [1, 2, 4])}
    expected |= {("average", "independent"): (2, 0, [1, 2, 4]), ("guidebp", "independent"): (3, 0, [0, 2])}
    for (method, baseline), (failed, failed_baseline, finished) in expected.items():
        found = cell_of(table, method, baseline, MERGED)
        assert (found["failed"], found["failed_baseline"]) == (failed, failed_baseline)
        assert (found["n"], found["n_finished"]) == (5, len(finished))
        differences = (measures[method] - measures[baseline])[finished]
        assert found["difference_finished"] == pytest.approx(differences.mean())


def test_where_both_arms_fail_together_there_is_no_difference() -> None:
    results = made_up()
    gone = results.metrics["seed"] == 1
    results.metrics.loc[gone, "status"] = "diverged"
    results.metrics.loc[gone, "accuracy"] = np.nan
    found = cell_of(compare_methods(results), "guidebp", "average", MERGED)
    assert found["difference"] == pytest.approx(found["difference_finished"] * 4 / 5)


def test_where_no_pair_finished_nothing_is_said_of_finished_pairs() -> None:
    results = made_up()
    gone = results.metrics["method"] == "guidebp"
    results.metrics.loc[gone, "status"] = "crashed"
    results.metrics.loc[gone, "accuracy"] = np.nan
    found = cell_of(compare_methods(results), "guidebp", "average", MERGED)
    assert (found["n"], found["n_finished"], found["failed"]) == (5, 0, 5)
    assert math.isnan(found["difference_finished"])


def test_a_run_that_is_missing_is_no_failure_and_no_pair() -> None:
    results = made_up()
    metrics = results.metrics
    measures = measure_runs(metrics).set_index(["method", "seed"])[MERGED]
    gone = metrics["key"].isin(["guidebp-1", "average-4"])
    metrics.loc[gone, "status"] = "missing"
    metrics.loc[gone, "accuracy"] = np.nan
    found = cell_of(compare_methods(results), "guidebp", "average", MERGED)
    assert (found["failed"], found["failed_baseline"], found["n"], found["n_finished"]) == (0, 0, 3, 3)
    differences = (measures["guidebp"] - measures["average"])[[0, 2, 3]]
    assert found["difference"] == pytest.approx(differences.mean())
