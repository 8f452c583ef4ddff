"""What all tests share: one thread, switches and signals as a fresh process has them, reproducible examples."""

import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from tests.support.git import isolate_process
from tests.support.offline import ALONE, can_be_alone
from tests.support.project import Project
from tests.support.shared import build_once

isolate_process()  # first: a hook's GIT_* variables would lead git to the caller's repository

settings.register_profile("guidebp", deadline=None, derandomize=True, max_examples=20)
settings.register_profile("full", deadline=None, max_examples=500)  # `make test-full`: new examples each time
settings.register_profile("quick", deadline=None, derandomize=True, max_examples=5)
QUICK = bool(os.environ.get("GUIDEBP_QUICK"))
settings.load_profile("full" if os.environ.get("GUIDEBP_FULL") else "quick" if QUICK else "guidebp")
CASES_WHEN_QUICK = 2


@pytest.fixture(autouse=True)
def fresh_torch() -> Iterator[None]:
    """A run sets global switches (`set_numerics`); none of them may reach the next test."""
    torch.set_num_threads(1)
    yield
    torch.set_deterministic_debug_mode("default")  # the other function imports torch's compiler: seconds
    torch.set_flush_denormal(False)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = True, False


@pytest.fixture(autouse=True)
def same_signals() -> Iterator[None]:
    """Training takes some signals for wishes; the next test has its own."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def finished_tiny_project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The tiny study run to its end, without a network where that can be; whoever changes it takes a copy."""

    def build(folder: Path) -> None:
        project = Project(folder)
        project.commit_sources()
        project.call(*(ALONE if can_be_alone() else ()), "snakemake")

    return Project.open(build_once(tmp_path_factory, "finished-tiny-project", build))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the workflow's files first, and leave out most when quick.

    Those files are few and long: at the end one core would wait for the other. Their order is reversed, as the two
    that come first then share nothing that one would wait for.
    """
    workflow = [item for item in items if item.get_closest_marker("workflow")]
    others = [item for item in items if not item.get_closest_marker("workflow")]
    files = list(dict.fromkeys(item.path for item in workflow))
    workflow.sort(key=lambda item: -files.index(item.path))
    items[:] = workflow + others
    if QUICK:
        items[:] = select_quick(others)
        selected = set(items)
        config.hook.pytest_deselected(items=[item for item in workflow + others if item not in selected])


def select_quick(items: list[pytest.Item]) -> list[pytest.Item]:
    """Tests of `make quick`: none that is marked slow, and of each test its first cases."""
    cases = Counter[str]()
    selected = []
    for item in items:
        test = item.nodeid.partition("[")[0]
        cases[test] += 1
        if cases[test] <= CASES_WHEN_QUICK and not item.get_closest_marker("slow"):
            selected.append(item)
    return selected
