"""Tables in Markdown, LaTeX (booktabs) and CSV."""

import pandas as pd

from guidebp.analysis.analyse import csv_bytes
from guidebp.analysis.tables import MERGED, PATHWAYS, SOFTMAX_AVERAGE, WEAKEST, Results, run_measures

SHOWN = (MERGED, SOFTMAX_AVERAGE, PATHWAYS, WEAKEST)


def accuracy(results: Results, comparisons: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """Mean ± sd of each measure and the runs behind it, a row per architecture and method."""
    runs = run_measures(results.metrics)
    rows = []
    for _, architecture in (cell for cell in results.cells if cell[0] == dataset):
        for method in results.about["methods"]:
            chosen = runs[
                (runs["dataset"] == dataset)
                & (runs["architecture"] == architecture)
                & (runs["method"] == method)
            ]
            if chosen.empty:
                continue
            finished = chosen[chosen["status"] == "finished"]
            row = {"network": results.title("architectures", architecture), "method": method}
            row |= {measure: spread(finished[measure]) for measure in SHOWN}
            rows.append(row | {"runs": f"{len(finished)} of {len(chosen)}"})
    return pd.DataFrame(rows)


def comparisons(results: Results, comparisons: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """Difference, interval, p and corrected p, a row per architecture, reference, measure and method."""
    chosen = comparisons[
        (comparisons["dataset"] == dataset) & comparisons["measure"].isin([MERGED, PATHWAYS])
    ]
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
