"""What the record of a run says: of costs, of angles between gradients, of exits; and how large it gets."""

import lzma
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from guidebp.collect.rows import METRICS, NAMES, metric_rows
from guidebp.data.splits import draw_split
from guidebp.evaluation.calibration import BINS
from guidebp.evaluation.cost import cost
from guidebp.evaluation.inference import CERTAINTIES, CONFIDENCES, POINTS, RATIOS
from guidebp.hashing import canonical_json
from guidebp.training.state import HISTORY
from guidebp.training.trainer import Outcome, train_run, trained_pathways
from tests.support.tiny import CLASSES, SHAPE, method, prepared, recipe, spec

CPU = torch.device("cpu")
CHAINS = [
    ("deep-supervision", "resnet"),
    ("multiway", "resnet"),
    ("gradient-equilibrium", "msdnet"),
    ("deconfliction", "lenet"),
    ("guidebp", "branches"),
]
CRITICS = [("local-critic", "vgg"), ("sub-models", "vgg")]
PARALLEL = [("average", "columns"), ("separate", "columns"), ("guidebp", "instances")]
KEYS = {
    *("status", "outputs", "pathways", "primary", "sizes", "parameters", "trained", "backward_passes"),
    *("cost", "history", "cosines", "test_correct", "calibration", "inference"),
}


@cache
def run(name: str, architecture: str) -> Outcome:
    return train_run(spec(name, architecture, recipe=recipe(epochs=3)), prepared(120), CPU)


def held_out_labels() -> Tensor:
    made_of, data = spec("add", "columns"), prepared(120)
    split = draw_split(data.labels, data.official_test, made_of["dataset"], made_of["seed"])
    return data.labels[split.test]


def assert_common(outcome: Outcome, name: str, architecture: str) -> dict[str, Any]:
    """What holds of every finished run."""
    result = outcome.result
    canonical_json(result)  # refuses NaN and infinity
    assert set(result) == KEYS and result["status"] == "finished"
    count, test = result["pathways"], result["sizes"]["test"]
    assert result["outputs"][-2:] == ["merged", "softmax average"] and len(result["outputs"]) == count + 2
    labels = held_out_labels()
    assert outcome.predictions.shape == (count + 2, test) and len(labels) == test
    assert result["test_correct"] == (outcome.predictions.long() == labels).sum(dim=1).tolist()
    assert set(result["history"]) == set(HISTORY)
    assert all(len(column) == 3 for column in result["history"].values())
    made = method(name, architecture)
    assert result["cost"] == cost(made.stages(), torch.zeros(1, *SHAPE))
    assert result["backward_passes"] == made.backward_passes
    found = result["calibration"]
    assert all(len(found[key]) == count + 2 for key in ("images", "correct", "confidence"))
    for k in range(count + 2):
        assert len(found["images"][k]) == BINS and sum(found["images"][k]) == test
        assert sum(found["correct"][k]) == result["test_correct"][k]
        for b, images in enumerate(found["images"][k]):
            assert 0 <= found["correct"][k][b] <= images
            low, high = images * b / BINS, images * (b + 1) / BINS
            assert low - 1e-3 <= found["confidence"][k][b] <= high + 1e-3
        assert not any(found["images"][k][: BINS // CLASSES])  # nobody is less confident than chance
    return result


@pytest.mark.parametrize(("name", "architecture"), CHAINS)
def test_run_of_a_chain(name: str, architecture: str) -> None:
    result = assert_common(run(name, architecture), name, architecture)
    count, test = result["pathways"], result["sizes"]["test"]
    assert count > 1 and result["primary"] == result["outputs"][count - 1] == f"exit {count}"
    angles = torch.tensor(result["cosines"])
    assert angles.shape == (count, count) and (angles.abs() <= 1 + 1e-5).all()
    torch.testing.assert_close(angles, angles.T, rtol=0, atol=2e-4)
    torch.testing.assert_close(angles.diagonal(), torch.ones(count), rtol=1e-5, atol=1e-5)
    history = result["history"]
    above = angles[torch.ones(count, count).triu(diagonal=1).bool()]
    assert history["cosine"][-1] == pytest.approx(float(above.mean()), abs=2e-4)  # those of the last epoch
    assert all(0 <= share <= 1 for share in history["conflict"])
    found = result["inference"]
    assert set(found) == {"confidence", "certainty", "budgeted", "ensembles", "logit_ensembles", "smallest"}
    for kind, levels in (("confidence", CONFIDENCES), ("certainty", CERTAINTIES), ("budgeted", RATIOS)):
        assert len(found[kind]["correct"]) == len(found[kind]["leave"]) == len(levels)
        assert all(len(row) == count and sum(row) == test for row in found[kind]["leave"])
    assert found["ensembles"][0] == result["test_correct"][0]
    assert found["ensembles"][-1] == result["test_correct"][-1]  # the average of all softmaxes
    if name != "learned":
        assert found["logit_ensembles"][-1] == result["test_correct"][-2]  # the average of all logits
    assert len(found["ensembles"]) == count and found["smallest"]["points"] == list(POINTS)
    for row, right in zip(found["confidence"]["leave"], found["confidence"]["correct"], strict=True):
        for k in range(count):
            if row[k] == test:  # all of them leave at one exit
                assert right == result["test_correct"][k]
    hits = history["validation_correct"][-1][:count]
    least = [hits[-1] - points / 100 * result["sizes"]["validation"] for points in POINTS]
    for k, limit in zip(found["smallest"]["exit"], least, strict=True):
        assert hits[k] >= limit - 1e-9 and all(before < limit + 1e-9 for before in hits[:k])


@pytest.mark.parametrize(("name", "architecture"), PARALLEL)
def test_run_of_pathways_that_share_nothing(name: str, architecture: str) -> None:
    result = assert_common(run(name, architecture), name, architecture)
    assert result["primary"] == "merged" and result["inference"] is None and result["cosines"] is None
    assert result["history"]["cosine"] == result["history"]["conflict"] == [None] * 3


@pytest.mark.parametrize(("name", "architecture"), CRITICS)
def test_critics_are_pathways(name: str, architecture: str) -> None:
    result = assert_common(run(name, architecture), name, architecture)
    assert result["outputs"] == ["critic 1", "critic 2", "critic 3", "main", "merged", "softmax average"]
    assert result["primary"] == "main" and result["pathways"] == 4
    assert result["inference"]["ensembles"][0] == result["test_correct"][0]
    assert all(len(row) == 4 for row in result["inference"]["budgeted"]["leave"])


def test_one_exit_has_nothing_to_leave_early() -> None:
    result = assert_common(run("backprop", "plain-resnet"), "backprop", "plain-resnet")
    assert result["primary"] == "main" and result["inference"] is None and result["cosines"] is None


@pytest.mark.parametrize("name", ["deconfliction", "deconfliction-upgrad", "deep-supervision"])
def test_conflicts_of_every_step_or_of_one_per_epoch(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deconfliction has the gradients anyway and counts every step; others are probed once per epoch."""
    from guidebp.training import state, trainer

    calls = 0
    real = trainer.cosines

    def watched(products: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return real(products)

    monkeypatch.setattr(trainer, "cosines", watched)
    monkeypatch.setattr(state, "cosines", watched)
    outcome = train_run(spec(name, "lenet", recipe=recipe(epochs=3)), prepared(120), CPU)
    steps = outcome.telemetry["steps"]
    assert steps == 3 * (outcome.result["sizes"]["train"] // 8) > 3
    assert calls == (3 if name == "deep-supervision" else steps)
    conflict = outcome.result["history"]["conflict"]
    unit = 3 / calls  # one over the comparisons of an epoch
    assert all(share / unit == pytest.approx(round(share / unit), abs=1e-4 / unit) for share in conflict)


@pytest.mark.parametrize(("name", "architecture"), [*CHAINS, *CRITICS])
def test_result_is_a_function_of_the_spec(name: str, architecture: str) -> None:
    first = run(name, architecture)
    torch.rand(5)
    again = train_run(spec(name, architecture, recipe=recipe(epochs=3)), prepared(120), CPU)
    assert canonical_json(again.result) == canonical_json(first.result)
    assert torch.equal(again.predictions, first.predictions)
    assert all(torch.equal(again.weights[key], tensor) for key, tensor in first.weights.items())
    other = train_run(spec(name, architecture, 1, recipe=recipe(epochs=3)), prepared(120), CPU)
    assert other.result["history"] != first.result["history"]


def test_without_a_validation_set() -> None:
    made_of = spec(
        "deep-supervision", "lenet", dataset={"name": "tiny", "split": {"test": 0.2, "validation": 0}}
    )
    made_of["dataset"]["classes"] = CLASSES
    result = train_run(made_of, prepared(), CPU).result
    canonical_json(result)
    assert result["sizes"]["validation"] == 0 and result["history"]["validation_correct"] == [[], []]
    assert result["inference"]["budgeted"] is None and result["inference"]["smallest"] is None
    assert result["inference"]["ensembles"][0] == result["test_correct"][0]


def test_diverged_run_has_costs_and_nothing_measured() -> None:
    made_of = spec("deep-supervision", "lenet", recipe=recipe(lr=1e36, epochs=3))
    result = train_run(made_of, prepared(), CPU).result
    canonical_json(result)
    assert set(result) == KEYS | {"diverged_in_epoch"} and result["status"] == "diverged"
    assert result["cost"]["parameters"]["alone"]
    assert result["test_correct"] is None and result["calibration"] is None and result["inference"] is None


SEVEN = {
    "family": "msdnet",
    "options": {"blocks": 7, "first": 2, "step": 1, "channels": 4, "growth": 4, "head": 8},
}


def test_record_of_seven_exits_and_three_hundred_epochs_stays_small() -> None:
    """A study's records are committed as an xz archive, about 30 KB a run at most; plain, half as much again.

    The largest run there is: MSDNet on CIFAR-100 for 300 epochs, here with random numbers of as many digits.
    """
    result = train_run(spec("deconfliction", "msdnet", architecture=SEVEN), prepared(120), CPU).result
    assert result["pathways"] == 7
    one_epoch = {key: len(canonical_json(column)) / 2 for key, column in result["history"].items()}
    generator = torch.Generator().manual_seed(0)

    def numbers(*shape: int) -> Any:
        return [[round(x, 4) for x in row] for row in torch.rand(shape, generator=generator).tolist()]

    def counts(*shape: int) -> Any:
        return torch.randint(1000, 9999, shape, generator=generator).tolist()

    history = result["history"]
    for key in ("loss", "cosine", "conflict"):
        history[key] = numbers(1, 300)[0]
    history["gradient_share"], history["validation_correct"] = numbers(300, 7), counts(300, 9)
    for entry in (result["inference"][key] for key in ("confidence", "certainty", "budgeted")):
        entry["leave"] = counts(len(entry["leave"]), 7)
        entry["correct"] = counts(len(entry["correct"]))
    result["calibration"] = {key: counts(9, BINS) for key in ("images", "correct")}
    result["calibration"]["confidence"] = [[1000 * x for x in row] for row in numbers(9, BINS)]
    result["test_correct"], result["cosines"] = counts(9), numbers(7, 7)
    text = canonical_json(result)
    assert len(text) > 250 * sum(one_epoch.values())  # the stand-in is no smaller than what it stands for
    assert len(lzma.compress(text)) < 20_000
    assert len(text) < 45_000


@pytest.mark.parametrize("name", ["deconfliction", "deconfliction-upgrad", "multiway", "deep-supervision"])
def test_single_exit_has_no_angles(name: str) -> None:
    result = train_run(spec(name, "vgg"), prepared(120), CPU).result
    canonical_json(result)  # refuses NaN
    assert result["cosines"] is None and result["history"]["conflict"] == [None, None]


@pytest.mark.parametrize(
    ("name", "architecture", "expected"),
    [
        ("backprop", "resnet", [False, False, True]),
        ("deep-supervision", "resnet", [True] * 3),
        ("concatenate", "branches", [True] * 3),
        ("separate", "branches", [True] * 3),
        ("local-critic", "vgg", [True] * 4),
        ("sub-models", "vgg", [True] * 4),
    ],
)
def test_trained_pathways(name: str, architecture: str, expected: list[bool]) -> None:
    assert trained_pathways(method(name, architecture), torch.randn(1, *SHAPE)) == expected


def test_metric_rows_fill_the_columns_of_the_table_and_no_others() -> None:
    """What is not a column would be lost without a word; a crashed run has but its status."""
    result = run("deep-supervision", "resnet").result
    rows = list(metric_rows({"result": result}))
    assert len(rows) == len(result["outputs"])
    assert all([*NAMES, "device_class", *row] == METRICS for row in rows)
    (crashed,) = metric_rows({"result": {"status": "crashed", "outputs": []}})
    assert crashed.keys() < set(METRICS)
