"""A small made-up study's tables, for tests of analysis and rendering."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from guidebp.analysis.results import Results
from guidebp.collect.rows import NAMES, TABLES, VERSION
from guidebp.paths import StudyPaths

METHODS = ["average", "independent", "guidebp"]
OUTPUTS = ["kernel 3", "kernel 5", "merged", "softmax average"]


def made_up(
    seeds: int = 5,
    test: Any = 0.2,
    failed: tuple[str, int] | None = None,
    methods: Sequence[str] = METHODS,
) -> Results:
    """Random accuracies, the same at each call; `failed` names one run that diverged."""
    random = np.random.default_rng(7)
    metrics, history, inference, calibration, cosines, costs = [], [], [], [], [], []
    for method in methods:
        for seed in range(seeds):
            lost = failed == (method, seed)
            names = {
                "dataset": "digits",
                "architecture": "columns",
                "method": method,
                "recipe": "short",
                "seed": seed,
                "key": f"{method}-{seed}",
            }
            for number, output in enumerate(OUTPUTS):
                accuracy = np.nan if lost else 90 + round(float(random.normal()), 2)
                metrics.append(
                    names
                    | {
                        "status": "diverged" if lost else "finished",
                        "device_class": "cpu",
                        "output": output,
                        "pathway": number + 1 if number < 2 else None,
                        "primary": output == "merged",
                        "trained": True,
                        "accuracy": accuracy,
                        "calibration_error": accuracy / 30,
                        "parameters": 1000 * (number + 1),
                        "operations": 10000 * (3 - number),
                        "backward_passes": 1,
                        "train_images": 800,
                        "test_images": 200,
                    }
                )
                for epoch in (1, 2):
                    row = names | {"epoch": epoch, "output": output, "primary": output == "merged"}
                    value = float(random.uniform(50, 90))
                    history.append(row | {"quantity": "validation accuracy", "value": value})
                    if number < 2:
                        history.append(row | {"quantity": "gradient share", "value": 0.5})
            spent = {"seconds": 4.0 + seed, "step_seconds": 2.0, "steps": 100, "device_class": "cpu"}
            costs.append(names | spent)
            for epoch in (1, 2):
                for quantity in ("cosine", "conflict"):
                    row = names | {"epoch": epoch, "output": None, "primary": False, "quantity": quantity}
                    history.append(row | {"value": 0.25 * epoch})
            if not lost:
                for output in OUTPUTS:
                    for number, right in ((9, 80), (15, 110)):
                        counts = {"images": 100 + 10 * (number == 15), "correct": right, "confidence": 90.0}
                        calibration.append(names | {"output": output, "bin": number} | counts)
                for first in OUTPUTS[:2]:
                    for second in OUTPUTS[:2]:
                        cosine = 1.0 if first == second else 0.25
                        cosines.append(names | {"first": first, "second": second, "cosine": cosine})
                ways = [(way, level) for way in ("confidence", "budgeted") for level in (0.9, 0.95)]
                ways += [("ensemble", 1.0), ("ensemble", 2.0), ("smallest within", 1.0)]
                for way, level in ways:
                    accuracy = 90 + round(float(random.normal()), 2)
                    spent = {"accuracy": accuracy, "operations": 20000 * level}
                    inference.append(names | {"way": way, "level": level} | spent)
    entry = {"title": "Columns", "group": "usual merges"}
    about = {
        "version": VERSION,
        "name": "made-up",
        "title": "Made up",
        "about": "For tests.",
        "baselines": ["average", "independent"],
        "planned": seeds * len(methods),
        "sections": [
            {
                "name": "",
                "title": "",
                "combinations": [["digits", "columns", method] for method in methods],
                "exits": True,
                "trunk": True,
            }
        ],
        "datasets": {
            "digits": {"title": "Digits", "classes": 10, "split": {"test": test, "validation": 0.1}}
        },
        "data": {
            "digits": {
                "classes": [str(label) for label in range(10)],
                "shape": [1, 8, 8],
                "per_class": {"training": [100] * 10, "test": [0] * 10},
            }
        },
        "architectures": {"columns": entry},
        "methods": {name: {"title": name, "group": "usual merges"} for name in methods},
        "recipes": {},
    }
    return Results(
        about,
        metrics=pd.DataFrame(metrics),
        history=pd.DataFrame(history),
        inference=pd.DataFrame(inference),
        calibration=pd.DataFrame(calibration),
        cosines=pd.DataFrame(cosines),
        costs=pd.DataFrame(costs),
    )


def write_collected(results: Results, layout: StudyPaths) -> None:
    """Write the files that `collect` would write for these results, without checksums."""
    layout.folder.mkdir(parents=True)
    layout.about.write_text(json.dumps(results.about))
    layout.lock.write_text(json.dumps(results.lock))
    for name in TABLES:
        path, table = getattr(layout, name), getattr(results, name)
        table.to_csv(path, index=False) if path.suffix == ".csv" else table.to_parquet(path, index=False)
    costs = results.costs.drop(columns=[name for name in NAMES if name != "key"])
    layout.telemetry.write_text("".join(json.dumps(row) + "\n" for row in costs.to_dict("records")))
