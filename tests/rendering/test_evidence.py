"""What documents take from a study's tables, against the tables themselves."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from guidebp.errors import UserError
from guidebp.rendering.documents.evidence import Evidence
from guidebp.rendering.tables.text import format_signed
from tests.support.tiny import ROOT

DEMO = Evidence.read(ROOT, "demo")


def test_every_claim_is_in_the_table_but_nothing_exploratory() -> None:
    lines = DEMO.table().splitlines()[2:]
    assert [line.split(" | ")[0].strip("| ") for line in lines] == list(DEMO.verdicts)
    assert all("not tested" in line for line in lines)


def test_missing_runs_stand_behind_nothing() -> None:
    metrics = DEMO.metrics.copy()
    assert DEMO.runs == f"{metrics['key'].nunique()}"
    metrics.loc[metrics["key"] == metrics["key"].iloc[0], "status"] = "missing"
    assert replace(DEMO, metrics=metrics).runs == f"{metrics['key'].nunique() - 1}"


def test_differences_from_a_reference() -> None:
    table = DEMO.comparisons
    chosen = (table["architecture"] == "columns-digits") & (table["reference"] == "independent")
    rows = table[chosen & (table["measure"] == "merged")]
    lines = DEMO.against("independent", "columns-digits").splitlines()[2:]
    assert len(lines) == len(rows)
    for line, row in zip(lines, rows.to_dict("records"), strict=True):
        name, cell = line.strip("| ").split(" | ")
        assert name == row["method"] and float(cell.split(" ")[0]) == round(row["difference"], 2)
    clear = table.assign(p_holm=np.where(table["method"] == "guidebp", 0.01, 1.0))
    bold = replace(DEMO, comparisons=clear).against("independent", "columns-digits").splitlines()
    assert [line.split(" | ")[0] for line in bold if "**" in line] == ["| guidebp"]


def test_agreement_counts_signs_and_intervals() -> None:
    table = DEMO.comparisons
    rows = table[(table["reference"] == "average") & (table["measure"] == "merged")]
    assert (
        f"of {len(rows)} differences from `average` (merged), {len(rows)} have the same sign and {len(rows)}"
        in (DEMO.agreement(DEMO, "average", "merged"))
    )
    assert "significant in `demo`, " in DEMO.agreement(DEMO, "average", "merged")
    turned = table.assign(
        difference=-table["difference"], low=-table["high"] - 1000, high=-table["low"] - 1000, p_holm=0.0
    )
    said = replace(DEMO, comparisons=table.assign(p_holm=0.0)).agreement(
        replace(DEMO, comparisons=turned), "average", "merged"
    )
    zero = int((rows["difference"] == 0).sum())
    assert f"{zero} have the same sign and 0 overlapping intervals, correlation -1.00" in said
    assert said.endswith(f"{zero} in both with one sign, {len(rows) - zero} in both with opposite signs")
    unknown = replace(DEMO, comparisons=table.assign(low=np.nan))
    with pytest.raises(UserError, match="share 0 differences"):
        DEMO.agreement(unknown, "average", "merged")


def test_accuracy_is_the_mean_of_finished_runs() -> None:
    where = ("digits", "columns-digits", "add")
    metrics = DEMO.metrics
    own = metrics[(metrics[["dataset", "architecture", "method"]] == list(where)).all(axis=1)]
    means = {output: f"{rows['accuracy'].mean():.2f}" for output, rows in own.groupby("output", sort=False)}
    assert {output: DEMO.accuracy(*where, str(output)) for output in means} == means
    assert DEMO.strongest(*where) == max((means[f"kernel {k}"] for k in (3, 5, 7)), key=float)
    heads, _, row = DEMO.accuracies(*where[:2], ["add"]).splitlines()
    assert heads.strip("| ").split(" | ") == ["method", *means]
    assert row.strip("| ").split(" | ") == ["add", *means.values()]
    failed = own["key"] == own["key"].iloc[0]
    lost = metrics.assign(status=metrics["status"].mask(metrics.index.isin(own.index[failed]), "diverged"))
    assert replace(DEMO, metrics=lost).accuracy(*where, "merged") == (
        f"{own.loc[~failed & (own['output'] == 'merged'), 'accuracy'].mean():.2f}"
    )
    with pytest.raises(UserError, match="no finished runs of digits/columns-digits/nothing"):
        DEMO.accuracy("digits", "columns-digits", "nothing", "merged")


def test_what_is_not_decided_has_no_result() -> None:
    for name in ("guidebp-merge", "no-such-claim"):
        for ask in (DEMO.weakest, DEMO.cells):
            with pytest.raises(UserError, match=f"claim '{name}': not decided"):
                ask(name)
    with pytest.raises(UserError, match="no method was compared with 'nothing'"):
        DEMO.against("nothing", "columns-digits")


def test_cells_show_every_deciding_difference_with_its_standing() -> None:
    parts = DEMO.parts.assign(scale="desk")
    found = DEMO.verdicts["guidebp-merge"]
    decided = found | {"decided": "desk", "scales": {"desk": found["scales"]["exploratory"]}}
    lines = (
        replace(DEMO, parts=parts, verdicts={"guidebp-merge": decided}).cells("guidebp-merge").splitlines()
    )
    assert lines[0] == "| dataset | network | standing | guidebp - add | guidebp - average |"
    rows = parts[(parts["claim"] == "guidebp-merge") & (parts["role"] == "decides")]
    for difference in rows["difference"]:
        assert f"{difference:+.2f} (" in lines[2]


def test_absent_and_edited_tables_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="guidebp restore --study demo"):
        Evidence.read(tmp_path, "demo")
    shutil.copytree(
        ROOT / "results/demo", tmp_path / "results/demo", ignore=shutil.ignore_patterns("figures")
    )
    Evidence.read(tmp_path, "demo")
    path = tmp_path / "results/demo/comparisons.csv"
    path.write_text(path.read_text().replace("0.", "1.", 1))
    with pytest.raises(UserError, match=r"comparisons\.csv"):
        Evidence.read(tmp_path, "demo")


def test_readings_show_the_worst_difference_of_each() -> None:
    name = "guidebp-merge"
    scored = replace(DEMO, verdicts={name: DEMO.verdicts[name] | {"decided": "exploratory"}})
    rows = DEMO.parts[(DEMO.parts["claim"] == name) & (DEMO.parts["role"] != "beside")]
    lines = scored.readings(name).splitlines()[2:]
    assert [line.split(" | ")[0].strip("| ") for line in lines] == list(rows["method"].unique())
    for line in lines:
        method, cell = line.strip("| ").split(" | ")
        own = rows[rows["method"] == method]
        worst = own.iloc[int(own["low"].argmin())]
        assert cell.startswith(f"{format_signed(worst['difference'])} (") and cell.endswith(
            f" against {worst['than']}"
        )
    one = DEMO.parts[DEMO.parts["than"] == "add"]
    assert " against " not in replace(scored, parts=one).readings(name)


def test_conflicts_in_percent_by_method_and_dataset() -> None:
    shown = pd.DataFrame(
        [
            ("net", method, quantity, epoch, value, "digits")
            for method, share in (("a", 0.0312), ("b", 0.5))
            for quantity, epoch, value in (("cosine", 1.0, 0.9), ("conflict", None, share))
        ],
        columns=["architecture", "method", "quantity", "epoch", "value", "dataset"],
    )
    other = shown.assign(architecture="other", value=1.0)
    text = replace(DEMO, conflicts=pd.concat([other, shown])).conflicting("net", ["b", "a"])
    assert text.splitlines()[2:] == ["| b | 50.0 |", "| a | 3.1 |"]
    assert text.splitlines()[0] == "| method | digits |"
    for network, methods in (("net", ["a", "c"]), ("nothing", ["a"])):
        with pytest.raises(UserError, match=f"on '{network}' under"):
            replace(DEMO, conflicts=shown).conflicting(network, methods)
    with pytest.raises(UserError, match="on 'net' under"):
        replace(DEMO, conflicts=pd.DataFrame()).conflicting("net", ["a"])


def test_conflicts_are_read_from_the_figures_and_verified(tmp_path: Path) -> None:
    shutil.copytree(
        ROOT / "results/desk", tmp_path / "results/desk", ignore=shutil.ignore_patterns("*.pdf", "*.tar.xz")
    )
    found = Evidence.read(tmp_path, "desk").conflicts
    assert set(found["dataset"]) >= {"cmaterdb", "mnist-10k", "fashion-mnist-10k", "cifar-10-10k"}
    path = tmp_path / "results/desk/figures/conflict_mnist-10k_exits.csv"
    path.write_text(path.read_text().replace("0.", "1.", 1))
    with pytest.raises(UserError, match=r"conflict_mnist-10k_exits\.csv"):
        Evidence.read(tmp_path, "desk")


def test_outputs_that_a_method_lacks_are_a_dash() -> None:
    where = (DEMO.metrics["method"] == "add") & (DEMO.metrics["output"] == "merged")
    text = replace(DEMO, metrics=DEMO.metrics[~where]).accuracies(
        "digits", "columns-digits", ["average", "add"]
    )
    assert text.splitlines()[-1].count(" - ") == 1
    assert "nan" not in text
