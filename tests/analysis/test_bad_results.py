"""Folders that no study leaves behind: one line that names the file and the remedy, never a number."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from guidebp.analysis.comparisons import compare_methods
from guidebp.analysis.results import Results, load_results
from guidebp.collect.rows import NAMES, TABLES, VERSION
from guidebp.errors import UserError
from guidebp.paths import StudyPaths
from tests.support.made_up_results import made_up

LAYOUT = StudyPaths("made-up")
AGAIN = "snakemake --config study=made-up"


def write(results: Results) -> None:
    """The files that `collect` would have left, without its code."""
    LAYOUT.folder.mkdir(parents=True)
    LAYOUT.about.write_text(json.dumps(results.about))
    LAYOUT.lock.write_text(json.dumps(results.lock))
    results.metrics.to_csv(LAYOUT.metrics, index=False)
    for name in ("history", "inference", "calibration", "cosines"):
        getattr(results, name).to_parquet(getattr(LAYOUT, name), index=False)
    costs = results.costs.drop(columns=[name for name in NAMES if name != "key"])
    LAYOUT.telemetry.write_text("".join(json.dumps(row) + "\n" for row in costs.to_dict("records")))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(made_up(failed=("guidebp", 2)))


def refused() -> str:
    with pytest.raises(UserError) as caught:
        load_results(LAYOUT)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(AGAIN)
    return message


def edit(change: Callable[[pd.DataFrame], pd.DataFrame]) -> str:
    change(pd.read_csv(LAYOUT.metrics).astype(object)).to_csv(LAYOUT.metrics, index=False)
    message = refused()
    assert message.startswith("results/made-up/metrics.csv: ")
    assert f"rm -r results/made-up/metrics.csv && {AGAIN}" in message, (
        "snakemake alone finds the file in place"
    )
    return message


def cell(row: int, column: str, value: Any) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def change(metrics: pd.DataFrame) -> pd.DataFrame:
        metrics.loc[row, column] = value
        return metrics

    return change


@pytest.mark.usefixtures("folder")
def test_an_undamaged_folder_gives_the_numbers_of_what_was_written() -> None:
    whole = made_up(failed=("guidebp", 2))
    found = load_results(LAYOUT)
    pd.testing.assert_frame_equal(compare_methods(found), compare_methods(whole), check_dtype=False)
    pd.testing.assert_frame_equal(found.history, whole.history, check_dtype=False)
    assert found.costs["seconds"].tolist() == whole.costs["seconds"].tolist()


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", ["about", *TABLES, "telemetry", "lock"])
def test_an_absent_file_is_named(name: str) -> None:
    path: Path = getattr(LAYOUT, name)
    path.unlink()
    message = refused()
    assert message.startswith(f"{path}: ")
    assert "not collected yet" in message


@pytest.mark.usefixtures("folder")
def test_no_folder_at_all() -> None:
    shutil.rmtree(LAYOUT.folder)
    assert "not collected yet" in refused()


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", ["about", *TABLES, "telemetry", "lock"])
@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00\x81"])
def test_a_file_of_something_else_is_named(name: str, content: bytes) -> None:
    path: Path = getattr(LAYOUT, name)
    path.write_bytes(content)
    message = refused()
    assert message.startswith(f"{path}: cannot be read (")
    assert f"run: rm -r {path} && " in message


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", ["about", "history", "inference", "calibration", "cosines", "telemetry"])
def test_a_truncated_file_is_named(name: str) -> None:
    path: Path = getattr(LAYOUT, name)
    path.write_bytes(path.read_bytes()[:-20])
    assert refused().startswith(f"{path}: cannot be read (")


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("version", [VERSION + 1, str(VERSION), None, "absent"])
def test_another_version_is_refused(version: Any) -> None:
    about = json.loads(LAYOUT.about.read_text()) | {"version": version}
    if version == "absent":
        del about["version"]
    LAYOUT.about.write_text(json.dumps(about))
    message = refused()
    assert message.startswith("results/made-up/study.json: of version ")
    assert f"reads version {VERSION}" in message


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("text", ["[]", '"made-up"', "1", "null"])
def test_json_that_is_no_object_is_refused(text: str) -> None:
    LAYOUT.about.write_text(text)
    assert refused().startswith("results/made-up/study.json: of version None")


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("value", [np.nan, 101, 100.001, -0.001, np.inf, "high"])
def test_a_finished_run_has_an_accuracy_in_percent(value: Any) -> None:
    message = edit(cell(0, "accuracy", value))
    assert "no accuracy from 0 to 100 (first: digits/columns/average/0)" in message


@pytest.mark.usefixtures("folder")
def test_a_run_that_did_not_finish_has_none() -> None:
    assert "did not finish has an accuracy" in edit(cell(0, "status", "diverged"))


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("value", ["done", "Finished", np.nan])
def test_an_unknown_status_is_refused(value: Any) -> None:
    message = edit(cell(4, "status", value))
    assert (
        "a status other than finished, diverged, crashed, missing (first: digits/columns/average/1)"
        in message
    )


@pytest.mark.usefixtures("folder")
def test_an_output_of_a_run_stands_there_once() -> None:
    message = edit(lambda metrics: pd.concat([metrics, metrics.iloc[[5]]]))
    assert "holds an output of a run twice (first: digits/columns/average/1)" in message


@pytest.mark.usefixtures("folder")
def test_a_seed_stands_there_once_whatever_its_key() -> None:
    def again(metrics: pd.DataFrame) -> pd.DataFrame:
        return pd.concat([metrics, metrics[metrics["key"] == "independent-3"].assign(key="other")])

    assert "holds a run twice (first: digits/columns/independent/3)" in edit(again)


@pytest.mark.usefixtures("folder")
def test_a_seed_on_another_class_of_device_is_another_run() -> None:
    metrics = pd.read_csv(LAYOUT.metrics)
    other = metrics[metrics["key"] == "independent-3"].assign(key="other", device_class="cuda H200")
    pd.concat([metrics, other]).to_csv(LAYOUT.metrics, index=False)
    assert "other" in set(load_results(LAYOUT).metrics["key"])


@pytest.mark.usefixtures("folder")
def test_a_table_without_runs_is_refused() -> None:
    assert "holds no runs" in edit(lambda metrics: metrics.iloc[:0])


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("column", ["key", "device_class", "accuracy", "test_images"])
def test_a_missing_column_is_named(column: str) -> None:
    assert f"lacks the column {column};" in edit(lambda metrics: metrics.drop(columns=column))


@pytest.mark.usefixtures("folder")
def test_missing_columns_of_other_tables_are_named() -> None:
    table = pd.read_parquet(LAYOUT.history).drop(columns=["epoch", "value"])
    table.to_parquet(LAYOUT.history, index=False)
    assert refused().startswith("results/made-up/history.parquet: lacks the columns epoch, value;")


@pytest.mark.usefixtures("folder")
def test_lines_of_csv_with_too_many_cells_are_one_line_of_message() -> None:
    LAYOUT.metrics.write_text("a,b\n1,2\n3,4,5,6\n")
    assert refused().startswith("results/made-up/metrics.csv: cannot be read (")


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("text", ["\n", "3\n", '"key"\n', '{"seconds": 3}\n', "[]\n"])
def test_telemetry_is_of_runs(text: str) -> None:
    LAYOUT.telemetry.write_text(text)
    assert refused().startswith("results/made-up/telemetry.jsonl: cannot be read (")


@pytest.mark.usefixtures("folder")
def test_telemetry_holds_a_run_once() -> None:
    LAYOUT.telemetry.write_text(LAYOUT.telemetry.read_text() * 2)
    assert "telemetry.jsonl: cannot be read (a run stands there twice)" in refused()


def test_keys_of_digits_find_their_costs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    whole = made_up()
    for table in (whole.metrics, whole.costs):
        keys = table["method"] + table["seed"].astype(str)
        table["key"] = keys.map({key: f"{number:04}" for number, key in enumerate(keys.unique())})
    write(whole)
    assert load_results(LAYOUT).costs["seconds"].tolist() == whole.costs["seconds"].tolist()


def test_one_seed_has_a_difference_and_nothing_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(made_up(seeds=1))
    table = compare_methods(load_results(LAYOUT))
    assert len(table) and set(table["n"]) == {1}
    assert table["difference"].notna().all()
    unknown = ["sd", "low", "high", "p", "effect", "detectable", "wilcoxon", "p_holm"]
    assert table[unknown].isna().all(axis=None)
