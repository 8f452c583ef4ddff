"""The papers' own tables with the figures of a made-up study beside."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from guidebp.analysis.results import Results
from guidebp.rendering.placements import list_placements
from guidebp.rendering.table_catalogue import PAPER_TABLE_PREFIX, TABLE_ENTRIES, list_table_entries
from guidebp.rendering.tables import results as tables
from guidebp.rendering.tables.files import encode_table
from guidebp.schema.published import from_json, to_json
from tests.support.made_up_results import made_up

PLACE = {"datasets": {"cifar-10": "digits"}, "architectures": {"vgg": "columns"}}
QUICK = PLACE | {"methods": {"local-critic": "guidebp"}}
FACTS = {"title": "A table", "paper": "local-critic", "source": "Somewhere", "confidence": "H"}
TABLE: dict[str, Any] = {
    **FACTS,
    "seeds": 5,
    "caution": ["Mind the gap."],
    "common": {"architecture": "vgg"},
    "columns": {"CIFAR-10": {"dataset": "cifar-10"}, "CIFAR-100": {"dataset": "cifar-100"}, "other": None},
    "rows": [
        {
            "label": "backprop",
            "ours": {"method": "average"},
            "published": [{"mean": 93.9, "sd": 0.2}, None, 70],
        },
        {
            "label": "critics",
            "ours": {"method": "local-critic"},
            "published": [92.39, {"low": 5, "high": 6.5}, None],
        },
        {"label": "DNI", "published": [64.86, 36.53, None], "confidence": "M", "note": "second-hand"},
        {"label": "never run", "ours": {"method": "backprop"}, "published": [1, 2, 3]},
    ],
    "places": [{}, PLACE, QUICK],
}


def with_table(results: Results, **changes: Any) -> Results:
    table = from_json({"it": TABLE | changes})
    return replace(results, about=results.about | {"published": to_json(table)})


def rendered(results: Results, **changes: Any) -> list[list[str]]:
    """The rows of the table."""
    rows: list[list[str]] = (
        tables.build_table(PAPER_TABLE_PREFIX + "it", with_table(results, **changes), "").to_numpy().tolist()
    )
    return rows


def one_cell(results: Results, **selector: Any) -> list[str]:
    """Our figure for a single selector, and the runs behind it."""
    names = {"dataset": "digits", "architecture": "columns", "method": "guidebp"}
    row = {"label": "it", "ours": names | selector, "published": [None]}
    found = rendered(results, common={}, columns={"value": {}}, rows=[row], places=[{}])
    return found[1][2:] if len(found) > 1 else []


def accuracies(results: Results, method: str, output: str) -> Any:
    rows = results.metrics[(results.metrics["method"] == method) & (results.metrics["output"] == output)]
    return rows["accuracy"].dropna()


def spread(values: Any) -> str:
    return f"{np.mean(values):.2f} ± {np.std(values, ddof=1):.2f}"


def test_ours_stand_beside_what_is_published() -> None:
    results = made_up(failed=("guidebp", 1))
    plain = spread(accuracies(results, "average", "merged"))
    guided = spread(accuracies(results, "guidebp", "merged"))
    assert rendered(results) == [
        ["backprop", "published (H)", "93.90 ± 0.20", "unknown", "70.00", "5", ""],
        ["backprop", "ours: Digits; Columns", plain, "-", "-", "5 of 5", ""],
        ["critics", "published (H)", "92.39", "5.00 to 6.50", "unknown", "5", ""],
        ["critics", "ours: Digits; Columns; guidebp", guided, "-", "-", "4 of 5, 1 diverged", ""],
        ["DNI", "published only (M)", "64.86", "36.53", "unknown", "5", "second-hand"],
        ["never run", "published (H)", "1.00", "2.00", "3.00", "5", ""],
    ]


def test_a_study_without_any_of_its_runs_shows_what_is_published_alone() -> None:
    rows = rendered(made_up(), places=[{}])
    assert [row[1] for row in rows] == [
        "published (H)",
        "published (H)",
        "published only (M)",
        "published (H)",
    ]
    assert {row[5] for row in rendered(made_up(), places=[], seeds=None)} == {"unknown"}


def test_runs_that_all_failed_are_stated() -> None:
    results = made_up()
    lost: dict[str, Any] = {"accuracy": np.nan, "status": "crashed"}
    results = replace(results, metrics=results.metrics.assign(**lost))
    assert one_cell(results) == ["-", "0 of 5, 5 crashed"]


def test_a_cell_is_what_its_selector_says() -> None:
    results = made_up()
    merged, second = (accuracies(results, "guidebp", output) for output in ("merged", "kernel 5"))
    ways = results.inference[results.inference["method"] == "guidebp"]
    ensemble = ways[(ways["way"] == "ensemble") & (ways["level"] == 2)]
    for selector, expected in (
        ({}, spread(merged)),
        ({"output": "primary"}, spread(merged)),
        ({"measure": "error"}, spread(100 - merged)),
        ({"output": "exit 2"}, spread(second)),
        ({"output": "sub-model 2"}, spread(second)),
        ({"output": "exit 2", "measure": "parameters"}, "0.002"),
        ({"output": "exit 2", "measure": "operations"}, "0.020"),
        ({"output": "exit 3"}, "-"),
        ({"way": "ensemble", "level": 2}, spread(ensemble["accuracy"])),
        ({"way": "ensemble", "level": 2, "measure": "operations"}, "0.040"),
        ({"way": "ensemble", "level": 3}, "-"),
    ):
        assert one_cell(results, **selector)[0] == expected, selector
    assert one_cell(results, method="independent-of-it") == []


def test_an_untrained_exit_has_no_accuracy() -> None:
    results = made_up()
    metrics = results.metrics.assign(trained=results.metrics["pathway"] != 1)
    assert one_cell(replace(results, metrics=metrics), output="exit 1")[0] == "-"
    assert one_cell(replace(results, metrics=metrics), output="exit 2")[0] != "-"


def test_columns_of_different_methods_state_their_runs_one_by_one() -> None:
    row = {"label": "it", "ours": {"dataset": "digits", "architecture": "columns"}, "published": [1, 2]}
    columns = {"a": {"method": "average"}, "b": {"method": "guidebp"}}
    found = rendered(made_up(failed=("guidebp", 0)), common={}, columns=columns, rows=[row], places=[{}])
    assert found[1][-1] == "5 of 5; 4 of 5, 1 diverged"


def test_caption_names_source_and_cautions() -> None:
    table = from_json({"it": TABLE})["it"]
    assert table.caption.startswith("A table. Published: Somewhere (H: ")
    assert table.caption.endswith("Mind the gap.")
    assert "Ours" not in from_json({"it": TABLE | {"places": []}})["it"].caption


@pytest.mark.parametrize("kind", ["md", "tex", "csv"])
def test_a_study_has_each_of_them_once(kind: str) -> None:
    results = with_table(made_up())
    shown = list_table_entries(from_json(results.about["published"]))
    assert set(shown) == {*TABLE_ENTRIES, "paper_it"}
    assert [
        place for place in list_placements(shown, results.about["sections"]) if place[0] == "paper_it"
    ] == [("paper_it", "", "")]
    frame = tables.build_table("paper_it", results, "")
    text = encode_table(frame, shown["paper_it"].caption, kind, "paper_it").decode()
    assert "unknown" in text and "published only (M)" in text
