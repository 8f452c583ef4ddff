"""Learning rates are chosen by validation accuracy alone."""

from dataclasses import replace

import pandas as pd
import pytest

from guidebp.analysis.results import Results
from guidebp.analysis.tuning import RATE_COLUMNS, tabulate_rates
from guidebp.errors import UserError
from guidebp.rendering.figures import load_figure_module
from tests.support.made_up_results import METHODS, made_up

TRIED = (0.01, 0.1, 1.0)


def tuning(
    validated: dict[tuple[str, float], list[float | None]],
) -> tuple[Results, dict[str, tuple[str, float]]]:
    """Results of runs with these validation accuracies after the last epoch; None: diverged."""
    made = made_up(seeds=6)
    metrics, history, tried = made.metrics.copy(), made.history.copy(), {}
    for method in METHODS:
        for number in range(6):
            key, rate = f"{method}-{number}", TRIED[number // 2]
            tried[key] = ("short", rate)
            value = validated.get((method, rate), [50.0, 50.0])[number % 2]
            of_run = history["key"] == key
            last = of_run & (history["epoch"] == 2) & (history["quantity"] == "validation accuracy")
            history.loc[last & (history["primary"] == True), "value"] = value  # noqa: E712
            if value is None:
                metrics = lost(metrics, key, "diverged")
                history = history[~of_run]
    return replace(made, metrics=metrics, history=history), tried


def lost(metrics: pd.DataFrame, key: str, status: str) -> pd.DataFrame:
    """The table in which a run did not finish."""
    of_run = metrics["key"] == key
    return metrics.assign(
        status=metrics["status"].mask(of_run, status), accuracy=metrics["accuracy"].mask(of_run)
    )


def chosen(table: pd.DataFrame) -> dict[str, float]:
    return dict(table.loc[table["chosen"], ["method", "rate"]].itertuples(index=False))


def test_the_rate_with_the_highest_mean_is_chosen_whatever_the_test_images_say() -> None:
    first, second = METHODS[:2]
    results, tried = tuning(
        {(first, 0.1): [70.0, 80.0], (first, 1.0): [99.0, 50.0], (second, 1.0): [60.0, 60.0]}
    )
    table = tabulate_rates(results, tried)
    assert list(table.columns) == RATE_COLUMNS and len(table) == 3 * len(METHODS)
    assert chosen(table)[first] == 0.1 and chosen(table)[second] == 1.0
    row = table[(table["method"] == first) & (table["rate"] == 1.0)].iloc[0]
    assert row["accuracy"] == pytest.approx(74.5) and row["runs"] == 2 and not row["chosen"]
    assert list(table[table["edge"]]["rate"].unique()) == [1.0, 0.01]  # the others' ties: the smallest
    tested = results.metrics.assign(accuracy=results.metrics["accuracy"].iloc[::-1].to_numpy())
    assert tabulate_rates(replace(results, metrics=tested), tried).equals(table)


def test_a_failed_run_counts_as_chance_and_a_missing_one_is_waited_for() -> None:
    first, second = METHODS[:2]
    results, tried = tuning({(first, 0.1): [90.0, None], (first, 1.0): [60.0, 60.0]})
    table = tabulate_rates(results, tried)
    row = table[(table["method"] == first) & (table["rate"] == 0.1)].iloc[0]
    assert row["failed"] == 1 and row["accuracy"] == pytest.approx((90 + 10) / 2)  # of ten classes
    assert chosen(table)[first] == 1.0
    missing = replace(results, metrics=lost(results.metrics, f"{second}-0", "missing"))
    with pytest.raises(UserError, match="runs are missing"):
        tabulate_rates(missing, tried)


def test_the_figure_shows_every_rate_and_rings_the_chosen() -> None:
    results, tried = tuning({(METHODS[0], 0.1): [70.0, 80.0]})
    module = load_figure_module("rates")
    data = module.prepare_figure_data(results, tabulate_rates(results, tried))
    figure = module.draw_figure(data)
    lines = [line for panel in figure.axes for line in panel.lines]
    rings = [line for line in lines if line.get_markerfacecolor() == "none"]
    assert sum(len(line.get_xdata()) for line in rings) == len(rings) >= len(METHODS)
    assert {float(x) for line in lines for x in line.get_xdata()} == set(TRIED)
