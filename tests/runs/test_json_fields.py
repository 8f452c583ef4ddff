"""JSON of frozen dataclasses: round trips, omitted defaults, and errors that name the key at fault."""

import json
from dataclasses import dataclass, field, fields
from typing import Any, Literal

import pytest

from guidebp.hashing import encode_canonical_json
from guidebp.runs.json_fields import JsonObject, from_json, to_json
from guidebp.runs.result import (
    Calibration,
    EarlyExit,
    History,
    Inference,
    NetworkCost,
    PathwayCounts,
    RunResult,
    SmallestExit,
    SplitSizes,
)
from guidebp.runs.spec import RunSpec
from tests.support.tiny import ARCHITECTURES, recipe, spec

EXITS = EarlyExit(level=[0.5, 0.9], correct=[3, 4], leave=[[5, 0], [1, 4]])
RESULTS = {
    "crashed": RunResult(status="crashed"),
    "diverged": RunResult(
        status="diverged",
        outputs=["kernel 3", "merged", "softmax average"],
        pathways=1,
        primary="merged",
        sizes=SplitSizes(train=10, validation=0, test=5),
        parameters=12,
        trained=[True],
        backward_passes=1.0,
        cost=NetworkCost(PathwayCounts([12], [12]), PathwayCounts([34], [34])),
        diverged_in_epoch=0,
    ),
    "finished": RunResult(
        status="finished",
        outputs=["exit 1", "exit 2", "merged", "softmax average"],
        pathways=2,
        primary="exit 2",
        sizes=SplitSizes(train=10, validation=3, test=5),
        parameters=12,
        trained=[True, False],
        backward_passes=1.5,
        cost=NetworkCost(PathwayCounts([4, 12], [4, 12]), PathwayCounts([30, 34], [30, 64])),
        history=History(
            loss=[1.25, 0.5],
            gradient_share=[[0.5, 0.5], [1.0, 0.0]],
            cosine=[None, -0.25],
            conflict=[None, 1.0],
            validation_correct=[[1, 2, 2, 2], [3, 3, 3, 3]],
        ),
        cosines=[[1.0, -0.25], [-0.25, 1.0]],
        test_correct=[1, 5, 4, 4],
        calibration=Calibration([[1, 4]], [[0, 4]], [[0.25, 3.75]]),
        inference=Inference(EXITS, EXITS, [1, 5], [1, 4], EXITS, SmallestExit([0.5, 1.0], [1, 0])),
    ),
}
SPECS = {
    "plain": spec("average", "columns"),
    "with a base": spec("guidebp", "instances", seed=7),
    "every part of a recipe": spec(
        "guidebp",
        "branches",
        recipe=recipe(
            schedule={"name": "step", "milestones": [0.5, 0.75], "factor": 0.2},
            augmentation={"flip": True, "crop": 1, "cutout": 2},
            downsample=2,
            numerics="fast",
        ),
    ),
}


def through_text(value: object) -> Any:
    """The value after it was written to a file and read again."""
    return json.loads(encode_canonical_json(to_json(value)))


@pytest.mark.parametrize("name", RESULTS)
def test_results_come_back_equal(name: str) -> None:
    assert from_json(RunResult, through_text(RESULTS[name])) == RESULTS[name]


@pytest.mark.parametrize("name", SPECS)
def test_specs_come_back_equal(name: str) -> None:
    restored = from_json(RunSpec, through_text(SPECS[name]))
    assert restored == SPECS[name]
    assert encode_canonical_json(to_json(restored)) == encode_canonical_json(to_json(SPECS[name]))


def test_every_field_of_a_result_is_tried() -> None:
    """No field of a result has its default in all of the examples above."""
    stored = set().union(*(to_json(result) for result in RESULTS.values()))
    assert stored == {entry.name for entry in fields(RunResult)}


def test_values_that_are_no_defaults_are_kept() -> None:
    """Zero is a value where the default is None."""
    assert to_json(RESULTS["diverged"])["diverged_in_epoch"] == 0
    assert to_json(RESULTS["crashed"]) == {"status": "crashed"}


@dataclass(frozen=True)
class Older:
    """A stored value as its first version has it."""

    name: str
    numbers: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Newer:
    """The same with fields that were added later."""

    name: str
    numbers: list[int] = field(default_factory=list)
    level: float = 0.5
    names: dict[str, str] = field(default_factory=dict)
    older: Older = Older("default")
    label: str | None = None


@pytest.mark.parametrize("older", [Older("a"), Older("b", [1, 2])])
def test_a_field_with_a_default_changes_no_older_json(older: Older) -> None:
    newer = Newer(older.name, older.numbers)
    assert encode_canonical_json(to_json(newer)) == encode_canonical_json(to_json(older))
    assert from_json(Newer, through_text(older)) == newer


def test_a_default_inside_a_value_is_omitted_and_a_change_is_not() -> None:
    value = Newer("a", older=Older("default", [3]), label="", level=0.25)
    assert to_json(value) == {
        "name": "a",
        "older": {"name": "default", "numbers": [3]},
        "label": "",
        "level": 0.25,
    }
    assert from_json(Newer, through_text(value)) == value


def test_default_lists_are_not_shared() -> None:
    first, second = (from_json(Older, {"name": "a"}) for _ in range(2))
    first.numbers.append(1)
    assert second.numbers == []


@dataclass(frozen=True)
class Point:
    """An inner object."""

    x: float
    y: float = 0.0


@dataclass(frozen=True)
class Everything:
    """A field of each kind of type."""

    count: int = 0
    share: float = 0.0
    on: bool = False
    text: str = ""
    mode: Literal["exact", "fast"] = "exact"
    test: Literal["official"] | float = "official"
    point: Point = Point(0.0)
    maybe: Point | None = None
    number: int | None = None
    rows: list[list[int]] = field(default_factory=list)
    pair: tuple[int, str] = (0, "")
    shares: tuple[float, ...] = ()
    hashes: dict[str, dict[str, str]] = field(default_factory=dict)
    options: JsonObject = field(default_factory=dict)


def test_every_kind_of_type_comes_back_equal() -> None:
    value = Everything(
        count=-3,
        share=0.25,
        on=True,
        text="ä\n",
        mode="fast",
        test=0.2,
        point=Point(1.5, 2.5),
        maybe=Point(0.0),
        number=0,
        rows=[[1, 2], []],
        pair=(1, "b"),
        shares=(0.5, 0.75),
        hashes={"claim": {"setting": "hash"}},
        options={"list": [1, "a", None, {"x": 1.5}], "flag": False},
    )
    assert set(to_json(value)) == {entry.name for entry in fields(Everything)}
    restored = from_json(Everything, through_text(value))
    assert restored == value
    assert isinstance(restored.pair, tuple) and isinstance(restored.shares, tuple)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"other": 1}, "other: unknown key"),
        ({"point": {}}, "point.x: missing"),
        ({"point": {"x": 1.0, "z": 1.0}}, "point.z: unknown key"),
        ({"count": 1.0}, "count: expected int, found 1.0"),
        ({"count": "1"}, "count: expected int, found '1'"),
        ({"count": None}, "count: expected int, found None"),
        ({"count": True}, "count: expected int, found True"),
        ({"share": True}, "share: expected float, found True"),
        ({"share": "0.5"}, "share: expected float, found '0.5'"),
        ({"share": 10**400}, "share: expected a finite number, found 1000"),
        ({"share": float("nan")}, "share: expected a finite number, found nan"),
        ({"shares": [0.5, float("-inf")]}, "shares.1: expected a finite number, found -inf"),
        ({"a\nb": 1}, "'a\\nb': unknown key"),
        ({"hashes": {"a\tb": 1}}, "hashes.'a\\tb': expected an object, found 1"),
        ({"on": 1}, "on: expected bool, found 1"),
        ({"text": 1}, "text: expected str, found 1"),
        ({"text": ["a"]}, "text: expected str, found ['a']"),
        ({"mode": "slow"}, "mode: expected 'exact' or 'fast', found 'slow'"),
        ({"mode": ["exact"]}, "mode: expected 'exact' or 'fast', found ['exact']"),
        ({"test": "unofficial"}, "test: expected 'official' or float, found 'unofficial'"),
        ({"test": None}, "test: expected 'official' or float, found None"),
        ({"point": [1.0]}, "point: expected an object, found [1.0]"),
        ({"point": {"x": "1"}}, "point.x: expected float, found '1'"),
        ({"maybe": []}, "maybe: expected an object, found []"),
        ({"maybe": {"y": 1.0}}, "maybe.x: missing"),
        ({"maybe": {"x": 1.0, "y": None}}, "maybe.y: expected float, found None"),
        ({"number": 0.5}, "number: expected int, found 0.5"),
        ({"number": False}, "number: expected int, found False"),
        ({"rows": {"0": [1]}}, "rows: expected a list, found {'0': [1]}"),
        ({"rows": "ab"}, "rows: expected a list, found 'ab'"),
        ({"rows": [[1], 2]}, "rows.1: expected a list, found 2"),
        ({"rows": [[1], [2, "3"]]}, "rows.1.1: expected int, found '3'"),
        ({"pair": [1]}, "pair: expected 2 values, found [1]"),
        ({"pair": ["a", 1]}, "pair.0: expected int, found 'a'"),
        ({"shares": [0.5, True]}, "shares.1: expected float, found True"),
        ({"hashes": []}, "hashes: expected an object, found []"),
        ({"hashes": {"claim": "hash"}}, "hashes.claim: expected an object, found 'hash'"),
        ({"hashes": {"claim": {"setting": 1}}}, "hashes.claim.setting: expected str, found 1"),
        ({"options": [["a", 1]]}, "options: expected an object, found [['a', 1]]"),
    ],
)
def test_errors_name_the_key(value: JsonObject, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        from_json(Everything, value)
    assert str(caught.value).startswith(message)
    with pytest.raises(ValueError) as caught:
        from_json(Everything, value, "run")
    assert str(caught.value).startswith(f"run.{message}")


def test_errors_of_values_without_a_key() -> None:
    with pytest.raises(ValueError, match=r"^expected an object, found \[\]$"):
        from_json(Everything, [])
    with pytest.raises(ValueError, match=r"^result: expected an object, found None$"):
        from_json(Everything, None, "result")
    with pytest.raises(ValueError, match=r"^claim\.setting: expected str, found 1$"):
        from_json(dict[str, dict[str, str]], {"claim": {"setting": 1}})
    with pytest.raises(ValueError, match=r"^1: expected int, found 'a'$"):
        from_json(list[int], [1, "a"])


def test_a_long_value_is_cut_in_messages() -> None:
    with pytest.raises(ValueError) as caught:
        from_json(Everything, {"count": "x" * 10_000})
    assert len(str(caught.value)) < 120


@pytest.mark.parametrize("key", ["share", "test"])
def test_integers_stand_for_floats(key: str) -> None:
    value = getattr(from_json(Everything, {key: 1}), key)
    assert value == 1.0 and type(value) is float


def test_integers_stand_for_floats_in_lists() -> None:
    assert [type(share) for share in from_json(Everything, {"shares": [0, 1, 0.5]}).shares] == [float] * 3


def test_equal_values_have_equal_json() -> None:
    """Whether a float field holds 1 or 1.0; what is no float field stays as it is."""
    integers = Everything(count=1, share=1, test=1, point=Point(1, 1), shares=(0, 1), options={"x": 1})
    floats = Everything(
        count=1, share=1.0, test=1.0, point=Point(1.0, 1.0), shares=(0.0, 1.0), options={"x": 1}
    )
    assert integers == floats and encode_canonical_json(to_json(integers)) == encode_canonical_json(
        to_json(floats)
    )
    assert type(to_json(integers)["count"]) is int and type(to_json(integers)["options"]["x"]) is int


def test_options_are_taken_as_they_are() -> None:
    """Nothing is known of their types: what a family accepts, its own `Options` says."""
    options: JsonObject = {"depth": 1, "width": 1.0, "flag": True, "nothing": None}
    restored = from_json(Everything, {"options": options}).options
    assert [type(value) for value in restored.values()] == [int, float, bool, type(None)]
    assert to_json(ARCHITECTURES["columns"])["options"] == ARCHITECTURES["columns"].options
