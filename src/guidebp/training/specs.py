"""Reading specs from a file that anybody may have written: what training takes for granted is checked here."""

import json
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import NoneType
from typing import Any

import torch

from guidebp import ENGINE_VERSION
from guidebp.errors import UserError
from guidebp.training.schedules import lr_factor, optimiser_maker

Spec = dict[str, Any]
# What a spec must hold, below its own keys; an integer may stand for a fraction.
PARTS: dict[str, dict[str, type]] = {
    "": {"key": str, "seed": int, "claims": dict},
    "dataset": {"name": str, "split": dict, "classes": int},
    "architecture": {"family": str, "options": dict},
    "method": {"family": str, "options": dict},
    "recipe": {"epochs": int, "batch_size": int, "numerics": str},
    "recipe.optimiser": {"name": str, "lr": float},
    "recipe.schedule": {"name": str, "warmup": float},
}
# What else a recipe may hold: anything more is of another version, and would be left out in silence.
OPTIONAL = {"optimiser": dict, "schedule": dict, "augmentation": dict, "downsample": int}
# These become names of files.
NAMES = {"key": r"[0-9a-z]+(-[0-9a-z]+)*", "dataset.name": r"[a-z0-9]+([.-][a-z0-9]+)*"}


def read_specs(path: Path) -> list[Spec]:
    """The specs in a file; UserError when it holds anything else."""
    remedy = f"write it anew: guidebp specs > {path}"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not JSON ({error}); {remedy}") from error
    if not isinstance(found, list):
        raise UserError(f"{path}: not a list of specs; {remedy}")
    for number, spec in enumerate(found):
        if wrong := next(faults(spec), None):
            raise UserError(f"{path}: {number}: no spec: {wrong} is missing or of another kind; {remedy}")
        try:
            build(spec)
        except (ImportError, LookupError, TypeError, ValueError, AttributeError) as error:
            raise UserError(f"{path}: {number}: names what is not here ({error}); {remedy}") from error
    return found


def faults(spec: Any) -> Iterator[str]:
    """What of a spec is not as this version's `guidebp specs` prints it."""
    for part, wanted in PARTS.items():
        for name, kind in wanted.items():
            where = f"{part}.{name}".strip(".")
            found = at(spec, where)
            right = isinstance(found, int | float) if kind is float else isinstance(found, kind)
            if (
                not right
                or isinstance(found, bool)
                or (where in NAMES and not re.fullmatch(NAMES[where], found))
            ):
                yield where
    recipe = at(spec, "recipe")
    for name, value in recipe.items() if isinstance(recipe, dict) else ():
        expected = (PARTS["recipe"] | OPTIONAL).get(name, NoneType)
        if not isinstance(value, expected) or (isinstance(value, int) and (value is True or value < 1)):
            yield f"recipe.{name}"
    if at(spec, "engine") != ENGINE_VERSION:
        yield "engine"


def at(spec: Any, where: str) -> Any:
    """The value at a place, such as `recipe.epochs`; None where there is none."""
    for name in where.split("."):
        spec = spec.get(name) if isinstance(spec, dict) else None
    return spec


def build(spec: Spec) -> None:
    """Look up all that a spec names."""
    for package, part in (("models", "architecture"), ("methods", "method")):
        family = import_module(f"guidebp.{package}.{spec[part]['family'].replace('-', '_')}")
        family.Options(**spec[part]["options"])
    optimiser_maker(spec["recipe"])([torch.nn.Parameter(torch.zeros(1))])
    lr_factor(spec["recipe"], 0, 1)
