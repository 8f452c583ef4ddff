"""Forest plot: paired differences with each reference, primary output and mean of the pathways alone."""

import matplotlib.pyplot as plt

from guidebp.analysis.comparisons import compare
from guidebp.analysis.tables import PATHWAYS, PRIMARY, Results
from guidebp.rendering.figures import Drawn
from guidebp.rendering.figures.accuracy import label_methods, mark, primary_name
from guidebp.rendering.style import COLOURS, INK, MARKERS, WIDTH, look


def draw(results: Results, dataset: str) -> Drawn:
    """One row of panels per architecture: primary output on the left, pathways on the right."""
    table = compare(results) if results.comparisons is None else results.comparisons
    data = table[(table["dataset"] == dataset) & table["measure"].isin([PRIMARY, PATHWAYS])].reset_index(
        drop=True
    )
    architectures = [a for d, a in results.cells if d == dataset]
    references = [name for name in results.about["references"] if name in set(data["reference"])]
    with look():
        heights = [0.155 * data[data["architecture"] == a]["method"].nunique() + 0.3 for a in architectures]
        figure, axes = plt.subplots(
            len(architectures),
            2,
            figsize=(WIDTH, sum(heights) + 0.55 * len(architectures) + 0.25),
            squeeze=False,
            sharey="row",
            gridspec_kw={"height_ratios": heights},
            layout="constrained",
        )
        for row, architecture in zip(axes, architectures, strict=True):
            cell = data[data["architecture"] == architecture]
            methods = [m for m in results.about["methods"] if m in set(cell["method"])]
            primary = primary_name(results, architecture)
            for panel, measure in zip(row, (PRIMARY, PATHWAYS), strict=True):
                panel.axvline(0, color=INK, lw=0.7)
                for k, reference in enumerate(references):
                    rows = cell[(cell["measure"] == measure) & (cell["reference"] == reference)]
                    y = [methods.index(m) + (k - (len(references) - 1) / 2) * 0.28 for m in rows["method"]]
                    panel.hlines(y, rows["low"], rows["high"], color=COLOURS[k], lw=1)
                    panel.plot(
                        rows["difference"], y, MARKERS[k], color=COLOURS[k], ms=4, mec="white", mew=0.4
                    )
                shown = f"{measure} ({primary})" if measure == PRIMARY else measure
                panel.set_xlabel(f"difference in accuracy, {shown} (points)")
            row[0].set_title(results.title("architectures", architecture))
            label_methods(row[0], results, methods)
        figure.legend(
            handles=[mark(COLOURS[k], MARKERS[k], f"minus {name}") for k, name in enumerate(references)],
            loc="outside upper right",
            ncols=len(references),
        )
    return Drawn(figure, data)
