"""What a study's committed tables say, as text for documents."""

import json
from collections.abc import Hashable, Mapping, Sequence
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from guidebp.analysis.results import MERGED
from guidebp.analysis.statistics import LEVEL
from guidebp.errors import UserError
from guidebp.files import check_checksums
from guidebp.paths import StudyPaths
from guidebp.rendering.tables.claims import claims_table, numbers
from guidebp.rendering.tables.files import BEST_COLUMN, format_markdown
from guidebp.rendering.tables.text import format_signed

# What a comparison is between, whichever seeds it rests on.
COMPARED = ["dataset", "architecture", "reference", "measure", "method"]


@dataclass(frozen=True)
class Evidence:
    """Verdicts and tables of one analysed study."""

    name: str
    verdicts: dict[str, dict[str, Any]]  # by claim
    parts: pd.DataFrame  # claims.csv
    comparisons: pd.DataFrame
    metrics: pd.DataFrame
    conflicts: pd.DataFrame  # what the figures of conflicting gradients show, with their dataset

    @classmethod
    def read(cls, root: Path, study: str) -> "Evidence":
        """Of results/STUDY below `root`. UserError when its tables are absent or not as the analysis wrote them.

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
        parts, comparisons, metrics = (pd.read_csv(root / path) for path in paths[1:])
        shown = [pd.read_csv(root / path).assign(dataset=path.stem.split("_")[1]) for path in drawn]
        conflicts = pd.concat(shown, ignore_index=True) if shown else pd.DataFrame()
        return cls(
            study, {claim["name"]: claim for claim in verdicts}, parts, comparisons, metrics, conflicts
        )

    @property
    def runs(self) -> str:
        """How many trained runs stand behind all of it."""
        return f"{self.metrics.loc[self.metrics['status'] != 'missing', 'key'].nunique():,}"

    def table(self) -> str:
        """Every claim: verdict, the difference on which it hangs, rule."""
        table = claims_table(list(self.verdicts.values()))
        return body(table[~table["verdict"].str.startswith("exploratory")])

    def decided(self, name: str) -> dict[str, Any]:
        """What a claim rests on at the scale that decides it; UserError when nothing does."""
        claim = self.verdicts.get(name)
        if claim is None or claim["decided"] is None:
            raise UserError(
                f"claim '{name}': not decided by this study; a document cannot speak of its result"
            )
        found: dict[str, Any] = claim["scales"][claim["decided"]]
        return found

    def weakest(self, name: str) -> str:
        """The difference on which a claim hangs."""
        found = self.decided(name)
        shown = numbers(self.verdicts[name], found)
        where = shown["weakest difference"]
        return f"{shown['effect']} ({shown['95 % interval']}, n = {shown['n']}; {where})"

    def cells(self, name: str) -> str:
        """Datasets and networks of a claim with every difference that decides there."""
        standing = {
            (cell["dataset"], cell["network"]): cell["standing"] for cell in self.decided(name)["cells"]
        }
        unit = " %" if self.verdicts[name]["unit"] == "percent" else ""
        rows = self.parts[(self.parts["claim"] == name) & (self.parts["role"] == "decides")]
        rows = rows[rows["scale"] == self.verdicts[name]["decided"]]
        shown: dict[tuple[str, str], dict[str, str]] = {}
        several = rows["output"].nunique() > 1
        for part in rows.to_dict("records"):
            place = part["dataset"], part["network"]
            cells = shown.setdefault(
                place, {"dataset": place[0], "network": place[1], "standing": standing[place]}
            )
            sides = f"{part['method']} - {part['than']}"
            named = several or part["method"] == part["than"]
            known = interval(part) + unit if pd.notna(part["difference"]) else "-"
            cells[f"{sides}, {part['output']}" if named else sides] = known
        return body(pd.DataFrame(shown.values()).fillna("-"))

    def readings(self, name: str) -> str:
        """Of every reading of a claim, per dataset, the difference on which it hangs, at the scale that decides."""
        scale = self.verdicts[name]["decided"]
        rows = self.parts[(self.parts["claim"] == name) & (self.parts["scale"] == scale)]
        rows = rows[rows["role"] != "beside"]
        several = rows["than"].nunique() > 1
        shown: dict[str, dict[str, str]] = {}
        for (method, dataset), found in rows.groupby(["method", "dataset"], sort=False):
            worst = found.loc[found["low"].idxmin()]
            cells = shown.setdefault(str(method), {"reading": str(method)})
            cells[str(dataset)] = interval(worst) + f" against {worst['than']}" * several
        return body(pd.DataFrame(shown.values()).fillna("-"))

    def against(self, reference: str, network: str, measure: str = MERGED) -> str:
        """Every method on a network against a reference: differences by dataset, bold after Holm."""
        shown: dict[str, dict[str, str]] = {}
        for row in self.comparisons.to_dict("records"):
            if (row["reference"], row["architecture"], row["measure"]) == (reference, network, measure):
                cells = shown.setdefault(row["method"], {"method": row["method"], BEST_COLUMN: ""})
                cells[row["dataset"]] = interval(row)
                if row["p_holm"] < LEVEL:
                    cells[BEST_COLUMN] += f"; {row['dataset']}"
        if not shown:
            raise UserError(f"no method was compared with '{reference}' on '{network}' in '{measure}'")
        return body(pd.DataFrame(shown.values()).fillna("-"))

    def agreement(self, other: "Evidence", reference: str, measure: str) -> str:
        """How the differences from a reference agree with those of another study of the same networks."""
        mine, theirs = (
            rows[(rows["reference"] == reference) & (rows["measure"] == measure)].dropna(
                subset=["low", "high"]
            )
            for rows in (self.comparisons, other.comparisons)
        )
        both = mine.merge(theirs, on=COMPARED, suffixes=("", "_again"))
        if len(both) < 3:
            raise UserError(f"the studies share {len(both)} differences from '{reference}' in '{measure}'")
        apart = (both["low"] > both["high_again"]) | (both["low_again"] > both["high"])
        clear, clear_again = both["p_holm"] < LEVEL, both["p_holm_again"] < LEVEL
        same = np.sign(both["difference"]) == np.sign(both["difference_again"])
        correlation = both["difference"].corr(both["difference_again"])
        return (
            f"of {len(both)} differences from `{reference}` ({measure}), {int(same.sum())} have the same sign and "
            f"{int((~apart).sum())} overlapping intervals, correlation {correlation:.2f}; {int(clear.sum())} are "
            f"significant in `{self.name}`, {int(clear_again.sum())} in `{other.name}`, "
            f"{int((clear & clear_again & same).sum())} in both with one sign, "
            f"{int((clear & clear_again & ~same).sum())} in both with opposite signs"
        )

    def accuracy(self, dataset: str, network: str, method: str, output: str) -> str:
        """Mean accuracy of an output over the finished runs, in percent."""
        return f"{self._accuracies(dataset, network, method)[output]:.2f}"

    def strongest(self, dataset: str, network: str, method: str) -> str:
        """The same of the pathway that is best alone."""
        pathways = self.metrics.loc[self.metrics["pathway"] >= 1, "output"].unique()
        return f"{self._accuracies(dataset, network, method).reindex(pathways).max():.2f}"

    def accuracies(self, dataset: str, network: str, methods: Sequence[str]) -> str:
        """The same of all outputs of several methods."""
        rows = [{"method": name} | self._accuracies(dataset, network, name).to_dict() for name in methods]
        shown = pd.DataFrame(rows).map(lambda value: value if isinstance(value, str) else f"{value:.2f}")
        return body(shown.replace("nan", "-"))

    def conflicting(self, network: str, methods: Sequence[str]) -> str:
        """Share of the steps in which gradients conflicted, in percent, by method and dataset."""
        rows = self.conflicts
        if not rows.empty:
            rows = rows[(rows["architecture"] == network) & (rows["quantity"] == "conflict")]
        lacking = sorted(set(methods) - set(rows.get("method", [])))
        if lacking:
            raise UserError(f"no figure shows how often gradients conflict on '{network}' under {lacking}")
        shares = rows.pivot(index="method", columns="dataset", values="value").reindex(list(methods))
        shares = shares[[name for name in self.metrics["dataset"].unique() if name in shares]]
        return body(shares.map(lambda share: f"{100 * share:.1f}").reset_index())

    def _accuracies(self, dataset: str, network: str, method: str) -> "pd.Series[float]":
        rows = self.metrics
        where = {"dataset": dataset, "architecture": network, "method": method, "status": "finished"}
        for column, value in where.items():
            rows = rows[rows[column] == value]
        if rows.empty:
            raise UserError(f"no finished runs of {dataset}/{network}/{method}")
        return rows.groupby("output", sort=False)["accuracy"].mean()


def interval(row: "Mapping[Hashable, Any] | pd.Series[Any]") -> str:
    """A paired difference and its 95 % interval."""
    return f"{format_signed(row['difference'])} ({format_signed(row['low'])} to {format_signed(row['high'])})"


def body(table: pd.DataFrame) -> str:
    """A Markdown table without a caption."""
    return format_markdown(table, "").decode().strip()
