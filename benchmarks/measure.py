"""Sides of a case measured in turn, round after round, so that a machine that slows down slows all of them."""

import statistics
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


class AbsentError(Exception):
    """Something cannot be measured on this machine; the message says what is missing."""


@dataclass(frozen=True)
class Case:
    """What is compared.

    Attributes:
        title: a sentence.
        unit: of every number, say "images/s".
        sides: by name, a function that measures once; the first is what the others are compared with.
        more: whether more is better.
        needed: by side, the ratio to the first that the project wants: at least, or at most where less is better.
    """

    title: str
    unit: str
    sides: Mapping[str, Callable[[], float]]
    more: bool = True
    needed: dict[str, float] | None = None


def measured(case: Case, rounds: int) -> dict[str, Any]:
    """Medians and, from the rounds' own ratios to the first side, median and range.

    A side other than the first that is `AbsentError` is left out with its reason.
    """
    values: dict[str, list[float]] = {name: [] for name in case.sides}
    absent: dict[str, str] = {}
    for number in range(rounds):
        for name, measure in case.sides.items():
            if name in absent:
                continue
            try:
                values[name].append(measure())
            except AbsentError as error:
                absent[name] = str(error)
                continue
            told = f"{case.title}, round {number + 1}/{rounds}: {name} {values[name][-1]:.4g} {case.unit}"
            print(told, file=sys.stderr, flush=True)
    first = next(iter(case.sides))
    sides: dict[str, Any] = {}
    for name in case.sides:
        if name in absent:
            sides[name] = {"absent": absent[name]}
            continue
        ratios = [value / base for value, base in zip(values[name], values[first], strict=True)]
        sides[name] = {
            "values": [significant(value) for value in values[name]],
            "median": significant(statistics.median(values[name])),
            "ratio": significant(statistics.median(ratios)),
            "lowest": significant(min(ratios)),
            "highest": significant(max(ratios)),
        }
    return {
        "title": case.title,
        "unit": case.unit,
        "rounds": rounds,
        "more is better": case.more,
        "needed": case.needed or {},
        "sides": sides,
    }


def significant(value: float) -> float:
    """Four digits: more is noise."""
    return float(f"{value:.4g}")
