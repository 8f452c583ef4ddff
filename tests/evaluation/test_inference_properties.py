"""What must hold of early exits whatever the probabilities: many ties, exact zeros and ones among them."""

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from guidebp.evaluation.calibration import BINS, compute_calibration
from guidebp.evaluation.inference import (
    CERTAINTIES,
    CONFIDENCES,
    POINTS,
    RATIOS,
    choose_exits,
    compute_budget_thresholds,
    compute_certainty,
    compute_confidence,
    evaluate_ensembles,
    evaluate_inference,
    evaluate_thresholds,
    find_smallest_exits,
)
from guidebp.hashing import encode_canonical_json
from guidebp.runs.json_fields import to_json
from guidebp.runs.result import EarlyExit


@st.composite
def cases(draw: st.DrawFn, ties: bool | None = None) -> tuple[Tensor, Tensor]:
    """Probabilities float32 [K, N, classes] and labels; from flat to exact zeros and ones."""
    exits, images, classes = draw(st.integers(1, 6)), draw(st.integers(1, 30)), draw(st.integers(2, 8))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    logits = torch.randn(exits, images, classes, generator=generator)
    if draw(st.booleans()) if ties is None else ties:
        logits = logits.round()
    logits = logits * draw(st.sampled_from([1e-3, 1.0, 5.0, 200.0]))
    return logits.softmax(dim=2), torch.randint(classes, (images,), generator=generator)


def operations(counts: list[int]) -> int:
    """Mean operations times images, where exit k costs 1, 3, 7, ..."""
    return sum(n * (2 ** (k + 1) - 1) for k, n in enumerate(counts))


@given(cases(), st.lists(st.floats(0, 1), min_size=6, max_size=6))
def test_leave_is_a_loop(case: tuple[Tensor, Tensor], levels: list[float]) -> None:
    scores = compute_confidence(case[0])
    thresholds = torch.tensor(levels[: len(scores)])
    for image, found in enumerate(choose_exits(scores, thresholds).tolist()):
        expected = len(scores) - 1
        for k in range(len(scores) - 1):
            if scores[k, image] > thresholds[k]:
                expected = k
                break
        assert found == expected


@given(cases(), st.lists(st.floats(0, 1), min_size=2, max_size=2))
def test_a_higher_threshold_never_lets_an_image_leave_earlier(
    case: tuple[Tensor, Tensor], levels: list[float]
) -> None:
    scores = compute_certainty(case[0])
    low, high = (choose_exits(scores, torch.full((len(scores),), level)) for level in sorted(levels))
    assert (low <= high).all()


@given(cases())
def test_counts_and_operations_along_the_levels(case: tuple[Tensor, Tensor]) -> None:
    probabilities, labels = case
    ways = evaluate_inference(probabilities.log(), probabilities, labels, probabilities, labels)
    encode_canonical_json(to_json(ways))
    for exits, levels in ((ways.confidence, CONFIDENCES), (ways.certainty, CERTAINTIES)):
        assert all(sum(row) == len(labels) and min(row) >= 0 for row in exits.leave)
        spent = [operations(row) for row in exits.leave]
        assert spent == sorted(spent) and len(spent) == len(levels)
    assert ways.budgeted is not None
    assert all(sum(row) == len(labels) for row in ways.budgeted.leave)
    assert list(CONFIDENCES) == sorted(CONFIDENCES) and list(CERTAINTIES) == sorted(CERTAINTIES)


@given(cases(), st.sampled_from([1.0, 1.5]))
def test_what_no_score_exceeds_leaves_everyone_at_the_last_exit(
    case: tuple[Tensor, Tensor], level: float
) -> None:
    made, labels = case
    right = made.argmax(dim=2) == labels
    level = max(level, float(compute_confidence(made).max()))  # float32 sums may round above 1
    assert evaluate_thresholds(compute_confidence(made), right, (level,)) == EarlyExit(
        level=[level], correct=[int(right[-1].sum())], leave=[[0] * (len(made) - 1) + [len(labels)]]
    )


@given(cases(), st.sampled_from(RATIOS))
def test_no_exit_of_a_budget_takes_more_than_its_share(case: tuple[Tensor, Tensor], ratio: float) -> None:
    """On the scores the thresholds come from; the last exit takes the rest, and ties make it more."""
    scores = compute_confidence(case[0])
    exits, images = scores.shape
    counts = torch.bincount(
        choose_exits(scores, compute_budget_thresholds(scores, ratio)), minlength=exits
    ).tolist()
    total = sum(ratio**k for k in range(1, exits + 1))
    for k, count in enumerate(counts[:-1]):
        assert count <= images * ratio ** (k + 1) / total + 1e-6
    waiting = torch.ones(images, dtype=torch.bool)
    chosen = choose_exits(scores, compute_budget_thresholds(scores, ratio))
    for k in range(exits - 1):  # nobody who leaves is less confident than one who waits
        gone = waiting & (chosen == k)
        if gone.any() and (chosen > k).any():
            assert scores[k][gone].min() > scores[k][chosen > k].max()
        waiting &= ~gone


@given(st.integers(1, 7), st.integers(1, 80), st.integers(0, 2**31))
def test_ratio_one_gives_equal_shares(exits: int, images: int, seed: int) -> None:
    """Without ties all but the last exit take floor(N / K) each."""
    generator = torch.Generator().manual_seed(seed)
    scores = torch.stack([torch.randperm(images, generator=generator) for _ in range(exits)]).float()
    counts = torch.bincount(
        choose_exits(scores, compute_budget_thresholds(scores, 1.0)), minlength=exits
    ).tolist()
    assert counts[:-1] == [images // exits] * (exits - 1)


@given(cases())
def test_ensembles_by_loop(case: tuple[Tensor, Tensor]) -> None:
    """In exact fractions; images whose two best classes are nearly equal may go either way."""
    made, labels = case
    found = evaluate_ensembles(made, labels)
    assert found[0] == int((made[0].argmax(dim=1) == labels).sum())
    for k in range(len(made)):
        low = high = 0
        for n, label in enumerate(labels.tolist()):
            sums = [
                sum(Fraction(p) for p in column) for column in zip(*made[: k + 1, n].tolist(), strict=True)
            ]
            rest = max(value for c, value in enumerate(sums) if c != label)
            low += sums[label] > rest + Fraction(1, 10**6)
            high += sums[label] > rest - Fraction(1, 10**6)
        assert low <= found[k] <= high


@given(st.lists(st.integers(0, 200), min_size=1, max_size=7), st.integers(0, 1000))
def test_smallest_keeps_its_promise(right: list[int], more: int) -> None:
    images = max(*right, 1) + more
    found = find_smallest_exits(right, images)
    assert found == sorted(found, reverse=True)
    for k, points in zip(found, POINTS, strict=True):
        within = [Fraction(100 * (right[-1] - hits), images) <= Fraction(points) for hits in right]
        assert k == within.index(True)


@given(cases())
def test_calibration_by_loop(case: tuple[Tensor, Tensor]) -> None:
    made, labels = case
    bins = compute_calibration(made, labels)
    for k in range(len(made)):
        counts, hits, sums = [0] * BINS, [0] * BINS, [0.0] * BINS
        for row, label in zip(made[k].double().tolist(), labels.tolist(), strict=True):
            best = max(row)
            place = min(max(math.ceil(best * BINS), 1), BINS) - 1
            counts[place] += 1
            hits[place] += row.index(best) == label
            sums[place] += best
        assert (bins.images[k], bins.correct[k]) == (counts, hits)
        assert bins.confidence[k] == pytest.approx(sums, rel=1e-5)


@given(cases())
def test_certainty_lies_between_zero_and_one_and_follows_no_order_of_classes(
    case: tuple[Tensor, Tensor],
) -> None:
    made = case[0]
    found = compute_certainty(made)
    assert (found > -1e-5).all() and (found < 1 + 1e-5).all()
    torch.testing.assert_close(compute_certainty(made.flip(dims=(2,))), found, rtol=1e-5, atol=1e-5)
    assert torch.equal(compute_confidence(made), made.sort(dim=2).values[:, :, -1])
