"""A short form of `make chaos`: a small study as far as its records, killed and asked to stop once."""

import random
from pathlib import Path

import pytest

from tests.chaos.victim import Victim, kill_often


@pytest.mark.workflow
def test_killed_and_continued_ends_in_the_same_bytes(tmp_path: Path) -> None:
    template = Victim(tmp_path / "template", target="experiments", study="tiny")
    template.edit("config/recipes/tiny.yaml", "epochs: 1", "epochs: 8")
    template.call("snakemake", "--quiet", "all", "--", "data")
    undisturbed, victim = template.copy(tmp_path / "undisturbed"), template.copy(tmp_path / "victim")
    undisturbed.call(*undisturbed.workflow)
    assert kill_often(victim, random.Random(1), times=2, seconds=14, whom=("all", "asked")) == 2
    kept = undisturbed.kept()
    assert len([name for name in kept if name.endswith("record.json")]) == 6
    assert victim.kept() == kept
