"""Which figures and tables a study has, by file name; importable without matplotlib."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

from guidebp.schema.published import PaperTable


class Shown(NamedTuple):
    """A caption, what there is one of, and which files of `Layout` a figure's numbers come from.

    One per dataset; per dataset and part, or part with `exits` or `trunk` (`resolve.Part`); per part, across its
    datasets; or per study.
    """

    caption: str
    per: Literal["dataset", "part", "exits", "trunk", "across", "study"] = "part"
    reads: tuple[str, ...] = ()


# captions of figures are printed below them
FIGURES = {
    "claims": Shown(
        "The claims and their rules. Points: paired differences at equal seed with 95 % t intervals, on each "
        "dataset and network; of several outputs that must all hold, the one with the lowest interval. A claim "
        "needs every blue interval outside the grey ground and, for superiority, every point at the dotted line "
        "or beyond. Grey points stand beside it and decide nothing. Intervals of few seeds run out of the "
        "picture; the numbers are on the right.",
        per="study",
        reads=("claims", "verdicts"),
    ),
    "samples": Shown(
        "The dataset: the first training images of every class, and the number of images per class, after "
        "copies have been dropped where the dataset's entry says so.",
        per="dataset",
    ),
    "accuracy": Shown(
        "Test accuracy of every trained pathway alone (left) and merged without labels (right). Small marks are "
        "seeds, large marks their mean, bars its 95 % t interval. Dotted lines carry the yardstick, "
        "`independent` or `deep-supervision`, through each panel.",
        reads=("metrics",),
    ),
    "differences": Shown(
        "Paired difference in test accuracy at equal seed, with 95 % t intervals: each method minus "
        "each reference, for the primary output (the merged one, or the last exit) and for the mean of "
        "the pathways alone.",
        reads=("metrics", "comparisons"),
    ),
    "curves": Shown(
        "Validation accuracy over epochs, mean and range over seeds; primary output (top) and mean "
        "of the pathways alone (bottom) of each network. Dashed, in every column: the yardstick, "
        "`independent` or `deep-supervision`.",
        reads=("metrics", "history"),
    ),
    "gradient-share": Shown(
        "Share of the loss gradient at the logits that each pathway receives, per epoch, mean over "
        "seeds, stacked from the first pathway at the bottom. Dashes: equal shares.",
        reads=("history",),
    ),
    "exits": Shown(
        "Test accuracy of every exit against the operations of the network cut off there (multiply-adds "
        "and activations for one image), mean over seeds.",
        per="exits",
        reads=("metrics", "inference"),
    ),
    "early-exit": Shown(
        "Progressive inference: test accuracy against the mean operations per image when an image leaves "
        "at the first exit whose largest probability exceeds one threshold (left), or a threshold per "
        "exit chosen on validation images for a budget (right). Large marks: everything runs to the last "
        "exit.",
        per="exits",
        reads=("metrics", "inference"),
    ),
    "conflict": Shown(
        "Do the exits' gradients agree in the parameters they share? Mean cosine of all pairs per epoch "
        "(left); share of the steps looked at in which some pair has a negative inner product, over the "
        "whole training (right). Means over seeds. Gradient rules look at the gradients of their "
        "own losses in every step, before they act; other methods at those of each exit's "
        "cross-entropy, on one batch after each epoch.",
        per="trunk",
        reads=("metrics", "history", "inference"),
    ),
    "cosines": Shown(
        "Cosine between the gradients that two exits send into the parameters they share, mean over the "
        "last epoch and over seeds. Below 0 they disagree. Columns in the order of the rows.",
        per="trunk",
        reads=("metrics", "inference", "cosines"),
    ),
    "calibration": Shown(
        "Reliability of the primary output: test accuracy against mean confidence in 15 bins, all "
        "seeds pooled, bins with at least ten images. On the diagonal, confidence is as large as "
        "accuracy; below it, the network is too sure. Dashed, in every column: the yardstick, "
        "`independent` or `deep-supervision`.",
        reads=("metrics", "calibration"),
    ),
    "cost": Shown(
        "What a training step costs: time, backward passes through the network and, on GPUs, peak memory. "
        "Small marks are seeds, large marks their mean. Times are those of the machine that "
        "trained; dotted lines carry the yardstick, `independent` or `deep-supervision`.",
        reads=("metrics", "telemetry"),
    ),
    "critical-difference": Shown(
        "Mean rank of each method over the datasets (1 is best), by the primary output's test accuracy. "
        "Bars join methods whose mean ranks differ by less than Nemenyi's critical difference (CD, at "
        "0.05); p is that of Friedman's test with Iman and Davenport's correction. Descriptive: it decides "
        "no claim.",
        per="across",
        reads=("metrics", "ranks"),
    ),
}

# of a study that tunes
TUNED = {
    "rates": Shown(
        "Validation accuracy of the primary output after the last epoch against the learning rate, mean over "
        "seeds; rings: the rates chosen. Dashed, in every column: the yardstick.",
        reads=("metrics", "history"),
    )
}

# captions of tables are printed above them
TABLES = {
    "claims": Shown(
        "The claims with their verdicts. Effect and interval: the paired difference with the lowest interval, on "
        "which it hangs whether all hold; `n`: pairs of runs. The rules stand in config/claims.yaml.",
        per="study",
    ),
    "accuracy": Shown(
        "Test accuracy in percent: mean ± standard deviation over the finished runs; `runs`: how many these are. "
        "Bold: the method with the highest mean of its network and column, where its paired differences to all "
        "others there are significant (t tests at equal seed, Holm's correction, p < 0.05; a failed run "
        "counts as chance accuracy). Without bold no method is shown to be the best."
    ),
    "exits": Shown(
        "Every exit: parameters and operations (millions) of the network cut off there, test accuracy and "
        "expected calibration error in percent, mean ± standard deviation over the finished runs. `passes`: "
        "backward passes per step. `2 x parameters` is what the papers on local critics print as FLOPs. Bold: "
        "the best accuracy among the methods with the same exit, where the tests say so (as in the table of "
        "accuracies).",
        per="exits",
    ),
    "inference": Shown(
        "Ways of using several exits, test accuracy in percent and, in brackets, mean operations in "
        "percent of the last exit's alone: leaving at a confidence above 0.9 or 0.95, mean probabilities of "
        "all exits and of all but the last, and the smallest sub-model within a point of the whole "
        "network on validation images.",
        per="exits",
    ),
    "comparisons": Shown(
        "Paired differences in points of test accuracy at equal seed, 95 % t intervals, p of the t test "
        "before and after Holm's correction (within each network, reference and measure) and of Wilcoxon's "
        "signed-rank test (from 6 pairs). Effect size: difference / standard deviation; detectable: the true "
        "difference that a test of this size finds with a power of 0.8. `n`: pairs; `failed`: runs of the "
        "method / the reference that count as chance accuracy; `finished pairs`: the difference without these "
        "and the number of pairs, where it differs."
    ),
    "ranks": Shown(
        "Methods ranked on every dataset of the part by the mean test accuracy of the primary output, 1 for the "
        "best. Mean ranks that lie further apart than the critical difference differ at 0.05 (Nemenyi); "
        "Friedman's test as Iman and Davenport have it. Descriptive; empty below five datasets.",
        per="across",
    ),
    "rank-pairs": Shown(
        "Pairs of the ranked methods: difference of mean ranks, Nemenyi's p, Wilcoxon's signed-rank test over "
        "the datasets before and after Holm's correction. Descriptive; empty below five datasets.",
        per="across",
    ),
}

PAPER = "paper_"  # what the names of the papers' own tables begin with


def all_tables(published: Mapping[str, PaperTable]) -> dict[str, Shown]:
    """The tables of the results and the papers' own."""
    papers = {PAPER + name: Shown(table.caption, per="study") for name, table in published.items()}
    return TABLES | papers


def places(catalogue: dict[str, Shown], parts: Iterable[dict[str, Any]]) -> Iterator[tuple[str, str, str]]:
    """(name, dataset, part) of every figure or table, given the parts as study.json has them."""
    parts = list(parts)
    datasets = dict.fromkeys(dataset for part in parts for dataset, _, _ in part["cells"])
    for dataset in datasets:
        for name, shown in catalogue.items():
            if shown.per == "dataset":
                yield name, dataset, ""
        for part in parts:
            for name, shown in catalogue.items():
                fits = shown.per in ("part", "exits", "trunk") and part.get(shown.per, True)
                if fits and any(dataset == cell[0] for cell in part["cells"]):
                    yield name, dataset, part["name"]
    for name, shown in catalogue.items():
        if shown.per == "across":
            yield from ((name, "", part["name"]) for part in parts)
        elif shown.per == "study":
            yield name, "", ""
