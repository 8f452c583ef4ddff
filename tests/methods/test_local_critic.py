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
from guidebp.runs.json_fields import to_json
from guidebp.runs.spec import FamilySpec
from guidebp.training.trainer import start_run
from tests.support.manual_training import Sgd, assert_same, differ, doubles, make, tiny
from tests.support.tiny import METHODS, maker, prepared, spec

CRITIC_RATE = 1e-4


def local_critic(architecture: str = "vgg", **options: int) -> LocalCritic:
    made = make("local-critic", tiny(architecture), **({"channels": 5} | options))
    assert isinstance(made, LocalCritic)
    return made


class ByHand:
    """Every group, its critic and their optimisers apart; a group gets its input as a constant."""

    def __init__(self, made: LocalCritic, parts: list[list[int]]) -> None:
        net = copy.deepcopy(made.network)
        self.groups: list[nn.Module] = [nn.Sequential(*(net.units()[i] for i in some)) for some in parts]
        self.groups[-1] = nn.Sequential(self.groups[-1], net.exits[0], net.heads[0])
        self.critics = [copy.deepcopy(critic) for critic in made.critics]
        self.optimisers = [Sgd(group.parameters()) for group in self.groups]
        self.learners = [torch.optim.Adam(critic.parameters(), lr=CRITIC_RATE) for critic in self.critics]

    def step(self, images: Tensor, labels: Tensor, learn: bool) -> tuple[float, Tensor]:
        """The sum of the losses, and the gradient of each at its logits: mean of the images' norms."""
        state, inputs, handed = images, list[Tensor](), list[Tensor]()
        for group in self.groups:
            inputs.append(state)
            handed.append(group(state))
            state = handed[-1].detach()
        logits = [*(critic(maps) for critic, maps in zip(self.critics, handed, strict=False)), handed[-1]]
        own = [F.cross_entropy(z, labels, reduction="none") for z in logits]
        at_logits = [
            torch.autograd.grad(loss.sum(), z, retain_graph=True)[0]
            for loss, z in zip(own, logits, strict=True)
        ]
        taken = [
            torch.autograd.grad(loss.mean(), optimiser.parameters)
            for loss, optimiser in zip(own, self.optimisers, strict=True)
        ]
        values = [loss.detach() for loss in own]
        if learn:
            for i, (critic, learner) in enumerate(zip(self.critics, self.learners, strict=True)):
                estimate = F.cross_entropy(critic(handed[i].detach()), labels, reduction="none")
                learner.zero_grad()
                (estimate - values[i + 1]).abs().mean().backward()
                learner.step()
        for optimiser, gradients in zip(self.optimisers, taken, strict=True):
            optimiser.step(gradients)
        return sum(value.mean().item() for value in values), torch.stack(
            [g.norm(dim=1).mean() for g in at_logits]
        )


@pytest.mark.parametrize(
    ("architecture", "options", "parts"),
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
    architecture: str, options: dict[str, int], parts: list[list[int]]
) -> None:
    made = local_critic(architecture, **options)
    by_hand = ByHand(made, parts)
    start = [copy.deepcopy(critic) for critic in made.critics]
    for step in range(4):
        images, labels = doubles(seed=step)
        loss, gradient = by_hand.step(images, labels, learn=step % options.get("every", 1) == 0)
        done = made.step(images, labels)
        assert done.loss.item() == pytest.approx(loss, rel=1e-10)
        assert done.gradient_norms.tolist() == pytest.approx(gradient.tolist(), rel=1e-6)
    groups: list[nn.Module] = [
        *made.groups[:-1],
        nn.Sequential(made.groups[-1], made.network.exits[0], made.network.heads[0]),
    ]
    for found, group in zip(groups, by_hand.groups, strict=True):
        assert_same(found, group)
    for critic, mine, before in zip(made.critics, by_hand.critics, start, strict=True):
        assert_same(critic, mine)
        assert differ(critic, before)


@pytest.mark.parametrize("depth", [1, 2])
def test_layers_of_the_critics(depth: int) -> None:
    """Tiny VGG: the first group hands on 4 maps of 12x12 pixels, the next two 8 of 6x6."""
    made = local_critic(depth=depth, channels=5)
    for critic, (inputs, side) in zip(made.critics, [(4, 12), (8, 6), (8, 6)], strict=True):
        shapes = [tuple(p.shape) for p in critic.parameters() if p.ndim > 1]
        between = [(5, 5, 3, 3)] * (depth - 1)
        assert shapes == [(5, inputs, 3, 3), *between, (4, 5 * side * side)]


def test_critics_follow_a_constant_rate() -> None:
    made = local_critic()
    assert made.constant_rates == {"critics"} and set(made.optimisers) == {"main", "critics"}
    (group,) = made.optimisers["critics"].param_groups
    assert group["lr"] == CRITIC_RATE and group["weight_decay"] == 0
    assert local_critic(critics=0).constant_rates == set()


def test_no_gradient_crosses_groups() -> None:
    """The logits of pathway j depend, for autograd, on group j and what comes after it in the pathway alone."""
    made = local_critic()
    images, _ = doubles()
    logits = made.logits(images)
    ends: list[nn.Module] = [*made.critics, nn.ModuleList([made.network.exits[0], made.network.heads[0]])]
    for j, logit in enumerate(logits):
        for i, group in enumerate(made.groups):
            for module, reached in ((group, i == j), (ends[i], i == j)):
                parameters = list(module.parameters())
                found = torch.autograd.grad(logit.sum(), parameters, retain_graph=True, allow_unused=True)
                moved = [g is not None and bool(g.any()) for g in found]
                assert any(moved) if reached else not any(moved)


@pytest.mark.parametrize("j", range(3))
def test_another_critic_moves_its_own_group_alone(j: int) -> None:
    """With another critic j, only group j takes another step (and critic j - 1 has another target)."""
    first, second = local_critic(), local_critic()
    with torch.no_grad():
        for p in second.critics[j].parameters():
            p.mul_(-1.5)
    kept = copy.deepcopy(second.critics[j])
    for made in (first, second):
        made.step(*doubles())
    assert differ(second.critics[j], kept)
    for i in range(4):
        changed = differ(first.groups[i], second.groups[i])
        assert changed == (i == j)
    assert not differ(first.network.heads[0], second.network.heads[0])
    for i in range(3):
        if i not in (j, j - 1):
            assert not differ(first.critics[i], second.critics[i])


@pytest.mark.parametrize("every", [1, 2, 3])
def test_critics_rest_between_their_updates(every: int) -> None:
    made = local_critic(every=every)
    for step in range(7):
        before, trunk = copy.deepcopy(made.critics), copy.deepcopy(made.network)
        made.step(*doubles(seed=step))
        assert differ(trunk, made.network)
        same = all(
            torch.equal(p, q) for p, q in zip(before.parameters(), made.critics.parameters(), strict=True)
        )
        assert same == (step % every != 0)


@pytest.mark.parametrize("taken", [1, 2, 3])
def test_the_counter_is_stored(taken: int) -> None:
    made, other = local_critic(every=3), local_critic(every=3)
    for step in range(taken):
        made.step(*doubles(seed=step))
    other.load_state_dict(made.state_dict())
    before = copy.deepcopy(other.critics)
    other.step(*doubles(seed=9))
    assert differ(before, other.critics) == (taken == 3)


def real_vgg() -> Chain:
    with torch.device("meta"):
        net = build_network(FamilySpec("vgg", {}), (3, 32, 32), 10)
    assert isinstance(net, Chain)
    return net


@pytest.mark.parametrize(
    ("critics", "sizes"), [(0, [11]), (1, [5, 6]), (3, [2, 3, 3, 3]), (5, [1, 2, 2, 2, 2, 2])]
)
def test_cuts_of_the_papers_network(critics: int, sizes: list[int]) -> None:
    net = real_vgg()
    assert len(net.units()) == 11
    spec = METHODS["local-critic"]
    changed = replace(spec, options=spec.options | {"critics": critics})
    made = build_method(changed, net, maker())
    assert isinstance(made, LocalCritic)
    assert [len(group) for group in made.groups] == sizes
    assert [part for group in made.groups for part in group] == net.units()
    assert made.pathway_names == [*(f"critic {i + 1}" for i in range(critics)), "main"]


@pytest.mark.parametrize("name", ["local-critic", "sub-models"])
def test_sub_models_have_the_printed_sizes(name: str) -> None:
    made = build_method(METHODS[name], real_vgg(), maker())
    sizes = [sum(p.numel() for module in stages for p in module.parameters()) for stages in made.stages()]
    assert [round(size / 1e6, 2) for size in sizes] == [1.42, 0.88, 2.26, 7.87]


def test_critics_leave_the_network_as_it_was() -> None:
    net = tiny("vgg")
    made = make("local-critic", net)
    assert_same(made.network, net, rtol=0)
    assert made.network.training


def sub_models(architecture: str, **options: int) -> SubModels:
    made = make("sub-models", tiny(architecture), **({"channels": 5} | options))
    assert isinstance(made, SubModels)
    return made


@pytest.mark.parametrize(("architecture", "critics"), [("vgg", 3), ("plain-resnet", 2)])
def test_sub_models_train_as_if_alone(architecture: str, critics: int) -> None:
    made = sub_models(architecture, critics=critics)
    start = copy.deepcopy(made.network)
    alone = [copy.deepcopy(net) for net in made.alone]
    optimisers = [Sgd(net.parameters()) for net in alone]
    for seed in range(3):
        images, labels = doubles(seed=seed)
        total = 0.0
        for net, optimiser in zip(alone, optimisers, strict=True):
            loss = F.cross_entropy(net(images), labels)
            optimiser.step(torch.autograd.grad(loss, optimiser.parameters))
            total += loss.item()
        assert made.step(images, labels).loss.item() == pytest.approx(total, rel=1e-10)
    for found, net in zip(made.alone, alone, strict=True):
        assert_same(found, net)
    assert_same(made.network, start, rtol=0)


def started(name: str) -> Method:
    changed = replace(METHODS[name], options=METHODS[name].options | {"channels": 5})
    return start_run(spec(name, "vgg", 2, method=to_json(changed)), prepared(), torch.device("cpu"))[0]


def test_sub_models_start_as_those_of_local_critics() -> None:
    inside, alone = started("local-critic"), started("sub-models")
    assert isinstance(alone, SubModels)
    for first, second in zip(inside.stages(), alone.stages(), strict=True):
        mine, theirs = ([p for module in stages for p in module.parameters()] for stages in (first, second))
        assert len(mine) == len(theirs)
        for p, q in zip(mine, theirs, strict=True):
            assert torch.equal(p, q) and p is not q
    images = torch.randn(5, 1, 12, 12)
    assert torch.equal(inside.eval().logits(images), alone.eval().logits(images))
