"""What a claim's metric is of a run: one number per output, paired between two methods at equal repetition."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from guidebp.analysis.comparisons import accuracy_step, chances, split_overlap
from guidebp.analysis.paired import Interval, mean_interval
from guidebp.analysis.tables import MERGED, PRIMARY, Results, run_measures

FAILED = ("diverged", "crashed")  # count as chance accuracy; a missing run is not known and counts as nothing
COST = "time and memory per step"
CELL = ["dataset", "architecture", "method"]


@dataclass(frozen=True)
class Paired:
    """One output of the two sides of a comparison on one dataset.

    `differences`: one per repetition that both sides have, more is better for the first; `finished`: whether both
    runs finished; `failed`, `failed_than`: runs of each side that diverged or crashed; `missing`: repetitions
    that are planned but lack a run.
    """

    output: str
    differences: "pd.Series[float]"
    finished: "pd.Series[bool]"
    failed: int
    failed_than: int
    missing: int
    overlap: float
    step: float

    @property
    def interval(self) -> Interval:
        """Of the mean difference, failed runs at chance."""
        return mean_interval(np.asarray(self.differences, float), self.overlap, self.step)

    @property
    def of_finished(self) -> Interval:
        """The same of the pairs that finished."""
        return mean_interval(np.asarray(self.differences[self.finished], float), self.overlap, self.step)


@dataclass(frozen=True)
class Side:
    """A method on a network and dataset.

    `runs`: status and more by (repetition, device class); `values`: the same, a column per output; `missing`:
    repetitions that are planned, but not trained.
    """

    runs: pd.DataFrame
    values: pd.DataFrame
    missing: frozenset[int]

    def value(self, output: str, chance: float | None) -> "pd.Series[float]":
        """An output's values, those of failed runs at chance, where there is one."""
        found = (
            self.values[output] if output in self.values else pd.Series(index=self.values.index, dtype=float)
        )
        found = found.reindex(self.runs.index)
        return found if chance is None else found.mask(self.runs["status"].isin(FAILED), chance)

    def renamed(self, output: str) -> "Side":
        """The same under another name of its one output."""
        return replace(self, values=self.values.set_axis([output][: self.values.shape[1]], axis=1))


class Outcomes:
    """All runs of a study by metric; nothing is looked up twice."""

    def __init__(self, results: Results) -> None:
        self.results = results
        self.chance = chances(results)
        self.runs = by_cell(run_measures(results.metrics))
        self.metrics: dict[str, dict[object, pd.DataFrame]] = {}
        self.sides: dict[tuple[str, ...], Side | None] = {}

    def pairs(
        self, dataset: str, better: tuple[str, str, str], than: tuple[str, str, str], recipes: list[str]
    ) -> list[Paired]:
        """Every output of two sides (architecture, method, metric) on a dataset; empty where one has no runs."""
        ours, theirs = self.side(dataset, *better), self.side(dataset, *than)
        if ours is None or theirs is None:
            return []
        if recipes and not {ours.runs["recipe"].iloc[0], theirs.runs["recipe"].iloc[0]} <= set(recipes):
            return []
        if better[2] != than[2]:  # one output each, or none where all runs failed
            ours, theirs = (side.renamed(f"{better[2]} - {than[2]}") for side in (ours, theirs))
        cost = better[2] == COST
        known = [*ours.values.columns, *theirs.values.columns]
        outputs = ["time", "memory"] if cost else list(dict.fromkeys(known)) or [better[2]]
        status = pd.concat([ours.runs["status"], theirs.runs["status"]], axis=1).dropna()
        finished = (status == "finished").all(axis=1)
        overlap = 0.0 if cost else split_overlap(self.results, dataset, ours.runs)
        step = 0.0 if cost else accuracy_step(ours.runs)
        found = []
        for output in outputs:
            # nobody knows what a failed run would have cost
            first, second = (
                side.value(output, None if cost else self.chance[dataset]) for side in (ours, theirs)
            )
            differences = (100 * (second - first) / second if cost else first - second).dropna()
            found.append(
                Paired(
                    output,
                    differences,
                    finished.reindex(differences.index),
                    failed=int(ours.runs["status"].isin(FAILED).sum()),
                    failed_than=int(theirs.runs["status"].isin(FAILED).sum()),
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
    index = ["repetition", "device_class"]
    missing = runs["status"] == "missing"
    trained = runs[~missing].set_index(index)
    values = pd.DataFrame(index=trained.index)
    if rows is not None:
        values = rows.pivot(index=index, columns="output", values="value")
    return Side(trained, values, frozenset(runs.loc[missing, "repetition"]))


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
        return costs.melt([*names], ["time", "memory"], "output", "value").dropna(subset="value")
    rows = metrics[metrics["pathway"].notna()].copy()
    if metric == "every sub-model":
        rows = rows[rows["pathway"] < rows.groupby("key")["pathway"].transform("max")]
    rows["output"] = [f"pathway {int(number)}" for number in rows["pathway"]]
    return rows.rename(columns={"accuracy": "value"})[[*names, "output", "value"]]
