"""Claims judged on made-up runs: what each metric pairs, failures, scales, words, and how they are shown."""

import math
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest

from guidebp.analysis import statistics
from guidebp.analysis.claim_metrics import COST
from guidebp.analysis.claims import headline, judge
from guidebp.analysis.results import Results
from guidebp.rendering.tables.claims import claims_table, claims_text

Json = dict[str, Any]
NAN = math.nan


@pytest.fixture(autouse=True, scope="module")
def no_signed_rank() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statistics, "signed_rank", lambda values: NAN)
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
        "beside": [],
        "plan": [],
        "grounds": {"published": ground()},
    }
    return made | changes


def versus(better: str, than: str, metric: str | None = None) -> Json:
    return {"better": {"method": better, "metric": None}, "than": {"method": than, "metric": metric}}


def ground(**changes: Any) -> Json:
    return {
        "datasets": ["data"],
        "networks": ["net"],
        "recipes": ["good"],
        "study": None,
        "instead": {},
    } | changes


JITTER = [0.0, 0.5, -0.5, 0.2, -0.2]


def arm(method: str, at: list[float], seeds: range = range(100, 105), **changes: Any) -> list[Json]:
    """Runs whose accuracies vary a little; odd methods differently, so that differences vary."""
    sign = 1 if method == "a" else -1
    return [run(method, r, [value + sign * JITTER[r % 5] / 5 for value in at], **changes) for r in seeds]


def judged(runs: list[Json], asked: Json | None = None, **more: Any) -> tuple[Json, pd.DataFrame]:
    (found,), parts = judge(results(runs, asked or claim(), **more))
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
    assert "These runs say nothing of memory." in found["scales"]["published"]["why"]


def test_pairs_are_of_equal_seed_and_device() -> None:
    assert judged([*arm("a", [90]), *arm("b", [80], range(103, 110))])[1]["n"].tolist() == [2]
    others = arm("b", [80], device_class="cuda")
    found, parts = judged([*arm("a", [90]), *others])
    assert parts["n"].tolist() == [0] and found["verdict"] == "not enough runs"


def test_networks_may_differ_between_sides() -> None:
    runs = [*arm("a", [90], architecture="small"), *arm("b", [80], architecture="large")]
    sides = {"published": ground(networks=[{"better": "small", "than": "large"}])}
    found, parts = judged(runs, claim(grounds=sides))
    assert found["verdict"] == "replicated"
    assert parts[["network", "network_than"]].to_numpy().tolist() == [["small", "large"]]
    assert claims_table([found])["weakest difference"].tolist() == [
        "a - b, primary: data, small against large"
    ]
    turned = {"published": ground(networks=[{"better": "large", "than": "small"}])}
    assert judged(runs, claim(grounds=turned))[0]["verdict"] == "not tested"


@pytest.mark.parametrize("status", ["diverged", "crashed"])
def test_failed_runs_are_at_chance_on_either_side(status: str) -> None:
    for side, sign in (("a", -1), ("b", 1)):
        runs = [r | ({"status": status} if r["method"] == side and r["seed"] == 102 else {}) for r in BETTER]
        found, parts = judged(runs)
        row = parts.iloc[0]
        other = 80 if side == "a" else 90
        assert (row["n"], row["n_finished"]) == (5, 4)
        assert (row["failed"], row["failed_than"]) == ((1, 0) if side == "a" else (0, 1))
        assert row["difference"] == pytest.approx((4 * 10 + sign * (other - 10)) / 5, abs=0.2)
        assert row["difference_finished"] == pytest.approx(10, abs=0.2)
        assert "1 runs of" in found["scales"]["published"]["why"]


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


def test_missing_runs_are_nothing_and_leave_it_open_whether_the_word_stays() -> None:
    runs = [r | ({"status": "missing", "device_class": "none"} if r["seed"] == 104 else {}) for r in BETTER]
    found, parts = judged(runs)
    assert found["verdict"] == "replicated so far"
    assert (parts["n"].item(), parts["missing"].item(), parts["failed"].item()) == (4, 1, 0)
    assert judged(arm("a", [90]))[0]["verdict"] == "not tested"
    assert judged([*arm("a", [90], range(100, 101)), *arm("b", [80])])[0]["verdict"] == "not enough runs"


def test_cells_and_comparisons_without_runs_leave_it_open() -> None:
    two = {"published": ground(datasets=["data", "more"])}
    found, _ = judged(BETTER, claim(grounds=two))
    assert found["verdict"] == "replicated so far"
    worse = [r | {"dataset": "more", "method": "ba"["ab".index(r["method"])]} for r in BETTER]
    found, _ = judged([*BETTER, *worse], claim(grounds=two))
    assert found["verdict"] == "inconclusive"
    assert [cell["standing"] for cell in found["scales"]["published"]["cells"]] == ["holds", "fails"]
    several = claim(comparisons=[versus("a", "b"), versus("a", "c")])
    assert judged(BETTER, several)[0]["verdict"] == "inconclusive so far", "nothing is known of c"
    assert judged([*BETTER, *arm("c", [85, 85])], several)[0]["verdict"] == "replicated"


@pytest.mark.parametrize(
    ("scale", "better", "worse"),
    [
        ("published", "replicated", "contradicted"),
        ("desk", "supports (desk proxy)", "opposes (desk proxy)"),
        ("exploratory", "not tested", "not tested"),
    ],
)
def test_words_of_the_scales(scale: str, better: str, worse: str) -> None:
    grounds = {scale: ground()}
    assert judged(BETTER, claim(grounds=grounds))[0]["verdict"] == better
    turned = claim(comparisons=[versus("b", "a")], grounds=grounds)
    assert judged(BETTER, turned)[0]["verdict"] == worse


@pytest.mark.parametrize("scale", ["published", "desk"])
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
def test_exploratory_runs_decide_nothing(scale: str, changes: Json) -> None:
    runs = [r | changes for r in BETTER]
    if "seed" in changes:
        runs = [r | {"seed": r["seed"] + changes["seed"]} for r in BETTER]
    found, _ = judged(runs, claim(grounds={scale: ground()}))
    assert (found["verdict"], found["decided"], found["scales"]) == ("not tested", None, {})


def test_only_seeds_from_100_to_899_count() -> None:
    runs = [*arm("a", [90], range(95, 102)), *arm("b", [80], range(95, 102)), *arm("a", [9], range(900, 902))]
    _, parts = judged([*runs, *arm("b", [80], range(900, 902)), *arm("a", [90], range(899, 900))])
    assert parts["n"].tolist() == [2]
    assert judged(runs, claim(grounds={"exploratory": ground()}))[1]["n"].tolist() == [7]


def test_readings_must_all_fail_everywhere() -> None:
    asked = claim(readings=["a", "r", "s"])
    losing = [*arm("a", [70]), *arm("b", [80]), *arm("r", [70])]
    assert judged(losing, asked)[0]["verdict"] == "inconclusive", "s was not tried"
    assert judged([*losing, *arm("s", [80.3])], asked)[0]["verdict"] == "inconclusive"
    assert judged([*losing, *arm("s", [60])], asked)[0]["verdict"] == "contradicted"
    two = asked | {"grounds": {"published": ground(datasets=["data", "more"])}}
    more = [r | {"dataset": "more"} for r in losing]
    assert judged([*losing, *more, *arm("s", [60])], two)[0]["verdict"] == "inconclusive", "s not on both"


def test_what_stands_beside_decides_nothing() -> None:
    found, parts = judged([*BETTER, *arm("z", [99, 99])], claim(beside=["z"]))
    assert found["verdict"] == "replicated" and parts["role"].tolist() == ["decides", "beside"]
    assert parts["p_holm"].notna().tolist() == [True, False]


@pytest.mark.filterwarnings("ignore:'str' is not supported as a fill value")
def test_a_claim_without_runs_says_what_it_takes() -> None:
    plan = [{"scale": "desk", "study": "s", "command": "snakemake", "runs": 20, "hours": {"here": 12.3}}]
    untested = headline("one", claim(plan=plan), {})
    row = claims_table([untested]).iloc[0]
    assert (row["verdict"], row["effect"], row["weakest difference"]) == (
        "not tested",
        "-",
        "20 runs, 12 h on here: snakemake",
    )
    text = claims_text([untested])
    assert text.startswith("one: not tested\n") and "To test it: 20 runs, 12 h on here: snakemake" in text
    short = headline("one", claim(plan=[plan[0] | {"hours": {"here": 0.34}}]), {})
    assert "20 runs, 0.3 h on here" in claims_text([short])
    unknown = headline("one", claim(plan=[plan[0] | {"hours": {}}]), {})
    assert "20 runs, hours unknown: snakemake" in claims_text([unknown])
    assert "no study trains its deciding runs yet" in claims_text([headline("one", claim(), {})])


def test_table_and_text_of_every_scale() -> None:
    grounds = {scale: ground() for scale in ("published", "desk", "exploratory")}
    found, _ = judged(BETTER, claim(grounds=grounds))
    table = claims_table([found])
    assert table["verdict"].tolist() == ["replicated", "supports (desk proxy)", "exploratory: for it"]
    assert table["effect"].tolist() == ["+10.00"] * 3 and table["n"].tolist() == ["5"] * 3
    assert table["weakest difference"].tolist() == ["a - b, primary: data, net"] * 3
    assert table["rule"].iloc[0] == "superiority: above 0, at least 0.2 points"
    text = claims_text([found])
    assert (
        text.startswith("one: replicated\n") and "Exploratory: for it." in text and "To test it" not in text
    )
    only = judged(BETTER, claim(grounds={"exploratory": ground()}))[0]
    assert claims_table([only])["verdict"].tolist() == ["not tested", "exploratory: for it"]


def test_the_scale_that_decides_leads() -> None:
    """One seed of the published protocol neither gives the word nor the numbers beside it."""
    single = [
        *arm("a", [70, 99], range(100, 101), dataset="large"),
        *arm("b", [60, 80], range(100, 101), dataset="large"),
    ]
    grounds = {"published": ground(datasets=["large"]), "desk": ground()}
    found, _ = judged([*BETTER, *single], claim(grounds=grounds))
    assert (found["verdict"], found["decided"]) == ("supports (desk proxy)", "desk")
    assert list(found["scales"]) == ["desk", "published"]
    assert found["scales"]["desk"]["effect"] == pytest.approx(10)


def test_percent_and_unknown_intervals_are_shown() -> None:
    single = judged([*arm("a", [90], range(100, 101)), *arm("b", [80])])[0]
    row = claims_table([single]).iloc[0]
    assert (row["verdict"], row["effect"], row["95 % interval"], row["n"]) == (
        "not enough runs",
        "+10.00",
        "-",
        "1",
    )
    none = judged([*arm("a", [90]), *arm("b", [80], device_class="cuda")])[0]
    assert claims_table([none]).iloc[0][["effect", "95 % interval", "n"]].tolist() == ["-", "-", "0"]
    cost = judged(BETTER, claim(COST, "non-inferiority", 5))[0]
    row = claims_table([cost]).iloc[0]
    assert row["effect"] == "0.00 %" and row["rule"] == "non-inferiority: above -5 %"
    assert row["95 % interval"] == "0.00 to 0.00 %"
    assert "nan" not in claims_text([single, none, cost]).lower()


def test_methods_may_stand_in_on_a_ground() -> None:
    """A small network cannot be trained as the paper's, so another entry of the family takes the part."""
    runs = [*arm("a", [60, 90]), *arm("b", [70, 80]), *arm("quick", [90, 99])]
    plain, _ = judged(runs)
    found, parts = judged(runs, claim(grounds={"published": ground(instead={"a": "quick", "c": "b"})}))
    assert set(plain["scales"]["published"]["where"].values()) >= {"a", "b"}
    assert parts["method"].tolist() == ["quick"] and parts["difference"].tolist() == pytest.approx(
        [19.0], abs=0.5
    )
    assert found["verdict"] == "replicated"
    readings = claim(readings=["a", "c"], beside=["c"], grounds={"published": ground(instead={"c": "quick"})})
    rows = judged(runs, readings)[1]
    assert list(zip(rows["role"], rows["method"], rows["than"], strict=True)) == [
        ("decides", "a", "b"),
        ("reading", "quick", "b"),
        ("beside", "a", "quick"),
    ]
