"""Learning rates chosen by validation accuracy, in a study that `tunes`.

The rate with the highest mean validation accuracy of the primary output after the last epoch is chosen; of equal
ones the smallest. A run that failed counts as chance. Test images are not used (where seeds draw test sets of their
own, test images of other seeds may be).
"""

from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from guidebp.analysis.comparisons import compute_chance_accuracies
from guidebp.analysis.results import Results
from guidebp.errors import UserError
from guidebp.study.study import Study

CELL = ["dataset", "architecture", "method"]
# One row per rate that was tried. `runs`, `failed`: how many, and how many of them diverged or crashed; `accuracy`:
# mean validation accuracy in percent; `edge`: whether the chosen rate is the smallest or largest that was tried.
RATE_COLUMNS = [*CELL, "recipe", "rate", "runs", "failed", "accuracy", "chosen", "edge"]
HEAD = """\
# yaml-language-server: $schema=../../workflow/schemas/recipes.schema.json
# Made by `snakemake --config study={study}` from its runs' validation accuracy: do not edit.
"""


def locate_tuned_recipes(study: Study) -> Path:
    """The file of recipes that a tuning study makes."""
    return Path("config/recipes") / f"{study.file.tunes}.tuned.yaml"


def list_tried_rates(study: Study) -> dict[str, tuple[str, float]]:
    """Key to the recipe that is tuned and the rate tried instead of its own."""
    return {run.key: (run.recipe.rpartition("-lr-")[0], run.spec.recipe.optimiser.lr) for run in study.runs}


def tabulate_rates(results: Results, tried: dict[str, tuple[str, float]]) -> pd.DataFrame:
    """The columns RATE_COLUMNS of every dataset, architecture and method. UserError when a run is missing.

    Args:
        tried: what `list_tried_rates` returns.
    """
    if (results.metrics["status"] == "missing").any():
        raise UserError(
            f"study '{results.about['name']}': runs are missing, and rates are chosen from all; "
            f"run: snakemake --config study={results.about['name']}"
        )
    runs = results.metrics.drop_duplicates("key")[[*CELL, "key", "status"]].copy()
    runs["recipe"], runs["rate"] = zip(*(tried[key] for key in runs["key"]), strict=True)
    history = results.history
    validated = history[(history["quantity"] == "validation accuracy") & (history["primary"] == True)]  # noqa: E712
    last = validated.sort_values("epoch").drop_duplicates("key", keep="last").set_index("key")["value"]
    finished = runs["status"] == "finished"
    chance = runs["dataset"].map(compute_chance_accuracies(results))
    runs["accuracy"] = runs["key"].map(last).where(finished, chance)
    runs["failed"] = ~finished
    grouped = runs.groupby([*CELL, "recipe", "rate"], sort=False)
    table = grouped.agg(
        runs=("key", "size"), failed=("failed", "sum"), accuracy=("accuracy", "mean")
    ).reset_index()
    table = table.sort_values("rate", kind="stable")
    cells = table.groupby(CELL, sort=False)
    table["chosen"] = table.index.isin(cells["accuracy"].idxmax())
    extreme = (table["rate"] == cells["rate"].transform("min")) | (
        table["rate"] == cells["rate"].transform("max")
    )
    table["edge"] = table["chosen"] & extreme
    order = {name: k for k, name in enumerate(dict.fromkeys(runs[CELL].agg("/".join, axis=1)))}
    place = table[CELL].agg("/".join, axis=1).map(order)
    return table.assign(place=place).sort_values(["place", "rate"])[RATE_COLUMNS].reset_index(drop=True)


def encode_tuned_recipes(study: Study, table: pd.DataFrame) -> bytes:
    """The tuned recipes as YAML: for each recipe that was tuned one called NAME-tuned."""
    recipes: dict[str, Any] = {}
    for row in table[table["chosen"]].to_dict("records"):
        recipe = recipes.setdefault(f"{row['recipe']}-tuned", {"base": row["recipe"], "rates": {}})
        rates = recipe["rates"].setdefault(row["dataset"], {}).setdefault(row["architecture"], {})
        rates[row["method"]] = float(row["rate"])
    return (HEAD.format(study=study.name) + yaml.safe_dump(recipes, sort_keys=False)).encode()
