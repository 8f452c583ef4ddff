"""What a claim's metric is of a run: one number per output, paired between two methods at equal seed."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from guidebp.analysis.comparisons import chances, grid
from guidebp.analysis.results import MERGED, PRIMARY, Results, run_measures
from guidebp.analysis.statistics import Interval, mean_interval

FAILED = ("diverged", "crashed")  # count as chance accuracy; a missing run is not known and counts as nothing
COST = "time and memory per step"
COSTS = ["time", "memory"]
INDEX = ["dataset", "architecture", "method", "seed", "device_class"]
Cell = tuple[str, ...]  # the first three of these
Index = tuple[int, str]  # the others


@dataclass(frozen=True)
class Paired:
    """One output of the two sides of a comparison on one dataset.

    `differences`: one per seed that both sides have, more is better for the first; `finished`: whether both
    runs finished; `kept`: whether the first side's did; `failed`, `failed_than`: runs of each side that diverged
    or crashed; `missing`: seeds that are planned but lack a run.
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

    `status` and `recipe` of its trained runs and, by output, `values` of them by (seed, device class);
    `sizes`: training and test images of runs that got so far; `missing`: seeds planned, but not trained.
    """

    status: dict[Index, str] = field(default_factory=dict)
    recipe: dict[Index, str] = field(default_factory=dict)
    sizes: dict[Index, tuple[float, float]] = field(default_factory=dict)
    missing: set[int] = field(default_factory=set)
    values: dict[str, dict[Index, float]] = field(default_factory=dict)

    def within(self, seeds: range, recipes: list[str]) -> "Side":
        """Its runs of these seeds, trained by these recipes (by any, if none is named)."""
        status = {
            run: found
            for run, found in self.status.items()
            if run[0] in seeds and (not recipes or self.recipe[run] in recipes)
        }
        return replace(self, status=status, missing={one for one in self.missing if one in seeds})

    @property
    def failed(self) -> int:
        """How many runs diverged or crashed."""
        return sum(found in FAILED for found in self.status.values())

    def value(self, output: str, run: Index, chance: float) -> float:
        """A run's value of an output, `chance` if it failed; NaN where it is not known."""
        return chance if self.status[run] in FAILED else self.values.get(output, {}).get(run, math.nan)

    def renamed(self, output: str) -> "Side":
        """The same under another name of its one output."""
        return replace(self, values=dict(zip([output], self.values.values(), strict=False)))


class Outcomes:
    """All runs of a study by metric; nothing is looked up twice.

    Plain dictionaries: a study has many small cells, and a table for each would take far longer than its numbers.
    """

    def __init__(self, results: Results) -> None:
        self.results = results
        self.chance = chances(results)
        self.runs: dict[Cell, Side] = {}
        self.metrics: dict[str, dict[Cell, dict[str, dict[Index, float]]]] = {}
        columns = [*INDEX, "status", "recipe", "train_images", "test_images"]
        for *cell, seed, device, status, recipe, train, test in rows_of(
            run_measures(results.metrics), columns
        ):
            side, run = self.runs.setdefault(tuple(cell), Side()), (seed, device)
            if status == "missing":
                side.missing.add(seed)
                continue
            side.status[run], side.recipe[run] = status, recipe
            if not (pd.isna(train) or pd.isna(test)):
                side.sizes[run] = float(train), float(test)

    def pairs(
        self,
        dataset: str,
        better: tuple[str, str, str],
        than: tuple[str, str, str],
        recipes: list[str],
        seeds: range,
    ) -> list[Paired]:
        """Every output of two sides (architecture, method, metric) on a dataset; empty where one has no runs."""
        ours, theirs = (self.side(dataset, *side).within(seeds, recipes) for side in (better, than))
        if not ours.status or not theirs.status:
            return []
        if better[2] != than[2]:  # one output each, or none where all runs failed
            ours, theirs = (side.renamed(f"{better[2]} - {than[2]}") for side in (ours, theirs))
        cost = better[2] == COST
        outputs = COSTS if cost else sorted({*ours.values, *theirs.values}) or [better[2]]
        sizes = next(iter((ours.sizes | theirs.sizes).values()), None)
        overlap, step = (0.0, 0.0) if cost else grid(self.results, dataset, sizes)
        # nobody knows what a failed run would have cost
        chance = math.nan if cost else self.chance[dataset]
        runs = sorted(ours.status.keys() & theirs.status.keys())
        kept = np.array([ours.status[run] not in FAILED for run in runs], bool)
        finished = kept & np.array([theirs.status[run] not in FAILED for run in runs], bool)
        found = []
        for output in outputs:
            first, second = (
                np.array([side.value(output, run, chance) for run in runs], float) for side in (ours, theirs)
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

    def side(self, dataset: str, architecture: str, method: str, metric: str) -> Side:
        """A method's runs and their values."""
        if metric not in self.metrics:
            found: dict[Cell, dict[str, dict[Index, float]]] = {}
            for *at, seed, device, output, value in rows_of(
                values_of(self.results, metric), [*INDEX, "output", "value"]
            ):
                outputs = found.setdefault(tuple(at), {})
                outputs.setdefault(output, {})[seed, device] = float(value)
            self.metrics[metric] = found
        cell = dataset, architecture, method
        return replace(self.runs.get(cell, Side()), values=self.metrics[metric].get(cell, {}))


def rows_of(table: pd.DataFrame, columns: list[str]) -> Iterator[tuple[Any, ...]]:
    """The rows as tuples of plain values."""
    return zip(*(table[column].tolist() for column in columns), strict=True)


def values_of(results: Results, metric: str) -> pd.DataFrame:
    """Columns INDEX, output, value of the finished runs, for a metric of a claim."""
    names = INDEX
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
        # runs that crashed have none of the three, runs on CPUs no memory
        measured = results.costs.reindex(columns=[*INDEX, "key", "step_seconds", "steps", "peak_memory"])
        time = measured["step_seconds"] / measured["steps"]
        costs = measured.assign(time=time, memory=measured["peak_memory"])
        costs = costs[costs["key"].isin(metrics["key"])]
        return costs.melt([*names], COSTS, "output", "value").dropna(subset="value")
    # what a pathway says that was left as it was drawn is nobody's claim
    rows = metrics[metrics["pathway"].notna() & (metrics["trained"] == True)].copy()  # noqa: E712 - objects
    if metric == "every sub-model":
        rows = rows[rows["pathway"] < rows.groupby("key")["pathway"].transform("max")]
    rows["output"] = [f"pathway {int(number)}" for number in rows["pathway"]]
    return rows.rename(columns={"accuracy": "value"})[[*names, "output", "value"]]
