"""Claims judged on made-up runs: pairs of each metric, failures, settings, verdicts, locks, and texts."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from guidebp.analysis import statistics
from guidebp.analysis.claim_metrics import COST
from guidebp.analysis.claims import judge_claims, summarise_claim
from guidebp.analysis.results import Results
from guidebp.collect.collect import count_locks
from guidebp.rendering.tables.claims import format_claims, tabulate_claims
from guidebp.schema.claims import Claim

Json = dict[str, Any]
NAN = math.nan


@pytest.fixture(autouse=True, scope="module")
def no_signed_rank() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statistics, "compute_signed_rank_p", lambda values: NAN)
        yield


def run(method: str, seed: int, accuracies: list[float], **changes: Any) -> Json:
    """A run with so many pathways, the last of them primary."""
    plain = {"dataset": "data", "architecture": "net", "recipe": "good", "device_class": "cpu"}
    return plain | {"method": method, "seed": seed, "status": "finished", "at": accuracies} | changes


def results(runs: list[Json], asked: Json, test: Any = "official") -> Results:
    """The tables of these runs; `merged` is the mean of the pathways, the ensemble one point above."""
    metrics, inference, costs = [], [], []
    for one in runs:
        one = dict(one)
        at, step, memory = one.pop("at"), one.pop("step", 1.0), one.pop("memory", NAN)
        trained = one.pop("trained", [True] * len(at))
        one["key"] = "/".join(str(one[name]) for name in ("dataset", "architecture", "method", "seed"))
        lost = one["status"] != "finished"
        if one["status"] in ("crashed", "missing"):
            metrics.append(one)
            continue
        named = [(f"exit {k}", k + 1.0, a, t) for k, (a, t) in enumerate(zip(at, trained, strict=True))]
        for output, pathway, value, known in [*named, ("merged", None, sum(at) / len(at), all(trained))]:
            primary = pathway == len(at)
            sizes = {"train_images": 800.0, "test_images": 200.0}
            more = {"primary": primary, "trained": known, "accuracy": NAN if lost else value}
            metrics.append(one | sizes | more | {"output": output, "pathway": pathway})
        if not lost:
            for level, value in ((1.0, 1.0), (2.0, at[-1] + 1), (1.0, 2.0)):
                inference.append(one | {"way": "logit ensemble", "level": level, "accuracy": value})
            inference.append(one | {"way": "ensemble", "level": 2.0, "accuracy": 3.0})
        costs.append(one | {"step_seconds": 10 * step, "steps": 10, "peak_memory": memory})
    columns = ["output", "pathway", "primary", "trained", "accuracy", "train_images", "test_images"]
    table = pd.DataFrame(metrics)
    empty = pd.DataFrame()
    about = {
        "datasets": {name: {"classes": 10, "split": {"test": test}} for name in ("data", "more", "large")},
        "claims": {"one": asked},
    }
    return Results(
        about,
        table.reindex(columns=list(dict.fromkeys([*table.columns, *columns]))),
        empty,
        pd.DataFrame(inference),
        empty,
        empty,
        pd.DataFrame(costs),
    )


def claim(metric: str = "primary", rule: str = "superiority", margin: float = 0.2, **changes: Any) -> Json:
    made = {
        **dict.fromkeys(("paper", "statement", "source", "published", "differs"), "-"),
        "metric": metric,
        "rule": rule,
        "margin": margin,
        "comparisons": [versus("a", "b")],
        "readings": [],
        "context_methods": [],
        "plan": [],
        "settings": {"published": setting()},
    }
    return made | changes


def versus(candidate: str, baseline: str, metric: str | None = None) -> Json:
    return {
        "candidate": {"method": candidate, "metric": None},
        "baseline": {"method": baseline, "metric": metric},
    }


def setting(**changes: Any) -> Json:
    return {
        "datasets": ["data"],
        "architectures": ["net"],
        "recipes": ["good"],
        "study": None,
        "substitutes": {},
    } | changes


JITTER = [0.0, 0.5, -0.5, 0.2, -0.2]


def arm(method: str, at: list[float], seeds: range = range(100, 105), **changes: Any) -> list[Json]:
    """Runs whose accuracies vary a little; odd methods differently, so that differences vary."""
    sign = 1 if method == "a" else -1
    return [run(method, r, [value + sign * JITTER[r % 5] / 5 for value in at], **changes) for r in seeds]


def judged(runs: list[Json], asked: Json | None = None, **more: Any) -> tuple[Json, pd.DataFrame]:
    (found,), parts = judge_claims(results(runs, asked or claim(), **more))
    return found, parts


BETTER = [*arm("a", [70, 90]), *arm("b", [60, 80])]


def test_every_metric_pairs_its_outputs() -> None:
    for metric, expected in (
        ("primary", {"primary": 10}),
        ("merged", {"merged": 10}),
        ("every pathway", {"pathway 1": 10, "pathway 2": 10}),
        ("every sub-model", {"pathway 1": 10}),
        ("ensemble", {"ensemble": 10}),
    ):
        found, parts = judged(BETTER, claim(metric))
        assert dict(zip(parts["output"], parts["difference"], strict=True)) == pytest.approx(expected)
        assert found["verdict"] == "replicated" and set(parts["n"]) == {5}
    both = claim("ensemble", comparisons=[versus("a", "a", "primary")])
    assert judged(BETTER, both)[1]["difference"].tolist() == pytest.approx([1.0])


def test_every_pathway_means_every() -> None:
    runs = [*arm("a", [60, 90]), *arm("b", [70, 80])]
    assert judged(runs, claim("every pathway"))[0]["verdict"] == "contradicted"
    assert judged(runs, claim("primary"))[0]["verdict"] == "replicated"
    fewer = judged([*arm("a", [90]), *arm("b", [70, 80])], claim("every pathway"))
    assert fewer[0]["verdict"] == "inconclusive" and fewer[1]["n"].tolist() == [5, 0]
    unfit = [*arm("a", [70, 90]), *arm("b", [10, 80], trained=[False, True])]
    assert judged(unfit, claim("every pathway"))[0]["verdict"] == "inconclusive", "untrained is not worse"


def test_cost_is_percent_saved_and_unknown_memory_cannot_hold() -> None:
    asked = claim(COST, "non-inferiority", 5)

    def costs(step: float, ours: float, theirs: float) -> tuple[Json, pd.DataFrame]:
        first = [run("a", r, [90], step=step + r / 1e4, memory=ours) for r in range(100, 105)]
        return judged([*first, *(run("b", r, [90], step=2.0, memory=theirs) for r in range(100, 105))], asked)

    found, parts = costs(1.0, 30.0, 40.0)
    assert parts["output"].tolist() == ["time", "memory"] and found["unit"] == "percent"
    assert parts["difference"].tolist() == pytest.approx([49.49, 25.0], abs=0.01)
    assert found["verdict"] == "replicated"
    assert costs(3.0, 30.0, 40.0)[0]["verdict"] == "contradicted"
    found, parts = costs(1.0, NAN, NAN)
    assert found["verdict"] == "inconclusive" and parts["n"].tolist() == [5, 0]
    assert "These runs say nothing of memory." in found["settings"]["published"]["why"]


def test_pairs_are_of_equal_seed_and_device() -> None:
    assert judged([*arm("a", [90]), *arm("b", [80], range(103, 110))])[1]["n"].tolist() == [2]
    others = arm("b", [80], device_class="cuda")
    found, parts = judged([*arm("a", [90]), *others])
    assert parts["n"].tolist() == [0] and found["verdict"] == "not enough runs"


def test_architectures_may_differ_between_sides() -> None:
    runs = [*arm("a", [90], architecture="small"), *arm("b", [80], architecture="large")]
    sides = {"published": setting(architectures=[{"candidate": "small", "baseline": "large"}])}
    found, parts = judged(runs, claim(settings=sides))
    assert found["verdict"] == "replicated"
    assert parts[["architecture", "baseline_architecture"]].to_numpy().tolist() == [["small", "large"]]
    assert tabulate_claims([found])["lowest comparison"].tolist() == [
        "a - b, primary: data, small against large"
    ]
    turned = {"published": setting(architectures=[{"candidate": "large", "baseline": "small"}])}
    assert judged(runs, claim(settings=turned))[0]["verdict"] == "not tested"


@pytest.mark.parametrize("status", ["diverged", "crashed"])
def test_failed_runs_are_at_chance_on_either_side(status: str) -> None:
    for side, sign in (("a", -1), ("b", 1)):
        runs = [r | ({"status": status} if r["method"] == side and r["seed"] == 102 else {}) for r in BETTER]
        found, parts = judged(runs)
        row = parts.iloc[0]
        other = 80 if side == "a" else 90
        assert (row["n"], row["n_finished"]) == (5, 4)
        assert (row["failed"], row["failed_baseline"]) == ((1, 0) if side == "a" else (0, 1))
        assert row["difference"] == pytest.approx((4 * 10 + sign * (other - 10)) / 5, abs=0.2)
        assert row["difference_finished"] == pytest.approx(10, abs=0.2)
        assert "1 runs of" in found["settings"]["published"]["why"]


@pytest.mark.parametrize("status", ["diverged", "crashed"])
def test_an_arm_of_failed_runs(status: str) -> None:
    lost = arm("a", [90, 90], status=status)
    found, parts = judged([*lost, *arm("b", [70, 80])], claim("every pathway"))
    assert found["verdict"] == "contradicted"
    assert parts["difference"].tolist() == pytest.approx([-60, -70]) and set(parts["n_finished"]) == {0}
    found, _ = judged([*arm("a", [70, 80]), *arm("b", [90, 90], status=status)], claim("every pathway"))
    assert found["verdict"] == "replicated"
    both = [*lost, *arm("b", [90, 90], status=status)]
    assert judged(both, claim("primary", "non-inferiority"))[0]["verdict"] == "inconclusive"
    assert judged(both, claim(COST, "non-inferiority"))[0]["verdict"] == "not enough runs"


def test_overlap_is_known_when_one_side_crashed() -> None:
    plain, wide = (
        judged([*arm("a", [90], status="crashed"), *arm("b", [80])], test=test)[1].iloc[0]
        for test in ("official", 0.2)
    )
    factor = math.sqrt((1 / 5 + 200 / 800) * 5)
    assert wide["high"] - wide["low"] == pytest.approx(factor * (plain["high"] - plain["low"]))


def test_missing_runs_are_nothing_and_leave_it_open_whether_the_verdict_stays() -> None:
    runs = [r | ({"status": "missing", "device_class": "none"} if r["seed"] == 104 else {}) for r in BETTER]
    found, parts = judged(runs)
    assert found["verdict"] == "replicated so far"
    assert (parts["n"].item(), parts["missing"].item(), parts["failed"].item()) == (4, 1, 0)
    assert judged(arm("a", [90]))[0]["verdict"] == "not tested"
    assert judged([*arm("a", [90], range(100, 101)), *arm("b", [80])])[0]["verdict"] == "not enough runs"


def test_cells_and_comparisons_without_runs_leave_it_open() -> None:
    two = {"published": setting(datasets=["data", "more"])}
    found, _ = judged(BETTER, claim(settings=two))
    assert found["verdict"] == "replicated so far"
    worse = [r | {"dataset": "more", "method": "ba"["ab".index(r["method"])]} for r in BETTER]
    found, _ = judged([*BETTER, *worse], claim(settings=two))
    assert found["verdict"] == "inconclusive"
    assert [cell["outcome"] for cell in found["settings"]["published"]["cells"]] == ["holds", "fails"]
    several = claim(comparisons=[versus("a", "b"), versus("a", "c")])
    assert judged(BETTER, several)[0]["verdict"] == "inconclusive so far", "nothing is known of c"
    assert judged([*BETTER, *arm("c", [85, 85])], several)[0]["verdict"] == "replicated"


@pytest.mark.parametrize(
    ("name", "better", "worse"),
    [
        ("published", "replicated", "contradicted"),
        ("small-scale", "supports (small scale)", "opposes (small scale)"),
        ("exploratory", "not tested", "not tested"),
    ],
)
def test_verdicts_of_the_settings(name: str, better: str, worse: str) -> None:
    settings = {name: setting()}
    assert judged(BETTER, claim(settings=settings))[0]["verdict"] == better
    turned = claim(comparisons=[versus("b", "a")], settings=settings)
    assert judged(BETTER, turned)[0]["verdict"] == worse


@pytest.mark.parametrize("name", ["published", "small-scale"])
@pytest.mark.parametrize(
    "changes",
    [
        {"seed": -100},
        {"seed": 800},
        {"dataset": "more"},
        {"recipe": "other"},
        {"architecture": "n"},
    ],
)
def test_exploratory_runs_decide_nothing(name: str, changes: Json) -> None:
    runs = [r | changes for r in BETTER]
    if "seed" in changes:
        runs = [r | {"seed": r["seed"] + changes["seed"]} for r in BETTER]
    found, _ = judged(runs, claim(settings={name: setting()}))
    assert (found["verdict"], found["decided"], found["settings"]) == ("not tested", None, {})


def test_only_seeds_from_100_to_899_count() -> None:
    runs = [*arm("a", [90], range(95, 102)), *arm("b", [80], range(95, 102)), *arm("a", [9], range(900, 902))]
    _, parts = judged([*runs, *arm("b", [80], range(900, 902)), *arm("a", [90], range(899, 900))])
    assert parts["n"].tolist() == [2]
    assert judged(runs, claim(settings={"exploratory": setting()}))[1]["n"].tolist() == [7]


def test_readings_must_all_fail_everywhere() -> None:
    asked = claim(readings=["a", "r", "s"])
    losing = [*arm("a", [70]), *arm("b", [80]), *arm("r", [70])]
    assert judged(losing, asked)[0]["verdict"] == "inconclusive", "s was not tried"
    assert judged([*losing, *arm("s", [80.3])], asked)[0]["verdict"] == "inconclusive"
    assert judged([*losing, *arm("s", [60])], asked)[0]["verdict"] == "contradicted"
    two = asked | {"settings": {"published": setting(datasets=["data", "more"])}}
    more = [r | {"dataset": "more"} for r in losing]
    assert judged([*losing, *more, *arm("s", [60])], two)[0]["verdict"] == "inconclusive", "s not on both"


def test_context_does_not_affect_the_verdict() -> None:
    found, parts = judged([*BETTER, *arm("z", [99, 99])], claim(context_methods=["z"]))
    assert found["verdict"] == "replicated" and parts["role"].tolist() == ["decides", "context"]
    assert parts["p_holm"].notna().tolist() == [True, False]


@pytest.mark.filterwarnings("ignore:'str' is not supported as a fill value")
def test_a_claim_without_runs_says_what_it_takes() -> None:
    plan = [
        {"setting": "small-scale", "study": "s", "command": "snakemake", "runs": 20, "hours": {"here": 12.3}}
    ]
    untested = summarise_claim("one", claim(plan=plan), {})
    row = tabulate_claims([untested]).iloc[0]
    assert (row["verdict"], row["effect"], row["lowest comparison"]) == (
        "not tested",
        "-",
        "20 runs, 12 h on here: snakemake",
    )
    text = format_claims([untested])
    assert text.startswith("one: not tested\n") and "To test it: 20 runs, 12 h on here: snakemake" in text
    short = summarise_claim("one", claim(plan=[plan[0] | {"hours": {"here": 0.34}}]), {})
    assert "20 runs, 0.3 h on here" in format_claims([short])
    unknown = summarise_claim("one", claim(plan=[plan[0] | {"hours": {}}]), {})
    assert "20 runs, hours unknown: snakemake" in format_claims([unknown])
    assert "no study trains its deciding runs yet" in format_claims([summarise_claim("one", claim(), {})])


def test_table_and_text_of_every_setting() -> None:
    settings = {name: setting() for name in ("published", "small-scale", "exploratory")}
    found, _ = judged(BETTER, claim(settings=settings))
    table = tabulate_claims([found])
    assert table["setting"].tolist() == ["published", "small scale", "exploratory"]
    assert table["verdict"].tolist() == ["replicated", "supports", "for it"]
    assert table["effect"].tolist() == ["+10.00"] * 3 and table["n"].tolist() == ["5"] * 3
    assert table["lowest comparison"].tolist() == ["a - b, primary: data, net"] * 3
    assert table["rule"].iloc[0] == "superiority: above 0, at least 0.2 points"
    text = format_claims([found])
    assert (
        text.startswith("one: replicated\n")
        and "Small scale: supports." in text
        and "Exploratory: for it." in text
        and "To test it" not in text
    )
    only = judged(BETTER, claim(settings={"exploratory": setting()}))[0]
    assert tabulate_claims([only])["verdict"].tolist() == ["not tested", "for it"]


def test_the_setting_that_decides_leads() -> None:
    """One seed of the published protocol gives neither the verdict nor its numbers."""
    single = [
        *arm("a", [70, 99], range(100, 101), dataset="large"),
        *arm("b", [60, 80], range(100, 101), dataset="large"),
    ]
    settings = {"published": setting(datasets=["large"]), "small-scale": setting()}
    found, _ = judged([*BETTER, *single], claim(settings=settings))
    assert (found["verdict"], found["decided"]) == ("supports (small scale)", "small-scale")
    assert list(found["settings"]) == ["small-scale", "published"]
    assert found["settings"]["small-scale"]["effect"] == pytest.approx(10)


def test_percent_and_unknown_intervals_are_shown() -> None:
    single = judged([*arm("a", [90], range(100, 101)), *arm("b", [80])])[0]
    row = tabulate_claims([single]).iloc[0]
    assert (row["verdict"], row["effect"], row["95 % interval"], row["n"]) == (
        "not enough runs",
        "+10.00",
        "-",
        "1",
    )
    none = judged([*arm("a", [90]), *arm("b", [80], device_class="cuda")])[0]
    assert tabulate_claims([none]).iloc[0][["effect", "95 % interval", "n"]].tolist() == ["-", "-", "0"]
    cost = judged(BETTER, claim(COST, "non-inferiority", 5))[0]
    row = tabulate_claims([cost]).iloc[0]
    assert row["effect"] == "0.00 %" and row["rule"] == "non-inferiority: above -5 %"
    assert row["95 % interval"] == "0.00 to 0.00 %"
    assert "nan" not in format_claims([single, none, cost]).lower()


def test_substitutes_replace_methods_in_a_setting() -> None:
    """A small network cannot be trained as the paper's, so another entry of the family replaces it."""
    runs = [*arm("a", [60, 90]), *arm("b", [70, 80]), *arm("quick", [90, 99])]
    plain, _ = judged(runs)
    found, parts = judged(runs, claim(settings={"published": setting(substitutes={"a": "quick", "c": "b"})}))
    assert set(plain["settings"]["published"]["lowest"].values()) >= {"a", "b"}
    assert parts["candidate"].tolist() == ["quick"] and parts["difference"].tolist() == pytest.approx(
        [19.0], abs=0.5
    )
    assert found["verdict"] == "replicated"
    readings = claim(
        readings=["a", "c"],
        context_methods=["c"],
        settings={"published": setting(substitutes={"c": "quick"})},
    )
    rows = judged(runs, readings)[1]
    assert list(zip(rows["role"], rows["candidate"], rows["baseline"], strict=True)) == [
        ("decides", "a", "b"),
        ("reading", "quick", "b"),
        ("context", "a", "quick"),
    ]


LOCKED = claim(
    paper="ours",
    context_methods=["c"],
    settings={"published": setting(), "small-scale": setting(datasets=["more"]), "exploratory": setting()},
)
Locks = dict[str, dict[str, str]]


def locks_of(**claims: Json) -> Locks:
    return {
        name: Claim.model_validate({k: v for k, v in one.items() if k != "plan"}).locks
        for name, one in claims.items()
    }


def judged_under(now: Locks, asked: Json, recorded: Locks, silent: int = 0) -> Json:
    """The claim after its runs were trained under the recorded locks; the first `silent` have none."""
    wanted = {"one": {name: now["one"][name] for name in ("published", "exploratory")}}
    trained = [(wanted, recorded if k >= silent else {}, "c") for k in range(len(BETTER))]
    lock = count_locks(now, trained)
    (verdict,), _ = judge_claims(replace(results(BETTER, asked), lock=lock))
    return verdict


CHANGED = " (rules changed after the runs)"


@pytest.mark.parametrize(
    ("changes", "changed"),
    [
        ({}, False),
        ({"statement": "Other words.", "source": "elsewhere", "published": "+3", "differs": "size"}, False),
        ({"context_methods": ["d"]}, False),
        ({"settings": LOCKED["settings"] | {"small-scale": setting(datasets=["large"])}}, False),
        ({"settings": LOCKED["settings"] | {"published": setting(study="paper")}}, False),
        ({"margin": 0.3}, True),
        ({"metric": "merged"}, True),
        ({"comparisons": [versus("a", "b"), versus("a", "b", "merged")]}, True),
        ({"settings": LOCKED["settings"] | {"published": setting(recipes=[])}}, True),
        ({"settings": LOCKED["settings"] | {"published": setting(datasets=["data", "more"])}}, True),
        ({"settings": LOCKED["settings"] | {"published": setting(substitutes={"z": "b"})}}, True),
    ],
)
def test_a_verdict_says_when_its_rules_changed_after_the_runs(changes: Json, changed: bool) -> None:
    asked = LOCKED | changes
    before = locks_of(one=LOCKED, other=LOCKED)
    after = locks_of(one=asked, other=LOCKED | {"margin": 0.9})
    found = judged_under(after, asked, before)
    published = found["settings"]["published"]
    assert published["rules_changed"] == found["rules_changed"] == changed
    for verdict in (found["verdict"], published["verdict"]):
        assert verdict.endswith(CHANGED) == changed and verdict.startswith("replicated")
    assert published["effect"] == pytest.approx(10, abs=0.2), "the numbers stay"
    exploratory = found["settings"]["exploratory"]
    if "settings" in changes:
        assert not exploratory["rules_changed"] and exploratory["verdict"] == "for it"
    for text in (format_claims([found]), *tabulate_claims([found])["verdict"][:1]):
        assert ("(rules changed after the runs)" in " ".join(text.split())) == changed


def test_runs_without_a_lock_were_trained_under_other_rules() -> None:
    locks = locks_of(one=LOCKED)
    assert judged_under(locks, LOCKED, locks)["verdict"] == "replicated"
    assert judged_under(locks, LOCKED, locks, silent=1)["verdict"] == f"replicated{CHANGED}"
    assert judged_under(locks, LOCKED, {}, silent=0)["verdict"] == f"replicated{CHANGED}"


def test_another_rule_in_one_setting_is_none_in_the_other() -> None:
    locks = locks_of(one=LOCKED)
    other = {"one": locks["one"] | {"exploratory": "0" * 16}}
    found = judged_under(locks, LOCKED, other)
    assert not found["rules_changed"] and found["verdict"] == "replicated"
    assert found["settings"]["exploratory"]["verdict"] == "for it (rules changed after the runs)"
