"""The analysis step: comparisons, and what `dvc metrics` and `dvc plots` show."""

import re
from typing import Any

import pandas as pd

from guidebp.analysis.claims import judge
from guidebp.analysis.comparisons import compare
from guidebp.analysis.ranks import rank
from guidebp.analysis.results import MERGED, PATHWAYS, PRIMARY, WEAKEST, Results, load_results, run_measures
from guidebp.errors import UserError
from guidebp.files import write_atomic, write_checksums
from guidebp.hashing import readable_json
from guidebp.paths import ANALYSED_FILES, StudyPaths


def analyse(layout: StudyPaths) -> None:
    """Write what `paths.ANALYSED_FILES` names, and the files for `dvc metrics` and `dvc plots`."""
    results = load_results(layout)
    if results.about.get("tunes"):
        raise UserError(
            f"study '{layout.study}' tunes: its runs of one method differ in their rates; "
            f"run: guidebp tune --study {layout.study}"
        )
    verdicts, parts = judge(results)
    write_atomic(layout.verdicts, readable_json(verdicts))
    write_atomic(layout.claims, csv_bytes(parts))
    ranks, pairs = rank(results)
    write_atomic(layout.ranks, csv_bytes(ranks))
    write_atomic(layout.rank_pairs, csv_bytes(pairs))
    write_atomic(layout.comparisons, csv_bytes(compare(results)))
    write_atomic(layout.effects, readable_json(effects(verdicts)))
    found = means(results)
    for method in results.about["methods"]:
        write_atomic(layout.means(method), readable_json(nested(found[found["method"] == method])))
    names = found[["dataset", "architecture", "method"]].agg("/".join, axis=1)
    accuracies = pd.DataFrame({"run": names, "accuracy": found[PRIMARY]})
    write_atomic(layout.accuracies, csv_bytes(accuracies))
    for dataset, architecture in results.cells:
        write_atomic(layout.curve(dataset, architecture), csv_bytes(curve(results, dataset, architecture)))
    write_checksums(layout.analysed_checksums, [getattr(layout, name) for name in ANALYSED_FILES])


def csv_bytes(table: pd.DataFrame) -> bytes:
    """A CSV file's bytes, the same on every platform; no cell of text is a formula to a spreadsheet."""
    return without_formulas(table).to_csv(index=False, lineterminator="\n", float_format="%.10g").encode()


FORMULA = re.compile(r"[=@+\t\r-]")
NUMBERS = re.compile(r"-|[+-][\d.]+(e[+-]?\d+)?( %)?( to [+-]?[\d.]+( %)?)?( \(\d+\))?")


def without_formulas(table: pd.DataFrame) -> pd.DataFrame:
    """The table with an apostrophe before every text that a spreadsheet would compute."""
    found = table.copy()
    for place, name in enumerate(table.columns):
        cells = list(table[name])
        if any(map(is_formula, cells)):
            found.isetitem(place, [f"'{cell}" if is_formula(cell) else cell for cell in cells])
    return found


def is_formula(cell: Any) -> bool:
    """Whether a spreadsheet would compute it; a signed number, alone or with its interval, is none."""
    return isinstance(cell, str) and bool(FORMULA.match(cell)) and not NUMBERS.fullmatch(cell)


def means(results: Results) -> pd.DataFrame:
    """Mean test accuracy in percent of the finished runs: a row per dataset, network and method."""
    names = ["dataset", "architecture", "method"]
    measures = [PRIMARY, MERGED, PATHWAYS, WEAKEST]
    table = run_measures(results.metrics).groupby(names, sort=False)[measures].mean().reset_index()
    place = {name: k for k, name in enumerate(results.about["methods"])}
    return table.sort_values("method", key=lambda names: names.map(place), kind="stable")


def nested(rows: pd.DataFrame) -> dict[str, Any]:
    """dataset > architecture > measure: value, of one method's means."""
    found: dict[str, Any] = {}
    for row in rows.to_dict("records"):
        known = {m: round(row[m], 3) for m in (PRIMARY, MERGED, PATHWAYS, WEAKEST) if pd.notna(row[m])}
        found.setdefault(row["dataset"], {})[row["architecture"]] = known
    return found


def effects(verdicts: list[dict[str, Any]]) -> dict[str, Any]:
    """claim > scale: the weakest difference, its interval and n; without costs, which change with the machine."""
    return {
        claim["name"]: {
            scale: {key: found[key] for key in ("effect", "low", "high", "n") if found[key] is not None}
            for scale, found in claim["scales"].items()
        }
        for claim in verdicts
        if claim["scales"] and claim["unit"] == "points"
    }


def curve(results: Results, dataset: str, architecture: str) -> pd.DataFrame:
    """Mean validation accuracy of the primary output: a row per epoch, a column per method."""
    history = results.history
    chosen = history[
        (history["dataset"] == dataset)
        & (history["architecture"] == architecture)
        & history["primary"]
        & (history["quantity"] == "validation accuracy")
    ]
    wide = chosen.pivot_table(index="epoch", columns="method", values="value", aggfunc="mean")
    order = [method for method in results.about["methods"] if method in wide.columns]
    return wide[order].reset_index()
