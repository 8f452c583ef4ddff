"""Render all figures and tables of a study in one process: importing the plotting libraries costs most."""

from collections import ChainMap
from collections.abc import Iterable
from pathlib import Path

from guidebp.analysis.tables import Results, load_results
from guidebp.canonical import readable_json
from guidebp.checksums import write_sums
from guidebp.provenance import rendering
from guidebp.rendering.catalogue import FIGURES, all_tables, places
from guidebp.rendering.figures import data_bytes, figure_module
from guidebp.rendering.style import file_bytes, settle
from guidebp.rendering.table_files import table_bytes
from guidebp.rendering.tables import make
from guidebp.store import file_hash, write_atomic
from guidebp.study.layout import ANALYSED, COLLECTED, TABLE_KINDS, Layout
from guidebp.study.published import from_json

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
        module = figure_module(name)
        data = module.data(view, dataset)
        figure = module.draw(data)
        settle(figure)
        files = {kind: file_bytes(figure, kind) for kind in PICTURE_KINDS} | {"csv": data_bytes(data)}
        for kind, content in files.items():
            made.append(layout.figure(name, dataset, part, kind))
            write_atomic(made[-1], content)
        read = [inputs[one] for one in ("about", *FIGURES[name].reads)]
        sheets = hashes(Path(sheet) for sheet in data["sheet"].unique()) if "sheet" in data else {}
        keys = [] if FIGURES[name].per == "dataset" else run_keys(view, dataset)
        provenance = readable_json(rendering(dict(ChainMap(sheets, *read)), keys))
        write_atomic(layout.figure(name, dataset, part, "provenance.json"), provenance)
    shown = all_tables(from_json(results.about["published"]))
    for name, dataset, part in places(shown, parts):
        table = make(name, views.get(part, results), dataset)
        for kind in TABLE_KINDS:
            path = layout.table(name, dataset, part, kind)
            write_atomic(path, table_bytes(table, shown[name].caption, kind, label=path.stem))
            made.append(path)
    write_sums(layout.rendered_sums, made)


def hashes(paths: Iterable[Path]) -> dict[str, str]:
    """The sha256 of each file."""
    return {str(path): file_hash(path) for path in paths}


def run_keys(results: Results, dataset: str) -> list[str]:
    """The runs behind a figure of a part on a dataset, or on all of them."""
    metrics = results.metrics
    return sorted(metrics.loc[(metrics["dataset"] == dataset) | (not dataset), "key"].unique())
