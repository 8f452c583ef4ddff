"""The report's sections of results: figures and tables by dataset, section of the study and paper."""

import base64
import re
from collections.abc import Callable
from typing import Any

import pandas as pd

from guidebp.analysis.results import PATHWAYS, PRIMARY, Results
from guidebp.analysis.statistics import LEVEL
from guidebp.paths import FIGURE_KINDS, TABLE_KINDS, StudyPaths
from guidebp.rendering.figure_catalogue import FIGURE_ENTRIES
from guidebp.rendering.placements import CatalogueEntry, Placement, list_placements
from guidebp.rendering.report.tables import build_html_table
from guidebp.rendering.table_catalogue import PAPER_TABLE_PREFIX, list_table_entries
from guidebp.schema.published import from_json

Json = dict[str, Any]
PlacementFilter = Callable[[CatalogueEntry, Placement], bool]


def build_dataset_sections(paths: StudyPaths, results: Results) -> list[Json]:
    """Return every dataset with its description, its own figures, and the study's sections that have runs on it."""
    about = results.about
    datasets = []
    for name, entry in about["datasets"].items():
        sections = [
            _build_section(paths, results, f"{name}-section-{section['name']}", section, name)
            for section in about["sections"]
        ]
        datasets.append(
            {
                "name": f"data-{name}",
                "entry": entry,
                "data": about["data"][name],
                "own": _build_dataset_contents(paths, results, name),
                "sections": [section for section in sections if section["figures"] or section["tables"]],
            }
        )
    return datasets


def build_ranking_sections(paths: StudyPaths, results: Results) -> list[Json]:
    """Return the study's sections with enough datasets to rank methods over them."""
    assert results.ranks is not None
    ranked = set(results.ranks["section"].fillna(""))
    return [
        _build_section(paths, results, f"across-section-{section['name']}", section, "")
        for section in results.about["sections"]
        if section["name"] in ranked
    ]


def build_study_contents(paths: StudyPaths, results: Results, paper: str | None) -> Json:
    """Return the figures and tables per study that belong to a paper, or for None to all verdicts."""
    return _build_contents(
        paths,
        results,
        f"paper-{paper}" if paper else "study",
        lambda entry, placement: entry.per == "study" and _find_paper(results, placement.name) == paper,
    )


def build_findings_table(comparisons: pd.DataFrame, about: Json) -> Json:
    """Return per architecture, baseline and measure the methods that differ after Holm's correction."""
    rows = []
    keys = ["dataset", "architecture", "baseline", "measure"]
    chosen = comparisons[comparisons["measure"].isin([PRIMARY, PATHWAYS])]
    for (dataset, architecture, baseline, measure), compared in chosen.groupby(keys, sort=False):
        clear = compared[compared["p_holm"] < LEVEL]
        rows.append(
            {
                "dataset": about["datasets"][dataset]["title"],
                "architecture": about["architectures"][architecture]["title"],
                "measure": measure,
                "against": baseline,
                "better": ", ".join(clear[clear["difference"] > 0]["method"]) or "none",
                "worse": ", ".join(clear[clear["difference"] < 0]["method"]) or "none",
                "undecided": len(compared) - len(clear),
            }
        )
    columns = ["dataset", "architecture", "measure", "against", "better", "worse", "undecided"]
    return build_html_table(
        "differences-table",
        "Methods that differ from the baselines",
        "Paired t tests at equal seed, corrected by Holm's method among the methods compared with one "
        "baseline on one architecture (p < 0.05). Methods that are not listed are not shown to differ. With few "
        "seeds this does not prove that they are equal.",
        pd.DataFrame(rows, columns=columns),
    )


def _build_dataset_contents(paths: StudyPaths, results: Results, dataset: str) -> Json:
    """Return the figures and tables of a dataset itself."""
    return _build_contents(
        paths,
        results,
        f"data-{dataset}",
        lambda entry, placement: entry.per == "dataset" and placement.dataset == dataset,
    )


def _find_paper(results: Results, name: str) -> str | None:
    """Return the paper that a table belongs to, if it is a paper's own."""
    if name.startswith(PAPER_TABLE_PREFIX):
        return str(results.about["published"][name.removeprefix(PAPER_TABLE_PREFIX)]["paper"])
    return None


def _build_section(paths: StudyPaths, results: Results, anchor: str, section: Json, dataset: str) -> Json:
    """Return figures and tables of a section on a dataset, or over all datasets for an empty name."""

    def belongs(entry: CatalogueEntry, placement: Placement) -> bool:
        own = (placement.dataset, placement.section) == (dataset, section["name"])
        return entry.per not in ("dataset", "study") and own

    contents = _build_contents(paths, results, anchor, belongs)
    return {"name": anchor, "title": section["title"]} | contents


def _build_contents(paths: StudyPaths, results: Results, anchor: str, belongs: PlacementFilter) -> Json:
    """Return the figures and tables for which `belongs` is true, ready for the template."""
    sections, tables = results.about["sections"], list_table_entries(from_json(results.about["published"]))
    return {
        "figures": [
            _describe_figure(paths, anchor, placement)
            for placement in list_placements(FIGURE_ENTRIES, sections)
            if belongs(FIGURE_ENTRIES[placement.name], placement)
        ],
        "tables": [
            _describe_table(paths, results, anchor, tables[placement.name].caption, placement)
            for placement in list_placements(tables, sections)
            if belongs(tables[placement.name], placement)
        ],
    }


def _describe_figure(paths: StudyPaths, anchor: str, placement: Placement) -> Json:
    """Return a figure as an embedded picture, with links to its files."""
    svg = paths.figure(*placement, "svg").read_bytes()
    return {
        "name": f"{anchor}-figure-{placement.name}",
        "caption": FIGURE_ENTRIES[placement.name].caption,
        "source": f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}",
        "size": _read_svg_size(svg),
        "files": {kind: f"figures/{paths.figure(*placement, kind).name}" for kind in FIGURE_KINDS},
    }


def _read_svg_size(svg: bytes) -> list[int]:
    """Return width and height, with which the page reserves space before it draws the picture."""
    match = re.search(rb'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
    return [round(float(side)) for side in match.groups()] if match else [1, 1]


def _describe_table(
    paths: StudyPaths, results: Results, anchor: str, caption: str, placement: Placement
) -> Json:
    """Return a table with links to its files."""
    name = placement.name
    title = name.replace("-", " ").capitalize()
    if name.startswith(PAPER_TABLE_PREFIX):
        title = results.about["published"][name.removeprefix(PAPER_TABLE_PREFIX)]["title"]
    rows = pd.read_csv(paths.table(*placement, "csv"), dtype=str, keep_default_na=False)
    files = {kind: f"tables/{paths.table(*placement, kind).name}" for kind in TABLE_KINDS}
    table = build_html_table(f"{anchor}-table-{name}", title, caption.removeprefix(f"{title}. "), rows)
    return table | {"files": files}
