"""The tables of a study's results, and their three forms."""

import csv
import io
import re
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

from guidebp.analysis.comparisons import compare_methods
from guidebp.analysis.ranks import RANK_COLUMNS, RANK_PAIR_COLUMNS
from guidebp.analysis.results import PATHWAYS, PRIMARY, Results
from guidebp.rendering.placements import list_placements
from guidebp.rendering.table_catalogue import TABLE_ENTRIES
from guidebp.rendering.tables import results as tables
from guidebp.rendering.tables.best import find_best_method
from guidebp.rendering.tables.files import BEST_COLUMN, ROWS_PER_PAGE, encode_table
from guidebp.rendering.tables.text import (
    format_mean_and_sd,
    format_number,
    format_probability,
    format_run_counts,
    format_signed,
)
from tests.support.made_up_results import METHODS, made_up

NAMES = [name for name, shown in TABLE_ENTRIES.items() if shown.per != "study"]  # that one is of claims
ROWS = pd.DataFrame(
    {
        "net_work": ["A & B, 50 %", "{x}|y*", "#1 $ ~ ^ \\"],
        "accuracy": ["97.10 ± 0.20", "-", "< 0.001"],
        BEST_COLUMN: ["accuracy", "", ""],
    }
)


def analysed(results: Results) -> Results:
    """With comparisons, and with ranks of too few datasets."""
    return replace(
        results,
        comparisons=compare_methods(results),
        ranks=pd.DataFrame(columns=RANK_COLUMNS),
        rank_pairs=pd.DataFrame(columns=RANK_PAIR_COLUMNS),
    )


@cache
def one_failed() -> Results:
    """A made-up study with a run that diverged."""
    return analysed(made_up(failed=("guidebp", 1)))


def lifted(method: str, output: str, points: float) -> Results:
    """A made-up study in which an output of a method is better by so many points at every seed."""
    results = made_up()
    chosen = (results.metrics["method"] == method) & (results.metrics["output"] == output)
    raised = results.metrics["accuracy"] + points * chosen
    return replace(results, metrics=results.metrics.assign(accuracy=raised))


def cells(text: str) -> list[list[str]]:
    """The rows of a pipe table."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [re.split(r" (?<!\\)\| ", line.strip("| ")) for line in lines if "---" not in line]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["md", "tex", "csv"])
def test_every_table_is_written(name: str, kind: str) -> None:
    table = tables.build_table(name, one_failed(), "digits")
    text = encode_table(table, "A caption.", kind, "label").decode()
    assert all(column in text for column in table.columns if column != BEST_COLUMN and "%" not in column)
    if TABLE_ENTRIES[name].per == "across":
        assert table.empty
    else:
        assert all(method in text for method in METHODS)
        assert "4 of 5, 1 diverged" in text or name == "comparisons"


def test_without_runs_that_finished_tables_keep_their_columns() -> None:
    results = analysed(made_up())
    none: dict[str, Any] = {"accuracy": np.nan, "calibration_error": np.nan, "status": "diverged"}
    lost = replace(results, metrics=results.metrics.assign(**none), inference=results.inference.iloc[:0])
    for name in NAMES:
        table = tables.build_table(name, analysed(lost), "digits")
        assert table.columns.to_list() == tables.build_table(name, results, "digits").columns.to_list()
        read = pd.read_csv(io.BytesIO(encode_table(table, "", "csv", "")), dtype=str)
        assert read.columns.to_list() == table.columns.to_list()
        assert table.empty or name in ("accuracy", "comparisons")


def test_no_table_has_two_placements() -> None:
    sections = made_up().about["sections"] * 2
    sections[1] = sections[1] | {"name": "second"}
    found = list(list_placements(TABLE_ENTRIES, sections))
    assert len(found) == len(set(found))
    assert [place for place in found if place[0] == "ranks"] == [("ranks", "", ""), ("ranks", "", "second")]


def test_accuracy_is_mean_and_standard_deviation_of_the_finished_runs() -> None:
    results = made_up(failed=("average", 1))
    table = tables.build_accuracy_table(results, "digits").set_index("method")
    rows = results.metrics[(results.metrics["method"] == "average") & (results.metrics["output"] == "merged")]
    known = rows["accuracy"].dropna()
    assert len(known) == 4
    assert table.loc["average", "merged"] == f"{known.mean():.2f} ± {known.std():.2f}"
    assert table.loc["average", "runs"] == "4 of 5, 1 diverged"
    assert table.loc["guidebp", "runs"] == "5 of 5"


def test_exit_tables_hold_the_numbers_of_the_runs() -> None:
    results = made_up()
    exits = tables.build_exits_table(results, "digits")
    found = exits[(exits["method"] == "average") & (exits["output"] == "kernel 5")].iloc[0]
    runs = results.metrics[
        (results.metrics["method"] == "average") & (results.metrics["output"] == "kernel 5")
    ]
    assert found["accuracy"] == f"{runs['accuracy'].mean():.2f} ± {runs['accuracy'].std():.2f}"
    sizes = found[["parameters (M)", "2 x parameters (M)", "operations (M)"]].to_list()
    assert sizes == ["0.002", "0.004", "0.020"]
    ways = tables.build_inference_table(results, "digits").set_index("method").loc["guidebp"]
    rows = results.inference[
        (results.inference["method"] == "guidebp") & (results.inference["way"] == "confidence")
    ]
    chosen = rows[rows["level"] == 0.95]["accuracy"]
    assert ways["confidence 0.95"] == f"{chosen.mean():.2f} ± {chosen.std():.2f} (95 %)"
    assert ways["runs"] == "5 of 5"


@pytest.mark.parametrize("why", ["no exits", "untrained exits"])
def test_tables_of_exits_may_have_no_rows(why: str) -> None:
    results = made_up()
    if why == "no exits":
        results = replace(results, inference=results.inference.iloc[:0])
    else:
        results = replace(results, metrics=results.metrics.assign(trained=results.metrics["pathway"] != 1))
    assert (
        tables.build_exits_table(results, "digits").empty
        and tables.build_inference_table(results, "digits").empty
    )


def test_bold_is_what_the_tests_support() -> None:
    assert set(tables.build_accuracy_table(made_up(), "digits")[BEST_COLUMN]) == {""}, (
        "noise has no best method"
    )
    table = tables.build_accuracy_table(lifted("guidebp", "merged", 9), "digits").set_index("method")
    assert table[BEST_COLUMN].to_dict() == {"average": "", "independent": "", "guidebp": "primary; merged"}
    exits = tables.build_exits_table(lifted("average", "kernel 5", 9), "digits")
    bold = exits[exits[BEST_COLUMN] != ""]
    assert bold[["method", "output", BEST_COLUMN]].to_numpy().tolist() == [
        ["average", "kernel 5", "accuracy"]
    ]


def test_bold_counts_failed_runs_as_chance() -> None:
    for output, table in (("merged", tables.build_accuracy_table), ("kernel 5", tables.build_exits_table)):
        lead = lifted("guidebp", output, 9)
        lost = (lead.metrics["method"] == "guidebp") & (lead.metrics["seed"] == 2)
        accuracy = lead.metrics["accuracy"].mask(lost)
        status = lead.metrics["status"].mask(lost, "diverged")
        made = table(replace(lead, metrics=lead.metrics.assign(accuracy=accuracy, status=status)), "digits")
        assert set(made[made["method"] == "guidebp"]["runs"]) == {"4 of 5, 1 diverged"}
        assert set(made[BEST_COLUMN]) == {""}


def test_exits_of_another_size_are_not_compared() -> None:
    results = lifted("average", "kernel 5", 9)
    small = (results.metrics["method"] == "average") & (results.metrics["output"] == "kernel 5")
    metrics = results.metrics.assign(operations=results.metrics["operations"].mask(small, 5000))
    assert set(tables.build_exits_table(replace(results, metrics=metrics), "digits")[BEST_COLUMN]) == {""}


def test_best_needs_every_comparison_after_holm() -> None:
    steps = np.array([-0.5, 0.5, -0.5, 0.5, 0.0, 0.1])
    values = pd.DataFrame({"a": 90 + steps, "b": 89 + np.zeros(6)})
    assert find_best_method(values, 0.0, 0.0) == "a"
    assert find_best_method(values, 2.0, 0.0) is None, "overlapping training sets widen the interval"
    assert find_best_method(values, 0.0, 10.0) is None, "so does a coarse grid"
    close = values.assign(c=values["a"] - 0.1 * steps[::-1])
    assert find_best_method(close, 0.0, 0.0) is None, "one that is as good"
    assert find_best_method(values[["a"]], 0.0, 0.0) is None
    assert find_best_method(values.assign(b=np.nan), 0.0, 0.0) is None
    assert find_best_method(values.iloc[:1], 0.0, 0.0) is None, "one pair proves nothing"
    single = find_best_method(values.assign(b=89.5), 0.0, 0.0)
    many = find_best_method(values.assign(b=89.5, **{f"m{i}": 89.5 for i in range(40)}), 0.0, 0.0)
    assert (single, many) == ("a", None), "p of 0.03 does not outlive 41 comparisons"


def test_the_three_forms_agree() -> None:
    results = lifted("guidebp", "merged", 9)
    table = tables.build_accuracy_table(results, "digits")
    text = {kind: encode_table(table, "C.", kind, "l").decode() for kind in ("md", "tex", "csv")}
    plain_rows = list(csv.reader(io.StringIO(text["csv"])))
    assert plain_rows[0][-1] == BEST_COLUMN
    markdown = cells(text["md"])
    body = text["tex"].split(r"\toprule")[1].split(r"\bottomrule")[0].replace(r"\midrule", "")
    latex = [line.removesuffix(r" \\").split(" & ") for line in body.strip().splitlines() if line]
    assert len(plain_rows) == len(markdown) == len(latex) == 1 + len(METHODS)
    for number, row in enumerate(plain_rows):
        bold = row[-1].split("; ") if number else []
        marked = [(head in bold, value) for head, value in zip(plain_rows[0][:-1], row[:-1], strict=True)]
        assert markdown[number] == [f"**{value}**" if is_best else value for is_best, value in marked]
        assert [cell.replace(r"$\pm$", "±") for cell in latex[number]] == [
            rf"\textbf{{{value}}}" if is_best else value for is_best, value in marked
        ]
    assert "**" in text["md"] and r"\textbf" in text["tex"] and "*" not in text["csv"]


def test_latex_escapes_what_latex_would_eat() -> None:
    text = encode_table(ROWS, "100 % of `a_b`.", "tex", "a-b").decode()
    assert r"\caption{100 \% of \texttt{a\_b}.}" in text and r"\label{tab:a-b}" in text
    assert r"net\_work & accuracy \\" in text
    assert r"A \& B, 50 \% & \textbf{97.10 $\pm$ 0.20} \\" in text
    assert r"\{x\}|y* & - \\" in text
    assert r"\#1 \$ \textasciitilde{} \textasciicircum{} \textbackslash{} & $<$ 0.001 \\" in text
    assert r"\begin{tabular}{lr}" in text, "words to the left, numbers to the right"


def test_bold_is_for_whole_names_of_columns() -> None:
    table = pd.DataFrame({"average": ["1"], "softmax average": ["2"], BEST_COLUMN: ["softmax average"]})
    assert cells(encode_table(table, "C.", "md", "").decode())[1] == ["1", "**2**"]


def test_markdown_keeps_its_columns() -> None:
    assert cells(encode_table(ROWS, "C.", "md", "").decode())[1:3] == [
        ["A & B, 50 %", "**97.10 ± 0.20**"],
        [r"{x}\|y\*", "-"],
    ]


@pytest.mark.parametrize(
    ("rows", "environment"), [(ROWS_PER_PAGE, "table"), (ROWS_PER_PAGE + 1, "longtable")]
)
def test_latex_floats_fit_on_a_page(rows: int, environment: str) -> None:
    text = encode_table(pd.DataFrame({"a": ["1"] * rows}), "C.", "tex", "l").decode()
    opened = re.findall(r"\\begin\{(\w+)\}", text)
    assert opened[0] == environment
    assert sorted(opened) == sorted(re.findall(r"\\end\{(\w+)\}", text))
    assert text.count("{") == text.count("}")
    assert re.search(r"\\caption.*\n\\label", text)


def test_comparisons_show_what_failed_and_what_is_not_known() -> None:
    table = tables.build_comparisons_table(one_failed(), "digits")
    assert set(table["measure"]) == {PRIMARY, PATHWAYS}
    assert set(table["p (Wilcoxon)"]) == {"-"}, "five pairs are too few"
    row = table[(table["method"] == "guidebp") & (table["minus"] == "average")].iloc[0]
    other = table[(table["method"] == "independent") & (table["minus"] == "average")].iloc[0]
    assert (row["failed"], other["failed"]) == ("1 / 0", "0 / 0")
    assert re.fullmatch(r"[+-]?\d+\.\d\d \(4\)", row["finished pairs"]) and other["finished pairs"] == "all"
    six = tables.build_comparisons_table(analysed(made_up(seeds=6)), "digits")
    assert "-" not in set(six["p (Wilcoxon)"]) | set(six["effect size"]) | set(six["detectable"])


def test_ranks_are_written_as_they_are() -> None:
    ranks = pd.DataFrame([["", "guidebp", 1.25, 91.239, 6, 9.0, 12.0, 0.0001, 1.5]], columns=RANK_COLUMNS)
    pairs = pd.DataFrame([["", "guidebp", "average", -0.5, 0.3, np.nan, np.nan]], columns=RANK_PAIR_COLUMNS)
    results = replace(made_up(), ranks=ranks, rank_pairs=pairs)
    shown = [tables.build_table(name, results, "").to_numpy().tolist() for name in ("ranks", "rank-pairs")]
    assert shown == [
        [["guidebp", "1.25", "91.24", "6", "1.50", "< 0.001"]],
        [["guidebp", "average", "-0.50", "0.300", "-", "-"]],
    ]


def test_numbers_are_never_falsely_zero_and_unknown_ones_are_dashes() -> None:
    assert format_probability(0.0004) == "< 0.001"
    assert (format_signed(-0.001), format_signed(1.236), format_signed(-2.0)) == ("0.00", "+1.24", "-2.00")
    nothing = float("nan")
    assert (format_probability(nothing), format_signed(nothing), format_number(nothing)) == ("-", "-", "-")
    assert (format_mean_and_sd(pd.Series(dtype=float)), format_mean_and_sd(pd.Series([1.0]))) == ("-", "1.00")


def test_runs_say_what_became_of_them() -> None:
    statuses = pd.Series(["missing", "finished", "crashed", "diverged", "diverged"])
    assert format_run_counts(statuses) == "1 of 5, 2 diverged, 1 crashed, 1 missing"
    assert format_run_counts(statuses.iloc[:1]) == "0 of 1, 1 missing"
