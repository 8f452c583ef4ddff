"""The contract of `models/contract.py`, for every entry of config/architectures.yaml and every tiny network."""

import pytest
import torch

from guidebp.models import build_network
from guidebp.models.contract import Chain, Network, find_shared_parameters
from guidebp.models.instances import Instances
from guidebp.runs.spec import FamilySpec
from guidebp.schema.families import options_to_json, read_families
from guidebp.schema.yaml_files import read_config_file
from tests.support.tiny import ARCHITECTURES, CLASSES, ROOT, SHAPE

CATALOGUE = read_config_file(ROOT / "config/architectures.yaml", "architectures")


def resolve(name: str) -> tuple[FamilySpec, int]:
    """The spec of a catalogue entry and the smallest image it takes."""
    entry = CATALOGUE[name]
    family = read_families("models")[entry.family]
    options, faults = family.resolve(entry.options)
    assert not faults, faults
    values = options_to_json(options)
    if "base" in values:
        base, smallest = resolve(str(values.pop("base")))
        return FamilySpec(entry.family, values, base=base), smallest
    return FamilySpec(entry.family, values), options.smallest_image()


SPECS = {name: resolve(name) for name in CATALOGUE} | {
    f"tiny {name}": (spec, SHAPE[1]) for name, spec in ARCHITECTURES.items()
}


CHAINS = [name for name, (spec, _) in SPECS.items() if spec.family not in ("columns", "instances")]


Example = tuple[Network, torch.Tensor]


@pytest.fixture(scope="module", params=SPECS)
def example(request: pytest.FixtureRequest) -> Example:
    """A network, and images of the smallest side it says it takes, or a bit above, not square.

    Tests share the network, so they set its mode.
    """
    spec, side = SPECS[request.param]
    shape = (1, max(side, 8), max(side, 8) + 2)
    torch.manual_seed(1)
    network = build_network(spec, shape, CLASSES)
    return network, torch.randn(3, *shape)


def test_every_family_has_a_tiny_architecture() -> None:
    """A new family needs an entry in tests/support/tiny.py; that alone puts it under every test of methods."""
    assert {spec.family for spec in ARCHITECTURES.values()} == set(read_families("models"))


def test_contract(example: Example) -> None:
    net, images = example
    net.eval()
    logits, features = net(images), net.features(images)
    assert logits.shape == (net.pathways, 3, CLASSES) and logits.dtype == torch.float32
    assert torch.isfinite(logits).all()
    assert (
        len(net.pathway_names)
        == len(set(net.pathway_names))
        == len(net.exit_heads)
        == len(features)
        == len(net.stages())
    )
    assert net.primary in ("merge", "last")
    for k, (head, feature) in enumerate(zip(net.exit_heads, features, strict=True)):
        assert feature.ndim == 2 and len(feature) == 3
        assert torch.equal(head(feature), logits[k])


def test_stages_compose_to_the_logits(example: Example) -> None:
    net, images = example
    net.train()
    net(images)  # moves the running statistics away from their start
    net.eval()
    logits = net(images)
    for k, stages in enumerate(net.stages()):
        maps = images.clone()
        for stage in stages:
            maps = stage(maps)
        torch.testing.assert_close(maps, logits[k], rtol=1e-5, atol=1e-6)
    staged = {id(p) for stages in net.stages() for stage in stages for p in stage.parameters()}
    assert staged == {id(p) for p in net.parameters()}


def test_shared_parameters(example: Example) -> None:
    net, images = example
    owned = [{id(p) for stage in stages for p in stage.parameters()} for stages in net.stages()]
    shared = sum(map(len, owned)) > len(set().union(*owned))
    assert {id(p) for p in find_shared_parameters(net.stages())} == {
        p for p in set().union(*owned) if sum(p in parameters for parameters in owned) > 1
    }
    bases = list(net.copies) if isinstance(net, Instances) else [net]
    assert shared == any(isinstance(base, Chain) and base.pathways > 1 for base in bases)
    # a pathway's logit depends on its own stages only
    first = net(images)[0].square().sum()
    gradients = torch.autograd.grad(first, list(net.parameters()), allow_unused=True)
    touched = {id(p) for p, g in zip(net.parameters(), gradients, strict=True) if g is not None and g.any()}
    assert touched and touched <= owned[0]


@pytest.mark.parametrize("example", CHAINS, indirect=True)
def test_chain_exits_run_from_shallow_to_deep(example: Example) -> None:
    net, images = example
    assert isinstance(net, Chain)
    net.eval()
    assert net.primary == "last"
    assert net.pathway_names == ["main"] or net.pathway_names == [
        f"exit {k + 1}" for k in range(net.pathways)
    ]
    stages = net.stages()
    for k in range(net.pathways):
        assert [id(s) for s in stages[k][: k + 1]] == [id(s) for s in list(net.segments)[: k + 1]]
    maps, logits = images, net(images)
    for k, segment in enumerate(net.segments):
        maps = segment(maps)
        assert torch.allclose(net.heads[k](net.exits[k](maps)), logits[k], atol=1e-6)


def test_no_1x1_convolution_strides(example: Example) -> None:
    """Below 16 channels oneDNN's write out of bounds on CPUs (its issue 6035): crashes, or wrong numbers."""
    network, _ = example
    convolutions = [module for module in network.modules() if isinstance(module, torch.nn.Conv2d)]
    assert convolutions
    assert not [c for c in convolutions if max(c.kernel_size) == 1 and max(c.stride) > 1]


def test_instances_start_different_and_equal_their_base_drawn_in_turn() -> None:
    spec = ARCHITECTURES["instances"]
    base_spec = spec.base
    assert base_spec is not None
    torch.manual_seed(3)
    net = build_network(spec, (1, 8, 8), CLASSES)
    torch.manual_seed(3)
    bases = [build_network(base_spec, (1, 8, 8), CLASSES) for _ in range(3)]
    for copy, base in zip(net.children().__next__().children(), bases, strict=True):
        for parameter, base_parameter in zip(copy.parameters(), base.parameters(), strict=True):
            assert torch.equal(parameter, base_parameter)
    first, second = ([p for s in stages for p in s.parameters()] for stages in net.stages()[:2])
    assert not torch.equal(first[0], second[0])


def test_columns_are_named_by_their_kernels() -> None:
    net = build_network(ARCHITECTURES["columns"], (1, 8, 8), CLASSES)
    assert net.pathway_names == ["kernel 3", "kernel 5", "kernel 3-5"]
