"""Inference with several exits: small cases by hand, and the published procedures told again as plain loops."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats
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
    evaluate_budgets,
    evaluate_ensembles,
    evaluate_inference,
    evaluate_thresholds,
    find_smallest_exits,
    tally_exits,
)
from guidebp.hashing import encode_canonical_json
from guidebp.runs.json_fields import to_json
from guidebp.runs.result import EarlyExit, SmallestExit


def chances(exits: int, images: int, classes: int = 4, seed: int = 0, sharpness: float = 3.0) -> Tensor:
    """Probabilities [K, N, classes] without ties, later exits more confident."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(exits, images, classes, generator=generator)
    return (logits * sharpness * torch.arange(1, exits + 1).view(-1, 1, 1)).softmax(dim=2)


def truth(images: int, classes: int = 4, seed: int = 1) -> Tensor:
    return torch.randint(classes, (images,), generator=torch.Generator().manual_seed(seed))


def test_an_image_leaves_at_the_first_exit_above_its_threshold() -> None:
    scores = torch.tensor([[0.9, 0.2, 0.5, 0.1], [0.1, 0.8, 0.9, 0.2], [0.9, 0.9, 0.9, 0.0]])
    assert choose_exits(scores, torch.full((3,), 0.5)).tolist() == [0, 1, 1, 2]  # 0.5 does not exceed 0.5
    assert choose_exits(scores, torch.tensor([0.95, 0.5, 0.5])).tolist() == [2, 1, 1, 2]
    assert choose_exits(scores, torch.tensor([-torch.inf, 0.5, 0.5])).tolist() == [0, 0, 0, 0]
    assert scores[-1].tolist() == pytest.approx([0.9, 0.9, 0.9, 0.0])  # the scores are left alone


def test_tally_by_hand() -> None:
    right = torch.tensor([[True, False, True], [False, True, False], [True, True, False]])
    assert tally_exits(torch.tensor([0, 1, 2]), right) == (2, [1, 1, 1])
    assert tally_exits(torch.tensor([1, 1, 1]), right) == (1, [0, 3, 0])
    assert tally_exits(torch.tensor([0, 0, 0]), right) == (2, [3, 0, 0])


def test_progressive_by_hand() -> None:
    scores = torch.tensor([[0.95, 0.60, 0.40], [0.99, 0.92, 0.50]])
    right = torch.tensor([[True, False, True], [False, True, False]])
    assert evaluate_thresholds(scores, right, (0.3, 0.5, 0.9, 0.97)) == EarlyExit(
        level=[0.3, 0.5, 0.9, 0.97], correct=[2, 1, 2, 1], leave=[[3, 0], [2, 1], [1, 2], [0, 3]]
    )


def test_confidence_and_certainty() -> None:
    made = torch.tensor([[[1.0, 0, 0, 0], [0.25, 0.25, 0.25, 0.25], [0.5, 0.5, 0, 0]]])
    assert compute_confidence(made).tolist() == [[1.0, 0.25, 0.5]]
    torch.testing.assert_close(compute_certainty(made), torch.tensor([[1.0, 0.0, 0.5]]))


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_certainty_is_scipys_entropy(classes: int) -> None:
    made = chances(3, 50, classes).double()
    made /= made.sum(dim=2, keepdim=True)  # scipy does so by itself
    made[0, 0] = torch.eye(classes)[1]  # probabilities of exactly 0 and 1
    expected = 1 - stats.entropy(made.numpy(), axis=2, base=classes)
    np.testing.assert_allclose(compute_certainty(made).numpy(), expected, rtol=1e-10, atol=1e-12)


def published_thresholds(scores: list[list[float]], ratio: float) -> list[int]:
    """Who leaves where by MSDNet's procedure: in turn, every exit lets its share of the most confident leave."""
    count, images = len(scores), len(scores[0])
    total = sum(ratio**k for k in range(1, count + 1))
    left = [count - 1] * images
    waiting = set(range(images))
    for k in range(count - 1):
        leaving = math.floor(images * ratio ** (k + 1) / total + 1e-9)
        for image in sorted(waiting, key=lambda n, k=k: -scores[k][n])[:leaving]:  # type: ignore[misc]
            left[image] = k
            waiting.remove(image)
    return left


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize(("exits", "images"), [(1, 5), (2, 1), (2, 40), (4, 57), (7, 100), (7, 3)])
def test_budget_is_the_published_procedure(exits: int, images: int, ratio: float) -> None:
    scores = torch.rand(exits, images, generator=torch.Generator().manual_seed(exits + images))
    assert all(len(row.unique()) == images for row in scores)
    thresholds = compute_budget_thresholds(scores, ratio)
    assert choose_exits(scores, thresholds).tolist() == published_thresholds(scores.tolist(), ratio)
    assert thresholds.shape == (exits,)


def test_equal_shares_at_ratio_one() -> None:
    scores = torch.rand(5, 1000, generator=torch.Generator().manual_seed(3))
    chosen = choose_exits(scores, compute_budget_thresholds(scores, 1.0))
    assert torch.bincount(chosen).tolist() == [200] * 5
    assert torch.bincount(choose_exits(scores[:3], compute_budget_thresholds(scores[:3], 1.0))).tolist() == [
        333,
        333,
        334,
    ]


def test_equal_scores_stay_together() -> None:
    """Two of four may leave, but the second to fourth are equal: only the first leaves."""
    scores = torch.tensor([[0.9, 0.5, 0.5, 0.5], [0.1, 0.2, 0.3, 0.4]])
    assert choose_exits(scores, compute_budget_thresholds(scores, 1.0)).tolist() == [0, 1, 1, 1]
    same = torch.full((3, 6), 0.7)
    assert choose_exits(same, compute_budget_thresholds(same, 1.0)).tolist() == [2] * 6


def test_budget_takes_thresholds_from_validation_and_hits_from_the_test() -> None:
    validation = torch.tensor([[0.9, 0.8, 0.4, 0.3], [0.5, 0.5, 0.5, 0.5]])  # at ratio 1 above 0.4 leaves
    scores = torch.tensor([[0.41, 0.40, 0.39, 0.95, 0.1], [0.1, 0.1, 0.1, 0.1, 0.1]])
    right = torch.tensor([[True, True, True, False, True], [False, False, True, True, False]])
    exits = evaluate_budgets(scores, right, validation)
    index = RATIOS.index(1.0)
    assert exits.leave[index] == [2, 3] and exits.correct[index] == 2
    assert len(exits.leave) == len(exits.correct) == len(RATIOS)


def test_larger_ratios_keep_more_for_later_exits() -> None:
    scores = torch.rand(3, 200, generator=torch.Generator().manual_seed(4))
    exits = evaluate_budgets(scores, torch.ones(3, 200, dtype=torch.bool), scores)
    first, last = ([row[k] for row in exits.leave] for k in (0, -1))
    assert first == sorted(first, reverse=True) and last == sorted(last)
    assert first[0] > 2 * first[-1] and last[-1] > 2 * last[0]
    assert exits.correct == [200] * len(RATIOS)


def test_ensembles_average_probabilities_not_votes() -> None:
    made = torch.tensor(
        [
            [[0.6, 0.3, 0.1], [0.1, 0.8, 0.1]],
            [[0.1, 0.8, 0.1], [0.5, 0.3, 0.2]],
            [[0.0, 0.1, 0.9], [0.9, 0.1, 0.0]],
        ]
    )
    labels = torch.tensor([0, 0])
    # means: 0.6 0.3 .1 / .35 .55 .1 / .23 .4 .37, and .1 .8 .1 / .3 .55 .15 / .5 .4 .1
    assert evaluate_ensembles(made, labels) == [1, 0, 1]
    assert evaluate_ensembles(made, torch.tensor([1, 1])) == [1, 2, 1]


def test_smallest_by_hand() -> None:
    assert POINTS == (0.5, 1.0, 2.0, 5.0)
    assert find_smallest_exits([900, 950, 980, 995, 1000], 1000) == [3, 3, 2, 1]
    assert find_smallest_exits([10, 20, 20], 20) == [1, 1, 1, 1]
    assert find_smallest_exits([30, 20, 25], 100) == [0, 0, 0, 0]  # better than the last is within any points
    assert find_smallest_exits([7], 10) == [0, 0, 0, 0]
    assert find_smallest_exits([0, 0], 3) == [0, 0, 0, 0]


def test_calibration_by_hand() -> None:
    made = torch.tensor([[[0.5, 0.3, 0.2], [0.1, 0.9, 0.0], [1.0, 0.0, 0.0], [0.52, 0.48, 0.0]]])
    bins = compute_calibration(made, torch.tensor([0, 0, 0, 1]))
    assert BINS == 15
    images, right, sums = bins.images[0], bins.correct[0], bins.confidence[0]
    assert {b: n for b, n in enumerate(images) if n} == {7: 2, 13: 1, 14: 1}
    assert {b: n for b, n in enumerate(right) if n} == {7: 1, 14: 1}
    assert [sums[7], sums[13], sums[14]] == pytest.approx([1.02, 0.9, 1.0])


def test_expected_calibration_error_by_hand() -> None:
    """From the counts as from the images themselves."""
    made, labels = chances(4, 300, 5, sharpness=0.7), truth(300, 5)
    bins = compute_calibration(made, labels)
    for k in range(4):
        expected = 0.0
        for b in range(BINS):
            members = [
                (max(p), p.index(max(p)) == y)
                for p, y in zip(made[k].double().tolist(), labels.tolist(), strict=True)
                if b / BINS < max(p) <= (b + 1) / BINS
            ]
            assert bins.images[k][b] == len(members)
            if members:
                gap = np.mean([hit for _, hit in members]) - np.mean([c for c, _ in members])
                expected += len(members) / 300 * abs(float(gap))
        gaps = zip(bins.correct[k], bins.confidence[k], strict=True)
        assert sum(abs(hit - c) for hit, c in gaps) / 300 == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("exits", "images"), [(1, 30), (3, 1), (1, 1), (3, 100)])
def test_all_of_it(exits: int, images: int) -> None:
    probabilities, labels = chances(exits, images), truth(images)
    validation, validation_labels = chances(exits, 50, seed=7), truth(50, seed=8)
    logits = chances(exits, images, seed=9).log()
    ways = evaluate_inference(logits, probabilities, labels, validation, validation_labels)
    encode_canonical_json(to_json(ways))
    right = probabilities.argmax(dim=2) == labels
    assert ways.budgeted is not None
    for tallies, levels in (
        (ways.confidence, CONFIDENCES),
        (ways.certainty, CERTAINTIES),
        (ways.budgeted, RATIOS),
    ):
        assert tallies.level == list(levels)
        assert len(tallies.correct) == len(tallies.leave) == len(levels)
        assert all(len(row) == exits and sum(row) == images for row in tallies.leave)
        assert all(0 <= n <= images for n in tallies.correct)
    assert ways.ensembles[0] == int(right[0].sum())
    assert ways.logit_ensembles == evaluate_ensembles(logits, labels)
    assert ways.budgeted == evaluate_budgets(
        compute_confidence(probabilities), right, compute_confidence(validation)
    )
    hits = [int((validation[k].argmax(dim=1) == validation_labels).sum()) for k in range(exits)]
    assert ways.smallest == SmallestExit(list(POINTS), find_smallest_exits(hits, 50))
    if exits == 1:
        for tallies in (ways.confidence, ways.certainty):
            assert tallies.correct == [int(right.sum())] * 13


def test_levels_of_confidence_and_certainty_are_naive_loops() -> None:
    probabilities, labels = chances(3, 120, 5, sharpness=1.0), truth(120, 5)
    ways = evaluate_inference(probabilities.log(), probabilities, labels, probabilities[:, :0], labels[:0])
    entropies = stats.entropy(probabilities.double().numpy(), axis=2) / math.log(5)
    confidences, certainties = probabilities.amax(dim=2).double().numpy(), 1 - entropies
    for tallies, levels, scores in (
        (ways.confidence, CONFIDENCES, confidences),
        (ways.certainty, CERTAINTIES, certainties),
    ):
        for index, level in enumerate(levels):
            counts, correct = [0, 0, 0], 0
            for n in range(120):
                for k in range(3):
                    if scores[k, n] > level or k == 2:
                        counts[k] += 1
                        correct += int(probabilities[k, n].argmax() == labels[n])
                        break
            assert (tallies.leave[index], tallies.correct[index]) == (counts, correct)
        assert len({tuple(row) for row in tallies.leave}) > 5  # the levels are not all alike


def test_without_a_validation_set_two_of_them_are_none() -> None:
    probabilities, labels = chances(3, 20), truth(20)
    logits = probabilities.log()
    no_labels = torch.zeros(0, dtype=torch.int64)
    without = evaluate_inference(logits, probabilities, labels, torch.zeros(3, 0, 4), no_labels)
    assert without.budgeted is None and without.smallest is None
    ways = evaluate_inference(logits, probabilities, labels, probabilities, labels)
    assert ways.budgeted is not None and ways.smallest is not None
    assert without == replace(ways, budgeted=None, smallest=None)


def test_probabilities_of_exactly_zero_and_one() -> None:
    """Every image is certain: all leave at once, whatever the level."""
    labels = torch.tensor([0, 1, 2, 1])
    probabilities = torch.eye(3)[labels].expand(2, 4, 3)
    ways = evaluate_inference(probabilities, probabilities, labels, probabilities, labels)
    encode_canonical_json(to_json(ways))
    for tallies in (ways.confidence, ways.certainty):
        assert (tallies.correct, tallies.leave) == ([4] * 13, [[4, 0]] * 13)
    assert ways.smallest is not None and ways.budgeted is not None
    assert ways.ensembles == ways.logit_ensembles == [4, 4] and ways.smallest.exit == [0, 0, 0, 0]
    # all scores are equal, so they stay together, at the last exit
    assert (ways.budgeted.correct, ways.budgeted.leave) == ([4] * 20, [[0, 4]] * 20)


def test_ties_go_to_the_first_class() -> None:
    probabilities, labels = torch.full((2, 3, 4), 0.25), torch.tensor([0, 0, 1])
    ways = evaluate_inference(probabilities.log(), probabilities, labels, probabilities, labels)
    assert ways.ensembles == ways.logit_ensembles == [2, 2] and ways.confidence.correct == [2] * 13
    assert ways.confidence.leave == [[0, 3]] * 13 == ways.certainty.leave
