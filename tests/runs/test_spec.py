"""Run specs: what their keys depend on, their JSON, and the architecture that names streams."""

import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest

from guidebp.hashing import encode_canonical_json
from guidebp.runs.spec import (
    KEY_DIGITS,
    AugmentationSpec,
    DatasetSpec,
    FamilySpec,
    OptimiserSpec,
    PlannedRun,
    RecipeSpec,
    RunSpec,
    ScheduleSpec,
    SplitSpec,
    planned_run_from_json,
    planned_run_to_json,
    spec_from_json,
    spec_to_json,
)
from guidebp.seeds import name_architecture_stream

COLUMN = FamilySpec("columns", {"kernels": [[3, 3]], "widths": [4, 8]}, code="c1")
SPEC = RunSpec(
    dataset=DatasetSpec("tiny", SplitSpec(0.2, 0.1), 4),
    architecture=FamilySpec("instances", {"copies": 3}, code="a1", base=COLUMN),
    method=FamilySpec("guidebp", {"reading": "guidebp"}, code="m1"),
    recipe=RecipeSpec(
        optimiser=OptimiserSpec("sgd", 0.05, {"momentum": 0.9}),
        epochs=2,
        batch_size=8,
        schedule=ScheduleSpec("step", 0.1, (0.5, 0.75), 0.1),
        augmentation=AugmentationSpec(flip=True, crop=2, cutout=3),
    ),
    seed=3,
)
LOCKS = {"claim": {"published": "hash"}}
# Another value for each field, by the path to it.
REPLACEMENTS: dict[str, object] = {
    "dataset.name": "other",
    "dataset.split.test": "official",
    "dataset.split.validation": 0.0,
    "dataset.classes": 5,
    "architecture.family": "columns",
    "architecture.options": {"copies": 2},
    "architecture.code": "a2",
    "architecture.base.family": "branches",
    "architecture.base.options": {"kernels": [[3, 5]], "widths": [4, 8]},
    "architecture.base.code": "c2",
    "architecture.base.base": COLUMN,
    "method.family": "local-critic",
    "method.options": {"reading": "literal"},
    "method.code": "",
    "method.base": COLUMN,
    "recipe.optimiser.name": "adam",
    "recipe.optimiser.lr": 0.1,
    "recipe.optimiser.settings": {"momentum": 0.8},
    "recipe.epochs": 3,
    "recipe.batch_size": 16,
    "recipe.schedule.name": "cosine",
    "recipe.schedule.warmup": 0.0,
    "recipe.schedule.milestones": (0.5,),
    "recipe.schedule.factor": 0.2,
    "recipe.augmentation.flip": False,
    "recipe.augmentation.crop": 0,
    "recipe.augmentation.cutout": 4,
    "recipe.downsample": 2,
    "recipe.numerics": "fast",
    "seed": 0,
    "engine": SPEC.engine + 1,
}


def field_paths(value: Any, prefix: str = "") -> Iterator[str]:
    """The paths to all fields that are not dataclasses themselves."""
    for entry in fields(value):
        inner = getattr(value, entry.name)
        if is_dataclass(inner):
            yield from field_paths(inner, f"{prefix}{entry.name}.")
        else:
            yield f"{prefix}{entry.name}"


def replace_field(value: Any, path: str, new: object) -> Any:
    """A copy of nested dataclasses with another value at `path`."""
    name, _, rest = path.partition(".")
    return replace(value, **{name: replace_field(getattr(value, name), rest, new) if rest else new})


def test_there_is_a_replacement_for_every_field() -> None:
    assert set(field_paths(SPEC)) == set(REPLACEMENTS)


@pytest.mark.parametrize("path", REPLACEMENTS)
def test_every_field_changes_the_key(path: str) -> None:
    other = replace_field(SPEC, path, REPLACEMENTS[path])
    assert other != SPEC and other.key != SPEC.key
    assert spec_from_json(json.loads(json.dumps(spec_to_json(other)))) == other


def test_all_of_these_keys_differ() -> None:
    specs = [SPEC, *(replace_field(SPEC, path, new) for path, new in REPLACEMENTS.items())]
    assert len({spec.key for spec in specs}) == len(specs)
    assert all(len(spec.key) == KEY_DIGITS and int(spec.key, 16) >= 0 for spec in specs)


def test_equal_specs_have_equal_keys() -> None:
    """JSON tells 1 and 1.0 apart; Python and a reader of the file do not."""
    integer, floating = (replace_field(SPEC, "recipe.optimiser.lr", rate) for rate in (1, 1.0))
    assert integer == floating and integer.key == floating.key
    planned = PlannedRun(integer)
    assert planned_run_from_json(json.loads(json.dumps(planned_run_to_json(planned)))).key == planned.key


def test_order_of_options_does_not_change_the_key() -> None:
    options = {"growth": 4, "blocks": 3}
    specs = [
        replace_field(SPEC, "architecture.options", dict(items))
        for items in (options.items(), reversed(options.items()))
    ]
    assert specs[0].key == specs[1].key


def test_locks_do_not_change_the_key() -> None:
    assert PlannedRun(SPEC, LOCKS).key == PlannedRun(SPEC).key == SPEC.key
    assert "locks" not in spec_to_json(SPEC)


@pytest.mark.parametrize("locks", [{}, LOCKS])
def test_planned_runs_come_back_equal(locks: dict[str, dict[str, str]]) -> None:
    run = PlannedRun(SPEC, locks)
    value = json.loads(json.dumps(planned_run_to_json(run)))
    assert set(value) == {"key", "spec", "locks"} and value["key"] == SPEC.key
    assert planned_run_from_json(value) == run


@pytest.mark.parametrize("path", REPLACEMENTS)
def test_an_edited_spec_with_the_old_key_is_refused(path: str) -> None:
    edited = replace_field(SPEC, path, REPLACEMENTS[path])
    value = planned_run_to_json(PlannedRun(SPEC, LOCKS)) | {"spec": spec_to_json(edited)}
    with pytest.raises(ValueError, match=f"^key: the spec has the key {edited.key}, not '{SPEC.key}'$"):
        planned_run_from_json(value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"locks": {"claim": "hash"}}, "locks.claim: expected an object, found 'hash'"),
        ({"locks": None}, "locks: expected an object, found None"),
        ({"spec": []}, "spec: expected an object, found []"),
        ({"spec": {"engine": 1}}, "dataset: missing"),
        ({"key": None}, f"key: the spec has the key {SPEC.key}, not None"),
        ({"other": 1}, "'other': unknown key"),
    ],
)
def test_what_is_no_planned_run_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        planned_run_from_json(planned_run_to_json(PlannedRun(SPEC)) | change)
    assert str(caught.value) == message


@pytest.mark.parametrize("name", ["key", "spec", "locks"])
def test_a_planned_run_has_all_its_parts(name: str) -> None:
    value = planned_run_to_json(PlannedRun(SPEC))
    del value[name]
    with pytest.raises(ValueError, match=f"^{name}: missing$"):
        planned_run_from_json(value)


def test_the_engine_is_always_in_the_json() -> None:
    value = spec_to_json(SPEC)
    assert value["engine"] == SPEC.engine
    del value["engine"]
    with pytest.raises(ValueError, match=r"^engine: missing$"):
        spec_from_json(value)


@pytest.mark.parametrize("name", ["epochs", "batch_size", "downsample"])
def test_recipes_have_positive_counts(name: str) -> None:
    value = json.loads(json.dumps(spec_to_json(SPEC)))
    value["recipe"][name] = 0
    with pytest.raises(ValueError, match=f"recipe: .*{name}.* must be positive"):
        spec_from_json(value)


def test_streams_see_family_options_and_base_alone() -> None:
    """Hashes of code are left out on every level: an edit must not redraw initial weights."""
    column = {"family": "columns", "options": {"kernels": [[3, 3]], "widths": [4, 8]}}
    instances = {"family": "instances", "options": {"copies": 3}, "base": column}
    assert encode_canonical_json(name_architecture_stream(COLUMN)) == encode_canonical_json(column)
    assert encode_canonical_json(name_architecture_stream(SPEC.architecture)) == encode_canonical_json(
        instances
    )
    plain = FamilySpec("lenet", {}, code="l1")
    assert encode_canonical_json(name_architecture_stream(plain)) == encode_canonical_json(
        {"family": "lenet", "options": {}}
    )


def test_augmentation_is_false_when_it_changes_nothing() -> None:
    assert not AugmentationSpec()
    assert all(AugmentationSpec(**change) for change in ({"flip": True}, {"crop": 1}, {"cutout": 1}))
