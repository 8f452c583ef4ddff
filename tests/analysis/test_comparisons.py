import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from guidebp.analysis.comparisons import compare
from guidebp.analysis.paired import holm, mean_interval
from guidebp.analysis.tables import MERGED, PATHWAYS, WEAKEST, run_measures
from tests.analysis.results import made_up


@given(st.lists(st.floats(-50, 50), min_size=2, max_size=20).filter(lambda d: np.std(d) > 1e-3))
def test_without_overlap_it_is_scipys_paired_t_test(differences: list[float]) -> None:
    values = np.array(differences)
    found = mean_interval(values)
    expected = stats.ttest_1samp(values, 0.0)
    interval = expected.confidence_interval(0.95)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-9, abs=1e-300)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-9, abs=1e-12)


def test_overlap_widens_by_the_nadeau_bengio_factor() -> None:
    # Nadeau and Bengio 2003: variance times (1/n + n_test/n_train); by hand for n = 4, ratio 1/4
    values = np.array([1.0, 2.0, 3.0, 4.0])
    found = mean_interval(values, overlap=0.25)
    error = math.sqrt((1 / 4 + 1 / 4) * 5 / 3)
    assert found.high - found.difference == pytest.approx(3.182446305284263 * error)
    assert found.p == pytest.approx(2 * stats.t.sf(2.5 / error, 3))


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_pairs_give_no_interval_and_no_p(n: int) -> None:
    found = mean_interval(np.full(n, 3.0))
    assert found.n == n
    assert all(math.isnan(value) for value in (found.low, found.high, found.p))


def test_equal_differences_are_not_a_division_by_zero() -> None:
    assert mean_interval(np.zeros(4)).p == 1.0
    assert math.isnan(mean_interval(np.ones(4)).p), "equal steps of accuracy prove nothing"


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_statsmodels_and_ignores_what_is_unknown(values: list[float]) -> None:
    series = pd.Series([*values, math.nan])
    corrected = holm(series)
    assert corrected[:-1].to_list() == pytest.approx(list(multipletests(values, method="holm")[1]))
    assert math.isnan(corrected.iloc[-1])


def test_comparison_pairs_equal_repetitions() -> None:
    results = made_up()
    table = compare(results)
    row = table[
        (table["method"] == "guidebp") & (table["reference"] == "average") & (table["measure"] == MERGED)
    ].iloc[0]
    runs = run_measures(results.metrics).set_index(["method", "repetition"])[MERGED]
    differences = (runs["guidebp"] - runs["average"]).to_numpy(float)
    assert row["n"] == 5
    assert row["difference"] == pytest.approx(differences.mean())
    number = int(str(row.name))
    plain = compare(made_up(test="official"))
    plain_row = plain.iloc[number]
    widened = math.sqrt((1 / 5 + 200 / 800) / (1 / 5))
    assert (row["high"] - row["low"]) == pytest.approx(widened * (plain_row["high"] - plain_row["low"]))
    shuffled = made_up()
    shuffled.metrics["repetition"] = (
        shuffled.metrics["repetition"]
        .map({0: 0, 1: 1, 2: 2, 3: 3, 4: 9})
        .where(shuffled.metrics["method"] == "guidebp", shuffled.metrics["repetition"])
    )
    assert compare(shuffled)["n"].to_list()[number] == 4, "a repetition without its partner is no pair"


def test_other_device_classes_are_not_paired() -> None:
    results = made_up()
    results.metrics.loc[results.metrics["method"] == "guidebp", "device_class"] = "cuda H200"
    table = compare(results)
    assert set(table[table["method"] == "guidebp"]["n"]) == {0}


def test_a_diverged_run_counts_as_chance() -> None:
    table = compare(made_up(failed=("guidebp", 2)))
    row = table[(table["method"] == "guidebp") & (table["measure"] == PATHWAYS)].iloc[0]
    assert row["failed"] == 1
    assert row["n"] == 5
    assert row["difference"] < -10


def test_measures_of_a_run() -> None:
    results = made_up(repetitions=1)
    runs = run_measures(results.metrics).set_index("method")
    rows = results.metrics[results.metrics["method"] == "guidebp"].set_index("output")["accuracy"]
    assert runs.loc["guidebp", MERGED] == rows["merged"]
    assert runs.loc["guidebp", PATHWAYS] == pytest.approx((rows["kernel 3"] + rows["kernel 5"]) / 2)
    assert runs.loc["guidebp", WEAKEST] == min(rows["kernel 3"], rows["kernel 5"])


def test_a_crashed_run_counts_as_chance_although_it_has_no_outputs() -> None:
    results = made_up()
    metrics = results.metrics
    lost = (metrics["method"] == "guidebp") & (metrics["repetition"] == 2)
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
    table = compare(crashed)
    found = table[(table["method"] == "guidebp") & (table["measure"] == MERGED)].iloc[0]
    assert (found["n"], found["failed"]) == (5, 1)
    assert found["difference"] < -10
