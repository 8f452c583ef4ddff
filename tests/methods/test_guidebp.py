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


def bare_heads(pathways: int, classes: int) -> Parallel:
    """A network of heads alone, for methods of which only the merge or the loss is used."""
    net = Parallel(
        [str(k) for k in range(pathways)],
        [nn.Identity() for _ in range(pathways)],
        [nn.Linear(1, classes) for _ in range(pathways)],
    )
    net.shape, net.classes = (1, 1, 1), classes
    return net


def merger(name: str, pathways: int, classes: int) -> MergeMethod:
    """The method on a network of bare heads."""
    made = build_method(METHODS[name], bare_heads(pathways, classes), maker()).double()
    assert isinstance(made, MergeMethod)
    return made


@st.composite
def cases(draw: st.DrawFn, pathways: int | None = None) -> tuple[Tensor, Tensor]:
    """Logits [K, N, classes] in float64 at scales from 1e-3 to 1e4, pathways of unequal scale, and labels."""
    k = pathways or draw(st.integers(2, 5))
    n, classes = draw(st.integers(1, 6)), draw(st.integers(2, 7))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    scales = 10.0 ** torch.tensor([draw(st.integers(-3, 4)) for _ in range(k)], dtype=torch.float64)
    logits = torch.randn(k, n, classes, generator=generator, dtype=torch.float64) * scales.view(-1, 1, 1)
    if draw(st.booleans()):
        logits = logits.round()  # ties
    return logits, torch.randint(classes, (n,), generator=generator)


def run(name: str, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Loss and its gradient at the logits."""
    leaf = logits.clone().requires_grad_()
    loss = merger(name, logits.shape[0], logits.shape[2]).loss(leaf, labels)
    (gradient,) = torch.autograd.grad(loss, leaf)
    return loss.detach(), gradient


def errors(logits: Tensor, labels: Tensor) -> Tensor:
    """abs(t - p), the probability of being wrong summed from the others so that no digit cancels."""
    found = torch.softmax(logits, dim=2)
    for n, y in enumerate(labels.tolist()):
        found[:, n, y] = torch.cat([found[:, n, :y], found[:, n, y + 1 :]], dim=1).sum(dim=1)
    return found


def shares(name: str, logits: Tensor, labels: Tensor) -> Tensor:
    """Weights over the pathways [K, N, classes] as the method's page words them, ties shared, from fresh state."""
    pathways, count, classes = logits.shape
    truth = F.one_hot(labels, classes).bool()
    error = errors(logits, labels)
    weak = error
    if name == "guidebp-margin":
        weak = torch.where(truth, -logits, logits)
    if name == "guidebp-pathway":
        own = torch.stack([error[:, n, y] for n, y in enumerate(labels.tolist())], dim=1)
        weak = own.unsqueeze(2).expand_as(logits)
    if name == "guidebp-class":
        weak = torch.ones_like(logits)
        for c in set(labels.tolist()):
            members = labels == c
            hits = (logits[:, members].argmax(dim=2) == c).double().mean(dim=1)
            weak[:, :, c] = (1 - (1 - 0.9) * hits).unsqueeze(1)  # the running recall starts at zero
    found = torch.empty_like(logits)
    for n in range(count):
        for c in range(classes):
            w = weak[:, n, c]
            if name in ("guidebp-hard", "guidebp-margin", "guidebp-pathway"):
                w = (w == w.max()).double()
            total = w.sum()
            found[:, n, c] = w / total if total > 0 else torch.full_like(w, 1 / pathways)
    return found * pathways if name in COUNTERPART_OF_ADD else found


def test_every_reading_is_covered() -> None:
    assert len(READINGS) == 7


@given(cases())
def test_margin_bounds_every_pathways_own_loss(case: tuple[Tensor, Tensor]) -> None:
    logits, labels = case
    guided = run("guidebp-margin", logits, labels)[0]
    own = torch.stack([F.cross_entropy(z, labels) for z in logits])
    assert guided >= own.max() * (1 - 1e-12)


@given(cases())
def test_average_bounds_the_loss_of_the_averaged_logits(case: tuple[Tensor, Tensor]) -> None:
    logits, labels = case
    guided = run("guidebp-average", logits, labels)[0]
    assert guided >= F.cross_entropy(logits.mean(dim=0), labels) - 1e-12 * logits.abs().max().clamp(min=1)


@pytest.mark.parametrize("bound", ["own", "average"])
def test_hard_has_neither_bound(bound: str) -> None:
    """The largest error need not have the largest logit: a fixed counterexample for each bound."""
    example = {"own": [[1, 2, 3], [1, 0, 2]], "average": [[-3, 1, -3], [-3, 3, 1]]}[bound]
    logits, labels = torch.tensor(example, dtype=torch.float64).unsqueeze(1), torch.tensor([0])
    own = max(F.cross_entropy(z, labels) for z in logits)
    other = own if bound == "own" else F.cross_entropy(logits.mean(dim=0), labels)
    assert run("guidebp-hard", logits, labels)[0] < other - 0.3


@given(cases())
def test_gradient_reading_has_adds_value_and_scales_its_gradient(case: tuple[Tensor, Tensor]) -> None:
    logits, labels = case
    value, gradient = run("guidebp-gradient", logits, labels)
    expected, plain = run("add", logits, labels)
    assert value == expected
    with torch.no_grad():
        error = errors(logits, labels)
        total = error.sum(dim=0)
        scale = torch.where(total > 0, len(logits) * error / total, 1.0)
    torch.testing.assert_close(gradient, scale * plain, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", READINGS)
@given(case=cases(pathways=1))
def test_one_pathway_gives_plain_cross_entropy(name: str, case: tuple[Tensor, Tensor]) -> None:
    logits, labels = case
    leaf = logits[0].clone().requires_grad_()
    plain = F.cross_entropy(leaf, labels)
    (expected,) = torch.autograd.grad(plain, leaf)
    loss, gradient = run(name, logits, labels)
    torch.testing.assert_close(loss, plain.detach(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gradient[0], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", READINGS)
@given(case=cases(pathways=1), copies=st.integers(2, 5))
def test_identical_pathways_share_equally(name: str, case: tuple[Tensor, Tensor], copies: int) -> None:
    """Ties, which identical initial weights produce: add's loss, or plain cross-entropy, and equal gradients."""
    logits, labels = case[0].expand(copies, -1, -1), case[1]
    loss, gradient = run(name, logits, labels)
    factor = copies if name in COUNTERPART_OF_ADD else 1
    expected = F.cross_entropy(factor * logits[0], labels)
    torch.testing.assert_close(loss, expected, rtol=1e-9, atol=1e-9)
    for k in range(1, copies):
        torch.testing.assert_close(gradient[k], gradient[0], rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", READINGS)
@given(case=cases())
def test_weights_are_finite_and_sum_to_their_scale(name: str, case: tuple[Tensor, Tensor]) -> None:
    """The guided logit is linear in the logits with the weights as slopes, so its Jacobian holds them."""
    logits, labels = case
    leaf = logits.clone().requires_grad_()
    guided = merger(name, logits.shape[0], logits.shape[2]).merge(leaf, labels)
    (weights,) = torch.autograd.grad(guided.sum(), leaf)
    assert torch.isfinite(guided).all() and torch.isfinite(weights).all() and (weights >= 0).all()
    total = float(len(logits)) if name in COUNTERPART_OF_ADD else 1.0
    torch.testing.assert_close(weights.sum(dim=0), torch.full_like(weights[0], total), rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", READINGS)
@given(case=cases(), seed=st.integers(0, 1000))
def test_permuted_pathways_permute_the_gradient(name: str, case: tuple[Tensor, Tensor], seed: int) -> None:
    logits, labels = case
    order = torch.randperm(len(logits), generator=torch.Generator().manual_seed(seed))
    loss, gradient = run(name, logits, labels)
    permuted_loss, permuted = run(name, logits[order], labels)
    scale = logits.abs().max().clamp(min=1).item()
    torch.testing.assert_close(permuted_loss, loss, rtol=1e-12, atol=1e-12 * scale)
    torch.testing.assert_close(permuted, gradient[order], rtol=1e-9, atol=1e-11 * scale)


@st.composite
def moderate(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Logits without ties or saturated probabilities, where two ways to compute a score agree in order."""
    pathways, count, classes = draw(st.integers(1, 4)), draw(st.integers(1, 4)), draw(st.integers(2, 5))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    logits = 2 * torch.randn(pathways, count, classes, generator=generator, dtype=torch.float64)
    return logits, torch.randint(classes, (count,), generator=generator)


@pytest.mark.parametrize("name", READINGS)
@given(case=moderate())
def test_gradient_is_that_of_constant_weights(name: str, case: tuple[Tensor, Tensor]) -> None:
    """No gradient flows through a score: `a (softmax(g) - t) / N`, by the formula and by finite differences."""
    logits, labels = case
    loss, gradient = run(name, logits, labels)
    weights = shares(name, logits, labels)
    blind = name == "guidebp-gradient"

    def merged(z: Tensor) -> Tensor:
        return z.sum(dim=0) if blind else (weights * z).sum(dim=0)

    guided = merged(logits)
    kept = 1e-6 if name == "guidebp-class" else 0.0  # its running recall is in float32
    torch.testing.assert_close(loss, F.cross_entropy(guided, labels), rtol=max(1e-9, kept), atol=1e-12)
    residual = (guided.softmax(dim=1) - F.one_hot(labels, logits.shape[2])) / len(labels)
    torch.testing.assert_close(gradient, weights * residual, rtol=max(1e-8, kept), atol=max(1e-11, kept))
    step = 1e-5
    numeric = torch.empty_like(logits)
    for index in range(logits.numel()):
        shift = torch.zeros_like(logits).view(-1)
        shift[index] = step
        up, down = (F.cross_entropy(merged(logits + s * shift.view_as(logits)), labels) for s in (1, -1))
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
@given(case=moderate())
def test_unguided_losses_have_their_own_gradient(name: str, case: tuple[Tensor, Tensor]) -> None:
    logits, labels = case
    made = build_method(METHODS[name], bare_heads(len(logits), logits.shape[2]), maker()).double()
    assert torch.autograd.gradcheck(lambda z: made.loss(z, labels), logits.clone().requires_grad_())


def two_specialists() -> tuple[Tensor, Tensor]:
    """Pathway 0 misses class 0, pathway 1 misses class 1; both know class 2."""
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    logits = 2.0 * F.one_hot(labels, 3).double().repeat(2, 1, 1)
    logits[0, labels == 0] = torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64)
    logits[1, labels == 1] = torch.tensor([1.0, 0.0, 2.0], dtype=torch.float64)
    return logits, labels


@pytest.mark.parametrize("name", READINGS)
def test_gradient_moves_to_the_weaker_pathway_class_by_class(name: str) -> None:
    """The mechanism of the paper; the same gradient is split evenly by add and average."""
    logits, labels = two_specialists()

    def share_of_pathway_0(method: str) -> list[float]:
        gradient = run(method, logits, labels)[1].abs()
        own = [gradient[:, labels == c, c].sum(dim=1) for c in range(3)]
        return [(g[0] / g.sum()).item() for g in own]

    found = share_of_pathway_0(name)
    assert found[0] > 0.51 and found[1] < 0.49 and found[2] == pytest.approx(0.5)
    for usual in ("add", "average"):
        assert share_of_pathway_0(usual) == pytest.approx([0.5, 0.5, 0.5])


def test_running_recall_remembers_and_leaves_absent_classes_alone() -> None:
    made: Any = merger("guidebp-class", 2, 3)
    assert isinstance(made, GuideBP)
    logits, labels = two_specialists()
    expected = torch.zeros(2, 3, dtype=torch.float64)
    hits = torch.tensor([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0]], dtype=torch.float64)
    for _ in range(3):
        made.merge(logits, labels)
        expected = 0.9 * expected + 0.1 * hits
    torch.testing.assert_close(made.recall, expected)
    present = labels == 1
    made.merge(logits[:, present], labels[present])
    expected[:, 1] = 0.9 * expected[:, 1] + 0.1 * hits[:, 1]
    torch.testing.assert_close(made.recall, expected)
