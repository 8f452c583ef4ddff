"""Inference with several exits of one trunk: early exit, ensembles of exits, and the smallest accurate exit.

Everything is computed from probabilities [K, N, classes], with exits from the shallowest to the deepest. Results
are counts of correct predictions and of images that leave at each exit. The analysis combines them with the
operations of `cost` to draw curves.
"""

import math

import torch
from torch import Tensor

from guidebp.runs.result import EarlyExit, Inference, SmallestExit

# Local critic training reports 0.9 and 0.95 (docs/methods/local-critic.md).
CONFIDENCES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.97, 0.99, 0.995, 0.999)
# One minus the entropy, as a share of the largest possible one, log(classes): BranchyNet's criterion.
CERTAINTIES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999)
# MSDNet's budgets: exit k (from 1) is to take a share of the images in proportion to ratio^k.
RATIOS = tuple(step / 20 for step in range(2, 41, 2))
POINTS = (0.5, 1.0, 2.0, 5.0)


def compute_confidence(probabilities: Tensor) -> Tensor:
    """Return the largest probability [K, N]."""
    return probabilities.amax(dim=2)


def compute_certainty(probabilities: Tensor) -> Tensor:
    """Return [K, N] one minus the entropy, as a share of the largest possible entropy."""
    entropy = torch.special.entr(probabilities).sum(dim=2)
    found: Tensor = 1 - entropy / math.log(probabilities.shape[2])
    return found


def choose_exits(scores: Tensor, thresholds: Tensor) -> Tensor:
    """Return the exit [N], from 0, where each image leaves.

    It is the first exit whose score [K, N] exceeds its threshold [K], else the last.
    """
    stops = scores > thresholds.unsqueeze(1)
    stops[-1] = True
    return stops.int().argmax(dim=0)


def tally_exits(chosen: Tensor, right: Tensor) -> tuple[int, list[int]]:
    """Count the correct predictions, and the images that leave at each exit.

    `chosen` [N] holds the exits of the images; `right` [K, N] is True where an exit's prediction is correct.
    """
    correct = right.gather(0, chosen.unsqueeze(0)).sum()
    return int(correct), torch.bincount(chosen, minlength=len(right)).tolist()


def evaluate_thresholds(scores: Tensor, right: Tensor, levels: tuple[float, ...]) -> EarlyExit:
    """Evaluate early exit with one threshold for all exits, for each of `levels` (BranchyNet, local critics).

    An image leaves at the first exit whose score exceeds the threshold.
    """
    tallies = [
        tally_exits(choose_exits(scores, torch.full((len(scores),), level)), right) for level in levels
    ]
    return EarlyExit(list(levels), [correct for correct, _ in tallies], [counts for _, counts in tallies])


def compute_budget_thresholds(scores: Tensor, ratio: float) -> Tensor:
    """Return the thresholds [K] by which a share of the images with `scores` [K, N] leaves at each exit.

    The share of exit k (from 1) is in proportion to ratio^k. This is MSDNet's procedure (Huang et al. 2018).
    Exit by exit, the most confident of the remaining images leave. The threshold is the largest score that
    stays, so equal scores stay together; the last exit takes all. The authors' code has the smallest score that
    leaves: on the set that gives the thresholds the same images leave.
    """
    count, images = scores.shape
    shares = torch.tensor([ratio**k for k in range(1, count + 1)], dtype=torch.float64)
    shares = shares / shares.sum()
    staying = torch.ones(images, dtype=torch.bool)
    thresholds = torch.full((count,), -torch.inf)
    for k in range(count - 1):
        ordered = scores[k][staying].sort(descending=True).values
        leaving = int(images * float(shares[k]) + 1e-9)
        if leaving >= len(ordered):  # all that are left may go
            break
        thresholds[k] = ordered[leaving]
        staying &= scores[k] <= thresholds[k]
    return thresholds


def evaluate_budgets(scores: Tensor, right: Tensor, validation: Tensor) -> EarlyExit:
    """Evaluate early exit with a budget, for each of RATIOS.

    Thresholds come from the validation scores [K, V], counts from test scores and correct predictions [K, N].
    """
    thresholds = [compute_budget_thresholds(validation, ratio) for ratio in RATIOS]
    tallies = [tally_exits(choose_exits(scores, levels), right) for levels in thresholds]
    return EarlyExit(list(RATIOS), [correct for correct, _ in tallies], [counts for _, counts in tallies])


def evaluate_ensembles(scores: Tensor, labels: Tensor) -> list[int]:
    """Count the correct predictions of the mean scores of exits 1 to k, for each k; scores are [K, N, classes]."""
    sums = scores.cumsum(dim=0)
    return [int(found) for found in (sums.argmax(dim=2) == labels).sum(dim=1)]


def find_smallest_exits(right: list[int], images: int) -> list[int]:
    """Return, for each of POINTS, the first exit (from 0) within that many percentage points of the last one.

    `right` [K] counts the correct predictions for `images` images.
    """
    accuracies = [100 * found / images for found in right]
    return [next(k for k, a in enumerate(accuracies) if a >= accuracies[-1] - points) for points in POINTS]


def evaluate_inference(
    logits: Tensor, probabilities: Tensor, labels: Tensor, validation: Tensor, validation_labels: Tensor
) -> Inference:
    """Evaluate all ways of using several exits; all tensors are on the CPU.

    Test images have the pathways' logits and probabilities [K, N, classes] and labels [N]. Validation images have
    probabilities [K, V, classes] and labels [V]. Without any, the results that need them are None.
    """
    right = probabilities.argmax(dim=2) == labels
    budgets = smallest_exit = None
    if len(validation_labels):
        hits = (validation.argmax(dim=2) == validation_labels).sum(dim=1).tolist()
        budgets = evaluate_budgets(compute_confidence(probabilities), right, compute_confidence(validation))
        smallest_exit = SmallestExit(list(POINTS), find_smallest_exits(hits, len(validation_labels)))
    return Inference(
        confidence=evaluate_thresholds(compute_confidence(probabilities), right, CONFIDENCES),
        certainty=evaluate_thresholds(compute_certainty(probabilities), right, CERTAINTIES),
        ensembles=evaluate_ensembles(probabilities, labels),
        # of the mean logits, as the authors of local critic training ensemble
        logit_ensembles=evaluate_ensembles(logits, labels),
        budgeted=budgets,
        smallest=smallest_exit,
    )
