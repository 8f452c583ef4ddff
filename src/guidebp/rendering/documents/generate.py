"""Documents with numbers from committed results: docs/NAME.md from docs/templates/, and the verdicts in README.md.

`guidebp generate` writes them. A test fails when they differ from the results, so that no measured number is typed
by hand. A template names the studies that it quotes (`study("NAME")`). README.md names its study in the marker
`<!-- verdicts: NAME -->`.
"""

import json
import re
from pathlib import Path

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from guidebp.files import write_atomic
from guidebp.rendering.documents.evidence import Evidence, format_markdown_rows

DOCS = Path("docs")
TEMPLATES = DOCS / "templates"
BENCHMARKS = Path("benchmarks/results/amd-epyc-avx512-bf16-cpu.json")
README = Path("README.md")
VERDICTS_BLOCK = re.compile(r"(<!-- verdicts: (?P<study>[a-z0-9.-]+) -->\n).*?(?=<!-- end -->)", re.DOTALL)


class PipelineCosts:
    """Costs of the commands around training, measured by `make bench BENCH=pipeline`."""

    def __init__(self, path: Path) -> None:
        self.rows = pd.DataFrame(json.loads(path.read_text())["The pipeline beside the training"]["rows"])

    def format_table(self) -> str:
        """Format seconds and memory of the commands that were measured at every size."""
        columns = {
            f"{runs:,} runs, {rows['packs'].iloc[0]} packs": {
                row["what"]: f"{row['seconds']:.1f} s, {row['MiB']:,} MiB" for row in rows.to_dict("records")
            }
            for runs, rows in self.rows.groupby("runs")
        }
        table = pd.DataFrame(columns).reindex(self.rows["what"].unique()).dropna()
        return format_markdown_rows(table.rename_axis("command").reset_index())

    def format_per_run(self, what: str, column: str, factor: float) -> str:
        """Format what one run adds, from the smallest study to the largest, times `factor`."""
        return _round_to_one_digit(factor * self._slope(what, column))

    def format_per_100_000(self, what: str, column: str, divisor: float) -> str:
        """Format what 100,000 runs would add, divided by `divisor`."""
        return _round_to_one_digit(100_000 * self._slope(what, column) / divisor)

    def _slope(self, what: str, column: str) -> float:
        rows = self.rows[self.rows["what"] == what].sort_values("runs")
        first, last = rows.iloc[0], rows.iloc[-1]
        return float((last[column] - first[column]) / (last["runs"] - first["runs"]))


def _round_to_one_digit(value: float) -> str:
    """Format one significant digit without an exponent."""
    return f"{float(f'{value:.1g}'):g}"


def render_documents(root: Path) -> dict[Path, bytes]:
    """Render every document; return the contents by path below `root`."""
    environment = Environment(
        loader=FileSystemLoader(root / TEMPLATES), undefined=StrictUndefined, keep_trailing_newline=True
    )
    names = {"pipeline": PipelineCosts(root / BENCHMARKS), "study": lambda name: Evidence.read(root, name)}
    documents = {
        DOCS / name.removesuffix(".j2"): environment.get_template(name).render(names).encode()
        for name in environment.list_templates()
    }

    def fill_block(marker: re.Match[str]) -> str:
        return f"{marker[1]}\n{Evidence.read(root, marker['study']).table()}\n\n"

    readme = (root / README).read_text(encoding="utf-8")
    return documents | {README: VERDICTS_BLOCK.sub(fill_block, readme).encode()}


def write_documents(root: Path = Path()) -> list[Path]:
    """Write every document below `root`; return their paths."""
    documents = render_documents(root)
    for path, content in documents.items():
        write_atomic(root / path, content)
    return list(documents)
