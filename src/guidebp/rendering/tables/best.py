"""The best method, where the runs are enough to say so."""

from collections.abc import Iterator

import pandas as pd

from guidebp.analysis.comparisons import compute_chance_accuracies, fill_chance_accuracy, find_split_overlap
from guidebp.analysis.results import Results
from guidebp.analysis.statistics import LEVEL, compute_interval, correct_by_holm

INDEX = ["seed", "device_class"]


def find_best_method(values: pd.DataFrame, overlap: float, step: float) -> str | None:
    """Return the column with the highest mean if its paired differences to all others are significant, else None.

    `values`: a row per seed, a column per method; `overlap` and `step` as of `compute_interval`. Holm's
    correction runs over the comparisons with the others.
    """
    measured = values.dropna(axis=1, how="all")
    if measured.shape[1] < 2:
        return None
    first = str(measured.mean().idxmax())
    intervals = [
        compute_interval((measured[first] - measured[other]).dropna().to_numpy(float), overlap, step)
        for other in measured.columns.drop(first)
    ]
    corrected = correct_by_holm(pd.Series([interval.p for interval in intervals]))
    clear = (corrected < LEVEL).all() and all(interval.difference > 0 for interval in intervals)
    return first if clear else None


def find_best_by_measure(
    results: Results, dataset: str, measures: tuple[str, ...]
) -> dict[tuple[str, str], str]:
    """Return the best method by (architecture, measure). A failed run counts as chance accuracy."""
    best = {}
    for architecture, runs, overlap, step in _iterate_architectures(results, dataset):
        for measure in measures:
            values = runs.pivot(index=INDEX, columns="method", values=measure)
            if name := find_best_method(values, overlap, step):
                best[architecture, measure] = name
    return best


def find_best_by_exit(results: Results, dataset: str) -> set[tuple[str, str, str]]:
    """Return (architecture, output, method) of the best method at every exit.

    Methods are compared if their exit of that name costs the same operations, so that it is the same sub-network.
    """
    best = set()
    chance = compute_chance_accuracies(results)[dataset]
    exits = results.exits[results.exits["dataset"] == dataset]
    for architecture, runs, overlap, step in _iterate_architectures(results, dataset):
        own_exits = exits[exits["architecture"] == architecture]
        for (output, _), rows in own_exits.groupby(["output", "operations"], sort=False):
            compared = runs[runs["method"].isin(set(rows["method"]))]
            accuracy = compared["key"].map(rows.set_index("key")["accuracy"])
            counted = compared.assign(accuracy=accuracy.where(compared["status"] == "finished", chance))
            values = counted.pivot(index=INDEX, columns="method", values="accuracy")
            if name := find_best_method(values, overlap, step):
                best.add((architecture, str(output), name))
    return best


def _iterate_architectures(
    results: Results, dataset: str
) -> Iterator[tuple[str, pd.DataFrame, float, float]]:
    """Yield each architecture, its runs on the dataset, and their overlap and step as in `comparisons`."""
    all_runs = fill_chance_accuracy(results)
    for architecture, runs in all_runs[all_runs["dataset"] == dataset].groupby("architecture", sort=False):
        yield str(architecture), runs, *find_split_overlap(results, dataset, runs)
