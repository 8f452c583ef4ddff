"""A copy of the project that a test may change, and what all pages it makes must hold."""

import copy
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import pytest

from tests.support.git import clean_environment, git

# an element that asks for a file beside the page, or a network
LINKS = re.compile(r"""<(script|link|img|iframe|source)\b[^>]*\b(src|href)=(?!["']?data:)""", re.IGNORECASE)

FULL = bool(os.environ.get("GUIDEBP_FULL"))
long = pytest.mark.skipif(not FULL, reason="only in `make test-full`: it takes long")

ROOT = Path(__file__).resolve().parents[2]
PARTS = [
    *(
        "Snakefile",
        "workflow",
        "profiles",
        "config",
        "src",
        "dvc.yaml",
        "environment.yml",
        ".dvc/config",
        ".dvcignore",
    ),
    *(f"notebooks/{name}" for name in ("page.html.j2", "new-method.py", "new-method.ipynb")),  # the shortest
]
DIGITS = ("data/prepared/digits.json", "data/prepared/digits.png")
STUDY = """
title: Tiny
about: Tests the workflow.
blocks:
  - datasets: [digits]
    architectures: [columns-digits]
    methods: [average, independent, guidebp]
    recipe: tiny
    seeds: [0, 1]
baselines: [average, independent]
seeds_per_pack: 2
"""
RECIPE = """
tiny:
  optimiser: {name: sgd, lr: 0.05, momentum: 0.9}
  epochs: 1
  batch_size: 128
"""


class Project:
    """A copy of the project with a tiny study as its default, and its own copy of the code."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for part in PARTS:
            source, target = ROOT / part, folder / part
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_symlink():
                target.symlink_to(source.readlink())
            elif source.is_dir():
                shutil.copytree(source, target)  # with compiled modules, which are valid as times are copied
            else:
                shutil.copy(source, target)
        (folder / "config/studies/tiny.yaml").write_text(STUDY)
        (folder / "config/recipes/tiny.yaml").write_text(RECIPE)
        self.edit("config/config.yaml", "study: demo", "study: tiny")

    @classmethod
    def open(cls, folder: Path) -> Self:
        """The project that is already in the folder."""
        project = cls.__new__(cls)
        project.folder = folder
        return project

    def copy(self, folder: Path) -> Self:
        """A twin in a new folder, as far as this one has come: times are copied, so Snakemake redoes nothing."""
        shutil.copytree(self.folder, folder, symlinks=True)
        twin = copy.copy(self)
        twin.folder = folder
        return twin

    def commit_sources(self) -> None:
        """Make it a git checkout in which DVC's stages run the tiny study in place of the demo."""
        for name in ("dvc.yaml", ".gitignore", ".dvc/.gitignore", *DIGITS):
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, self.folder / name)
        for name in ("dvc.yaml", ".gitignore"):
            text = (self.folder / name).read_text().replace("results/demo", "results/tiny")
            text = text.replace("study=demo", "study=tiny").replace("studies/demo.yaml", "studies/tiny.yaml")
            (self.folder / name).write_text(text)
        git(self.folder, "init", "-q")
        git(self.folder, "add", ".")
        git(self.folder, "commit", "-qm", "Sources")

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace text that must be there."""
        text = (self.folder / path).read_text()
        assert old in text
        (self.folder / path).write_text(text.replace(old, new))

    def clone(self, folder: Path, *kept: str) -> "Project":
        """A git checkout, whose time stamps are in any order, with manifests and what else matches `kept`."""
        clone = Project(folder)
        for name, content in self.files(
            "data/prepared/*.json", "data/prepared/*.png", "config/**/*", *kept
        ).items():
            (clone.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (clone.folder / name).write_bytes(content)
        (clone.folder / "src/guidebp/ingest/prepare.py").touch()
        git(clone.folder, "init", "-q")
        git(clone.folder, "add", "results", "data", "config")
        git(clone.folder, "commit", "-qm", "Results")
        return clone

    def environment(self) -> dict[str, str]:
        """This environment's programs, this project's code, and no repository of the caller."""
        scripts = Path(sys.executable).parent
        kept = {k: v for k, v in clean_environment().items() if not k.startswith(("SNAKEMAKE", "PYTEST"))}
        return kept | {
            "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(self.folder / "src"),
        }

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        """Start a command in a process group of its own, so that it can be killed with all it has started."""
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def call(self, *command: str, code: int = 0, answer: str = "") -> str:
        """Run a command of the environment in the project, `answer` on its standard input; its output."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment(),
            input=answer,
            capture_output=True,
            text=True,
            check=False,
        )
        output = done.stdout + done.stderr
        assert done.returncode == code, output
        return output

    def wait(self, event: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
        """Until the event has come; an error when the process ends before."""
        while not event():
            assert process.poll() is None, f"ended with code {process.returncode} too early"
            time.sleep(0.02)

    def planned(self) -> dict[str, int]:
        """Jobs that snakemake would run, by rule."""
        lines = self.call("snakemake", "-n", "--quiet", "rules").splitlines()
        jobs = [line.split() for line in lines]
        return {j[0]: int(j[1]) for j in jobs if len(j) == 2 and j[1].isdigit() and j[0] != "total"}

    def runs(self) -> set[str]:
        """Keys in the run store."""
        return {p.name for p in (self.folder / "results/runs").glob("*") if not p.name.startswith(".")}

    def files(self, *patterns: str) -> dict[str, bytes]:
        """Contents by relative path."""
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for pattern in patterns
            for path in sorted(self.folder.glob(pattern))
            if path.is_file()
        }
