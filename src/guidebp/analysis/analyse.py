"""The analysis step: comparisons, and what `dvc metrics` and `dvc plots` show."""

import re
from typing import Any

import pandas as pd

from guidebp.analysis.claims import judge_claims
from guidebp.analysis.comparisons import compare_methods
from guidebp.analysis.ranks import rank_methods
from guidebp.analysis.results import MERGED, PATHWAYS, PRIMARY, WEAKEST, Results, load_results, measure_runs
from guidebp.errors import UserError
from guidebp.files import write_atomic, write_checksums
from guidebp.hashing import encode_readable_json
from guidebp.paths import ANALYSED_FILES, StudyPaths


def analyse(layout: StudyPaths) -> None:
    """Write the files that `paths.ANALYSED` names, and the files for `dvc metrics` and `dvc plots`."""
    results = load_results(layout)
    if results.about.get("tunes"):
        raise UserError(
            f"study '{layout.study}' tunes: its runs of one method differ in their rates; "
            f"run: guidebp tune --study {layout.study}"
        )
    verdicts, differences = judge_claims(results)
    write_atomic(layout.verdicts, encode_readable_json(verdicts))
    write_atomic(layout.claims, encode_csv(differences))
    ranks, pairs = rank_methods(results)
    write_atomic(layout.ranks, encode_csv(ranks))
    write_atomic(layout.rank_pairs, encode_csv(pairs))
    write_atomic(layout.comparisons, encode_csv(compare_methods(results)))
    write_atomic(layout.effects, encode_readable_json(_collect_effects(verdicts)))
    averages = _average_accuracies(results)
    for method in results.about["methods"]:
        write_atomic(
            layout.means(method), encode_readable_json(_nest_averages(averages[averages["method"] == method]))
        )
    names = averages[["dataset", "architecture", "method"]].agg("/".join, axis=1)
    accuracies = pd.DataFrame({"run": names, "accuracy": averages[PRIMARY]})
    write_atomic(layout.accuracies, encode_csv(accuracies))
    for dataset, architecture in results.cells:
        curve = _average_curve(results, dataset, architecture)
        write_atomic(layout.curve(dataset, architecture), encode_csv(curve))
    write_checksums(layout.analysed_checksums, [getattr(layout, name) for name in ANALYSED_FILES])


def encode_csv(table: pd.DataFrame) -> bytes:
    """A CSV file's bytes, the same on every platform; no cell of text is a formula to a spreadsheet."""
    return escape_formulas(table).to_csv(index=False, lineterminator="\n", float_format="%.10g").encode()


_FORMULA = re.compile(r"[=@+\t\r-]")
_NUMBERS = re.compile(r"-|[+-][\d.]+(e[+-]?\d+)?( %)?( to [+-]?[\d.]+( %)?)?( \(\d+\))?")


def escape_formulas(table: pd.DataFrame) -> pd.DataFrame:
    """The table with an apostrophe before every text that a spreadsheet would compute."""
    escaped = table.copy()
    for place, name in enumerate(table.columns):
        cells = list(table[name])
        if any(map(_is_formula, cells)):
            escaped.isetitem(place, [f"'{cell}" if _is_formula(cell) else cell for cell in cells])
    return escaped


def _is_formula(cell: Any) -> bool:
    """Return True if a spreadsheet would read the cell as a formula.

    A signed number is no formula, alone or with its interval.
    """
    return isinstance(cell, str) and bool(_FORMULA.match(cell)) and not _NUMBERS.fullmatch(cell)


def _average_accuracies(results: Results) -> pd.DataFrame:
    """Mean test accuracy in percent of the finished runs: a row per dataset, architecture and method."""
    names = ["dataset", "architecture", "method"]
    measures = [PRIMARY, MERGED, PATHWAYS, WEAKEST]
    table = measure_runs(results.metrics).groupby(names, sort=False)[measures].mean().reset_index()
    place = {name: k for k, name in enumerate(results.about["methods"])}
    return table.sort_values("method", key=lambda names: names.map(place), kind="stable")


def _nest_averages(rows: pd.DataFrame) -> dict[str, Any]:
    """dataset > architecture > measure: value, of one method's means."""
    averages: dict[str, Any] = {}
    for row in rows.to_dict("records"):
        measured = {m: round(row[m], 3) for m in (PRIMARY, MERGED, PATHWAYS, WEAKEST) if pd.notna(row[m])}
        averages.setdefault(row["dataset"], {})[row["architecture"]] = measured
    return averages


def _collect_effects(verdicts: list[dict[str, Any]]) -> dict[str, Any]:
    """claim > setting: the difference with the lowest interval, its bounds and n.

    Claims on costs are left out: costs change with the machine.
    """
    return {
        claim["name"]: {
            setting: {key: verdict[key] for key in ("effect", "low", "high", "n") if verdict[key] is not None}
            for setting, verdict in claim["settings"].items()
        }
        for claim in verdicts
        if claim["settings"] and claim["unit"] == "points"
    }


def _average_curve(results: Results, dataset: str, architecture: str) -> pd.DataFrame:
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
