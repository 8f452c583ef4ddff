"""What documents take from a study's tables, against the tables themselves."""

from contextlib import chdir
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from guidebp.analysis.analyse import analyse
from guidebp.errors import UserError
from guidebp.files import write_checksums
from guidebp.paths import StudyPaths
from guidebp.rendering.documents.evidence import Evidence
from guidebp.rendering.tables.text import format_signed
from tests.support.made_up_results import made_up, write_collected

METHODS = ["average", "independent", "guidebp", "guidebp-hard"]
CLAIM: dict[str, Any] = {
    **dict.fromkeys(("statement", "source", "published"), "-"),
    "paper": "guidebp",
    "metric": "merged",
    "rule": "superiority",
    "margin": 0.2,
    "comparisons": [
        {"candidate": {"method": "guidebp", "metric": None}, "baseline": {"method": name, "metric": None}}
        for name in METHODS[:2]
    ],
    "readings": METHODS[2:],
    "context_methods": [],
    "settings": {
        "exploratory": {
            "datasets": ["digits"],
            "architectures": ["columns"],
            "recipes": [],
            "study": None,
            "substitutes": {},
        }
    },
    "differs": None,
    "plan": [],
}


def write_demo(root: Path) -> None:
    """Analyse a made-up study called demo below root."""
    results = made_up(seeds=3, methods=METHODS)
    results.about["claims"] = {
        "guidebp-merge": CLAIM,
        "another": CLAIM | {"comparisons": CLAIM["comparisons"][:1]},
    }
    with chdir(root):
        write_collected(results, StudyPaths("demo"))
        analyse(StudyPaths("demo"))


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    root = tmp_path_factory.mktemp("demo")
    write_demo(root)
    return Evidence.read(root, "demo")


def test_every_claim_is_in_the_table_but_nothing_exploratory(demo: Evidence) -> None:
    lines = demo.table().splitlines()[2:]
    assert [line.split(" | ")[0].strip("| ") for line in lines] == list(demo.verdicts)
    assert all("not tested" in line for line in lines)


def test_missing_runs_stand_behind_nothing(demo: Evidence) -> None:
    metrics = demo.metrics.copy()
    assert demo.runs == f"{metrics['key'].nunique()}"
    metrics.loc[metrics["key"] == metrics["key"].iloc[0], "status"] = "missing"
    assert replace(demo, metrics=metrics).runs == f"{metrics['key'].nunique() - 1}"


def test_differences_from_a_baseline(demo: Evidence) -> None:
    table = demo.comparisons
    chosen = (table["architecture"] == "columns") & (table["baseline"] == "independent")
    rows = table[chosen & (table["measure"] == "merged")]
    lines = demo.against("independent", "columns").splitlines()[2:]
    assert len(lines) == len(rows)
    for line, row in zip(lines, rows.to_dict("records"), strict=True):
        name, cell = line.strip("| ").split(" | ")
        assert name == row["method"] and float(cell.split(" ")[0]) == round(row["difference"], 2)
    clear = table.assign(p_holm=np.where(table["method"] == "guidebp", 0.01, 1.0))
    bold = replace(demo, comparisons=clear).against("independent", "columns").splitlines()
    assert [line.split(" | ")[0] for line in bold if "**" in line] == ["| guidebp"]


def test_agreement_counts_signs_and_intervals(demo: Evidence) -> None:
    table = demo.comparisons
    rows = table[(table["baseline"] == "average") & (table["measure"] == "merged")]
    assert (
        f"of {len(rows)} differences from `average` (merged), {len(rows)} have the same sign and {len(rows)}"
        in (demo.agreement(demo, "average", "merged"))
    )
    assert "significant in `demo`, " in demo.agreement(demo, "average", "merged")
    turned = table.assign(
        difference=-table["difference"], low=-table["high"] - 1000, high=-table["low"] - 1000, p_holm=0.0
    )
    said = replace(demo, comparisons=table.assign(p_holm=0.0)).agreement(
        replace(demo, comparisons=turned), "average", "merged"
    )
    zero = int((rows["difference"] == 0).sum())
    assert f"{zero} have the same sign and 0 overlapping intervals, correlation -1.00" in said
    assert said.endswith(f"{zero} in both with one sign, {len(rows) - zero} in both with opposite signs")
    unknown = replace(demo, comparisons=table.assign(low=np.nan))
    with pytest.raises(UserError, match="share 0 differences"):
        demo.agreement(unknown, "average", "merged")


def test_accuracy_is_the_mean_of_finished_runs(demo: Evidence) -> None:
    where = ("digits", "columns", "average")
    metrics = demo.metrics
    own = metrics[(metrics[["dataset", "architecture", "method"]] == list(where)).all(axis=1)]
    means = {output: f"{rows['accuracy'].mean():.2f}" for output, rows in own.groupby("output", sort=False)}
    assert {output: demo.accuracy(*where, str(output)) for output in means} == means
    assert demo.strongest(*where) == max((means[f"kernel {k}"] for k in (3, 5)), key=float)
    heads, _, row = demo.accuracies(*where[:2], ["average"]).splitlines()
    assert heads.strip("| ").split(" | ") == ["method", *means]
    assert row.strip("| ").split(" | ") == ["average", *means.values()]
    failed = own["key"] == own["key"].iloc[0]
    lost = metrics.assign(status=metrics["status"].mask(metrics.index.isin(own.index[failed]), "diverged"))
    assert replace(demo, metrics=lost).accuracy(*where, "merged") == (
        f"{own.loc[~failed & (own['output'] == 'merged'), 'accuracy'].mean():.2f}"
    )
    with pytest.raises(UserError, match="no finished runs of digits/columns/nothing"):
        demo.accuracy("digits", "columns", "nothing", "merged")


def test_what_is_not_decided_has_no_result(demo: Evidence) -> None:
    for name in ("guidebp-merge", "no-such-claim"):
        for ask in (demo.lowest, demo.cells):
            with pytest.raises(UserError, match=f"claim '{name}': not decided"):
                ask(name)
    with pytest.raises(UserError, match="no method was compared with 'nothing'"):
        demo.against("nothing", "columns")


def test_cells_show_every_deciding_difference_with_its_outcome(demo: Evidence) -> None:
    differences = demo.differences.assign(setting="small-scale")
    verdict = demo.verdicts["guidebp-merge"]
    settings = {"small-scale": verdict["settings"]["exploratory"]}
    decided = verdict | {"decided": "small-scale", "settings": settings}
    lines = (
        replace(demo, differences=differences, verdicts={"guidebp-merge": decided})
        .cells("guidebp-merge")
        .splitlines()
    )
    head = "| dataset | architecture | outcome | guidebp - average | guidebp - independent |"
    assert lines[0] == head
    rows = differences[(differences["claim"] == "guidebp-merge") & (differences["role"] == "decides")]
    for difference in rows["difference"]:
        assert f"{difference:+.2f} (" in lines[2]


def test_absent_and_edited_tables_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="guidebp restore --study demo"):
        Evidence.read(tmp_path, "demo")
    write_demo(tmp_path)
    Evidence.read(tmp_path, "demo")
    path = tmp_path / "results/demo/comparisons.csv"
    path.write_text(path.read_text().replace("0.", "1.", 1))
    with pytest.raises(UserError, match=r"comparisons\.csv"):
        Evidence.read(tmp_path, "demo")


def test_readings_show_the_worst_difference_of_each(demo: Evidence) -> None:
    name = "guidebp-merge"
    scored = replace(demo, verdicts={name: demo.verdicts[name] | {"decided": "exploratory"}})
    rows = demo.differences
    rows = rows[(rows["claim"] == name) & (rows["role"] != "context")]
    lines = scored.readings(name).splitlines()[2:]
    assert [line.split(" | ")[0].strip("| ") for line in lines] == list(rows["candidate"].unique())
    for line in lines:
        candidate, cell = line.strip("| ").split(" | ")
        own = rows[rows["candidate"] == candidate]
        worst = own.iloc[int(own["low"].argmin())]
        assert cell.startswith(f"{format_signed(worst['difference'])} (") and cell.endswith(
            f" against {worst['baseline']}"
        )
    one = demo.differences[demo.differences["baseline"] == "average"]
    assert " against " not in replace(scored, differences=one).readings(name)


def test_conflicts_in_percent_by_method_and_dataset(demo: Evidence) -> None:
    shown = pd.DataFrame(
        [
            ("net", method, quantity, epoch, value, "digits")
            for method, share in (("a", 0.0312), ("b", 0.5))
            for quantity, epoch, value in (("cosine", 1.0, 0.9), ("conflict", None, share))
        ],
        columns=["architecture", "method", "quantity", "epoch", "value", "dataset"],
    )
    other = shown.assign(architecture="other", value=1.0)
    text = replace(demo, conflicts=pd.concat([other, shown])).conflicting("net", ["b", "a"])
    assert text.splitlines()[2:] == ["| b | 50.0 |", "| a | 3.1 |"]
    assert text.splitlines()[0] == "| method | digits |"
    for network, methods in (("net", ["a", "c"]), ("nothing", ["a"])):
        with pytest.raises(UserError, match=f"on '{network}' under"):
            replace(demo, conflicts=shown).conflicting(network, methods)
    with pytest.raises(UserError, match="on 'net' under"):
        replace(demo, conflicts=pd.DataFrame()).conflicting("net", ["a"])


def test_conflicts_are_read_from_the_figures_and_verified(tmp_path: Path) -> None:
    write_demo(tmp_path)
    paths = [
        StudyPaths("demo").figure("conflict", dataset, "exits", "csv") for dataset in ("digits", "mnist-10k")
    ]
    with chdir(tmp_path):
        paths[0].parent.mkdir()
        for path in paths:
            path.write_text("architecture,method,quantity,epoch,value\nnet,a,conflict,,0.5\n")
        write_checksums(StudyPaths("demo").rendered_checksums, paths)
    assert set(Evidence.read(tmp_path, "demo").conflicts["dataset"]) == {"digits", "mnist-10k"}
    path = tmp_path / paths[1]
    path.write_text(path.read_text().replace("0.", "1.", 1))
    with pytest.raises(UserError, match=r"conflict_mnist-10k_exits\.csv"):
        Evidence.read(tmp_path, "demo")


def test_outputs_that_a_method_lacks_are_a_dash(demo: Evidence) -> None:
    where = (demo.metrics["method"] == "guidebp") & (demo.metrics["output"] == "merged")
    text = replace(demo, metrics=demo.metrics[~where]).accuracies("digits", "columns", ["average", "guidebp"])
    assert text.splitlines()[-1].count(" - ") == 1
    assert "nan" not in text
