"""Paths of everything that a study reads and writes, relative to the project's folder."""

from dataclasses import dataclass
from pathlib import Path

RAW = Path("data/raw")
PREPARED = Path("data/prepared")
RUNS = Path("results/runs")
EXPECTED = Path("results/expected")
NOTEBOOKS = Path("notebooks")

FETCH_RECORD = "fetched.json"  # beside a dataset's raw files: their sha256

FIGURE_KINDS = ("pdf", "svg", "png", "csv", "provenance.json")
# Properties of `StudyPaths` whose files `collect` and `analyse` write for later steps.
COLLECTED_FILES = ("about", "metrics", "history", "inference", "calibration", "cosines", "telemetry", "lock")
ANALYSED_FILES = ("comparisons", "ranks", "rank_pairs", "claims", "verdicts")
TABLE_KINDS = ("md", "tex", "csv")


@dataclass(frozen=True)
class StudyPaths:
    """Paths of one study's files, most of them below results/<study>/."""

    study: str

    @property
    def folder(self) -> Path:
        """Folder of the study."""
        return Path("results") / self.study

    def pack(self, pack_id: str) -> Path:
        """Index of a pack: its runs and the checksums of their records."""
        return self.folder / "packs" / f"{pack_id}.json"

    def pack_log(self, pack_id: str) -> Path:
        """Output of a pack's training."""
        return Path("results/logs/train") / self.study / f"{pack_id}.log"

    def log(self, rule: str) -> Path:
        """Output of a rule's job."""
        return Path("results/logs") / rule / f"{self.study}.log"

    @property
    def expected(self) -> Path:
        """The expected results of the study; git tracks them. Few studies have such a table."""
        return EXPECTED / f"{self.study}.csv"

    @property
    def about(self) -> Path:
        """Titles and order of everything in the study, for rendering."""
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
        """Folder of the archives: all records of the study and, unless it tunes, all predictions."""
        return self.folder / "records"

    def archive(self, dataset: str, architecture: str) -> Path:
        """Archive of one dataset and architecture. Later runs of others leave its bytes unchanged."""
        return self.records / f"{dataset}_{architecture}.tar.xz"

    @property
    def comparisons(self) -> Path:
        """One row per paired comparison."""
        return self.folder / "comparisons.csv"

    @property
    def ranks(self) -> Path:
        """One row per section and method that all of at least five datasets have."""
        return self.folder / "ranks.csv"

    @property
    def rank_pairs(self) -> Path:
        """One row per pair of ranked methods."""
        return self.folder / "rank-pairs.csv"

    @property
    def lock(self) -> Path:
        """Rules of the claims under which the runs were trained."""
        return self.folder / "claims.lock.json"

    @property
    def verdicts(self) -> Path:
        """Claims with their verdicts."""
        return self.folder / "claims.json"

    @property
    def claims(self) -> Path:
        """One row per paired difference that a claim uses."""
        return self.folder / "claims.csv"

    @property
    def rates(self) -> Path:
        """One row per dataset, architecture, method and learning rate of a tuning study."""
        return self.folder / "rates.csv"

    @property
    def effects(self) -> Path:
        """Differences of the claims as nested JSON, for `dvc metrics`."""
        return self.folder / "effects.json"

    def means(self, method: str) -> Path:
        """Mean accuracies of a method as nested JSON, for `dvc metrics`."""
        return self.folder / "means" / f"{method}.json"

    @property
    def accuracies(self) -> Path:
        """Mean accuracy of every method on every architecture, for `dvc plots`."""
        return self.folder / "plots" / "accuracy.csv"

    def curve(self, dataset: str, architecture: str) -> Path:
        """Mean validation accuracy per epoch and method, for `dvc plots`."""
        return self.folder / "plots" / f"{dataset}_{architecture}.csv"

    def figure(self, name: str, dataset: str, section: str, kind: str) -> Path:
        """One file of a figure; `section` is empty for figures outside sections and in studies with one section."""
        return self.folder / "figures" / f"{'_'.join(filter(None, (name, dataset, section)))}.{kind}"

    @property
    def collected_checksums(self) -> Path:
        """Checksums of the files that `collect` writes."""
        return self.folder / "collected.sha256"

    @property
    def analysed_checksums(self) -> Path:
        """Checksums of the files that `analyse` writes, except those for DVC."""
        return self.folder / "analysed.sha256"

    @property
    def rendered_checksums(self) -> Path:
        """Checksums of all figures, their data and the tables."""
        return self.folder / "rendered.sha256"

    def table(self, name: str, dataset: str, section: str, kind: str) -> Path:
        """One file of a table."""
        return self.folder / "tables" / f"{'_'.join(filter(None, (name, dataset, section)))}.{kind}"

    @property
    def report(self) -> Path:
        """The report, a self-contained page."""
        return self.folder / "report.html"

    def notebook(self, name: str) -> Path:
        """A notebook that was executed on the study, as one page."""
        return self.folder / "notebooks" / f"{name}.html"
