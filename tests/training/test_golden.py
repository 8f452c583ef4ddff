"""Golden values: what three float64 steps of every method on every architecture compute.

A failure means that shared code changed what a run computes. If that is meant, raise ENGINE_VERSION in
src/guidebp/__init__.py, so that no old run passes for a new one, and write the values anew::

    .venv/bin/python -m tests.training.test_golden

A change of one method's or one architecture's own file changes its own keys: then only regenerate. New entries have
to be added by the same command.
"""

import json
import os
from typing import Any

import pytest
import torch

from guidebp import ENGINE_VERSION
from guidebp.hashing import encode_readable_json
from guidebp.training.numerics import set_numerics
from guidebp.training.schedules import compute_lr_factor, scale_lr
from guidebp.training.trainer import start_run
from tests.support.tiny import METHODS, PAIRS, ROOT, prepared, recipe, spec

PATH = ROOT / "tests/training/golden.json"
STEPS = 3
RECIPES = {
    "sgd": recipe(schedule={"name": "cosine", "warmup": 0.4}),
    "rmsprop": recipe(
        optimiser={"name": "rmsprop", "lr": 1e-3, "weight_decay": 1e-4},
        schedule={"name": "step", "milestones": [0.5]},
    ),
    "adam": recipe(optimiser={"name": "adam", "lr": 1e-3}),
}
# every pair with SGD, one pair with each of the other optimisers
CASES = [(m, a, "sgd") for m, a in PAIRS] + [("guidebp", "columns", r) for r in RECIPES if r != "sgd"]
# On those that take longest one method per family; variants are computed on the others. `make test-full` has all.
LONGEST = ("msdnet", "mobilenet")
FIRST = {METHODS[method].family: method for method in reversed(METHODS)}.values()
FULL = bool(os.environ.get("GUIDEBP_FULL"))
CHOSEN = [case for case in CASES if FULL or case[1] not in LONGEST or case[0] in FIRST]


def compute(method_name: str, architecture: str, recipe_name: str) -> list[list[float]]:
    """Per step the loss and the gradient at each pathway, then one row of test logits; all in float64."""
    device = torch.device("cpu")
    set_numerics("exact", device)
    made_of = spec(method_name, architecture, recipe=RECIPES[recipe_name])
    method, batches = start_run(made_of, prepared(), device)
    method.double().train()
    found = []
    for step, (images, labels) in zip(range(STEPS), batches.epoch(0, method.streams), strict=False):
        for optimiser in method.optimisers.values():
            scale_lr(optimiser, compute_lr_factor(RECIPES[recipe_name].schedule, step, STEPS))
        done = method.step(images.double(), labels)
        found.append([done.loss.item(), *done.gradient_norms.tolist()])
    method.eval()
    with torch.inference_mode():
        images = next(batches.evaluation("test"))[:1].double()
        found.append(method.predict(method.logits(images))[0].tolist())
    return found


def label(case: tuple[str, str, str]) -> str:
    return " / ".join(case)


def stored() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(PATH.read_text())
    return found


@pytest.mark.parametrize("case", CHOSEN, ids=label)
def test_golden(case: tuple[str, str, str]) -> None:
    golden = stored()["values"]
    assert label(case) in golden, (
        "new: write its values with `.venv/bin/python -m tests.training.test_golden`"
    )
    found, expected = compute(*case), golden[label(case)]
    assert len(found) == STEPS + 1
    assert [len(row) for row in found] == [len(row) for row in expected]
    for row, (mine, wanted) in enumerate(zip(found, expected, strict=True)):
        assert mine == pytest.approx(wanted, rel=1e-9, abs=1e-12), (
            f"row {row}: shared code changed results: raise ENGINE_VERSION in src/guidebp/__init__.py and write "
            "the values anew with `.venv/bin/python -m tests.training.test_golden` (only the latter if the "
            f"method's or the architecture's own file was changed on purpose; made with torch {stored()['torch']}, "
            f"this is {torch.__version__})"
        )


def test_golden_values_are_of_this_engine() -> None:
    assert stored()["engine"] == ENGINE_VERSION, "ENGINE_VERSION was raised: write the golden values anew"
    assert set(stored()["values"]) == set(map(label, CASES)), "a case is gone: write the golden values anew"


def main() -> None:
    """Write golden.json."""
    torch.set_num_threads(1)
    values = {label(case): compute(*case) for case in CASES}
    PATH.write_bytes(
        encode_readable_json({"engine": ENGINE_VERSION, "torch": torch.__version__, "values": values})
    )


if __name__ == "__main__":
    main()
