"""The analysis step: comparisons, and what `dvc metrics` and `dvc plots` show."""

from typing import Any

import pandas as pd

from guidebp.analysis.claims import judge
from guidebp.analysis.comparisons import compare
from guidebp.analysis.ranks import rank
from guidebp.analysis.tables import MERGED, PATHWAYS, PRIMARY, WEAKEST, Results, load_results, run_measures
from guidebp.canonical import readable_json
from guidebp.store import write_atomic
from guidebp.study.layout import Layout


def analyse(layout: Layout) -> None:
    """Write what `study.layout.ANALYSED` names, summary.json and one curve table per network."""
    results = load_results(layout)
    verdicts, parts = judge(results)
    write_atomic(layout.verdicts, readable_json(verdicts))
    write_atomic(layout.claims, csv_bytes(parts))
    ranks, pairs = rank(results)
    write_atomic(layout.ranks, csv_bytes(ranks))
    write_atomic(layout.rank_pairs, csv_bytes(pairs))
    write_atomic(layout.comparisons, csv_bytes(compare(results)))
    write_atomic(layout.summary, readable_json(summary(results)))
    for dataset, architecture in results.cells:
        write_atomic(layout.curve(dataset, architecture), csv_bytes(curve(results, dataset, architecture)))


def csv_bytes(table: pd.DataFrame) -> bytes:
    """A CSV file's bytes, the same on every platform."""
    return table.to_csv(index=False, lineterminator="\n", float_format="%.10g").encode()


def summary(results: Results) -> dict[str, Any]:
    """dataset > architecture > method > measure: mean test accuracy over the finished runs, in percent."""
    runs = run_measures(results.metrics)
    found: dict[str, Any] = {}
    for dataset, architecture in results.cells:
        cell = runs[(runs["dataset"] == dataset) & (runs["architecture"] == architecture)]
        methods = found.setdefault(dataset, {}).setdefault(architecture, {})
        for method in results.about["methods"]:
            means = cell[cell["method"] == method][[PRIMARY, MERGED, PATHWAYS, WEAKEST]].mean()
            if means.notna().any():
                methods[method] = {measure: round(float(mean), 3) for measure, mean in means.dropna().items()}
    return found


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
