"""The planned runs in a JSON file that anybody may have written; everything they name is looked up."""

import json
from importlib import import_module
from pathlib import Path

import torch

from guidebp import ENGINE_VERSION
from guidebp.errors import UserError
from guidebp.runs.spec import PlannedRun, RunSpec, planned_run_from_json
from guidebp.training.schedules import lr_factor, optimiser_maker


def read_planned_runs(path: Path) -> list[PlannedRun]:
    """The planned runs of a file that `guidebp specs` wrote; UserError for anything else."""
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
        except (ImportError, LookupError, TypeError, ValueError, AttributeError) as error:
            raise UserError(f"{path}: {number}: names something unknown ({error}). {remedy}") from error
        runs.append(run)
    return runs


def _look_up(spec: RunSpec) -> None:
    """Import and build everything that a spec names."""
    families = [("models", spec.architecture), ("methods", spec.method)]
    if spec.architecture.base:
        families.append(("models", spec.architecture.base))
    for package, family in families:
        module = import_module(f"guidebp.{package}.{family.module}")
        module.Options(**family.options)
    optimiser_maker(spec.recipe)([torch.nn.Parameter(torch.zeros(1))])
    lr_factor(spec.recipe.schedule, 0, 1)
