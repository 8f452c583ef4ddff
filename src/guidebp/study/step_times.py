"""Seconds of one training step by machine: results/step-times.json, measured by `guidebp time`.

They predict the hours of runs that nobody has trained. They do not include testing, loading and other overhead.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from guidebp.errors import UserError
from guidebp.files import write_atomic
from guidebp.hashing import encode_readable_json, hash_json
from guidebp.runs.json_fields import from_json, to_json
from guidebp.study.keys import Run
from guidebp.study.study import Study

STEP_TIMES = Path("results/step-times.json")


@dataclass(frozen=True)
class MachineStepTimes:
    """Step times measured on one machine.

    Attributes:
        seconds: seconds of a step of the recipe's whole batch, by the hash of the step (`hash_step`).
        measured: description of the measurement.
        commit: git commit of the code that was timed; None outside a git checkout.
    """

    seconds: dict[str, float]
    measured: str = ""
    processor: str = ""
    device: str = ""
    torch: str = ""
    python: str = ""
    commit: str | None = None


def hash_step(study: Study, run: Run) -> str:
    """Return the hash of everything that decides the duration of a step.

    Data, number of steps, schedule, seed and the code of families are left out.
    """
    spec = run.spec
    return hash_json(
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
    """Return channels, height and width of the network's input images."""
    channels, height, width = study.datasets[run.dataset].shape
    side = run.spec.recipe.downsample
    return channels, height // side, width // side


def predict_run_seconds(study: Study, run: Run, step_seconds: dict[str, float]) -> float | None:
    """Return the predicted seconds of a run's steps.

    Return None if its step was not timed or the number of its images is not known.
    """
    images, step = study.datasets[run.dataset].train_images, step_seconds.get(hash_step(study, run))
    if images is None or step is None:
        return None
    recipe = run.spec.recipe
    return float(recipe.epochs * (images // recipe.batch_size) * step)


def read_step_times(path: Path = STEP_TIMES) -> dict[str, MachineStepTimes]:
    """Return the step times by machine, empty without the file. Raises UserError when it is damaged."""
    if not path.exists():
        return {}
    try:
        machines = from_json(dict[str, MachineStepTimes], json.loads(path.read_bytes()))
        if any(seconds <= 0 for machine in machines.values() for seconds in machine.seconds.values()):
            raise ValueError("a step takes no time")
    except (ValueError, OSError, RecursionError) as error:
        raise UserError(
            f"{path}: not step times by machine ({type(error).__name__}: {error}). "
            f"Run: git checkout {path}, or rm -r {path} && guidebp time"
        ) from error
    return machines


def write_step_times(machines: dict[str, MachineStepTimes]) -> None:
    """Write results/step-times.json."""
    write_atomic(STEP_TIMES, encode_readable_json(to_json(machines)))
