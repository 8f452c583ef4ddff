"""Paired randomness: what is equal between methods of one seed, and what differs between seeds."""

from dataclasses import replace
from functools import cache
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from guidebp import ENGINE_VERSION
from guidebp.data.batches import Batches, compute_channel_statistics
from guidebp.data.prepared import Prepared
from guidebp.data.splits import draw_split
from guidebp.runs.spec import DatasetSpec, SplitSpec
from guidebp.seeds import derive_stream_seed, draw_permutation, use_stream
from guidebp.training.trainer import start_run
from tests.support.tiny import ARCHITECTURES, PAIRS, make_manifest, prepared, recipe, spec

CPU = torch.device("cpu")
Start = tuple[dict[str, Tensor], list[tuple[Tensor, Tensor]]]


def start(method_name: str, architecture_name: str, seed: int = 0, **changes: Any) -> Start:
    """Initial weights of the network and the first stream's batches of two epochs."""
    run_spec = spec(method_name, architecture_name, seed, **changes)
    method, batches = start_run(run_spec, prepared(), CPU)
    size = run_spec.recipe.batch_size
    seen = [
        (images[:size], labels[:size])
        for epoch in range(2)
        for images, labels in batches.epoch(epoch, method.streams)
    ]
    return method.network.state_dict(), seen


@cache
def start_of_average(architecture_name: str) -> Start:
    """The start of the method `average`, to which every other method is compared."""
    return start("average", architecture_name)


def same(first: Start, second: Start) -> bool:
    weights = first[0].keys() == second[0].keys() and all(
        torch.equal(tensor, second[0][name]) for name, tensor in first[0].items()
    )
    batches = len(first[1]) == len(second[1]) and all(
        torch.equal(x, u) and torch.equal(y, v) for (x, y), (u, v) in zip(first[1], second[1], strict=True)
    )
    return weights and batches


@pytest.mark.parametrize(("method", "architecture"), PAIRS)
def test_methods_of_one_seed_start_equal_and_see_equal_batches(method: str, architecture: str) -> None:
    assert same(start_of_average(architecture), start(method, architecture))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_separate_pathways_start_as_the_network_and_see_batches_of_their_own(architecture: str) -> None:
    made, batches = start_run(spec("separate", architecture), prepared(), CPU)
    images = batches.normalise(prepared().images[:5])
    assert torch.equal(made.eval().logits(images), made.network.eval()(images))
    seen, labels = next(batches.epoch(0, made.streams))
    assert len(seen) == len(labels) == made.streams * batches.size
    parts = seen.chunk(made.streams)
    assert all(not torch.equal(parts[0], part) for part in parts[1:])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_seeds_differ(architecture: str) -> None:
    (weights, batches), (others, other_batches) = (start("add", architecture, r) for r in (0, 1))
    drawn = [name for name in weights if weights[name].ndim > 1]
    assert drawn and all(not torch.equal(weights[name], others[name]) for name in drawn)
    assert all(not torch.equal(x, u) for (x, _), (u, _) in zip(batches, other_batches, strict=True))


def test_epochs_differ_and_an_epoch_sees_no_image_twice() -> None:
    found = prepared()
    split = draw_split(found.labels, found.official_test, spec("add", "columns").dataset, 0)
    batches = Batches(found, split, spec("add", "columns"), CPU)
    epochs = [torch.cat([images for images, _ in batches.epoch(epoch, 1)]) for epoch in (0, 1)]
    assert not torch.equal(*epochs)
    for images in epochs:
        assert len(images.flatten(1).unique(dim=0)) == len(images) == batches.steps * batches.size
    train = {tuple(row) for row in batches.normalise(found.images[split.train]).flatten(1).tolist()}
    assert {tuple(row) for row in epochs[0].flatten(1).tolist()} <= train


def test_recipe_code_and_other_runs_do_not_move_the_streams() -> None:
    first = start("guidebp", "instances")
    start("learned", "branches", 3)  # another run before it, in the same process
    torch.rand(7)
    assert same(first, start("guidebp", "instances"))
    assert same(first, start("guidebp", "instances", recipe=recipe(lr=0.5, epochs=7)))
    plain = ARCHITECTURES["instances"]
    assert plain.base is not None
    edited = replace(plain, code="0123", base=replace(plain.base, code="4567"))
    assert same(first, start("guidebp", "instances", architecture=edited))
    assert same(first, start("add", "instances", engine=ENGINE_VERSION + 1))


def test_streams_leave_the_global_generator_alone() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    with use_stream("purpose", 1):
        first = torch.rand(3)
    draw_permutation(5, "purpose", 1)
    assert torch.equal(torch.rand(3), expected)
    with use_stream("purpose", 1):
        assert torch.equal(torch.rand(3), first)
    with use_stream("other purpose", 1):
        assert not torch.equal(torch.rand(3), first)


@given(st.lists(st.one_of(st.integers(), st.text(), st.none()), max_size=4), st.text(), st.text())
def test_stream_seeds_follow_from_purpose_and_parts(parts: list[Any], purpose: str, other: str) -> None:
    seed = derive_stream_seed(purpose, *parts)
    assert 0 <= seed < 2**63 and seed == derive_stream_seed(purpose, *parts)
    assert (seed == derive_stream_seed(other, *parts)) == (purpose == other)
    assert seed != derive_stream_seed(purpose, *parts, 0)


def labelled(counts: list[int], official: bool) -> tuple[Tensor, Tensor]:
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))]
    return labels, (torch.arange(len(labels)) % 5 == 0) & torch.tensor(official)


@given(
    st.lists(st.integers(5, 40), min_size=2, max_size=5),
    st.sampled_from(["official", 0.1, 0.25, 0.5]),
    st.sampled_from([0.0, 0.1, 0.3]),
    st.integers(0, 5),
)
def test_splits_are_stratified_disjoint_and_complete(
    counts: list[int], test: Literal["official"] | float, validation: float, seed: int
) -> None:
    labels, mask = labelled(counts, test == "official")
    dataset = DatasetSpec("any", SplitSpec(test, validation), len(counts))
    split = draw_split(labels, mask, dataset, seed)
    together = torch.cat(list(split))
    assert torch.equal(together.sort().values, torch.arange(len(labels)))
    for part in split:
        assert torch.equal(part, part.sort().values)
    if test == "official":
        assert torch.equal(split.test, torch.nonzero(mask).flatten())
    for c, count in enumerate(counts):
        in_test = int((labels[split.test] == c).sum())
        if isinstance(test, float):
            assert in_test == max(1, round(test * count))
        rest = count - in_test
        in_validation = int((labels[split.validation] == c).sum())
        assert in_validation == (max(1, round(validation * rest)) if validation and rest else 0)


@pytest.mark.parametrize("test", ["official", 0.2])
def test_split_depends_on_the_seed_only_where_the_test_set_is_drawn(
    test: Literal["official"] | float,
) -> None:
    labels, mask = labelled([30, 30, 30], test == "official")
    dataset = DatasetSpec("any", SplitSpec(test, 0.2), 3)
    first, second, again = (draw_split(labels, mask, dataset, seed) for seed in (0, 1, 0))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a, b) == (test == "official")
    other = draw_split(labels, mask, replace(dataset, name="other"), 0)
    assert not torch.equal(first.validation, other.validation)


@given(st.integers(0, 2**31), st.integers(1, 3), st.integers(1, 9))
def test_channel_statistics_are_numpys(seed: int, channels: int, count: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count + 2, channels, 4, 5), generator=generator).to(torch.uint8)
    index = torch.randperm(count + 2, generator=generator)[:count]
    mean, deviation = compute_channel_statistics(images, index)
    array = images[index].numpy().astype(np.float64)
    np.testing.assert_allclose(mean.numpy(), array.mean(axis=(0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(deviation.numpy(), array.std(axis=(0, 2, 3)), rtol=1e-6)


def test_normalised_training_images_have_mean_0_and_deviation_1() -> None:
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 200, (60, 3, 8, 8), generator=generator).to(torch.uint8)
    images[:, 1] //= 3
    images[:, 2] = 17  # a constant channel must not divide by zero
    labels = torch.arange(60) % 4
    data = Prepared(images, labels, torch.zeros(60, dtype=torch.bool), make_manifest(""))
    split = draw_split(labels, data.official_test, spec("add", "columns").dataset, 0)
    batches = Batches(data, split, spec("add", "columns"), CPU)
    found = batches.normalise(images[split.train])
    assert found.dtype == torch.float32
    assert found.mean(dim=(0, 2, 3)).tolist() == pytest.approx([0, 0, 0], abs=1e-5)
    assert found.std(dim=(0, 2, 3), correction=0).tolist() == pytest.approx([1, 1, 0], abs=1e-5)
    parts = {name: torch.cat(list(batches.evaluation(name, 7))) for name in ("validation", "test")}
    for name, part in parts.items():
        assert torch.equal(part, batches.normalise(images[getattr(split, name)]))
