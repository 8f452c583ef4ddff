"""How tables write numbers."""

import pandas as pd

from guidebp.analysis.results import STATUSES


def spread(values: "pd.Series[float]") -> str:
    """Mean ± standard deviation, a dash where there is none."""
    if values.empty:
        return "-"
    return f"{values.mean():.2f} ± {values.std():.2f}" if len(values) > 1 else f"{values.mean():.2f}"


def behind(statuses: "pd.Series[str]") -> str:
    """The runs that stand behind a number, and what became of the others: `4 of 5, 1 diverged`."""
    counts = statuses.value_counts()
    others = [f"{counts[status]} {status}" for status in STATUSES[1:] if status in counts]
    return ", ".join([f"{counts.get('finished', 0)} of {len(statuses)}", *others])


def millions(value: float) -> str:
    """Three decimals, in millions."""
    return f"{value / 1e6:.3f}"


def signed(value: float) -> str:
    """With its sign, zero without; a dash when unknown."""
    text = f"{value:+.2f}"
    return "-" if pd.isna(value) else "0.00" if text in ("+0.00", "-0.00") else text


def plain(value: float) -> str:
    """Two decimals; a dash when unknown."""
    return "-" if pd.isna(value) else f"{value:.2f}"


def probability(value: float) -> str:
    """Three decimals, and no false zero."""
    if pd.isna(value):
        return "-"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
