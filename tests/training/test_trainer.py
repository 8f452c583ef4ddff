"""A run is a function of its spec and data: alone or in a pack, twice, diverged, or killed on the way."""

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from guidebp.errors import UserError
from guidebp.jobs.pack import train_pack
from guidebp.jobs.worker import TrainingOptions
from guidebp.methods import guidebp as guidebp_method
from guidebp.runs.json_fields import to_json
from guidebp.runs.store import PREDICTIONS, RECORD, WEIGHTS, RunStore
from guidebp.training.__main__ import train_planned_runs
from guidebp.training.events import TrainingEvent, read_event
from guidebp.training.trainer import train_run
from tests.support.killer import KILLER
from tests.support.tiny import CLASSES, PAIRS, ROOT, planned, prepared, recipe, spec, write_prepared

CPU = torch.device("cpu")
NAMES = ["guidebp-class", "separate", "learned", "concatenate", "average"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared")
    write_prepared(folder)
    return folder


def checksum() -> str:
    return prepared().manifest.sha256


@pytest.mark.parametrize("architecture", ["columns", "branches"])
def test_alone_equals_in_a_pack_after_others(data: Path, tmp_path: Path, architecture: str) -> None:
    specs = [planned(name, architecture, seed) for seed in (0, 1) for name in NAMES]
    together = RunStore(tmp_path / "together")
    train_planned_runs(specs, data, together, torch.device("cpu"), keep_weights=True)
    torch.rand(3)
    alone = RunStore(tmp_path / "alone")
    for one in reversed(specs):
        train_planned_runs([one], data, alone, torch.device("cpu"), keep_weights=True)
    for one in specs:
        for file in (RECORD, PREDICTIONS, WEIGHTS):
            first, second = (store.folder(one.key) / file for store in (together, alone))
            assert first.read_bytes() == second.read_bytes()
        found = load_file(together.folder(one.key) / PREDICTIONS)["predictions"]
        record = together.read(one.key)
        assert found.dtype == torch.uint8
        assert record.result.sizes is not None
        assert found.shape == (record.result.pathways + 2, record.result.sizes.test)
        assert record.spec == one.spec and record.data == checksum()


def test_a_finished_run_is_not_trained_again(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, specs = RunStore(tmp_path), [planned("add", "one-column"), planned("max", "one-column")]
    first, second = (run.key for run in specs)
    train_planned_runs(specs[:1], data, store, torch.device("cpu"), keep_weights=False)
    before = store.folder(first).stat().st_mtime_ns
    capsys.readouterr()
    train_planned_runs(specs, data, store, torch.device("cpu"), keep_weights=False)
    events = [read_event(line) for line in capsys.readouterr().out.splitlines()]
    assert [(e.kind, e.key) for e in events if e.kind != "epoch"] == [
        ("held", first),
        ("start", second),
        ("done", second),
    ]
    assert [e.epoch for e in events if e.kind == "epoch"] == [0, 1]
    assert store.folder(first).stat().st_mtime_ns == before
    assert not (store.folder(first) / WEIGHTS).exists()


def test_result_counts_what_the_predictions_say() -> None:
    data, made_of = prepared(120), spec("guidebp", "columns", recipe=recipe(epochs=6))
    outcome = train_run(made_of, data, CPU)
    result = outcome.result
    assert result.status == "finished" and result.outputs[-2:] == ["merged", "softmax average"]
    assert result.outputs[:3] == ["kernel 3", "kernel 5", "kernel 3-5"] and result.primary == "merged"
    assert result.sizes is not None and result.test_correct is not None
    assert sum(asdict(result.sizes).values()) == 120
    assert [len(column) for column in asdict(result.history).values()] == [6] * 5
    for shares in result.history.gradient_share:
        assert sum(shares) == pytest.approx(1, abs=2e-4)
    assert result.history.loss[-1] < result.history.loss[0]
    test = result.sizes.test
    assert all(0 <= right <= test for right in result.test_correct)
    assert max(result.test_correct) > 2 * test / CLASSES  # it learned something
    again = train_run(made_of, data, CPU)
    assert again.result == result and torch.equal(again.predictions, outcome.predictions)
    assert all(torch.equal(again.weights[name], tensor) for name, tensor in outcome.weights.items())
    other = train_run(replace(made_of, seed=1), data, CPU)
    assert other.result.history != result.history


@pytest.mark.parametrize("method", ["guidebp", "separate"])
def test_run_with_augmentation_is_a_function_of_its_spec(method: str) -> None:
    data, plain = prepared(), spec(method, "columns")
    augmented = replace(plain, recipe=recipe(augmentation={"flip": True, "crop": 2, "cutout": 3}))
    first, again = train_run(augmented, data, CPU), train_run(augmented, data, CPU)
    assert first.result.status == "finished" and again.result == first.result
    assert all(torch.equal(again.weights[name], tensor) for name, tensor in first.weights.items())
    assert train_run(plain, data, CPU).result.history != first.result.history


@pytest.mark.parametrize(("method", "architecture"), [p for p in PAIRS if p[1] in ("columns", "branches")])
def test_huge_learning_rate_is_recorded_as_diverged(method: str, architecture: str) -> None:
    made_of = spec(method, architecture, recipe=recipe(lr=1e36, epochs=3))
    outcome = train_run(made_of, prepared(), CPU)
    assert outcome.result.status == "diverged" and outcome.result.test_correct is None
    assert outcome.result.diverged_in_epoch is not None and outcome.result.diverged_in_epoch < 3
    assert outcome.predictions.shape == (len(outcome.result.outputs), 0)
    json.dumps(to_json(outcome.result), allow_nan=False)


def test_parameters_of_the_last_step_count_for_divergence(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last loss is finite, the weights after it are not."""
    real = guidebp_method.GuideBP.step
    steps = 0

    def poisoned(self: guidebp_method.GuideBP, images: torch.Tensor, labels: torch.Tensor) -> Any:
        nonlocal steps
        done, steps = real(self, images, labels), steps + 1
        if steps == last:
            with torch.no_grad():
                next(self.network.parameters()).fill_(torch.nan)
        return done

    last = train_run(spec("guidebp", "columns"), prepared(), CPU).telemetry["steps"]
    monkeypatch.setattr(guidebp_method.GuideBP, "step", poisoned)
    result = train_run(spec("guidebp", "columns"), prepared(), CPU).result
    assert (result.status, result.diverged_in_epoch, result.test_correct) == ("diverged", 1, None)
    assert steps == last


def test_batch_larger_than_the_training_set_is_the_users_mistake() -> None:
    with pytest.raises(UserError, match="training images fill no batch of 1000"):
        train_run(spec("add", "columns", recipe=recipe(batch_size=1000)), prepared(), CPU)


BLOCKER = """
import importlib, pkgutil, sys
allowed = set(sys.stdlib_module_names) | {"guidebp", "torch", "numpy", "safetensors"}
refused = {"pydantic", "yaml", "pandas", "scipy", "sklearn", "filelock", "snakemake", "torchvision", "matplotlib"}
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in refused:
            frame, asked = sys._getframe(1), []
            while frame:
                asked.append(frame.f_globals.get("__name__", "").partition(".")[0])
                frame = frame.f_back
            if "torch" not in asked and "numpy" not in asked:
                print("refused", name, file=sys.stderr)
            raise ImportError(f"refused: {name}")
sys.meta_path.insert(0, Refuse())
import guidebp.training.__main__
for name in ("methods", "models", "training"):
    package = importlib.import_module("guidebp." + name)
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"guidebp.{name}.{module.name}")
"""


@pytest.mark.slow
def test_training_needs_torch_numpy_and_safetensors_only() -> None:
    done = subprocess.run([sys.executable, "-c", BLOCKER], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "refused" not in done.stderr


@pytest.mark.slow
def test_killed_once_is_retried_and_killed_twice_is_crashed(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kills = tmp_path / "kills"
    kills.mkdir()
    (kills / "sitecustomize.py").write_text(KILLER)
    monkeypatch.setenv("GUIDEBP_TEST_KILLS", str(kills))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(kills), str(ROOT / "src")]))
    specs = [planned("add", "one-column", seed) for seed in range(3)]
    once, twice, fine = (run.key for run in specs)
    (kills / once).write_text("SIGKILL")
    (kills / twice).write_text("SIGKILL SIGSEGV")
    store, events = RunStore(tmp_path / "runs"), list[TrainingEvent]()
    train_pack(specs, data, {"tiny": checksum()}, store, TrainingOptions("cpu"), events.append)
    statuses = {key: store.read(key).result.status for key in (once, twice, fine)}
    assert statuses == {once: "finished", twice: "crashed", fine: "finished"}
    deaths = [(e.key, e.signal) for e in events if e.kind == "death"]
    assert deaths == [(once, "SIGKILL"), (twice, "SIGKILL"), (twice, "SIGSEGV")]
    assert [e.key for e in events if e.kind == "start"] == [once, once, twice, twice, fine]
    assert {e.key: e.status for e in events if e.kind == "done"} == statuses
    crashed = store.read(twice)
    assert crashed.result.test_correct is None and store.holds(specs[1].spec, checksum())
    events.clear()
    train_pack(specs, data, {"tiny": checksum()}, store, TrainingOptions("cpu"), events.append)
    assert events == []
    alone = RunStore(tmp_path / "alone")
    train_planned_runs(specs[:1], data, alone, torch.device("cpu"), keep_weights=False)
    assert (alone.folder(once) / RECORD).read_bytes() == (store.folder(once) / RECORD).read_bytes()


@pytest.mark.slow
def test_a_child_that_fails_by_itself_is_an_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match=r"training stopped \(exit code 2\)"):
        train_pack(
            [planned("add", "one-column")],
            tmp_path / "nowhere",
            {"tiny": checksum()},
            RunStore(tmp_path / "runs"),
            TrainingOptions("cpu"),
            lambda _: None,
        )
    assert "no manifest of dataset 'tiny'" in capfd.readouterr().err
