"""Methods for several exits of one trunk against the same written out by hand, in float64."""

import copy
from collections.abc import Callable, Iterable
from typing import Any, cast

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from guidebp.methods.exits import compute_depth_weights, compute_equilibrium_outputs
from guidebp.models import build_network
from guidebp.models.contract import Chain
from guidebp.runs.spec import FamilySpec
from tests.support.manual_training import (
    LR,
    Sgd,
    assert_equal_modules,
    make_double_batch,
    make_double_method,
    make_linear_chain,
    make_tiny_chain,
    make_vector_batch,
    parameters_differ,
)
from tests.support.tiny import METHODS, PAIRS, batch, method

ONE_MAP = ["resnet", "lenet", "mobilenet"]
CHAINS = ["resnet", "lenet", "msdnet"]  # long, short, several maps


def compute_weights_by_hand(net: Chain) -> list[float]:
    *auxiliary, _ = net.depths
    return [max(0.01, (depth / max(auxiliary)) ** 2) for depth in auxiliary] + [1.0]


def compute_losses(logits: Iterable[Tensor], labels: Tensor) -> list[Tensor]:
    return [F.cross_entropy(z, labels) for z in logits]


def compute_gradients(loss: Tensor, net: nn.Module) -> list[Tensor | None]:
    return list(torch.autograd.grad(loss, list(net.parameters()), retain_graph=True, allow_unused=True))


def assert_gradients(actual: list[Tensor | None], expected: list[Tensor | None]) -> None:
    for a, b in zip(actual, expected, strict=True):
        if a is None or b is None:
            assert a is b
        else:
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


def build_multiway_optimisers(net: Chain) -> tuple[list[Sgd], list[Sgd], list[float]]:
    """For each exit one on the segments below it, its rate divided, and one on the exit itself."""
    weights = compute_weights_by_hand(net)
    last = net.pathways - 1
    divisors = [sum(weights[k:last]) if k < last else 1.0 for k in range(net.pathways)]
    trunks = [Sgd(net.segments[: k + 1].parameters(), LR / d) for k, d in enumerate(divisors)]
    ends = [Sgd([*net.exits[k].parameters(), *net.heads[k].parameters()]) for k in range(net.pathways)]
    return trunks, ends, weights


@pytest.mark.parametrize("architecture", CHAINS)
def test_multiway_through_original_weights(architecture: str) -> None:
    net = make_tiny_chain(architecture)
    instance = make_double_method("multiway-original", net)
    trunks, ends, weights = build_multiway_optimisers(net)
    for seed in range(3):
        images, labels = make_double_batch(seed=seed)
        exit_losses = compute_losses(net.outputs(images), labels)
        gradients = [
            [
                torch.autograd.grad(exit_losses[k], o.parameters, retain_graph=True, allow_unused=True)
                for o in pair
            ]
            for k, pair in enumerate(zip(trunks, ends, strict=True))
        ]
        for k, (trunk, end) in enumerate(gradients):
            trunks[k].step([None if g is None else weights[k] * g for g in trunk])
            ends[k].step(end)
        assert instance.step(images, labels).loss.item() == pytest.approx(
            torch.stack(exit_losses).sum().item()
        )
        assert_equal_modules(instance.network, net)


Layer = tuple[Tensor, Tensor]  # weight, bias


def list_linear_layers(module: nn.Module) -> list[Layer]:
    """The linear layers of a module, in order."""
    return [(m.weight, m.bias) for m in module.modules() if isinstance(m, nn.Linear)]


@torch.no_grad()
def step_multiway_by_hand(
    net: Chain, optimisers: tuple[list[Sgd], list[Sgd], list[float]], images: Tensor, labels: Tensor
) -> None:
    """One batch through linear layers with ReLU: activations of the one forward pass, weights as they now are."""
    below: list[list[tuple[Layer, Tensor, Tensor]]] = []  # per exit: all layers with what they read and gave
    layers: list[tuple[Layer, Tensor, Tensor]] = []
    outputs, state = [], images
    for segment, head in zip(net.segments, net.heads, strict=True):
        for weight, bias in list_linear_layers(segment):
            inputs, state = state, (state @ weight.T + bias).clamp(min=0)
            layers.append(((weight, bias), inputs, state))
        below.append(list(layers))
        ((weight, bias),) = list_linear_layers(head)
        outputs.append(state @ weight.T + bias)
    for k, (trunk, end, factor) in enumerate(zip(*optimisers, strict=True)):
        error = (outputs[k].softmax(dim=1) - F.one_hot(labels, outputs[k].shape[1])) / len(labels)
        ((weight, _),) = list_linear_layers(net.heads[k])
        back, gradients = error @ weight, list[Tensor]()
        for (weight, _), inputs, state in reversed(below[k]):
            back = back * (state > 0)
            gradients = [back.T @ inputs, back.sum(dim=0), *gradients]
            back = back @ weight
        trunk.step([factor * g for g in gradients])
        end.step([error.T @ below[k][-1][2], error.sum(dim=0)])


def test_multiway_through_updated_weights() -> None:
    net = make_linear_chain((1, 2, 1, 2))
    instance = make_double_method("multiway", net)
    optimisers = build_multiway_optimisers(net)
    for seed in range(4):
        step_multiway_by_hand(net, optimisers, *make_vector_batch(seed=seed))
        instance.step(*make_vector_batch(seed=seed))
        assert_equal_modules(instance.network, net)


def test_multiway_readings_differ_from_the_first_step_on() -> None:
    updated, original = (
        make_double_method(name, make_linear_chain()) for name in ("multiway", "multiway-original")
    )
    for instance in (updated, original):
        instance.step(*make_vector_batch())
    assert parameters_differ(updated.network.segments[0], original.network.segments[0])  # type: ignore[index, arg-type]
    assert not parameters_differ(updated.network.heads, original.network.heads)  # type: ignore[arg-type]


@pytest.mark.parametrize("architecture", CHAINS)
def test_multiway_reports_losses_and_weighted_gradients(architecture: str) -> None:
    net = make_tiny_chain(architecture)
    images, labels = make_double_batch()
    logits = net(images)
    exit_losses = compute_losses(logits, labels)
    (logit_gradients,) = torch.autograd.grad(torch.stack(exit_losses).sum(), logits)
    expected = logit_gradients.norm(dim=2).sum(dim=1) * torch.tensor(compute_weights_by_hand(net))
    for name in ("multiway", "multiway-original"):
        step = make_double_method(name, net).step(images, labels)
        torch.testing.assert_close(step.loss, torch.stack(exit_losses).sum().detach())
        torch.testing.assert_close(step.gradient_norms, expected)


def test_depth_weights_of_the_papers_network() -> None:
    spec = FamilySpec("resnet", {"depth": 56, "exits": [15, 25, 35, 45]})
    net = build_network(spec, (3, 8, 8), 10)
    assert isinstance(net, Chain)
    assert net.depths[:-1] == [15, 25, 35, 45]
    assert compute_depth_weights(net.depths) == pytest.approx([0.1111, 0.3086, 0.6049, 1, 1], abs=5e-5)
    assert compute_depth_weights([1, 100, 110]) == [0.01, 1, 1]
    assert compute_depth_weights([7]) == [1]


@pytest.mark.parametrize("weights", ["equal", "depth"])
@pytest.mark.parametrize("architecture", CHAINS)
def test_deep_supervision_is_the_weighted_sum(architecture: str, weights: str) -> None:
    net = make_tiny_chain(architecture)
    instance = make_double_method("deep-supervision", net, weights=weights)
    exit_weights = compute_weights_by_hand(net) if weights == "depth" else [1.0] * net.pathways
    optimiser = Sgd(net.parameters())
    for seed in range(3):
        images, labels = make_double_batch(seed=seed)
        total = torch.zeros((), dtype=torch.float64)
        for weight, loss in zip(exit_weights, compute_losses(net(images), labels), strict=True):
            total = total + weight * loss
        optimiser.step(compute_gradients(total, net))
        torch.testing.assert_close(instance.step(images, labels).loss, total.detach())
        assert_equal_modules(instance.network, net)


def average_later_exits(net: Chain, images: Tensor, labels: Tensor) -> list[Tensor | None]:
    """In the trunk the mean over the exits at or after the segment; an exit itself has its own gradient."""
    exit_gradients = [compute_gradients(loss, net) for loss in compute_losses(net(images), labels)]
    later = {p: net.pathways - i for i, segment in enumerate(net.segments) for p in segment.parameters()}
    means: list[Tensor | None] = []
    for p, *own_gradients in zip(net.parameters(), *exit_gradients, strict=True):
        gradients = [g for g in own_gradients if g is not None]
        means.append(torch.stack(gradients).sum(dim=0) / later.get(p, 1) if gradients else None)
    return means


@pytest.mark.parametrize(("architecture", "maps"), [*((a, "coarsest") for a in ONE_MAP), ("msdnet", "all")])
def test_equilibrium_takes_the_mean_over_later_exits(architecture: str, maps: str) -> None:
    net = make_tiny_chain(architecture)
    images, labels = make_double_batch()
    instance = make_double_method("gradient-equilibrium", net, maps=maps)
    logits = instance.logits(images)
    assert torch.equal(logits, net(images))
    gradients = compute_gradients(instance.loss(logits, labels), instance.network)
    assert_gradients(gradients, average_later_exits(net, images, labels))


def scale_coarsest_by_detaching(net: Chain, images: Tensor) -> Tensor:
    """The coarsest map through `f x + (1 - f) detached x`: the value of x, f times its gradient."""
    outputs, state = [], images
    for i, (segment, exit_, head) in enumerate(zip(net.segments, net.exits, net.heads, strict=True)):
        *finer, map_ = segment(state)
        map_ = map_ / (net.pathways - i) + (1 - 1 / (net.pathways - i)) * map_.detach()
        outputs.append(head(exit_([*finer, map_])))
        after = net.pathways - i - 1
        state = [*finer, after * map_ + (1 - after) * map_.detach()]  # type: ignore[assignment]
    return torch.stack(outputs)


def test_equilibrium_scales_the_coarsest_of_several_maps() -> None:
    net = make_tiny_chain("msdnet")
    images, labels = make_double_batch()
    instance = make_double_method("gradient-equilibrium", net)
    logits = instance.logits(images)
    assert torch.equal(logits, net(images))
    assert torch.equal(torch.stack(compute_equilibrium_outputs(net, images, "all")), logits)
    gradients = compute_gradients(instance.loss(logits, labels), instance.network)
    expected = compute_gradients(
        torch.stack(compute_losses(scale_coarsest_by_detaching(net, images), labels)).sum(), net
    )
    assert_gradients(gradients, expected)
    other_reading = average_later_exits(net, images, labels)
    assert not all(a is b or torch.allclose(a, b) for a, b in zip(gradients, other_reading, strict=True))  # type: ignore[arg-type]


def compute_softmax(values: NDArray[np.float64]) -> NDArray[np.float64]:
    powers: NDArray[np.float64] = np.exp(values)
    shares: NDArray[np.float64] = powers / powers.sum(axis=-1, keepdims=True)
    return shares


@pytest.mark.parametrize(
    ("options", "weight"),
    [({}, 1.0), ({"weight": 0.3}, 0.3), ({"distance": "kl"}, 1.0), ({"distance": "kl", "weight": 2.0}, 2.0)],
)
def test_distillation_by_the_formulas(options: dict[str, Any], weight: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(3, 5, 4, generator=generator, dtype=torch.float64)
    labels = torch.tensor([0, 3, 1, 1, 2])
    z = logits.numpy()
    expected = 0.0
    for exit_ in z:
        expected -= np.log(compute_softmax(exit_)[range(5), labels.numpy()]).mean()
        if options.get("distance") == "kl":
            p, q = compute_softmax(z.mean(axis=0) / 3), compute_softmax(exit_ / 3)
            expected += weight * 0.1 * 9 * (p * (np.log(p) - np.log(q))).sum(axis=1).mean()
        else:
            expected += weight * ((exit_ - z.mean(axis=0)) ** 2).mean()
    instance = make_double_method("exit-distillation", make_linear_chain(), **options)
    assert instance.loss(logits, labels).item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("distance", ["mse", "kl"])
def test_distillation_holds_the_mean_constant(distance: str) -> None:
    """Gradients by the closed forms; that of the divergence is that of the soft cross-entropy, too."""
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(3, 5, 4, generator=generator, dtype=torch.float64).requires_grad_()
    labels = torch.tensor([0, 3, 1, 1, 2])
    instance = make_double_method("exit-distillation", make_linear_chain(), distance=distance)
    (gradient,) = torch.autograd.grad(instance.loss(logits, labels), logits)
    z = logits.detach()
    mean = z.mean(dim=0)
    plain = (z.softmax(dim=2) - F.one_hot(labels, 4)) / 5
    pull = (
        2 * (z - mean) / 20 if distance == "mse" else 0.3 * ((z / 3).softmax(2) - (mean / 3).softmax(1)) / 5
    )
    torch.testing.assert_close(gradient, plain + pull, rtol=1e-10, atol=1e-12)
    if distance == "kl":
        soft = sum(
            0.9 * F.cross_entropy(exit_logits / 3, (mean / 3).softmax(dim=1)) for exit_logits in logits
        )
        (soft_gradient,) = torch.autograd.grad(soft, logits)  # type: ignore[arg-type]
        torch.testing.assert_close(gradient - plain, soft_gradient, rtol=1e-9, atol=1e-12)


ONE_EXIT = [
    *(
        (name, {})
        for name, spec in METHODS.items()
        if spec.family
        in (
            "backprop",
            "deep-supervision",
            "gradient-equilibrium",
            "exit-distillation",
            "multiway",
            "deconfliction",
        )
    ),
    ("local-critic", {"critics": 0}),
    ("sub-models", {"critics": 0}),
]


@pytest.mark.parametrize("architecture", ["plain-resnet", "vgg"])
@pytest.mark.parametrize(("name", "options"), ONE_EXIT)
def test_one_exit_is_plain_backpropagation(name: str, options: dict[str, Any], architecture: str) -> None:
    net = make_tiny_chain(architecture)
    instance = make_double_method(name, net, **options)
    assert instance.backward_passes == instance.pathways == 1
    optimiser = Sgd(net.parameters())
    for seed in range(3):
        images, labels = make_double_batch(seed=seed)
        logits = net(images)[0]
        loss = F.cross_entropy(logits, labels)
        logit_gradient, *gradients = torch.autograd.grad(loss, [logits, *net.parameters()])
        optimiser.step(gradients)
        step = instance.step(images, labels)
        torch.testing.assert_close(step.loss, loss.detach(), rtol=1e-10, atol=0)
        torch.testing.assert_close(
            step.gradient_norms, logit_gradient.norm(dim=1).sum().view(1), rtol=1e-10, atol=0
        )
    (modules,) = instance.stages()
    parameters = [p for module in modules for p in module.parameters()]
    for actual, expected in zip(parameters, net.parameters(), strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("architecture", CHAINS)
def test_backprop_follows_the_last_exit_and_leaves_the_others(architecture: str) -> None:
    net = make_tiny_chain(architecture)
    instance = make_double_method("backprop", net)
    start = copy.deepcopy(net)
    optimiser = Sgd(p for module in net.stages()[-1] for p in module.parameters())
    for seed in range(3):
        images, labels = make_double_batch(seed=seed)
        loss = F.cross_entropy(net(images)[-1], labels)
        optimiser.step(torch.autograd.grad(loss, optimiser.parameters, allow_unused=True))
        torch.testing.assert_close(instance.step(images, labels).loss, loss.detach(), rtol=1e-10, atol=0)
    assert_equal_modules(instance.network, net)
    for k in range(net.pathways - 1):
        for kind in ("exits", "heads"):
            parameters = getattr(instance.network, kind)[k].parameters()
            assert all(
                torch.equal(*pair)
                for pair in zip(parameters, getattr(start, kind)[k].parameters(), strict=True)
            )


@pytest.mark.parametrize("name", METHODS)
def test_backward_passes_are_counted(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """In the mean over the steps of a critic's update interval."""
    calls: list[str] = []

    def count_calls(kind: str) -> Callable[..., Any]:
        original = getattr(torch.autograd, kind)

        def call(*args: Any, **named: Any) -> Any:
            calls.append(kind)
            return original(*args, **named)

        return call

    for kind in ("grad", "backward"):
        monkeypatch.setattr(torch.autograd, kind, count_calls(kind))
    for architecture in [a for a in ("columns", "resnet", "lenet", "vgg") if (name, a) in PAIRS]:
        calls.clear()
        instance = method(name, architecture)
        every = METHODS[name].options.get("every", 1)
        assert isinstance(every, int)
        for seed in range(every):
            instance.step(*batch(8 * instance.streams, seed))
        assert len(calls) / every == pytest.approx(instance.backward_passes), architecture


@pytest.mark.parametrize("name", ["multiway", "multiway-original", "deconfliction", "deconfliction-tensor"])
def test_a_backward_pass_visits_its_own_exits_layers_alone(name: str) -> None:
    instance = method(name, "resnet")
    net = cast(Chain, instance.network)
    visits = {1: 0, 2: 0}  # by segment; the first one's input is an image, which has no gradient to watch

    def make_hook(k: int) -> Callable[..., None]:
        def count_visit(*_: Any) -> None:
            visits[k] += 1

        return count_visit

    for k in visits:
        net.segments[k].register_full_backward_hook(make_hook(k))
    instance.step(*batch(8))
    assert visits == {1: 2, 2: 1}
