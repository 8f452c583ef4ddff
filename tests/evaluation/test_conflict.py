"""Do the pathways' gradients agree? The probe against explicit gradients, and the traces it must not leave."""

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from guidebp.evaluation.conflict import compute_cosines, has_conflict, probe_conflict
from guidebp.methods.contract import Method
from guidebp.models.contract import find_shared_parameters
from tests.support.tiny import ARCHITECTURES, METHODS, PAIRS, batch, fits, method

CHAINS = ["branches", "resnet", "msdnet", "lenet", "mobilenet"]
APART = ["columns", "columns-average", "instances", "one-column", "plain-resnet", "vgg"]
CRITICS = [name for name in METHODS if METHODS[name].family == "local-critic"]
ALONE = ["separate", *(name for name in METHODS if METHODS[name].family == "sub-models")]
PROBED = [
    *(
        (name, architecture)
        for name in ("deep-supervision", "guidebp", "multiway")
        for architecture in CHAINS
    ),
    ("gradient-equilibrium", "msdnet"),
    ("gradient-equilibrium", "resnet"),
    ("learned", "branches"),
    ("backprop", "lenet"),
    ("average", "instances-of-branches"),
]


def explicit(made: Method, images: Tensor, labels: Tensor) -> Tensor:
    """Inner products from one forward and backward pass per pathway, parameter by parameter."""
    stages = made.stages()
    owners = [{p for module in modules for p in module.parameters()} for modules in stages]
    shared = [p for p in made.parameters() if sum(p in some for some in owners) > 1]
    rows = []
    for k in range(made.pathways):
        loss = F.cross_entropy(made.logits(images)[k], labels)
        found = torch.autograd.grad(loss, shared, allow_unused=True)
        rows.append(
            [
                torch.zeros_like(p, dtype=torch.float64) if g is None else g.double()
                for p, g in zip(shared, found, strict=True)
            ]
        )
    return torch.tensor(
        [[sum(float((x * y).sum()) for x, y in zip(a, b, strict=True)) for b in rows] for a in rows]
    )


@pytest.mark.parametrize(("name", "architecture"), PROBED)
def test_probe_is_explicit_gradients(name: str, architecture: str) -> None:
    made = method(name, architecture)
    images, labels = batch(12)
    expected = explicit(copy.deepcopy(made), images, labels)
    found = probe_conflict(made, images, labels)
    assert found is not None and found.shape == (made.pathways, made.pathways)
    scale = float(expected.diagonal().max())
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-3, atol=1e-5 * scale)
    torch.testing.assert_close(found, found.T)
    assert (found.diagonal() >= 0).all() and found.diagonal().any()


def test_equilibrium_is_part_of_what_is_measured() -> None:
    """Its gradients reach the trunk scaled: exit i's by 1 / (n - i) and what lies between."""
    images, labels = batch(12)
    plain = probe_conflict(method("deep-supervision", "lenet"), images, labels)
    scaled = probe_conflict(method("gradient-equilibrium", "lenet"), images, labels)
    assert plain is not None and scaled is not None
    # two exits: at the trunk both gradients are half as long
    torch.testing.assert_close(scaled, plain / 4, rtol=1e-4, atol=1e-8)


def state(made: Method) -> dict[str, Any]:
    return {key: copy.deepcopy(value) for key, value in made.state_dict(keep_vars=False).items()}


def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize(("name", "architecture"), PROBED)
@pytest.mark.parametrize("training", [True, False])
def test_probe_leaves_no_trace(name: str, architecture: str, training: bool) -> None:
    made = method(name, architecture)
    made.train(training)
    before, randomness = state(made), torch.get_rng_state()
    for place, parameter in enumerate(made.parameters()):
        parameter.grad = torch.full_like(parameter, place) if place % 2 else None
    images, labels = batch(12)
    given = images.clone()
    probe_conflict(made, images, labels)
    assert same(state(made), before) and torch.equal(torch.get_rng_state(), randomness)
    assert all(module.training == training for module in made.modules())
    assert torch.equal(images, given)
    for place, parameter in enumerate(made.parameters()):
        if place % 2:
            assert parameter.grad is not None and (parameter.grad == place).all()
        else:
            assert parameter.grad is None


FIRST_OF_FAMILY = {entry.family: name for name, entry in reversed(METHODS.items())}.values()
STEPPED = [
    (name, architecture)
    for name, architecture in PAIRS
    if name in FIRST_OF_FAMILY
    and (architecture in ("branches", "vgg") or (architecture == "msdnet" and name.startswith("deconf")))
]


@pytest.mark.parametrize(("name", "architecture"), STEPPED)
def test_steps_after_a_probe_are_those_without(name: str, architecture: str) -> None:
    """Bitwise: losses, gradients at the logits, and everything the method holds after two steps."""
    batches = [batch(12, seed) for seed in (0, 1)]
    results = []
    for probing in (True, False):
        made = method(name, architecture)
        made.train()
        seen = []
        for images, labels in batches:
            x, y = (images.repeat(made.streams, 1, 1, 1), labels.repeat(made.streams))
            if probing:
                probe_conflict(made, x, y)
            done = made.step(x, y)
            seen += [done.loss, done.gradient_norms]
        results.append((seen, state(made)))
    (first, held), (second, wanted) = results
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert same(held, wanted)


def test_running_statistics_would_have_moved() -> None:
    """The test above can fail: a forward pass in training mode leaves its trace."""
    made = method("deep-supervision", "resnet")
    before = state(made)
    made.logits(batch(12)[0])
    assert not same(state(made), before)


@pytest.mark.parametrize("architecture", APART)
def test_nothing_to_compare_where_nothing_is_shared(architecture: str) -> None:
    for name in ("average", "independent"):
        assert probe_conflict(method(name, architecture), *batch(12)) is None
    assert not find_shared_parameters(method("average", architecture).stages())


@pytest.mark.parametrize("architecture", CHAINS)
def test_nothing_to_compare_where_everything_is_a_copy(architecture: str) -> None:
    assert probe_conflict(method("separate", architecture), *batch(12)) is None


def test_nothing_to_compare_among_sub_models() -> None:
    for name in ALONE:
        assert probe_conflict(method(name, "vgg"), *batch(12)) is None


@pytest.mark.parametrize("name", CRITICS)
def test_no_gradient_crosses_from_one_critic_to_another(name: str) -> None:
    """Sub-models have groups in common, but each group follows one critic alone."""
    assert fits(name, "vgg")
    assert probe_conflict(method(name, "vgg"), *batch(12)) is None


def test_copies_of_a_trunk_have_nothing_in_common() -> None:
    made = method("average", "instances-of-branches")
    found = probe_conflict(made, *batch(12))
    assert found is not None and made.pathways == 6
    assert not found[:3, 3:].any() and not found[3:, :3].any()
    assert found[:3, :3].all() and found[3:, 3:].all()


@pytest.mark.parametrize("architecture", [name for name in ARCHITECTURES if fits("deconfliction", name)])
def test_deconfliction_reports_what_the_probe_finds(architecture: str) -> None:
    """The products of a step are those of the plain gradients, before any projection."""
    images, labels = batch(12)
    made = method("deconfliction", architecture)
    expected = probe_conflict(method("deconfliction", architecture), images, labels)
    done = made.step(images, labels)
    assert done.gradient_products is not None
    if expected is None:  # one exit: nothing is shared
        assert made.pathways == 1 and not done.gradient_products.any()
    else:
        torch.testing.assert_close(
            done.gradient_products, expected, rtol=1e-4, atol=1e-6 * float(expected.max())
        )


def test_cosines_by_hand() -> None:
    vectors = torch.tensor([[3.0, 4.0], [4.0, -3.0], [-6.0, -8.0], [0.0, 0.0], [1.0, 0.0]])
    found = compute_cosines(vectors @ vectors.T)
    expected = torch.tensor(
        [
            [1.0, 0.0, -1.0, 0.0, 0.6],
            [0.0, 1.0, 0.0, 0.0, 0.8],
            [-1.0, 0.0, 1.0, 0.0, -0.6],
            [0.0, 0.0, 0.0, 0.0, 0.0],
            [0.6, 0.8, -0.6, 0.0, 1.0],
        ]
    )
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_cosines_are_bounded_at_any_scale(scale: float) -> None:
    generator = torch.Generator().manual_seed(2)
    vectors = torch.randn(6, 50, generator=generator) * scale
    vectors[1] = -vectors[0]
    found = compute_cosines(vectors @ vectors.T)
    assert torch.isfinite(found).all() and (found.abs() <= 1 + 1e-5).all()
    torch.testing.assert_close(found.diagonal(), torch.ones(6))
    assert found[0, 1] == pytest.approx(-1, abs=1e-5) and torch.allclose(found, found.T)
    expected = F.cosine_similarity(vectors.unsqueeze(0) / scale, vectors.unsqueeze(1) / scale, dim=2)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("products", "expected"),
    [
        ([[1.0, 0.5], [0.5, 1.0]], False),
        ([[1.0, -0.5], [-0.5, 1.0]], True),
        ([[1.0, 0.0], [0.0, 1.0]], False),
        ([[1.0, 0.2, 0.1], [0.2, 1.0, -1e-9], [0.1, -1e-9, 1.0]], True),
        ([[1.0, 0.2, 0.1], [0.2, 1.0, 0.0], [0.1, 0.0, 0.0]], False),
        ([[2.0]], False),
    ],
)
def test_conflicts(products: list[list[float]], expected: bool) -> None:
    found = has_conflict(torch.tensor(products))
    assert found.shape == () and found.dtype == torch.bool and bool(found) is expected
