"""The archives of records, one per dataset and network; and when one of them or a part of a run is gone."""

import shutil
from pathlib import Path

import pytest

from guidebp.cli import main
from guidebp.hashing import encode_readable_json
from guidebp.jobs.pack import publish_crashed
from guidebp.paths import RUNS, StudyPaths
from guidebp.runs.record import encode_record
from guidebp.runs.result import RunResult
from guidebp.runs.store import PREDICTIONS, RECORD, TELEMETRY, RunStore
from guidebp.study.packs import read_data_hashes
from guidebp.study.resolve import load_study
from tests.support.finished_project import STUDY, build, contents, index_packs, inside

BOTH = STUDY.replace("[columns-digits]", "[columns-digits, instances-digits]")
NETWORKS = ("columns-digits", "column-digits", "instances-digits")
COLUMNS, INSTANCES = (f"made_{name}.tar.xz" for name in ("columns-digits", "instances-digits"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("whole") / "project", study=BOTH, architectures=NETWORKS)


@pytest.fixture
def project(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "project"))


def archives(project: Path) -> dict[str, bytes]:
    return contents(project / StudyPaths("made").records)


def test_one_network_leaves_the_archive_of_another_as_it_is(project: Path) -> None:
    before = archives(project)
    assert list(before) == [COLUMNS, INSTANCES] and before[COLUMNS] != before[INSTANCES]
    study = project / "config/studies/made.yaml"
    study.write_text(STUDY.replace("[0, 1]", "[0]"))
    with inside(project):
        index_packs(load_study("made"), RunStore(RUNS))
        assert main(["collect"]) == 0
        assert list(archives(project)) == [COLUMNS], "the study has no instances any more"
        assert archives(project)[COLUMNS] != before[COLUMNS]
        study.write_text(BOTH)
        index_packs(load_study("made"), RunStore(RUNS))
        assert main(["collect"]) == 0
    assert archives(project) == before


def test_a_report_on_a_part_keeps_the_other_archives(project: Path) -> None:
    before = archives(project)
    with inside(project):
        layout, (columns, _) = StudyPaths("made"), load_study("made").packs
        layout.pack(columns.id).unlink()
        assert main(["collect", "--partial"]) == 0
        assert COLUMNS not in layout.collected_checksums.read_text()
        assert INSTANCES in layout.collected_checksums.read_text()
    assert archives(project) == before


def test_a_missing_archive_is_named_with_what_brings_it_back(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / StudyPaths("made").records / INSTANCES).unlink()
    shutil.rmtree(project / RUNS)
    with inside(project):
        assert main(["restore", "--records-only"]) == 2
    said = capsys.readouterr().err
    assert f"{INSTANCES}: 4 of 8 runs" in said and "run: git checkout results/made/records" in said
    shutil.rmtree(project / StudyPaths("made").records)
    with inside(project):
        assert main(["restore", "--records-only"]) == 2
    assert "no archives of records" in capsys.readouterr().err


def test_lost_predictions_are_damage_and_come_back_from_the_archive(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = min(path for path in (project / RUNS).iterdir() if not path.name.startswith("."))
    content = (run / PREDICTIONS).read_bytes()
    (run / PREDICTIONS).unlink()
    with inside(project):
        assert main(["collect"]) == 2
        assert f"{run.name}/{PREDICTIONS}: missing or changed" in capsys.readouterr().err
        (spec,) = (planned.spec for planned in load_study("made").runs if planned.key == run.name)
        assert not RunStore(RUNS).holds(spec, read_data_hashes(["made"])["made"])
        assert RunStore(RUNS, predictions=False).holds(spec, read_data_hashes(["made"])["made"])
        assert main(["restore", "--records-only"]) == 0
        assert "(1 unpacked" in capsys.readouterr().out
        assert (RUNS / run.name / PREDICTIONS).read_bytes() == content
        assert main(["collect"]) == 0


def test_a_crashed_run_has_no_predictions_and_is_collected(project: Path) -> None:
    with inside(project):
        study, store = load_study("made"), RunStore(RUNS)
        run, checksum = study.packs[0].runs[0], read_data_hashes(["made"])["made"]
        shutil.rmtree(store.folder(run.key))
        publish_crashed(run.planned, checksum, store, "cpu")
        index_packs(study, store)
        assert main(["collect"]) == 0
        assert "crashed" in StudyPaths("made").metrics.read_text()
        before = archives(project)
        shutil.rmtree(RUNS)
        assert main(["restore", "--records-only"]) == 0
        assert main(["collect"]) == 0
    assert archives(project) == before


def test_archives_of_a_study_that_tunes_have_no_predictions(project: Path) -> None:
    rates = BOTH.replace("blocks:", "tunes: some\nblocks:").replace(
        "    seeds", "    rates: [0.1, 0.2]\n    seeds"
    )
    (project / "config/studies/made.yaml").write_text(rates)
    with inside(project):
        study, store = load_study("made"), RunStore(RUNS)
        checksum = read_data_hashes(["made"])["made"]
        for run in study.runs:
            files = {PREDICTIONS: b"of every image"}
            files[RECORD] = encode_record(run.planned, checksum, RunResult("crashed"), files)
            store.publish(run.key, files | {TELEMETRY: encode_readable_json({})})
        index_packs(study, store)
        assert main(["collect"]) == 0
        before = archives(project)
        shutil.rmtree(RUNS)
        assert main(["restore", "--records-only"]) == 0
        assert not list(RUNS.glob(f"*/{PREDICTIONS}"))
        assert main(["collect"]) == 0 and archives(project) == before
        # the same runs in a study that decides have to have theirs
        assert not any(RunStore(RUNS).holds(run.spec, checksum) for run in study.runs)
