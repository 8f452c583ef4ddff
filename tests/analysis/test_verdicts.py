"""The rules at the head of config/claims.yaml: intervals to outcomes, outcomes to verdicts."""

import math
from collections.abc import Iterator
from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from guidebp.analysis import statistics
from guidebp.analysis.statistics import Interval, compute_interval
from guidebp.analysis.verdicts import (
    NOT_ENOUGH,
    VERDICTS,
    Outcome,
    Rule,
    combine_cells,
    combine_readings,
    combine_with_unfailed,
    find_verdict_interval,
    judge_cell,
    name_verdict,
)
from guidebp.schema.claims import SettingName

ORDER: dict[Outcome, int] = {"fails": 0, "open": 1, "holds": 2}
RULES: tuple[Rule, ...] = ("superiority", "non-inferiority")
VALUES = st.lists(st.floats(-20, 20), min_size=2, max_size=12).filter(lambda d: np.std(d) > 1e-3)


@pytest.fixture(autouse=True, scope="module")
def no_signed_rank() -> Iterator[None]:
    """Slow with ties, and no part of a rule."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statistics, "compute_signed_rank_p", lambda values: math.nan)
        yield


def around(mean: float, half: float, n: int = 5) -> Interval:
    """An interval of mean -+ half, of n values."""
    base = np.linspace(-1, 1, n)
    plain = compute_interval(base)
    return compute_interval(mean + base * half / (plain.high - plain.difference))


def one(found: Interval, rule: Rule, margin: float) -> Outcome:
    return judge_cell([found], rule, margin)


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
def test_both_rules(rule: Rule, margin: float, mean: float, half: float, expected: Outcome) -> None:
    assert one(around(mean, half), rule, margin) == expected


def test_the_estimate_that_just_reaches_the_margin_holds() -> None:
    assert one(compute_interval(np.full(5, 0.25)), "superiority", 0.25) == "holds"
    assert one(compute_interval(np.full(5, 0.2499)), "superiority", 0.25) == "fails"
    assert one(compute_interval(np.full(5, -0.25)), "non-inferiority", 0.25) == "open", (
        "at it is not above it"
    )


@given(VALUES, st.sampled_from(RULES), st.floats(0.01, 5))
def test_one_part_alone_is_the_rule_of_its_interval(values: list[float], rule: Rule, margin: float) -> None:
    found = compute_interval(np.array(values))
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
    low, high = ([compute_interval(np.array(part) + by) for part in parts] for by in (0.0, rise))
    assert ORDER[judge_cell(high, rule, margin)] >= ORDER[judge_cell(low, rule, margin)]


@given(VALUES, st.sampled_from(RULES), st.floats(0.01, 5), st.floats(0.1, 10))
def test_the_unit_does_not_matter(values: list[float], rule: Rule, margin: float, unit: float) -> None:
    plain, scaled = compute_interval(np.array(values)), compute_interval(np.array(values) * unit)
    least = margin if rule == "superiority" else -margin
    edges = (plain.high - least, plain.low - least, plain.low, plain.difference - margin)
    assume(min(map(abs, edges)) > 1e-6)
    assert one(plain, rule, margin) == one(scaled, rule, margin * unit)


@given(VALUES, st.floats(0.01, 5))
def test_non_inferiority_of_one_side_and_superiority_of_the_other_exclude_each_other(
    values: list[float], margin: float
) -> None:
    ours, theirs = compute_interval(np.array(values)), compute_interval(-np.array(values))
    assert not one(ours, "superiority", margin) == one(theirs, "superiority", margin) == "holds"
    if one(ours, "non-inferiority", margin) == "fails":
        assert one(theirs, "superiority", margin) == "holds"


@given(st.lists(VALUES, min_size=1, max_size=5), st.sampled_from(RULES), st.floats(0.01, 5))
def test_a_cell_holds_if_all_parts_do_and_one_more_part_never_helps(
    parts: list[list[float]], rule: Rule, margin: float
) -> None:
    found = [compute_interval(np.array(part)) for part in parts]
    alone = [one(part, rule, margin) for part in found]
    together = judge_cell(found, rule, margin)
    assert (together == "holds") == all(outcome == "holds" for outcome in alone)
    assert together != "fails" or "fails" in alone, "Holm is never milder than one test"
    assert judge_cell(found[::-1], rule, margin) == together


def test_holm_asks_more_of_the_one_that_fails_among_many() -> None:
    # its interval ends at -0.02: one-sided p just below 0.025, which is no more enough among three
    edge, good = around(-1.0, 0.98), around(5.0, 0.5)
    assert one(edge, "non-inferiority", 0.001) == "fails"
    assert judge_cell([edge, good, good], "non-inferiority", 0.001) == "open"
    clear = around(-3.0, 0.98)
    assert judge_cell([good, clear, good], "non-inferiority", 0.001) == "fails"


@pytest.mark.parametrize("number", [2, 3, 6])
def test_holms_first_step_is_at_the_level_by_the_number_of_parts(number: int) -> None:
    n, good = 5, around(50.0, 0.5)
    sd = 1.0
    edge = stats.t.ppf(0.025 / number, n - 1) * sd / math.sqrt(n)
    values = np.array([-1.0, -0.5, 0.0, 0.5, 1.0]) / np.std([-1.0, -0.5, 0.0, 0.5, 1.0], ddof=1)
    for by, expected in ((-1e-3, "fails"), (1e-3, "open")):
        part = compute_interval(values + 0.2 + edge + by)
        assert judge_cell([part] + [good] * (number - 1), "superiority", 0.2) == expected


def test_parts_without_runs_cannot_hold_and_do_not_count_in_holm() -> None:
    none, single = compute_interval(np.empty(0)), compute_interval(np.array([9.0]))
    good, bad = around(1.0, 0.2), around(-1.0, 0.98)
    for unknown in (none, single):
        assert one(unknown, "superiority", 0.2) == NOT_ENOUGH
        assert judge_cell([good, unknown], "superiority", 0.2) == "open"
        assert judge_cell([bad, unknown], "non-inferiority", 0.001) == "fails"
    assert judge_cell([], "superiority", 0.2) == NOT_ENOUGH


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
def test_cells_decide_only_in_unison(cells: list[Outcome], expected: Outcome) -> None:
    assert combine_cells(cells) == expected
    assert combine_cells(cells[::-1]) == expected


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
    primary: Outcome, readings: list[Outcome | None], expected: Outcome
) -> None:
    assert combine_readings(primary, readings) == expected


def test_a_failed_run_never_betters_what_the_others_say() -> None:
    for every, kept in product(ORDER, ORDER):
        assert ORDER[combine_with_unfailed(every, kept)] == min(ORDER[every], ORDER[kept])
    assert combine_with_unfailed("fails", NOT_ENOUGH) == "fails"
    assert combine_with_unfailed("holds", NOT_ENOUGH) == "open", (
        "all runs of a side failed: the other's may have, too"
    )
    assert combine_with_unfailed("open", NOT_ENOUGH) == "open"
    assert combine_with_unfailed(NOT_ENOUGH, NOT_ENOUGH) == NOT_ENOUGH


def test_verdicts_of_the_settings() -> None:
    outcomes: tuple[Outcome, ...] = ("holds", "fails", "open")
    assert [VERDICTS["published"][o] for o in outcomes] == ["replicated", "contradicted", "inconclusive"]
    assert [VERDICTS["small-scale"][o] for o in outcomes] == ["supports", "opposes", "undecided"]
    deciding = {*VERDICTS["published"].values(), *VERDICTS["small-scale"].values()}
    assert len(deciding) == 6 and not set(VERDICTS["exploratory"].values()) & deciding


@pytest.mark.parametrize(
    ("setting", "outcome", "partial", "changed", "alone", "expected"),
    [
        ("published", "holds", False, False, True, "replicated"),
        ("published", "open", True, False, False, "inconclusive so far"),
        ("small-scale", "holds", False, False, False, "supports"),
        ("small-scale", "holds", False, False, True, "supports (small scale)"),
        ("small-scale", "fails", True, False, True, "opposes so far (small scale)"),
        ("small-scale", "open", False, True, False, "undecided (rules changed after the runs)"),
        ("small-scale", "open", False, True, True, "undecided (small scale) (rules changed after the runs)"),
        ("small-scale", NOT_ENOUGH, True, False, True, "not enough runs"),
        ("exploratory", "holds", False, True, False, "for it (rules changed after the runs)"),
    ],
)
def test_how_a_verdict_is_printed(
    setting: SettingName, outcome: Outcome, partial: bool, changed: bool, alone: bool, expected: str
) -> None:
    assert name_verdict(setting, outcome, partial, changed, alone) == expected


def test_the_lowest_interval() -> None:
    parts = [around(1.0, 0.1), around(1.0, 0.7), around(0.8, 0.2), compute_interval(np.empty(0))]
    assert find_verdict_interval(parts) == 1
    assert find_verdict_interval(parts[::-1]) == 2
    assert find_verdict_interval([compute_interval(np.empty(0))] * 2) == 0
