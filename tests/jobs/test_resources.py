"""What a pack asks a scheduler for."""

from pathlib import Path

import pytest

from guidebp.hashing import encode_readable_json
from guidebp.jobs.resources import PackResources
from guidebp.runs.record import encode_record
from guidebp.runs.result import RunResult
from guidebp.runs.store import RECORD, TELEMETRY, RunStore
from guidebp.study.keys import Run
from guidebp.study.resolve import load_study
from guidebp.study.step_times import MachineStepTimes, hash_step, predict_run_seconds
from guidebp.study.study import Study
from tests.support.tiny import ROOT


@pytest.fixture(scope="module")
def study() -> Study:
    return load_study("smoke", ROOT)


def finish(store: RunStore, run: Run, **cost: float) -> None:
    """Publish the run as trained at this cost."""
    record = encode_record(run.planned, "data", RunResult("finished"), {})
    store.publish(run.key, {RECORD: record, TELEMETRY: encode_readable_json(cost)})


def test_what_nothing_is_known_of_gets_a_guess_on_the_safe_side(study: Study, tmp_path: Path) -> None:
    needs = PackResources(study, RunStore(tmp_path))
    needs.step_times = {}
    pack = study.packs[0]
    assert needs.minutes(pack.id, 1) == 5 + round(1.5 * 60 * len(pack.runs))
    assert [needs.megabytes(pack.id, attempt) for attempt in (1, 2)] == [4000, 8000]


def test_other_seeds_say_what_a_pack_needs(study: Study, tmp_path: Path) -> None:
    store, pack = RunStore(tmp_path), study.packs[0]
    first = [run for run in pack.runs if run.seed == 0]
    for run in first:
        finish(store, run, seconds=600.0, host_memory=1e9)
    finish(store, next(run for run in study.runs if run not in pack.runs), seconds=1e6, host_memory=1e12)
    needs = PackResources(study, store)
    left = len(pack.runs) - len(first)
    assert needs.minutes(pack.id, 1) == 5 + 15 * left
    assert needs.minutes(pack.id, 2) == 5 + 30 * left
    assert [needs.megabytes(pack.id, attempt) for attempt in (1, 2, 3)] == [1500, 3000, 4500]
    for run in pack.runs[:-1]:
        if not store.has(run.key):
            finish(store, run, seconds=1.0, host_memory=2e9)
    assert PackResources(study, store).minutes(pack.id, 1) == 20, "what is done takes no time"
    assert PackResources(study, store).megabytes(pack.id, 1) == 3000, "the largest"


def test_a_timed_step_says_how_long_new_runs_take(tmp_path: Path) -> None:
    study = load_study("paper", ROOT)
    run = next(run for run in study.runs if run.dataset == "cifar-10")
    pack = next(pack for pack in study.packs if run in pack.runs)
    times = {
        name: MachineStepTimes({hash_step(study, one): seconds for one in pack.runs})
        for name, seconds in {"slow": 2.0, "fast": 1.0}.items()
    }
    needs = PackResources(study, RunStore(tmp_path))
    needs.step_times = times
    expected = sum(predict_run_seconds(study, one, times["slow"].seconds) or 0 for one in pack.runs)
    assert needs.minutes(pack.id, 1) == 5 + round(1.5 * expected / 60)
    assert needs.megabytes(pack.id, 1) == 4000
