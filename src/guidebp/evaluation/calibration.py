"""Calibration: the distance between the confidence of an output and its accuracy."""

import torch
from torch import Tensor

from guidebp.runs.result import Calibration

BINS = 15  # equal widths, as in Guo et al., "On calibration of modern neural networks" (2017)


def compute_calibration(probabilities: Tensor, labels: Tensor) -> Calibration:
    """Return images, correct predictions and sum of confidences per output and bin of confidence.

    The input is probabilities [K, N, classes] and labels [N]. Bin b holds
    confidences in (b / BINS, (b + 1) / BINS].
    """
    confidences, predicted = probabilities.double().max(dim=2)
    bins = (confidences * BINS).ceil().long().clamp(1, BINS) - 1
    right = (predicted == labels).double()

    def per_bin(values: Tensor) -> Tensor:
        return torch.zeros(len(bins), BINS, dtype=torch.float64).scatter_add_(1, bins, values)

    return Calibration(
        images=per_bin(torch.ones_like(right)).long().tolist(),
        correct=per_bin(right).long().tolist(),
        confidence=[[float(f"{value:.6g}") for value in row] for row in per_bin(confidences).tolist()],
    )
