"""Git calls of the tests and of guidebp leave the repository of a calling git hook alone."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest

from guidebp.git import is_tracked
from guidebp.paths import StudyPaths
from tests.support.git import EMAIL, NAME, clean_environment, git
from tests.support.project import ROOT, Project

# what a pytest started from a hook runs below
COMMITS = ("test_clone_has_a_commit_of_its_own", "test_plain_git_call_stays_in_its_folder")
RECORD = "results/tiny/record.yaml"


class Caller:
    """A repository in which a hook runs, and a user whose configuration breaks or signs each commit.

    `variables` is what the hook adds to the environment.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, home = folder / "caller", folder / "home"
        self.folder.mkdir()
        git(self.folder, "init", "-q")
        (self.folder / "committed.txt").write_text("committed\n")
        git(self.folder, "add", ".")
        git(self.folder, "commit", "-qm", "Caller")
        (self.folder / "staged.txt").write_text("staged\n")
        git(self.folder, "add", "staged.txt")
        (self.folder / "committed.txt").write_text("edited\n")

        (home / "hooks").mkdir(parents=True)
        hook = home / "hooks/pre-commit"
        hook.write_text("#!/bin/sh\nexit 1\n")
        hook.chmod(0o755)
        (home / "ignored").write_text("*.yaml\n")
        configuration = home / ".gitconfig"
        configuration.write_text(
            "[user]\nname = User\nemail = user@example.org\n[commit]\ngpgsign = true\n[gpg]\nprogram = false\n"
            f"[core]\nhooksPath = {hook.parent}\nexcludesFile = {home / 'ignored'}\n"
        )
        # git reads this file where no excludesFile is configured
        (home / ".config/git").mkdir(parents=True)
        (home / ".config/git/ignore").write_text("*.yaml\n")
        self.variables = {
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home / ".config"),
            "GIT_CONFIG_SYSTEM": str(configuration),
            "GIT_DIR": str(self.folder / ".git"),
            "GIT_INDEX_FILE": str(self.folder / ".git/index"),
            "GIT_WORK_TREE": str(self.folder),
            "GIT_AUTHOR_NAME": "User",
        }
        self.before = self.files()

    def files(self) -> dict[str, bytes]:
        """Contents of HEAD, the index, the objects and the work tree, by path."""
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in self.folder.rglob("*")
            if path.is_file()
        }

    def environment(self) -> dict[str, str]:
        """The environment of a process that the hook starts."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("GIT_", "PYTEST", "XDG_"))
        }
        return kept | self.variables


@pytest.fixture
def caller(tmp_path: Path) -> Caller:
    return Caller(tmp_path)


@pytest.fixture
def hook(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> Caller:
    """The caller, whose variables this process has too."""
    for name, value in caller.variables.items():
        monkeypatch.setenv(name, value)
    return caller


def clone_of_a_project(folder: Path) -> Project:
    project = Project(folder / "project")
    (project.folder / RECORD).parent.mkdir(parents=True)
    (project.folder / RECORD).write_text("accuracy: 1\n")
    (project.folder / "data/prepared").mkdir(parents=True)
    (project.folder / "data/prepared/digits.json").write_text("{}\n")
    return project.clone(folder / "clone", RECORD)


def check_commit(folder: Path) -> None:
    """The folder's own repository holds the record, in a commit of the fixed author and without a signature."""
    assert RECORD in git(folder, "ls-tree", "-r", "--name-only", "HEAD").splitlines()
    people = git(folder, "log", "--format=%an %ae %cn %ce %G?")
    assert people == f"{NAME} {EMAIL} {NAME} {EMAIL} N"


@pytest.mark.slow
def test_tests_started_from_a_hook_leave_the_caller_alone(caller: Caller, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={tmp_path}/inner"]
    done = subprocess.run(
        [*command, *(f"{Path(__file__).relative_to(ROOT)}::{name}" for name in COMMITS)],
        cwd=ROOT,
        env=caller.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert caller.files() == caller.before
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(COMMITS)} passed" in done.stdout


def test_clone_has_a_commit_of_its_own(tmp_path: Path) -> None:
    check_commit(clone_of_a_project(tmp_path).folder)


def test_plain_git_call_stays_in_its_folder(tmp_path: Path) -> None:
    """A test may forget the helper: this process has the clean environment already."""
    (tmp_path / RECORD).parent.mkdir(parents=True)
    (tmp_path / RECORD).write_text("accuracy: 1\n")
    for arguments in (("init", "-q"), ("add", "."), ("commit", "-qm", "Record")):
        subprocess.run(["git", *arguments], cwd=tmp_path, check=True)
    check_commit(tmp_path)


def test_project_and_helper_ignore_variables_set_later(hook: Caller, tmp_path: Path) -> None:
    """`python -m tests.chaos` has no conftest.py."""
    clone = clone_of_a_project(tmp_path)
    check_commit(clone.folder)
    assert clone.call("git", "rev-parse", "--show-toplevel").strip() == str(clone.folder.resolve())
    assert hook.files() == hook.before


def test_clean_environment_has_no_variable_of_the_caller(hook: Caller) -> None:
    values = {value for name, value in hook.variables.items() if name.startswith("GIT_")}
    assert not values & set(clean_environment().values())


def test_recorded_commit_is_that_of_the_code(caller: Caller, tmp_path: Path) -> None:
    clone = clone_of_a_project(tmp_path)
    for folder in (clone.folder, ROOT):
        found = recorded_code(folder, caller)
        checkout = subprocess.run(
            ["git", "-C", str(folder / "src"), "rev-parse", "HEAD"],
            env=clean_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        # the tests may run outside a git checkout
        assert found["commit"] == (None if checkout.returncode else checkout.stdout.strip())
        assert found["commit"] != git(caller.folder, "rev-parse", "HEAD")
    assert caller.files() == caller.before


def recorded_code(folder: Path, caller: Caller) -> dict[str, Any]:
    """What a process that the hook starts reports about the code in the folder."""
    done = subprocess.run(
        [sys.executable, "-c", "import json, guidebp.provenance as p; print(json.dumps(p.describe_code()))"],
        cwd=caller.folder,
        env=caller.environment() | {"PYTHONPATH": str(folder / "src")},
        capture_output=True,
        text=True,
        check=True,
    )
    return cast("dict[str, Any]", json.loads(done.stdout))


def test_tracked_files_are_those_of_the_project(
    hook: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    records = project / StudyPaths("tiny").records
    records.mkdir(parents=True)
    (records / "tracked.tar.xz").write_text("records")
    git(project, "init", "-q")
    git(project, "add", ".")
    git(project, "commit", "-qm", "Results")
    (records / "new.tar.xz").write_text("records")
    monkeypatch.chdir(project)
    records = StudyPaths("tiny").records
    assert is_tracked(records) and is_tracked(records / "tracked.tar.xz")
    assert not is_tracked(records / "new.tar.xz") and not is_tracked(Path("results/other"))
    assert hook.files() == hook.before
