"""The tables of a study's results: frames of texts, a row per method or comparison."""

from collections.abc import Callable

import pandas as pd

from guidebp.analysis.tables import (
    MERGED,
    PATHWAYS,
    PRIMARY,
    SOFTMAX_AVERAGE,
    WEAKEST,
    Results,
    run_measures,
)
from guidebp.rendering.best import best_exits, best_measures
from guidebp.rendering.catalogue import PAPER
from guidebp.rendering.paper_tables import paper_table
from guidebp.rendering.table_files import BEST
from guidebp.rendering.table_text import behind, millions, plain, probability, signed, spread

SHOWN = (PRIMARY, MERGED, SOFTMAX_AVERAGE, PATHWAYS, WEAKEST)


def make(name: str, results: Results, dataset: str) -> pd.DataFrame:
    """The table of this name in the catalogue."""
    if name.startswith(PAPER):
        return paper_table(results, name.removeprefix(PAPER))
    return TABLES[name](results, dataset)


def accuracy(results: Results, dataset: str) -> pd.DataFrame:
    """Mean ± sd of each measure and the runs behind it, a row per architecture and method."""
    runs = run_measures(results.metrics)
    bold = best_measures(results, dataset, SHOWN)
    rows = []
    for architecture, method in pairs(results, dataset):
        chosen = of(runs, dataset, architecture, method)
        finished = chosen[chosen["status"] == "finished"]
        row = {"network": results.title("architectures", architecture), "method": method}
        row |= {measure: spread(finished[measure].dropna()) for measure in SHOWN}
        best = [measure for measure in SHOWN if bold.get((architecture, measure)) == method]
        rows.append(row | {"runs": behind(chosen["status"]), BEST: "; ".join(best)})
    return pd.DataFrame(rows)


def exits(results: Results, dataset: str) -> pd.DataFrame:
    """Size, cost, accuracy and calibration of every exit, a row per architecture, method and exit."""
    runs, bold = run_measures(results.metrics), best_exits(results, dataset)
    rows = []
    for architecture, method in pairs(results, dataset):
        alone = of(results.exits, dataset, architecture, method)
        for output, found in alone.groupby("output", sort=False):
            first = found.iloc[0]
            rows.append(
                {
                    "network": results.title("architectures", architecture),
                    "method": method,
                    "output": output,
                    "parameters (M)": millions(first["parameters"]),
                    "operations (M)": millions(first["operations"]),
                    "2 x parameters (M)": millions(2 * first["parameters"]),
                    "accuracy": spread(found["accuracy"]),
                    "calibration error": spread(found["calibration_error"]),
                    "passes": f"{first['backward_passes']:.3g}",
                    "runs": behind(of(runs, dataset, architecture, method)["status"]),
                    BEST: "accuracy" if (architecture, output, method) in bold else "",
                }
            )
    return pd.DataFrame(rows)


def inference(results: Results, dataset: str) -> pd.DataFrame:
    """Ways of using several exits, a row per architecture and method."""
    runs = run_measures(results.metrics)
    rows = []
    for architecture, method in pairs(results, dataset):
        found = of(results.inference, dataset, architecture, method)
        alone = of(results.exits, dataset, architecture, method)
        if alone.empty:
            continue
        exits = int(alone["pathway"].max())
        whole = float(alone[alone["pathway"] == exits]["operations"].iloc[0])

        def cell(way: str, level: float, found: pd.DataFrame = found, whole: float = whole) -> str:
            chosen = found[(found["way"] == way) & (found["level"] == level)]
            if chosen.empty:
                return "-"
            return f"{spread(chosen['accuracy'])} ({100 * chosen['operations'].mean() / whole:.0f} %)"

        rows.append(
            {
                "network": results.title("architectures", architecture),
                "method": method,
                "last exit": spread(alone[alone["pathway"] == exits]["accuracy"]),
                "confidence 0.9": cell("confidence", 0.9),
                "confidence 0.95": cell("confidence", 0.95),
                "ensemble of all": cell("ensemble", exits),
                "all but the last": cell("ensemble", exits - 1),
                "all but the last, logits": cell("logit ensemble", exits - 1),
                "smallest within 1 point": cell("smallest within", 1.0),
                "runs": behind(of(runs, dataset, architecture, method)["status"]),
            }
        )
    return pd.DataFrame(rows)


def comparisons(results: Results, dataset: str) -> pd.DataFrame:
    """Every paired difference and what tests say of it, a row per architecture, reference, measure and method."""
    compared = results.comparisons
    assert compared is not None
    rows = []
    for row in compared[compared["dataset"] == dataset].to_dict("records"):
        if row["measure"] not in (PRIMARY, PATHWAYS):
            continue
        known = pd.notna(row["low"])
        same = row["n_finished"] == row["n"]
        rows.append(
            {
                "network": results.title("architectures", row["architecture"]),
                "method": row["method"],
                "minus": row["reference"],
                "measure": row["measure"],
                "difference": signed(row["difference"]),
                "95 % interval": f"{signed(row['low'])} to {signed(row['high'])}" if known else "-",
                "p": probability(row["p"]),
                "p (Holm)": probability(row["p_holm"]),
                "p (Wilcoxon)": probability(row["wilcoxon"]),
                "effect size": signed(row["effect"]),
                "detectable": plain(row["detectable"]),
                "n": str(row["n"]),
                "failed": f"{row['failed']} / {row['failed_reference']}",
                "finished pairs": "all"
                if same
                else f"{signed(row['difference_finished'])} ({row['n_finished']})",
            }
        )
    return pd.DataFrame(rows)


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
