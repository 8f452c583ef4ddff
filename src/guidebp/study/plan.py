"""What it takes to test a claim: the study that trains its runs, their number, and the hours by machine.

Hours are predicted from the seconds of one step, measured by `guidebp time` and kept in results/step-times.json;
testing, loading and other overhead are not in them.
"""

import json
import math
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from guidebp.errors import MissingRateError, UserError
from guidebp.hashing import json_hash
from guidebp.runs.json_fields import to_json
from guidebp.schema.claims import Claim, SettingName, settings_of
from guidebp.study.keys import Run
from guidebp.study.resolve import load_study
from guidebp.study.study import Study

STEP_TIMES = Path("results/step-times.json")
Json = dict[str, Any]


def hash_step(study: Study, run: Run) -> str:
    """The hash of everything that decides how long a step takes.

    Data, number of steps, schedule, seed and the code of families are left out.
    """
    spec = run.spec
    return json_hash(
        {
            "architecture": to_json(spec.architecture.without_code()),
            "method": to_json(spec.method.without_code()),
            "optimiser": spec.recipe.optimiser.name,
            "batch_size": spec.recipe.batch_size,
            "numerics": spec.recipe.numerics,
            "shape": list(compute_image_shape(study, run)),
            "classes": spec.dataset.classes,
        },
        16,
    )


def compute_image_shape(study: Study, run: Run) -> tuple[int, int, int]:
    """Channels, height and width of the images as the network sees them."""
    channels, height, width = study.datasets[run.dataset].shape
    side = run.spec.recipe.downsample
    return channels, height // side, width // side


def read_step_times(path: Path = STEP_TIMES) -> dict[str, Json]:
    """Machine to its entry of results/step-times.json; empty without the file, UserError when it is damaged."""
    if not path.exists():
        return {}
    try:
        machines: dict[str, Json] = json.loads(path.read_bytes())
        times = [seconds for entry in machines.values() for seconds in entry["seconds"].values()]
        if not all(0 < seconds < math.inf for seconds in times):
            raise ValueError("a step takes no time")
    except (ValueError, OSError, RecursionError, AttributeError, KeyError, TypeError) as error:
        raise UserError(
            f"{path}: not step times by machine ({type(error).__name__}: {error}); "
            f"run: git checkout {path}, or rm -r {path} && guidebp time"
        ) from error
    return machines


def plan_claims(study: Study) -> dict[str, Json]:
    """Every claim as JSON with its plans: one for each deciding setting that names a study.

    A study that waits for learning rates has no plan: else the one that tunes them could not be described.
    """
    times, studies = read_step_times(), {study.name: study}
    named = {
        setting.study
        for claim in study.claims.values()
        for name, setting in claim.settings.items()
        if name != "exploratory" and setting.study
    }
    for other in named - {study.name}:
        with suppress(MissingRateError):
            studies[other] = load_study(other)

    def list_plans(claim_name: str, claim: Claim) -> list[Json]:
        plans = [
            plan_setting(claim_name, claim, name, studies[setting.study], times)
            for name, setting in claim.settings.items()
            if name != "exploratory" and setting.study in studies
        ]
        return [plan for plan in plans if plan["runs"]]

    return {
        name: json.loads(claim.model_dump_json()) | {"plan": list_plans(name, claim)}
        for name, claim in study.claims.items()
    }


def plan_setting(name: str, claim: Claim, setting: SettingName, study: Study, times: dict[str, Json]) -> Json:
    """Runs and hours of a claim in a setting, with the command; `hours` lacks machines that timed too little."""
    runs = list(select_deciding_runs(claim, setting, study.runs))
    hours = {}
    for machine, entry in times.items():
        seconds = [predict_run_seconds(study, run, entry["seconds"]) for run in runs]
        if seconds and None not in seconds:
            hours[machine] = round(sum(filter(None, seconds)) / 3600, 1)
    return {
        "setting": setting,
        "study": study.name,
        "command": f"snakemake --config study={study.name} claim={name}",
        "runs": len(runs),
        "hours": hours,
    }


def select_deciding_runs(claim: Claim, setting: SettingName, runs: Iterable[Run]) -> Iterator[Run]:
    """The runs that count for a claim in a setting."""
    for run in runs:
        if setting in settings_of(claim, run.dataset, run.architecture, run.method, run.recipe, run.seed):
            yield run


def predict_run_seconds(study: Study, run: Run, step_seconds: dict[str, float]) -> float | None:
    """Predicted seconds of a run's steps; None where its step was not timed or its images are not counted."""
    images, step = study.datasets[run.dataset].train_images, step_seconds.get(hash_step(study, run))
    if images is None or step is None:
        return None
    recipe = run.spec.recipe
    return float(recipe.epochs * (images // recipe.batch_size) * step)
