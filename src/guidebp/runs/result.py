"""The result of one run: numbers that depend on spec, data and numerics alone. Only the standard library."""

from dataclasses import dataclass, field
from typing import Literal

Status = Literal["finished", "diverged", "crashed"]


@dataclass(frozen=True)
class SplitSizes:
    """Number of images of each part of the split."""

    train: int
    validation: int
    test: int


@dataclass(frozen=True)
class PathwayCounts:
    """One number per pathway.

    Attributes:
        alone: the count of the pathway by itself, as a sub-model.
        together: the count of this and all earlier pathways, each module counted once.
    """

    alone: list[int] = field(default_factory=list)
    together: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class NetworkCost:
    """Parameters and operations per image of every pathway."""

    parameters: PathwayCounts = field(default_factory=PathwayCounts)
    operations: PathwayCounts = field(default_factory=PathwayCounts)


@dataclass(frozen=True)
class History:
    """A list per quantity with one entry per finished epoch.

    Attributes:
        loss: mean training loss.
        gradient_share: [K] per epoch, share of each pathway in the gradient at the logits.
        cosine: mean cosine of the pathways' gradients; None where they were not compared.
        conflict: share of the compared steps with a negative inner product; None where none was compared.
        validation_correct: [K + 2] per epoch, correct validation predictions per output.
            Empty without validation images.
    """

    loss: list[float] = field(default_factory=list)
    gradient_share: list[list[float]] = field(default_factory=list)
    cosine: list[float | None] = field(default_factory=list)
    conflict: list[float | None] = field(default_factory=list)
    validation_correct: list[list[int]] = field(default_factory=list)


@dataclass(frozen=True)
class Calibration:
    """Counts of images and correct predictions, and sum of confidences, per output and bin of confidence."""

    images: list[list[int]]
    correct: list[list[int]]
    confidence: list[list[float]]


@dataclass(frozen=True)
class EarlyExit:
    """Correct predictions, and images that leave at each exit, per level (a threshold or a budget)."""

    level: list[float]
    correct: list[int]
    leave: list[list[int]]


@dataclass(frozen=True)
class SmallestExit:
    """The first exit (from 0) whose validation accuracy is within `points` percentage points of the last one's."""

    points: list[float]
    exit: list[int]


@dataclass(frozen=True)
class Inference:
    """Ways of using several exits, as counts of test images; None where a way needs validation images.

    Attributes:
        ensembles: correct predictions of the mean probabilities of exits 1 to k, for each k.
        logit_ensembles: correct predictions of the mean logits of exits 1 to k, for each k.
    """

    confidence: EarlyExit
    certainty: EarlyExit
    ensembles: list[int]
    logit_ensembles: list[int]
    budgeted: EarlyExit | None = None
    smallest: SmallestExit | None = None


@dataclass(frozen=True)
class RunResult:
    """The result of one run. A crashed run has only a status; a diverged run has no test measurements.

    Attributes:
        outputs: names of the K pathways, then "merged" and "softmax average".
        pathways: their number K.
        primary: name of the output whose accuracy counts as the network's.
        parameters: number of trained parameters, those of the method's own modules included.
        trained: per pathway whether everything that its logits depend on is trained.
        backward_passes: mean number of backward passes per step.
        cosines: [K, K] mean cosines of the pathways' gradients in the last epoch.
        test_correct: correct test predictions per output.
        diverged_in_epoch: number of the epoch, from 0, in which the loss was no longer finite.
    """

    status: Status
    outputs: list[str] = field(default_factory=list)
    pathways: int = 0
    primary: str = ""
    sizes: SplitSizes | None = None
    parameters: int = 0
    trained: list[bool] = field(default_factory=list)
    backward_passes: float = 0.0
    cost: NetworkCost = field(default_factory=NetworkCost)
    history: History = field(default_factory=History)
    cosines: list[list[float]] | None = None
    test_correct: list[int] | None = None
    calibration: Calibration | None = None
    inference: Inference | None = None
    diverged_in_epoch: int | None = None
