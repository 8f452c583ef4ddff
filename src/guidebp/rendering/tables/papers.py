"""The papers' own tables with a study's figures beside.

For every row a line of what is published and one per place that the study has runs of. The tables come with
study.json (see `guidebp.schema.published`).
"""

import pandas as pd

from guidebp.analysis.results import Results
from guidebp.rendering.tables.text import behind, millions, spread
from guidebp.schema.published import PaperTable, Place, Range, Row, Selector, Spread, from_json

UNKNOWN = "unknown"


def paper_table(results: Results, name: str) -> pd.DataFrame:
    """A table of study.json: label, whose figures, a column per heading, runs, notes where there are some."""
    table = from_json(results.about["published"])[name]
    lines = []
    for row in table.rows:
        lines.append([row.label, *published(table, row), row.note or ""])
        for place in table.places:
            line = ours(results, table.cells(row), place)
            if line and [row.label, *line, ""] not in lines:  # places may differ in what this row has not
                lines.append([row.label, *line, ""])
    found = pd.DataFrame(lines, columns=["what", "whose", *table.columns, "runs", "note"])
    return found if found["note"].any() else found.drop(columns="note")


def published(table: PaperTable, row: Row) -> list[str]:
    """Whose, a text per column, runs."""
    whose = "published" if row.ours else "published only"
    runs = UNKNOWN if table.seeds is None else str(table.seeds)
    return [f"{whose} ({row.confidence or table.confidence})", *map(printed, row.published), runs]


def printed(value: float | Spread | Range | None) -> str:
    """As the papers print: two decimals."""
    if isinstance(value, Spread):
        return f"{value.mean:.2f} ± {value.sd:.2f}"
    if isinstance(value, Range):
        return f"{value.low:.2f} to {value.high:.2f}"
    return UNKNOWN if value is None else f"{value:.2f}"


def ours(results: Results, cells: list[Selector | None], place: Place) -> list[str] | None:
    """Whose, a text per column, runs; None where the study has no runs of the row in this place."""
    chosen = [place.instead(cell) if cell else None for cell in cells]
    found = [runs_of(results.metrics, cell) if cell else results.metrics.iloc[:0] for cell in chosen]
    with_runs = [cell for cell, rows in zip(chosen, found, strict=True) if cell and len(rows)]
    if not with_runs:
        return None
    texts = [
        figure(results, cell, rows) if cell and len(rows) else "-"
        for cell, rows in zip(chosen, found, strict=True)
    ]
    stand_ins = set(place.methods.values())
    methods = dict.fromkeys(cell.method for cell in with_runs if cell.method in stand_ins)
    datasets = dict.fromkeys(results.title("datasets", str(cell.dataset)) for cell in with_runs)
    networks = dict.fromkeys(results.title("architectures", str(cell.architecture)) for cell in with_runs)
    whose = "; ".join(["ours: " + " / ".join(datasets), " / ".join(networks), *map(str, methods)])
    behind_each = [behind(rows.drop_duplicates("key")["status"]) for rows in found if len(rows)]
    return [whose, *texts, "; ".join(dict.fromkeys(behind_each))]


def runs_of(metrics: pd.DataFrame, cell: Selector) -> pd.DataFrame:
    """The rows of a cell's dataset, architecture and method."""
    same = (metrics["dataset"] == cell.dataset) & (metrics["architecture"] == cell.architecture)
    return metrics[same & (metrics["method"] == cell.method)]


def figure(results: Results, cell: Selector, rows: pd.DataFrame) -> str:
    """What the cell asks of the finished runs among these rows of `metrics`; a dash where they do not have it."""
    finished = rows[rows["status"] == "finished"]
    if cell.way:
        ways = results.inference[results.inference["key"].isin(finished["key"])]
        chosen = ways[(ways["way"] == cell.way) & (ways["level"] == cell.level)]
    elif cell.pathway:
        trained = finished["trained"] != False  # noqa: E712 - a column of objects
        chosen = finished[trained & (finished["pathway"] == cell.pathway)]
    else:
        chosen = finished[finished["primary"] == True]  # noqa: E712
    if chosen.empty:
        return "-"
    if cell.measure in ("parameters", "operations"):
        return millions(chosen[cell.measure].mean())
    accuracy = chosen["accuracy"]
    return spread(100 - accuracy if cell.measure == "error" else accuracy)
