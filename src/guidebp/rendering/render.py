"""Render all figures and tables of a study in one process: importing the plotting libraries costs most."""

from collections import ChainMap
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from guidebp.analysis.analyse import csv_bytes
from guidebp.analysis.results import Results, load_results
from guidebp.analysis.tuning import CELL, rates, recipes_bytes, tried, tuned_recipes
from guidebp.files import file_hash, write_atomic, write_checksums
from guidebp.hashing import readable_json
from guidebp.paths import ANALYSED, COLLECTED, TABLE_KINDS, Layout
from guidebp.provenance import rendering
from guidebp.rendering.catalogue import FIGURES, TUNED, all_tables, places
from guidebp.rendering.figures import data_bytes, figure_module
from guidebp.rendering.style import file_bytes, settle
from guidebp.rendering.tables.files import table_bytes
from guidebp.rendering.tables.results import make
from guidebp.schema.published import from_json
from guidebp.study.study import Study

PICTURE_KINDS = ("pdf", "svg", "png")


def render(layout: Layout) -> None:
    """Write every figure (three formats, data, provenance), their checksums, every table (three formats)."""
    results = load_results(layout, analysed=True)
    inputs = {name: hashes([getattr(layout, name)]) for name in (*COLLECTED, *ANALYSED)}
    parts = results.about["parts"]
    views = {part["name"]: results.part(part["name"]) for part in parts}
    made: list[Path] = []
    for name, dataset, part in places(FIGURES, parts):
        view = views.get(part, results)
        data = figure_module(name).data(view, dataset)
        read = [inputs[one] for one in ("about", *FIGURES[name].reads)]
        sheets = hashes(Path(sheet) for sheet in data["sheet"].unique()) if "sheet" in data else {}
        keys = [] if FIGURES[name].per == "dataset" else run_keys(view, dataset)
        made += write_figure(layout, (name, dataset, part), data, dict(ChainMap(sheets, *read)), keys)
    shown = all_tables(from_json(results.about["published"]))
    for name, dataset, part in places(shown, parts):
        table = make(name, views.get(part, results), dataset)
        for kind in TABLE_KINDS:
            path = layout.table(name, dataset, part, kind)
            write_atomic(path, table_bytes(table, shown[name].caption, kind, label=path.stem))
            made.append(path)
    write_checksums(layout.rendered_sums, made)


def write_tuning(study: Study) -> None:
    """Write what a tuning study chooses: its recipes, the table behind them, a figure per dataset and part.

    The recipes are configuration, which no rule may own: Snakemake deletes a failed rule's outputs.
    """
    layout = Layout(study.name)
    results = load_results(layout)
    table = rates(results, tried(study))
    write_atomic(layout.rates, csv_bytes(table))
    made = [layout.rates]
    for name, dataset, part in places(TUNED, results.about["parts"]):
        view = results.part(part)
        cells = pd.MultiIndex.from_frame(view.metrics.loc[view.metrics["dataset"] == dataset, CELL])
        data = figure_module(name).data(view, table[pd.MultiIndex.from_frame(table[CELL]).isin(cells)])
        inputs = hashes(getattr(layout, one) for one in ("about", *TUNED[name].reads))
        made += write_figure(layout, (name, dataset, part), data, inputs, run_keys(view, dataset))
    write_atomic(tuned_recipes(study), recipes_bytes(study, table))
    write_checksums(layout.rendered_sums, [*made, tuned_recipes(study)])


def write_figure(
    layout: Layout, place: tuple[str, str, str], data: pd.DataFrame, inputs: dict[str, str], keys: list[str]
) -> list[Path]:
    """Draw (figure, dataset, part) in three formats, with its data and provenance; the files but the last."""
    figure = figure_module(place[0]).draw(data)
    settle(figure)
    files = {kind: file_bytes(figure, kind) for kind in PICTURE_KINDS} | {"csv": data_bytes(data)}
    made = {layout.figure(*place, kind): content for kind, content in files.items()}
    for path, content in made.items():
        write_atomic(path, content)
    write_atomic(layout.figure(*place, "provenance.json"), readable_json(rendering(inputs, keys)))
    return list(made)


def hashes(paths: Iterable[Path]) -> dict[str, str]:
    """The sha256 of each file."""
    return {str(path): file_hash(path) for path in paths}


def run_keys(results: Results, dataset: str) -> list[str]:
    """The runs behind a figure of a part on a dataset, or on all of them."""
    metrics = results.metrics
    return sorted(metrics.loc[(metrics["dataset"] == dataset) | (not dataset), "key"].unique())
