"""Statistics of paired values against other packages, published examples and simulated studies."""

import math
from collections.abc import Iterable
from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower
from statsmodels.stats.weightstats import DescrStatsW

from guidebp.analysis import statistics
from guidebp.analysis.statistics import compute_interval, compute_signed_rank_p, correct_by_holm

Array = NDArray[np.float64]
NAN = math.nan

VALUES = (
    st.lists(st.floats(-50, 50), min_size=2, max_size=20).map(np.array).filter(lambda d: np.std(d) > 1e-3)
)


@given(VALUES)
def test_the_interval_is_scipys_and_statsmodels(values: Array) -> None:
    found = compute_interval(values)
    scipys = stats.ttest_1samp(values, 0.0)
    assert (found.low, found.high) == pytest.approx(scipys.confidence_interval(0.95), rel=1e-9, abs=1e-12)
    described = DescrStatsW(values)
    assert (found.low, found.high) == pytest.approx(described.tconfint_mean(0.05), rel=1e-9, abs=1e-12)
    assert found.p == pytest.approx(described.ttest_mean(0.0)[1], rel=1e-6, abs=1e-300)
    assert found.error == pytest.approx(described.std_mean, rel=1e-9)
    assert found.sd == pytest.approx(math.sqrt(described.var_ddof(1)), rel=1e-9)
    assert found.effect == pytest.approx(described.mean / found.sd, rel=1e-9, abs=1e-12)
    assert found.n == len(values)


@given(VALUES, st.floats(0, 2))
def test_significance_is_zero_outside_the_interval(values: Array, overlap: float) -> None:
    found = compute_interval(values, overlap)
    assume(min(abs(found.low), abs(found.high)) > 1e-9)
    assert (found.p < 0.05) == (found.low > 0 or found.high < 0)


@given(VALUES, st.floats(0, 1), st.floats(-20, 20), st.floats(0.1, 10))
def test_the_interval_moves_scales_and_turns_with_the_values(
    values: Array, overlap: float, shift: float, scale: float
) -> None:
    plain = compute_interval(values, overlap)
    near = pytest.approx
    moved = compute_interval(values + shift, overlap)
    expected = (plain.low + shift, plain.high + shift, plain.sd, plain.detectable)
    assert (moved.low, moved.high, moved.sd, moved.detectable) == near(expected, rel=1e-6, abs=1e-9)
    scaled = compute_interval(values * scale, overlap)
    expected = (plain.low * scale, plain.high * scale, plain.sd * scale, plain.detectable * scale)
    assert (scaled.low, scaled.high, scaled.sd, scaled.detectable) == near(expected, rel=1e-6, abs=1e-9)
    assert (scaled.p, scaled.effect) == near((plain.p, plain.effect), rel=1e-6, abs=1e-9)
    turned = compute_interval(-values, overlap)
    assert (turned.low, turned.high, turned.effect) == near((-plain.high, -plain.low, -plain.effect))
    assert turned.p == near(plain.p)
    assert turned.wilcoxon == near(plain.wilcoxon, nan_ok=True)


def test_nadeau_bengio_by_hand() -> None:
    """Ten seeds, 100 test images, 400 training images.

    Values 1..10: mean 5.5, variance 82.5 / 9 = 9.1667. Variance of the mean: (1/10 + 100/400) * 9.1667
    = 0.35 * 9.1667 = 3.2083, standard error 1.7912, t = 5.5 / 1.7912 = 3.0706 with 9 degrees of freedom, whose
    97.5 % quantile is 2.2622 in every printed table: 5.5 -+ 4.0520.
    """
    found = compute_interval(np.arange(1.0, 11.0), overlap=100 / 400)
    assert found.error == pytest.approx(1.7912, abs=5e-5)
    assert (found.low, found.high) == pytest.approx((1.4480, 9.5520), abs=2e-4)
    assert found.p == pytest.approx(2 * stats.t.sf(3.0706, 9), rel=1e-3)
    assert found.sd == pytest.approx(math.sqrt(82.5 / 9)), "the factor is of the mean, not of the values"
    assert found.effect == pytest.approx(5.5 / math.sqrt(82.5 / 9))


@pytest.mark.parametrize("n", [2, 5, 10, 20])
@pytest.mark.parametrize("overlap", [0.0, 0.25])
def test_the_detectable_mean_is_found_with_a_power_of_four_fifths(n: int, overlap: float) -> None:
    values = np.random.default_rng(n).normal(size=n)
    found = compute_interval(values, overlap)
    # in units of the deviation that such a mean has in a study without overlap
    effect = found.detectable / (found.sd * math.sqrt(1 + n * overlap))
    assert effect == pytest.approx(TTestPower().solve_power(nobs=n, alpha=0.05, power=0.8), rel=1e-5)


@pytest.mark.parametrize("n", [5, 10, 20])
@pytest.mark.parametrize("overlap", [0.0, 0.25])
def test_studies_of_the_detectable_mean_find_it_four_times_in_five(
    n: int, overlap: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values of deviation 1 within a study; an overlap is a share of chance that all values of a study have."""
    monkeypatch.setattr(statistics, "compute_signed_rank_p", lambda values: NAN)  # slow, and no part of it
    random = np.random.default_rng(11)
    standard = stats.zscore(random.normal(size=n), ddof=1)
    mean = compute_interval(standard, overlap).detectable
    studies = mean + random.normal(size=(4000, n)) + math.sqrt(overlap) * random.normal(size=(4000, 1))
    share = np.mean([compute_interval(study, overlap).p < 0.05 for study in studies])
    assert share == pytest.approx(0.8, abs=0.03)


@given(VALUES, st.floats(0.01, 100))
def test_a_deviation_below_the_step_is_raised_to_what_rounding_hides(values: Array, step: float) -> None:
    floor = step / math.sqrt(12)
    own = float(np.std(values, ddof=1))
    assume(abs(own - floor) > 1e-9)
    found, plain = compute_interval(values, step=step), compute_interval(values)
    if own > floor:
        assert found == pytest.approx(plain, nan_ok=True)
    else:
        assert found.sd == pytest.approx(floor)
        half = stats.t.ppf(0.975, len(values) - 1) * floor / math.sqrt(len(values))
        assert (found.low, found.high) == pytest.approx((plain.difference - half, plain.difference + half))
        assert found.p >= plain.p and found.detectable > plain.detectable
        assert abs(found.effect) <= abs(plain.effect)


def test_equal_values_on_a_grid_are_not_certainty() -> None:
    found = compute_interval(np.full(5, 0.25), step=0.25)
    assert found.low < 0.25 < found.high
    assert 0 < found.p < 1
    assert compute_interval(np.zeros(5), step=0.25).p == 1.0


def exact_signed_rank(ranks: Iterable[float], low: float) -> float:
    """Two-sided p: the share of all 2^n ways to give signs to these ranks with a smaller sum of at most `low`."""
    given_ranks = np.array(list(ranks))
    signs = np.array(list(product((0, 1), repeat=len(given_ranks))))
    plus = signs @ given_ranks
    return float(np.mean(np.minimum(plus, given_ranks.sum() - plus) <= low + 1e-9))


# Fisher's treatment of Darwin's maize, in scipy's documentation of `wilcoxon`: T = 24, p = 0.0413
MAIZE = np.array([6, 8, 14, 16, 23, 24, 28, 29, 41, -48, 49, 56, 60, -67, 75], dtype=float)


def test_wilcoxons_example_without_ties() -> None:
    assert compute_signed_rank_p(MAIZE) == pytest.approx(0.041259765625)
    ranks = range(1, 16)
    assert compute_signed_rank_p(MAIZE) == pytest.approx(exact_signed_rank(ranks, 24))


def test_wilcoxon_with_ties() -> None:
    """Sawyer, Washington University, Math 408: 11 pairs, midranks as printed there, T- = 5.5 and T+ = 60.5."""
    values = np.array([11, 4, 3, -2, 13, 2, 7, 4, 3, -3, 12], dtype=float)
    midranks = [9, 6.5, 4, 1.5, 11, 1.5, 8, 6.5, 4, 4, 10]
    assert sum(r for r, v in zip(midranks, values, strict=True) if v < 0) == 5.5
    assert compute_signed_rank_p(values) == pytest.approx(exact_signed_rank(midranks, 5.5))


def test_wilcoxon_with_ties_and_a_zero() -> None:
    """Wikipedia's example of ten pairs, the zero's rank of 1 split between both sides as Demsar 2006 has it.

    Differences 15 -7 5 20 0 -9 17 -12 5 -10 have the ranks 8 4 2.5 10 1 5 9 7 2.5 6: R+ 32.5, R- 22.5.
    """
    first = np.array([125, 115, 130, 140, 140, 115, 140, 125, 140, 135], dtype=float)
    second = np.array([110, 122, 125, 120, 140, 124, 123, 137, 135, 145], dtype=float)
    ranks = [8, 4, 2.5, 10, 5, 9, 7, 2.5, 6]  # the zero adds 0.5 to each side whatever the signs
    assert compute_signed_rank_p(first - second) == pytest.approx(exact_signed_rank(ranks, 22.5 - 0.5))


# scipy goes through all signs up to 13 values, which takes seconds, and is approximate from there
@pytest.mark.parametrize(("n", "close"), [(7, 1e-9), (9, 1e-9), (20, 0.02), (60, 0.01)])
def test_wilcoxon_is_scipys_also_where_accuracies_are_only_almost_equal(n: int, close: float) -> None:
    """Differences of equal counts of images differ in their last bits: they are ties all the same."""
    random = np.random.default_rng(n)
    unequal = 0
    for spread in (1, 3, 9):
        counts = random.integers(-spread, spread + 2, n)
        right = random.integers(100, 300, n)
        accuracies = 100 * (right + counts) / 359 - 100 * right / 359
        expected = stats.wilcoxon(counts.astype(float), zero_method="zsplit").pvalue
        assert compute_signed_rank_p(accuracies) == pytest.approx(expected, abs=close)
        unequal += len(set(np.abs(accuracies))) - len(set(np.abs(counts)))
    assert unequal > 0, "almost equal, not equal"


def test_wilcoxon_says_nothing_below_six_values() -> None:
    for n in range(6):
        assert math.isnan(compute_signed_rank_p(np.arange(1.0, n + 1)))
    # six of six on one side: 2 / 2^6
    assert compute_signed_rank_p(np.arange(1.0, 7.0)) == pytest.approx(2 / 64)
    assert compute_signed_rank_p(np.zeros(6)) == 1.0
    assert math.isnan(compute_signed_rank_p(np.zeros(5)))


def test_holms_worked_example() -> None:
    """Wikipedia, Holm-Bonferroni method: H1 and H4 are rejected at 0.05, H2 and H3 are not."""
    p = pd.Series([0.01, 0.04, 0.03, 0.005], index=["H1", "H2", "H3", "H4"])
    found = correct_by_holm(p)
    assert set(found.index[found <= 0.05]) == {"H1", "H4"}
    # 4 * 0.005; 3 * 0.01; 2 * 0.03; 0.04 is not below the one before
    assert found.to_dict() == pytest.approx({"H4": 0.02, "H1": 0.03, "H3": 0.06, "H2": 0.06})


def test_holm_as_published_by_derrac() -> None:
    """Derrac, Garcia, Molina and Herrera 2011, Swarm and Evolutionary Computation 1, table 16."""
    p = [0.000006, 0.000332, 0.009823, 0.014171, 0.083642, 0.141093, 0.518605, 0.660706]
    printed = [0.000050, 0.002324, 0.058940, 0.070857, 0.334569, 0.423278, 1.0, 1.0]
    assert correct_by_holm(pd.Series(p)).to_list() == pytest.approx(printed, abs=8 * 5e-7)


@pytest.mark.parametrize("n", [0, 1, 2, 7])
def test_holm_is_statsmodels_over_what_is_known(n: int) -> None:
    random = np.random.default_rng(n)
    for unknown in range(n + 1):
        values = pd.Series(random.uniform(0, 0.3, n))
        values.iloc[random.permutation(n)[:unknown]] = NAN
        found = correct_by_holm(values)
        assert found.isna().tolist() == values.isna().tolist()
        if unknown < n:
            expected = multipletests(values.dropna().to_numpy(), method="holm")[1]
            assert found.dropna().to_list() == pytest.approx(list(expected))


IMAGES = {359: (0.05, 0.1, 0.25, 0.5, 1.5), 10000: (0.05, 0.2, 0.5, 1.5)}


@pytest.mark.parametrize("n", [5, 10, 20])
@pytest.mark.parametrize(("images", "sd"), [(images, sd) for images, sds in IMAGES.items() for sd in sds])
def test_intervals_cover_the_mean_in_95_of_100_studies(
    images: int, sd: float, n: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Normal differences on the grid of the test set; 4,000 studies, each with a true mean of its own.

    The mean that is to be covered is the expected accuracy on this test set, that is of the values on the grid.
    A deviation well above what the grid hides leaves no room for an interval that is too wide.
    """
    monkeypatch.setattr(statistics, "compute_signed_rank_p", lambda values: NAN)  # slow, and no part of it
    monkeypatch.setattr(statistics, "compute_p_value", lambda *of: NAN)
    random = np.random.default_rng([images, n, round(100 * sd)])
    step = 100 / images
    means = random.uniform(-3, 3, size=(4000, 1))
    studies = np.round((means + sd * random.standard_normal((4000, n))) / step) * step
    found = [compute_interval(study, step=step) for study in studies]
    covered = np.mean(
        [i.low <= mean <= i.high for i, mean in zip(found, on_grid(means, sd, step), strict=True)]
    )
    assert covered >= 0.93
    if sd > 2 * step / math.sqrt(12):
        assert covered <= 0.97


def on_grid(means: Array, sd: float, step: float) -> Array:
    """Expectation of normal values rounded to multiples of a step."""
    nearest = np.round(means / step)
    points = (nearest + np.arange(-60, 61)) * step if sd < 9 * step else None
    if points is None:  # rounding is fair there
        return means[:, 0]
    shares = np.diff(stats.norm.cdf((np.hstack([points, points[:, -1:] + step]) - step / 2 - means) / sd))
    return np.asarray((shares * points).sum(axis=1) / shares.sum(axis=1))


@pytest.mark.parametrize("n", [5, 10, 20])
def test_with_overlap_intervals_cover_the_mean_where_plain_ones_do_not(
    n: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nadeau and Bengio's model: the seeds of a study correlate by n_test / (n_test + n_train)."""
    monkeypatch.setattr(statistics, "compute_signed_rank_p", lambda values: NAN)
    monkeypatch.setattr(statistics, "compute_p_value", lambda *of: NAN)
    random, overlap = np.random.default_rng(n), 0.25
    shared = overlap / (1 + overlap)
    studies = math.sqrt(1 - shared) * random.standard_normal((4000, n))
    studies += math.sqrt(shared) * random.standard_normal((4000, 1))

    def coverage(factor: float) -> float:
        found = [compute_interval(study, factor) for study in studies]
        return float(np.mean([interval.low <= 0 <= interval.high for interval in found]))

    assert 0.93 <= coverage(overlap) <= 0.97
    plain = 2 * stats.t.cdf(stats.t.ppf(0.975, n - 1) / math.sqrt(1 + n * overlap), n - 1) - 1
    assert coverage(0.0) == pytest.approx(plain, abs=0.02), "87, 76 and 62 in 100"
