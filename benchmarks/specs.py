"""Resolved runs and images for benchmarks."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch

from guidebp.data.manifest import Manifest, ManifestClassCounts, ManifestCopyCounts
from guidebp.data.prepared import Prepared, load_prepared
from guidebp.errors import UserError
from guidebp.runs.spec import RunSpec
from guidebp.study.resolve import resolve_run

PREPARED = Path("data/prepared")
# dataset, architecture, method, recipe, options of the architecture that differ
NETWORKS: dict[str, tuple[str, str, str, str, dict[str, Any]]] = {
    "three columns on CIFAR-10": ("cifar-10", "columns-small", "average", "multiway-cifar", {}),
    "ResNet-20 on CIFAR-10": ("cifar-10", "resnet-44", "backprop", "multiway-cifar", {"depth": 20}),
    "three columns on digits": ("digits", "columns-digits", "average", "digits-short", {}),
}


def resolve_spec(network: str, numerics: Literal["exact", "fast"] = "exact") -> RunSpec:
    """The resolved spec of a network's run, without validation images: steps are timed."""
    dataset, architecture, method, recipe, options = NETWORKS[network]
    spec = resolve_run(dataset, architecture, method, recipe, 0).spec
    return replace(
        spec,
        dataset=replace(spec.dataset, split=replace(spec.dataset.split, validation=0.0)),
        architecture=replace(spec.architecture, options=spec.architecture.options | options),
        recipe=replace(spec.recipe, numerics=numerics),
    )


def random_manifest(count: int) -> Manifest:
    """The manifest of random images of CIFAR-10's size."""
    return Manifest(
        dataset="random",
        sha256="random",
        images=count,
        official_test_images=0,
        shape=(3, 32, 32),
        classes=tuple(map(str, range(10))),
        per_class=ManifestClassCounts((), ()),
        mean=(),
        deviation=(),
        copies=ManifestCopyCounts(0, 0, (), 0),
        files={},
    )


def images_of(dataset: str, count: int) -> Prepared:
    """The first training images of a dataset that is prepared here, else random ones of its size.

    They take as long: nothing in training depends on what a picture shows.
    """
    try:
        whole = load_prepared(PREPARED, dataset)
    except UserError:
        if dataset != "cifar-10":
            raise
        generator = torch.Generator().manual_seed(0)
        images = torch.randint(256, (count, 3, 32, 32), dtype=torch.uint8, generator=generator)
        labels = torch.randint(10, (count,), generator=generator)
        return Prepared(images, labels, torch.zeros(count, dtype=torch.bool), random_manifest(count))
    chosen = (~whole.official_test).nonzero().flatten()[:count]
    none = torch.zeros(len(chosen), dtype=torch.bool)
    return Prepared(whole.images[chosen], whole.labels[chosen], none, whole.manifest)
