"""The tables of a study's results as frames of texts, with a row per method or comparison."""

from collections.abc import Callable

import pandas as pd

from guidebp.analysis.results import (
    MERGED,
    PATHWAYS,
    PRIMARY,
    SOFTMAX_AVERAGE,
    WEAKEST,
    Results,
    measure_runs,
)
from guidebp.rendering.table_catalogue import PAPER_TABLE_PREFIX
from guidebp.rendering.tables.best import find_best_by_exit, find_best_by_measure
from guidebp.rendering.tables.claims import tabulate_claims
from guidebp.rendering.tables.files import BEST_COLUMN
from guidebp.rendering.tables.papers import build_paper_table
from guidebp.rendering.tables.text import (
    format_mean_and_sd,
    format_millions,
    format_number,
    format_probability,
    format_run_counts,
    format_signed,
)

ACCURACY_MEASURES = (PRIMARY, MERGED, SOFTMAX_AVERAGE, PATHWAYS, WEAKEST)
# Heading -> way and level. A level of 0 or less counts exits back from the last.
INFERENCE_WAYS = {
    "confidence 0.9": ("confidence", 0.9),
    "confidence 0.95": ("confidence", 0.95),
    "ensemble of all": ("ensemble", 0),
    "all but the last": ("ensemble", -1),
    "all but the last, logits": ("logit ensemble", -1),
    "smallest within 1 point": ("smallest within", 1.0),
}


def build_table(name: str, results: Results, dataset: str) -> pd.DataFrame:
    """Build the table of this name in the catalogue."""
    if name.startswith(PAPER_TABLE_PREFIX):
        return build_paper_table(results, name.removeprefix(PAPER_TABLE_PREFIX))
    return TABLE_BUILDERS[name](results, dataset)


def _build_claims_table(results: Results, _: str) -> pd.DataFrame:
    """Build a row per claim and scale."""
    return tabulate_claims(results.verdicts)


def build_accuracy_table(results: Results, dataset: str) -> pd.DataFrame:
    """Build a row per architecture and method: mean ± sd of each measure, and the runs."""
    runs = measure_runs(results.metrics)
    bold = find_best_by_measure(results, dataset, ACCURACY_MEASURES)
    rows = []
    for architecture, method in _list_pairs(results, dataset):
        chosen = _select_rows(runs, dataset, architecture, method)
        finished = chosen[chosen["status"] == "finished"]
        best = [measure for measure in ACCURACY_MEASURES if bold.get((architecture, measure)) == method]
        rows.append(
            [
                results.title("architectures", architecture),
                method,
                *(format_mean_and_sd(finished[measure].dropna()) for measure in ACCURACY_MEASURES),
                format_run_counts(chosen["status"]),
                "; ".join(best),
            ]
        )
    return pd.DataFrame(rows, columns=["architecture", "method", *ACCURACY_MEASURES, "runs", BEST_COLUMN])


def build_exits_table(results: Results, dataset: str) -> pd.DataFrame:
    """Build a row per architecture, method and exit: size, cost, accuracy and calibration."""
    runs, bold = measure_runs(results.metrics), find_best_by_exit(results, dataset)
    trained = results.exits
    rows = []
    for architecture, method in _list_pairs(results, dataset):
        alone = _select_rows(trained, dataset, architecture, method)
        for output, rows_of_exit in alone.groupby("output", sort=False):
            first = rows_of_exit.iloc[0]
            rows.append(
                [
                    results.title("architectures", architecture),
                    method,
                    output,
                    format_millions(first["parameters"]),
                    format_millions(first["operations"]),
                    format_millions(2 * first["parameters"]),
                    format_mean_and_sd(rows_of_exit["accuracy"]),
                    format_mean_and_sd(rows_of_exit["calibration_error"]),
                    f"{first['backward_passes']:.3g}",
                    format_run_counts(_select_rows(runs, dataset, architecture, method)["status"]),
                    "accuracy" if (architecture, output, method) in bold else "",
                ]
            )
    sizes = ["parameters (M)", "operations (M)", "2 x parameters (M)"]
    measured = ["accuracy", "calibration error", "passes", "runs"]
    return pd.DataFrame(rows, columns=["architecture", "method", "output", *sizes, *measured, BEST_COLUMN])


def build_inference_table(results: Results, dataset: str) -> pd.DataFrame:
    """Build a row per architecture and method: accuracy of each way of using several exits."""
    runs, trained = measure_runs(results.metrics), results.exits
    rows = []
    for architecture, method in _list_pairs(results, dataset):
        inference = _select_rows(results.inference, dataset, architecture, method)
        alone = _select_rows(trained, dataset, architecture, method)
        if alone.empty:
            continue
        exits = int(alone["pathway"].max())
        last = alone[alone["pathway"] == exits]
        whole = float(last["operations"].iloc[0])
        row = [results.title("architectures", architecture), method, format_mean_and_sd(last["accuracy"])]
        for way, level in INFERENCE_WAYS.values():
            counted = level if level > 0 else exits + level
            chosen = inference[(inference["way"] == way) & (inference["level"] == counted)]
            share = f" ({100 * chosen['operations'].mean() / whole:.0f} %)" if len(chosen) else ""
            row.append(format_mean_and_sd(chosen["accuracy"]) + share)
        rows.append([*row, format_run_counts(_select_rows(runs, dataset, architecture, method)["status"])])
    return pd.DataFrame(rows, columns=["architecture", "method", "last exit", *INFERENCE_WAYS, "runs"])


def build_comparisons_table(results: Results, dataset: str) -> pd.DataFrame:
    """Build a row per architecture, baseline, measure and method: the paired difference and its tests."""
    compared = results.comparisons
    assert compared is not None
    chosen = compared[(compared["dataset"] == dataset) & compared["measure"].isin([PRIMARY, PATHWAYS])]
    rows = []
    for row in chosen.to_dict("records"):
        interval = (
            f"{format_signed(row['low'])} to {format_signed(row['high'])}" if pd.notna(row["low"]) else "-"
        )
        finished = f"{format_signed(row['difference_finished'])} ({row['n_finished']})"
        rows.append(
            [
                results.title("architectures", row["architecture"]),
                *(row[name] for name in ("method", "baseline", "measure")),
                format_signed(row["difference"]),
                interval,
                *(format_probability(row[p]) for p in ("p", "p_holm", "wilcoxon")),
                format_signed(row["effect"]),
                format_number(row["detectable"]),
                str(row["n"]),
                f"{row['failed']} / {row['failed_baseline']}",
                "all" if row["n_finished"] == row["n"] else finished,
            ]
        )
    tested = ["difference", "95 % interval", "p", "p (Holm)", "p (Wilcoxon)", "effect size", "detectable"]
    counted = ["n", "failed", "finished pairs"]
    return pd.DataFrame(rows, columns=["architecture", "method", "minus", "measure", *tested, *counted])


def build_ranks_table(results: Results, _: str) -> pd.DataFrame:
    """Build a row per method, the best first: mean rank and accuracy; no rows for too few datasets."""
    assert results.ranks is not None
    columns = ["method", "mean rank", "mean accuracy", "datasets", "critical difference", "p (Friedman)"]
    rows = [
        [
            row["method"],
            format_number(row["rank"]),
            format_number(row["accuracy"]),
            str(row["datasets"]),
            format_number(row["critical_difference"]),
            format_probability(row["p"]),
        ]
        for row in results.ranks.to_dict("records")
    ]
    return pd.DataFrame(rows, columns=columns)


def build_rank_pairs_table(results: Results, _: str) -> pd.DataFrame:
    """Build a row per pair of the ranked methods."""
    assert results.rank_pairs is not None
    columns = ["method", "and", "difference of ranks", "p (Nemenyi)", "p (Wilcoxon)", "p (Wilcoxon, Holm)"]
    rows = [
        [
            row["first"],
            row["second"],
            format_signed(row["difference"]),
            *(format_probability(row[p]) for p in ("p_nemenyi", "p_wilcoxon", "p_holm")),
        ]
        for row in results.rank_pairs.to_dict("records")
    ]
    return pd.DataFrame(rows, columns=columns)


TABLE_BUILDERS: dict[str, Callable[[Results, str], pd.DataFrame]] = {
    "claims": _build_claims_table,
    "accuracy": build_accuracy_table,
    "exits": build_exits_table,
    "inference": build_inference_table,
    "comparisons": build_comparisons_table,
    "ranks": build_ranks_table,
    "rank-pairs": build_rank_pairs_table,
}


def _list_pairs(results: Results, dataset: str) -> list[tuple[str, str]]:
    """Return the (architecture, method) pairs with runs on a dataset, in the study's order."""
    rows = results.metrics[results.metrics["dataset"] == dataset]
    trained = set(zip(rows["architecture"], rows["method"], strict=True))
    architectures = [a for d, a in results.cells if d == dataset]
    return [(a, m) for a in architectures for m in results.about["methods"] if (a, m) in trained]


def _select_rows(table: pd.DataFrame, dataset: str, architecture: str, method: str) -> pd.DataFrame:
    """Return the rows of one combination of dataset, architecture and method."""
    same = (table["dataset"] == dataset) & (table["architecture"] == architecture)
    return table[same & (table["method"] == method)]
