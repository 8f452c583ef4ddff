"""Render all figures and tables of a study in one process: importing the plotting libraries costs most."""

from guidebp.analysis.tables import load_results
from guidebp.canonical import readable_json
from guidebp.provenance import rendering
from guidebp.rendering.catalogue import FIGURES, all_tables, places
from guidebp.rendering.figures import figure_function
from guidebp.rendering.style import close, file_bytes, settle
from guidebp.rendering.table_files import table_bytes
from guidebp.rendering.tables import make
from guidebp.store import file_hash, write_atomic
from guidebp.study.layout import ANALYSED, COLLECTED, TABLE_KINDS, Layout
from guidebp.study.published import from_json

PICTURE_KINDS = ("pdf", "svg", "png")


def render(layout: Layout) -> None:
    """Write every figure (three formats, its data, its provenance) and every table (three formats)."""
    results = load_results(layout, analysed=True)
    sources = [getattr(layout, name) for name in (*COLLECTED, *ANALYSED)]
    provenance = readable_json(rendering({str(path): file_hash(path) for path in sources}))
    parts = results.about["parts"]
    views = {part["name"]: results.part(part["name"]) for part in parts}
    for name, dataset, part in places(FIGURES, parts):
        drawn = figure_function(name)(views.get(part, results), dataset)
        settle(drawn.figure)
        for kind in PICTURE_KINDS:
            write_atomic(layout.figure(name, dataset, part, kind), file_bytes(drawn.figure, kind))
        close(drawn.figure)
        data = drawn.data.to_csv(index=False, lineterminator="\n", float_format="%.10g").encode()
        write_atomic(layout.figure(name, dataset, part, "csv"), data)
        write_atomic(layout.figure(name, dataset, part, "provenance.json"), provenance)
    shown = all_tables(from_json(results.about["published"]))
    for name, dataset, part in places(shown, parts):
        table = make(name, views.get(part, results), dataset)
        for kind in TABLE_KINDS:
            path = layout.table(name, dataset, part, kind)
            write_atomic(path, table_bytes(table, shown[name].caption, kind, label=path.stem))
