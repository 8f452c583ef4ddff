"""Recipes that average images over squares before all else: what networks see, what is refused, what stays."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import avg_pool2d

from guidebp.data.prepared import Prepared, downsample
from guidebp.errors import UserError
from guidebp.jobs import timing
from guidebp.runs.json_fields import to_json
from guidebp.runs.spec import AugmentationSpec
from guidebp.study.resolve import load_study, resolve_run
from guidebp.study.step_times import compute_image_shape, hash_step
from guidebp.training.trainer import start_run, train_run
from tests.support.tiny import ROOT, SHAPE, make_manifest, prepared, recipe, spec

CPU = torch.device("cpu")
RUN = ("mnist-10k", "columns-small", "add")


@given(st.integers(0, 9), st.sampled_from([1, 2, 3, 4]), st.integers(0, 1050))
def test_images_are_averaged_over_squares(seed: int, side: int, count: int) -> None:
    """Against torch's pooling in double precision."""
    images = torch.randint(
        0, 256, (count, 2, 12, 24), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed)
    )
    data = Prepared(images, torch.zeros(count), torch.zeros(count), make_manifest("as it was"))
    small = downsample(data, side)
    wanted = (avg_pool2d(images.double(), side) + 0.5).floor().to(torch.uint8)
    assert torch.equal(small.images, wanted)
    assert small.labels is data.labels and small.manifest == data.manifest


@pytest.mark.parametrize("method", ["add", "separate", "guidebp"])
def test_a_run_is_that_of_the_small_images(method: str) -> None:
    small = replace(prepared(), images=downsample(prepared(), 2).images)
    found = train_run(spec(method, "columns", recipe=recipe(downsample=2)), prepared(), CPU)
    wanted = train_run(spec(method, "columns"), small, CPU)
    assert found.result == wanted.result
    assert torch.equal(found.predictions, wanted.predictions)


def test_network_and_batches_are_small() -> None:
    made, batches = start_run(spec("add", "columns", recipe=recipe(downsample=3)), prepared(), CPU)
    assert made.network.shape == (1, SHAPE[1] // 3, SHAPE[2] // 3)
    images, _ = next(batches.epoch(0, 1))
    assert images.shape[1:] == made.network.shape
    assert all(part.shape[1:] == made.network.shape for part in batches.evaluation("test"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project with this one's configuration and a recipe that downsamples."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    path = tmp_path / "config/recipes/small.yaml"
    text = "{}:\n  optimiser: {{name: sgd, lr: 0.1}}\n  epochs: 1\n  batch_size: 8\n  downsample: {}\n"
    path.write_text("".join(text.format(f"by-{by}", by) for by in (1, 2, 3, 14)))
    return tmp_path


def test_only_downsampling_is_part_of_the_key(root: Path) -> None:
    whole, half = (resolve_run(*RUN, name, 0, root) for name in ("by-1", "by-2"))
    assert "downsample" not in to_json(whole.spec.recipe) and half.spec.recipe.downsample == 2
    assert whole.key != half.key


@pytest.mark.parametrize(
    ("recipe", "reason"),
    [
        ("by-3", "images of dataset 'mnist-10k' (28x28) cannot be downsampled by 3"),
        ("by-14", "needs images of at least 4 pixels a side, dataset 'mnist-10k' has 2x2, downsampled by 14"),
    ],
)
def test_what_cannot_be_downsampled_is_refused(root: Path, recipe: str, reason: str) -> None:
    with pytest.raises(UserError) as caught:
        resolve_run(*RUN, recipe, 0, root)
    assert reason in str(caught.value) and len(str(caught.value).splitlines()) == 1


def test_a_study_knows_what_its_networks_see(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "config/studies/small.yaml").write_text(
        "title: Small\nabout: Small images.\nbaselines: [add]\nblocks:\n"
        "  - {datasets: [mnist-10k], architectures: [columns-small], methods: [add],\n"
        "     recipe: by-2, seeds: [0]}\n"
    )
    study = load_study("small", root)
    whole = replace(study, runs=[resolve_run(*RUN, "by-1", 0, root)])
    assert compute_image_shape(study, study.runs[0]) == (1, 14, 14) and compute_image_shape(
        whole, whole.runs[0]
    ) == (1, 28, 28)
    assert hash_step(study, study.runs[0]) != hash_step(whole, whole.runs[0])
    timed: list[tuple[int, ...]] = []

    def step_seconds(_: Any, shape: tuple[int, ...], *others: Any) -> float:
        timed.append(shape)
        return 1.0

    monkeypatch.chdir(root)
    monkeypatch.setattr(timing, "measure_step_seconds", step_seconds)
    for one in (study, whole):
        timing.time_steps(one, "cpu")
    assert timed == [(1, 14, 14), (1, 28, 28)]


def test_a_tuned_recipe_downsamples_as_its_base(root: Path) -> None:
    text = "by-{0}-tuned:\n  base: by-{0}\n  rates: {{mnist-10k: {{columns-small: {{add: 0.2}}}}}}\n"
    (root / "config/recipes/tuned.yaml").write_text(text.format(2) + text.format(3))
    assert resolve_run(*RUN, "by-2-tuned", 0, root).spec.recipe.downsample == 2
    with pytest.raises(UserError, match="cannot be downsampled by 3"):
        resolve_run(*RUN, "by-3-tuned", 0, root)


def test_augmentation_counts_pixels_of_whole_images(root: Path) -> None:
    run = ("cifar-10-10k", *RUN[1:])
    whole, half = (resolve_run(*run, name, 0, root).spec.recipe.augmentation for name in ("by-1", "by-2"))
    assert whole == AugmentationSpec(flip=True, crop=4) and half == AugmentationSpec(flip=True, crop=2)


def test_training_refuses_images_that_cannot_be_downsampled() -> None:
    with pytest.raises(UserError, match="images of 12x12 pixels cannot be downsampled by 5"):
        start_run(spec("add", "columns", recipe=recipe(downsample=5)), prepared(), CPU)
