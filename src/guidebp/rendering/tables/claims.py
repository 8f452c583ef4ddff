"""The claims with their verdicts as a table, and as text for a terminal."""

from textwrap import fill
from typing import Any

import pandas as pd

from guidebp.rendering.tables.text import format_signed

Json = dict[str, Any]


def claims_table(verdicts: list[Json]) -> pd.DataFrame:
    """A row per claim and scale that has runs; a claim without deciding runs has one that says so.

    `effect`, interval and `n` are of the weakest difference, the one on which it hangs whether all hold.
    """
    rows = []
    for claim in verdicts:
        first = {"claim": claim["name"], "rule": rule_text(claim)}
        if claim["decided"] is None:
            rows.append(first | {"verdict": claim["verdict"], "weakest difference": to_test(claim["plan"])})
        for scale, found in claim["scales"].items():
            shown = found["word"] if scale != "exploratory" else f"exploratory: {found['word']}"
            rows.append(first | {"verdict": shown} | numbers(claim, found))
    columns = ["claim", "verdict", "effect", "95 % interval", "n", "rule", "weakest difference"]
    return pd.DataFrame([dict.fromkeys(columns, "-") | row for row in rows], columns=columns)


def numbers(claim: Json, found: Json) -> Json:
    """The weakest difference of a scale."""
    unit = " %" if claim["unit"] == "percent" else ""
    place = found["where"]
    networks = " against ".join(dict.fromkeys([place["network"], place["network_than"]]))
    known = found["low"] is not None
    return {
        "effect": format_signed(found["effect"]) + unit if found["effect"] is not None else "-",
        "95 % interval": f"{format_signed(found['low'])} to {format_signed(found['high'])}{unit}"
        if known
        else "-",
        "n": str(found["n"]),
        "weakest difference": f"{place['method']} - {place['than']}, {place['output']}: "
        f"{place['dataset']}, {networks}",
    }


def rule_text(claim: Json) -> str:
    """The rule in a few words."""
    unit = "%" if claim["unit"] == "percent" else "points"
    if claim["rule"] == "superiority":
        return f"superiority: above 0, at least {claim['margin']:g} {unit}"
    return f"non-inferiority: above -{claim['margin']:g} {unit}"


def to_test(plans: list[Json]) -> str:
    """What it takes: runs, hours by machine, command."""
    if not plans:
        return "no study trains its deciding runs yet"
    return "; ".join(f"{plan['runs']} runs, {hours_text(plan['hours'])}: {plan['command']}" for plan in plans)


def hours_text(hours: dict[str, float]) -> str:
    """Predicted hours by machine."""
    known = [f"{value:,.{int(value < 10)}f} h on {machine}" for machine, value in hours.items()]
    return " or ".join(known) if known else "hours unknown"


def claims_text(verdicts: list[Json]) -> str:
    """For a terminal: each claim with its verdict, statement, rule, and what the verdict rests on or needs."""
    paragraphs = []
    for claim in verdicts:
        lines = [claim["statement"], f"Rule: {rule_text(claim)}. Published: {claim['published']}."]
        for scale, found in claim["scales"].items():
            shown = numbers(claim, found)
            lines.append(
                f"{scale.capitalize()}: {found['word']}. Weakest difference: {shown['weakest difference']}: "
                f"{shown['effect']}, 95 % interval {shown['95 % interval']}, n = {shown['n']}. {found['why']}"
            )
        if claim["decided"] is None:
            lines.append(f"To test it: {to_test(claim['plan'])}")
        paragraphs.append(f"{claim['name']}: {claim['verdict']}")
        paragraphs += [fill(line, 110, initial_indent="    ", subsequent_indent="      ") for line in lines]
    return "\n".join(paragraphs)
