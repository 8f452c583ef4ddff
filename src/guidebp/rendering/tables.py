"""Tables in Markdown, LaTeX (booktabs) and CSV."""

import pandas as pd

from guidebp.analysis.analyse import csv_bytes
from guidebp.analysis.tables import (
    MERGED,
    PATHWAYS,
    PRIMARY,
    SOFTMAX_AVERAGE,
    WEAKEST,
    Results,
    run_measures,
)

SHOWN = (PRIMARY, MERGED, SOFTMAX_AVERAGE, PATHWAYS, WEAKEST)


def accuracy(results: Results, dataset: str) -> pd.DataFrame:
    """Mean ± sd of each measure and the runs behind it, a row per architecture and method."""
    runs = run_measures(results.metrics)
    rows = []
    for architecture, method in pairs(results, dataset):
        chosen = of(runs, dataset, architecture, method)
        finished = chosen[chosen["status"] == "finished"]
        row = {"network": results.title("architectures", architecture), "method": method}
        row |= {measure: spread(finished[measure]) for measure in SHOWN}
        rows.append(row | {"runs": f"{len(finished)} of {len(chosen)}"})
    return pd.DataFrame(rows)


def exits(results: Results, dataset: str) -> pd.DataFrame:
    """Size, cost, accuracy and calibration of every exit, a row per architecture, method and exit."""
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
                    "runs": len(found),
                }
            )
    return pd.DataFrame(rows)


def inference(results: Results, dataset: str) -> pd.DataFrame:
    """Ways of using several exits, a row per architecture and method."""
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
                "runs": found["key"].nunique(),
            }
        )
    return pd.DataFrame(rows)


def comparisons(results: Results, dataset: str) -> pd.DataFrame:
    """Difference, interval, p and corrected p, a row per architecture, reference, measure and method."""
    compared = results.comparisons
    assert compared is not None
    chosen = compared[(compared["dataset"] == dataset) & compared["measure"].isin([PRIMARY, PATHWAYS])]
    return pd.DataFrame(
        {
            "network": [results.title("architectures", name) for name in chosen["architecture"]],
            "method": chosen["method"].to_list(),
            "minus": chosen["reference"].to_list(),
            "measure": chosen["measure"].to_list(),
            "difference": [signed(value) for value in chosen["difference"]],
            "95 % interval": [
                f"{signed(low)} to {signed(high)}" if pd.notna(low) else "-"
                for low, high in zip(chosen["low"], chosen["high"], strict=True)
            ],
            "p": [probability(value) for value in chosen["p"]],
            "p (Holm)": [probability(value) for value in chosen["p_holm"]],
            "n": chosen["n"].to_list(),
        }
    )


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


def millions(value: float) -> str:
    """Three decimals, in millions."""
    return f"{value / 1e6:.3f}"


def spread(values: "pd.Series[float]") -> str:
    """Mean ± standard deviation, a dash where there is none."""
    if values.empty:
        return "-"
    return f"{values.mean():.2f} ± {values.std():.2f}" if len(values) > 1 else f"{values.mean():.2f}"


def signed(value: float) -> str:
    """With its sign, zero without."""
    text = f"{value:+.2f}"
    return "0.00" if text in ("+0.00", "-0.00") else text


def probability(value: float) -> str:
    """Three decimals, and no false zero."""
    if pd.isna(value):
        return "-"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def markdown(table: pd.DataFrame, caption: str) -> bytes:
    """A pipe table under its caption."""
    lines = [
        caption,
        "",
        "| " + " | ".join(table.columns) + " |",
        "|" + "---|" * len(table.columns),
        *("| " + " | ".join(map(str, row)) + " |" for row in table.itertuples(index=False)),
    ]
    return ("\n".join(lines) + "\n").encode()


def latex(table: pd.DataFrame, caption: str) -> bytes:
    """A booktabs longtable-free tabular with its caption."""

    def escape(value: object) -> str:
        text = str(value)
        for character in "\\&%$#_{}":
            text = text.replace(character, "\\" + character if character != "\\" else "\\textbackslash ")
        return text.replace("±", "$\\pm$").replace("<", "$<$").replace("`", "")

    lines = [
        f"% {caption}",
        "\\begin{tabular}{" + "l" * len(table.columns) + "}",
        "\\toprule",
        " & ".join(map(escape, table.columns)) + " \\\\",
        "\\midrule",
        *(" & ".join(map(escape, row)) + " \\\\" for row in table.itertuples(index=False)),
        "\\bottomrule",
        "\\end{tabular}",
    ]
    return ("\n".join(lines) + "\n").encode()


def table_bytes(table: pd.DataFrame, caption: str, kind: str) -> bytes:
    """The table as "md", "tex" or "csv"."""
    if kind == "csv":
        return csv_bytes(table)
    return markdown(table, caption) if kind == "md" else latex(table, caption)
