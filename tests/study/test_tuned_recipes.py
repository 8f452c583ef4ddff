"""Recipes with a learning rate per dataset, network and method, and the studies that choose them."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from guidebp.errors import UserError
from guidebp.study.plan import plan_claims
from guidebp.study.resolve import load_study

ROOT = Path(__file__).resolve().parents[2]
TUNING = """
title: T
about: A.
tunes: mine
blocks:
  - datasets: [digits]
    architectures: [columns-digits]
    methods: [add, average]
    recipe: digits-smoke
    rates: [0.05, 0.2]
    seeds: [900, 901]
baselines: [average]
"""
TUNED = """
smoke-tuned:
  base: digits-smoke
  rates: {digits: {columns-digits: {add: 0.2, average: 0.05}}}
"""
OTHER = """  - datasets: [digits]
    architectures: [columns-digits]
    methods: [max]
    recipe: digits-smoke
    rates: [0.05, 0.1]
    seeds: [900]
"""
STUDY = TUNING.replace("tunes: mine\n", "").replace("    rates: [0.05, 0.2]\n", "")
USES = STUDY.replace("digits-smoke", "smoke-tuned")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "config", tmp_path / "config")
    (tmp_path / "config/recipes/mine.tuned.yaml").write_text(TUNED)
    return tmp_path


def load(root: Path, study: str) -> dict[tuple[str, str, int], str]:
    """(method, recipe, seed) to key."""
    (root / "config/studies/s.yaml").write_text(study)
    return {(run.method, run.recipe, run.seed): run.key for run in load_study("s", root).runs}


def test_a_tuned_run_is_the_run_that_was_tried(root: Path) -> None:
    tried, used, plain = (load(root, study) for study in (TUNING, USES, STUDY))
    assert len(tried) == 8
    for seed in (900, 901):
        add, average = (used[method, "smoke-tuned", seed] for method in ("add", "average"))
        assert add == tried["add", "digits-smoke-lr-0.2", seed]
        assert average == tried["average", "digits-smoke-lr-0.05", seed]
        # where the rate is the recipe's own, so is the run
        assert average == plain["average", "digits-smoke", seed]
        assert add != plain["add", "digits-smoke", seed]


@pytest.mark.parametrize(
    ("study", "tuned", "said"),
    [
        (
            TUNING.replace("tunes: mine\n", ""),
            TUNED,
            "blocks.0 has rates, so the study needs the key `tunes`",
        ),
        (TUNING.replace("    rates: [0.05, 0.2]\n", ""), TUNED, "blocks.0 has no rates to try"),
        (TUNING.replace("0.05, 0.2", "0.05, 0.05"), TUNED, "rates: listed twice: 0.05"),
        (
            TUNING.replace("baselines", OTHER + "baselines"),
            TUNED,
            "is trained by other rates in another block",
        ),
        (TUNING.replace("0.05, 0.2", "0.05, 0"), TUNED, "rates.1: Input should be greater than 0"),
        (
            TUNING.replace("digits-smoke", "smoke-tuned"),
            TUNED,
            "no recipe 'smoke-tuned' with a learning rate",
        ),
        (USES, TUNED.replace("add:", "max:"), "'smoke-tuned' has no rate for digits/columns-digits/add; run"),
        (
            USES,
            TUNED.replace("base: digits-smoke", "base: smoke-tuned"),
            "smoke-tuned.base: no recipe 'smoke-tuned'",
        ),
        (
            USES,
            TUNED.replace("add: 0.2", "add: -1"),
            "rates.digits.columns-digits.add: Input should be greater",
        ),
        (USES, TUNED.replace("base:", "epochs: 3\n  base:"), "smoke-tuned.epochs: unknown key"),
    ],
)
def test_mistakes_are_one_line(root: Path, study: str, tuned: str, said: str) -> None:
    (root / "config/recipes/mine.tuned.yaml").write_text(tuned)
    with pytest.raises(UserError, match=re.escape(said)) as caught:
        load(root, study)
    assert "\n" not in str(caught.value)


def test_what_tuning_makes_may_not_stand_elsewhere(root: Path) -> None:
    text = TUNED.replace("smoke-tuned", "digits-smoke-tuned")
    (root / "config/recipes/mine.tuned.yaml").write_text(text)
    load(root, TUNING)
    (root / "config/recipes/mine.tuned.yaml").rename(root / "config/recipes/other.yaml")
    with pytest.raises(
        UserError,
        match=r"make digits-smoke-tuned\.rates\.digits\.columns-digits in mine\.tuned\.yaml, but it stands in",
    ):
        load(root, TUNING)
    (root / "config/recipes/other.yaml").write_text(
        "digits-smoke-tuned: {optimiser: {name: adam, lr: 0.1}, epochs: 1, batch_size: 8}"
    )
    with pytest.raises(UserError, match=r"'digits-smoke-tuned', but there is one of that name in .*other"):
        load(root, TUNING)


def test_several_studies_may_tune_parts_of_one_recipe(root: Path) -> None:
    other = root / "config/recipes/other.tuned.yaml"
    before = load(root, USES)
    other.write_text(TUNED.replace("columns-digits", "instances-digits"))
    both = load(root, USES.replace("[columns-digits]", "[columns-digits, instances-digits]"))
    assert load(root, USES) == before and len(both) == len(before) and before.items().isdisjoint(both.items())
    other.write_text(TUNED.replace("{digits: {", "{cmaterdb: {"))
    assert load(root, USES) == before
    other.write_text(TUNED)
    with pytest.raises(UserError, match=r"smoke-tuned\.rates\.digits\.columns-digits: also stands in .*mine"):
        load(root, USES)
    other.write_text(
        TUNED.replace("columns-", "instances-").replace("base: digits-smoke", "base: digits-short")
    )
    with pytest.raises(
        UserError, match=r"smoke-tuned\.base: .digits-short., but .*mine.* says .digits-smoke."
    ):
        load(root, USES)


def test_a_run_that_tunes_decides_nothing_and_needs_validation_images(root: Path) -> None:
    load(root, TUNING)
    assert not any(run.planned.locks for run in load_study("s", root).runs)
    load(root, STUDY)
    assert all(run.planned.locks for run in load_study("s", root).runs)
    datasets = root / "config/datasets.yaml"
    text = datasets.read_text()
    start = text.index("\ndigits:")
    datasets.write_text(text[:start] + re.sub("validation: [0-9.]+", "validation: 0", text[start:], count=1))
    with pytest.raises(UserError, match="tunes: dataset 'digits' has no validation images"):
        load(root, TUNING)


def test_a_study_that_waits_for_its_rates_stops_no_other(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the study that is to tune them could not be collected."""
    monkeypatch.chdir(root)
    (root / "config/studies/s.yaml").write_text(TUNING)
    path = root / "config/studies/small.yaml"
    path.write_text(USES.replace("seeds: [900, 901]", "seeds: [200, 201]"))
    claims = root / "config/claims.yaml"
    published = "published: {datasets: [mnist, cmaterdb, cifar-10], architectures: [columns-32]"
    small = "small-scale: {datasets: [digits], architectures: [columns-digits], study: small}"
    assert published in claims.read_text()
    claims.write_text(claims.read_text().replace(published, f"{small}\n    {published}"))

    def settings() -> list[str]:
        plans: Any = plan_claims(load_study("s"))["guidebp-merge"]["plan"]
        return [plan["setting"] for plan in plans]

    assert settings() == ["small-scale", "published"]
    path.write_text(path.read_text().replace("methods: [add, average]", "methods: [max, average]"))
    with pytest.raises(UserError, match="has no rate for"):
        load_study("small")
    assert settings() == ["published"]
    path.write_text("title: [")
    with pytest.raises(UserError, match=r"small\.yaml"):
        settings()
