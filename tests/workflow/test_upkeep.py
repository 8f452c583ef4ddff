"""`guidebp doctor` finds every kind of trouble and prints what mends it; `guidebp gc` frees what nobody needs."""

import json
import os
import re
import shutil
import signal
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from guidebp.cli import main
from guidebp.hashing import encode_canonical_json, hash_json
from guidebp.paths import StudyPaths
from guidebp.upkeep.processes import PROGRAMS, parse_program
from tests.support.finished_project import build
from tests.support.git import git
from tests.support.project import Project, long

RECORDS = "results/runs/*/record.json"
pytestmark = pytest.mark.workflow


@pytest.fixture(scope="module")
def trained(finished_tiny_project: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The tiny study as far as its records, trained without claims, which a record would name."""
    made = finished_tiny_project.copy(tmp_path_factory.mktemp("upkeep") / "project")
    shutil.rmtree(made.folder / "results")
    for study in (made.folder / "config/studies").glob("*.yaml"):  # resolving those takes time
        if study.stem != "tiny":
            study.unlink()
    made.edit("config/claims.yaml", (made.folder / "config/claims.yaml").read_text(), "{}")
    made.call("snakemake", "--quiet", "all", "--", "experiments")
    yield made


@pytest.fixture
def project(trained: Project) -> Iterator[tuple[Project, dict[str, bytes]]]:
    """The project and its records; whatever a test breaks must be whole again at its end."""
    before = trained.files(RECORDS)
    assert len(before) == 6
    yield trained, before
    assert trained.files(RECORDS) == before


def findings(project: Project, code: int) -> dict[str, tuple[str, str]]:
    """Kind to text and remedy."""
    lines = project.call("guidebp", "doctor", code=code).splitlines()
    found: dict[str, tuple[str, str]] = {}
    for line, remedy in pairwise(lines):
        if remedy.lstrip().startswith("-> "):
            kind, text = re.split(r"  +| (?=\d)", line, maxsplit=1)
            found[kind] = found.get(kind, ("",))[0] + text, remedy.lstrip()[3:]
    return found


def mend(project: Project, remedy: str) -> None:
    """Run the printed command as it is printed, but without rendering."""
    project.call("bash", "-euc", remedy.replace("study=tiny", "study=tiny --quiet all -- experiments"))


@pytest.mark.parametrize(
    ("command", "ours"),
    [
        ("snakemake -n", True),
        ("/x/bin/python /x/bin/snakemake --cores all", True),
        ("python3.11 -u -X utf8 -m snakemake -n", True),
        ("python -m guidebp.training specs.json", True),
        ("python -m pytest snakemake", False),
        ("tail -f snakemake.log", False),
        ("vim workflow/snakemake", False),
        ("python", False),
        ("", False),
    ],
)
def test_who_is_a_worker(command: str, ours: bool) -> None:
    assert (parse_program(command.split()) in PROGRAMS) == ours


def record(project: Project, method: str = "guidebp") -> Path:
    for path in sorted(project.folder.glob(RECORDS)):
        if json.loads(path.read_bytes())["spec"]["method"]["family"] == method:
            return path
    raise AssertionError(method)


def rewritten(path: Path, **changes: Any) -> None:
    """Another record with a right checksum."""
    body = {**json.loads(path.read_bytes()), **changes}
    del body["sha256"]
    path.write_bytes(encode_canonical_json(body | {"sha256": hash_json(body)}))


def test_corrupt_stale_and_missing_runs_are_mended_by_the_printed_command(
    project: tuple[Project, dict[str, bytes]],
) -> None:
    made = project[0]
    corrupt, stale, missing = sorted(made.folder.glob(RECORDS))[:3]
    corrupt.write_bytes(corrupt.read_bytes()[:-2])
    rewritten(stale, data="0" * 64)
    shutil.rmtree(missing.parent)
    found = findings(made, code=1)
    assert corrupt.parent.name in found["corrupt"][0] and stale.parent.name in found["stale"][0]
    assert missing.parent.name in found["missing"][0]
    assert "1 packs are indexed" in found["stale index"][0]
    assert {remedy for _, remedy in found.values()} == {found["missing"][1]}
    mend(made, found["missing"][1])


@long
def test_a_crashed_run_is_told_with_what_trains_it_once_more(
    project: tuple[Project, dict[str, bytes]],
) -> None:
    made = project[0]
    path = record(made)
    result = json.loads(path.read_bytes())["result"] | {"status": "crashed"}
    rewritten(path, result=result)
    index = next((made.folder / "results/tiny/packs").glob("*.json"))
    known = json.loads(index.read_bytes())
    index.write_bytes(
        encode_canonical_json(known | {path.parent.name: json.loads(path.read_bytes())["sha256"]})
    )
    found = findings(made, code=0)
    assert list(found) == ["crashed"]
    mend(made, found["crashed"][1].replace("gc --crashed", "gc --crashed --yes"))


def test_a_diverged_run_is_a_result(project: tuple[Project, dict[str, bytes]]) -> None:
    made = project[0]
    path = record(made)
    before, index = path.read_bytes(), next((made.folder / "results/tiny/packs").glob("*.json"))
    indexed = index.read_bytes()
    rewritten(path, result=json.loads(before)["result"] | {"status": "diverged"})
    index.write_bytes(
        encode_canonical_json(
            json.loads(indexed) | {path.parent.name: json.loads(path.read_bytes())["sha256"]}
        )
    )
    assert findings(made, code=0)["diverged"][1].startswith("none")
    path.write_bytes(before)
    index.write_bytes(indexed)


@long
def test_a_killed_snakemake_leaves_a_lock_and_the_printed_command_goes_on(
    project: tuple[Project, dict[str, bytes]],
) -> None:
    made = project[0]
    made.edit("config/recipes/tiny.yaml", "epochs: 1", "epochs: 100000")
    process = made.start("snakemake", "--quiet", "all", "--", "experiments")
    running = made.folder / "results/runs/.locks"
    before = set(running.iterdir())
    made.wait(lambda: set(running.iterdir()) > before, process)
    found = findings(made, code=0)
    assert "snakemake" in found["working"][0] and "stale lock" not in found
    assert "works here" in made.call("guidebp", "gc", "--yes", code=2)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    made.edit("config/recipes/tiny.yaml", "epochs: 100000", "epochs: 1")
    found = findings(made, code=1)
    assert found["stale lock"][1].startswith("snakemake --unlock; snakemake")
    mend(made, found["stale lock"][1])
    made.call("guidebp", "gc", "--yes")


def test_damaged_data_is_named(project: tuple[Project, dict[str, bytes]]) -> None:
    made = project[0]
    path = made.folder / "data/prepared/digits.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    assert str(path.relative_to(made.folder)) in findings(made, code=1)["damaged data"][0]
    path.write_bytes(content)


def test_gc_frees_what_no_study_uses_after_asking(project: tuple[Project, dict[str, bytes]]) -> None:
    made, before = project
    store, study = made.folder / "results/runs", made.folder / "results/tiny"
    orphan, unfinished = store / ("f" * 20), store / ".unfinished" / ("e" * 20)
    staged, half = store / ".0123456789abcdef0123.a1b2c3d4", study / ".metrics.csv.zz_zz_11"
    shutil.copytree(record(made).parent, orphan)
    for folder in (unfinished, staged):
        folder.mkdir(parents=True)
        (folder / "file").write_bytes(b"x" * 1000)
    half.write_bytes(b"x")
    old = study / "packs/digits_columns-digits_s000-001.000000000000.json"
    old.write_text("{}")
    garbage = (orphan, unfinished, staged, half, old)
    assert "guidebp gc" in made.call("guidebp", "doctor")
    said = made.call("guidebp", "gc", answer="n\n")
    assert "1 runs that no study uses" in said and "nothing was deleted" in said
    assert "nobody answers" in made.call("guidebp", "gc", code=2)
    assert all(path.exists() for path in garbage)
    assert "KiB freed" in made.call("guidebp", "gc", answer="y\n")
    assert not any(path.exists() for path in garbage)
    assert made.files(RECORDS) == before
    assert "nothing to free" in made.call("guidebp", "gc")


@long
def test_gc_leaves_alone_what_others_may_use(
    project: tuple[Project, dict[str, bytes]], tmp_path: Path
) -> None:
    """A folder of somebody's in the store; every run of a store that two projects have in common."""
    made = project[0]
    store = made.folder / "results/runs"
    (store / "my-backup").mkdir()
    assert "nothing to free" in made.call("guidebp", "gc", "--yes")
    twin = Project(tmp_path)
    twin.edit("config/studies/tiny.yaml", "[0, 1]", "[7]")
    (twin.folder / "results").mkdir()
    (twin.folder / "results/runs").symlink_to(store)
    twin.call("snakemake", "--quiet", "all", "--", "experiments")
    assert "orphaned" not in twin.call("guidebp", "doctor")
    for each in (twin, made):
        assert "nothing to free" in each.call("guidebp", "gc", "--yes")
    assert len(made.runs()) == 6 + 3 + 1
    shutil.rmtree(store / "my-backup")
    shutil.rmtree(store / ".users")
    assert "3 runs that no study uses" in made.call("guidebp", "gc", "--yes")


def test_gc_deletes_nothing_while_a_study_cannot_be_read(project: tuple[Project, dict[str, bytes]]) -> None:
    made = project[0]
    broken = made.folder / "config/studies/broken.yaml"
    broken.write_text("title: 3")
    assert "broken.yaml" in made.call("guidebp", "gc", "--yes", code=2)
    broken.unlink()


def test_all_is_well(project: tuple[Project, dict[str, bytes]]) -> None:
    """Also after all that the other tests have broken and mended."""
    said = project[0].call("guidebp", "doctor")
    assert "tiny: no faults" in said
    assert "torch 2" in said and "GPUs:" in said and "->" not in said


def test_restore_names_the_command_that_brings_records_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Git's version if git has one, else training."""
    folder = build(tmp_path / "project")
    monkeypatch.chdir(folder)
    archive = StudyPaths("made").archive("made", "columns-digits")

    def refusal() -> str:
        capsys.readouterr()
        assert main(["restore"]) == 2
        return capsys.readouterr().err

    content = archive.read_bytes()
    archive.unlink()
    training = "git does not have them; run: snakemake --config study=made, which trains the study"
    assert refusal() == f"guidebp restore: results/made/records: no archives of records; {training}\n"
    archive.write_bytes(content)
    git(folder, "init", "-q")
    git(folder, "add", "results")
    git(folder, "commit", "-qm", "Records")
    archive.unlink()
    assert refusal().endswith("no archives of records; run: git checkout results/made/records\n")
