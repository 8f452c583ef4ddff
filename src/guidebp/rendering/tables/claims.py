"""The claims with their verdicts as a table, and as text for a terminal."""

from textwrap import fill
from typing import Any

import pandas as pd

from guidebp.rendering.tables.text import format_signed
from guidebp.schema.claims import SETTING_TITLES

Json = dict[str, Any]
LOWEST_COLUMN = "lowest comparison"
CLAIM_TABLE_COLUMNS = [
    *("claim", "setting", "verdict", "effect", "95 % interval", "n", "rule"),
    LOWEST_COLUMN,
]


def tabulate_claims(verdicts: list[Json]) -> pd.DataFrame:
    """A row per claim and setting that has runs; a claim without deciding runs has one that says so.

    `effect`, interval and `n` are of the comparison with the lowest interval, which the verdict follows.
    """
    rows = []
    for claim in verdicts:
        first = {"claim": claim["name"], "rule": format_rule(claim)}
        if claim["decided"] is None:
            rows.append(first | {"verdict": claim["verdict"], LOWEST_COLUMN: format_plans(claim["plan"])})
        for setting, verdict in claim["settings"].items():
            names = {"setting": SETTING_TITLES[setting], "verdict": verdict["verdict"]}
            rows.append(first | names | format_lowest(claim, verdict))
    return pd.DataFrame(
        [dict.fromkeys(CLAIM_TABLE_COLUMNS, "-") | row for row in rows], columns=CLAIM_TABLE_COLUMNS
    )


def format_lowest(claim: Json, verdict: Json) -> Json:
    """The comparison with the lowest interval in a setting, as cells of the table."""
    unit = " %" if claim["unit"] == "percent" else ""
    lowest = verdict["lowest"]
    architectures = " against ".join(dict.fromkeys([lowest["architecture"], lowest["baseline_architecture"]]))
    low, high = (
        format_signed(verdict[bound]) if verdict[bound] is not None else None for bound in ("low", "high")
    )
    return {
        "effect": format_signed(verdict["effect"]) + unit if verdict["effect"] is not None else "-",
        "95 % interval": f"{low} to {high}{unit}" if low else "-",
        "n": str(verdict["n"]),
        LOWEST_COLUMN: f"{lowest['candidate']} - {lowest['baseline']}, {lowest['output']}: "
        f"{lowest['dataset']}, {architectures}",
    }


def format_rule(claim: Json) -> str:
    """The rule in a few words."""
    unit = "%" if claim["unit"] == "percent" else "points"
    if claim["rule"] == "superiority":
        return f"superiority: above 0, at least {claim['margin']:g} {unit}"
    return f"non-inferiority: above -{claim['margin']:g} {unit}"


def format_plans(plans: list[Json]) -> str:
    """The plans to test a claim: runs, hours by machine, command."""
    if not plans:
        return "no study trains its deciding runs yet"
    return "; ".join(
        f"{plan['runs']} runs, {_format_hours(plan['hours'])}: {plan['command']}" for plan in plans
    )


def format_claims(verdicts: list[Json]) -> str:
    """For a terminal: each claim with its verdict, statement, rule, and what the verdict rests on or needs."""
    paragraphs = []
    for claim in verdicts:
        lines = [claim["statement"], f"Rule: {format_rule(claim)}. Published: {claim['published']}."]
        for setting, verdict in claim["settings"].items():
            cells = format_lowest(claim, verdict)
            lines.append(
                f"{SETTING_TITLES[setting].capitalize()}: {verdict['verdict']}. "
                f"The verdict follows the comparison with the lowest interval, {cells[LOWEST_COLUMN]}: "
                f"{cells['effect']}, 95 % interval {cells['95 % interval']}, n = {cells['n']}. {verdict['why']}"
            )
        if claim["decided"] is None:
            lines.append(f"To test it: {format_plans(claim['plan'])}")
        paragraphs.append(f"{claim['name']}: {claim['verdict']}")
        paragraphs += [fill(line, 110, initial_indent="    ", subsequent_indent="      ") for line in lines]
    return "\n".join(paragraphs)


def _format_hours(hours: dict[str, float]) -> str:
    """Predicted hours by machine."""
    predicted = [f"{value:,.{int(value < 10)}f} h on {machine}" for machine, value in hours.items()]
    return " or ".join(predicted) if predicted else "hours unknown"
