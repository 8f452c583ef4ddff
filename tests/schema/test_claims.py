"""config/claims.yaml: every published statement is there, its runs are planned, its lock covers what decides."""

from collections import Counter
from functools import cache
from itertools import product
from typing import Any

import pytest

from guidebp.runs.spec import Locks
from guidebp.schema.claims import Claim, scale_of
from guidebp.schema.yaml_files import read_file
from guidebp.study.resolve import load_study
from guidebp.study.study import Study
from tests.support.tiny import ROOT

CLAIMS: dict[str, Claim] = read_file(ROOT / "config/claims.yaml", "claims")
# the statements of the four papers, and our check of the mechanism
ASKED = {
    *("guidebp-merge", "guidebp-instances", "guidebp-branches", "guidebp-cost", "multiway-depth"),
    *("multiway-exits", "deconfliction", "deconfliction-combines", "critic-cost", "critic-submodels"),
    *("critic-ensemble", "guidebp-pathways"),
}


@cache
def study(name: str) -> Study:
    return load_study(name, ROOT)


def test_every_statement_of_the_papers_is_there() -> None:
    assert set(CLAIMS) == ASKED
    assert (
        CLAIMS["guidebp-pathways"].paper == "ours" and "published" not in CLAIMS["guidebp-pathways"].grounds
    )
    for name in ASKED - {"guidebp-pathways"}:
        assert CLAIMS[name].paper != "ours" and {"published", "desk"} <= set(CLAIMS[name].grounds)
        assert CLAIMS[name].grounds["published"].recipes, "a published protocol has its recipe"


@pytest.mark.parametrize(
    ("name", "scale"),
    [
        (name, scale)
        for name, claim in CLAIMS.items()
        for scale, ground in claim.grounds.items()
        if ground.study
    ],
)
def test_the_study_of_a_ground_trains_all_its_runs(name: str, scale: Any) -> None:
    claim = CLAIMS[name]
    ground = claim.grounds[scale]
    assert ground.study
    runs = Counter(
        (run.dataset, run.architecture, run.method)
        for run in study(ground.study).runs
        if (not ground.recipes or run.recipe in ground.recipes)
        and (scale == "exploratory" or 100 <= run.seed < 900)
    )
    least = 5 if scale == "published" else 2
    primary = claim.comparisons[0].better.method
    lacking = set()
    for dataset in ground.datasets:
        for better, than in ground.pairs():
            for pair in claim.comparisons:
                first, second = (
                    ground.instead.get(side.method, side.method) for side in (pair.better, pair.than)
                )
                sides = {(dataset, better, first), (dataset, than, second)}
                if pair.better.method == primary and scale == "published":
                    sides |= {(dataset, better, reading) for reading in claim.readings}
                    sides |= {(dataset, than, method) for method in claim.beside}
                lacking |= {side for side in sides if runs[side] < least}
    assert not lacking


@pytest.mark.parametrize("key", Claim.model_fields)
def test_the_lock_covers_what_decides_and_nothing_else(key: str) -> None:
    claim = CLAIMS["guidebp-merge"]
    told = {"paper": "ours", "beside": ["max"]} | dict.fromkeys(
        ("statement", "source", "published", "differs"), "something else"
    )
    if key in told:
        assert claim.model_copy(update={key: told[key]}).lock == claim.lock
    elif key == "comparisons":
        assert claim.model_copy(update={key: claim.comparisons[:1]}).lock != claim.lock
    elif key == "grounds":
        for scale, ground in claim.grounds.items():
            for part, changed in (
                ("datasets", ["digits", "mnist"]),
                ("networks", ["columns-desk", "columns-32"]),
                ("recipes", ["digits-short"]),
                ("instead", {"add": "max"}),
                ("study", "smoke"),
            ):
                other = {**claim.grounds, scale: ground.model_copy(update={part: changed})}
                assert (claim.model_copy(update={key: other}).lock == claim.lock) == (part == "study")
    else:
        others = {"metric": "primary", "rule": "non-inferiority", "margin": 0.3}
        assert claim.model_copy(update={key: others.get(key, ["add"])}).lock != claim.lock


@pytest.mark.parametrize("name", ["smoke", "demo", "paper"])
def test_runs_carry_the_locks_of_the_claims_they_may_help_to_decide(name: str) -> None:
    for run in study(name).runs:
        expected: Locks = {}
        for number, claim in CLAIMS.items():
            first = {*claim.readings, *(pair.better.method for pair in claim.comparisons)}
            second = {*claim.beside, *(pair.than.method for pair in claim.comparisons)}
            for scale, ground in claim.grounds.items():
                known = any(
                    (run.architecture, run.method) in {*product([better], first), *product([than], second)}
                    for better, than in ground.pairs()
                )
                known &= run.dataset in ground.datasets
                known &= not ground.recipes or run.recipe in ground.recipes
                known &= scale == "exploratory" or 100 <= run.seed <= 899
                if known:
                    expected.setdefault(number, {})[scale] = claim.lock
        assert run.planned.locks == expected


@pytest.mark.parametrize(
    ("dataset", "network", "recipe", "seed", "expected"),
    [
        ("mnist", "columns-32", "guidebp-neighbours", 100, "published"),
        ("mnist", "columns-32", "guidebp-neighbours", 899, "published"),
        ("mnist", "columns-32", "guidebp-neighbours", 99, None),
        ("mnist", "columns-32", "guidebp-neighbours", 900, None),
        ("mnist", "columns-32", "digits-short", 100, None),
        ("mnist", "columns-desk", "guidebp-neighbours", 100, None),
        ("mnist-10k", "columns-desk", "desk-merges-tuned", 100, "desk"),
        ("mnist-10k", "columns-desk", "desk-merges-tuned", 901, None),
        ("mnist-10k", "columns-desk", "desk-merges", 100, None),
        ("svhn", "columns-32", "guidebp-neighbours", 100, None),
        ("digits", "columns-digits", "digits-short", 0, "exploratory"),
        ("digits", "columns-digits", "digits-short", 100, "exploratory"),
    ],
)
def test_scale(dataset: str, network: str, recipe: str, seed: int, expected: str | None) -> None:
    assert scale_of(CLAIMS["guidebp-merge"], dataset, network, "guidebp", recipe, seed) == expected


@pytest.mark.parametrize(
    ("method", "expected"),
    [("local-critic-quick", "desk"), ("sub-models-quick", "desk"), ("local-critic", None)],
)
def test_methods_that_stand_in_count_in_place_of_those_they_stand_for(
    method: str, expected: str | None
) -> None:
    claim = CLAIMS["critic-submodels"]
    assert scale_of(claim, "mnist-10k", "vgg-desk", method, "desk-critics-tuned", 100) == expected
