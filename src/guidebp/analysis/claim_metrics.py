"""A claim's metric per run and output, paired between two methods at equal seed."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from guidebp.analysis.comparisons import compute_chance_accuracies, compute_split_overlap
from guidebp.analysis.results import MERGED, PRIMARY, Results, measure_runs
from guidebp.analysis.statistics import Interval, compute_interval

FAILED = ("diverged", "crashed")  # count as chance accuracy; a missing run is not known and counts as nothing
COST = "time and memory per step"
COSTS = ["time", "memory"]
INDEX = ["dataset", "architecture", "method", "seed", "device_class"]
MethodCell = tuple[str, ...]  # the first three of these
RunIndex = tuple[int, str]  # the others


@dataclass(frozen=True)
class PairedDifferences:
    """One output of the two sides of a comparison on one dataset.

    Attributes:
        output: the output's name, or "time" or "memory".
        differences: one per seed that both sides have; positive where the candidate is better.
        finished: whether both runs of the pair finished.
        candidate_finished: whether the candidate's run did.
        failed, failed_baseline: runs of each side that diverged or crashed.
        missing: seeds that are planned but lack a run.
        overlap: n_test / n_train where seeds redraw the split, else 0.
        step: the grid of the values.
    """

    output: str
    differences: NDArray[np.float64]
    finished: NDArray[np.bool_]
    candidate_finished: NDArray[np.bool_]
    failed: int
    failed_baseline: int
    missing: int
    overlap: float
    step: float

    @cached_property
    def interval(self) -> Interval:
        """The mean difference of all pairs, failed runs at chance."""
        return compute_interval(self.differences, self.overlap, self.step)

    def select(self, pairs: NDArray[np.bool_]) -> Interval:
        """The mean difference of some pairs."""
        if pairs.all():
            return self.interval
        return compute_interval(self.differences[pairs], self.overlap, self.step)


@dataclass(frozen=True)
class MethodRuns:
    """The runs of a method on an architecture and dataset.

    `status` and `recipe` of its trained runs and, by output, `values` of them by (seed, device class);
    `sizes`: training and test images of runs that got so far; `missing`: seeds planned, but not trained.
    """

    status: dict[RunIndex, str] = field(default_factory=dict)
    recipe: dict[RunIndex, str] = field(default_factory=dict)
    sizes: dict[RunIndex, tuple[float, float]] = field(default_factory=dict)
    missing: set[int] = field(default_factory=set)
    values: dict[str, dict[RunIndex, float]] = field(default_factory=dict)

    def restrict(self, seeds: range, recipes: list[str]) -> "MethodRuns":
        """Its runs of these seeds, trained by these recipes (by any, if none is named)."""
        status = {
            run: status
            for run, status in self.status.items()
            if run[0] in seeds and (not recipes or self.recipe[run] in recipes)
        }
        return replace(self, status=status, missing={seed for seed in self.missing if seed in seeds})

    @property
    def failed(self) -> int:
        """The number of runs that diverged or crashed."""
        return sum(status in FAILED for status in self.status.values())

    def value(self, output: str, run: RunIndex, chance: float) -> float:
        """A run's value of an output, `chance` if it failed; NaN where it is not known."""
        return chance if self.status[run] in FAILED else self.values.get(output, {}).get(run, math.nan)

    def rename_output(self, output: str) -> "MethodRuns":
        """The same under another name of its one output."""
        return replace(self, values=dict(zip([output], self.values.values(), strict=False)))


class ClaimMetrics:
    """The values of all runs of a study by metric; nothing is looked up twice.

    Plain dictionaries: a study has many small cells, and a table for each would take far longer than its numbers.
    """

    def __init__(self, results: Results) -> None:
        self.results = results
        self.chance = compute_chance_accuracies(results)
        self.runs: dict[MethodCell, MethodRuns] = {}
        self.metrics: dict[str, dict[MethodCell, dict[str, dict[RunIndex, float]]]] = {}
        columns = [*INDEX, "status", "recipe", "train_images", "test_images"]
        for *cell, seed, device, status, recipe, train, test in _iterate_rows(
            measure_runs(results.metrics), columns
        ):
            runs, run = self.runs.setdefault(tuple(cell), MethodRuns()), (seed, device)
            if status == "missing":
                runs.missing.add(seed)
                continue
            runs.status[run], runs.recipe[run] = status, recipe
            if not (pd.isna(train) or pd.isna(test)):
                runs.sizes[run] = float(train), float(test)

    def pair_runs(
        self,
        dataset: str,
        candidate: tuple[str, str, str],
        baseline: tuple[str, str, str],
        recipes: list[str],
        seeds: range,
    ) -> list[PairedDifferences]:
        """Every output of two sides (architecture, method, metric) on a dataset; empty where one has no runs."""
        ours, theirs = (
            self.select_runs(dataset, *side).restrict(seeds, recipes) for side in (candidate, baseline)
        )
        if not ours.status or not theirs.status:
            return []
        if candidate[2] != baseline[2]:  # one output each, or none where all runs failed
            ours, theirs = (side.rename_output(f"{candidate[2]} - {baseline[2]}") for side in (ours, theirs))
        cost = candidate[2] == COST
        outputs = COSTS if cost else sorted({*ours.values, *theirs.values}) or [candidate[2]]
        sizes = next(iter((ours.sizes | theirs.sizes).values()), None)
        overlap, step = (0.0, 0.0) if cost else compute_split_overlap(self.results, dataset, sizes)
        # the cost of a failed run is unknown
        chance = math.nan if cost else self.chance[dataset]
        runs = sorted(ours.status.keys() & theirs.status.keys())
        candidate_finished = np.array([ours.status[run] not in FAILED for run in runs], bool)
        finished = candidate_finished & np.array([theirs.status[run] not in FAILED for run in runs], bool)
        pairs = []
        for output in outputs:
            first, second = (
                np.array([side.value(output, run, chance) for run in runs], float) for side in (ours, theirs)
            )
            differences = 100 * (second - first) / second if cost else first - second
            known = ~np.isnan(differences)
            pairs.append(
                PairedDifferences(
                    output,
                    differences[known],
                    finished[known],
                    candidate_finished[known],
                    failed=ours.failed,
                    failed_baseline=theirs.failed,
                    missing=len(ours.missing | theirs.missing),
                    overlap=overlap,
                    step=step,
                )
            )
        return pairs

    def select_runs(self, dataset: str, architecture: str, method: str, metric: str) -> MethodRuns:
        """A method's runs and their values."""
        if metric not in self.metrics:
            cells: dict[MethodCell, dict[str, dict[RunIndex, float]]] = {}
            for *at, seed, device, output, value in _iterate_rows(
                _select_metric_values(self.results, metric), [*INDEX, "output", "value"]
            ):
                outputs = cells.setdefault(tuple(at), {})
                outputs.setdefault(output, {})[seed, device] = float(value)
            self.metrics[metric] = cells
        cell = dataset, architecture, method
        return replace(self.runs.get(cell, MethodRuns()), values=self.metrics[metric].get(cell, {}))


def _iterate_rows(table: pd.DataFrame, columns: list[str]) -> Iterator[tuple[Any, ...]]:
    """The rows as tuples of plain values."""
    return zip(*(table[column].tolist() for column in columns), strict=True)


def _select_metric_values(results: Results, metric: str) -> pd.DataFrame:
    """Columns INDEX, output, value of the finished runs, for a metric of a claim."""
    names = INDEX
    metrics = results.metrics[results.metrics["status"] == "finished"]
    if metric in (MERGED, PRIMARY):
        runs = measure_runs(metrics)
        return runs[names].assign(output=metric, value=runs[metric]).dropna(subset="value")
    if metric == "ensemble":
        rows = results.inference[results.inference["way"] == "logit ensemble"]
        last = rows.loc[rows.groupby("key")["level"].idxmax()]
        device = metrics.drop_duplicates("key").set_index("key")["device_class"]
        ensembles = last.assign(device_class=last["key"].map(device), output=metric, value=last["accuracy"])
        return ensembles[[*names, "output", "value"]]
    if metric == COST:
        # runs that crashed have none of the three, runs on CPUs no memory
        measured = results.costs.reindex(columns=[*INDEX, "key", "step_seconds", "steps", "peak_memory"])
        time = measured["step_seconds"] / measured["steps"]
        costs = measured.assign(time=time, memory=measured["peak_memory"])
        costs = costs[costs["key"].isin(metrics["key"])]
        return costs.melt([*names], COSTS, "output", "value").dropna(subset="value")
    # an untrained pathway is no evidence
    rows = metrics[metrics["pathway"].notna() & (metrics["trained"] == True)].copy()  # noqa: E712 - objects
    if metric == "every sub-model":
        rows = rows[rows["pathway"] < rows.groupby("key")["pathway"].transform("max")]
    rows["output"] = [f"pathway {int(number)}" for number in rows["pathway"]]
    return rows.rename(columns={"accuracy": "value"})[[*names, "output", "value"]]
