"""What it takes to test a claim: hours from step times, and the step times themselves."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from guidebp.collect.collect import count_locks
from guidebp.errors import UserError
from guidebp.schema.datasets import ImageCounts
from guidebp.study.keys import Run
from guidebp.study.plan import plan_setting, select_deciding_runs
from guidebp.study.resolve import load_study
from guidebp.study.step_times import MachineStepTimes, hash_step, read_step_times
from guidebp.study.study import Study
from guidebp.training.step_time import measure_step_seconds
from tests.support.tiny import ARCHITECTURES, METHODS, ROOT, SHAPE, fits, recipe, spec


@pytest.fixture(scope="module")
def study() -> Study:
    return load_study("paper", ROOT)


def test_hours_by_hand(study: Study) -> None:
    claim = study.claims["critic-cost"]
    runs = list(select_deciding_runs(claim, "published", study.runs))
    # backprop, local-critic and, for context, local-critic-1 and local-critic-5, five seeds each
    assert len(runs) == 20 and {run.dataset for run in runs} == {"cifar-10"}
    seconds = {hash_step(study, run): 0.5 if run.method == "backprop" else 1.0 for run in runs}
    found = plan_setting(
        "critic-cost",
        claim,
        "published",
        study,
        {"here": MachineStepTimes(seconds), "there": MachineStepTimes({})},
    )
    # 45,000 images, 351 steps of 128, 228 epochs: 80,028 steps; 5 runs at half a second, 15 at one
    assert found.hours == {"here": round(80028 * (5 * 0.5 + 15 * 1.0) / 3600, 1)}
    assert (found.runs, found.setting, found.study) == (20, "published", "paper")
    assert found.command.startswith("snakemake --config study=paper")


def test_hours_need_every_step_and_every_count(study: Study) -> None:
    claim = study.claims["critic-cost"]
    runs = list(select_deciding_runs(claim, "published", study.runs))
    seconds = {hash_step(study, run): 1.0 for run in runs}
    some = dict(list(seconds.items())[1:])
    assert plan_setting("critic-cost", claim, "published", study, {"m": MachineStepTimes(some)}).hours == {}
    uncounted = {name: entry.model_copy(update={"counts": None}) for name, entry in study.datasets.items()}
    unknown = replace(study, datasets=uncounted)
    assert (
        plan_setting("critic-cost", claim, "published", unknown, {"m": MachineStepTimes(seconds)}).hours == {}
    )
    none = plan_setting("critic-cost", claim, "small-scale", study, {"m": MachineStepTimes(seconds)})
    assert (none.runs, none.hours) == (0, {})


def test_validation_and_a_drawn_test_set_are_not_trained_on(study: Study) -> None:
    entry = study.datasets["cmaterdb"]
    split = entry.split.model_copy(update={"test": 0.25, "validation": 0.2})
    counted = entry.model_copy(update={"split": split, "counts": ImageCounts(training=1000)})
    assert counted.train_images == 600
    official = entry.split.model_copy(update={"test": "official", "validation": 0.2})
    assert counted.model_copy(update={"split": official}).train_images == 800


def test_only_what_a_step_does_has_a_time_of_its_own(study: Study) -> None:
    runs = [run for run in study.runs if run.architecture == "vgg"]
    first = next(run for run in runs if run.method == "local-critic")
    again = next(run for run in runs if run.method == "local-critic" and run.seed != first.seed)
    other = next(run for run in runs if run.method == "backprop")
    assert hash_step(study, first) == hash_step(study, again) != hash_step(study, other)

    def with_recipe(**changes: Any) -> Run:
        spec = replace(first.spec, recipe=replace(first.spec.recipe, **changes))
        return replace(first, planned=replace(first.planned, spec=spec))

    longer, larger = with_recipe(epochs=1), with_recipe(batch_size=3)
    assert hash_step(study, longer) == hash_step(study, first) != hash_step(study, larger)


def test_no_step_times_yet(tmp_path: Path) -> None:
    assert read_step_times(tmp_path / "none.json") == {}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "\xff",
        "[]",
        "3",
        "null",
        '{"m": 1}',
        '{"m": {}}',
        '{"m": {"seconds": []}}',
        '{"m": {"seconds": {"a": "b"}}}',
        '{"m": {"seconds": {"a": null}}}',
        '{"m": {"seconds": {"a": NaN}}}',
        '{"m": {"seconds": {"a": 0}}}',
        '{"m": {"seconds": {"a": -1}}}',
        "[" * 100000,
    ],
)
def test_damaged_step_times_are_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "step-times.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError) as caught:
        read_step_times(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)
    assert "guidebp time" in str(caught.value)


def kinds() -> list[tuple[str, str]]:
    """A method of every family on the first tiny network that it can train."""
    found: dict[str, tuple[str, str]] = {}
    for method, entry in METHODS.items():
        network = next((name for name in ARCHITECTURES if fits(method, name)), None)
        if network:
            found.setdefault(entry.family, (method, network))
    others = {"deconfliction": "resnet", "separate": "instances", "sub-models": "vgg"}
    return [*found.values(), *(pair for pair in others.items() if fits(*pair))]


@pytest.mark.parametrize(("method", "network"), list(dict.fromkeys(kinds())))
def test_a_step_of_every_kind_of_method_is_timed(
    method: str, network: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("guidebp.training.step_time.SECONDS", 0.0)
    asked = spec(method, network, recipe=recipe(batch_size=32))
    assert measure_step_seconds(asked, SHAPE, torch.device("cpu")) > 0


def test_runs_are_counted_by_their_locks() -> None:
    wanted = {"a": {"published": "2"}}
    trained = [
        (wanted, {"a": {"published": "1"}, "b": {"exploratory": "9"}}, "c2"),
        (wanted, {"a": {"published": "1"}}, "c1"),
        (wanted, {"a": {"published": "2"}}, "c1"),
        (wanted, {"a": {"published": "1"}}, "c1"),
        (wanted | {"d": {"published": "4"}}, {}, "c3"),
        ({}, {}, "c4"),
    ]
    now = {"a": {"published": "2", "exploratory": "5"}, "unused": {"published": "3"}, "d": {"published": "4"}}
    assert count_locks(now, trained) == {
        "a": {
            "published": {
                "now": "2",
                "runs": {
                    "1": {"count": 3, "commits": ["c1", "c2"]},
                    "2": {"count": 1, "commits": ["c1"]},
                    "none": {"count": 1, "commits": ["c3"]},
                },
            }
        },
        "b": {"exploratory": {"now": None, "runs": {"9": {"count": 1, "commits": ["c2"]}}}},
        "d": {"published": {"now": "4", "runs": {"none": {"count": 1, "commits": ["c3"]}}}},
    }
