"""The rules that turn intervals into outcomes and verdicts (config/claims.yaml states them in words).

An outcome belongs to a cell: a dataset with the architectures of both sides. A verdict belongs to a setting.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from scipy import special

from guidebp.analysis.statistics import LEVEL, Interval
from guidebp.schema.claims import SETTING_TITLES, SettingName

Outcome = Literal["holds", "fails", "open", "not enough runs"]
Rule = Literal["superiority", "non-inferiority"]

NOT_ENOUGH: Outcome = "not enough runs"
VERDICTS: dict[SettingName, dict[Outcome, str]] = {
    "published": {"holds": "replicated", "fails": "contradicted", "open": "inconclusive"},
    "small-scale": {"holds": "supports", "fails": "opposes", "open": "undecided"},
    "exploratory": {"holds": "for it", "fails": "against it", "open": "open"},
}
RULES_CHANGED = "rules changed after the runs"


def name_verdict(
    setting: SettingName, outcome: Outcome, partial: bool, rules_changed: bool, alone: bool = False
) -> str:
    """The verdict of a setting, as it is printed.

    Args:
        partial: planned runs are absent, so the verdict may change.
        rules_changed: some run was trained under another rule than today's.
        alone: the verdict is printed without its setting, which a reader of a small-scale verdict must know.
    """
    verdict = VERDICTS[setting].get(outcome, outcome)
    if partial and outcome != NOT_ENOUGH:
        verdict += " so far"
    if alone and setting == "small-scale" and outcome != NOT_ENOUGH:
        verdict += f" ({SETTING_TITLES[setting]})"
    return f"{verdict} ({RULES_CHANGED})" if rules_changed else verdict


def judge_cell(intervals: Sequence[Interval], rule: Rule, margin: float) -> Outcome:
    """The outcome of one cell: all of its comparisons must hold, one that fails is enough to fail."""
    if not intervals or all(interval.n < 2 for interval in intervals):
        return NOT_ENOUGH
    if _miss_rule(intervals, rule, margin):
        return "fails"
    return "holds" if all(_meets_rule(interval, rule, margin) for interval in intervals) else "open"


def combine_with_unfailed(every: Outcome, unfailed: Outcome) -> Outcome:
    """The worse of the outcome of all pairs and that of the pairs whose candidate did not fail.

    Runs at chance are so far off that the interval reaches from there to beyond the margin. By itself it would
    leave open what the other runs have shown to fail.
    """
    if unfailed == "fails":
        return "fails"
    return every if every in (unfailed, "fails", NOT_ENOUGH) else "open"


def combine_cells(cells: Sequence[Outcome]) -> Outcome:
    """The outcome on which all cells agree, else open."""
    known = [cell for cell in cells if cell != NOT_ENOUGH]
    if not known:
        return NOT_ENOUGH
    return known[0] if len(set(cells)) == 1 else "open"


def combine_readings(primary: Outcome, readings: Sequence[Outcome | None]) -> Outcome:
    """The primary reading's outcome, but failing needs every reading, trained and failed (None: not trained)."""
    return "open" if primary == "fails" and any(outcome != "fails" for outcome in readings) else primary


def find_verdict_interval(intervals: Sequence[Interval]) -> int:
    """Index of the lowest interval, which the verdict follows; those without bounds come last."""
    return int(np.argmin([np.inf if np.isnan(interval.low) else interval.low for interval in intervals]))


def _meets_rule(interval: Interval, rule: Rule, margin: float) -> bool:
    """Return True if one comparison holds."""
    if interval.n < 2:
        return False
    if rule == "superiority":
        return interval.low > 0 and interval.difference >= margin
    return interval.low > -margin


def _miss_rule(intervals: Sequence[Interval], rule: Rule, margin: float) -> bool:
    """Return True if some comparison is shown to miss the rule: its interval lies below the least, after Holm."""
    least = margin if rule == "superiority" else -margin
    p = [_compute_p_of_reaching(interval, least) for interval in intervals if interval.n >= 2]
    return bool(p) and min(p) * len(p) <= LEVEL / 2  # Holm rejects some, if the smallest


def _compute_p_of_reaching(interval: Interval, least: float) -> float:
    """One-sided p of the mean being `least` or more."""
    if interval.error <= 0:  # equal values, whose step is not known
        return 0.0 if interval.difference < least else 1.0
    return float(special.stdtr(interval.n - 1, (interval.difference - least) / interval.error))
