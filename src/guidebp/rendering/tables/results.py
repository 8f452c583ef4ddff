"""The tables of a study's results: frames of texts, a row per method or comparison."""

from collections.abc import Callable

import pandas as pd

from guidebp.analysis.results import (
    MERGED,
    PATHWAYS,
    PRIMARY,
    SOFTMAX_AVERAGE,
    WEAKEST,
    Results,
    run_measures,
)
from guidebp.rendering.catalogue import PAPER
from guidebp.rendering.tables.best import best_exits, best_measures
from guidebp.rendering.tables.claims import claims_table
from guidebp.rendering.tables.files import BEST
from guidebp.rendering.tables.papers import paper_table
from guidebp.rendering.tables.text import behind, millions, plain, probability, signed, spread

SHOWN = (PRIMARY, MERGED, SOFTMAX_AVERAGE, PATHWAYS, WEAKEST)
# Way and level; a level of 0 or less counts exits back from the last.
WAYS = {
    "confidence 0.9": ("confidence", 0.9),
    "confidence 0.95": ("confidence", 0.95),
    "ensemble of all": ("ensemble", 0),
    "all but the last": ("ensemble", -1),
    "all but the last, logits": ("logit ensemble", -1),
    "smallest within 1 point": ("smallest within", 1.0),
}


def make(name: str, results: Results, dataset: str) -> pd.DataFrame:
    """The table of this name in the catalogue."""
    if name.startswith(PAPER):
        return paper_table(results, name.removeprefix(PAPER))
    return TABLES[name](results, dataset)


def claims(results: Results, _: str) -> pd.DataFrame:
    """A row per claim and scale."""
    return claims_table(results.verdicts)


def accuracy(results: Results, dataset: str) -> pd.DataFrame:
    """Mean ± sd of each measure and the runs behind it, a row per architecture and method."""
    runs = run_measures(results.metrics)
    bold = best_measures(results, dataset, SHOWN)
    rows = []
    for architecture, method in pairs(results, dataset):
        chosen = of(runs, dataset, architecture, method)
        finished = chosen[chosen["status"] == "finished"]
        best = [measure for measure in SHOWN if bold.get((architecture, measure)) == method]
        rows.append(
            [
                results.title("architectures", architecture),
                method,
                *(spread(finished[measure].dropna()) for measure in SHOWN),
                behind(chosen["status"]),
                "; ".join(best),
            ]
        )
    return pd.DataFrame(rows, columns=["network", "method", *SHOWN, "runs", BEST])


def exits(results: Results, dataset: str) -> pd.DataFrame:
    """Size, cost, accuracy and calibration of every exit, a row per architecture, method and exit."""
    runs, bold = run_measures(results.metrics), best_exits(results, dataset)
    trained = results.exits
    rows = []
    for architecture, method in pairs(results, dataset):
        alone = of(trained, dataset, architecture, method)
        for output, found in alone.groupby("output", sort=False):
            first = found.iloc[0]
            rows.append(
                [
                    results.title("architectures", architecture),
                    method,
                    output,
                    millions(first["parameters"]),
                    millions(first["operations"]),
                    millions(2 * first["parameters"]),
                    spread(found["accuracy"]),
                    spread(found["calibration_error"]),
                    f"{first['backward_passes']:.3g}",
                    behind(of(runs, dataset, architecture, method)["status"]),
                    "accuracy" if (architecture, output, method) in bold else "",
                ]
            )
    sizes = ["parameters (M)", "operations (M)", "2 x parameters (M)"]
    measured = ["accuracy", "calibration error", "passes", "runs"]
    return pd.DataFrame(rows, columns=["network", "method", "output", *sizes, *measured, BEST])


def inference(results: Results, dataset: str) -> pd.DataFrame:
    """Ways of using several exits, a row per architecture and method."""
    runs, trained = run_measures(results.metrics), results.exits
    rows = []
    for architecture, method in pairs(results, dataset):
        found = of(results.inference, dataset, architecture, method)
        alone = of(trained, dataset, architecture, method)
        if alone.empty:
            continue
        exits = int(alone["pathway"].max())
        last = alone[alone["pathway"] == exits]
        whole = float(last["operations"].iloc[0])
        row = [results.title("architectures", architecture), method, spread(last["accuracy"])]
        for way, level in WAYS.values():
            counted = level if level > 0 else exits + level
            chosen = found[(found["way"] == way) & (found["level"] == counted)]
            share = f" ({100 * chosen['operations'].mean() / whole:.0f} %)" if len(chosen) else ""
            row.append(spread(chosen["accuracy"]) + share)
        rows.append([*row, behind(of(runs, dataset, architecture, method)["status"])])
    return pd.DataFrame(rows, columns=["network", "method", "last exit", *WAYS, "runs"])


def comparisons(results: Results, dataset: str) -> pd.DataFrame:
    """Every paired difference and what tests say of it, a row per architecture, reference, measure and method."""
    compared = results.comparisons
    assert compared is not None
    chosen = compared[(compared["dataset"] == dataset) & compared["measure"].isin([PRIMARY, PATHWAYS])]
    rows = []
    for row in chosen.to_dict("records"):
        interval = f"{signed(row['low'])} to {signed(row['high'])}" if pd.notna(row["low"]) else "-"
        finished = f"{signed(row['difference_finished'])} ({row['n_finished']})"
        rows.append(
            [
                results.title("architectures", row["architecture"]),
                *(row[name] for name in ("method", "reference", "measure")),
                signed(row["difference"]),
                interval,
                *(probability(row[p]) for p in ("p", "p_holm", "wilcoxon")),
                signed(row["effect"]),
                plain(row["detectable"]),
                str(row["n"]),
                f"{row['failed']} / {row['failed_reference']}",
                "all" if row["n_finished"] == row["n"] else finished,
            ]
        )
    tested = ["difference", "95 % interval", "p", "p (Holm)", "p (Wilcoxon)", "effect size", "detectable"]
    counted = ["n", "failed", "finished pairs"]
    return pd.DataFrame(rows, columns=["network", "method", "minus", "measure", *tested, *counted])


def ranks(results: Results, _: str) -> pd.DataFrame:
    """Mean rank and accuracy over datasets, the best first; no row where there are too few datasets."""
    assert results.ranks is not None
    columns = ["method", "mean rank", "mean accuracy", "datasets", "critical difference", "p (Friedman)"]
    rows = [
        [
            row["method"],
            plain(row["rank"]),
            plain(row["accuracy"]),
            str(row["datasets"]),
            plain(row["critical_difference"]),
            probability(row["p"]),
        ]
        for row in results.ranks.to_dict("records")
    ]
    return pd.DataFrame(rows, columns=columns)


def rank_pairs(results: Results, _: str) -> pd.DataFrame:
    """Every pair of the ranked methods."""
    assert results.rank_pairs is not None
    columns = ["method", "and", "difference of ranks", "p (Nemenyi)", "p (Wilcoxon)", "p (Wilcoxon, Holm)"]
    rows = [
        [
            row["first"],
            row["second"],
            signed(row["difference"]),
            *(probability(row[p]) for p in ("p_nemenyi", "p_wilcoxon", "p_holm")),
        ]
        for row in results.rank_pairs.to_dict("records")
    ]
    return pd.DataFrame(rows, columns=columns)


TABLES: dict[str, Callable[[Results, str], pd.DataFrame]] = {
    "claims": claims,
    "accuracy": accuracy,
    "exits": exits,
    "inference": inference,
    "comparisons": comparisons,
    "ranks": ranks,
    "rank-pairs": rank_pairs,
}


def pairs(results: Results, dataset: str) -> list[tuple[str, str]]:
    """The (architecture, method) pairs with runs on a dataset, in the study's order."""
    rows = results.metrics[results.metrics["dataset"] == dataset]
    found = set(zip(rows["architecture"], rows["method"], strict=True))
    architectures = [a for d, a in results.cells if d == dataset]
    return [(a, m) for a in architectures for m in results.about["methods"] if (a, m) in found]


def of(table: pd.DataFrame, dataset: str, architecture: str, method: str) -> pd.DataFrame:
    """The rows of one cell of the study."""
    same = (table["dataset"] == dataset) & (table["architecture"] == architecture)
    return table[same & (table["method"] == method)]
