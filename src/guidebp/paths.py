"""Where everything of a study lies, relative to the project's folder: the one place that spells paths."""

from dataclasses import dataclass
from pathlib import Path

RAW = Path("data/raw")
PREPARED = Path("data/prepared")
RUNS = Path("results/runs")
NOTEBOOKS = Path("notebooks")

FETCHED = "fetched.json"  # beside a dataset's raw files: what was fetched, by sha256

FIGURE_KINDS = ("pdf", "svg", "png", "csv", "provenance.json")
# Names of the files in `Layout` that `collect` and `analyse` write for those who come after.
COLLECTED = ("about", "metrics", "history", "inference", "calibration", "cosines", "telemetry", "lock")
ANALYSED = ("comparisons", "ranks", "rank_pairs", "claims", "verdicts")
TABLE_KINDS = ("md", "tex", "csv")


@dataclass(frozen=True)
class Layout:
    """Paths below results/<study>/."""

    study: str

    @property
    def folder(self) -> Path:
        """The study's own folder."""
        return Path("results") / self.study

    def pack(self, pack_id: str) -> Path:
        """The index of a pack: the runs it stands for and the checksums of their records."""
        return self.folder / "packs" / f"{pack_id}.json"

    def pack_log(self, pack_id: str) -> Path:
        """What the training of a pack printed."""
        return Path("results/logs/train") / self.study / f"{pack_id}.log"

    def log(self, rule: str) -> Path:
        """What the rule's job printed."""
        return Path("results/logs") / rule / f"{self.study}.log"

    @property
    def about(self) -> Path:
        """Titles and order of everything in the study: what rendering knows of the configuration."""
        return self.folder / "study.json"

    @property
    def metrics(self) -> Path:
        """One row per run and output."""
        return self.folder / "metrics.csv"

    @property
    def history(self) -> Path:
        """One row per run, epoch, output and quantity."""
        return self.folder / "history.parquet"

    @property
    def inference(self) -> Path:
        """One row per run with several exits and way of using them."""
        return self.folder / "inference.parquet"

    @property
    def calibration(self) -> Path:
        """One row per run, output and bin of confidence."""
        return self.folder / "calibration.parquet"

    @property
    def cosines(self) -> Path:
        """One row per run and pair of pathways that share parameters."""
        return self.folder / "cosines.parquet"

    @property
    def telemetry(self) -> Path:
        """One line of JSON per run: time, memory, machine, versions."""
        return self.folder / "telemetry.jsonl"

    @property
    def records(self) -> Path:
        """The folder of the archives: all records of the study and, unless it tunes, all predictions."""
        return self.folder / "records"

    def archive(self, dataset: str, architecture: str) -> Path:
        """Those of one dataset and network: what is trained later leaves the others' bytes as they are."""
        return self.records / f"{dataset}_{architecture}.tar.xz"

    @property
    def comparisons(self) -> Path:
        """One row per paired comparison."""
        return self.folder / "comparisons.csv"

    @property
    def ranks(self) -> Path:
        """One row per part and method that all of at least five datasets have."""
        return self.folder / "ranks.csv"

    @property
    def rank_pairs(self) -> Path:
        """One row per pair of ranked methods."""
        return self.folder / "rank-pairs.csv"

    @property
    def lock(self) -> Path:
        """Under which rules of the claims the runs were trained."""
        return self.folder / "claims.lock.json"

    @property
    def verdicts(self) -> Path:
        """Every claim with its verdict."""
        return self.folder / "claims.json"

    @property
    def claims(self) -> Path:
        """One row per paired difference that a claim looks at."""
        return self.folder / "claims.csv"

    @property
    def rates(self) -> Path:
        """Of a tuning study: one row per dataset, network, method and learning rate."""
        return self.folder / "rates.csv"

    @property
    def effects(self) -> Path:
        """The claims' differences as nested JSON, for `dvc metrics`."""
        return self.folder / "effects.json"

    def means(self, method: str) -> Path:
        """A method's mean accuracies as nested JSON, for `dvc metrics`."""
        return self.folder / "means" / f"{method}.json"

    @property
    def accuracies(self) -> Path:
        """Mean accuracy of every method on every network, for `dvc plots`."""
        return self.folder / "plots" / "accuracy.csv"

    def curve(self, dataset: str, architecture: str) -> Path:
        """Mean validation accuracy per epoch and method, for `dvc plots`."""
        return self.folder / "plots" / f"{dataset}_{architecture}.csv"

    def figure(self, name: str, dataset: str, part: str, kind: str) -> Path:
        """One file of a figure; `part` is empty for what is not of a part, or where a study has one only."""
        return self.folder / "figures" / f"{'_'.join(filter(None, (name, dataset, part)))}.{kind}"

    @property
    def collected_sums(self) -> Path:
        """Checksums of what `collect` writes."""
        return self.folder / "collected.sha256"

    @property
    def analysed_sums(self) -> Path:
        """Checksums of what `analyse` writes, but for what DVC shows."""
        return self.folder / "analysed.sha256"

    @property
    def rendered_sums(self) -> Path:
        """Checksums of all figures, their data and the tables: in git, as the figures are not."""
        return self.folder / "rendered.sha256"

    def table(self, name: str, dataset: str, part: str, kind: str) -> Path:
        """One file of a table."""
        return self.folder / "tables" / f"{'_'.join(filter(None, (name, dataset, part)))}.{kind}"

    @property
    def report(self) -> Path:
        """The self-contained page."""
        return self.folder / "report.html"

    def notebook(self, name: str) -> Path:
        """A notebook executed on the study, as one page."""
        return self.folder / "notebooks" / f"{name}.html"
