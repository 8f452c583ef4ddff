"""What all tests share: one thread, switches and signals as a fresh process has them, reproducible examples."""

import os
import signal
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
settings.load_profile("full" if os.environ.get("GUIDEBP_FULL") else "guidebp")


@pytest.fixture(autouse=True)
def fresh_torch() -> Iterator[None]:
    """A run sets global switches (`set_numerics`); none of them may reach the next test."""
    torch.set_num_threads(1)
    yield
    torch.use_deterministic_algorithms(False)
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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The workflow's files first: they are few and long, and at the end one core would wait for the other."""
    items.sort(key=lambda item: "workflow" not in item.path.parts)
