"""The contract of `methods/contract.py`, for every entry of config/methods.yaml on every tiny architecture."""

import copy
import os
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from guidebp.methods import build_method
from guidebp.methods.contract import Method
from guidebp.schema.families import read_families
from guidebp.training.trainer import start_run
from tests.support.tiny import (
    ARCHITECTURES,
    CLASSES,
    METHODS,
    PAIRS,
    batch,
    maker,
    method,
    network,
    prepared,
    recipe,
    spec,
)

BATCH = 8


def select_pairs() -> list[tuple[str, str]]:
    """A pair of every family, and every architecture with a method of one optimiser and with one of several."""
    if os.environ.get("GUIDEBP_FULL"):
        return PAIRS
    families = {METHODS[name].family: (name, architecture) for name, architecture in reversed(PAIRS)}
    single = {pair[1]: pair for pair in PAIRS if pair[0] in ("guidebp", "deconfliction")}
    several = {pair[1]: pair for pair in PAIRS if pair[0] in ("separate", "multiway", "local-critic")}
    return list(dict.fromkeys([*families.values(), *single.values(), *several.values()]))


SAMPLE = select_pairs()


def list_optimised_parameters(instance: Method) -> list[nn.Parameter]:
    return [p for o in instance.optimisers.values() for group in o.param_groups for p in group["params"]]


def copy_parameters(optimiser: Optimizer) -> Tensor:
    """All parameters of an optimiser, copied into one vector."""
    return torch.cat([p.detach().flatten() for group in optimiser.param_groups for p in group["params"]])


def compute_loss_gradients(instance: Method, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Gradient of the loss at the network's parameters."""
    loss = instance.loss(instance.logits(images), labels)
    names, parameters = zip(*instance.network.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(loss, parameters, allow_unused=True), strict=True))


def test_every_family_has_an_entry() -> None:
    assert {name for name, _ in PAIRS} == set(METHODS)
    families = set(read_families("methods"))
    assert {spec.family for spec in METHODS.values()} == families
    assert {METHODS[name].family for name, _ in SAMPLE} == families
    assert {architecture for _, architecture in SAMPLE} == set(ARCHITECTURES)


@pytest.mark.parametrize(("name", "architecture"), PAIRS)
def test_contract(name: str, architecture: str) -> None:
    instance = method(name, architecture)
    pathways = instance.pathways
    assert instance.streams >= 1 and instance.constant_rates <= set(instance.optimisers)
    before = {key: copy_parameters(o) for key, o in instance.optimisers.items()}
    instance.train()
    for seed in range(2):
        report = instance.step(*batch(BATCH * instance.streams, seed))
        assert report.loss.shape == () and report.gradient_norms.shape == (pathways,)
        assert (report.gradient_products is not None) == instance.reports_products
        for value in (value for value in report if value is not None):
            assert value.dtype == torch.float32 and value.device.type == "cpu" and not value.requires_grad
            assert torch.isfinite(value).all()
        assert report.loss > 0 and (report.gradient_norms >= 0).all() and report.gradient_norms.sum() > 0
    for key, optimiser in instance.optimisers.items():
        after = copy_parameters(optimiser)
        assert torch.isfinite(after).all() and not torch.equal(after, before[key])
    instance.eval()
    images, _ = batch(5)
    with torch.inference_mode():
        logits = instance.logits(images)
        merged = instance.predict(logits)
    assert logits.shape == (pathways, 5, CLASSES) and merged.shape == (5, CLASSES)
    assert logits.dtype == merged.dtype == torch.float32
    assert torch.isfinite(logits).all() and torch.isfinite(merged).all()


@pytest.mark.parametrize(("name", "architecture"), SAMPLE)
def test_how_tensors_lie_in_memory_changes_nothing(name: str, architecture: str) -> None:
    """As `start_run` lays parameters out, some in channels_last, or all in a row: kernels that pair by place."""
    adam = recipe(optimiser={"name": "adam", "lr": 1e-3})
    states = []
    for mixed in (True, False):
        instance, batches = start_run(spec(name, architecture, recipe=adam), prepared(), torch.device("cpu"))
        instance.double().train()
        for p in instance.parameters():
            p.data = p.data if mixed else p.data.contiguous()
        for _, (images, labels) in zip(range(3), batches.epoch(0, instance.streams), strict=False):
            instance.step(images.double(), labels)
        states.append(instance.state_dict())
    for key, value in states[0].items():
        torch.testing.assert_close(value, states[1][key], rtol=1e-6, atol=1e-9, msg=key)


@pytest.mark.parametrize(("name", "architecture"), SAMPLE)
def test_state_dict_holds_everything(name: str, architecture: str) -> None:
    """Loaded into a fresh method with other weights it gives the same logits and the same next step."""
    instance = method(name, architecture)
    instance.step(*batch(BATCH * instance.streams, 1))
    other = method(name, architecture, seed=1)
    images, _ = batch(5)
    assert not torch.equal(instance.eval().logits(images), other.eval().logits(images))
    other.load_state_dict(copy.deepcopy(instance.state_dict()))
    assert torch.equal(instance.logits(images), other.logits(images))
    for key, optimiser in instance.optimisers.items():
        other.optimisers[key].load_state_dict(copy.deepcopy(optimiser.state_dict()))
    steps = [m.train().step(*batch(BATCH * m.streams, 2)) for m in (instance, other)]
    assert torch.equal(steps[0].loss, steps[1].loss)
    assert torch.equal(instance.eval().logits(images), other.eval().logits(images))


@pytest.mark.parametrize(("name", "architecture"), SAMPLE)
def test_optimisers_cover_what_the_logits_and_the_merge_depend_on(
    name: str, architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each parameter once (multi-way: once per exit above it), and only those with which some logit moves."""
    instance = method(name, architecture)
    images, labels = batch(BATCH * instance.streams)
    parameters = list(instance.parameters())
    gradients = torch.autograd.grad(
        instance.predict(instance.logits(images)).sum(), parameters, allow_unused=True
    )
    idle = {
        id(p) for p, g in zip(parameters, gradients, strict=True) if g is None
    }  # a part of MSDNet's last layers
    covered = [id(p) for p in list_optimised_parameters(instance)]
    if METHODS[name].family != "multiway":
        assert len(covered) == len(set(covered))
    stepped: set[int] = set()

    def record_steps(optimiser: Optimizer) -> Callable[[], None]:
        step = optimiser.step

        def step_and_record() -> None:
            parameters = (p for group in optimiser.param_groups for p in group["params"])
            stepped.update(id(p) for p in parameters if p.grad is not None)
            step()

        return step_and_record

    for optimiser in instance.optimisers.values():
        monkeypatch.setattr(optimiser, "step", record_steps(optimiser))
    instance.step(images, labels)
    assert set(covered) - idle == stepped - idle
    assert stepped


@pytest.mark.parametrize(("name", "architecture"), SAMPLE)
def test_a_sub_model_is_its_pathway(name: str, architecture: str) -> None:
    instance = method(name, architecture)
    instance.step(*batch(BATCH * instance.streams))
    instance.eval()
    images, _ = batch(5)
    with torch.inference_mode():
        logits = instance.logits(images)
        for k in range(instance.pathways):
            torch.testing.assert_close(instance.sub_model(k)(images), logits[k], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_separate_is_plain_training_of_each_pathway_alone(architecture: str) -> None:
    instance = method("separate", architecture)
    plain = []
    for stages in network(architecture).stages():
        net = nn.Sequential(*copy.deepcopy(stages))
        plain.append((net, maker()(net.parameters())))
    instance.train()
    for seed in range(3):
        images, labels = batch(BATCH * instance.streams, seed)
        instance.step(images, labels)
        for k, (net, optimiser) in enumerate(plain):
            samples = slice(k * BATCH, (k + 1) * BATCH)
            optimiser.zero_grad()
            F.cross_entropy(net(images[samples]), labels[samples]).backward()
            optimiser.step()
    instance.eval()
    images, _ = batch(5)
    logits = instance.logits(images)
    for k, (net, _) in enumerate(plain):
        torch.testing.assert_close(logits[k], net.eval()(images), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("architecture", ["branches", "instances-of-branches"])
def test_separate_gives_private_trunks(architecture: str) -> None:
    instance = method("separate", architecture)
    initial = {name: p.detach().clone() for name, p in instance.network.named_parameters()}
    groups = [{id(p) for g in o.param_groups for p in g["params"]} for o in instance.optimisers.values()]
    assert len(groups) == instance.network.pathways
    assert sum(map(len, groups)) == len(set().union(*groups))
    images, _ = batch(5)
    start = instance.eval().logits(images)
    assert torch.equal(start, instance.network.eval()(images))
    instance.train().step(*batch(BATCH * instance.streams))
    assert not torch.equal(start, instance.eval().logits(images))
    for name, parameter in instance.network.named_parameters():
        assert torch.equal(parameter, initial[name])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_concatenate_is_one_linear_layer_on_the_concatenated_features(architecture: str) -> None:
    instance = method("concatenate", architecture).eval()
    images, labels = batch(6)
    layer = instance.get_submodule("layer")
    expected = layer(torch.cat(instance.network.features(images), dim=1))
    logits = instance.logits(images)
    torch.testing.assert_close(instance.predict(logits), expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(instance.loss(logits, labels), F.cross_entropy(expected, labels))
    unused = {id(p) for head in instance.network.exit_heads for p in head.parameters()}
    assert not unused & {id(p) for p in list_optimised_parameters(instance)}


@pytest.mark.parametrize("architecture", ["columns", "instances"])
def test_independent_gives_disjoint_pathways_their_own_gradient(architecture: str) -> None:
    instance = method("independent", architecture)
    images, labels = batch(BATCH)
    actual = compute_loss_gradients(instance, images, labels)
    named = {id(p): name for name, p in instance.network.named_parameters()}
    for stages in instance.network.stages():
        net = nn.Sequential(*stages)
        loss = F.cross_entropy(net(images), labels)
        expected = torch.autograd.grad(loss, list(net.parameters()))
        for parameter, gradient in zip(net.parameters(), expected, strict=True):
            torch.testing.assert_close(actual[named[id(parameter)]], gradient, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_learned_starts_as_average_and_leaves_it(architecture: str) -> None:
    learned, average = method("learned", architecture), method("average", architecture)
    images, labels = batch(BATCH)
    first, second = (
        compute_loss_gradients(learned, images, labels),
        compute_loss_gradients(average, images, labels),
    )
    for name, gradient in first.items():
        torch.testing.assert_close(gradient, second[name], rtol=1e-4, atol=1e-5)
    logits = torch.randn(learned.network.pathways, 5, CLASSES)
    torch.testing.assert_close(learned.predict(logits), logits.mean(dim=0))
    learned.step(images, labels)
    assert not torch.allclose(learned.predict(logits), logits.mean(dim=0), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "merge"),
    [
        ("add", lambda z: z.sum(0)),
        ("average", lambda z: z.sum(0) / len(z)),
        ("max", lambda z: z.max(dim=0).values),
        ("guidebp", lambda z: z.sum(0) / len(z)),
        ("independent", lambda z: z.sum(0) / len(z)),
        ("separate", lambda z: z.sum(0) / len(z)),
    ],
)
def test_label_free_prediction(name: str, merge: nn.Module) -> None:
    logits = torch.randn(3, 5, CLASSES, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(method(name, "columns").predict(logits), merge(logits))


def test_reported_gradient_is_the_norm_at_each_pathways_logits() -> None:
    instance = method("average", "columns")
    images, labels = batch(BATCH)
    logits = instance.logits(images).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(F.cross_entropy(logits.mean(dim=0), labels), logits)
    expected = [sum(row.norm().item() for row in pathway) for pathway in gradient]
    assert instance.step(images, labels).gradient_norms.tolist() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", METHODS)
def test_a_methods_own_parts_live_beside_the_network(name: str) -> None:
    net = network(next(architecture for method, architecture in PAIRS if method == name)).to("meta")
    instance = build_method(METHODS[name], net, maker())
    state = {key: tensor for key, tensor in instance.state_dict().items() if not key.endswith("_extra_state")}
    assert {tensor.device.type for tensor in state.values()} == {"meta"}
    assert {p.device.type for p in list_optimised_parameters(instance)} == {"meta"}
