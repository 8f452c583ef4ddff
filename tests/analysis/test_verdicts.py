"""The rules at the head of config/claims.yaml: intervals to standings, standings to words."""

import math
from collections.abc import Iterator
from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from guidebp.analysis import statistics
from guidebp.analysis.statistics import Interval, mean_interval
from guidebp.analysis.verdicts import (
    NOT_ENOUGH,
    WORDS,
    Rule,
    Standing,
    of_cell,
    of_cells,
    of_failures,
    of_readings,
    weakest,
)

ORDER: dict[Standing, int] = {"fails": 0, "open": 1, "holds": 2}
RULES: tuple[Rule, ...] = ("superiority", "non-inferiority")
VALUES = st.lists(st.floats(-20, 20), min_size=2, max_size=12).filter(lambda d: np.std(d) > 1e-3)


@pytest.fixture(autouse=True, scope="module")
def no_signed_rank() -> Iterator[None]:
    """Slow with ties, and no part of a rule."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statistics, "signed_rank", lambda values: math.nan)
        yield


def around(mean: float, half: float, n: int = 5) -> Interval:
    """An interval of mean -+ half, of n values."""
    base = np.linspace(-1, 1, n)
    plain = mean_interval(base)
    return mean_interval(mean + base * half / (plain.high - plain.difference))


def one(found: Interval, rule: Rule, margin: float) -> Standing:
    return of_cell([found], rule, margin)


@pytest.mark.parametrize(
    ("rule", "margin", "mean", "half", "expected"),
    [
        ("superiority", 0.2, 0.5, 0.4, "holds"),
        ("superiority", 0.2, 0.5, 0.6, "open"),  # reaches 0
        ("superiority", 0.2, 0.15, 0.1, "open"),  # above 0, the estimate below the margin
        ("superiority", 0.2, 0.15, 0.02, "fails"),  # better, but less than what matters
        ("superiority", 0.2, -0.1, 0.2, "fails"),
        ("superiority", 0.2, -0.1, 0.4, "open"),
        ("superiority", 2.0, 1.5, 1.0, "open"),
        ("non-inferiority", 0.5, 0.0, 0.4, "holds"),
        ("non-inferiority", 0.5, -0.3, 0.1, "holds"),  # worse, but less than what matters
        ("non-inferiority", 0.5, 0.0, 0.6, "open"),
        ("non-inferiority", 0.5, -1.0, 0.6, "open"),
        ("non-inferiority", 0.5, -1.0, 0.4, "fails"),
        ("non-inferiority", 0.5, 5.0, 1.0, "holds"),
    ],
)
def test_both_rules(rule: Rule, margin: float, mean: float, half: float, expected: Standing) -> None:
    assert one(around(mean, half), rule, margin) == expected


def test_the_estimate_that_just_reaches_the_margin_holds() -> None:
    assert one(mean_interval(np.full(5, 0.25)), "superiority", 0.25) == "holds"
    assert one(mean_interval(np.full(5, 0.2499)), "superiority", 0.25) == "fails"
    assert one(mean_interval(np.full(5, -0.25)), "non-inferiority", 0.25) == "open", "at it is not above it"


@given(VALUES, st.sampled_from(RULES), st.floats(0.01, 5))
def test_one_part_alone_is_the_rule_of_its_interval(values: list[float], rule: Rule, margin: float) -> None:
    found = mean_interval(np.array(values))
    least = margin if rule == "superiority" else -margin
    assume(min(abs(found.high - least), abs(found.low - least), abs(found.low)) > 1e-6)
    if rule == "superiority":
        expected = "holds" if found.low > 0 and found.difference >= margin else "open"
    else:
        expected = "holds" if found.low > -margin else "open"
    assert one(found, rule, margin) == ("fails" if found.high < least else expected)


@given(st.lists(VALUES, min_size=1, max_size=4), st.sampled_from(RULES), st.floats(0.01, 5), st.floats(0, 5))
def test_higher_differences_never_make_it_worse(
    parts: list[list[float]], rule: Rule, margin: float, rise: float
) -> None:
    low, high = ([mean_interval(np.array(part) + by) for part in parts] for by in (0.0, rise))
    assert ORDER[of_cell(high, rule, margin)] >= ORDER[of_cell(low, rule, margin)]


@given(VALUES, st.sampled_from(RULES), st.floats(0.01, 5), st.floats(0.1, 10))
def test_the_unit_does_not_matter(values: list[float], rule: Rule, margin: float, unit: float) -> None:
    plain, scaled = mean_interval(np.array(values)), mean_interval(np.array(values) * unit)
    least = margin if rule == "superiority" else -margin
    edges = (plain.high - least, plain.low - least, plain.low, plain.difference - margin)
    assume(min(map(abs, edges)) > 1e-6)
    assert one(plain, rule, margin) == one(scaled, rule, margin * unit)


@given(VALUES, st.floats(0.01, 5))
def test_non_inferiority_of_one_side_and_superiority_of_the_other_exclude_each_other(
    values: list[float], margin: float
) -> None:
    ours, theirs = mean_interval(np.array(values)), mean_interval(-np.array(values))
    assert not one(ours, "superiority", margin) == one(theirs, "superiority", margin) == "holds"
    if one(ours, "non-inferiority", margin) == "fails":
        assert one(theirs, "superiority", margin) == "holds"


@given(st.lists(VALUES, min_size=1, max_size=5), st.sampled_from(RULES), st.floats(0.01, 5))
def test_a_cell_holds_if_all_parts_do_and_one_more_part_never_helps(
    parts: list[list[float]], rule: Rule, margin: float
) -> None:
    found = [mean_interval(np.array(part)) for part in parts]
    alone = [one(part, rule, margin) for part in found]
    together = of_cell(found, rule, margin)
    assert (together == "holds") == all(standing == "holds" for standing in alone)
    assert together != "fails" or "fails" in alone, "Holm is never milder than one test"
    assert of_cell(found[::-1], rule, margin) == together


def test_holm_asks_more_of_the_one_that_fails_among_many() -> None:
    # its interval ends at -0.02: one-sided p just below 0.025, which is no more enough among three
    edge, good = around(-1.0, 0.98), around(5.0, 0.5)
    assert one(edge, "non-inferiority", 0.001) == "fails"
    assert of_cell([edge, good, good], "non-inferiority", 0.001) == "open"
    clear = around(-3.0, 0.98)
    assert of_cell([good, clear, good], "non-inferiority", 0.001) == "fails"


@pytest.mark.parametrize("number", [2, 3, 6])
def test_holms_first_step_is_at_the_level_by_the_number_of_parts(number: int) -> None:
    n, good = 5, around(50.0, 0.5)
    sd = 1.0
    edge = stats.t.ppf(0.025 / number, n - 1) * sd / math.sqrt(n)
    values = np.array([-1.0, -0.5, 0.0, 0.5, 1.0]) / np.std([-1.0, -0.5, 0.0, 0.5, 1.0], ddof=1)
    for by, expected in ((-1e-3, "fails"), (1e-3, "open")):
        part = mean_interval(values + 0.2 + edge + by)
        assert of_cell([part] + [good] * (number - 1), "superiority", 0.2) == expected


def test_parts_without_runs_cannot_hold_and_do_not_count_in_holm() -> None:
    none, single = mean_interval(np.empty(0)), mean_interval(np.array([9.0]))
    good, bad = around(1.0, 0.2), around(-1.0, 0.98)
    for unknown in (none, single):
        assert one(unknown, "superiority", 0.2) == NOT_ENOUGH
        assert of_cell([good, unknown], "superiority", 0.2) == "open"
        assert of_cell([bad, unknown], "non-inferiority", 0.001) == "fails"
    assert of_cell([], "superiority", 0.2) == NOT_ENOUGH


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["holds", "holds"], "holds"),
        (["fails", "fails"], "fails"),
        (["holds", "fails"], "open"),
        (["holds", "open"], "open"),
        (["fails", "open"], "open"),
        (["open"], "open"),
        (["holds", NOT_ENOUGH], "open"),
        (["fails", NOT_ENOUGH], "open"),
        ([NOT_ENOUGH, NOT_ENOUGH], NOT_ENOUGH),
        ([], NOT_ENOUGH),
    ],
)
def test_cells_decide_only_in_unison(cells: list[Standing], expected: Standing) -> None:
    assert of_cells(cells) == expected
    assert of_cells(cells[::-1]) == expected


@pytest.mark.parametrize(
    ("primary", "readings", "expected"),
    [
        ("fails", [], "fails"),
        ("fails", ["fails", "fails"], "fails"),
        ("fails", ["fails", "open"], "open"),
        ("fails", ["holds"], "open"),
        ("fails", ["fails", None], "open"),
        ("fails", [NOT_ENOUGH], "open"),
        ("open", ["holds"], "open"),
        ("open", ["fails"], "open"),
        ("holds", ["fails", None], "holds"),
        (NOT_ENOUGH, ["holds"], NOT_ENOUGH),
    ],
)
def test_failing_needs_every_reading(
    primary: Standing, readings: list[Standing | None], expected: Standing
) -> None:
    assert of_readings(primary, readings) == expected


def test_a_failed_run_never_betters_what_the_others_say() -> None:
    for every, kept in product(ORDER, ORDER):
        assert ORDER[of_failures(every, kept)] == min(ORDER[every], ORDER[kept])
    assert of_failures("fails", NOT_ENOUGH) == "fails"
    assert of_failures("holds", NOT_ENOUGH) == "open", "all runs of a side failed: the other's may have, too"
    assert of_failures("open", NOT_ENOUGH) == "open"
    assert of_failures(NOT_ENOUGH, NOT_ENOUGH) == NOT_ENOUGH


def test_words() -> None:
    asked: tuple[Standing, ...] = ("holds", "fails", "open")
    assert [WORDS["published"][s] for s in asked] == ["replicated", "contradicted", "inconclusive"]
    assert [WORDS["desk"][s] for s in asked] == [
        f"{w} (desk proxy)" for w in ("supports", "opposes", "unclear")
    ]
    assert not set(WORDS["exploratory"].values()) & {
        w for s in ("published", "desk") for w in WORDS[s].values()
    }


def test_the_weakest_part_is_the_lowest_interval() -> None:
    parts = [around(1.0, 0.1), around(1.0, 0.7), around(0.8, 0.2), mean_interval(np.empty(0))]
    assert weakest(parts) == 1
    assert weakest(parts[::-1]) == 2
    assert weakest([mean_interval(np.empty(0))] * 2) == 0
