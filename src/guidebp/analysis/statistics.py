"""The statistics of paired values on one architecture: interval, t test, Wilcoxon, effect size, power, Holm.

Where seeds redraw the split, their training sets overlap and plain intervals are too short: the variance
then carries the factor 1/n + n_test/n_train instead of 1/n (Nadeau and Bengio 2003, corrected resampled t
test). Accuracies move in steps of one test image: a deviation smaller than such a step can show is not believed.
"""

import math
from functools import cache
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special  # scipy.stats and statsmodels take seconds to import, in every process

LEVEL, POWER = 0.05, 0.8
WILCOXON_FROM = 6  # with fewer pairs its p cannot fall below 0.05
DECIMALS = 9  # of a percent: equal accuracies stay equal, whatever the order in which they were added


class Interval(NamedTuple):
    """The mean of n values; everything but n and the mean is NaN where one value alone is known.

    `sd`: standard deviation, at least what a step of the values can hide; `low`, `high`: 95 % t interval; `p`:
    two-sided t test against 0; `effect`: mean / sd (Cohen's d of paired values); `detectable`: the true mean that
    a test of this size finds with a power of 0.8; `wilcoxon`: p of the signed-rank test, NaN below 6 values.
    """

    n: int
    difference: float
    sd: float
    low: float
    high: float
    p: float
    effect: float
    detectable: float
    wilcoxon: float

    @property
    def error(self) -> float:
        """Standard error of the mean, as the interval has it."""
        return (self.high - self.low) / 2 / _compute_t_quantile(self.n)


def compute_interval(values: NDArray[np.float64], overlap: float = 0.0, step: float = 0.0) -> Interval:
    """The mean of values [n], such as paired differences, with its interval and tests.

    `overlap` is n_test / n_train where the seeds redraw the split, else 0; `step` is the grid of the
    values, 100 / n_test for accuracies in percent: rounding to it hides a deviation of step / sqrt(12).
    """
    n = len(values)
    unknown = math.nan
    mean = float(np.mean(values)) if n else unknown
    if n < 2:
        return Interval(n, mean, *[unknown] * 7)
    sd = max(float(np.std(values, ddof=1)), step / math.sqrt(12))
    error = sd * math.sqrt(1 / n + overlap)
    half = _compute_t_quantile(n) * error
    p = compute_p_value(mean, error, n)
    effect = mean / sd if sd > 0 else unknown
    detectable = _compute_detectable_effect(n) * error * math.sqrt(n)
    return Interval(
        n, mean, sd, mean - half, mean + half, p, effect, detectable, compute_signed_rank_p(values)
    )


def compute_p_value(mean: float, error: float, n: int) -> float:
    """Two-sided t test of a mean of n values against 0; NaN where equal values leave no error."""
    if error <= 0:
        return 1.0 if mean == 0 else math.nan
    return float(2 * special.stdtr(n - 1, -abs(mean) / error))


@cache
def _compute_t_quantile(n: int) -> float:
    """Half a 95 % interval of the mean of n values, in standard errors."""
    return float(special.stdtrit(n - 1, 1 - LEVEL / 2))


@cache
def _compute_detectable_effect(n: int) -> float:
    """Mean / sd that a two-sided t test of n values finds with a power of 0.8.

    The test statistic then has a non-central t distribution; its far tail is below 1e-6 of the power.
    """
    return float(special.nctdtrinc(n - 1, 1 - POWER, _compute_t_quantile(n))) / math.sqrt(n)


def compute_signed_rank_p(values: NDArray[np.float64]) -> float:
    """Wilcoxon's exact p, zeros split between both sides (Demsar 2006); NaN below 6 values.

    Counts the sums of ranks that all choices of signs give; scipy, where there are ties, goes through the choices
    one by one, and leaves the exact test from 14 values on.
    """
    if len(values) < WILCOXON_FROM:
        return math.nan
    values = np.round(values, DECIMALS)
    ranks = np.rint(2 * pd.Series(np.abs(values)).rank().to_numpy()).astype(
        int
    )  # twice: ties share half ranks
    chance = np.zeros(int(ranks.sum()) + 1)
    chance[0] = 1.0
    for rank in ranks[values != 0]:
        chance[rank:] += chance[:-rank].copy()
        chance /= 2
    positive = int(ranks[values > 0].sum())
    return float(min(1.0, 2 * min(chance[: positive + 1].sum(), chance[positive:].sum())))


def correct_by_holm(p: "pd.Series[float]") -> "pd.Series[float]":
    """Holm's step-down correction; NaN stays NaN and is not counted.

    statsmodels' multipletests collects garbage at every call, which would be half of an analysis.
    """
    ordered = p.dropna().sort_values(kind="stable")
    stepped = (ordered * np.arange(len(ordered), 0, -1)).cummax().clip(upper=1.0)
    return stepped.reindex(p.index)
