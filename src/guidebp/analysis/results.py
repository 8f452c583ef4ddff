"""The collected tables of a study, as every analysis and every figure reads them."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import pandas as pd

from guidebp.collect.rows import NAMES, TABLES, VERSION
from guidebp.errors import UserError
from guidebp.files import check_checksums
from guidebp.paths import ANALYSED_FILES, COLLECTED_FILES, PREPARED, StudyPaths

# Measures of a run's test accuracy that comparisons and figures speak of.
MERGED, SOFTMAX_AVERAGE, PRIMARY = "merged", "softmax average", "primary"
PATHWAYS, WEAKEST = "mean of pathways", "weakest pathway"
STATUSES = ("finished", "diverged", "crashed", "missing")
MEASURES = (MERGED, PRIMARY, SOFTMAX_AVERAGE, PATHWAYS, WEAKEST)


@dataclass(frozen=True)
class Results:
    """The tables and JSON files that `collect` wrote and, for rendering, those that `analyse` wrote.

    Attributes:
        about: study.json: titles and order.
        metrics: one row per run and output.
        history: one row per run, epoch, output and quantity.
        inference: one row per run with several exits and way of using them.
        calibration: one row per run, output and bin of confidence.
        cosines: one row per run and pair of pathways that share parameters.
        costs: one row per run: time, memory, machine.
        comparisons: one row per paired comparison; None before `analyse`.
        ranks, rank_pairs: methods of a section over several datasets, and their pairs; None before `analyse`.
        claims: one row per paired difference that a claim looks at; None before `analyse`.
        verdicts: the claims with their verdicts; empty before `analyse`.
        lock: per claim and setting, the rules under which its runs were trained.
        prepared: the folder with the sheets of sample images.
    """

    about: dict[str, Any]
    metrics: pd.DataFrame
    history: pd.DataFrame
    inference: pd.DataFrame
    calibration: pd.DataFrame
    cosines: pd.DataFrame
    costs: pd.DataFrame
    comparisons: pd.DataFrame | None = None
    ranks: pd.DataFrame | None = None
    rank_pairs: pd.DataFrame | None = None
    claims: pd.DataFrame | None = None
    verdicts: list[dict[str, Any]] = field(default_factory=list)
    lock: dict[str, Any] = field(default_factory=dict)
    prepared: Path = PREPARED

    def section(self, name: str) -> "Results":
        """Return the results of one section of the report: its (dataset, architecture, method) combinations."""
        sections = {section["name"]: section for section in self.about["sections"]}
        combinations = [tuple(names) for names in sections[name]["combinations"]]
        wanted = pd.MultiIndex.from_tuples(combinations)
        methods = {method for _, _, method in combinations}
        about = {**self.about, "methods": {k: v for k, v in self.about["methods"].items() if k in methods}}

        def select_combinations(table: pd.DataFrame) -> pd.DataFrame:
            index = pd.MultiIndex.from_frame(table[["dataset", "architecture", "method"]])
            return table[index.isin(wanted)]

        tables: dict[str, Any] = {
            column.name: table[table["section"] == name] if "section" in table else select_combinations(table)
            for column in fields(self)
            if isinstance(table := getattr(self, column.name), pd.DataFrame) and column.name != "claims"
        }
        return replace(self, about=about, **tables)

    @property
    def exits(self) -> pd.DataFrame:
        """The rows of `metrics` for pathways of runs with several exits, all of them trained."""
        rows = self.metrics[self.metrics["pathway"].notna()]
        rows = rows[rows["key"].isin(self.inference["key"].unique())]
        return rows[~rows["key"].isin(find_partly_trained(rows))]

    @property
    def cells(self) -> list[tuple[str, str]]:
        """The (dataset, architecture) pairs with runs, in the study's order."""
        found = set(zip(self.metrics["dataset"], self.metrics["architecture"], strict=True))
        return [
            (d, a) for d in self.about["datasets"] for a in self.about["architectures"] if (d, a) in found
        ]

    def title(self, kind: str, name: str) -> str:
        """The title of a dataset, architecture or method."""
        return str(self.about[kind][name]["title"])

    def titles(self, kind: str) -> dict[str, str]:
        """All titles of datasets, architectures or methods, by name."""
        return {name: self.title(kind, name) for name in self.about[kind]}


def load_results(layout: StudyPaths, analysed: bool = False) -> Results:
    """Read what `collect` wrote and, if `analysed`, `analyse`.

    Raises UserError when a file is absent, damaged, of another version, or holds what no study can.
    """
    again = f"snakemake --config study={layout.study}"

    def read(path: Path, how: Callable[[Path], Any]) -> Any:
        try:
            return how(path)
        except FileNotFoundError as error:
            raise UserError(f"{path}: study '{layout.study}' is not collected yet; run: {again}") from error
        except (ValueError, OSError, RecursionError) as error:  # not JSON, not Parquet, not a table
            reason = " ".join(str(error).split())  # pandas breaks lines
            raise UserError(f"{path}: cannot be read ({reason}); run: rm -r {path} && {again}") from error

    about = read(layout.about, _read_json)
    version = about.get("version") if isinstance(about, dict) else None
    if version != VERSION:
        raise UserError(
            f"{layout.about}: of version {version}, this code reads version {VERSION}; "
            f"run: rm -r {layout.about} && {again}"
        )
    check_checksums(layout.collected_checksums, [getattr(layout, name) for name in COLLECTED_FILES], again)
    tables: dict[str, Any] = {}
    for name, (columns, _) in TABLES.items():
        path = getattr(layout, name)
        tables[name] = table = read(path, read_table)
        missing = [column for column in columns if column not in table]
        if missing:
            raise UserError(
                f"{path}: lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}; "
                f"run: rm -r {path} && {again}"
            )
    _check_runs(tables["metrics"], layout.metrics, f"run: rm -r {layout.metrics} && {again}")
    costs = read(layout.telemetry, _read_costs)
    names = tables["metrics"].drop_duplicates("key")[NAMES]
    tables["lock"] = read(layout.lock, _read_json)
    if analysed:
        check_checksums(layout.analysed_checksums, [getattr(layout, name) for name in ANALYSED_FILES], again)
        for name in ANALYSED_FILES:
            path = getattr(layout, name)
            tables[name] = read(path, _read_json if path.suffix == ".json" else read_table)
    return Results(about, costs=names.merge(costs, on="key", how="left"), **tables)


def _read_json(path: Path) -> Any:
    """The value in a JSON file."""
    return json.loads(path.read_text())


def read_table(path: Path) -> pd.DataFrame:
    """A table in the format that its name says.

    A key of digits only is still a text; so is the name of a section, empty where a study has one only.
    """
    if path.suffix != ".csv":
        return pd.read_parquet(path)
    return pd.read_csv(path, dtype={"key": str, "section": str}).fillna({"section": ""})


def _read_costs(path: Path) -> pd.DataFrame:
    """A table of the lines of telemetry.jsonl. ValueError when they are not one per run."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    if not rows or not all(isinstance(row, dict) and "key" in row for row in rows):
        raise ValueError("not every line is of a run")
    costs = pd.DataFrame(rows)
    if costs["key"].duplicated().any():
        raise ValueError("a run stands there twice")
    return costs


def _check_runs(metrics: pd.DataFrame, where: Path, remedy: str) -> None:
    """UserError when the table holds what no study can: analysis would give a wrong number for it."""

    def refuse(rows: pd.DataFrame, what: str) -> None:
        if len(rows):
            first = "/".join(str(rows.iloc[0][name]) for name in (*NAMES[:3], "seed") if name in rows)
            raise UserError(f"{where}: {what}{f' (first: {first})' if first else ''}; {remedy}")

    if metrics.empty:
        raise UserError(f"{where}: holds no runs; {remedy}")
    refuse(metrics[metrics.duplicated(["key", "output"])], "holds an output of a run twice")
    runs = metrics.drop_duplicates("key")
    refuse(runs[runs.duplicated([*NAMES[:4], "seed", "device_class"])], "holds a run twice")
    refuse(metrics[~metrics["status"].isin(STATUSES)], f"holds a status other than {', '.join(STATUSES)}")
    accuracy = pd.to_numeric(metrics["accuracy"], errors="coerce")
    done = metrics["status"] == "finished"
    refuse(metrics[done & ~accuracy.between(0, 100)], "a finished run has no accuracy from 0 to 100")
    refuse(metrics[~done & accuracy.notna()], "a run that did not finish has an accuracy")


def find_partly_trained(metrics: pd.DataFrame) -> set[str]:
    """Keys of the runs that leave some pathway as it was drawn."""
    return set(metrics[metrics["trained"] == False]["key"])  # noqa: E712 - a column of objects


def measure_runs(metrics: pd.DataFrame) -> pd.DataFrame:
    """One row per run with a column per measure, accuracies in percent.

    Empty for runs that diverged or crashed; their `status` says so. Measures that an untrained pathway would
    enter are empty too: such a pathway's accuracy says nothing.
    """
    names = ["dataset", "architecture", "method", "recipe", "seed", "key", "status", "device_class"]
    runs = metrics.drop_duplicates("key")[[*names, "train_images", "test_images"]].set_index("key")
    runs[PRIMARY] = metrics[metrics["primary"] == True].set_index("key")["accuracy"]  # noqa: E712 - may be empty
    trained = metrics[~metrics["key"].isin(find_partly_trained(metrics))]
    alone = trained[trained["pathway"].notna()].groupby("key")["accuracy"]
    runs[MERGED] = trained[trained["output"] == MERGED].set_index("key")["accuracy"]
    runs[SOFTMAX_AVERAGE] = trained[trained["output"] == SOFTMAX_AVERAGE].set_index("key")["accuracy"]
    runs[PATHWAYS] = alone.mean()
    runs[WEAKEST] = alone.min()
    return runs.reset_index()
