"""The real workflow on a tiny study, run as a user runs it, in a copy of the project."""

import io
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml

from tests.support.git import git
from tests.support.offline import ALONE, can_be_alone
from tests.support.project import LINKS, ROOT, Project, long

EXPECTED = "results/expected/tiny.csv"
MATCH = "6 of 6 runs match the expected results"
RENDERED = (
    "results/tiny/*.csv",
    "results/tiny/tables/*",
    "results/tiny/figures/*.[psc]*",
    "results/tiny/records/*.xz",
)
pytestmark = pytest.mark.workflow


@pytest.fixture(scope="module")
def project(finished_tiny_project: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project that ran to its end once. Tests of what is trained come last and leave rendering to the last."""
    return finished_tiny_project.copy(tmp_path_factory.mktemp("pipeline") / "project")


def test_results_are_ignored_by_git_but_expected_ones_are_not(project: Project) -> None:
    assert git(project.folder, "status", "--porcelain") == ""
    project.call("guidebp", "expect", "--write")
    git(project.folder, "add", ".")
    assert git(project.folder, "status", "--porcelain") == f"A  {EXPECTED}"
    git(project.folder, "commit", "-qm", "Expected results")


def run_files(project: Project) -> dict[str, tuple[int, bytes]]:
    """Time stamps and contents of all finished runs."""
    return {
        name: ((project.folder / name).stat().st_mtime_ns, content)
        for name, content in project.files("results/runs/*/*").items()
    }


def test_nothing_but_fetching_asks_for_a_network(project: Project) -> None:
    """The tiny study's raw files come out of an installed package."""
    if not can_be_alone():
        pytest.skip("unshare -rn is not permitted here")
    interfaces = project.call(*ALONE, "cat", "/proc/net/dev").splitlines()[2:]
    assert [line.split(":")[0].strip() for line in interfaces] == ["lo"], "the project was made so"
    assert (project.folder / "results/tiny/notebooks/new-method.html").exists()


def test_one_command_gives_the_report_and_a_second_has_nothing_to_do(project: Project) -> None:
    page = (project.folder / "results/tiny/report.html").read_text()
    figures = {path.stem for path in (project.folder / "results/tiny/figures").glob("*.svg")}
    figures.remove("critical-difference")  # of one dataset there is none to show
    assert page.count("data:image/svg+xml") == len(figures) > 5
    assert not LINKS.search(page), LINKS.search(page)
    assert len(project.runs()) == 6
    assert "Nothing to be done" in project.call("snakemake", "-n")
    assert "Nothing to be done" in project.call("snakemake", "-n", "--profile", "profiles/gpu")


def test_comments_docstrings_and_titles_train_nothing(project: Project) -> None:
    before = project.runs()
    project.edit("src/guidebp/methods/merges.py", '"""The merge."""', '"""The merge that trains."""')
    for path in ("src/guidebp/methods/merges.py", "src/guidebp/models/columns.py"):
        with (project.folder / path).open("a") as file:
            file.write("\n# a comment\n")
    assert "Nothing to be done" in project.call("snakemake", "-n")
    project.edit("config/methods.yaml", "title: average", "title: the average")
    planned = project.planned()
    assert "collect" in planned
    assert "train" not in planned
    project.edit("config/methods.yaml", "title: the average", "title: average")
    assert project.runs() == before


def test_a_deleted_figure_is_one_render_job(project: Project) -> None:
    """Also after a title was changed and changed back."""
    figure = project.folder / "results/tiny/figures/accuracy_digits.svg"
    content = figure.read_bytes()
    figure.unlink()
    planned = project.planned()
    assert planned.pop("render") == 1
    assert set(planned) <= {"report", "all"}
    table = (project.folder / EXPECTED).read_text()
    expected = pd.read_csv(io.StringIO(table), dtype=str)
    expected.loc[[0], "correct"] = str(int(expected["correct"].iloc[0]) + 1)
    expected.to_csv(project.folder / EXPECTED, index=False)
    output = project.call("snakemake", "--quiet")
    assert figure.read_bytes() == content
    assert f"5 of 6 runs match the expected results\n1 run differs from {EXPECTED} by at most 1 of " in output
    (project.folder / EXPECTED).write_text(table)
    assert project.call("guidebp", "expect").strip() == MATCH


@long
def test_a_second_clone_gives_the_same_bytes(project: Project, tmp_path: Path) -> None:
    other = Project(tmp_path)
    other.call("snakemake")
    assert (
        other.files("results/runs/*/*.json", *RENDERED).keys()
        <= project.files("results/runs/*/*.json", *RENDERED).keys()
    )
    for name, content in other.files("results/runs/*/record.json", *RENDERED).items():
        if "/cost_" in name:  # times are the machine's
            continue
        assert (project.folder / name).read_bytes() == content, name


def test_restore_after_a_clone_trains_nothing_and_renders_the_same(project: Project, tmp_path: Path) -> None:
    clone = project.clone(tmp_path, "results/tiny/telemetry.jsonl", "results/tiny/records/*", EXPECTED)
    for notebook in (clone.folder / "notebooks").glob("new-method.*"):  # a report needs none
        notebook.unlink()
    said = clone.call("guidebp", "restore")
    assert "6 runs" in said and "6 unpacked" in said and said.strip().endswith(f"\n{MATCH}")
    assert "Nothing to be done" in clone.call("snakemake", "-n")
    expected, found = (
        {name: content for name, content in each.files(*RENDERED).items() if "provenance" not in name}
        for each in (project, clone)  # of which only one has a commit
    )
    assert any(name.endswith(".xz") for name in expected) and found == expected
    table = clone.folder / "results/tiny/tables/accuracy_digits.md"
    table.write_bytes(table.read_bytes() + b" ")
    said = clone.call("guidebp", "restore", code=2)
    assert "accuracy_digits.md: changed since it was written" in said and "failed with code 1" in said


def test_an_edited_formula_trains_exactly_the_runs_of_its_file(project: Project) -> None:
    before = project.runs()
    project.edit("src/guidebp/methods/guidebp.py", "1.0 / len(weakness)", "2.0 / len(weakness) / 2.0")
    project.call("snakemake", "--", "experiments")
    new = project.runs() - before
    methods = [json.loads((project.folder / f"results/runs/{key}/record.json").read_text()) for key in new]
    assert [record["spec"]["method"]["family"] for record in methods] == ["guidebp", "guidebp"]
    project.edit("src/guidebp/methods/guidebp.py", "2.0 / len(weakness) / 2.0", "1.0 / len(weakness)")
    project.call("snakemake", "--", "experiments")
    assert project.runs() == before | new, "going back trains nothing"


def test_two_more_seeds_are_missing_at_first_and_train_exactly_the_new_runs(project: Project) -> None:
    before = project.runs()
    records = project.files("results/runs/*/record.json")
    times = {name: (project.folder / name).stat().st_mtime_ns for name in records}
    project.edit("config/studies/tiny.yaml", "seeds: [0, 1]", "seeds: [0, 1, 2, 3]")
    project.call("snakemake", "--config", "partial=true", "--", "experiments")
    assert project.runs() == before, "nothing is trained"
    status = pd.read_csv(project.folder / "results/tiny/metrics.csv").drop_duplicates("key")["status"]
    assert status.value_counts().to_dict() == {"finished": 6, "missing": 6}
    project.call("guidebp", "analyse")
    said = project.call("guidebp", "claims")
    assert "so far" in said and "2 planned seeds are missing" in said
    tables = pd.read_csv(project.folder / "results/tiny/comparisons.csv")
    assert set(tables["n"]) == {2} and set(tables["failed"]) == {0}, "a missing run is no failure"
    project.call("snakemake", "--", "experiments")
    assert len(project.runs() - before) == 6
    assert {name: (project.folder / name).stat().st_mtime_ns for name in records} == times
    project.edit("config/studies/tiny.yaml", "seeds: [0, 1, 2, 3]", "seeds: [0, 1]")
    project.call("snakemake", "--", "experiments")


def test_a_damaged_or_vanished_run_is_refused_with_its_repair(project: Project) -> None:
    index = next((project.folder / "results/tiny/packs").glob("*_s000-001.*.json"))
    key = sorted(json.loads(index.read_text()))[0]
    folder = project.folder / "results/runs" / key
    record = (folder / "record.json").read_bytes()
    (folder / "record.json").write_bytes(record.replace(b'"status":"finished"', b'"status":"fin1shed"'))
    assert "checksum does not match" in project.call("guidebp", "collect", code=2)
    shutil.rmtree(folder)
    output = project.call("guidebp", "collect", code=2)
    assert key in output and "Traceback" not in output
    index.unlink()
    project.call("snakemake", "--", "experiments")
    assert (folder / "record.json").read_bytes() == record


def test_dvc_and_snakemake_leave_each_other_nothing_to_do(project: Project) -> None:
    before = run_files(project)
    assert MATCH in project.call("dvc", "repro")
    assert run_files(project) == before, "dvc repro after snakemake trains nothing"
    assert "Nothing to be done" in project.call("snakemake", "-n"), "nor leaves work to snakemake"
    assert "didn't change" in project.call("dvc", "repro")
    assert "guidebp" in project.call("dvc", "metrics", "show")


def test_a_stale_lock_never_trains_finished_runs(project: Project) -> None:
    """A source edit and a new entry of the catalogue, as between two releases."""
    before = run_files(project)
    project.edit("src/guidebp/methods/merges.py", '"""The merge that trains."""', '"""The merge."""')
    for path in ("src/guidebp/training/trainer.py", "src/guidebp/data/splits.py"):
        with (project.folder / path).open("a") as file:
            file.write("\n# a comment\n")
    with (project.folder / "config/methods.yaml").open("a") as file:
        file.write("\nunused: {title: unused, group: usual merges, family: merges, options: {merge: add}}\n")
    changed = project.call("dvc", "status")
    assert "config/methods.yaml" in changed and "src/guidebp" in changed
    project.call("dvc", "repro")
    assert run_files(project) == before
    assert "up to date" in project.call("dvc", "status")
    assert "Nothing to be done" in project.call("snakemake", "-n")


def test_dvc_brings_back_from_a_remote_what_it_tracks(project: Project, tmp_path: Path) -> None:
    lost = (
        "data/raw/digits/*",
        "data/prepared/*.safetensors",
        "results/tiny/*",
        "results/tiny/figures/*",
        "results/tiny/records/*",
        "results/tiny/tables/*",
    )
    before = project.files(*lost)
    assert {"data/raw/digits/digits.csv.gz", "results/tiny/report.html"} <= before.keys()
    project.call("dvc", "remote", "add", "--default", "store", str(tmp_path / "store"))
    project.call("dvc", "push")
    shutil.rmtree(project.folder / ".dvc/cache")
    for name in before:
        (project.folder / name).unlink()
    project.call("dvc", "pull")
    assert project.files(*lost) == before
    assert "Nothing to be done" in project.call("snakemake", "-n")
    assert "up to date" in project.call("dvc", "status")
    runs = project.files("results/runs/*/record.json")
    for folder in ("runs", "tiny/packs"):  # another machine, which has what DVC tracks
        shutil.rmtree(project.folder / "results" / folder)
    assert "6 unpacked" in project.call("guidebp", "restore")
    restored = project.files("results/runs/*/record.json")
    assert len(restored) == 6 and restored.items() <= runs.items()


def test_no_file_is_tracked_twice() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].values()
    outs = [out if isinstance(out, str) else next(iter(out)) for stage in stages for out in stage["outs"]]
    assert len(outs) == len(set(outs))
    assert not [path for path in ROOT.rglob("*.dvc") if path.name != ".dvc" and ".venv" not in path.parts]


def test_a_mistake_is_one_line_without_a_traceback(project: Project) -> None:
    output = project.call("snakemake", "--config", "study=tini", "-n", code=1)
    assert "did you mean 'tiny'" in output
    assert "Traceback" not in output
    output = project.call("guidebp", "train", "--pack", "nothing", code=2)
    assert output.startswith("guidebp train: study 'tiny' has no pack 'nothing'")
