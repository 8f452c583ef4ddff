"""The report's sections of results: figures and tables by dataset, part and paper."""

import base64
import re
from collections.abc import Callable
from typing import Any

import pandas as pd

from guidebp.analysis.results import PATHWAYS, PRIMARY, Results
from guidebp.analysis.statistics import LEVEL
from guidebp.paths import FIGURE_KINDS, TABLE_KINDS, Layout
from guidebp.rendering.catalogue import FIGURES, PAPER, all_tables, places
from guidebp.rendering.report.tables import html_table
from guidebp.schema.published import from_json

Json = dict[str, Any]
# Of a place in the catalogue: what there is one of, name, dataset, part.
Wanted = Callable[[str, str, str, str], bool]


def datasets(layout: Layout, results: Results) -> list[Json]:
    """Every dataset: what it is, what is shown of itself, and the parts of the study that have runs on it."""
    about = results.about
    found = []
    for name, entry in about["datasets"].items():
        sections = [
            part_section(layout, results, f"{name}-part-{part['name']}", part, name)
            for part in about["parts"]
        ]
        found.append(
            {
                "name": f"data-{name}",
                "entry": entry,
                "data": about["data"][name],
                "own": of_dataset(layout, results, name),
                "sections": [part for part in sections if part["figures"] or part["tables"]],
            }
        )
    return found


def of_dataset(layout: Layout, results: Results, dataset: str) -> Json:
    """What is shown of a dataset itself."""
    return contents(
        layout,
        results,
        f"data-{dataset}",
        lambda per, _, place_dataset, __: per == "dataset" and place_dataset == dataset,
    )


def across(layout: Layout, results: Results) -> list[Json]:
    """The parts with enough datasets to rank methods over them."""
    assert results.ranks is not None
    ranked = set(results.ranks["part"].fillna(""))
    return [
        part_section(layout, results, f"across-part-{part['name']}", part, "")
        for part in results.about["parts"]
        if part["name"] in ranked
    ]


def of_study(layout: Layout, results: Results, paper: str | None) -> Json:
    """What there is one of per study and belongs to a paper's section; for None, to that of all verdicts."""
    return contents(
        layout,
        results,
        f"paper-{paper}" if paper else "study",
        lambda per, name, _, __: per == "study" and paper_of(results, name) == paper,
    )


def paper_of(results: Results, name: str) -> str | None:
    """Whose a table is, where it is a paper's own."""
    if name.startswith(PAPER):
        return str(results.about["published"][name.removeprefix(PAPER)]["paper"])
    return None


def part_section(layout: Layout, results: Results, anchor: str, part: Json, dataset: str) -> Json:
    """Figures and tables of a part on a dataset; on all of them together for no name."""

    def wanted(per: str, _: str, place_dataset: str, place_part: str) -> bool:
        return per not in ("dataset", "study") and (place_dataset, place_part) == (dataset, part["name"])

    return {"name": anchor, "title": part["title"]} | contents(layout, results, anchor, wanted)


def contents(layout: Layout, results: Results, anchor: str, wanted: Wanted) -> Json:
    """The wanted figures and tables of the catalogue, ready for the template."""
    parts, tables = results.about["parts"], all_tables(from_json(results.about["published"]))
    return {
        "figures": [
            figure(layout, anchor, place)
            for place in places(FIGURES, parts)
            if wanted(FIGURES[place[0]].per, *place)
        ],
        "tables": [
            table(layout, results, anchor, tables[place[0]].caption, place)
            for place in places(tables, parts)
            if wanted(tables[place[0]].per, *place)
        ],
    }


def figure(layout: Layout, anchor: str, place: tuple[str, str, str]) -> Json:
    """A figure as a picture that needs no other file, and links to its files."""
    svg = layout.figure(*place, "svg").read_bytes()
    return {
        "name": f"{anchor}-figure-{place[0]}",
        "caption": FIGURES[place[0]].caption,
        "source": f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}",
        "size": size(svg),
        "files": {kind: f"figures/{layout.figure(*place, kind).name}" for kind in FIGURE_KINDS},
    }


def size(svg: bytes) -> list[int]:
    """Width and height, for the page to keep the place of a picture that is not drawn yet."""
    found = re.search(rb'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
    return [round(float(side)) for side in found.groups()] if found else [1, 1]


def table(layout: Layout, results: Results, anchor: str, caption: str, place: tuple[str, str, str]) -> Json:
    """A table with links to its files."""
    name = place[0]
    title = name.replace("-", " ").capitalize()
    if name.startswith(PAPER):
        title = results.about["published"][name.removeprefix(PAPER)]["title"]
    rows = pd.read_csv(layout.table(*place, "csv"), dtype=str, keep_default_na=False)
    files = {kind: f"tables/{layout.table(*place, kind).name}" for kind in TABLE_KINDS}
    shown = html_table(f"{anchor}-table-{name}", title, caption.removeprefix(f"{title}. "), rows)
    return shown | {"files": files}


def findings(comparisons: pd.DataFrame, about: Json) -> Json:
    """Per network, reference and measure: which methods differ after Holm's correction."""
    found = []
    keys = ["dataset", "architecture", "reference", "measure"]
    chosen = comparisons[comparisons["measure"].isin([PRIMARY, PATHWAYS])]
    for (dataset, architecture, reference, measure), rows in chosen.groupby(keys, sort=False):
        clear = rows[rows["p_holm"] < LEVEL]
        found.append(
            {
                "dataset": about["datasets"][dataset]["title"],
                "network": about["architectures"][architecture]["title"],
                "measure": measure,
                "against": reference,
                "better": ", ".join(clear[clear["difference"] > 0]["method"]) or "none",
                "worse": ", ".join(clear[clear["difference"] < 0]["method"]) or "none",
                "undecided": len(rows) - len(clear),
            }
        )
    columns = ["dataset", "network", "measure", "against", "better", "worse", "undecided"]
    return html_table(
        "differences-table",
        "Methods that differ from the references",
        "Paired t tests at equal seed, corrected by Holm's method among the methods compared with one "
        "reference on one network (p < 0.05). What is not listed is not shown to differ; with few seeds "
        "that is no proof of being equal.",
        pd.DataFrame(found, columns=columns),
    )
