"""Every claim's verdict, from a study's tables and the claims in its study.json.

A claim is judged at each scale of which the study has runs (published protocol, desk proxy, exploratory): the
paired differences of all its comparisons, outputs, networks and datasets, then the rules of `verdicts`.
"""

import json
import math
import sys
from collections.abc import Hashable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from guidebp.analysis.claim_metrics import Outcomes, Paired
from guidebp.analysis.results import Results
from guidebp.analysis.statistics import Interval, holm, mean_interval
from guidebp.analysis.verdicts import (
    NOT_ENOUGH,
    WORDS,
    Standing,
    of_cell,
    of_cells,
    of_failures,
    of_readings,
    weakest,
)
from guidebp.errors import UserError
from guidebp.files import check_checksums
from guidebp.paths import StudyPaths
from guidebp.schema.claims import DECIDING
from guidebp.study.plan import described
from guidebp.study.study import Study

Json = dict[str, Any]
Cell = tuple[Hashable, ...]  # dataset, network, network_than

# One row per paired difference that a claim looks at. `role`: decides, reading (in place of the better side) or
# beside (shown, decides nothing).
PARTS = [
    *("claim", "scale", "role", "dataset", "network", "network_than", "method", "than", "output"),
    *Interval._fields,
    *(
        "failed",
        "failed_than",
        "missing",
        "n_finished",
        "difference_finished",
        "low_finished",
        "high_finished",
    ),
    *("p_holm", "margin"),
]
# What stands behind a row: the number of its comparison, its Interval, that without pairs that the first side lost.
BEHIND = ["comparison", "interval", "kept"]
CELL = ["dataset", "network", "network_than"]
UNKNOWN = mean_interval(np.empty(0))
DECIDES, READING, BESIDE = "decides", "reading", "beside"


def judge(results: Results) -> tuple[list[Json], pd.DataFrame]:
    """The claims in the order of config/claims.yaml, and the differences behind them with the columns PARTS."""
    outcomes = Outcomes(results)
    judged, rows = [], []
    for name, claim in results.about["claims"].items():
        scales = {}
        for scale, ground in claim["grounds"].items():
            here = standing_in(claim, ground["instead"])
            parts = pd.DataFrame(parts_of(outcomes, here, scale, ground), columns=[*PARTS, *BEHIND])
            if parts.empty or not (parts["role"] == DECIDES).any():
                continue
            parts = parts.assign(claim=name, scale=scale, margin=claim["margin"])
            decides = parts["role"] == DECIDES
            parts.loc[decides, "p_holm"] = holm(parts.loc[decides, "p"])
            rows.append(parts[PARTS])
            scales[scale] = judged_scale(here, ground, scale, parts)
        judged.append(headline(name, claim, scales))
    # joined as records: tables of which all values are missing would lose their types
    return judged, pd.DataFrame([row for table in rows for row in table.to_dict("records")], columns=PARTS)


def verdicts(study: Study) -> list[Json]:
    """The verdicts of an analysed study; before there are any, what it would take to test each claim."""
    layout = StudyPaths(study.name)
    path, again = layout.verdicts, f"snakemake --config study={study.name}"
    if path.exists():
        check_checksums(layout.analysed_checksums, [path], again)
        try:
            found: list[Json] = json.loads(path.read_text())
        except (OSError, ValueError, RecursionError) as error:
            raise UserError(f"{path}: cannot be read ({error}); run: rm -r {path} && {again}") from error
        return found
    return [headline(name, claim, {}) for name, claim in described(study).items()]


def parts_of(outcomes: Outcomes, claim: Json, scale: str, ground: Json) -> Iterator[Json]:
    """The paired differences of a claim on a ground, each with its Interval."""
    primary = claim["comparisons"][0]["better"]["method"]
    seeds = range(sys.maxsize) if scale == "exploratory" else DECIDING
    for dataset in ground["datasets"]:
        for network in ground["networks"]:
            first, second = (
                (network, network) if isinstance(network, str) else (network["better"], network["than"])
            )
            for number, (role, comparison) in enumerate(roles(claim, primary)):
                better, than = comparison["better"], comparison["than"]
                sides = (
                    (first, better["method"], better["metric"] or claim["metric"]),
                    (second, than["method"], than["metric"] or claim["metric"]),
                )
                for pair in outcomes.pairs(dataset, *sides, ground["recipes"], seeds):
                    where = {"dataset": dataset, "network": first, "network_than": second}
                    methods = {"role": role, "method": better["method"], "than": than["method"]}
                    yield where | methods | {"comparison": number} | numbers(pair)


def standing_in(claim: Json, instead: dict[str, str]) -> Json:
    """The claim with the methods that stand in for its own on a ground."""

    def side(found: Json) -> Json:
        return found | {"method": instead.get(found["method"], found["method"])}

    return claim | {
        "comparisons": [{name: side(one) for name, one in pair.items()} for pair in claim["comparisons"]],
        "readings": [instead.get(name, name) for name in claim["readings"]],
        "beside": [instead.get(name, name) for name in claim["beside"]],
    }


def roles(claim: Json, primary: str) -> Iterator[tuple[str, Json]]:
    """The claim's comparisons, those of its readings, and those with the methods beside."""
    for comparison in claim["comparisons"]:
        yield DECIDES, comparison
        if comparison["better"]["method"] == primary:
            for reading in claim["readings"]:
                if reading != primary:
                    yield READING, comparison | {"better": comparison["better"] | {"method": reading}}
    for method in claim["beside"]:
        yield (
            BESIDE,
            {"better": claim["comparisons"][0]["better"], "than": {"method": method, "metric": None}},
        )


def numbers(pair: Paired) -> Json:
    """The columns of a paired difference."""
    found, finished = pair.interval, pair.of_finished
    return {
        "output": pair.output,
        "interval": found,
        "kept": pair.of(pair.kept),
        **found._asdict(),
        "failed": pair.failed,
        "failed_than": pair.failed_than,
        "missing": pair.missing,
        "n_finished": finished.n,
        "difference_finished": finished.difference,
        "low_finished": finished.low,
        "high_finished": finished.high,
    }


def judged_scale(claim: Json, ground: Json, scale: str, parts: pd.DataFrame) -> Json:
    """The verdict at one scale, and what it rests on."""
    primary = claim["comparisons"][0]["better"]["method"]
    decides = parts[parts["role"] == DECIDES]
    cells = standings(claim, decides)
    readings: dict[str, Standing | None] = {
        reading: None for reading in claim["readings"] if reading != primary
    }
    for reading, rows in parts[parts["role"] == READING].groupby("method", sort=False):
        fixed = decides[decides["method"] != primary]  # comparisons that the reading does not stand for
        tried = standings(claim, pd.concat([rows, fixed]))
        readings[str(reading)] = of_cells([tried.get(cell, NOT_ENOUGH) for cell in cells])
    own = of_cells(list(cells.values()))
    standing = of_readings(own, list(readings.values()))
    planned = len(ground["datasets"]) * len(ground["networks"])
    absent, missing = planned - len(cells), int(decides["missing"].max())
    lacking = len(cells) * len(claim["comparisons"]) - len(decides.drop_duplicates([*CELL, "comparison"]))
    partial = absent > 0 or missing > 0 or lacking > 0
    worst = decides.iloc[weakest(list(decides["interval"]))]
    return {
        "standing": standing,
        "word": word(scale, standing, partial),
        "why": " ".join(reasons(cells, own, standing, readings, absent, missing, lacking, decides)),
        "effect": known(worst["difference"]),
        "low": known(worst["low"]),
        "high": known(worst["high"]),
        "n": int(worst["n"]),
        "where": {
            key: worst[key] for key in ("dataset", "network", "network_than", "method", "than", "output")
        },
        "cells": [{"dataset": d, "network": n, "standing": found} for (d, n, _), found in cells.items()],
        "readings": readings,
    }


def known(value: float) -> float | None:
    """A number for JSON, which has no NaN."""
    return None if math.isnan(value) else round(float(value), 6)


def standings(claim: Json, parts: pd.DataFrame) -> dict[Cell, Standing]:
    """(dataset, networks) to what its parts say together; of a comparison without runs nothing is known."""
    cells: dict[Cell, list[tuple[Interval, Interval, int]]] = {}
    columns = (parts[column] for column in (*CELL, *BEHIND))
    for *cell, number, interval, kept in zip(*columns, strict=True):
        cells.setdefault(tuple(cell), []).append((interval, kept, number))
    found = {}
    for at, rows in cells.items():
        intervals, kept_ones, compared = zip(*rows, strict=True)
        lacking = [UNKNOWN] * (len(claim["comparisons"]) - len(set(compared)))
        every, kept = (
            of_cell([*those, *lacking], claim["rule"], claim["margin"]) for those in (intervals, kept_ones)
        )
        found[at] = of_failures(every, kept)
    return found


def word(scale: str, standing: Standing, partial: bool) -> str:
    """The verdict's word; runs that are planned and absent leave it open whether it stays."""
    return WORDS[scale].get(standing, standing) + (" so far" if partial and standing != NOT_ENOUGH else "")


def reasons(
    cells: dict[Cell, Standing],
    own: Standing,
    standing: Standing,
    readings: dict[str, Standing | None],
    absent: int,
    missing: int,
    lacking: int,
    decides: pd.DataFrame,
) -> Iterator[str]:
    """Sentences on how the verdict came about."""
    if len(cells) > 1:
        counts = {s: list(cells.values()).count(s) for s in dict.fromkeys(cells.values())}
        text = ", ".join(f"{found} on {count}" for found, count in counts.items())
        yield f"Of {len(cells)} datasets and networks: {text}."
    if own != standing:
        others = [f"{name} {found or 'not tried'}" for name, found in readings.items() if found != "fails"]
        yield f"The primary reading fails; not so {', '.join(others)}."
    if absent:
        yield f"{absent} of the ground's datasets and networks have no runs."
    if lacking:
        yield f"{lacking} comparisons lack the runs of a side where others have them."
    unknown = decides[decides["n"] == 0]["output"].unique()
    if len(unknown):
        yield f"These runs say nothing of {', '.join(unknown)}."
    if missing:
        yield f"{missing} planned seeds are missing."
    for column, side in (("failed", "the side the claim speaks for"), ("failed_than", "the other side")):
        if count := int(decides[column].max()):
            yield f"Up to {count} runs of {side} diverged or crashed and count as chance."


def headline(name: str, claim: Json, scales: dict[str, Json]) -> Json:
    """What a reader wants first of a claim."""
    deciding = [scale for scale in ("published", "desk") if scale in scales]
    # one seed of the published protocol does not hide what its proxy says
    enough = [scale for scale in deciding if scales[scale]["standing"] != NOT_ENOUGH]
    decided = next(iter(enough or deciding), None)
    first = sorted(scales, key=lambda scale: scale != decided)  # the one that decides leads
    return {
        "name": name,
        **{
            key: claim[key]
            for key in ("paper", "statement", "source", "published", "metric", "rule", "margin")
        },
        "unit": "percent" if claim["metric"].startswith("time") else "points",
        "differs": claim["differs"],
        "verdict": scales[decided]["word"] if decided else "not tested",
        "decided": decided,
        "scales": {scale: scales[scale] for scale in first},
        "plan": claim["plan"],
    }
