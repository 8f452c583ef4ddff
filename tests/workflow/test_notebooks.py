"""The notebooks: without outputs in git, executed by the workflow on any study, pages that need no network."""

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.support.project import LINKS, ROOT, Project, long

NAMES = sorted(path.stem for path in (ROOT / "notebooks").glob("*.py"))
# no pathway to merge, no pair of runs to compare, no exit to leave by
BARE = """
title: Bare
about: One method, one run.
blocks:
  - datasets: [digits]
    architectures: [column-digits]
    methods: [average]
    recipe: tiny
    seeds: [0]
baselines: [average]
"""
# what a script or style sheet asks for
ASKS = re.compile(r"""@import|url\((?!["']?(data:|#))|\bimport\b[^;\n]*["']https?:""", re.IGNORECASE)
STDERR = 'data-mime-type="application/vnd.jupyter.stderr"'


def test_every_notebook_has_its_script() -> None:
    assert NAMES == sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb")) != []


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_carries_no_outputs(name: str) -> None:
    cells = json.loads((ROOT / "notebooks" / f"{name}.ipynb").read_text())["cells"]
    assert len({cell["id"] for cell in cells}) == len(cells)
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert code
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


@pytest.fixture(scope="module")
def project(finished_tiny_project: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with both studies and all notebooks, of which one is executed on the study `tiny`."""
    made = finished_tiny_project.copy(tmp_path_factory.mktemp("notebooks") / "project")
    (made.folder / "config/studies/bare.yaml").write_text(BARE)
    shutil.copytree(ROOT / "notebooks", made.folder / "notebooks", dirs_exist_ok=True)
    return made


@pytest.mark.workflow
@pytest.mark.parametrize(
    ("study", "names"), [("tiny", NAMES), pytest.param("bare", ["results", "tour"], marks=long)]
)
def test_the_workflow_makes_pages_that_need_nothing_else(
    project: Project, study: str, names: list[str]
) -> None:
    before = written(project.folder)
    pages = {name: f"results/{study}/notebooks/{name}.html" for name in names}
    project.call("snakemake", "--config", f"study={study}", "--", *pages.values())
    new = written(project.folder) - before
    assert {path.parts[0] for path in new} <= {"data", "results"}
    made = {str(path) for path in new if path.parent.name == "notebooks" and "logs" not in path.parts}
    assert made == set(pages.values()) - set(map(str, before)) != set()
    texts = {name: (project.folder / page).read_text() for name, page in pages.items()}
    for text in texts.values():
        for loads in (LINKS, ASKS):
            assert not loads.search(text), loads.search(text)
        assert STDERR not in text, "a warning is shown"
    assert (f"The study {study} has no guided merge" in texts["tour"]) == (study == "bare")


def written(folder: Path) -> set[Path]:
    """The project's files, without what Snakemake and Python keep for themselves."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {path for path in found if not {".snakemake", "__pycache__"} & set(path.parts)}
