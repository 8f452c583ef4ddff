from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.layout_engine import LayoutEngine

from guidebp.analysis.comparisons import compare_methods
from guidebp.analysis.ranks import rank_methods
from guidebp.analysis.results import (
    MEASURES,
    MERGED,
    PATHWAYS,
    PRIMARY,
    SOFTMAX_AVERAGE,
    WEAKEST,
    measure_runs,
)
from guidebp.ingest.contents import Chunk
from guidebp.ingest.samples import SampleSheet
from guidebp.rendering.figure_catalogue import FIGURE_ENTRIES
from guidebp.rendering.figures import load_figure_module
from guidebp.rendering.placements import list_placements
from guidebp.rendering.style import COLOURS, encode_figure, freeze_layout
from tests.support.made_up_results import METHODS, made_up


@pytest.mark.parametrize("name", FIGURE_ENTRIES)
def test_figures_are_the_same_bytes_again_and_show_their_data(name: str) -> None:
    results, module = made_up(failed=("guidebp", 1)), load_figure_module(name)
    results = replace(
        results, comparisons=compare_methods(results), ranks=rank_methods(results)[0], claims=pd.DataFrame()
    )
    first, second = (module.prepare_figure_data(results, "digits") for _ in range(2))
    for kind in ("pdf", "svg", "png"):
        assert encode_figure(module.draw_figure(first), kind) == encode_figure(
            module.draw_figure(second), kind
        )
    if name == "samples":
        assert first["owner's training images"].tolist() == [100] * 10
    elif name != "claims":
        assert set(first["method"]) == set(METHODS)
    pd.testing.assert_frame_equal(first, second)


def test_the_colours_are_seaborns() -> None:
    assert sns.color_palette("colorblind").as_hex() == COLOURS


def test_samples_of_many_classes_stand_in_several_columns(tmp_path: Path) -> None:
    results, count = made_up(test="official"), 101
    names = [f"a class with the number {label}" for label in range(count)]
    data = {"classes": names, "shape": [3, 6, 4], "per_class": {"training": [7] * count, "test": [2] * count}}
    samples = SampleSheet(count)
    images = np.arange(count * 72, dtype=np.uint8).reshape(count, 3, 6, 4)
    samples.add(Chunk(images, np.arange(count), test=False))
    (tmp_path / "many.png").write_bytes(samples.to_png((3, 6, 4)))
    about = results.about | {
        "data": {"many": data},
        "datasets": {"many": results.about["datasets"]["digits"]},
    }
    module = load_figure_module("samples")
    shown = module.prepare_figure_data(replace(results, about=about, prepared=tmp_path), "many")
    figure = module.draw_figure(shown)
    assert len(figure.axes) == 6, "five columns of twenty classes, and the bars"
    assert len([label for axes in figure.axes[:5] for label in axes.get_yticklabels()]) == 100
    assert shown["test images"].tolist() == [2] * count
    assert len(encode_figure(figure, "png")) > 0


def test_a_section_shows_its_combinations_and_nothing_else() -> None:
    results = made_up()
    combinations = [["digits", "columns", "guidebp"], ["digits", "columns", "average"]]
    sections = [{"name": "two", "title": "Two", "combinations": combinations, "exits": True, "trunk": False}]
    whole = replace(
        results, about=results.about | {"sections": sections}, comparisons=compare_methods(results)
    )
    section = whole.section("two")
    assert list(section.about["methods"]) == ["average", "guidebp"], "in the study's order"
    assert section.comparisons is not None
    for table in (section.metrics, section.history, section.inference, section.comparisons):
        assert set(table["method"]) == {"average", "guidebp"}
    assert {
        place
        for place in list_placements(FIGURE_ENTRIES, sections)
        if place[0] in ("samples", "exits", "conflict")
    } == {
        ("samples", "digits", ""),
        ("exits", "digits", "two"),
    }


class Noisy(LayoutEngine):
    """Moves the subfigures of a figure by as little as solving for them does, now this way, now that."""

    _adjust_compatible = _colorbar_gridspec = True

    def __init__(self, noise: float) -> None:
        super().__init__()
        self.noise = noise

    def execute(self, fig: Figure) -> None:
        for subfigure in fig.subfigs:
            subfigure.bbox_relative.set_points(subfigure.bbox_relative.get_points() + self.noise)


def test_noise_of_the_layout_changes_no_file() -> None:
    files = []
    for moved in (0.0, -7e-16):
        figure = Figure(layout=Noisy(moved))
        for subfigure in figure.subfigures(2, 1, squeeze=False).flat:
            subfigure.set_facecolor("white")
        freeze_layout(figure)
        files.append(encode_figure(figure, "pdf"))
    assert files[0] == files[1]


@pytest.mark.parametrize("name", ["exits", "early-exit", "conflict", "cosines"])
@pytest.mark.parametrize("why", ["no exits", "untrained exits"])
def test_figures_of_exits_say_when_there_is_nothing(name: str, why: str) -> None:
    """Which runs finish, and with which exits trained, is not known when the figures are promised."""
    results = made_up()
    if why == "no exits":
        results = replace(results, inference=results.inference.iloc[:0])
    else:
        results = replace(results, metrics=results.metrics.assign(trained=results.metrics["pathway"] != 1))
    module = load_figure_module(name)
    data = module.prepare_figure_data(results, "digits")
    assert data.empty and len(encode_figure(module.draw_figure(data), "svg")) > 0


def test_untrained_pathways_enter_no_measure() -> None:
    """Only the primary output of `average` counts when one of its pathways stays as it was drawn."""
    results = made_up()
    metrics = results.metrics
    untrained = (metrics["method"] == "average") & metrics["output"].isin(
        ["kernel 3", "merged", "softmax average"]
    )
    metrics = metrics.assign(trained=~untrained, primary=metrics["output"] == "kernel 5")
    runs = measure_runs(metrics)
    for measure in (MERGED, SOFTMAX_AVERAGE, PATHWAYS, WEAKEST):
        assert set(runs[runs[measure].isna()]["method"]) == {"average"}
        assert set(runs[runs[measure].notna()]["method"]) == {"independent", "guidebp"}
    assert runs[PRIMARY].notna().all()
    table = compare_methods(replace(results, metrics=metrics))
    assert set(table[table["baseline"] == "average"]["measure"]) == {PRIMARY}
    assert set(table[table["baseline"] == "independent"]["measure"]) == set(MEASURES)
