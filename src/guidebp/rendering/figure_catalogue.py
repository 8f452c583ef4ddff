"""The figures of a study, by file name: captions and which results they read. Importable without matplotlib."""

from guidebp.rendering.placements import CatalogueEntry

# captions of figures are printed below them
FIGURE_ENTRIES = {
    "claims": CatalogueEntry(
        "The claims and their rules. Points: paired differences at equal seed with 95 % t intervals, on each "
        "dataset and architecture. Where several outputs must all hold, the one with the lowest interval is shown. "
        "A claim needs every blue interval outside the grey area and, for superiority, every point at or beyond "
        "the dotted line. Grey points are context. They do not affect the verdict. Intervals of few seeds may "
        "exceed the picture; the numbers are on the right.",
        per="study",
        reads=("claims", "verdicts"),
    ),
    "samples": CatalogueEntry(
        "The first training images of every class, and the number of images per class, without copies that the "
        "dataset's entry drops.",
        per="dataset",
    ),
    "accuracy": CatalogueEntry(
        "Test accuracy of every trained pathway alone (left) and merged without labels (right). Small marks are "
        "seeds, large marks their mean, bars its 95 % t interval. Dotted lines: the baseline, `independent` or "
        "`deep-supervision`.",
        reads=("metrics",),
    ),
    "differences": CatalogueEntry(
        "Paired difference in test accuracy at equal seed, with 95 % t intervals: each method minus "
        "each reference, for the primary output (the merged one, or the last exit) and for the mean of "
        "the pathways alone.",
        reads=("metrics", "comparisons"),
    ),
    "curves": CatalogueEntry(
        "Validation accuracy over epochs, mean and range over seeds; primary output (top) and mean "
        "of the pathways alone (bottom) of each architecture. Dashed, in every column: the baseline, "
        "`independent` or `deep-supervision`.",
        reads=("metrics", "history"),
    ),
    "gradient-share": CatalogueEntry(
        "Share of the loss gradient at the logits that each pathway receives, per epoch, mean over seeds, "
        "stacked from the first pathway at the bottom. Dashes: equal shares.",
        reads=("history",),
    ),
    "exits": CatalogueEntry(
        "Test accuracy of every exit against the operations of the network cut off there (multiply-adds "
        "and activations for one image), mean over seeds.",
        per="exits",
        reads=("metrics", "inference"),
    ),
    "early-exit": CatalogueEntry(
        "Progressive inference: test accuracy against the mean operations per image when an image leaves "
        "at the first exit whose largest probability exceeds one threshold (left), or a threshold per "
        "exit chosen on validation images for a budget (right). Large marks: every image runs to the last "
        "exit.",
        per="exits",
        reads=("metrics", "inference"),
    ),
    "conflict": CatalogueEntry(
        "Conflict of the exits' gradients in the parameters they share. Left: mean cosine of all pairs per epoch. "
        "Right: share of measured steps, over the whole training, in which some pair has a negative inner "
        "product. Means over seeds. Gradient rules measure the gradients of their own losses in every step, "
        "before they change them. For other methods, the gradients of each exit's cross-entropy are measured on "
        "one batch after each epoch.",
        per="trunk",
        reads=("metrics", "history", "inference"),
    ),
    "cosines": CatalogueEntry(
        "Cosine between the gradients of two exits in the parameters they share, mean over the last epoch and "
        "over seeds. Below 0 the gradients conflict. Columns have the order of the rows.",
        per="trunk",
        reads=("metrics", "inference", "cosines"),
    ),
    "calibration": CatalogueEntry(
        "Reliability of the primary output: test accuracy against mean confidence in 15 bins, all seeds pooled, "
        "for bins with at least ten images. On the diagonal, confidence equals accuracy. Below it, the network is "
        "overconfident. Dashed, in every column: the baseline, `independent` or `deep-supervision`.",
        reads=("metrics", "calibration"),
    ),
    "cost": CatalogueEntry(
        "Cost of a training step: time, backward passes through the network and, on GPUs, peak memory. Small "
        "marks are seeds, large marks their mean. Times depend on the machine that trained. Dotted lines: the "
        "baseline, `independent` or `deep-supervision`.",
        reads=("metrics", "telemetry"),
    ),
    "critical-difference": CatalogueEntry(
        "Mean rank of each method over the datasets (1 is best), by the primary output's test accuracy. "
        "Bars join methods whose mean ranks differ by less than Nemenyi's critical difference (CD, at 0.05). "
        "p: Friedman's test with Iman and Davenport's correction. Descriptive: it decides no claim.",
        per="across",
        reads=("metrics", "ranks"),
    ),
}

# figures of a study that tunes learning rates
TUNING_FIGURE_ENTRIES = {
    "rates": CatalogueEntry(
        "Validation accuracy of the primary output after the last epoch against the learning rate, mean over "
        "seeds. Rings: the chosen rates. Dashed, in every column: the baseline.",
        reads=("metrics", "history"),
    )
}
