"""Records of runs: costs, angles between gradients, exits, and the size of a record."""

import lzma
from dataclasses import asdict, replace
from functools import cache

import pytest
import torch
from torch import Tensor

from guidebp.collect.rows import METRICS, NAMES, list_metric_rows
from guidebp.data.splits import draw_split
from guidebp.evaluation.calibration import BINS
from guidebp.evaluation.conflict import compute_cosines
from guidebp.evaluation.cost import compute_network_cost
from guidebp.evaluation.inference import CERTAINTIES, CONFIDENCES, POINTS, RATIOS
from guidebp.hashing import encode_canonical_json
from guidebp.runs.json_fields import to_json
from guidebp.runs.result import Calibration, EarlyExit, History, RunResult
from guidebp.runs.spec import DatasetSpec, FamilySpec, SplitSpec
from guidebp.training import epoch, state
from guidebp.training.trainer import TrainingOutcome, find_trained_pathways, train_run
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
# The fields that JSON holds: of every run but a crashed one, of a run with measurements, of some of these.
DESCRIPTION = {
    *(
        "status",
        "outputs",
        "pathways",
        "primary",
        "sizes",
        "parameters",
        "trained",
        "backward_passes",
        "cost",
    ),
}
MEASUREMENTS = {"history", "test_correct", "calibration"}
COMPARISONS = {"cosines", "inference"}


@cache
def run(name: str, architecture: str) -> TrainingOutcome:
    return train_run(spec(name, architecture, recipe=recipe(epochs=3)), prepared(120), CPU)


def held_out_labels() -> Tensor:
    run_spec, data = spec("add", "columns"), prepared(120)
    split = draw_split(data.labels, data.official_test, run_spec.dataset, run_spec.seed)
    return data.labels[split.test]


def result_json(result: RunResult) -> bytes:
    """The canonical JSON of a result; refuses NaN and infinity."""
    return encode_canonical_json(to_json(result))


def assert_common(outcome: TrainingOutcome, name: str, architecture: str) -> RunResult:
    """What holds of every finished run."""
    result = outcome.result
    result_json(result)
    always, stored = DESCRIPTION | MEASUREMENTS, set(to_json(result))
    assert always <= stored <= always | COMPARISONS and result.status == "finished"
    assert result.sizes is not None and result.test_correct is not None and result.calibration is not None
    assert result.diverged_in_epoch is None
    count, test = result.pathways, result.sizes.test
    assert result.outputs[-2:] == ["merged", "softmax average"] and len(result.outputs) == count + 2
    labels = held_out_labels()
    assert outcome.predictions.shape == (count + 2, test) and len(labels) == test
    assert result.test_correct == (outcome.predictions.long() == labels).sum(dim=1).tolist()
    assert all(len(column) == 3 for column in asdict(result.history).values())
    untrained = method(name, architecture)
    assert result.cost == compute_network_cost(untrained.stages(), torch.zeros(1, *SHAPE))
    assert result.backward_passes == untrained.backward_passes
    bins = result.calibration
    assert len(bins.images) == len(bins.correct) == len(bins.confidence) == count + 2
    for k in range(count + 2):
        assert len(bins.images[k]) == BINS and sum(bins.images[k]) == test
        assert sum(bins.correct[k]) == result.test_correct[k]
        for b, images in enumerate(bins.images[k]):
            assert 0 <= bins.correct[k][b] <= images
            low, high = images * b / BINS, images * (b + 1) / BINS
            assert low - 1e-3 <= bins.confidence[k][b] <= high + 1e-3
        assert not any(bins.images[k][: BINS // CLASSES])  # nobody is less confident than chance
    return result


@pytest.mark.parametrize(("name", "architecture"), CHAINS)
def test_run_of_a_chain(name: str, architecture: str) -> None:
    result = assert_common(run(name, architecture), name, architecture)
    history, ways, sizes = result.history, result.inference, result.sizes
    assert ways is not None and sizes is not None and result.test_correct is not None
    count, test = result.pathways, sizes.test
    assert count > 1 and result.primary == result.outputs[count - 1] == f"exit {count}"
    angles = torch.tensor(result.cosines)
    assert angles.shape == (count, count) and (angles.abs() <= 1 + 1e-5).all()
    torch.testing.assert_close(angles, angles.T, rtol=0, atol=2e-4)
    torch.testing.assert_close(angles.diagonal(), torch.ones(count), rtol=1e-5, atol=1e-5)
    above = angles[torch.ones(count, count).triu(diagonal=1).bool()]
    assert history.cosine[-1] == pytest.approx(float(above.mean()), abs=2e-4)  # those of the last epoch
    assert all(share is not None and 0 <= share <= 1 for share in history.conflict)
    assert ways.budgeted is not None and ways.smallest is not None
    for exits, levels in (
        (ways.confidence, CONFIDENCES),
        (ways.certainty, CERTAINTIES),
        (ways.budgeted, RATIOS),
    ):
        assert len(exits.correct) == len(exits.leave) == len(levels)
        assert all(len(row) == count and sum(row) == test for row in exits.leave)
    assert ways.ensembles[0] == result.test_correct[0]
    assert ways.ensembles[-1] == result.test_correct[-1]  # the average of all softmaxes
    if name != "learned":
        assert ways.logit_ensembles[-1] == result.test_correct[-2]  # the average of all logits
    assert len(ways.ensembles) == count and ways.smallest.points == list(POINTS)
    for row, right in zip(ways.confidence.leave, ways.confidence.correct, strict=True):
        for k in range(count):
            if row[k] == test:  # all of them leave at one exit
                assert right == result.test_correct[k]
    hits = history.validation_correct[-1][:count]
    least = [hits[-1] - points / 100 * sizes.validation for points in POINTS]
    for k, limit in zip(ways.smallest.exit, least, strict=True):
        assert hits[k] >= limit - 1e-9 and all(before < limit + 1e-9 for before in hits[:k])


@pytest.mark.parametrize(("name", "architecture"), PARALLEL)
def test_run_of_pathways_that_share_nothing(name: str, architecture: str) -> None:
    result = assert_common(run(name, architecture), name, architecture)
    assert result.primary == "merged" and result.inference is None and result.cosines is None
    assert result.history.cosine == result.history.conflict == [None] * 3


@pytest.mark.parametrize(("name", "architecture"), CRITICS)
def test_critics_are_pathways(name: str, architecture: str) -> None:
    result = assert_common(run(name, architecture), name, architecture)
    assert result.outputs == ["critic 1", "critic 2", "critic 3", "main", "merged", "softmax average"]
    assert result.primary == "main" and result.pathways == 4
    assert result.inference is not None and result.test_correct is not None
    assert result.inference.ensembles[0] == result.test_correct[0]
    assert result.inference.budgeted is not None
    assert all(len(row) == 4 for row in result.inference.budgeted.leave)


def test_one_exit_has_nothing_to_leave_early() -> None:
    result = assert_common(run("backprop", "plain-resnet"), "backprop", "plain-resnet")
    assert result.primary == "main" and result.inference is None and result.cosines is None


@pytest.mark.parametrize("name", ["deconfliction", "deconfliction-upgrad", "deep-supervision"])
def test_conflicts_of_every_step_or_of_one_per_epoch(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deconfliction has the gradients anyway and counts every step; others are probed once per epoch."""
    calls = 0

    def watched(products: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return compute_cosines(products)

    monkeypatch.setattr(epoch, "compute_cosines", watched)
    monkeypatch.setattr(state, "compute_cosines", watched)
    outcome = train_run(spec(name, "lenet", recipe=recipe(epochs=3)), prepared(120), CPU)
    steps = outcome.telemetry["steps"]
    assert outcome.result.sizes is not None
    assert steps == 3 * (outcome.result.sizes.train // 8) > 3
    assert calls == (3 if name == "deep-supervision" else steps)
    unit = 3 / calls  # one over the comparisons of an epoch
    for share in outcome.result.history.conflict:
        assert share is not None
        assert share / unit == pytest.approx(round(share / unit), abs=1e-4 / unit)


@pytest.mark.parametrize(("name", "architecture"), [*CHAINS, *CRITICS])
def test_result_is_a_function_of_the_spec(name: str, architecture: str) -> None:
    first = run(name, architecture)
    torch.rand(5)
    again = train_run(spec(name, architecture, recipe=recipe(epochs=3)), prepared(120), CPU)
    assert result_json(again.result) == result_json(first.result)
    assert torch.equal(again.predictions, first.predictions)
    assert all(torch.equal(again.weights[key], tensor) for key, tensor in first.weights.items())
    other = train_run(spec(name, architecture, 1, recipe=recipe(epochs=3)), prepared(120), CPU)
    assert other.result.history != first.result.history


def test_without_a_validation_set() -> None:
    dataset = DatasetSpec("tiny", SplitSpec(0.2, 0.0), CLASSES)
    result = train_run(spec("deep-supervision", "lenet", dataset=dataset), prepared(), CPU).result
    result_json(result)
    assert result.sizes is not None and result.inference is not None and result.test_correct is not None
    assert result.sizes.validation == 0 and result.history.validation_correct == [[], []]
    assert result.inference.budgeted is None and result.inference.smallest is None
    assert result.inference.ensembles[0] == result.test_correct[0]


def test_diverged_run_has_costs_and_nothing_measured() -> None:
    run_spec = spec("deep-supervision", "lenet", recipe=recipe(lr=1e36, epochs=3))
    result = train_run(run_spec, prepared(), CPU).result
    result_json(result)
    assert set(to_json(result)) - {"history"} == DESCRIPTION | {"diverged_in_epoch"}
    assert result.status == "diverged" and len(result.history.loss) == result.diverged_in_epoch
    assert result.cost.parameters.alone
    assert result.test_correct is None and result.calibration is None and result.inference is None


SEVEN = FamilySpec("msdnet", {"blocks": 7, "first": 2, "step": 1, "channels": 4, "growth": 4, "head": 8})


def test_record_of_seven_exits_and_three_hundred_epochs_stays_small() -> None:
    """A study's records are committed as an xz archive, about 30 KB a run at most; plain, half as much again.

    The largest run there is: MSDNet on CIFAR-100 for 300 epochs, here with random numbers of as many digits.
    """
    result = train_run(spec("deconfliction", "msdnet", architecture=SEVEN), prepared(120), CPU).result
    assert result.pathways == 7 and result.inference is not None and result.inference.budgeted is not None
    one_epoch = [len(encode_canonical_json(column)) / 2 for column in asdict(result.history).values()]
    generator = torch.Generator().manual_seed(0)

    def numbers(rows: int, columns: int) -> list[list[float]]:
        table = torch.rand(rows, columns, generator=generator).tolist()
        return [[round(x, 4) for x in row] for row in table]

    def counts(rows: int, columns: int) -> list[list[int]]:
        table: list[list[int]] = torch.randint(1000, 9999, (rows, columns), generator=generator).tolist()
        return table

    def early_exit(exits: EarlyExit) -> EarlyExit:
        levels = len(exits.level)
        return replace(exits, correct=counts(1, levels)[0], leave=counts(levels, 7))

    history = History(
        loss=numbers(1, 300)[0],
        gradient_share=numbers(300, 7),
        cosine=[*numbers(1, 300)[0]],
        conflict=[*numbers(1, 300)[0]],
        validation_correct=counts(300, 9),
    )
    ways = replace(
        result.inference,
        confidence=early_exit(result.inference.confidence),
        certainty=early_exit(result.inference.certainty),
        budgeted=early_exit(result.inference.budgeted),
    )
    sums = [[1000 * x for x in row] for row in numbers(9, BINS)]
    result = replace(
        result,
        history=history,
        inference=ways,
        calibration=Calibration(counts(9, BINS), counts(9, BINS), sums),
        test_correct=counts(1, 9)[0],
        cosines=numbers(7, 7),
    )
    text = result_json(result)
    assert len(text) > 250 * sum(one_epoch)  # the stand-in is no smaller than what it stands for
    assert len(lzma.compress(text)) < 20_000
    assert len(text) < 45_000


@pytest.mark.parametrize("name", ["deconfliction", "deconfliction-upgrad", "multiway", "deep-supervision"])
def test_single_exit_has_no_angles(name: str) -> None:
    result = train_run(spec(name, "vgg"), prepared(120), CPU).result
    result_json(result)  # refuses NaN
    assert result.cosines is None and result.history.conflict == [None, None]


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
    assert find_trained_pathways(method(name, architecture), torch.randn(1, *SHAPE)) == expected


def test_metric_rows_fill_the_columns_of_the_table_and_no_others() -> None:
    """What is not a column would be lost without a word; a crashed run has but its status."""
    result = run("deep-supervision", "resnet").result
    rows = list(list_metric_rows(result))
    assert len(rows) == len(result.outputs)
    assert all([*NAMES, "device_class", *row] == METRICS for row in rows)
    (crashed,) = list_metric_rows(RunResult(status="crashed"))
    assert crashed.keys() < set(METRICS)
