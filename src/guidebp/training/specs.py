"""Reading of planned runs from an untrusted JSON file; everything that they name is checked."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import torch

from guidebp import ENGINE_VERSION
from guidebp.errors import UserError
from guidebp.optimisers import make_optimiser_factory
from guidebp.runs.spec import FamilySpec, PlannedRun, RunSpec, planned_run_from_json
from guidebp.training.schedules import compute_lr_factor

DATASET_NAME = re.compile(r"[a-z0-9]+([.-][a-z0-9]+)*")  # it becomes names of files


def read_planned_runs(path: Path) -> list[PlannedRun]:
    """Return the planned runs of a file that `guidebp specs` wrote. Raises UserError for any other content."""
    remedy = f"Run: guidebp specs > {path}"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not JSON ({error}). {remedy}") from error
    if not isinstance(values, list):
        raise UserError(f"{path}: not a list of planned runs. {remedy}")
    runs = []
    for number, value in enumerate(values):
        try:
            run = planned_run_from_json(value)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path}: {number}: not a planned run ({error}). {remedy}") from error
        if run.spec.engine != ENGINE_VERSION:
            raise UserError(
                f"{path}: {number}: of another version (found engine {run.spec.engine}, expected "
                f"{ENGINE_VERSION}). {remedy}"
            )
        try:
            _look_up(run.spec)
        except ValueError as error:
            raise UserError(f"{path}: {number}: names something unknown ({error}). {remedy}") from error
        runs.append(run)
    return runs


def _look_up(spec: RunSpec) -> None:
    """Import and build everything that a spec names. Raises ValueError that names the wrong key."""
    if not DATASET_NAME.fullmatch(spec.dataset.name):
        raise ValueError(f"dataset.name: no name of a dataset, {spec.dataset.name!r:.60}")
    for key, package, family in (
        ("architecture", "models", spec.architecture),
        ("method", "methods", spec.method),
    ):
        chain: FamilySpec | None = family
        while chain:
            with _name_key(key):
                module = import_module(f"guidebp.{package}.{chain.module}")
                module.Options(**chain.options)
            chain, key = chain.base, f"{key}.base"
    with _name_key("recipe.optimiser"):
        make_optimiser_factory(spec.recipe)([torch.nn.Parameter(torch.zeros(1))])
    with _name_key("recipe.schedule"):
        compute_lr_factor(spec.recipe.schedule, 0, 1)


@contextmanager
def _name_key(key: str) -> Iterator[None]:
    """Turn an error within the block into a ValueError of one line that begins with the key."""
    try:
        yield
    except (ImportError, LookupError, TypeError, ValueError, AttributeError) as error:
        text = "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in str(error))
        raise ValueError(f"{key}: {text}") from error
