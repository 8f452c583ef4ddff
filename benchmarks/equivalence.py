"""Is the accuracy of `fast` numerics that of `exact` ones? Two one-sided t tests on paired seeds."""

import math
import sys
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from scipy import special

from benchmarks.measure import AbsentError
from benchmarks.packs import RUNS, plan_runs
from benchmarks.specs import PREPARED
from guidebp.data.prepared import load_prepared
from guidebp.training.numerics import cpu_has_bf16
from guidebp.training.trainer import train_run

BOUND, LEVEL = 0.2, 0.05  # points of test accuracy


def measure(device: str, seeds: int = 40) -> dict[str, Any]:
    """The difference fast - exact of the primary output on digits, three columns, the demo's recipe.

    Equivalent: both tests reject, that is, the 90 % interval lies within the bound.
    """
    chosen = torch.device(device)
    if device == "cpu" and not cpu_has_bf16():
        raise AbsentError("fast computes as exact does on a processor without bf16")
    data = load_prepared(PREPARED, "digits").copy_to(chosen)
    specs = [run.spec for first in range(0, seeds, RUNS) for run in plan_runs(8, first)][:seeds]
    modes: tuple[Literal["exact", "fast"], ...] = ("exact", "fast")
    differences = []
    for spec in specs:
        accuracies = {}
        for numerics in modes:
            recipe = replace(spec.recipe, numerics=numerics)
            result = train_run(replace(spec, recipe=recipe), data, chosen).result
            if result.test_correct is None or result.sizes is None:
                raise RuntimeError(f"seed {spec.seed}, {numerics}: the run {result.status}")
            right = result.test_correct[result.outputs.index(result.primary)]
            accuracies[numerics] = 100 * right / result.sizes.test
        differences.append(accuracies["fast"] - accuracies["exact"])
        print(f"seed {spec.seed}: {accuracies}", file=sys.stderr, flush=True)
    return {
        "title": f"Accuracy of fast minus exact, three columns on digits, {device}",
        "unit": "points",
        "bound": BOUND,
        "differences": [round(value, 4) for value in differences],
        **two_one_sided(np.array(differences), BOUND),
    }


def two_one_sided(differences: "np.typing.NDArray[np.float64]", bound: float) -> dict[str, Any]:
    """Schuirmann's test: the larger p of "the mean is at most -bound" and "the mean is at least bound"."""
    n, mean = len(differences), float(differences.mean())
    error = float(differences.std(ddof=1)) / math.sqrt(n)
    half = float(special.stdtrit(n - 1, 1 - LEVEL)) * error
    if error > 0:
        p = max(float(special.stdtr(n - 1, -(bound - side * mean) / error)) for side in (1, -1))
    else:
        p = 0.0 if abs(mean) < bound else 1.0
    return {
        "n": n,
        "mean": round(mean, 4),
        "90 % interval": [round(mean - half, 4), round(mean + half, 4)],
        "p": float(f"{p:.3g}"),
        "equivalent": p < LEVEL,
    }
