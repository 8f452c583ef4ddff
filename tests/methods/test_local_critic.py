"""Local critic training against autograd run group by group, and its sub-models trained alone, in float64."""

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from guidebp.methods import build_method
from guidebp.methods.contract import Method
from guidebp.methods.local_critic import LocalCritic
from guidebp.methods.sub_models import SubModels
from guidebp.models import build_network
from guidebp.models.contract import Chain
from guidebp.runs.spec import FamilySpec
from guidebp.training.trainer import start_run
from tests.support.manual_training import (
    Sgd,
    assert_equal_modules,
    make_double_batch,
    make_double_method,
    make_tiny_chain,
    parameters_differ,
)
from tests.support.tiny import METHODS, maker, prepared, spec

CRITIC_RATE = 1e-4


def make_local_critic(architecture: str = "vgg", **options: int) -> LocalCritic:
    method = make_double_method("local-critic", make_tiny_chain(architecture), **({"channels": 5} | options))
    assert isinstance(method, LocalCritic)
    return method


class GroupsByHand:
    """Every group, its critic and their optimisers apart; a group gets its input as a constant."""

    def __init__(self, method: LocalCritic, unit_groups: list[list[int]]) -> None:
        net = copy.deepcopy(method.network)
        self.groups: list[nn.Module] = [
            nn.Sequential(*(net.units()[i] for i in group)) for group in unit_groups
        ]
        self.groups[-1] = nn.Sequential(self.groups[-1], net.exits[0], net.heads[0])
        self.critics = [copy.deepcopy(critic) for critic in method.critics]
        self.optimisers = [Sgd(group.parameters()) for group in self.groups]
        self.learners = [torch.optim.Adam(critic.parameters(), lr=CRITIC_RATE) for critic in self.critics]

    def step(self, images: Tensor, labels: Tensor, learn: bool) -> tuple[float, Tensor]:
        """The sum of the losses, and the gradient of each at its logits: mean of the images' norms."""
        state, inputs, group_outputs = images, list[Tensor](), list[Tensor]()
        for group in self.groups:
            inputs.append(state)
            group_outputs.append(group(state))
            state = group_outputs[-1].detach()
        logits = [
            *(critic(maps) for critic, maps in zip(self.critics, group_outputs, strict=False)),
            group_outputs[-1],
        ]
        losses = [F.cross_entropy(z, labels, reduction="none") for z in logits]
        logit_gradients = [
            torch.autograd.grad(loss.sum(), z, retain_graph=True)[0]
            for loss, z in zip(losses, logits, strict=True)
        ]
        gradients = [
            torch.autograd.grad(loss.mean(), optimiser.parameters)
            for loss, optimiser in zip(losses, self.optimisers, strict=True)
        ]
        values = [loss.detach() for loss in losses]
        if learn:
            for i, (critic, learner) in enumerate(zip(self.critics, self.learners, strict=True)):
                estimate = F.cross_entropy(critic(group_outputs[i].detach()), labels, reduction="none")
                learner.zero_grad()
                (estimate - values[i + 1]).abs().mean().backward()
                learner.step()
        for optimiser, group_gradients in zip(self.optimisers, gradients, strict=True):
            optimiser.step(group_gradients)
        return sum(value.mean().item() for value in values), torch.stack(
            [g.norm(dim=1).mean() for g in logit_gradients]
        )


@pytest.mark.parametrize(
    ("architecture", "options", "unit_groups"),
    [
        ("vgg", {"critics": 3}, [[0], [1, 2], [3], [4, 5]]),
        ("vgg", {"critics": 1}, [[0, 1, 2], [3, 4, 5]]),
        ("vgg", {"critics": 5, "depth": 2}, [[0], [1], [2], [3], [4], [5]]),
        ("vgg", {"critics": 2, "every": 2}, [[0, 1], [2, 3], [4, 5]]),
        ("vgg", {"critics": 1, "every": 3}, [[0, 1, 2], [3, 4, 5]]),
        ("plain-resnet", {"critics": 2}, [[0, 1], [2, 3], [4, 5, 6]]),
    ],
)
def test_steps_are_those_of_groups_apart(
    architecture: str, options: dict[str, int], unit_groups: list[list[int]]
) -> None:
    method = make_local_critic(architecture, **options)
    by_hand = GroupsByHand(method, unit_groups)
    start = [copy.deepcopy(critic) for critic in method.critics]
    for step in range(4):
        images, labels = make_double_batch(seed=step)
        loss, gradient = by_hand.step(images, labels, learn=step % options.get("every", 1) == 0)
        report = method.step(images, labels)
        assert report.loss.item() == pytest.approx(loss, rel=1e-10)
        assert report.gradient_norms.tolist() == pytest.approx(gradient.tolist(), rel=1e-6)
    groups: list[nn.Module] = [
        *method.groups[:-1],
        nn.Sequential(method.groups[-1], method.network.exits[0], method.network.heads[0]),
    ]
    for actual, group in zip(groups, by_hand.groups, strict=True):
        assert_equal_modules(actual, group)
    for critic, critic_by_hand, before in zip(method.critics, by_hand.critics, start, strict=True):
        assert_equal_modules(critic, critic_by_hand)
        assert parameters_differ(critic, before)


@pytest.mark.parametrize("depth", [1, 2])
def test_layers_of_the_critics(depth: int) -> None:
    """Tiny VGG: the first group hands on 4 maps of 12x12 pixels, the next two 8 of 6x6."""
    method = make_local_critic(depth=depth, channels=5)
    for critic, (inputs, side) in zip(method.critics, [(4, 12), (8, 6), (8, 6)], strict=True):
        shapes = [tuple(p.shape) for p in critic.parameters() if p.ndim > 1]
        between = [(5, 5, 3, 3)] * (depth - 1)
        assert shapes == [(5, inputs, 3, 3), *between, (4, 5 * side * side)]


def test_critics_follow_a_constant_rate() -> None:
    method = make_local_critic()
    assert method.constant_rates == {"critics"} and set(method.optimisers) == {"main", "critics"}
    (group,) = method.optimisers["critics"].param_groups
    assert group["lr"] == CRITIC_RATE and group["weight_decay"] == 0
    assert make_local_critic(critics=0).constant_rates == set()


def test_no_gradient_crosses_groups() -> None:
    """The logits of pathway j depend, for autograd, on group j and what comes after it in the pathway alone."""
    method = make_local_critic()
    images, _ = make_double_batch()
    logits = method.logits(images)
    ends: list[nn.Module] = [
        *method.critics,
        nn.ModuleList([method.network.exits[0], method.network.heads[0]]),
    ]
    for j, logit in enumerate(logits):
        for i, group in enumerate(method.groups):
            for module, reached in ((group, i == j), (ends[i], i == j)):
                parameters = list(module.parameters())
                gradients = torch.autograd.grad(logit.sum(), parameters, retain_graph=True, allow_unused=True)
                nonzero = [g is not None and bool(g.any()) for g in gradients]
                assert any(nonzero) if reached else not any(nonzero)


@pytest.mark.parametrize("j", range(3))
def test_another_critic_moves_its_own_group_alone(j: int) -> None:
    """With another critic j, only group j takes another step (and critic j - 1 has another target)."""
    first, second = make_local_critic(), make_local_critic()
    with torch.no_grad():
        for p in second.critics[j].parameters():
            p.mul_(-1.5)
    critic_before = copy.deepcopy(second.critics[j])
    for method in (first, second):
        method.step(*make_double_batch())
    assert parameters_differ(second.critics[j], critic_before)
    for i in range(4):
        changed = parameters_differ(first.groups[i], second.groups[i])
        assert changed == (i == j)
    assert not parameters_differ(first.network.heads[0], second.network.heads[0])
    for i in range(3):
        if i not in (j, j - 1):
            assert not parameters_differ(first.critics[i], second.critics[i])


@pytest.mark.parametrize("every", [1, 2, 3])
def test_critics_rest_between_their_updates(every: int) -> None:
    method = make_local_critic(every=every)
    for step in range(7):
        before, trunk = copy.deepcopy(method.critics), copy.deepcopy(method.network)
        method.step(*make_double_batch(seed=step))
        assert parameters_differ(trunk, method.network)
        same = all(
            torch.equal(p, q) for p, q in zip(before.parameters(), method.critics.parameters(), strict=True)
        )
        assert same == (step % every != 0)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_the_counter_is_stored(steps: int) -> None:
    method, other = make_local_critic(every=3), make_local_critic(every=3)
    for step in range(steps):
        method.step(*make_double_batch(seed=step))
    other.load_state_dict(method.state_dict())
    before = copy.deepcopy(other.critics)
    other.step(*make_double_batch(seed=9))
    assert parameters_differ(before, other.critics) == (steps == 3)


def build_real_vgg() -> Chain:
    with torch.device("meta"):
        net = build_network(FamilySpec("vgg", {}), (3, 32, 32), 10)
    assert isinstance(net, Chain)
    return net


@pytest.mark.parametrize(
    ("critics", "sizes"), [(0, [11]), (1, [5, 6]), (3, [2, 3, 3, 3]), (5, [1, 2, 2, 2, 2, 2])]
)
def test_cuts_of_the_papers_network(critics: int, sizes: list[int]) -> None:
    net = build_real_vgg()
    assert len(net.units()) == 11
    spec = METHODS["local-critic"]
    changed = replace(spec, options=spec.options | {"critics": critics})
    method = build_method(changed, net, maker())
    assert isinstance(method, LocalCritic)
    assert [len(group) for group in method.groups] == sizes
    assert [part for group in method.groups for part in group] == net.units()
    assert method.pathway_names == [*(f"critic {i + 1}" for i in range(critics)), "main"]


@pytest.mark.parametrize("name", ["local-critic", "sub-models"])
def test_sub_models_have_the_printed_sizes(name: str) -> None:
    method = build_method(METHODS[name], build_real_vgg(), maker())
    sizes = [sum(p.numel() for module in stages for p in module.parameters()) for stages in method.stages()]
    assert [round(size / 1e6, 2) for size in sizes] == [1.42, 0.88, 2.26, 7.87]


def test_critics_leave_the_network_as_it_was() -> None:
    net = make_tiny_chain("vgg")
    method = make_double_method("local-critic", net)
    assert_equal_modules(method.network, net, rtol=0)
    assert method.network.training


def make_sub_models(architecture: str, **options: int) -> SubModels:
    method = make_double_method("sub-models", make_tiny_chain(architecture), **({"channels": 5} | options))
    assert isinstance(method, SubModels)
    return method


@pytest.mark.parametrize(("architecture", "critics"), [("vgg", 3), ("plain-resnet", 2)])
def test_sub_models_train_as_if_alone(architecture: str, critics: int) -> None:
    method = make_sub_models(architecture, critics=critics)
    start = copy.deepcopy(method.network)
    sub_networks = [copy.deepcopy(net) for net in method.alone]
    optimisers = [Sgd(net.parameters()) for net in sub_networks]
    for seed in range(3):
        images, labels = make_double_batch(seed=seed)
        total = 0.0
        for net, optimiser in zip(sub_networks, optimisers, strict=True):
            loss = F.cross_entropy(net(images), labels)
            optimiser.step(torch.autograd.grad(loss, optimiser.parameters))
            total += loss.item()
        assert method.step(images, labels).loss.item() == pytest.approx(total, rel=1e-10)
    for actual, net in zip(method.alone, sub_networks, strict=True):
        assert_equal_modules(actual, net)
    assert_equal_modules(method.network, start, rtol=0)


def start_method(name: str) -> Method:
    changed = replace(METHODS[name], options=METHODS[name].options | {"channels": 5})
    return start_run(spec(name, "vgg", 2, method=changed), prepared(), torch.device("cpu"))[0]


def test_sub_models_start_as_those_of_local_critics() -> None:
    local_critic_start, sub_models_start = start_method("local-critic"), start_method("sub-models")
    assert isinstance(sub_models_start, SubModels)
    for first, second in zip(local_critic_start.stages(), sub_models_start.stages(), strict=True):
        first_parameters, second_parameters = (
            [p for module in stages for p in module.parameters()] for stages in (first, second)
        )
        assert len(first_parameters) == len(second_parameters)
        for p, q in zip(first_parameters, second_parameters, strict=True):
            assert torch.equal(p, q) and p is not q
    images = torch.randn(5, 1, 12, 12)
    assert torch.equal(local_critic_start.eval().logits(images), sub_models_start.eval().logits(images))
