import pandas as pd
import pytest

from guidebp.analysis.comparisons import compare
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
    assert set(first.data["method"]) == set(METHODS)
    pd.testing.assert_frame_equal(first.data, second.data)
    close(first.figure)
    close(second.figure)


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
