"""Which figures and tables a study has, by file name; importable without matplotlib."""

# name: caption, printed below the figure
FIGURES = {
    "accuracy": (
        "Test accuracy of every pathway alone (left) and merged without labels (right). Small marks are "
        "repetitions, large marks their mean, bars its 95 % t interval. Dotted lines carry `independent`, the "
        "yardstick of the guided merges, through each panel."
    ),
    "differences": (
        "Paired difference in test accuracy at equal repetition, with 95 % t intervals: each method minus "
        "`average` and minus `independent`, for the merged output and for the mean of the pathways alone."
    ),
    "curves": (
        "Validation accuracy over epochs, mean and range over repetitions; merged output (top) and mean of the "
        "pathways alone (bottom) of each network."
    ),
    "gradient-share": (
        "Share of the loss gradient at the logits that each pathway receives, per epoch, mean over repetitions."
    ),
    "samples": (
        "The dataset: the first training images of every class, and the number of images per class, after copies "
        "have been dropped where the dataset's entry says so."
    ),
}

# name: caption, printed above the table
TABLES = {
    "accuracy": "Test accuracy in percent: mean ± standard deviation over the finished repetitions.",
    "comparisons": (
        "Paired differences in points of test accuracy, 95 % t intervals, p values corrected by Holm's "
        "method within each network, reference and output."
    ),
}
