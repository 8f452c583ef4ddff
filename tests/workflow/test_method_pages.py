"""docs/methods/: every page's names, figures and links exist, its study resolves, and one page is walked through.

A name in backticks that is a family with a page, or begins with one and a hyphen, is an entry, a family or a claim.
"""

import re
import shutil
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

from guidebp.rendering.figure_catalogue import FIGURE_ENTRIES
from guidebp.rendering.placements import list_placements
from guidebp.rendering.table_catalogue import TABLE_ENTRIES
from guidebp.schema.families import read_families
from guidebp.study.resolve import load_study
from guidebp.study.study import Study
from tests.support.project import ROOT, Project, long
from tests.workflow.test_datasets import FENCE

PAGES = {path.stem: path for path in sorted((ROOT / "docs/methods").glob("*.md")) if path.stem != "README"}
ELSEWHERE = {"sub-models": "local-critic"}  # families that share a page
COMPARED = {"merges", "learned", "concatenate", "independent", "separate", "backprop"}  # in the README alone
STUDY = "config/studies/mine.yaml"
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")
SHOWN = re.compile(r"`((?:figures|tables)/[^`]*)`")


def catalogue(name: str) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = yaml.safe_load((ROOT / f"config/{name}.yaml").read_text())
    return found


def study_of(page: str) -> str:
    """The one study block of a page."""
    [text] = [text for _, path, text in FENCE.findall(PAGES[page].read_text()) if path == STUDY]
    return str(text)


def resolved(page: str, folder: Path) -> Study:
    shutil.copytree(ROOT / "config", folder / "config")
    (folder / STUDY).write_text(study_of(page))
    return load_study("mine", folder)


def in_backticks(page: Path, names: Iterable[str]) -> set[str]:
    """What stands in backticks and is one of the names, or one of them, a hyphen and more."""
    pattern = rf"`((?:{'|'.join(map(re.escape, names))})(?:-[a-z0-9-]+)?)`"
    return set(re.findall(pattern, page.read_text()))


def test_every_family_of_the_papers_has_a_page() -> None:
    wanted = {ELSEWHERE.get(name, name) for name in read_families("methods").keys() - COMPARED}
    assert wanted == set(PAGES)
    links = set(LINK.findall((ROOT / "docs/methods/README.md").read_text()))
    assert {f"{name}.md" for name in PAGES} <= links


@pytest.mark.parametrize("page", PAGES)
def test_every_entry_stands_on_its_page(page: str) -> None:
    mine = {
        name for name, of in catalogue("methods").items() if ELSEWHERE.get(of["family"], of["family"]) == page
    }
    assert mine <= in_backticks(PAGES[page], mine)


@pytest.mark.parametrize("path", [*PAGES.values(), ROOT / "docs/methods/README.md"], ids=lambda p: p.stem)
def test_every_name_exists(path: Path) -> None:
    known = catalogue("methods").keys() | catalogue("claims").keys() | read_families("methods").keys()
    found = in_backticks(path, [*PAGES, *ELSEWHERE])
    assert found
    assert found <= known


@pytest.mark.parametrize("page", PAGES)
def test_the_study_resolves_and_has_the_figures_and_tables_named(page: str, tmp_path: Path) -> None:
    study = resolved(page, tmp_path)
    assert study.runs
    assert {ELSEWHERE.get(name, name) for name in families_of(study)} & {page}
    sections = [asdict(section) for section in study.sections]
    made = {f"figures/{name}_{dataset}.svg" for name, dataset, _ in list_placements(FIGURE_ENTRIES, sections)}
    made |= {f"tables/{name}_{dataset}.md" for name, dataset, _ in list_placements(TABLE_ENTRIES, sections)}
    named = set(SHOWN.findall(PAGES[page].read_text()))
    assert named
    assert named <= made


def families_of(study: Study) -> set[str]:
    return {entry.family for entry in study.methods.values()}


def test_relative_links_lead_to_files() -> None:
    for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for link in LINK.findall(path.read_text()):
            if "://" not in link:
                assert (path.parent / link).exists(), f"{path}: {link}"


@long
def test_a_page_walked_through_gives_what_it_names(tmp_path: Path) -> None:
    project = Project(tmp_path)
    text = study_of("multiway").replace("digits-short", "digits-smoke").replace("[0, 1]", "[0]")
    (project.folder / STUDY).write_text(text)
    for kind, _, commands in FENCE.findall(PAGES["multiway"].read_text()):
        if kind == "sh":
            project.call("bash", "-euo", "pipefail", "-c", commands)
    assert len(project.runs()) == 4
    for name in SHOWN.findall(PAGES["multiway"].read_text()):
        assert (project.folder / "results/mine" / name).stat().st_size > 0, name
