"""Tiny versions of everything a run is made of, for the tests: networks, methods, specs, data."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from guidebp import ENGINE_VERSION
from guidebp.data.manifest import content_hash
from guidebp.data.prepared import Prepared
from guidebp.hashing import readable_json
from guidebp.methods import build_method
from guidebp.methods.contract import MakeOptimiser, Method
from guidebp.models import build_network
from guidebp.models.contract import Network
from guidebp.schema.families import families, plain, unmet
from guidebp.schema.recipes import Recipe
from guidebp.schema.yaml_files import read_file
from guidebp.seeds import seeded
from guidebp.training.schedules import optimiser_maker

ROOT = Path(__file__).parents[2]
CLASSES = 4
SHAPE = (1, 12, 12)

_COLUMN: dict[str, Any] = {"family": "columns", "options": {"kernels": [[3, 3]], "widths": [4, 8]}}
_BRANCHES: dict[str, Any] = {"family": "branches", "options": {"stem": 4, "widths": [8, 8, 16], "head": 8}}
# One or more per family; `test_every_family_has_a_tiny_architecture` asks for one of each new family.
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "columns": {"family": "columns", "options": {"kernels": [[3, 3], [5, 5], [3, 5]], "widths": [4, 8]}},
    "columns-average": {
        "family": "columns",
        "options": {"kernels": [[3], [5]], "widths": [8], "features": "average"},
    },
    "one-column": _COLUMN,
    "instances": {"family": "instances", "options": {"copies": 3}, "base": _COLUMN},
    "branches": _BRANCHES,
    "instances-of-branches": {"family": "instances", "options": {"copies": 2}, "base": _BRANCHES},
    "resnet": {"family": "resnet", "options": {"depth": 14, "exits": [3, 7]}},
    "plain-resnet": {"family": "resnet", "options": {"depth": 14}},
    "msdnet": {
        "family": "msdnet",
        "options": {"blocks": 3, "first": 2, "step": 1, "channels": 4, "growth": 4, "head": 8},
    },
    "vgg": {"family": "vgg", "options": {"depths": [2, 2, 2], "widths": [4, 8, 8]}},
    "lenet": {"family": "lenet", "options": {"exits": [1], "widths": [16, 8]}},
    "mobilenet": {"family": "mobilenet-v2", "options": {"exits": [2, 4], "width": 0.25, "head": 8}},
}


def method_specs() -> dict[str, dict[str, Any]]:
    """Every entry of config/methods.yaml, resolved: a new entry joins all tests by itself."""
    found = {}
    for name, entry in read_file(ROOT / "config/methods.yaml", "methods").items():
        family = families("methods")[entry.family]
        options, faults = family.resolve(entry.options)
        assert not faults, faults
        found[name] = {"family": entry.family, "options": plain(options)}
    return found


METHODS = method_specs()


def fits(method: str, architecture: str) -> bool:
    """Whether the architecture offers what the method needs."""
    resolved = []
    for kind, entry in (("methods", METHODS[method]), ("models", ARCHITECTURES[architecture])):
        family = families(kind)[entry["family"]]
        resolved.append(family.resolve(entry["options"])[0])
    return unmet(*resolved) is None


PAIRS = [(method, name) for name in ARCHITECTURES for method in METHODS if fits(method, name)]


def recipe(lr: float = 0.05, momentum: float = 0.9, **changes: Any) -> dict[str, Any]:
    """A resolved recipe."""
    optimiser = {"name": "sgd", "lr": lr, "momentum": momentum, "nesterov": momentum > 0}
    made = Recipe.model_validate({"optimiser": optimiser, "epochs": 2, "batch_size": 8} | changes)
    resolved: dict[str, Any] = made.model_dump(mode="json")
    if not isinstance(resolved["augmentation"], dict):  # the tiny dataset has none
        del resolved["augmentation"]
    return resolved


def spec(
    method_name: str, architecture_name: str, seed: int = 0, key: str = "k0", **changes: Any
) -> dict[str, Any]:
    """A resolved spec as `resolve` makes it; the key is given, not computed."""
    return {
        "key": key,
        "claims": {},
        "engine": ENGINE_VERSION,
        "dataset": {"name": "tiny", "split": {"test": 0.2, "validation": 0.2}, "classes": CLASSES},
        "architecture": ARCHITECTURES[architecture_name],
        "method": METHODS[method_name],
        "recipe": recipe(),
        "seed": seed,
    } | changes


def maker(**changes: Any) -> MakeOptimiser:
    """A recipe's optimiser."""
    return optimiser_maker(recipe(**changes))


def network(architecture: str, seed: int = 0) -> Network:
    """An untrained tiny network."""
    with seeded("test weights", architecture, seed):
        return build_network(ARCHITECTURES[architecture], SHAPE, CLASSES)


def method(name: str, architecture: str, seed: int = 0, **changes: Any) -> Method:
    """An untrained method with its network."""
    net = network(architecture, seed)
    with seeded("test parts", name, architecture, seed):
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
    return content_hash({name: tensor.numpy() for name, tensor in found.items()})


def prepared(count: int = 60) -> Prepared:
    """The tiny dataset in memory."""
    found = tensors(count)
    manifest = {"sha256": hash_of(found)}
    return Prepared(found["images"], found["labels"].long(), found["test"].bool(), manifest)


def write_prepared(folder: Path, count: int = 60) -> str:
    """The tiny dataset on disk; its content hash."""
    folder.mkdir(parents=True, exist_ok=True)
    found = tensors(count)
    checksum = hash_of(found)
    save_file(found, folder / "tiny.safetensors")
    (folder / "tiny.json").write_bytes(readable_json({"dataset": "tiny", "sha256": checksum}))
    return checksum
