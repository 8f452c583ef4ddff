"""The readings of GuideBP: what docs/methods/guidebp.md promises, over random logits of every scale.

The formulas are written here a second time, per image and class and in plain loops where that is clearer, so
that the package is not checked against itself.
"""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from guidebp.methods import build_method
from guidebp.methods.contract import MergeMethod
from guidebp.methods.guidebp import GuideBP
from guidebp.models.contract import Parallel
from tests.support.tiny import METHODS, fits, maker

READINGS = [name for name, spec in METHODS.items() if spec.family == "guidebp"]
COUNTERPART_OF_ADD = ["guidebp", "guidebp-gradient", "guidebp-class"]


def build_bare_heads(pathways: int, classes: int) -> Parallel:
    """A network of heads alone, for methods of which only the merge or the loss is used."""
    net = Parallel(
        [str(k) for k in range(pathways)],
        [nn.Identity() for _ in range(pathways)],
        [nn.Linear(1, classes) for _ in range(pathways)],
    )
    net.shape, net.classes = (1, 1, 1), classes
    return net


def make_merge_method(name: str, pathways: int, classes: int) -> MergeMethod:
    """The method on a network of bare heads."""
    instance = build_method(METHODS[name], build_bare_heads(pathways, classes), maker()).double()
    assert isinstance(instance, MergeMethod)
    return instance


@st.composite
def draw_case(draw: st.DrawFn, pathways: int | None = None) -> tuple[Tensor, Tensor]:
    """Logits [K, N, classes] in float64 at scales from 1e-3 to 1e4, pathways of unequal scale, and labels."""
    k = pathways or draw(st.integers(2, 5))
    n, classes = draw(st.integers(1, 6)), draw(st.integers(2, 7))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    scales = 10.0 ** torch.tensor([draw(st.integers(-3, 4)) for _ in range(k)], dtype=torch.float64)
    logits = torch.randn(k, n, classes, generator=generator, dtype=torch.float64) * scales.view(-1, 1, 1)
    if draw(st.booleans()):
        logits = logits.round()  # ties
    return logits, torch.randint(classes, (n,), generator=generator)


def compute_loss_and_gradient(name: str, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Loss and its gradient at the logits."""
    leaf = logits.clone().requires_grad_()
    loss = make_merge_method(name, logits.shape[0], logits.shape[2]).loss(leaf, labels)
    (gradient,) = torch.autograd.grad(loss, leaf)
    return loss.detach(), gradient


def compute_errors(logits: Tensor, labels: Tensor) -> Tensor:
    """abs(t - p), the probability of being wrong summed from the others so that no digit cancels."""
    probabilities = torch.softmax(logits, dim=2)
    for n, y in enumerate(labels.tolist()):
        probabilities[:, n, y] = torch.cat(
            [probabilities[:, n, :y], probabilities[:, n, y + 1 :]], dim=1
        ).sum(dim=1)
    return probabilities


def compute_weights_by_hand(name: str, logits: Tensor, labels: Tensor) -> Tensor:
    """Weights over the pathways [K, N, classes] as the method's page words them, ties shared, from fresh state."""
    pathways, count, classes = logits.shape
    truth = F.one_hot(labels, classes).bool()
    error = compute_errors(logits, labels)
    weak = error
    if name == "guidebp-margin":
        weak = torch.where(truth, -logits, logits)
    if name == "guidebp-pathway":
        own_error = torch.stack([error[:, n, y] for n, y in enumerate(labels.tolist())], dim=1)
        weak = own_error.unsqueeze(2).expand_as(logits)
    if name == "guidebp-class":
        weak = torch.ones_like(logits)
        for c in set(labels.tolist()):
            members = labels == c
            hits = (logits[:, members].argmax(dim=2) == c).double().mean(dim=1)
            weak[:, :, c] = (1 - (1 - 0.9) * hits).unsqueeze(1)  # the running recall starts at zero
    weights = torch.empty_like(logits)
    for n in range(count):
        for c in range(classes):
            w = weak[:, n, c]
            if name in ("guidebp-hard", "guidebp-margin", "guidebp-pathway"):
                w = (w == w.max()).double()
            total = w.sum()
            weights[:, n, c] = w / total if total > 0 else torch.full_like(w, 1 / pathways)
    return weights * pathways if name in COUNTERPART_OF_ADD else weights


def test_every_reading_is_covered() -> None:
    assert len(READINGS) == 7


@given(draw_case())
def test_margin_bounds_every_pathways_own_loss(case: tuple[Tensor, Tensor]) -> None:
    logits, labels = case
    guided = compute_loss_and_gradient("guidebp-margin", logits, labels)[0]
    own_losses = torch.stack([F.cross_entropy(z, labels) for z in logits])
    assert guided >= own_losses.max() * (1 - 1e-12)


@given(draw_case())
def test_average_bounds_the_loss_of_the_averaged_logits(case: tuple[Tensor, Tensor]) -> None:
    logits, labels = case
    guided = compute_loss_and_gradient("guidebp-average", logits, labels)[0]
    assert guided >= F.cross_entropy(logits.mean(dim=0), labels) - 1e-12 * logits.abs().max().clamp(min=1)


@pytest.mark.parametrize("bound", ["own", "average"])
def test_hard_has_neither_bound(bound: str) -> None:
    """The largest error need not have the largest logit: a fixed counterexample for each bound."""
    example = {"own": [[1, 2, 3], [1, 0, 2]], "average": [[-3, 1, -3], [-3, 3, 1]]}[bound]
    logits, labels = torch.tensor(example, dtype=torch.float64).unsqueeze(1), torch.tensor([0])
    own_loss = max(F.cross_entropy(z, labels) for z in logits)
    other = own_loss if bound == "own" else F.cross_entropy(logits.mean(dim=0), labels)
    assert compute_loss_and_gradient("guidebp-hard", logits, labels)[0] < other - 0.3


@given(draw_case())
def test_gradient_reading_has_adds_value_and_scales_its_gradient(case: tuple[Tensor, Tensor]) -> None:
    logits, labels = case
    value, gradient = compute_loss_and_gradient("guidebp-gradient", logits, labels)
    expected, plain = compute_loss_and_gradient("add", logits, labels)
    assert value == expected
    with torch.no_grad():
        error = compute_errors(logits, labels)
        total = error.sum(dim=0)
        scale = torch.where(total > 0, len(logits) * error / total, 1.0)
    torch.testing.assert_close(gradient, scale * plain, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", READINGS)
@given(case=draw_case(pathways=1))
def test_one_pathway_gives_plain_cross_entropy(name: str, case: tuple[Tensor, Tensor]) -> None:
    logits, labels = case
    leaf = logits[0].clone().requires_grad_()
    plain = F.cross_entropy(leaf, labels)
    (expected,) = torch.autograd.grad(plain, leaf)
    loss, gradient = compute_loss_and_gradient(name, logits, labels)
    torch.testing.assert_close(loss, plain.detach(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gradient[0], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", READINGS)
@given(case=draw_case(pathways=1), copies=st.integers(2, 5))
def test_identical_pathways_share_equally(name: str, case: tuple[Tensor, Tensor], copies: int) -> None:
    """Ties, which identical initial weights produce: add's loss, or plain cross-entropy, and equal gradients."""
    logits, labels = case[0].expand(copies, -1, -1), case[1]
    loss, gradient = compute_loss_and_gradient(name, logits, labels)
    factor = copies if name in COUNTERPART_OF_ADD else 1
    expected = F.cross_entropy(factor * logits[0], labels)
    torch.testing.assert_close(loss, expected, rtol=1e-9, atol=1e-9)
    for k in range(1, copies):
        torch.testing.assert_close(gradient[k], gradient[0], rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", READINGS)
@given(case=draw_case())
def test_weights_are_finite_and_sum_to_their_scale(name: str, case: tuple[Tensor, Tensor]) -> None:
    """The guided logit is linear in the logits with the weights as slopes, so its Jacobian holds them."""
    logits, labels = case
    leaf = logits.clone().requires_grad_()
    guided = make_merge_method(name, logits.shape[0], logits.shape[2]).merge(leaf, labels)
    (weights,) = torch.autograd.grad(guided.sum(), leaf)
    assert torch.isfinite(guided).all() and torch.isfinite(weights).all() and (weights >= 0).all()
    total = float(len(logits)) if name in COUNTERPART_OF_ADD else 1.0
    torch.testing.assert_close(weights.sum(dim=0), torch.full_like(weights[0], total), rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", READINGS)
@given(case=draw_case(), seed=st.integers(0, 1000))
def test_permuted_pathways_permute_the_gradient(name: str, case: tuple[Tensor, Tensor], seed: int) -> None:
    logits, labels = case
    order = torch.randperm(len(logits), generator=torch.Generator().manual_seed(seed))
    loss, gradient = compute_loss_and_gradient(name, logits, labels)
    permuted_loss, permuted = compute_loss_and_gradient(name, logits[order], labels)
    scale = logits.abs().max().clamp(min=1).item()
    torch.testing.assert_close(permuted_loss, loss, rtol=1e-12, atol=1e-12 * scale)
    torch.testing.assert_close(permuted, gradient[order], rtol=1e-9, atol=1e-11 * scale)


@st.composite
def draw_moderate_case(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Logits without ties or saturated probabilities, where two ways to compute a score agree in order."""
    pathways, count, classes = draw(st.integers(1, 4)), draw(st.integers(1, 4)), draw(st.integers(2, 5))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    logits = 2 * torch.randn(pathways, count, classes, generator=generator, dtype=torch.float64)
    return logits, torch.randint(classes, (count,), generator=generator)


@pytest.mark.parametrize("name", READINGS)
@given(case=draw_moderate_case())
def test_gradient_is_that_of_constant_weights(name: str, case: tuple[Tensor, Tensor]) -> None:
    """No gradient flows through a score: `a (softmax(g) - t) / N`, by the formula and by finite differences."""
    logits, labels = case
    loss, gradient = compute_loss_and_gradient(name, logits, labels)
    weights = compute_weights_by_hand(name, logits, labels)
    blind = name == "guidebp-gradient"

    def merge_logits(z: Tensor) -> Tensor:
        return z.sum(dim=0) if blind else (weights * z).sum(dim=0)

    guided = merge_logits(logits)
    tolerance = 1e-6 if name == "guidebp-class" else 0.0  # its running recall is in float32
    torch.testing.assert_close(loss, F.cross_entropy(guided, labels), rtol=max(1e-9, tolerance), atol=1e-12)
    residual = (guided.softmax(dim=1) - F.one_hot(labels, logits.shape[2])) / len(labels)
    torch.testing.assert_close(
        gradient, weights * residual, rtol=max(1e-8, tolerance), atol=max(1e-11, tolerance)
    )
    step = 1e-5
    numeric = torch.empty_like(logits)
    for index in range(logits.numel()):
        shift = torch.zeros_like(logits).view(-1)
        shift[index] = step
        up, down = (
            F.cross_entropy(merge_logits(logits + s * shift.view_as(logits)), labels) for s in (1, -1)
        )
        numeric.view(-1)[index] = (up - down) / (2 * step)
    if blind:
        numeric = numeric * weights
    torch.testing.assert_close(gradient, numeric, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, spec in METHODS.items()
        if spec.family not in ("guidebp", "separate") and fits(name, "columns")
    ],
)
@given(case=draw_moderate_case())
def test_unguided_losses_have_their_own_gradient(name: str, case: tuple[Tensor, Tensor]) -> None:
    logits, labels = case
    instance = build_method(METHODS[name], build_bare_heads(len(logits), logits.shape[2]), maker()).double()
    assert torch.autograd.gradcheck(lambda z: instance.loss(z, labels), logits.clone().requires_grad_())


def make_two_specialists() -> tuple[Tensor, Tensor]:
    """Pathway 0 misses class 0, pathway 1 misses class 1; both know class 2."""
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    logits = 2.0 * F.one_hot(labels, 3).double().repeat(2, 1, 1)
    logits[0, labels == 0] = torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64)
    logits[1, labels == 1] = torch.tensor([1.0, 0.0, 2.0], dtype=torch.float64)
    return logits, labels


@pytest.mark.parametrize("name", READINGS)
def test_gradient_moves_to_the_weaker_pathway_class_by_class(name: str) -> None:
    """The mechanism of the paper; the same gradient is split evenly by add and average."""
    logits, labels = make_two_specialists()

    def compute_share_of_pathway_0(method: str) -> list[float]:
        gradient = compute_loss_and_gradient(method, logits, labels)[1].abs()
        class_gradients = [gradient[:, labels == c, c].sum(dim=1) for c in range(3)]
        return [(g[0] / g.sum()).item() for g in class_gradients]

    shares = compute_share_of_pathway_0(name)
    assert shares[0] > 0.51 and shares[1] < 0.49 and shares[2] == pytest.approx(0.5)
    for usual in ("add", "average"):
        assert compute_share_of_pathway_0(usual) == pytest.approx([0.5, 0.5, 0.5])


def test_running_recall_remembers_and_leaves_absent_classes_alone() -> None:
    instance: Any = make_merge_method("guidebp-class", 2, 3)
    assert isinstance(instance, GuideBP)
    logits, labels = make_two_specialists()
    expected = torch.zeros(2, 3, dtype=torch.float64)
    hits = torch.tensor([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0]], dtype=torch.float64)
    for _ in range(3):
        instance.merge(logits, labels)
        expected = 0.9 * expected + 0.1 * hits
    torch.testing.assert_close(instance.recall, expected)
    present = labels == 1
    instance.merge(logits[:, present], labels[present])
    expected[:, 1] = 0.9 * expected[:, 1] + 0.1 * hits[:, 1]
    torch.testing.assert_close(instance.recall, expected)
