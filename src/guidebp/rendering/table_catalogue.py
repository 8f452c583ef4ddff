"""The tables of a study, by file name: captions. Importable without matplotlib."""

from collections.abc import Mapping

from guidebp.rendering.placements import CatalogueEntry
from guidebp.schema.published import PaperTable

PAPER_TABLE_PREFIX = "paper_"  # the names of the papers' own tables begin with it

# captions of tables are printed above them
TABLE_ENTRIES = {
    "claims": CatalogueEntry(
        "The claims with their verdicts. Effect and interval: the paired difference with the lowest interval, "
        "which the verdict follows. `n`: pairs of runs. The rules are in config/claims.yaml.",
        per="study",
    ),
    "accuracy": CatalogueEntry(
        "Test accuracy in percent: mean ± standard deviation over the finished runs. `runs`: number of finished "
        "runs. Bold: the method with the highest mean of its architecture and column, if its paired differences to "
        "all others are significant (t tests at equal seed, Holm's correction, p < 0.05; a failed run counts as "
        "chance accuracy). Without bold, no method is shown to be the best."
    ),
    "exits": CatalogueEntry(
        "Every exit: parameters and operations (millions) of the network cut off there, test accuracy and "
        "expected calibration error in percent, mean ± standard deviation over the finished runs. `passes`: "
        "backward passes per step. `2 x parameters`: what the papers on local critics print as FLOPs. Bold: the "
        "best accuracy among the methods with the same exit, if the tests confirm it (as in the table of "
        "accuracies).",
        per="exits",
    ),
    "inference": CatalogueEntry(
        "Ways of using several exits: test accuracy in percent and, in brackets, mean operations in percent of "
        "the last exit's. An image leaves at a confidence above 0.9 or 0.95, or the probabilities of all exits or "
        "of all but the last are averaged, or the smallest sub-model within one point of the whole network on "
        "validation images is used.",
        per="exits",
    ),
    "comparisons": CatalogueEntry(
        "Paired differences in points of test accuracy at equal seed, 95 % t intervals, p of the t test "
        "before and after Holm's correction (within each architecture, reference and measure) and of Wilcoxon's "
        "signed-rank test (from 6 pairs). Effect size: difference / standard deviation. Detectable: the true "
        "difference that a test of this size finds with a power of 0.8. `n`: pairs. `failed`: runs of the "
        "method / the reference that count as chance accuracy. `finished pairs`: the difference without these "
        "and the number of pairs, where it differs."
    ),
    "ranks": CatalogueEntry(
        "Methods ranked on every dataset of the section by the mean test accuracy of the primary output, 1 for "
        "the best. Mean ranks that differ by more than the critical difference differ at 0.05 (Nemenyi). p: "
        "Friedman's test with Iman and Davenport's correction. Descriptive; empty below five datasets.",
        per="across",
    ),
    "rank-pairs": CatalogueEntry(
        "Pairs of the ranked methods: difference of mean ranks, Nemenyi's p, Wilcoxon's signed-rank test over "
        "the datasets before and after Holm's correction. Descriptive; empty below five datasets.",
        per="across",
    ),
}


def list_table_entries(published: Mapping[str, PaperTable]) -> dict[str, CatalogueEntry]:
    """Return the entries of all tables: those of the results and the papers' own."""
    papers = {
        PAPER_TABLE_PREFIX + name: CatalogueEntry(table.caption, per="study")
        for name, table in published.items()
    }
    return TABLE_ENTRIES | papers
