"""Augmentation: torchvision's own operations, image by image, with parameters from streams of their own."""

from dataclasses import asdict, fields, replace
from itertools import combinations, product
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from guidebp.data.augmentation import (
    AugmentationDraws,
    apply_cutout,
    crop_and_flip,
    draw_augmentation,
    join_draws,
)
from guidebp.data.batches import Batches
from guidebp.data.prepared import Prepared
from guidebp.data.splits import draw_split
from guidebp.runs.spec import AugmentationSpec
from guidebp.seeds import draw_permutation
from guidebp.training.trainer import start_run
from tests.support.tiny import make_manifest, prepared, recipe, spec

CPU = torch.device("cpu")
OFF = AugmentationSpec()
ALL = AugmentationSpec(flip=True, crop=2, cutout=3)
CHANGES = [field.name for field in fields(AugmentationSpec)]
DATASET = spec("add", "columns").dataset

SHAPES = st.tuples(st.integers(1, 6), st.sampled_from([1, 3, 4]), st.integers(1, 9), st.integers(1, 9))
SETTINGS = st.builds(AugmentationSpec, flip=st.booleans(), crop=st.integers(0, 12), cutout=st.integers(0, 12))


def pictures(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, shape, generator=generator).to(torch.uint8)


def moved(image: Tensor, augmentation: AugmentationSpec, draws: AugmentationDraws, k: int) -> Tensor:
    """What torchvision makes of one image with the parameters of place `k`."""
    if draws.crop is not None:
        row, column = draws.crop[:, k].tolist()
        image = F.crop(F.pad(image, [augmentation.crop] * 4), row, column, *image.shape[1:])
    return F.horizontal_flip(image) if draws.flip is not None and draws.flip[k] else image


def erased(image: Tensor, augmentation: AugmentationSpec, draws: AugmentationDraws, k: int) -> Tensor:
    """The same for the square, cut off at the borders."""
    if draws.cutout is None:
        return image
    starts = draws.cutout[:, k].tolist()
    first = [max(0, start) for start in starts]
    last = [
        min(length, start + augmentation.cutout)
        for start, length in zip(starts, image.shape[1:], strict=True)
    ]
    made: Tensor = F.erase(image, *first, last[0] - first[0], last[1] - first[1], torch.tensor(0.0))
    return made


# Against torchvision


@given(SHAPES, SETTINGS, st.integers(0, 99))
def test_move_is_torchvisions_pad_crop_and_flip(
    shape: tuple[int, int, int, int], augmentation: AugmentationSpec, seed: int
) -> None:
    images, count = pictures(shape, seed), 2 * shape[0]
    before = images.clone()
    draws = draw_augmentation(augmentation, count, shape[2:], seed)
    index = torch.randperm(count, generator=torch.Generator().manual_seed(seed))[: shape[0]]
    found = crop_and_flip(images, augmentation, draws, index)
    assert found.dtype == torch.uint8 and found.shape == shape
    for image, mine, k in zip(images, found, index.tolist(), strict=True):
        assert torch.equal(mine, moved(image, augmentation, draws, k))
    assert torch.equal(images, before)


@given(SHAPES, SETTINGS, st.integers(0, 99))
def test_cut_is_torchvisions_erase(
    shape: tuple[int, int, int, int], augmentation: AugmentationSpec, seed: int
) -> None:
    images, count = pictures(shape, seed) + 1.0, 2 * shape[0]
    draws = draw_augmentation(augmentation, count, shape[2:], seed)
    index = torch.randperm(count, generator=torch.Generator().manual_seed(seed))[: shape[0]]
    found = apply_cutout(images.clone(), augmentation, draws, index)
    for image, mine, k in zip(images, found, index.tolist(), strict=True):
        assert torch.equal(mine, erased(image, augmentation, draws, k))
        assert draws.cutout is None or not mine.all()  # its centre is a pixel of the image


def data(shape: tuple[int, int, int], count: int = 60) -> Prepared:
    """Random images of four classes in turn; all for training but those that the splits take."""
    images = pictures((count, *shape))
    return Prepared(
        images, torch.arange(count) % 4, torch.zeros(count, dtype=torch.bool), make_manifest("random")
    )


def batches_of(found: Prepared, augmentation: AugmentationSpec | None, seed: int = 0) -> Batches:
    changes: dict[str, Any] = {} if augmentation is None else {"augmentation": asdict(augmentation)}
    run_spec = spec("add", "columns", seed, recipe=recipe(**changes))
    split = draw_split(found.labels, found.official_test, run_spec.dataset, seed)
    return Batches(found, split, run_spec, CPU)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 7, 5), (4, 5, 9)], ids=str)
@pytest.mark.parametrize("streams", [1, 3])
def test_every_image_of_an_epoch_can_be_made_alone(shape: tuple[int, int, int], streams: int) -> None:
    """With torchvision, from the names of the streams: what moves, normalises and cuts is torchvision's."""
    found = data(shape)
    before = found.images.clone()
    batches = batches_of(found, ALL, seed=2)
    split = draw_split(found.labels, found.official_test, DATASET, 2)
    pixels = found.images[split.train].double()
    mean, deviation = pixels.mean(dim=(0, 2, 3)), pixels.std(dim=(0, 2, 3), correction=0)
    steps = list(batches.epoch(3, streams))
    assert len(steps) == len(split.train) // 8
    for number, (images, labels) in enumerate(steps):
        assert images.dtype == torch.float32 and images.shape == (8 * streams, *shape)
        assert images.is_contiguous(memory_format=torch.channels_last)
        for place, (image, label) in enumerate(zip(images, labels, strict=True)):
            name = ("tiny", 2, 3, place // 8)  # dataset, seed, epoch, stream
            k = int(draw_permutation(len(split.train), "batch order", *name)[number * 8 + place % 8])
            draws = draw_augmentation(ALL, len(split.train), shape[1:], *name)
            assert label == found.labels[split.train[k]]
            raw = moved(found.images[split.train[k]], ALL, draws, k)
            exact = erased(batches.normalise(raw[None])[0], ALL, draws, k)
            assert torch.equal(image, exact)
            oracle = F.normalize(raw.float(), mean.tolist(), deviation.tolist())
            torch.testing.assert_close(image, erased(oracle, ALL, draws, k), rtol=1e-6, atol=1e-6)
    assert torch.equal(found.images, before)


def epoch(batches: Batches, number: int = 0, streams: int = 1) -> Tensor:
    return torch.cat([images for images, _ in batches.epoch(number, streams)])


@pytest.mark.parametrize("augmentation", [None, OFF], ids=["no key", "all off"])
@pytest.mark.parametrize("streams", [1, 2])
def test_without_augmentation_batches_are_normalised_images(
    augmentation: AugmentationSpec | None, streams: int
) -> None:
    found = data((3, 6, 6))
    batches = batches_of(found, augmentation)
    split = draw_split(found.labels, found.official_test, DATASET, 0)
    orders = [
        draw_permutation(len(split.train), "batch order", "tiny", 0, 1, stream) for stream in range(streams)
    ]
    for step, (images, labels) in enumerate(batches.epoch(1, streams)):
        index = split.train[torch.cat([order[8 * step : 8 * step + 8] for order in orders])]
        assert torch.equal(images, batches.normalise(found.images[index]))
        assert torch.equal(labels, found.labels[index])


def test_validation_and_test_images_are_left_alone() -> None:
    found = data((3, 6, 6))
    plain, changed = batches_of(found, None), batches_of(found, ALL)
    assert not torch.equal(epoch(plain), epoch(changed))
    for part in ("validation", "test"):
        for mine, other in zip(changed.evaluation(part), plain.evaluation(part), strict=True):
            assert torch.equal(mine, other)


# Streams

GOLDEN = {  # of the first eight images
    "flip": [0, 1, 1, 0, 0, 1, 1, 0],
    "crop": [[5, 8, 3, 5, 0, 4, 3, 0], [5, 7, 1, 7, 5, 6, 5, 7]],
    "cutout": [[11, 1, 0, 12, 20, 26, 26, 8], [6, 17, 13, 12, 21, 17, 19, 11]],
}


def test_draws_are_the_same_for_ever() -> None:
    """If they are not, every run with augmentation changes: raise ENGINE_VERSION in src/guidebp/__init__.py."""
    draws = draw_augmentation(AugmentationSpec(flip=True, crop=4, cutout=8), 8, (32, 28), "tiny", 0, 0, 0)
    found = {name: getattr(draws, name).int().tolist() for name in GOLDEN}
    assert found == GOLDEN


def same(first: Tensor | None, second: Tensor | None) -> bool:
    return first is second if first is None or second is None else torch.equal(first, second)


def test_a_change_leaves_the_draws_of_the_others() -> None:
    whole = draw_augmentation(ALL, 50, (8, 6), "tiny", 0, 0, 0)
    for switches in product([False, True], repeat=3):
        enabled = {name: getattr(ALL, name) for name, on in zip(CHANGES, switches, strict=True) if on}
        draws = draw_augmentation(replace(OFF, **enabled), 50, (8, 6), "tiny", 0, 0, 0)
        for name, on in zip(CHANGES, switches, strict=True):
            assert same(getattr(draws, name), getattr(whole, name) if on else None)


def test_draws_of_different_purposes_differ() -> None:
    """No two parameters share a stream: of equal ranges, as here, they would be equal."""
    draws = draw_augmentation(replace(ALL, crop=1, cutout=1), 50, (3, 3), "tiny", 0, 0, 0)
    assert draws.crop is not None and draws.cutout is not None
    thirds = [*draws.crop, *draws.cutout]
    assert all(not torch.equal(one, other) for one, other in combinations(thirds, 2))
    draws = draw_augmentation(replace(ALL, cutout=1), 50, (2, 2), "tiny", 0, 0, 0)
    assert draws.flip is not None and draws.cutout is not None
    assert all(not torch.equal(draws.flip.long(), axis) for axis in draws.cutout)


@pytest.mark.parametrize("changed", ["dataset", "seed", "epoch", "stream"])
def test_streams_differ(changed: str) -> None:
    names = {"dataset": "tiny", "seed": 0, "epoch": 0, "stream": 0}
    first = draw_augmentation(ALL, 50, (8, 8), *names.values())
    other = draw_augmentation(
        ALL, 50, (8, 8), *(names | {changed: "other" if changed == "dataset" else 1}).values()
    )
    assert not any(same(getattr(first, name), getattr(other, name)) for name in CHANGES)


def test_every_epoch_seed_dataset_and_stream_has_draws_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In one epoch the images come in an order of their own as well: here all orders are the same."""
    monkeypatch.setattr("guidebp.data.batches.draw_permutation", lambda n, *_: torch.arange(n))
    found = data((1, 8, 8))
    split = draw_split(found.labels, found.official_test, DATASET, 0)

    def seen(name: str, seed: int, number: int) -> Tensor:
        dataset = replace(DATASET, name=name)
        run_spec = spec("add", "columns", seed, dataset=dataset, recipe=recipe(augmentation=asdict(ALL)))
        return epoch(Batches(found, split, run_spec, CPU), number, 2)

    first = seen("tiny", 0, 0)
    assert torch.equal(first, seen("tiny", 0, 0))
    for other in (seen("other", 0, 0), seen("tiny", 1, 0), seen("tiny", 0, 1)):
        assert not torch.equal(first, other)
    steps = first.view(-1, 2, 8, 1, 8, 8)  # step, stream, image
    assert all(not torch.equal(step[0], step[1]) for step in steps)


@pytest.mark.parametrize("method", ["guidebp", "separate", "learned"])
def test_methods_and_recipes_see_the_same_images(method: str) -> None:
    def first_stream(method_name: str, **changes: Any) -> Tensor:
        run_spec = spec(method_name, "columns", recipe=recipe(augmentation=asdict(ALL), **changes))
        untrained, batches = start_run(run_spec, prepared(), CPU)
        size = batches.size
        return torch.cat([images[:size] for images, _ in batches.epoch(1, untrained.streams)])

    first = first_stream("add")
    assert torch.equal(first, first_stream(method))
    assert torch.equal(first, first_stream("add", lr=0.5, epochs=9, numerics="fast"))
    smaller = first_stream("add", batch_size=5)
    shared = min(len(first), len(smaller))
    assert torch.equal(first[:shared], smaller[:shared])


def test_draws_of_several_streams_stand_one_after_another() -> None:
    parts = [draw_augmentation(ALL, 20, (8, 8), "tiny", stream) for stream in range(3)]
    together = join_draws(parts)
    for name in CHANGES:
        wanted = torch.cat([getattr(part, name) for part in parts], dim=-1)
        assert torch.equal(getattr(together, name), wanted)
    nothing = join_draws([draw_augmentation(OFF, 20, (8, 8), "tiny", stream) for stream in range(3)])
    assert nothing == AugmentationDraws(None, None, None)


# Distributions, of fixed streams: these pass for ever or fail for ever

COUNT = 20_000
FAR = 1e-6  # the share of sound generators that would fail


def uniform(values: Tensor, low: int, high: int) -> None:
    """Chi-square: every integer from `low` to `high` - 1 is equally likely, and no other occurs."""
    assert low <= int(values.min()) and int(values.max()) < high
    counts = torch.bincount(values - low, minlength=high - low).double()
    expected = len(values) / (high - low)
    assert counts.min() > 0
    assert ((counts - expected) ** 2 / expected).sum() < chi2.isf(FAR, high - low - 1)


def test_half_of_the_images_are_mirrored_wherever_they_are_cut() -> None:
    draws = draw_augmentation(ALL, COUNT, (8, 8), "tiny", 0, 0, 0)
    assert draws.flip is not None and draws.crop is not None
    assert 0.48 < draws.flip.double().mean() < 0.52
    uniform(draws.flip.long() * 5 + draws.crop[0], 0, 10)
    uniform(draws.flip.long() * 5 + draws.crop[1], 0, 10)


@pytest.mark.parametrize("padding", [1, 4, 64])
def test_places_of_the_cut_are_uniform(padding: int) -> None:
    draws = draw_augmentation(AugmentationSpec(crop=padding), COUNT, (8, 6), "tiny", 0, 0, 0)
    assert draws.crop is not None
    for axis in draws.crop:
        uniform(axis, 0, 2 * padding + 1)
    if padding < 64:
        uniform(draws.crop[0] * (2 * padding + 1) + draws.crop[1], 0, (2 * padding + 1) ** 2)


@pytest.mark.parametrize("side", [1, 2, 5, 16])
def test_centres_of_the_squares_are_uniform(side: int) -> None:
    height, width = 12, 7
    draws = draw_augmentation(AugmentationSpec(cutout=side), COUNT, (height, width), "tiny", 0, 0, 0)
    assert draws.cutout is not None
    rows, columns = draws.cutout + side // 2
    uniform(rows, 0, height)
    uniform(columns, 0, width)
    uniform(rows * width + columns, 0, height * width)


def test_squares_are_whole_away_from_the_border() -> None:
    """Of odd sides too: the original loses a row and a column of those."""
    images = torch.ones(COUNT // 10, 1, 15, 15)
    augmentation = AugmentationSpec(cutout=5)
    draws = draw_augmentation(augmentation, len(images), (15, 15), "tiny", 0, 0, 0)
    apply_cutout(images, augmentation, draws, torch.arange(len(images)))
    sizes = np.unique((1 - images).sum(dim=(1, 2, 3)).int().numpy())
    assert sizes.tolist() == [9, 12, 15, 16, 20, 25]  # 3, 4 or 5 rows by 3, 4 or 5 columns
