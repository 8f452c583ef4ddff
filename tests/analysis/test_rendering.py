from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from guidebp.analysis.comparisons import compare
from guidebp.data.contents import Part
from guidebp.data.samples import Samples
from guidebp.rendering import tables
from guidebp.rendering.catalogue import FIGURES, TABLES
from guidebp.rendering.figures import figure_function
from guidebp.rendering.style import close, file_bytes
from guidebp.rendering.tables import probability, signed, table_bytes
from tests.analysis.results import METHODS, made_up


@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_the_same_bytes_again_and_show_their_data(name: str) -> None:
    results = made_up(failed=("guidebp", 1))
    first, second = (figure_function(name)(results, "digits") for _ in range(2))
    for kind in ("pdf", "svg", "png"):
        assert file_bytes(first.figure, kind) == file_bytes(second.figure, kind)
    if name == "samples":
        assert first.data["owner's training images"].tolist() == [100] * 10
    else:
        assert set(first.data["method"]) == set(METHODS)
    pd.testing.assert_frame_equal(first.data, second.data)
    close(first.figure)
    close(second.figure)


def test_samples_of_many_classes_stand_in_several_columns(tmp_path: Path) -> None:
    results, count = made_up(test="official"), 101
    names = [f"a class with the number {label}" for label in range(count)]
    data = {"classes": names, "shape": [3, 6, 4], "per_class": {"training": [7] * count, "test": [2] * count}}
    samples = Samples(count)
    images = np.arange(count * 72, dtype=np.uint8).reshape(count, 3, 6, 4)
    samples.add(Part(images, np.arange(count), test=False))
    (tmp_path / "many.png").write_bytes(samples.sheet((3, 6, 4)))
    about = results.about | {
        "data": {"many": data},
        "datasets": {"many": results.about["datasets"]["digits"]},
    }
    drawn = figure_function("samples")(replace(results, about=about, prepared=tmp_path), "many")
    assert len(drawn.figure.axes) == 6, "five columns of twenty classes, and the bars"
    shown = [label.get_text() for axes in drawn.figure.axes[:5] for label in axes.get_yticklabels()]
    assert len(shown) == 100
    assert drawn.data["test images"].tolist() == [2] * count
    assert len(file_bytes(drawn.figure, "png")) > 0
    close(drawn.figure)


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("kind", ["md", "tex", "csv"])
def test_tables_hold_a_row_per_method(name: str, kind: str) -> None:
    results = made_up(failed=("guidebp", 1))
    table = getattr(tables, name)(results, compare(results), "digits")
    text = table_bytes(table, "A caption.", kind).decode()
    assert all(method in text for method in METHODS)
    if name == "accuracy":
        assert "4 of 5" in text


def test_accuracy_table_is_mean_and_standard_deviation() -> None:
    results = made_up()
    table = tables.accuracy(results, compare(results), "digits").set_index("method")
    rows = results.metrics[(results.metrics["method"] == "average") & (results.metrics["output"] == "merged")]
    expected = f"{rows['accuracy'].mean():.2f} ± {rows['accuracy'].std():.2f}"
    assert table.loc["average", "merged"] == expected


def test_numbers_are_never_falsely_zero() -> None:
    assert probability(0.0004) == "< 0.001"
    assert probability(float("nan")) == "-"
    assert (signed(-0.001), signed(1.236), signed(-2.0)) == ("0.00", "+1.24", "-2.00")


def test_latex_escapes_what_latex_would_eat() -> None:
    text = table_bytes(pd.DataFrame({"a_b": ["50 %"]}), "", "tex").decode()
    assert "a\\_b" in text
    assert "50 \\%" in text
