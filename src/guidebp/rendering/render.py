"""Render all figures and tables of a study in one process, because importing the plotting libraries costs most."""

from collections import ChainMap
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from guidebp.analysis.analyse import encode_csv
from guidebp.analysis.results import Results, load_results
from guidebp.analysis.tuning import (
    CELL,
    encode_tuned_recipes,
    list_tried_rates,
    locate_tuned_recipes,
    tabulate_rates,
)
from guidebp.files import file_hash, write_atomic, write_checksums
from guidebp.hashing import encode_readable_json
from guidebp.paths import ANALYSED_FILES, COLLECTED_FILES, TABLE_KINDS, StudyPaths
from guidebp.provenance import describe_rendering
from guidebp.rendering.figure_catalogue import FIGURE_ENTRIES, TUNING_FIGURE_ENTRIES
from guidebp.rendering.figures import encode_figure_data, load_figure_module
from guidebp.rendering.placements import Placement, list_placements
from guidebp.rendering.style import encode_figure, freeze_layout
from guidebp.rendering.table_catalogue import list_table_entries
from guidebp.rendering.tables.files import encode_table
from guidebp.rendering.tables.results import build_table
from guidebp.schema.published import from_json
from guidebp.study.study import Study

PICTURE_KINDS = ("pdf", "svg", "png")


def render_study(paths: StudyPaths) -> None:
    """Write every figure (three formats, data, provenance), every table (three formats) and their checksums."""
    results = load_results(paths, analysed=True)
    inputs = {name: _hash_files([getattr(paths, name)]) for name in (*COLLECTED_FILES, *ANALYSED_FILES)}
    sections = results.about["sections"]
    views = {section["name"]: results.section(section["name"]) for section in sections}
    written: list[Path] = []
    for placement in list_placements(FIGURE_ENTRIES, sections):
        entry, view = FIGURE_ENTRIES[placement.name], views.get(placement.section, results)
        data = load_figure_module(placement.name).prepare_figure_data(view, placement.dataset)
        read = [inputs[file] for file in ("about", *entry.reads)]
        sheets = _hash_files(Path(sheet) for sheet in data["sheet"].unique()) if "sheet" in data else {}
        keys = [] if entry.per == "dataset" else list_figure_runs(view, placement.dataset)
        written += _write_figure_files(paths, placement, data, dict(ChainMap(sheets, *read)), keys)
    entries = list_table_entries(from_json(results.about["published"]))
    for placement in list_placements(entries, sections):
        view = views.get(placement.section, results)
        table = build_table(placement.name, view, placement.dataset)
        for kind in TABLE_KINDS:
            path = paths.table(*placement, kind)
            write_atomic(path, encode_table(table, entries[placement.name].caption, kind, label=path.stem))
            written.append(path)
    write_checksums(paths.rendered_checksums, written)


def render_tuning_study(study: Study) -> None:
    """Write what a tuning study chooses: its recipes, the table behind them, a figure per dataset and section.

    The recipes are configuration. No rule declares them as output, since Snakemake deletes outputs of failed rules.
    """
    paths = StudyPaths(study.name)
    results = load_results(paths)
    table = tabulate_rates(results, list_tried_rates(study))
    write_atomic(paths.rates, encode_csv(table))
    written = [paths.rates]
    for placement in list_placements(TUNING_FIGURE_ENTRIES, results.about["sections"]):
        view = results.section(placement.section)
        combinations = view.metrics.loc[view.metrics["dataset"] == placement.dataset, CELL]
        in_section = pd.MultiIndex.from_frame(table[CELL]).isin(pd.MultiIndex.from_frame(combinations))
        data = load_figure_module(placement.name).prepare_figure_data(view, table[in_section])
        read = ("about", *TUNING_FIGURE_ENTRIES[placement.name].reads)
        inputs = _hash_files(getattr(paths, file) for file in read)
        keys = list_figure_runs(view, placement.dataset)
        written += _write_figure_files(paths, placement, data, inputs, keys)
    write_atomic(locate_tuned_recipes(study), encode_tuned_recipes(study, table))
    write_checksums(paths.rendered_checksums, [*written, locate_tuned_recipes(study)])


def list_figure_runs(results: Results, dataset: str) -> list[str]:
    """Return the keys of the runs behind a section's figure on a dataset, or on all datasets for an empty name."""
    metrics = results.metrics
    return sorted(metrics.loc[(metrics["dataset"] == dataset) | (not dataset), "key"].unique())


def _write_figure_files(
    paths: StudyPaths, placement: Placement, data: pd.DataFrame, inputs: dict[str, str], keys: list[str]
) -> list[Path]:
    """Draw a figure in three formats and write it with its data and provenance; return all files but the last."""
    figure = load_figure_module(placement.name).draw_figure(data)
    freeze_layout(figure)
    contents = {kind: encode_figure(figure, kind) for kind in PICTURE_KINDS} | {
        "csv": encode_figure_data(data)
    }
    files = {paths.figure(*placement, kind): content for kind, content in contents.items()}
    for path, content in files.items():
        write_atomic(path, content)
    provenance = encode_readable_json(describe_rendering(inputs, keys))
    write_atomic(paths.figure(*placement, "provenance.json"), provenance)
    return list(files)


def _hash_files(paths: Iterable[Path]) -> dict[str, str]:
    """Return the sha256 of each file."""
    return {str(path): file_hash(path) for path in paths}
