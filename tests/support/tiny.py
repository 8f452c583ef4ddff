"""Tiny versions of everything a run is made of, for the tests: networks, methods, specs, data."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from guidebp.data.manifest import Manifest, ManifestClassCounts, ManifestCopyCounts, compute_content_hash
from guidebp.data.prepared import Prepared
from guidebp.methods import build_method
from guidebp.methods.contract import Method
from guidebp.models import build_network
from guidebp.models.contract import Network
from guidebp.optimisers import OptimiserFactory, make_optimiser_factory
from guidebp.runs.spec import (
    AugmentationSpec,
    DatasetSpec,
    FamilySpec,
    OptimiserSpec,
    PlannedRun,
    RecipeSpec,
    RunSpec,
    ScheduleSpec,
    SplitSpec,
)
from guidebp.schema.datasets import AugmentationEntry
from guidebp.schema.families import explain_mismatch, options_to_json, read_families
from guidebp.schema.recipes import Recipe
from guidebp.schema.yaml_files import read_config_file
from guidebp.seeds import use_stream

ROOT = Path(__file__).parents[2]
CLASSES = 4
SHAPE = (1, 12, 12)

_COLUMN = FamilySpec("columns", {"kernels": [[3, 3]], "widths": [4, 8]})
_BRANCHES = FamilySpec("branches", {"stem": 4, "widths": [8, 8, 16], "head": 8})
# One or more per family; `test_every_family_has_a_tiny_architecture` asks for one of each new family.
ARCHITECTURES = {
    "columns": FamilySpec("columns", {"kernels": [[3, 3], [5, 5], [3, 5]], "widths": [4, 8]}),
    "columns-average": FamilySpec("columns", {"kernels": [[3], [5]], "widths": [8], "features": "average"}),
    "one-column": _COLUMN,
    "instances": FamilySpec("instances", {"copies": 3}, base=_COLUMN),
    "branches": _BRANCHES,
    "instances-of-branches": FamilySpec("instances", {"copies": 2}, base=_BRANCHES),
    "resnet": FamilySpec("resnet", {"depth": 14, "exits": [3, 7]}),
    "plain-resnet": FamilySpec("resnet", {"depth": 14}),
    "msdnet": FamilySpec(
        "msdnet", {"blocks": 3, "first": 2, "step": 1, "channels": 4, "growth": 4, "head": 8}
    ),
    "vgg": FamilySpec("vgg", {"depths": [2, 2, 2], "widths": [4, 8, 8]}),
    "lenet": FamilySpec("lenet", {"exits": [1], "widths": [16, 8]}),
    "mobilenet": FamilySpec("mobilenet-v2", {"exits": [2, 4], "width": 0.25, "head": 8}),
}


def method_specs() -> dict[str, FamilySpec]:
    """Every entry of config/methods.yaml, resolved: a new entry joins all tests by itself."""
    specs = {}
    for name, entry in read_config_file(ROOT / "config/methods.yaml", "methods").items():
        family = read_families("methods")[entry.family]
        options, faults = family.resolve(entry.options)
        assert not faults, faults
        specs[name] = FamilySpec(entry.family, options_to_json(options))
    return specs


METHODS = method_specs()


def fits(method: str, architecture: str) -> bool:
    """Whether the architecture offers what the method needs."""
    resolved = []
    for kind, entry in (("methods", METHODS[method]), ("models", ARCHITECTURES[architecture])):
        family = read_families(kind)[entry.family]
        resolved.append(family.resolve(entry.options)[0])
    return explain_mismatch(*resolved) is None


PAIRS = [(method, name) for name in ARCHITECTURES for method in METHODS if fits(method, name)]


def recipe(lr: float = 0.05, momentum: float = 0.9, **changes: Any) -> RecipeSpec:
    """A resolved recipe; `changes` are its fields, optimiser and schedule as a recipe file has them."""
    optimiser = {"name": "sgd", "lr": lr, "momentum": momentum, "nesterov": momentum > 0}
    entry = Recipe.model_validate({"optimiser": optimiser, "epochs": 2, "batch_size": 8} | changes)
    settings = entry.optimiser.model_dump(mode="json", exclude={"name", "lr"})
    schedule, augmentation = entry.schedule, entry.augmentation
    if not isinstance(augmentation, AugmentationEntry):  # the tiny dataset has none
        augmentation = AugmentationEntry()
    return RecipeSpec(
        OptimiserSpec(entry.optimiser.name, entry.optimiser.lr, settings),
        entry.epochs,
        entry.batch_size,
        ScheduleSpec(schedule.name, schedule.warmup, tuple(schedule.milestones), schedule.factor),
        AugmentationSpec(augmentation.flip, augmentation.crop, augmentation.cutout),
        entry.downsample,
        entry.numerics,
    )


def spec(method_name: str, architecture_name: str, seed: int = 0, **changes: Any) -> RunSpec:
    """A resolved spec; `changes` are its fields."""
    made_of: dict[str, Any] = {
        "dataset": DatasetSpec("tiny", SplitSpec(0.2, 0.2), CLASSES),
        "architecture": ARCHITECTURES[architecture_name],
        "method": METHODS[method_name],
        "recipe": recipe(),
        "seed": seed,
    }
    return RunSpec(**made_of | changes)


def planned(method_name: str, architecture_name: str, seed: int = 0, **changes: Any) -> PlannedRun:
    """The run of `spec`, without locks."""
    return PlannedRun(spec(method_name, architecture_name, seed, **changes))


def maker(**changes: Any) -> OptimiserFactory:
    """A recipe's optimiser."""
    return make_optimiser_factory(recipe(**changes))


def network(architecture: str, seed: int = 0) -> Network:
    """An untrained tiny network."""
    with use_stream("test weights", architecture, seed):
        return build_network(ARCHITECTURES[architecture], SHAPE, CLASSES)


def method(name: str, architecture: str, seed: int = 0, **changes: Any) -> Method:
    """An untrained method with its network."""
    net = network(architecture, seed)
    with use_stream("test parts", name, architecture, seed):
        return build_method(METHODS[name], net, maker(**changes))


def batch(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Normal images [count, 1, 8, 8] and labels that hold every class."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(count, *SHAPE, generator=generator)
    return images, torch.arange(count) % CLASSES


def tensors(count: int = 60) -> dict[str, Tensor]:
    """What a prepared file holds: classes that differ in mean, so that there is something to learn."""
    generator = torch.Generator().manual_seed(5)
    labels = torch.arange(count) % CLASSES
    noise = torch.randint(0, 128, (count, *SHAPE), generator=generator)
    images = (noise + 32 * labels.view(-1, 1, 1, 1)).to(torch.uint8)
    return {"images": images, "labels": labels.to(torch.int16), "test": torch.zeros(count, dtype=torch.uint8)}


def hash_of(found: dict[str, Tensor]) -> str:
    """The content hash of tensors."""
    return compute_content_hash({name: tensor.numpy() for name, tensor in found.items()})


def make_manifest(sha256: str, dataset: str = "tiny") -> Manifest:
    """A manifest of which only the checksum counts."""
    return Manifest(
        dataset=dataset,
        sha256=sha256,
        images=0,
        official_test_images=0,
        shape=SHAPE,
        classes=tuple(map(str, range(CLASSES))),
        per_class=ManifestClassCounts((), ()),
        mean=(),
        deviation=(),
        copies=ManifestCopyCounts(0, 0, (), 0),
        files={},
    )


def prepared(count: int = 60) -> Prepared:
    """The tiny dataset in memory."""
    found = tensors(count)
    manifest = make_manifest(hash_of(found))
    return Prepared(found["images"], found["labels"].long(), found["test"].bool(), manifest)


def write_prepared(folder: Path, count: int = 60) -> str:
    """The tiny dataset on disk; its content hash."""
    folder.mkdir(parents=True, exist_ok=True)
    found = tensors(count)
    checksum = hash_of(found)
    save_file(found, folder / "tiny.safetensors")
    (folder / "tiny.json").write_bytes(make_manifest(checksum).to_bytes())
    return checksum
