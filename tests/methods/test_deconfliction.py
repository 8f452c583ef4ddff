"""Deconfliction against autograd exit by exit and TorchJD's projection with the same orders, in float64."""

from typing import Any, cast

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torchjd.aggregation import PCGrad, UPGrad

from guidebp.methods import build_method
from guidebp.methods.contract import Method
from guidebp.methods.deconfliction import Deconfliction
from guidebp.methods.exits import compute_equilibrium_outputs
from guidebp.methods.rules import build_fixed_order
from guidebp.models.contract import Chain
from tests.support.manual_training import (
    Sgd,
    assert_equal_modules,
    make_double_batch,
    make_double_method,
    make_linear_chain,
    make_tiny_chain,
    parameters_differ,
)
from tests.support.tiny import METHODS, batch, maker, method

DECONFLICTION = [name for name, spec in METHODS.items() if spec.family == "deconfliction"]
CHAINS = ["resnet", "lenet", "msdnet"]


def peek_at_next_orders(method: Method, count: int) -> Tensor:
    """The orders that the method is about to draw, from a clone of its generator."""
    generator = torch.Generator()
    generator.set_state(cast(Deconfliction, method).generator.get_state())
    return torch.stack([torch.randperm(count, generator=generator) for _ in range(count)])


def project_by_torchjd(monkeypatch: pytest.MonkeyPatch, rows: Tensor, order: Tensor) -> Tensor:
    orders = iter(order)
    with monkeypatch.context() as patch:
        patch.setattr("torchjd.aggregation._pcgrad.torch.randperm", lambda _: next(orders))
        direction: Tensor = PCGrad()(rows)
    return direction


def project_by_loops(rows: Tensor, order: Tensor) -> Tensor:
    """Each row gives way, as vectors, to those it meets."""
    projected = rows.clone()
    for i, others in enumerate(order.tolist()):
        for j in others:
            inner = projected[i] @ rows[j]
            if j != i and inner < 0:
                projected[i] -= inner / (rows[j] @ rows[j]) * rows[j]
    return projected.sum(dim=0)


def compute_losses_by_hand(
    options: dict[str, Any], net: Chain, images: Tensor, labels: Tensor
) -> list[Tensor]:
    """Each exit's loss as the options have it."""
    logits = (
        torch.stack(compute_equilibrium_outputs(net, images, "coarsest"))
        if options.get("equilibrium")
        else net(images)
    )
    mean = logits.detach().mean(dim=0)
    losses = []
    for z in logits:
        loss = F.cross_entropy(z, labels)
        if options.get("distillation") == "mse":
            loss = loss + (z - mean).square().mean()
        if options.get("distillation") == "kl":
            soft = (mean / 3).softmax(dim=1)
            gap = (soft * (soft.log() - (z / 3).log_softmax(dim=1))).sum(dim=1).mean()
            loss = loss + 0.9 * gap
        losses.append(loss)
    return losses


def compute_exit_gradients(losses: list[Tensor], parameters: list[nn.Parameter]) -> list[list[Tensor]]:
    """Per exit, zeros where its loss does not reach."""
    gradients = []
    for loss in losses:
        exit_gradients = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
        gradients.append(
            [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, exit_gradients, strict=True)]
        )
    return gradients


def flatten_rows(gradients: list[list[Tensor]], indices: list[int]) -> Tensor:
    """Rows of the gradients at some of the parameters."""
    return torch.stack([torch.cat([row[i].flatten() for i in indices]) for row in gradients])


def list_trunk_indices(net: Chain) -> list[int]:
    """Places of the parameters that serve several exits: all segments but the last."""
    shared = {p for segment in net.segments[:-1] for p in segment.parameters()}
    return [i for i, p in enumerate(net.parameters()) if p in shared]


def group_indices(net: Chain, over: str) -> list[list[int]]:
    """Places of the parameters that are projected together; those in no group follow the plain sum."""
    indices = list(range(len(list(net.parameters()))))
    return {"network": [indices], "trunk": [list_trunk_indices(net)], "tensor": [[i] for i in indices]}[over]


@pytest.mark.parametrize(
    ("options", "architecture"),
    [
        *(({}, architecture) for architecture in CHAINS),
        *(
            ({"over": over}, architecture)
            for over in ("trunk", "tensor")
            for architecture in ("resnet", "msdnet")
        ),
        *(({"rule": rule}, "resnet") for rule in ("deeper-first", "earlier-first", "adjacent", "upgrad")),
        ({"rule": "upgrad", "over": "tensor"}, "lenet"),
        ({"rule": "deeper-first", "over": "trunk"}, "resnet"),
        ({"equilibrium": True}, "resnet"),
        ({"equilibrium": True}, "msdnet"),
        ({"distillation": "mse"}, "resnet"),
        ({"distillation": "kl"}, "resnet"),
        ({"equilibrium": True, "distillation": "mse"}, "resnet"),
    ],
)
def test_steps_follow_the_deconflicted_sum(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], architecture: str
) -> None:
    net = make_tiny_chain(architecture)
    instance = make_double_method("deconfliction", net, **options)
    rule, count = options.get("rule", "symmetric"), net.pathways
    parameters = list(net.parameters())
    optimiser = Sgd(parameters)
    rule_acted = False
    for seed in range(4):
        images, labels = make_double_batch(seed=seed)
        losses = compute_losses_by_hand(options, net, images, labels)
        exits = compute_exit_gradients(losses, parameters)
        direction = [torch.stack(rows).sum(dim=0) for rows in zip(*exits, strict=True)]
        order = (
            peek_at_next_orders(instance, count)
            if rule in ("symmetric", "upgrad")
            else build_fixed_order(rule, count)
        )
        for indices in group_indices(net, options.get("over", "network")):
            rows = flatten_rows(exits, indices)
            if rule == "upgrad":
                combined = count * UPGrad()(rows)
            elif rule == "symmetric":
                combined = project_by_torchjd(monkeypatch, rows, order)
            else:
                combined = project_by_loops(rows, order)
            rule_acted = rule_acted or not torch.allclose(combined, rows.sum(dim=0))
            for i, part in zip(
                indices, combined.split([parameters[i].numel() for i in indices]), strict=True
            ):
                direction[i] = part.view_as(parameters[i])
        optimiser.step(direction)
        step = instance.step(images, labels)
        torch.testing.assert_close(step.loss, torch.stack(losses).sum().detach(), rtol=1e-9, atol=0)
        shared = flatten_rows(exits, list_trunk_indices(net))
        torch.testing.assert_close(step.gradient_products, shared @ shared.T, rtol=1e-9, atol=1e-12)
        assert_equal_modules(instance.network, net, rtol=1e-7)
        if rule_acted and seed >= 1:
            break
    assert rule_acted  # else the test says nothing of the rule


def test_orders_are_drawn_anew_and_stored() -> None:
    first = make_double_method("deconfliction", make_linear_chain((1, 1, 1, 1)))
    before = peek_at_next_orders(first, 4)
    images = torch.randn(4, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = torch.arange(4)
    first.step(images, labels)
    after = peek_at_next_orders(first, 4)
    assert not torch.equal(before, after)
    second = make_double_method("deconfliction", make_linear_chain((1, 1, 1, 1)))
    second.load_state_dict(first.state_dict())
    assert torch.equal(peek_at_next_orders(second, 4), after)


def test_readings_differ() -> None:
    networks = []
    for name in DECONFLICTION:
        instance = make_double_method(name, make_tiny_chain("resnet"))
        for seed in range(2):
            instance.step(*make_double_batch(seed=seed))
        networks.append(instance.network)
    same = [
        (DECONFLICTION[i], DECONFLICTION[j])
        for i in range(len(networks))
        for j in range(i)
        if not parameters_differ(networks[i], networks[j])
    ]
    assert not same


class LiveBytes(TorchDispatchMode):
    """Bytes of all tensors that operations have made and that still live; those known before do not count."""

    def __init__(self, existing: list[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.ignored = {t.untyped_storage()._cdata for t in existing}
        self.live: dict[int, tuple[StorageWeakRef, int]] = {}
        self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                if storage._cdata not in self.ignored:
                    self.live.setdefault(storage._cdata, (StorageWeakRef(storage), storage.nbytes()))
        self.live = {key: entry for key, entry in self.live.items() if not entry[0].expired()}
        self.peak = max(self.peak, sum(size for _, size in self.live.values()))
        return out


@pytest.mark.parametrize("name", DECONFLICTION)
def test_gradients_take_k_plus_1_copies_of_the_parameters(name: str) -> None:
    """Beside the weights and what the optimiser keeps (here: nothing), on a network with hardly any activations."""
    net = make_linear_chain((1, 1, 1), width=300)
    instance = build_method(METHODS[name], net, maker(momentum=0.0))
    parameter_bytes = sum(p.numel() * p.element_size() for p in instance.parameters())
    images = torch.randn(2, 300, dtype=torch.float64)
    labels = torch.tensor([0, 1])
    live = LiveBytes([images, labels, *instance.parameters(), *instance.buffers()])
    with live:
        for _ in range(3):
            instance.step(images, labels)
    copies = live.peak / parameter_bytes
    assert net.pathways + 0.9 < copies < net.pathways + 1.05


def test_products_are_not_rounded_under_autocast() -> None:
    """Their signs decide; half-precision products of a long vector would lose them."""
    instance = method("deconfliction", "resnet")
    images, labels = batch(8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        step = instance.step(images, labels)
    rows = cast(Deconfliction, instance).gradients.rows
    columns = cast(Deconfliction, instance).gradients.shared_columns
    assert step.gradient_products is not None and step.gradient_products.dtype == torch.float32
    expected = rows[:, columns].double() @ rows[:, columns].double().T
    torch.testing.assert_close(step.gradient_products.double(), expected, rtol=1e-4, atol=1e-7)
