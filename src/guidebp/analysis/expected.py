"""Expected results: how many test images each output of a run should classify correctly.

`results/expected/STUDY.csv` is in git. It has no run keys, so that a source edit never obliges anyone to renew it.
It may hold a run's outcome for several instruction sets, because floating-point results depend on the processor.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from guidebp.analysis.results import load_results
from guidebp.errors import UserError
from guidebp.files import write_atomic
from guidebp.paths import StudyPaths

RUN_COLUMNS = ["dataset", "architecture", "method", "seed"]
MACHINE_COLUMNS = ["instructions", "processor", "torch"]
EXPECTED_COLUMNS = [*RUN_COLUMNS, "output", "correct", "test_images", "status", *MACHINE_COLUMNS]
UNKNOWN = "unknown"


class RunName(NamedTuple):
    """Identifies a run within a study."""

    dataset: str
    architecture: str
    method: str
    seed: int

    def __str__(self) -> str:
        return f"{self.dataset}/{self.architecture}/{self.method}/seed {self.seed}"


@dataclass(frozen=True)
class ExpectedRun:
    """The results of a run, and the machine that trained it.

    Attributes:
        correct: test images that each output classifies correctly; None where the run has no final evaluation.
        processor: the maker, as the first word of the processor's name.
        device: "cpu", or the name of the GPU.
    """

    status: str
    correct: dict[str, int | None]
    test_images: int | None
    instructions: str
    processor: str
    torch: str
    device: str = "cpu"


@dataclass(frozen=True)
class ExpectedComparison:
    """Comparison of the runs of a study with its expected results.

    Attributes:
        table: the file with the expected results.
        planned: number of runs in the table.
        missing: runs of the table that are not trained.
        additional: trained runs that the table does not have.
        changed: runs that differ in the number of correctly classified test images.
        largest: of these, the largest difference in images, and the number of test images.
        incomparable: runs with another status, other outputs or another test set, and how they differ.
        reasons: likely reasons of the differences.
    """

    table: Path
    planned: int
    missing: list[RunName]
    additional: list[RunName]
    changed: list[RunName]
    largest: tuple[int, int]
    incomparable: dict[RunName, str]
    reasons: list[str]

    @property
    def matching(self) -> int:
        """Number of runs that gave what the table expects."""
        return self.planned - len(self.missing) - len(self.changed) - len(self.incomparable)

    def message(self, study: str) -> str:
        """One line if all runs match; otherwise what differs, by how much, and the likely reason."""
        lines = [f"{self.matching} of {self.planned} runs match the expected results"]
        if self.changed:
            images, total = self.largest
            lines.append(
                f"{_count_runs(self.changed, 'differs', 'differ')} from {self.table} "
                f"by at most {images} of {total} test images ({100 * images / total:.2f} points)"
            )
        if self.incomparable:
            run, text = next(iter(self.incomparable.items()))
            lines.append(
                f"{_count_runs(self.incomparable, 'differs', 'differ')} from {self.table} in more than that "
                f"(first: {run}: {text})"
            )
        if self.reasons:
            lines.append(f"likely reason: {'; '.join(self.reasons)}")
        if self.missing:
            lines.append(
                f"{_count_runs(self.missing, 'is', 'are')} missing (first: {self.missing[0]}); "
                f"run: snakemake --config study={study}"
            )
        if self.additional:
            lines.append(
                f"{_count_runs(self.additional, 'is', 'are')} not in {self.table} (first: {self.additional[0]})"
            )
        return "\n".join(lines)


def write_expected(paths: StudyPaths) -> Path:
    """Write the collected study into its table of expected results and return the table's path.

    Outcomes of other instruction sets stay, as far as the study still has their runs.

    Raises UserError when the study tunes, is not collected as a whole, or has a run that was not trained on a CPU.
    """
    results = load_results(paths)
    if results.about["tunes"]:
        raise UserError(f"study '{paths.study}' tunes: its runs have no name without their learning rate")
    trained = results.metrics.loc[results.metrics["status"] != "missing", "key"].nunique()
    if trained != results.about["planned"]:
        raise UserError(
            f"{paths.metrics}: not the whole study (found {trained} runs, expected {results.about['planned']}). "
            f"Run: snakemake --config study={paths.study}"
        )
    table = _tabulate_outputs(results.metrics, results.costs)
    if (table["device_class"] != "cpu").any():
        devices = ", ".join(sorted(set(table["device_class"])))
        raise UserError(f"{paths.telemetry}: trained on other devices (found {devices}, expected cpu alone)")
    if paths.expected.exists():
        table = pd.concat([table, _select_other_machines(_read_table(paths.expected), table)])
    table = table.sort_values("instructions", kind="stable")[EXPECTED_COLUMNS]
    write_atomic(paths.expected, table.to_csv(index=False, lineterminator="\n").encode())
    return paths.expected


def compare_with_expected(paths: StudyPaths) -> ExpectedComparison | None:
    """Compare the collected study with its expected results; None for a study without such a table.

    A run is compared with the outcome on its own instruction set, or else with the first one in the table.

    Raises UserError when the study is not collected or one of the tables is damaged.
    """
    if not paths.expected.exists():
        return None
    expected: dict[RunName, dict[str, ExpectedRun]] = {}
    table = _read_table(paths.expected)
    for instructions, rows in table.groupby("instructions", sort=False):
        for run, outcome in _read_outcomes(rows.assign(device_class="cpu")).items():
            expected.setdefault(run, {})[str(instructions)] = outcome
    results = load_results(paths)
    outcomes = _read_outcomes(_tabulate_outputs(results.metrics, results.costs))
    return _compare_outcomes(paths.expected, expected, outcomes)


def _select_other_machines(table: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """The rows of `table` for runs that `new` has, but only on other instruction sets."""

    def is_in_new(columns: list[str]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        return pd.MultiIndex.from_frame(table[columns]).isin(pd.MultiIndex.from_frame(new[columns]))

    return table[is_in_new(RUN_COLUMNS) & ~is_in_new([*RUN_COLUMNS, "instructions"])]


def _count_runs(runs: Collection[RunName], singular: str, plural: str) -> str:
    """The number of runs with the verb that follows it."""
    return f"1 run {singular}" if len(runs) == 1 else f"{len(runs)} runs {plural}"


def _compare_outcomes(
    table: Path,
    expected: Mapping[RunName, Mapping[str, ExpectedRun]],
    outcomes: Mapping[RunName, ExpectedRun],
) -> ExpectedComparison:
    """The comparison of trained runs with the table's outcomes, which are given per instruction set."""
    trained = {run: outcome for run, outcome in outcomes.items() if outcome.status != "missing"}
    changed: dict[RunName, tuple[int, int]] = {}
    incomparable: dict[RunName, str] = {}
    reasons: dict[str, None] = {}
    for run, by_instructions in expected.items():
        if run not in trained:
            continue
        outcome = trained[run]
        reference = by_instructions.get(outcome.instructions) or next(iter(by_instructions.values()))
        difference = _describe_incomparable(outcome, reference)
        if difference:
            incomparable[run] = difference
        else:
            images = max(
                (
                    abs((outcome.correct[name] or 0) - (right or 0))
                    for name, right in reference.correct.items()
                ),
                default=0,
            )
            if not images:
                continue
            changed[run] = images, reference.test_images or 1
        reasons[_likely_reason(outcome, reference)] = None
    return ExpectedComparison(
        table=table,
        planned=len(expected),
        missing=[run for run in expected if run not in trained],
        additional=[run for run in trained if run not in expected],
        changed=list(changed),
        largest=max(changed.values(), key=lambda pair: pair[0] / pair[1], default=(0, 0)),
        incomparable=incomparable,
        reasons=list(reasons),
    )


def _describe_incomparable(outcome: ExpectedRun, reference: ExpectedRun) -> str:
    """Why counts of correctly classified images cannot be compared; empty where they can."""
    if outcome.status != reference.status:
        return f"{outcome.status}, expected {reference.status}"
    if outcome.correct.keys() != reference.correct.keys():
        return f"outputs {', '.join(outcome.correct)}, expected {', '.join(reference.correct)}"
    if outcome.test_images != reference.test_images:
        return f"{outcome.test_images} test images, expected {reference.test_images}"
    return ""


def _likely_reason(outcome: ExpectedRun, reference: ExpectedRun) -> str:
    """The first thing in which the machine differs from that of the table, or else the code."""
    if UNKNOWN in (outcome.device, outcome.instructions):
        return "unknown; the machine of these runs is not recorded"
    if outcome.device != reference.device:
        return f"the runs were trained on {outcome.device}, the table was made on {reference.device}"
    for what, own, other in (
        ("instruction set", outcome.instructions, reference.instructions),
        ("torch", outcome.torch, reference.torch),
        ("processor", outcome.processor, reference.processor),
    ):
        if own != other:
            return f"the runs were trained with {what} {own}, the table was made with {other}"
    return "the code computes something else than when the table was made"


def _tabulate_outputs(metrics: pd.DataFrame, costs: pd.DataFrame) -> pd.DataFrame:
    """One row per run and output with `EXPECTED_COLUMNS` and device_class."""
    machines = costs.reindex(columns=["key", *MACHINE_COLUMNS]).astype(object).fillna(UNKNOWN)
    machines["processor"] = machines["processor"].str.split().str[0]
    table = metrics.merge(machines, on="key", how="left")
    images = pd.to_numeric(table["test_images"], errors="coerce")
    correct = pd.to_numeric(table["accuracy"], errors="coerce") * images / 100
    return table.assign(correct=correct.round().astype("Int64"), test_images=images.astype("Int64"))


def _read_outcomes(table: pd.DataFrame) -> dict[RunName, ExpectedRun]:
    """The outcome of every run in a table with one row per run and output."""
    outcomes: dict[RunName, ExpectedRun] = {}
    for names, rows in table.groupby(RUN_COLUMNS, sort=False):
        dataset, architecture, method, seed = names
        first = rows.iloc[0]
        outputs = rows[rows["output"].notna()]
        outcomes[RunName(str(dataset), str(architecture), str(method), int(str(seed)))] = ExpectedRun(
            status=str(first["status"]),
            correct=dict(zip(outputs["output"], _list_integers(outputs["correct"]), strict=True)),
            test_images=_list_integers(rows["test_images"])[0],
            instructions=str(first["instructions"]),
            processor=str(first["processor"]),
            torch=str(first["torch"]),
            device=str(first["device_class"]),
        )
    return outcomes


def _list_integers(column: pd.Series) -> list[int | None]:
    """The values of a column, None where there is none."""
    return [None if pd.isna(value) else int(value) for value in column]


def _read_table(path: Path) -> pd.DataFrame:
    """The table of expected results; raises UserError when it is damaged."""
    remedy = f"Run: git checkout {path}"
    types = {"correct": "Int64", "test_images": "Int64", "seed": "int64"}
    try:
        table = pd.read_csv(path, dtype={name: types.get(name, "str") for name in EXPECTED_COLUMNS})
    except (ValueError, OSError) as error:
        raise UserError(f"{path}: cannot be read ({' '.join(str(error).split())}). {remedy}") from error
    missing = [name for name in EXPECTED_COLUMNS if name not in table]
    if missing or table.empty:
        raise UserError(f"{path}: holds no rows or lacks columns ({', '.join(missing)}). {remedy}")
    return table
