"""What one run yields: numbers that follow from spec, data and numerics alone. Only the standard library."""

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
        alone: of the pathway by itself, as a sub-model.
        together: of this and all earlier pathways, each module counted once.
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
        conflict: share of the compared steps with a negative inner product; None likewise.
        validation_correct: [K + 2] per epoch, correct validation predictions per output; empty without images.
    """

    loss: list[float] = field(default_factory=list)
    gradient_share: list[list[float]] = field(default_factory=list)
    cosine: list[float | None] = field(default_factory=list)
    conflict: list[float | None] = field(default_factory=list)
    validation_correct: list[list[int]] = field(default_factory=list)


@dataclass(frozen=True)
class Calibration:
    """Per output and bin of confidence: images, correct predictions, sum of confidences."""

    images: list[list[int]]
    correct: list[list[int]]
    confidence: list[list[float]]


@dataclass(frozen=True)
class EarlyExit:
    """Per level (a threshold or a budget): correct predictions, and images that leave at each exit."""

    level: list[float]
    correct: list[int]
    leave: list[list[int]]


@dataclass(frozen=True)
class SmallestExit:
    """For so many points: the first exit (from 0) within that distance of the last one on validation images."""

    points: list[float]
    exit: list[int]


@dataclass(frozen=True)
class Inference:
    """Ways of using several exits, as counts of test images; None where a way needs validation images.

    Attributes:
        ensembles: correct predictions of the mean probabilities of exits 1 to k, for each k.
        logit_ensembles: the same of the mean logits.
    """

    confidence: EarlyExit
    certainty: EarlyExit
    ensembles: list[int]
    logit_ensembles: list[int]
    budgeted: EarlyExit | None = None
    smallest: SmallestExit | None = None


@dataclass(frozen=True)
class RunResult:
    """The result of one run. A crashed run has a status alone; a diverged one has no test measurements.

    Attributes:
        outputs: names of the K pathways, then "merged" and "softmax average".
        pathways: K.
        primary: the output that speaks for the network.
        parameters: trained parameters, of the method's own modules too.
        trained: per pathway whether everything that its logits depend on is trained.
        backward_passes: mean number per step.
        cosines: [K, K] mean cosines of the pathways' gradients in the last epoch.
        test_correct: correct test predictions per output.
        diverged_in_epoch: from 0.
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
