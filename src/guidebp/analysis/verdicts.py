"""The rules that turn intervals into a verdict (config/claims.yaml says them in words)."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from scipy import special

from guidebp.analysis.statistics import LEVEL, Interval

Standing = Literal["holds", "fails", "open", "not enough runs"]
Rule = Literal["superiority", "non-inferiority"]

NOT_ENOUGH: Standing = "not enough runs"
WORDS: dict[str, dict[Standing, str]] = {
    "published": {"holds": "replicated", "fails": "contradicted", "open": "inconclusive"},
    "desk": {
        "holds": "supports (desk proxy)",
        "fails": "opposes (desk proxy)",
        "open": "unclear (desk proxy)",
    },
    "exploratory": {"holds": "for it", "fails": "against it", "open": "open"},
}


def holds(found: Interval, rule: Rule, margin: float) -> bool:
    """Whether one part of a claim is shown: see the rules at the head of config/claims.yaml."""
    if found.n < 2:
        return False
    if rule == "superiority":
        return found.low > 0 and found.difference >= margin
    return found.low > -margin


def fails(parts: Sequence[Interval], rule: Rule, margin: float) -> bool:
    """Whether some part is shown to miss what the rule asks: its interval lies below that, after Holm."""
    least = margin if rule == "superiority" else -margin
    p = [below(found, least) for found in parts if found.n >= 2]
    return bool(p) and min(p) * len(p) <= LEVEL / 2  # Holm rejects some, if the smallest


def below(found: Interval, least: float) -> float:
    """One-sided p of the mean being `least` or more."""
    if found.error <= 0:  # equal values, whose step is not known
        return 0.0 if found.difference < least else 1.0
    return float(special.stdtr(found.n - 1, (found.difference - least) / found.error))


def of_cell(parts: Sequence[Interval], rule: Rule, margin: float) -> Standing:
    """One dataset and network: all parts must hold, one that fails is enough to fail."""
    if not parts or all(found.n < 2 for found in parts):
        return NOT_ENOUGH
    if fails(parts, rule, margin):
        return "fails"
    return "holds" if all(holds(found, rule, margin) for found in parts) else "open"


def of_failures(every: Standing, kept: Standing) -> Standing:
    """The worse of what all pairs say and what those say whose first run did not fail.

    Runs at chance are so far off that the interval reaches from there to beyond the margin: by itself it would
    leave open what the other runs have shown to fail.
    """
    return "fails" if kept == "fails" else every if every in (kept, "fails", NOT_ENOUGH) else "open"


def of_cells(cells: Sequence[Standing]) -> Standing:
    """All datasets and networks together: what they agree on, else open."""
    known = [cell for cell in cells if cell != NOT_ENOUGH]
    if not known:
        return NOT_ENOUGH
    return known[0] if len(set(cells)) == 1 else "open"


def of_readings(primary: Standing, readings: Sequence[Standing | None]) -> Standing:
    """The primary reading decides, but failing needs every reading, tried and failed (None: not tried)."""
    return "open" if primary == "fails" and any(found != "fails" for found in readings) else primary


def weakest(parts: Sequence[Interval]) -> int:
    """The part on which it hangs whether all hold: the lowest interval of those that have one."""
    return int(np.argmin([np.inf if np.isnan(found.low) else found.low for found in parts]))
