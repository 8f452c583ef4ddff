"""What a claim's metric is of a run: one number per output, paired between two methods at equal repetition."""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from guidebp.analysis.comparisons import accuracy_step, chances, split_overlap
from guidebp.analysis.paired import Interval, mean_interval
from guidebp.analysis.tables import MERGED, PRIMARY, Results, run_measures

FAILED = ("diverged", "crashed")  # count as chance accuracy; a missing run is not known and counts as nothing
COST = "time and memory per step"
COSTS = ["time", "memory"]
Index = tuple[int, str]  # repetition and device class
CELL = ["dataset", "architecture", "method"]


@dataclass(frozen=True)
class Paired:
    """One output of the two sides of a comparison on one dataset.

    `differences`: one per repetition that both sides have, more is better for the first; `finished`: whether both
    runs finished; `kept`: whether the first side's did; `failed`, `failed_than`: runs of each side that diverged
    or crashed; `missing`: repetitions that are planned but lack a run.
    """

    output: str
    differences: NDArray[np.float64]
    finished: NDArray[np.bool_]
    kept: NDArray[np.bool_]
    failed: int
    failed_than: int
    missing: int
    overlap: float
    step: float

    @cached_property
    def interval(self) -> Interval:
        """Of the mean difference, failed runs at chance."""
        return mean_interval(self.differences, self.overlap, self.step)

    @property
    def of_finished(self) -> Interval:
        """The same of the pairs that finished."""
        return self.of(self.finished)

    def of(self, chosen: NDArray[np.bool_]) -> Interval:
        """The same of chosen pairs."""
        if chosen.all():
            return self.interval
        return mean_interval(self.differences[chosen], self.overlap, self.step)


@dataclass(frozen=True)
class Side:
    """A method on a network and dataset.

    `runs`: a row per trained run; `status` and, by output, `values` of them by (repetition, device class);
    `missing`: repetitions that are planned, but not trained.
    """

    runs: pd.DataFrame
    status: dict[Index, str]
    values: dict[str, dict[Index, float]]
    missing: frozenset[int]

    def within(self, repetitions: range, recipes: list[str]) -> "Side | None":
        """Its runs of these repetitions, trained by these recipes (by any, if none is named); None without any."""
        chosen = self.runs["repetition"].between(repetitions.start, repetitions.stop - 1)
        if recipes:
            chosen &= self.runs["recipe"].isin(recipes)
        if not chosen.any():
            return None
        runs, missing = self.runs[chosen], (number for number in self.missing if number in repetitions)
        status = {index: self.status[index] for index in indices(runs)}
        return replace(self, runs=runs, status=status, missing=frozenset(missing))

    @property
    def failed(self) -> int:
        """How many runs diverged or crashed."""
        return sum(found in FAILED for found in self.status.values())

    def value(self, output: str, index: Index, chance: float) -> float:
        """A run's value of an output, `chance` if it failed; NaN where it is not known."""
        return chance if self.status[index] in FAILED else self.values.get(output, {}).get(index, math.nan)

    def renamed(self, output: str) -> "Side":
        """The same under another name of its one output."""
        return replace(self, values=dict(zip([output], self.values.values(), strict=False)))


class Outcomes:
    """All runs of a study by metric; nothing is looked up twice."""

    def __init__(self, results: Results) -> None:
        self.results = results
        self.chance = chances(results)
        self.runs = by_cell(run_measures(results.metrics))
        self.metrics: dict[str, dict[object, pd.DataFrame]] = {}
        self.sides: dict[tuple[str, ...], Side | None] = {}

    def pairs(
        self,
        dataset: str,
        better: tuple[str, str, str],
        than: tuple[str, str, str],
        recipes: list[str],
        repetitions: range,
    ) -> list[Paired]:
        """Every output of two sides (architecture, method, metric) on a dataset; empty where one has no runs."""
        sides = [self.side(dataset, *side) for side in (better, than)]
        ours, theirs = (side and side.within(repetitions, recipes) for side in sides)
        if ours is None or theirs is None:
            return []
        if better[2] != than[2]:  # one output each, or none where all runs failed
            ours, theirs = (side.renamed(f"{better[2]} - {than[2]}") for side in (ours, theirs))
        cost = better[2] == COST
        outputs = COSTS if cost else list(dict.fromkeys([*ours.values, *theirs.values])) or [better[2]]
        both = pd.concat([ours.runs, theirs.runs])
        overlap = 0.0 if cost else split_overlap(self.results, dataset, both)
        step = 0.0 if cost else accuracy_step(both)
        # nobody knows what a failed run would have cost
        chance = math.nan if cost else self.chance[dataset]
        index = sorted(ours.status.keys() & theirs.status.keys())
        kept = np.array([ours.status[run] not in FAILED for run in index], bool)
        finished = kept & np.array([theirs.status[run] not in FAILED for run in index], bool)
        found = []
        for output in outputs:
            first, second = (
                np.array([side.value(output, run, chance) for run in index], float) for side in (ours, theirs)
            )
            differences = 100 * (second - first) / second if cost else first - second
            known = ~np.isnan(differences)
            found.append(
                Paired(
                    output,
                    differences[known],
                    finished[known],
                    kept[known],
                    failed=ours.failed,
                    failed_than=theirs.failed,
                    missing=len(ours.missing | theirs.missing),
                    overlap=overlap,
                    step=step,
                )
            )
        return found

    def side(self, dataset: str, architecture: str, method: str, metric: str) -> Side | None:
        """A method's runs and their values; None without runs."""
        cell = dataset, architecture, method
        if (*cell, metric) not in self.sides:
            if metric not in self.metrics:
                self.metrics[metric] = by_cell(values_of(self.results, metric))
            self.sides[*cell, metric] = made(self.runs.get(cell), self.metrics[metric].get(cell))
        return self.sides[*cell, metric]


def made(runs: pd.DataFrame | None, rows: pd.DataFrame | None) -> Side | None:
    """A side of a cell's runs and their values, row by row."""
    if runs is None or (runs["status"] == "missing").all():
        return None
    missing = runs["status"] == "missing"
    trained = runs[~missing]
    values: dict[str, dict[Index, float]] = {}
    if rows is not None:
        for output, index, value in zip(rows["output"], indices(rows), rows["value"], strict=True):
            values.setdefault(str(output), {})[index] = float(value)
    status = dict(zip(indices(trained), trained["status"], strict=True))
    return Side(trained, status, dict(sorted(values.items())), frozenset(runs.loc[missing, "repetition"]))


def indices(rows: pd.DataFrame) -> list[Index]:
    """(repetition, device class) of every row."""
    return list(zip(rows["repetition"].tolist(), rows["device_class"].tolist(), strict=True))


def by_cell(table: pd.DataFrame) -> dict[object, pd.DataFrame]:
    """The rows of each dataset, architecture and method."""
    return dict(list(table.groupby(CELL, sort=False)))


def values_of(results: Results, metric: str) -> pd.DataFrame:
    """Columns CELL, repetition, device_class, output, value of the finished runs, for a metric of a claim."""
    names = [*CELL, "repetition", "device_class"]
    metrics = results.metrics[results.metrics["status"] == "finished"]
    if metric in (MERGED, PRIMARY):
        runs = run_measures(metrics)
        return runs[names].assign(output=metric, value=runs[metric]).dropna(subset="value")
    if metric == "ensemble":
        rows = results.inference[results.inference["way"] == "logit ensemble"]
        last = rows.loc[rows.groupby("key")["level"].idxmax()]
        device = metrics.drop_duplicates("key").set_index("key")["device_class"]
        found = last.assign(device_class=last["key"].map(device), output=metric, value=last["accuracy"])
        return found[[*names, "output", "value"]]
    if metric == COST:
        costs = results.costs.assign(time=results.costs["step_seconds"] / results.costs["steps"])
        costs["memory"] = costs["peak_memory"] if "peak_memory" in costs else float("nan")
        costs = costs[costs["key"].isin(metrics["key"])]
        return costs.melt([*names], COSTS, "output", "value").dropna(subset="value")
    # what a pathway says that was left as it was drawn is nobody's claim
    rows = metrics[metrics["pathway"].notna() & (metrics["trained"] == True)].copy()  # noqa: E712 - objects
    if metric == "every sub-model":
        rows = rows[rows["pathway"] < rows.groupby("key")["pathway"].transform("max")]
    rows["output"] = [f"pathway {int(number)}" for number in rows["pathway"]]
    return rows.rename(columns={"accuracy": "value"})[[*names, "output", "value"]]
