"""Every claim's verdict, from a study's tables and the claims in its study.json.

A claim is judged in each setting of which the study has runs (published, small scale, exploratory): the paired
differences of all its comparisons, outputs, architectures and datasets, then the rules of `verdicts`.
"""

import json
import math
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from guidebp.analysis.claim_metrics import ClaimMetrics, PairedDifferences
from guidebp.analysis.results import Results
from guidebp.analysis.statistics import Interval, compute_interval, correct_by_holm
from guidebp.analysis.verdicts import (
    NOT_ENOUGH,
    Outcome,
    combine_cells,
    combine_readings,
    combine_with_unfailed,
    find_verdict_interval,
    judge_cell,
    name_verdict,
)
from guidebp.errors import UserError
from guidebp.files import check_checksums
from guidebp.paths import StudyPaths
from guidebp.schema.claims import find_deciding_seeds
from guidebp.study.plan import plan_claims
from guidebp.study.study import Study

Json = dict[str, Any]
Cell = tuple[Hashable, ...]  # values of CELL

# One row per paired difference that a claim looks at. `role`: decides, reading (of the candidate) or context
# (shown, does not affect the verdict).
CLAIM_COLUMNS = [
    *(
        "claim",
        "setting",
        "role",
        "dataset",
        "architecture",
        "baseline_architecture",
        "candidate",
        "baseline",
    ),
    "output",
    *Interval._fields,
    *("failed", "failed_baseline", "missing"),
    *("n_finished", "difference_finished", "low_finished", "high_finished"),
    *("p_holm", "margin"),
]
CELL = ["dataset", "architecture", "baseline_architecture"]
LOWEST = [*CELL, "candidate", "baseline", "output"]
# Working columns: the number of a row's comparison, its Interval, and that of pairs whose candidate did not fail.
_INTERVALS = ["comparison", "interval", "unfailed"]
_UNKNOWN = compute_interval(np.empty(0))
DECIDES, READING, CONTEXT = "decides", "reading", "context"


def judge_claims(results: Results) -> tuple[list[Json], pd.DataFrame]:
    """The claims with their verdicts, and the paired differences behind them with the columns CLAIM_COLUMNS."""
    metrics = ClaimMetrics(results)
    judged, tables = [], []
    for name, claim in results.about["claims"].items():
        settings = {}
        for setting_name, setting in claim["settings"].items():
            substituted = apply_substitutes(claim, setting["substitutes"])
            rows = list(_compute_claim_rows(metrics, substituted, setting_name, setting))
            table = pd.DataFrame(rows, columns=[*CLAIM_COLUMNS, *_INTERVALS])
            if table.empty or not (table["role"] == DECIDES).any():
                continue
            table = table.assign(claim=name, setting=setting_name, margin=claim["margin"])
            decides = table["role"] == DECIDES
            table.loc[decides, "p_holm"] = correct_by_holm(table.loc[decides, "p"])
            tables.append(table[CLAIM_COLUMNS])
            changed = have_rules_changed(results.lock, name, setting_name)
            settings[setting_name] = _judge_setting(substituted, setting, setting_name, table, changed)
        judged.append(summarise_claim(name, claim, settings))
    # joined as records: tables of which all values are missing would lose their types
    records = [row for table in tables for row in table.to_dict("records")]
    return judged, pd.DataFrame(records, columns=CLAIM_COLUMNS)


def load_verdicts(study: Study) -> list[Json]:
    """The verdicts of an analysed study; before there are any, what it would take to test each claim."""
    layout = StudyPaths(study.name)
    path, again = layout.verdicts, f"snakemake --config study={study.name}"
    if path.exists():
        check_checksums(layout.analysed_checksums, [path], again)
        try:
            verdicts: list[Json] = json.loads(path.read_text())
        except (OSError, ValueError, RecursionError) as error:
            raise UserError(f"{path}: cannot be read ({error}); run: rm -r {path} && {again}") from error
        return verdicts
    return [summarise_claim(name, claim, {}) for name, claim in plan_claims(study).items()]


def summarise_claim(name: str, claim: Json, settings: dict[str, Json]) -> Json:
    """A claim with its verdict, which the first deciding setting with enough runs gives; that setting leads."""
    deciding = [setting for setting in ("published", "small-scale") if setting in settings]
    # one seed of the published protocol does not hide a verdict at small scale
    enough = [setting for setting in deciding if settings[setting]["outcome"] != NOT_ENOUGH]
    decided: Any = next(iter(enough or deciding), None)
    verdict = settings.get(decided, {})
    flags = {key: verdict[key] for key in ("outcome", "partial", "rules_changed") if verdict}
    kept = ("paper", "statement", "source", "published", "metric", "rule", "margin")
    return {
        "name": name,
        **{key: claim[key] for key in kept},
        "unit": "percent" if claim["metric"].startswith("time") else "points",
        "differs": claim["differs"],
        "verdict": name_verdict(decided, **flags, alone=True) if verdict else "not tested",
        "rules_changed": bool(verdict) and verdict["rules_changed"],
        "decided": decided,
        "settings": {
            setting: settings[setting] for setting in sorted(settings, key=lambda setting: setting != decided)
        },
        "plan": claim["plan"],
    }


def apply_substitutes(claim: Json, substitutes: dict[str, str]) -> Json:
    """The claim with its methods replaced by their substitutes in a setting."""

    def substitute(side: Json) -> Json:
        return side | {"method": substitutes.get(side["method"], side["method"])}

    return claim | {
        "comparisons": [
            {name: substitute(side) for name, side in pair.items()} for pair in claim["comparisons"]
        ],
        **{
            key: [substitutes.get(name, name) for name in claim[key]]
            for key in ("readings", "context_methods")
        },
    }


def have_rules_changed(lock: Json, claim: str, setting: str) -> bool:
    """Return True if a run of the claim in the setting was trained under another rule than today's, or under none.

    Args:
        lock: claims.lock.json.
    """
    rules = lock.get(claim, {}).get(setting, {"now": None, "runs": {}})
    return any(rule != rules["now"] for rule in rules["runs"])


def _compute_claim_rows(metrics: ClaimMetrics, claim: Json, name: str, setting: Json) -> Iterator[Json]:
    """The paired differences of a claim in a setting, each with its intervals."""
    seeds = find_deciding_seeds(name)
    for dataset in setting["datasets"]:
        for pair in setting["architectures"]:
            architecture, other = (
                (pair, pair) if isinstance(pair, str) else (pair["candidate"], pair["baseline"])
            )
            for number, (role, comparison) in enumerate(_list_comparisons(claim)):
                candidate, baseline = comparison["candidate"], comparison["baseline"]
                sides = (
                    (architecture, candidate["method"], candidate["metric"] or claim["metric"]),
                    (other, baseline["method"], baseline["metric"] or claim["metric"]),
                )
                names = {
                    "role": role,
                    "dataset": dataset,
                    "architecture": architecture,
                    "baseline_architecture": other,
                    "candidate": candidate["method"],
                    "baseline": baseline["method"],
                    "comparison": number,
                }
                for differences in metrics.pair_runs(dataset, *sides, setting["recipes"], seeds):
                    yield names | _describe_differences(differences)


def _list_comparisons(claim: Json) -> Iterator[tuple[str, Json]]:
    """(role, comparison): the claim's own, those of its readings, and those with its context methods."""
    primary = claim["comparisons"][0]["candidate"]["method"]
    for comparison in claim["comparisons"]:
        yield DECIDES, comparison
        if comparison["candidate"]["method"] == primary:
            for reading in claim["readings"]:
                if reading != primary:
                    yield READING, comparison | {"candidate": comparison["candidate"] | {"method": reading}}
    for method in claim["context_methods"]:
        candidate = claim["comparisons"][0]["candidate"]
        yield CONTEXT, {"candidate": candidate, "baseline": {"method": method, "metric": None}}


def _describe_differences(pairs: PairedDifferences) -> Json:
    """The columns of CLAIM_COLUMNS and _INTERVALS that differences decide."""
    finished = pairs.select(pairs.finished)
    return {
        "output": pairs.output,
        "interval": pairs.interval,
        "unfailed": pairs.select(pairs.candidate_finished),
        **pairs.interval._asdict(),
        "failed": pairs.failed,
        "failed_baseline": pairs.failed_baseline,
        "missing": pairs.missing,
        "n_finished": finished.n,
        "difference_finished": finished.difference,
        "low_finished": finished.low,
        "high_finished": finished.high,
    }


@dataclass(frozen=True)
class SettingOutcome:
    """The outcome of a claim in a setting, with the outcomes and gaps that explain it.

    Attributes:
        cells: outcome by values of CELL, of the primary reading.
        primary: what all cells say together.
        outcome: the same after all readings.
        readings: outcome of each other reading; None where it was not trained.
        absent: cells of the setting without runs.
        lacking: comparisons without runs of a side in a cell that has others.
        missing: planned seeds without a run.
    """

    cells: dict[Cell, Outcome]
    primary: Outcome
    outcome: Outcome
    readings: dict[str, Outcome | None]
    absent: int
    lacking: int
    missing: int

    @property
    def partial(self) -> bool:
        """Return True if planned runs are absent."""
        return self.absent > 0 or self.missing > 0 or self.lacking > 0


def _judge_setting(claim: Json, setting: Json, name: Any, table: pd.DataFrame, rules_changed: bool) -> Json:
    """The verdict in one setting, and what it rests on."""
    decides = table[table["role"] == DECIDES]
    judged = _combine_outcomes(claim, setting, decides, table[table["role"] == READING])
    lowest = decides.iloc[find_verdict_interval(list(decides["interval"]))]
    return {
        "outcome": judged.outcome,
        "verdict": name_verdict(name, judged.outcome, judged.partial, rules_changed),
        "partial": judged.partial,
        "rules_changed": rules_changed,
        "why": " ".join(_explain_outcome(judged, decides)),
        "effect": _round_number(lowest["difference"]),
        "low": _round_number(lowest["low"]),
        "high": _round_number(lowest["high"]),
        "n": int(lowest["n"]),
        "lowest": {key: lowest[key] for key in LOWEST},
        "cells": [
            {"dataset": dataset, "architecture": architecture, "outcome": outcome}
            for (dataset, architecture, _), outcome in judged.cells.items()
        ],
        "readings": judged.readings,
    }


def _combine_outcomes(
    claim: Json, setting: Json, decides: pd.DataFrame, of_readings: pd.DataFrame
) -> SettingOutcome:
    """The outcome of all cells and readings; `decides`, `of_readings`: the rows with these roles."""
    primary = claim["comparisons"][0]["candidate"]["method"]
    cells = _judge_cells(claim, decides)
    readings: dict[str, Outcome | None] = {name: None for name in claim["readings"] if name != primary}
    for reading, rows in of_readings.groupby("candidate", sort=False):
        fixed = decides[decides["candidate"] != primary]  # comparisons of another candidate
        trained = _judge_cells(claim, pd.concat([rows, fixed]))
        readings[str(reading)] = combine_cells([trained.get(cell, NOT_ENOUGH) for cell in cells])
    own = combine_cells(list(cells.values()))
    compared = len(decides.drop_duplicates([*CELL, "comparison"]))
    return SettingOutcome(
        cells=cells,
        primary=own,
        outcome=combine_readings(own, list(readings.values())),
        readings=readings,
        absent=len(setting["datasets"]) * len(setting["architectures"]) - len(cells),
        lacking=len(cells) * len(claim["comparisons"]) - compared,
        missing=int(decides["missing"].max()),
    )


def _judge_cells(claim: Json, rows: pd.DataFrame) -> dict[Cell, Outcome]:
    """Outcome by values of CELL; of a comparison without runs nothing is known."""
    cells: dict[Cell, list[tuple[Interval, Interval, int]]] = {}
    columns = (rows[column] for column in (*CELL, *_INTERVALS))
    for *cell, number, interval, unfailed in zip(*columns, strict=True):
        cells.setdefault(tuple(cell), []).append((interval, unfailed, number))
    outcomes = {}
    for cell_names, compared in cells.items():
        intervals, unfailed_intervals, numbers = zip(*compared, strict=True)
        unknown = [_UNKNOWN] * (len(claim["comparisons"]) - len(set(numbers)))
        every, unfailed = (
            judge_cell([*chosen, *unknown], claim["rule"], claim["margin"])
            for chosen in (intervals, unfailed_intervals)
        )
        outcomes[cell_names] = combine_with_unfailed(every, unfailed)
    return outcomes


def _explain_outcome(judged: SettingOutcome, decides: pd.DataFrame) -> Iterator[str]:
    """Sentences on how the outcome came about."""
    if len(judged.cells) > 1:
        outcomes = list(judged.cells.values())
        counts = ", ".join(f"{outcome} on {outcomes.count(outcome)}" for outcome in dict.fromkeys(outcomes))
        yield f"Of {len(outcomes)} datasets and architectures: {counts}."
    if judged.primary != judged.outcome:
        others = [f"{name} {o or 'not trained'}" for name, o in judged.readings.items() if o != "fails"]
        yield f"The primary reading fails; these readings do not: {', '.join(others)}."
    if judged.absent:
        yield f"{judged.absent} of the setting's datasets and architectures have no runs."
    if judged.lacking:
        yield f"{judged.lacking} comparisons lack the runs of a side where others have them."
    unknown = decides[decides["n"] == 0]["output"].unique()
    if len(unknown):
        yield f"These runs say nothing of {', '.join(unknown)}."
    if judged.missing:
        yield f"{judged.missing} planned seeds are missing."
    for column, side in (("failed", "the candidate"), ("failed_baseline", "the baseline")):
        if count := int(decides[column].max()):
            yield f"Up to {count} runs of {side} diverged or crashed and count as chance."


def _round_number(value: float) -> float | None:
    """A number for JSON, which has no NaN."""
    return None if math.isnan(value) else round(float(value), 6)
