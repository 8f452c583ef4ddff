"""The collected tables of a study, as every analysis and every figure reads them."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from guidebp.errors import UserError
from guidebp.study.layout import PREPARED, Layout

# Measures of a run's test accuracy that comparisons and figures speak of.
MERGED, SOFTMAX_AVERAGE, PRIMARY = "merged", "softmax average", "primary"
PATHWAYS, WEAKEST = "mean of pathways", "weakest pathway"
MEASURES = (MERGED, PRIMARY, SOFTMAX_AVERAGE, PATHWAYS, WEAKEST)


@dataclass(frozen=True)
class Results:
    """What `collect` wrote.

    Attributes:
        about: study.json: titles and order.
        metrics: one row per run and output.
        history: one row per run, epoch, output and quantity.
        inference: one row per run with several exits and way of using them.
        prepared: the folder with the sheets of sample images.
        comparisons: what `analyse` wrote, for rendering; None before it has.
    """

    about: dict[str, Any]
    metrics: pd.DataFrame
    history: pd.DataFrame
    inference: pd.DataFrame
    prepared: Path = PREPARED
    comparisons: pd.DataFrame | None = None

    def part(self, name: str) -> "Results":
        """What a part of the report shows: its cells of dataset, architecture and method."""
        cells = next(part["cells"] for part in self.about["parts"] if part["name"] == name)
        wanted = pd.MultiIndex.from_tuples([tuple(cell) for cell in cells])
        methods = {method for _, _, method in cells}
        about = {**self.about, "methods": {k: v for k, v in self.about["methods"].items() if k in methods}}

        def of_part(table: pd.DataFrame) -> pd.DataFrame:
            index = pd.MultiIndex.from_frame(table[["dataset", "architecture", "method"]])
            return table[index.isin(wanted)]

        compared = None if self.comparisons is None else of_part(self.comparisons)
        return replace(
            self,
            about=about,
            metrics=of_part(self.metrics),
            history=of_part(self.history),
            inference=of_part(self.inference),
            comparisons=compared,
        )

    @property
    def exits(self) -> pd.DataFrame:
        """The rows of `metrics` for pathways of runs with several exits, all of them trained."""
        rows = self.metrics[self.metrics["pathway"].notna()]
        rows = rows[rows["key"].isin(self.inference["key"].unique())]
        return rows[~rows["key"].isin(partly_trained(rows))]

    @property
    def cells(self) -> list[tuple[str, str]]:
        """The (dataset, architecture) pairs with runs, in the study's order."""
        found = set(zip(self.metrics["dataset"], self.metrics["architecture"], strict=True))
        return [
            (d, a) for d in self.about["datasets"] for a in self.about["architectures"] if (d, a) in found
        ]

    def shown(self, dataset: str, data: pd.DataFrame) -> tuple[list[str], list[str]]:
        """The architectures and the methods in a figure's data on a dataset, in the study's order."""
        architectures, methods = set(data["architecture"]), set(data["method"])
        return (
            [a for d, a in self.cells if d == dataset and a in architectures],
            [m for m in self.about["methods"] if m in methods],
        )

    def title(self, kind: str, name: str) -> str:
        """The title of a dataset, architecture or method."""
        return str(self.about[kind][name]["title"])

    def titles(self, kind: str) -> dict[str, str]:
        """All titles of datasets, architectures or methods, by name."""
        return {name: self.title(kind, name) for name in self.about[kind]}


def load_results(layout: Layout) -> Results:
    """Read what `collect` wrote; UserError when it is not there."""
    try:
        about = json.loads(layout.about.read_text())
        metrics = pd.read_csv(layout.metrics)
        history = pd.read_parquet(layout.history)
        inference = pd.read_parquet(layout.inference)
    except FileNotFoundError as error:
        raise UserError(
            f"{error.filename}: study '{layout.study}' is not collected yet; "
            f"run: snakemake --config study={layout.study}"
        ) from error
    return Results(about, metrics, history, inference)


def partly_trained(metrics: pd.DataFrame) -> set[str]:
    """Keys of the runs that leave some pathway as it was drawn."""
    return set(metrics[metrics["trained"] == False]["key"])  # noqa: E712 - a column of objects


def run_measures(metrics: pd.DataFrame) -> pd.DataFrame:
    """One row per run with a column per measure, accuracies in percent.

    Empty for runs that diverged or crashed; their `status` says so. Measures that an untrained pathway would
    enter are empty too: such a pathway's accuracy says nothing.
    """
    names = ["dataset", "architecture", "method", "recipe", "repetition", "key", "status", "device_class"]
    runs = metrics.drop_duplicates("key")[[*names, "train_images", "test_images"]].set_index("key")
    runs[PRIMARY] = metrics[metrics["primary"] == True].set_index("key")["accuracy"]  # noqa: E712 - may be empty
    trained = metrics[~metrics["key"].isin(partly_trained(metrics))]
    alone = trained[trained["pathway"].notna()].groupby("key")["accuracy"]
    runs[MERGED] = trained[trained["output"] == MERGED].set_index("key")["accuracy"]
    runs[SOFTMAX_AVERAGE] = trained[trained["output"] == SOFTMAX_AVERAGE].set_index("key")["accuracy"]
    runs[PATHWAYS] = alone.mean()
    runs[WEAKEST] = alone.min()
    return runs.reset_index()
