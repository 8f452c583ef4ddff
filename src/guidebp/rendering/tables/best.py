"""Which method is best, where the runs support saying so."""

from collections.abc import Iterator

import pandas as pd

from guidebp.analysis.comparisons import chances, grid_of, with_chance
from guidebp.analysis.results import Results
from guidebp.analysis.statistics import LEVEL, holm, mean_interval

INDEX = ["seed", "device_class"]


def best(values: pd.DataFrame, overlap: float, step: float) -> str | None:
    """The column with the highest mean, if its paired differences to all others are significant.

    `values`: a row per seed, a column per method; `overlap` and `step` as of `mean_interval`. Holm's
    correction runs over the comparisons with the others.
    """
    known = values.dropna(axis=1, how="all")
    if known.shape[1] < 2:
        return None
    first = str(known.mean().idxmax())
    found = [
        mean_interval((known[first] - known[other]).dropna().to_numpy(float), overlap, step)
        for other in known.columns.drop(first)
    ]
    corrected = holm(pd.Series([interval.p for interval in found]))
    clear = (corrected < LEVEL).all() and all(interval.difference > 0 for interval in found)
    return first if clear else None


def best_measures(results: Results, dataset: str, measures: tuple[str, ...]) -> dict[tuple[str, str], str]:
    """(architecture, measure) -> the best method; a failed run counts as chance accuracy."""
    found = {}
    for architecture, cell, overlap, step in networks(results, dataset):
        for measure in measures:
            values = cell.pivot(index=INDEX, columns="method", values=measure)
            if name := best(values, overlap, step):
                found[architecture, measure] = name
    return found


def best_exits(results: Results, dataset: str) -> set[tuple[str, str, str]]:
    """(architecture, output, method) of the best method at every exit.

    Compared are methods whose exit of that name costs the same operations: it is the same part of the network.
    """
    found = set()
    chance = chances(results)[dataset]
    exits = results.exits[results.exits["dataset"] == dataset]
    for architecture, cell, overlap, step in networks(results, dataset):
        of_network = exits[exits["architecture"] == architecture]
        for (output, _), rows in of_network.groupby(["output", "operations"], sort=False):
            runs = cell[cell["method"].isin(set(rows["method"]))]
            accuracy = runs["key"].map(rows.set_index("key")["accuracy"])
            counted = runs.assign(accuracy=accuracy.where(runs["status"] == "finished", chance))
            if name := best(counted.pivot(index=INDEX, columns="method", values="accuracy"), overlap, step):
                found.add((architecture, str(output), name))
    return found


def networks(results: Results, dataset: str) -> Iterator[tuple[str, pd.DataFrame, float, float]]:
    """Architecture, its runs on the dataset, and how `comparisons` has their overlap and step."""
    runs = with_chance(results)
    for architecture, cell in runs[runs["dataset"] == dataset].groupby("architecture", sort=False):
        yield str(architecture), cell, *grid_of(results, dataset, cell)
