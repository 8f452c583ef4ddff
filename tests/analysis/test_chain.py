"""Simulated studies through the whole chain: what `judge` says of runs whose true difference is known.

Each made-up dataset is a study of its own: the outcome of its cell is that of a claim on it alone.
"""

import math
import os
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from guidebp.analysis import statistics
from guidebp.analysis.claims import judge_claims
from guidebp.analysis.results import Results

FULL = bool(os.environ.get("GUIDEBP_FULL"))
STUDIES, D = (4000 if FULL else 1500), 0.2  # D: the smallest effect of interest
SIZES = (5, 10, 20) if FULL else (5, 20)
ORDER = {"fails": 0, "open": 1, "holds": 2}
Claim = dict[str, Any]
pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True, scope="module")
def without_p() -> Iterator[None]:
    """They take most of the time, and no verdict looks at them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statistics, "compute_signed_rank_p", lambda values: math.nan)
        patch.setattr(statistics, "compute_p_value", lambda mean, error, n: math.nan)
        yield


def simulated(
    studies: int,
    n: int,
    difference: float,
    methods: str = "ab",
    outputs: int = 1,
    lost: tuple[int, ...] = (),
) -> Results:
    """Studies of n seeds on 1,000 and 10,000 test images; method `a` is better by the difference.

    `lost`: seeds of which a's run diverged.
    """
    random = np.random.default_rng((n, outputs, int(1000 * (difference + 9))))
    shape = (studies, len(methods), n, outputs)
    images = np.where(np.arange(studies) % 2, 1000.0, 10000.0)[:, None, None, None]
    right = 80 + random.normal(0, 0.3, (studies, 1, n, 1)) + random.normal(0, 0.3, shape)
    right[:, 0] += difference
    accuracy = np.round(right * images / 100) / images * 100
    study, method, seed, output = (place.ravel() for place in np.indices(shape))
    failed = (method == 0) & np.isin(seed, lost)
    metrics = pd.DataFrame(
        {
            "dataset": [f"d{number}" for number in study],
            "architecture": "net",
            "method": np.array(list(methods))[method],
            "recipe": "any",
            "seed": 100 + seed,
            "key": np.arange(study.size) // outputs,
            "device_class": "cpu",
            "status": np.where(failed, "diverged", "finished"),
            "output": np.array([f"exit {number}" for number in range(outputs)])[output],
            "pathway": output + 1.0,
            "primary": output == 0,
            "trained": True,
            "accuracy": np.where(failed, np.nan, accuracy.ravel()),
            "train_images": 50000.0,
            "test_images": np.broadcast_to(images, shape).ravel(),
        }
    )
    names = [f"d{number}" for number in range(studies)]
    about = {
        "datasets": {name: {"classes": 10, "split": {"test": "official"}} for name in names},
        "claims": {},
    }
    empty = pd.DataFrame()
    return Results(about, metrics, empty, empty, empty, empty, empty)


def claim(results: Results, candidate: str, baselines: str, metric: str, rule: str) -> Claim:
    """A claim with a comparison per letter of `baselines`, on all studies."""
    text = dict.fromkeys(("paper", "statement", "source", "published", "differs"), "-")
    setting = {
        "datasets": [*results.about["datasets"]],
        "architectures": ["net"],
        "recipes": [],
        "substitutes": {},
    }
    return {
        **text,
        "metric": metric,
        "rule": rule,
        "margin": D,
        **{name: [] for name in ("readings", "context_methods", "plan")},
        "comparisons": [
            {"candidate": {"method": candidate, "metric": None}, "baseline": {"method": name, "metric": None}}
            for name in baselines
        ],
        "settings": {"published": setting},
    }


def judged(results: Results, one: Claim) -> tuple[NDArray[np.str_], pd.DataFrame]:
    """Every study's outcome, and the differences behind them."""
    results.about["claims"] = {"one": one}
    (found,), parts = judge_claims(results)
    return np.array([cell["outcome"] for cell in found["settings"]["published"]["cells"]]), parts


@cache
def single(n: int, difference: float, lost: tuple[int, ...] = ()) -> tuple[NDArray[np.str_], pd.DataFrame]:
    """Studies of one output: is `a` better than `b`?"""
    results = simulated(STUDIES, n, difference, lost=lost)
    return judged(results, claim(results, "a", "b", "primary", "superiority"))


def share(outcomes: NDArray[np.str_], wanted: str) -> float:
    return float(np.mean(outcomes == wanted))


@pytest.mark.parametrize("difference", [0.0, D])
@pytest.mark.parametrize("n", SIZES)
def test_the_interval_covers_the_true_difference(n: int, difference: float) -> None:
    outcomes, parts = single(n, difference)
    assert len(outcomes) == len(parts) == STUDIES and set(parts["n"]) == {n}
    assert 0.93 < np.mean((parts["low"] <= difference) & (difference <= parts["high"])) < 0.97


@pytest.mark.parametrize("n", SIZES)
def test_superiority_is_seldom_found_where_there_is_none(n: int) -> None:
    outcomes, _ = single(n, 0.0)
    assert share(outcomes, "holds") < 0.05
    if n == 20:
        assert share(outcomes, "fails") > 0.3, "and no difference is often shown to be none that matters"


@pytest.mark.parametrize("n", SIZES)
def test_what_is_just_large_enough_is_seldom_contradicted(n: int) -> None:
    outcomes, _ = single(n, D)
    assert 0.01 < share(outcomes, "fails") < 0.05


@pytest.mark.parametrize("n", SIZES)
def test_what_is_just_too_bad_is_seldom_called_as_good(n: int) -> None:
    results = simulated(STUDIES, n, D)
    outcomes, _ = judged(results, claim(results, "b", "a", "primary", "non-inferiority"))
    assert 0.01 < share(outcomes, "holds") < 0.05
    assert 0.01 < share(outcomes, "fails") < 0.05


@pytest.mark.parametrize("n", SIZES)
def test_six_parts_contradict_as_seldom_as_one(n: int) -> None:
    results = simulated(STUDIES, n, D, methods="abc", outputs=3)
    outcomes, parts = judged(results, claim(results, "a", "bc", "every pathway", "superiority"))
    assert len(parts) == 6 * STUDIES
    assert 0.005 < share(outcomes, "fails") < 0.05
    below = (parts["high"] < D).groupby(parts["dataset"], sort=False).any()
    assert below.mean() > 0.05, "without Holm it would be more"


@pytest.mark.parametrize("n", SIZES)
def test_large_effects_are_found(n: int) -> None:
    results = simulated(500, n, 1.5, methods="abc", outputs=3)
    every = judged(results, claim(results, "a", "bc", "every pathway", "superiority"))[0]
    assert share(every, "holds") > 0.8
    against = judged(results, claim(results, "b", "a", "primary", "superiority"))[0]
    assert share(against, "fails") > 0.9
    assert share(judged(results, claim(results, "a", "b", "primary", "non-inferiority"))[0], "holds") > 0.9
    assert share(judged(results, claim(results, "b", "a", "primary", "non-inferiority"))[0], "fails") > 0.8


@pytest.mark.parametrize("rule", ["superiority", "non-inferiority"])
@pytest.mark.parametrize("difference", [-0.5, 0.0, 1.0])
@pytest.mark.parametrize("lost", [(0,), (1, 3)])
def test_a_diverged_run_never_betters_the_verdict(
    lost: tuple[int, ...], difference: float, rule: str
) -> None:
    plain, broken = (simulated(300, 5, difference, lost=some) for some in ((), lost))
    asked = claim(plain, "a", "b", "primary", rule)
    (before, behind), (after, parts) = judged(plain, asked), judged(broken, asked)
    kept = [number for number in range(5) if number not in lost]
    accuracy = plain.metrics["accuracy"].to_numpy().reshape(300, 2, 5)[:, :, kept]
    assert np.allclose(parts["difference_finished"], (accuracy[:, 0] - accuracy[:, 1]).mean(axis=1))
    assert set(parts["n_finished"]) == {5 - len(lost)} and set(parts["failed"]) == {len(lost)}
    assert set(parts["n"]) == {5} and (parts["difference"] < behind["difference"]).all()
    # of the verdict without the lost pairs, which are fewer: some of what five show is open for them
    gone = plain.metrics["seed"].isin([100 + number for number in lost])
    without, _ = judged(replace(plain, metrics=plain.metrics[~gone]), asked)
    order = np.vectorize(ORDER.get)
    assert (order(after) <= order(without)).all()
    assert "holds" not in after, "chance is far below any margin"
    if difference < 0:
        assert share(before, "fails") > 0.1 and share(without, "fails") > 0.02
        assert ((without == "fails") <= (after == "fails")).all()
