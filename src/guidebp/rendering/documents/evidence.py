"""The results in a study's tables, as text for documents."""

import json
from collections.abc import Hashable, Mapping, Sequence
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from guidebp.analysis.claims import CONTEXT, DECIDES
from guidebp.analysis.results import MERGED
from guidebp.analysis.statistics import LEVEL
from guidebp.errors import UserError
from guidebp.files import check_checksums
from guidebp.paths import StudyPaths
from guidebp.rendering.tables.claims import LOWEST_COLUMN, format_lowest, tabulate_claims
from guidebp.rendering.tables.files import BEST_COLUMN, format_markdown
from guidebp.rendering.tables.text import format_signed
from guidebp.schema.claims import SETTING_TITLES

# The columns that name a comparison, whatever its seeds.
COMPARED = ["dataset", "architecture", "baseline", "measure", "method"]


@dataclass(frozen=True)
class Evidence:
    """Verdicts and tables of one analysed study."""

    name: str
    verdicts: dict[str, dict[str, Any]]  # by claim
    differences: pd.DataFrame  # claims.csv
    comparisons: pd.DataFrame
    metrics: pd.DataFrame
    conflicts: pd.DataFrame  # the data of the figures of conflicting gradients, with their dataset

    @classmethod
    def read(cls, root: Path, study: str) -> "Evidence":
        """Read results/STUDY below `root`. UserError when its tables are absent or changed since the analysis.

        Figures may be absent, as most studies commit none.
        """
        layout = StudyPaths(study)
        paths = [layout.verdicts, layout.claims, layout.comparisons, layout.metrics]
        for path in paths:
            if not (root / path).exists():
                raise UserError(
                    f"{path}: documents need it; run: git checkout {layout.folder}, or guidebp restore "
                    f"--study {study}"
                )
        with chdir(root):  # checksums are of paths below the project's folder
            check_checksums(layout.analysed_checksums, paths[:3], f"guidebp restore --study {study}")
            drawn = sorted(layout.folder.glob("figures/conflict_*.csv"))
            check_checksums(layout.rendered_checksums, drawn, f"guidebp restore --study {study}")
        verdicts = json.loads((root / paths[0]).read_text())
        differences, comparisons, metrics = (pd.read_csv(root / path) for path in paths[1:])
        shown = [pd.read_csv(root / path).assign(dataset=path.stem.split("_")[1]) for path in drawn]
        conflicts = pd.concat(shown, ignore_index=True) if shown else pd.DataFrame()
        return cls(
            study, {claim["name"]: claim for claim in verdicts}, differences, comparisons, metrics, conflicts
        )

    @property
    def runs(self) -> str:
        """The number of trained runs behind the study's results."""
        return f"{self.metrics.loc[self.metrics['status'] != 'missing', 'key'].nunique():,}"

    def table(self) -> str:
        """Every claim with its verdict, rule and lowest comparison; nothing exploratory."""
        table = tabulate_claims(list(self.verdicts.values()))
        return format_markdown_rows(table[table["setting"] != SETTING_TITLES["exploratory"]])

    def decided(self, name: str) -> dict[str, Any]:
        """The verdict of a claim in the setting that decides it; UserError when none does."""
        claim = self.verdicts.get(name)
        if claim is None or claim["decided"] is None:
            raise UserError(
                f"claim '{name}': not decided by this study; a document cannot speak of its result"
            )
        verdict: dict[str, Any] = claim["settings"][claim["decided"]]
        return verdict

    def lowest(self, name: str) -> str:
        """The comparison with the lowest interval, which a claim's verdict follows."""
        verdict = self.decided(name)
        cells = format_lowest(self.verdicts[name], verdict)
        return f"{cells['effect']} ({cells['95 % interval']}, n = {cells['n']}; {cells[LOWEST_COLUMN]})"

    def cells(self, name: str) -> str:
        """Datasets and architectures of a claim with every difference that decides there."""
        outcomes = {
            (cell["dataset"], cell["architecture"]): cell["outcome"] for cell in self.decided(name)["cells"]
        }
        unit = " %" if self.verdicts[name]["unit"] == "percent" else ""
        rows = self._select_differences(name)
        rows = rows[rows["role"] == DECIDES]
        several = rows["output"].nunique() > 1
        lines: dict[tuple[str, str], dict[str, str]] = {}
        for row in rows.to_dict("records"):
            cell = row["dataset"], row["architecture"]
            line = lines.setdefault(
                cell, {"dataset": cell[0], "architecture": cell[1], "outcome": outcomes[cell]}
            )
            sides = f"{row['candidate']} - {row['baseline']}"
            named = several or row["candidate"] == row["baseline"]
            difference = _format_interval(row) + unit if pd.notna(row["difference"]) else "-"
            line[f"{sides}, {row['output']}" if named else sides] = difference
        return format_markdown_rows(pd.DataFrame(lines.values()).fillna("-"))

    def readings(self, name: str) -> str:
        """Every reading of a claim with its lowest interval on each dataset, in the setting that decides."""
        rows = self._select_differences(name)
        rows = rows[rows["role"] != CONTEXT]
        several = rows["baseline"].nunique() > 1
        lines: dict[str, dict[str, str]] = {}
        for (candidate, dataset), differences in rows.groupby(["candidate", "dataset"], sort=False):
            lowest = differences.iloc[int(differences["low"].argmin())]
            line = lines.setdefault(str(candidate), {"reading": str(candidate)})
            line[str(dataset)] = _format_interval(lowest) + f" against {lowest['baseline']}" * several
        return format_markdown_rows(pd.DataFrame(lines.values()).fillna("-"))

    def against(self, baseline: str, architecture: str, measure: str = MERGED) -> str:
        """Every method on a architecture against a baseline: differences by dataset, bold after Holm."""
        shown: dict[str, dict[str, str]] = {}
        for row in self.comparisons.to_dict("records"):
            if (row["baseline"], row["architecture"], row["measure"]) == (baseline, architecture, measure):
                cells = shown.setdefault(row["method"], {"method": row["method"], BEST_COLUMN: ""})
                cells[row["dataset"]] = _format_interval(row)
                if row["p_holm"] < LEVEL:
                    cells[BEST_COLUMN] += f"; {row['dataset']}"
        if not shown:
            raise UserError(f"no method was compared with '{baseline}' on '{architecture}' in '{measure}'")
        return format_markdown_rows(pd.DataFrame(shown.values()).fillna("-"))

    def agreement(self, other: "Evidence", baseline: str, measure: str) -> str:
        """Agreement of the differences from a baseline with those of another study of the same architectures."""
        mine, theirs = (
            rows[(rows["baseline"] == baseline) & (rows["measure"] == measure)].dropna(subset=["low", "high"])
            for rows in (self.comparisons, other.comparisons)
        )
        both = mine.merge(theirs, on=COMPARED, suffixes=("", "_again"))
        if len(both) < 3:
            raise UserError(f"the studies share {len(both)} differences from '{baseline}' in '{measure}'")
        apart = (both["low"] > both["high_again"]) | (both["low_again"] > both["high"])
        clear, clear_again = both["p_holm"] < LEVEL, both["p_holm_again"] < LEVEL
        same = np.sign(both["difference"]) == np.sign(both["difference_again"])
        correlation = both["difference"].corr(both["difference_again"])
        return (
            f"of {len(both)} differences from `{baseline}` ({measure}), {int(same.sum())} have the same sign and "
            f"{int((~apart).sum())} overlapping intervals, correlation {correlation:.2f}; {int(clear.sum())} are "
            f"significant in `{self.name}`, {int(clear_again.sum())} in `{other.name}`, "
            f"{int((clear & clear_again & same).sum())} in both with one sign, "
            f"{int((clear & clear_again & ~same).sum())} in both with opposite signs"
        )

    def accuracy(self, dataset: str, architecture: str, method: str, output: str) -> str:
        """Mean accuracy of an output over the finished runs, in percent."""
        return f"{self._accuracies(dataset, architecture, method)[output]:.2f}"

    def strongest(self, dataset: str, architecture: str, method: str) -> str:
        """The same of the pathway that is best alone."""
        pathways = self.metrics.loc[self.metrics["pathway"] >= 1, "output"].unique()
        return f"{self._accuracies(dataset, architecture, method).reindex(pathways).max():.2f}"

    def accuracies(self, dataset: str, architecture: str, methods: Sequence[str]) -> str:
        """The same of all outputs of several methods."""
        rows = [
            {"method": name} | self._accuracies(dataset, architecture, name).to_dict() for name in methods
        ]
        shown = pd.DataFrame(rows).map(lambda value: value if isinstance(value, str) else f"{value:.2f}")
        return format_markdown_rows(shown.replace("nan", "-"))

    def conflicting(self, architecture: str, methods: Sequence[str]) -> str:
        """Share of the steps in which gradients conflicted, in percent, by method and dataset."""
        rows = self.conflicts
        if not rows.empty:
            rows = rows[(rows["architecture"] == architecture) & (rows["quantity"] == "conflict")]
        lacking = sorted(set(methods) - set(rows.get("method", [])))
        if lacking:
            raise UserError(
                f"no figure shows how often gradients conflict on '{architecture}' under {lacking}"
            )
        shares = rows.pivot(index="method", columns="dataset", values="value").reindex(list(methods))
        shares = shares[[name for name in self.metrics["dataset"].unique() if name in shares]]
        return format_markdown_rows(shares.map(lambda share: f"{100 * share:.1f}").reset_index())

    def _select_differences(self, name: str) -> pd.DataFrame:
        """A claim's rows of claims.csv in the setting that decides it."""
        own = self.differences["claim"] == name
        decided = self.differences["setting"] == self.verdicts[name]["decided"]
        rows: pd.DataFrame = self.differences[own & decided]
        return rows

    def _accuracies(self, dataset: str, architecture: str, method: str) -> "pd.Series[float]":
        rows = self.metrics
        where = {"dataset": dataset, "architecture": architecture, "method": method, "status": "finished"}
        for column, value in where.items():
            rows = rows[rows[column] == value]
        if rows.empty:
            raise UserError(f"no finished runs of {dataset}/{architecture}/{method}")
        return rows.groupby("output", sort=False)["accuracy"].mean()


def _format_interval(row: "Mapping[Hashable, Any] | pd.Series[Any]") -> str:
    """A paired difference and its 95 % interval."""
    return f"{format_signed(row['difference'])} ({format_signed(row['low'])} to {format_signed(row['high'])})"


def format_markdown_rows(table: pd.DataFrame) -> str:
    """A Markdown table without a caption."""
    return format_markdown(table, "").decode().strip()
