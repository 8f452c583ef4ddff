"""config/claims.yaml: every published statement is there, its runs are planned, its lock covers what decides."""

from collections import Counter
from functools import cache
from itertools import product

import pytest

from guidebp.schema.claims import Claim, Setting, SettingName, settings_of
from guidebp.schema.yaml_files import read_config_file
from guidebp.study.resolve import load_study
from guidebp.study.study import Study
from tests.support.tiny import ROOT

CLAIMS: dict[str, Claim] = read_config_file(ROOT / "config/claims.yaml", "claims")
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
        CLAIMS["guidebp-pathways"].paper == "ours" and "published" not in CLAIMS["guidebp-pathways"].settings
    )
    for name in ASKED - {"guidebp-pathways"}:
        assert CLAIMS[name].paper != "ours"
        assert CLAIMS[name].settings["published"].recipes, "a published protocol has its recipe"


@pytest.mark.parametrize(
    ("name", "setting_name"),
    [
        (name, setting_name)
        for name, claim in CLAIMS.items()
        for setting_name, setting in claim.settings.items()
        if setting.study
    ],
)
def test_the_study_of_a_setting_trains_all_its_runs(name: str, setting_name: SettingName) -> None:
    claim = CLAIMS[name]
    setting = claim.settings[setting_name]
    assert setting.study
    runs = Counter(
        (run.dataset, run.architecture, run.method)
        for run in study(setting.study).runs
        if (not setting.recipes or run.recipe in setting.recipes)
        and (setting_name == "exploratory" or 100 <= run.seed < 900)
    )
    least = 5 if setting_name == "published" else 2
    primary = claim.comparisons[0].candidate.method
    lacking = set()
    for dataset in setting.datasets:
        for candidate, baseline in setting.list_architecture_pairs():
            for pair in claim.comparisons:
                first, second = (
                    setting.substitutes.get(side.method, side.method)
                    for side in (pair.candidate, pair.baseline)
                )
                sides = {(dataset, candidate, first), (dataset, baseline, second)}
                if pair.candidate.method == primary and setting_name == "published":
                    sides |= {(dataset, candidate, reading) for reading in claim.readings}
                    sides |= {(dataset, baseline, method) for method in claim.context_methods}
                lacking |= {side for side in sides if runs[side] < least}
    assert not lacking


def test_a_lock_covers_what_decides_in_its_setting_and_nothing_else() -> None:
    published = Setting(
        datasets=["mnist"], architectures=["columns-32"], recipes=["guidebp-neighbours"], study=None
    )
    small = Setting(datasets=["digits"], architectures=["columns-digits"], study=None)
    claim = CLAIMS["guidebp-merge"].model_copy(
        update={"settings": {"published": published, "small-scale": small, "exploratory": small}}
    )
    locks = claim.locks
    assert set(locks) == set(claim.settings) and len(set(locks.values())) == 3
    prose: dict[str, object] = {"paper": "ours", "context_methods": ["max"]}
    prose |= dict.fromkeys(("statement", "source", "published", "differs"), "something else")
    rules: dict[str, object] = {
        "metric": "primary",
        "rule": "non-inferiority",
        "margin": 0.3,
        "readings": ["add"],
        "comparisons": claim.comparisons[:1],
    }
    assert {*prose, *rules, "settings"} == set(Claim.model_fields)
    for key, value in prose.items():
        assert claim.model_copy(update={key: value}).locks == locks, key
    for key, value in rules.items():
        after = claim.model_copy(update={key: value}).locks
        assert all(after[name] != locks[name] for name in locks), key
    changes: dict[str, object] = {
        "datasets": ["digits", "mnist"],
        "architectures": ["columns-digits", "columns-32"],
        "recipes": ["digits-short"],
        "substitutes": {"add": "max"},
        "study": "smoke",
    }
    assert set(changes) == set(Setting.model_fields)
    for name, setting in claim.settings.items():
        for key, value in changes.items():
            other = {**claim.settings, name: setting.model_copy(update={key: value})}
            after = claim.model_copy(update={"settings": other}).locks
            changed = [one for one in locks if after[one] != locks[one]]
            assert changed == ([] if key == "study" else [name]), key


@pytest.mark.parametrize("name", ["smoke", "demo", "paper"])
def test_runs_carry_the_locks_of_the_settings_in_which_they_count(name: str) -> None:
    for run in study(name).runs:
        expected: dict[str, dict[str, str]] = {}
        for claim_name, claim in CLAIMS.items():
            first = {*claim.readings, *(pair.candidate.method for pair in claim.comparisons)}
            second = {*claim.context_methods, *(pair.baseline.method for pair in claim.comparisons)}
            for setting_name, setting in claim.settings.items():
                counts = any(
                    (run.architecture, run.method)
                    in {*product([candidate], first), *product([baseline], second)}
                    for candidate, baseline in setting.list_architecture_pairs()
                )
                counts &= run.dataset in setting.datasets
                counts &= not setting.recipes or run.recipe in setting.recipes
                counts &= setting_name == "exploratory" or 100 <= run.seed <= 899
                if counts:
                    expected.setdefault(claim_name, {})[setting_name] = claim.locks[setting_name]
        assert run.planned.locks == expected


SMALL = Setting(
    datasets=["mnist-10k"],
    architectures=["columns-digits", "vgg-digits"],
    recipes=["digits-short"],
    study=None,
    substitutes={"local-critic": "local-critic-quick", "sub-models": "sub-models-quick"},
)


def with_small_scale(name: str) -> Claim:
    claim = CLAIMS[name]
    return claim.model_copy(update={"settings": claim.settings | {"small-scale": SMALL}})


@pytest.mark.parametrize(
    ("dataset", "architecture", "recipe", "seed", "expected"),
    [
        ("mnist", "columns-32", "guidebp-neighbours", 100, ["published"]),
        ("mnist", "columns-32", "guidebp-neighbours", 899, ["published"]),
        ("mnist", "columns-32", "guidebp-neighbours", 99, []),
        ("mnist", "columns-32", "guidebp-neighbours", 900, []),
        ("mnist", "columns-32", "digits-short", 100, []),
        ("mnist", "columns-digits", "guidebp-neighbours", 100, []),
        ("mnist-10k", "columns-digits", "digits-short", 100, ["small-scale"]),
        ("mnist-10k", "columns-digits", "digits-short", 901, []),
        ("mnist-10k", "columns-digits", "digits-smoke", 100, []),
        ("svhn", "columns-32", "guidebp-neighbours", 100, []),
        ("digits", "columns-digits", "digits-short", 0, ["exploratory"]),
        ("digits", "columns-digits", "digits-short", 100, ["exploratory"]),
    ],
)
def test_the_settings_of_a_run(
    dataset: str, architecture: str, recipe: str, seed: int, expected: list[SettingName]
) -> None:
    claim = with_small_scale("guidebp-merge")
    assert settings_of(claim, dataset, architecture, "guidebp", recipe, seed) == expected


def test_a_run_counts_in_every_setting_that_names_it() -> None:
    claim = CLAIMS["guidebp-merge"]
    both = claim.model_copy(update={"settings": {"small-scale": SMALL, "exploratory": SMALL}})
    run = ("mnist-10k", "columns-digits", "guidebp", "digits-short")
    assert settings_of(both, *run, 100) == ["small-scale", "exploratory"]
    assert settings_of(both, *run, 3) == ["exploratory"]


@pytest.mark.parametrize(
    ("method", "expected"),
    [("local-critic-quick", ["small-scale"]), ("sub-models-quick", ["small-scale"]), ("local-critic", [])],
)
def test_substitutes_count_in_place_of_the_claims_methods(method: str, expected: list[SettingName]) -> None:
    claim = with_small_scale("critic-submodels")
    assert settings_of(claim, "mnist-10k", "vgg-digits", method, "digits-short", 100) == expected
