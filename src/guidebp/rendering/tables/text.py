"""Number formats of tables."""

import pandas as pd

from guidebp.analysis.results import STATUSES


def format_mean_and_sd(values: "pd.Series[float]") -> str:
    """Format mean ± standard deviation; a dash for no values."""
    if values.empty:
        return "-"
    return f"{values.mean():.2f} ± {values.std():.2f}" if len(values) > 1 else f"{values.mean():.2f}"


def format_run_counts(statuses: "pd.Series[str]") -> str:
    """Format how many runs finished, and the status of the others: `4 of 5, 1 diverged`."""
    counts = statuses.value_counts()
    others = [f"{counts[status]} {status}" for status in STATUSES[1:] if status in counts]
    return ", ".join([f"{counts.get('finished', 0)} of {len(statuses)}", *others])


def format_millions(value: float) -> str:
    """Format in millions with three decimals."""
    return f"{value / 1e6:.3f}"


def format_signed(value: float) -> str:
    """Format two decimals with a sign, zero without; a dash for an unknown value."""
    text = f"{value:+.2f}"
    return "-" if pd.isna(value) else "0.00" if text in ("+0.00", "-0.00") else text


def format_number(value: float) -> str:
    """Format two decimals; a dash for an unknown value."""
    return "-" if pd.isna(value) else f"{value:.2f}"


def format_probability(value: float) -> str:
    """Format a p value with three decimals, or `< 0.001`; a dash for an unknown value."""
    if pd.isna(value):
        return "-"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
