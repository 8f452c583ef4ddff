"""A short form of `make chaos`: as far as the records, few kills, always at the same moments."""

import random
from pathlib import Path

import pytest

from tests.chaos.faults import asked_to_stop
from tests.chaos.victim import Victim, kill_often


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Victim:
    """Data prepared, nothing trained."""
    made = Victim(tmp_path_factory.mktemp("template") / "project", target="experiments")
    made.call("snakemake", "--quiet", "all", "--", "data")
    return made


@pytest.fixture(scope="module")
def undisturbed(template: Victim, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What every run of the study must end in."""
    made = template.copy(tmp_path_factory.mktemp("undisturbed") / "project")
    made.call(*made.workflow)
    kept = made.kept()
    assert len([name for name in kept if name.endswith("record.json")]) == 16
    return kept


def test_killed_and_continued_ends_in_the_same_bytes(
    template: Victim, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    victim = template.copy(tmp_path / "project")
    assert kill_often(victim, random.Random(1), times=2, seconds=12) == 2
    assert victim.kept() == undisturbed


def test_asked_to_stop_and_continued_ends_in_the_same_bytes(
    template: Victim, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    victim = template.copy(tmp_path / "project")
    assert asked_to_stop(victim, random.Random(1)) == 2
    assert victim.kept() == undisturbed
