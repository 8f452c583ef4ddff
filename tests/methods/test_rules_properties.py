"""Properties of the gradient rules over random gradients of every scale and rank."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from guidebp.methods.rules import (
    build_fixed_order,
    compute_projection_weights,
    compute_upgrad_weights,
    draw_random_order,
)

RULES = ["symmetric", "deeper-first", "earlier-first", "adjacent", "upgrad"]
EXPONENTS = st.one_of(st.none(), st.integers(-12, 12))  # none: a gradient of zeros


@st.composite
def draw_gradients(
    draw: st.DrawFn, low: int = 1, exponents: st.SearchStrategy[int | None] = EXPONENTS
) -> Tensor:
    """K gradients [K, D] in float64; with D < K, copies or zeros they are of lower rank; each has its own scale."""
    count, size = draw(st.integers(low, 6)), draw(st.integers(1, 8))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    rows = torch.randn(count, size, generator=generator, dtype=torch.float64)
    if draw(st.booleans()):
        rows = rows.round()  # exact zeros, orthogonal and parallel rows
    for k in range(1, count):
        if draw(st.integers(0, 4)) == 0:
            rows[k] = rows[k - 1] * draw(st.sampled_from([1.0, -1.0, -0.5]))
    chosen = draw(
        st.one_of(exponents.map(lambda e: [e] * count), st.lists(exponents, min_size=count, max_size=count))
    )
    scales = [0.0 if e is None else 10.0**e for e in chosen]
    return rows * torch.tensor(scales, dtype=torch.float64).unsqueeze(1)


def compute_gramian(rows: Tensor) -> Tensor:
    return rows @ rows.transpose(-1, -2)


def compute_weights(rule: str, products: Tensor, seed: int = 0) -> Tensor:
    if rule == "upgrad":
        return compute_upgrad_weights(products)
    count = products.shape[-1]
    order = draw_random_order(count, torch.Generator().manual_seed(seed))
    return compute_projection_weights(
        products, order if rule == "symmetric" else build_fixed_order(rule, count)
    )


def project_single_row(rule: str, products: Tensor, i: int) -> Tensor:
    """Weights of row i's projection: the other rows meet only themselves and stay as they are."""
    count = len(products)
    order = torch.arange(count).unsqueeze(1).expand(count, max(2, count)).clone()
    order[i] = build_fixed_order(rule, count)[i]
    weights = compute_projection_weights(products, order)
    assert all(weights[j] >= 1 for j in range(count) if j != i)
    weights[torch.arange(count) != i] -= 1
    return weights


@pytest.mark.parametrize(("rule", "protected"), [("deeper-first", -1), ("earlier-first", 0)])
@given(rows=draw_gradients(2, st.integers(-2, 2)))
def test_no_row_and_no_sum_is_against_the_protected_exit(rule: str, protected: int, rows: Tensor) -> None:
    products, lengths = compute_gramian(rows), rows.norm(dim=1)
    projections = [project_single_row(rule, products, i) for i in range(len(rows))]
    weights = compute_weights(rule, products)
    torch.testing.assert_close(torch.stack(projections).sum(dim=0), weights, rtol=1e-6, atol=1e-9)
    for projection in [*projections, weights]:
        tolerance = 1e-12 * (projection.abs() @ lengths) * lengths[protected]
        assert (projection @ rows) @ rows[protected] >= -tolerance
    unchanged = torch.zeros(len(rows), dtype=torch.float64)
    unchanged[protected] = 1
    assert torch.equal(projections[protected], unchanged)


@given(rows=draw_gradients(2, st.integers(-2, 2)))
def test_upgrad_is_against_none(rows: Tensor) -> None:
    """Up to the ridge, which counts as a part of each gradient that no other has."""
    products = compute_gramian(rows)
    weights = compute_upgrad_weights(products)
    assert (weights >= 1 - 1e-9).all()
    trace = products.trace()
    assert (products @ weights >= -(1e-4 * weights + 1e-9) * trace.clamp(min=1e-4)).all()


@given(seed=st.integers(0, 2**31), count=st.integers(2, 6))
def test_upgrad_without_ridge_is_against_none(seed: int, count: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(count, 2 * count, generator=generator, dtype=torch.float64)
    products = compute_gramian(rows)
    assert (products @ compute_upgrad_weights(products, ridge=0) >= -1e-9 * products.trace()).all()


@pytest.mark.parametrize("rule", ["symmetric", "upgrad"])
@given(rows=draw_gradients(2, st.integers(-1, 1)), data=st.data())
def test_the_pathways_order_does_not_matter(rule: str, rows: Tensor, data: st.DataObject) -> None:
    count = len(rows)
    permutation = torch.tensor(data.draw(st.permutations(range(count))))
    products = compute_gramian(rows)
    permuted = products[permutation][:, permutation]
    if rule == "upgrad":
        first, second = compute_upgrad_weights(products), compute_upgrad_weights(permuted)
    else:
        order = draw_random_order(count, torch.Generator().manual_seed(data.draw(st.integers(0, 99))))
        first = compute_projection_weights(products, order)
        second = compute_projection_weights(permuted, permutation.argsort()[order[permutation]])
    torch.testing.assert_close(second, first[permutation], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("length", [0.0, 1e-12, 1e-3, 1.0, 1e6, 1e12])
def test_one_pathway_keeps_its_gradient(rule: str, length: float) -> None:
    products = torch.full((1, 1), length**2, dtype=torch.float64)
    assert compute_weights(rule, products).tolist() == pytest.approx([1])


@given(
    rule=st.sampled_from(RULES), rows=draw_gradients(exponents=st.integers(-6, 6)), count=st.integers(1, 6)
)
def test_equal_gradients_are_summed(rule: str, rows: Tensor, count: int) -> None:
    copies = rows[:1].expand(count, -1)
    weights = compute_weights(rule, compute_gramian(copies))
    assert weights.sum().item() == pytest.approx(count)
    torch.testing.assert_close(weights @ copies, count * rows[0], rtol=1e-9, atol=0)


@given(
    rule=st.sampled_from(RULES), rows=draw_gradients(exponents=st.integers(-6, 6)), seed=st.integers(0, 99)
)
def test_without_conflict_gradients_are_summed(rule: str, rows: Tensor, seed: int) -> None:
    weights = compute_weights(rule, compute_gramian(rows.abs()), seed)
    torch.testing.assert_close(weights, torch.ones_like(weights), rtol=1e-9, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@given(rule=st.sampled_from(RULES), rows=draw_gradients(), seed=st.integers(0, 99))
def test_weights_are_finite_at_every_scale(rule: str, dtype: torch.dtype, rows: Tensor, seed: int) -> None:
    converted = rows.to(dtype)
    weights = compute_weights(rule, compute_gramian(converted), seed)
    assert weights.dtype == dtype
    assert torch.isfinite(weights).all() and torch.isfinite(weights @ converted).all()
    assert (weights >= 1 - 1e-3).all()  # nothing is ever taken off a gradient


@given(
    rule=st.sampled_from(RULES),
    rows=draw_gradients(exponents=st.integers(-3, 3)),
    power=st.integers(-8, 20),
    seed=st.integers(0, 99),
)
def test_scale_does_not_matter(rule: str, rows: Tensor, power: int, seed: int) -> None:
    """Powers of two round alike."""
    products = compute_gramian(rows)
    assert torch.equal(
        compute_weights(rule, products, seed), compute_weights(rule, products * 4.0**power, seed)
    )
