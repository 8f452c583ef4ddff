"""Documents whose numbers come from committed results: docs/NAME.md from docs/templates/, verdicts in README.md.

`guidebp generate` writes them. A test fails when they differ from the results, so nobody types a measured number. A
template names the studies it quotes (`study("NAME")`), README.md its study in the marker `<!-- verdicts: NAME -->`.
"""

import json
import re
from pathlib import Path

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from guidebp.files import write_atomic
from guidebp.rendering.documents.evidence import Evidence, body

DOCS = Path("docs")
TEMPLATES = DOCS / "templates"
BENCHMARKS = Path("benchmarks/results/amd-epyc-avx512-bf16-cpu.json")
README = Path("README.md")
BLOCK = re.compile(r"(<!-- verdicts: (?P<study>[a-z0-9.-]+) -->\n).*?(?=<!-- end -->)", re.DOTALL)


class Pipeline:
    """What the commands around training cost, as `make bench BENCH=pipeline` measured it."""

    def __init__(self, path: Path) -> None:
        self.rows = pd.DataFrame(json.loads(path.read_text())["The pipeline beside the training"]["rows"])

    def table(self) -> str:
        """Seconds and memory of the commands that were run at every size."""
        shown = {
            f"{runs:,} runs, {rows['packs'].iloc[0]} packs": {
                row["what"]: f"{row['seconds']:.1f} s, {row['MiB']:,} MiB" for row in rows.to_dict("records")
            }
            for runs, rows in self.rows.groupby("runs")
        }
        table = pd.DataFrame(shown).reindex(self.rows["what"].unique()).dropna()
        return body(table.rename_axis("command").reset_index())

    def each(self, what: str, column: str, factor: float) -> str:
        """What a run adds, from the smallest study to the largest, times `factor`."""
        return one_digit(factor * self._slope(what, column))

    def of_100_000(self, what: str, column: str, divisor: float) -> str:
        """What so many runs would add, divided by `divisor`."""
        return one_digit(100_000 * self._slope(what, column) / divisor)

    def _slope(self, what: str, column: str) -> float:
        rows = self.rows[self.rows["what"] == what].sort_values("runs")
        first, last = rows.iloc[0], rows.iloc[-1]
        return float((last[column] - first[column]) / (last["runs"] - first["runs"]))


def one_digit(value: float) -> str:
    """To one significant digit, without an exponent."""
    return f"{float(f'{value:.1g}'):g}"


def documents(root: Path) -> dict[Path, bytes]:
    """The content of every document, by its path below `root`."""
    environment = Environment(
        loader=FileSystemLoader(root / TEMPLATES), undefined=StrictUndefined, keep_trailing_newline=True
    )
    names = {"pipeline": Pipeline(root / BENCHMARKS), "study": lambda name: Evidence.read(root, name)}
    found = {
        DOCS / name.removesuffix(".j2"): environment.get_template(name).render(names).encode()
        for name in environment.list_templates()
    }

    def verdicts(marker: re.Match[str]) -> str:
        return f"{marker[1]}\n{Evidence.read(root, marker['study']).table()}\n\n"

    readme = (root / README).read_text(encoding="utf-8")
    return found | {README: BLOCK.sub(verdicts, readme).encode()}


def write_documents(root: Path = Path()) -> list[Path]:
    """Write every document below `root`; returns their paths."""
    made = documents(root)
    for path, content in made.items():
        write_atomic(root / path, content)
    return list(made)
