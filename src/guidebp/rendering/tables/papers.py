"""The papers' own tables, with the values of a study next to the published ones.

Every row has a line of published values, and a line for each place (`guidebp.schema.published.Place`) of which the
study has runs. The tables are in study.json.
"""

import pandas as pd

from guidebp.analysis.results import Results
from guidebp.rendering.tables.text import format_mean_and_sd, format_millions, format_run_counts
from guidebp.schema.published import PaperTable, Place, Range, Row, Selector, Spread, from_json

UNKNOWN = "unknown"


def build_paper_table(results: Results, name: str) -> pd.DataFrame:
    """Build a table of study.json: label, source of the values, a column per heading, runs, notes if any."""
    table = from_json(results.about["published"])[name]
    lines = []
    for row in table.rows:
        lines.append([row.label, *_list_published_values(table, row), row.note or ""])
        for place in table.places:
            line = _list_own_values(results, table.cells(row), place)
            if (
                line and [row.label, *line, ""] not in lines
            ):  # places may differ in values that this row lacks
                lines.append([row.label, *line, ""])
    frame = pd.DataFrame(lines, columns=["what", "whose", *table.columns, "runs", "note"])
    return frame if frame["note"].any() else frame.drop(columns="note")


def _list_published_values(table: PaperTable, row: Row) -> list[str]:
    """Return the source of the values, a text per column, and the number of runs."""
    whose = "published" if row.ours else "published only"
    runs = UNKNOWN if table.seeds is None else str(table.seeds)
    return [
        f"{whose} ({row.confidence or table.confidence})",
        *map(_format_published_value, row.published),
        runs,
    ]


def _format_published_value(value: float | Spread | Range | None) -> str:
    """Format a published value with two decimals, as the papers print it."""
    if isinstance(value, Spread):
        return f"{value.mean:.2f} ± {value.sd:.2f}"
    if isinstance(value, Range):
        return f"{value.low:.2f} to {value.high:.2f}"
    return UNKNOWN if value is None else f"{value:.2f}"


def _list_own_values(results: Results, selectors: list[Selector | None], place: Place) -> list[str] | None:
    """Return source, texts and run counts of the study's own runs; None if it has none of the row in this place."""
    chosen = [place.instead(selector) if selector else None for selector in selectors]
    runs = [
        _select_runs(results.metrics, selector) if selector else results.metrics.iloc[:0]
        for selector in chosen
    ]
    with_runs = [selector for selector, rows in zip(chosen, runs, strict=True) if selector and len(rows)]
    if not with_runs:
        return None
    texts = [
        _format_own_value(results, selector, rows) if selector and len(rows) else "-"
        for selector, rows in zip(chosen, runs, strict=True)
    ]
    stand_ins = set(place.methods.values())
    methods = dict.fromkeys(selector.method for selector in with_runs if selector.method in stand_ins)
    datasets = dict.fromkeys(results.title("datasets", str(selector.dataset)) for selector in with_runs)
    architectures = dict.fromkeys(
        results.title("architectures", str(selector.architecture)) for selector in with_runs
    )
    whose = "; ".join(["ours: " + " / ".join(datasets), " / ".join(architectures), *map(str, methods)])
    counts = [format_run_counts(rows.drop_duplicates("key")["status"]) for rows in runs if len(rows)]
    return [whose, *texts, "; ".join(dict.fromkeys(counts))]


def _select_runs(metrics: pd.DataFrame, selector: Selector) -> pd.DataFrame:
    """Return the rows of a selector's dataset, architecture and method."""
    same = (metrics["dataset"] == selector.dataset) & (metrics["architecture"] == selector.architecture)
    return metrics[same & (metrics["method"] == selector.method)]


def _format_own_value(results: Results, selector: Selector, rows: pd.DataFrame) -> str:
    """Format what the selector asks of the finished runs among these rows of `metrics`; a dash if they lack it."""
    finished = rows[rows["status"] == "finished"]
    if selector.way:
        ways = results.inference[results.inference["key"].isin(finished["key"])]
        chosen = ways[(ways["way"] == selector.way) & (ways["level"] == selector.level)]
    elif selector.pathway:
        trained = finished["trained"] != False  # noqa: E712 - a column of objects
        chosen = finished[trained & (finished["pathway"] == selector.pathway)]
    else:
        chosen = finished[finished["primary"] == True]  # noqa: E712
    if chosen.empty:
        return "-"
    if selector.measure in ("parameters", "operations"):
        return format_millions(chosen[selector.measure].mean())
    accuracy = chosen["accuracy"]
    return format_mean_and_sd(100 - accuracy if selector.measure == "error" else accuracy)
