"""What the benchmarks compute from what they measure."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from statsmodels.stats.weightstats import ttost_paired

from benchmarks.equivalence import two_one_sided
from benchmarks.measure import AbsentError, Case, measured
from benchmarks.packs import RUNS, plan_runs
from benchmarks.specs import NETWORKS, resolve_spec
from guidebp.runs.spec import planned_run_to_json
from guidebp.training.specs import read_planned_runs
from tests.support.tiny import ROOT


def test_sides_are_measured_in_turn_and_ratios_are_of_one_round() -> None:
    """A machine that slows down to a half in the second round changes no ratio."""
    order: list[str] = []

    def side(name: str, *values: float) -> Callable[[], float]:
        rest = iter(values)

        def measure() -> float:
            order.append(name)
            return next(rest)

        return measure

    case = Case("it", "images/s", {"theirs": side("theirs", 10, 5, 8), "ours": side("ours", 20, 10, 24)})
    found = measured(case, rounds=3)["sides"]
    assert order == ["theirs", "ours"] * 3
    assert found["theirs"]["ratio"] == 1
    assert found["ours"] == {"values": [20, 10, 24], "median": 20, "ratio": 2, "lowest": 2, "highest": 3}


def test_a_side_that_cannot_be_measured_is_left_out_with_its_reason() -> None:
    def absent() -> float:
        raise AbsentError("no GPU")

    found = measured(Case("it", "s", {"one": lambda: 1.0, "two": absent}), rounds=2)["sides"]
    assert found["two"] == {"absent": "no GPU"}
    assert found["one"]["values"] == [1, 1]


@pytest.mark.parametrize("shift", [0.0, 0.1, -0.15, 0.3])
def test_equivalence_is_statsmodels(shift: float) -> None:
    differences = np.random.default_rng(3).normal(shift, 0.3, size=30)
    found = two_one_sided(differences, 0.2)
    p = ttost_paired(differences, np.zeros(30), -0.2, 0.2)[0]
    assert found["p"] == pytest.approx(p, rel=1e-2)
    low, high = found["90 % interval"]
    assert found["equivalent"] == (p < 0.05) == (low > -0.2 and high < 0.2)


def test_equal_accuracies_are_equivalent() -> None:
    assert two_one_sided(np.zeros(20), 0.2)["equivalent"]
    assert not two_one_sided(np.full(20, 0.25), 0.2)["equivalent"]


@pytest.mark.parametrize("network", NETWORKS)
def test_what_is_timed_is_in_the_catalogues(network: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    spec = resolve_spec(network)
    assert spec.recipe.numerics == "exact" and spec.dataset.split.validation == 0
    assert spec.architecture.options.items() >= NETWORKS[network][4].items()
    assert resolve_spec(network, "fast").recipe.numerics == "fast"


def test_runs_of_a_pack_are_what_training_reads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(ROOT)
    runs = plan_runs(2, first=RUNS)
    assert [run.spec.seed for run in runs] == list(range(RUNS, 2 * RUNS))
    assert {(run.spec.recipe.epochs, run.spec.dataset.split.validation) for run in runs} == {(2, 0.1)}
    path = tmp_path / "runs.json"
    path.write_text(json.dumps([planned_run_to_json(run) for run in runs]))
    assert read_planned_runs(path) == runs
