"""The gradient rules over random gradients: what each promises, at every scale and rank."""

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
def gradients(draw: st.DrawFn, low: int = 1, exponents: st.SearchStrategy[int | None] = EXPONENTS) -> Tensor:
    """K gradients [K, D] in float64; with D < K, copies or zeros they are of lower rank; each has its own scale."""
    count, size = draw(st.integers(low, 6)), draw(st.integers(1, 8))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    found = torch.randn(count, size, generator=generator, dtype=torch.float64)
    if draw(st.booleans()):
        found = found.round()  # exact zeros, orthogonal and parallel rows
    for k in range(1, count):
        if draw(st.integers(0, 4)) == 0:
            found[k] = found[k - 1] * draw(st.sampled_from([1.0, -1.0, -0.5]))
    chosen = draw(
        st.one_of(exponents.map(lambda e: [e] * count), st.lists(exponents, min_size=count, max_size=count))
    )
    scales = [0.0 if e is None else 10.0**e for e in chosen]
    return found * torch.tensor(scales, dtype=torch.float64).unsqueeze(1)


def gramian(found: Tensor) -> Tensor:
    return found @ found.transpose(-1, -2)


def weights(rule: str, products: Tensor, seed: int = 0) -> Tensor:
    if rule == "upgrad":
        return compute_upgrad_weights(products)
    count = products.shape[-1]
    drawn = draw_random_order(count, torch.Generator().manual_seed(seed))
    return compute_projection_weights(
        products, drawn if rule == "symmetric" else build_fixed_order(rule, count)
    )


def alone(rule: str, products: Tensor, i: int) -> Tensor:
    """Weights of row i's projection: the other rows meet only themselves and stay as they are."""
    count = len(products)
    order = torch.arange(count).unsqueeze(1).expand(count, max(2, count)).clone()
    order[i] = build_fixed_order(rule, count)[i]
    found = compute_projection_weights(products, order)
    assert all(found[j] >= 1 for j in range(count) if j != i)
    found[torch.arange(count) != i] -= 1
    return found


@pytest.mark.parametrize(("rule", "protected"), [("deeper-first", -1), ("earlier-first", 0)])
@given(found=gradients(2, st.integers(-2, 2)))
def test_no_row_and_no_sum_is_against_the_protected_exit(rule: str, protected: int, found: Tensor) -> None:
    products, lengths = gramian(found), found.norm(dim=1)
    rows = [alone(rule, products, i) for i in range(len(found))]
    total = weights(rule, products)
    torch.testing.assert_close(torch.stack(rows).sum(dim=0), total, rtol=1e-6, atol=1e-9)
    for row in [*rows, total]:
        tolerance = 1e-12 * (row.abs() @ lengths) * lengths[protected]
        assert (row @ found) @ found[protected] >= -tolerance
    kept = torch.zeros(len(found), dtype=torch.float64)
    kept[protected] = 1
    assert torch.equal(rows[protected], kept)


@given(found=gradients(2, st.integers(-2, 2)))
def test_upgrad_is_against_none(found: Tensor) -> None:
    """Up to the ridge, which counts as a part of each gradient that no other has."""
    products = gramian(found)
    taken = compute_upgrad_weights(products)
    assert (taken >= 1 - 1e-9).all()
    trace = products.trace()
    assert (products @ taken >= -(1e-4 * taken + 1e-9) * trace.clamp(min=1e-4)).all()


@given(seed=st.integers(0, 2**31), count=st.integers(2, 6))
def test_upgrad_without_ridge_is_against_none(seed: int, count: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    found = torch.randn(count, 2 * count, generator=generator, dtype=torch.float64)
    products = gramian(found)
    assert (products @ compute_upgrad_weights(products, ridge=0) >= -1e-9 * products.trace()).all()


@pytest.mark.parametrize("rule", ["symmetric", "upgrad"])
@given(found=gradients(2, st.integers(-1, 1)), data=st.data())
def test_the_pathways_order_does_not_matter(rule: str, found: Tensor, data: st.DataObject) -> None:
    count = len(found)
    moved = torch.tensor(data.draw(st.permutations(range(count))))
    products = gramian(found)
    other = products[moved][:, moved]
    if rule == "upgrad":
        first, second = compute_upgrad_weights(products), compute_upgrad_weights(other)
    else:
        order = draw_random_order(count, torch.Generator().manual_seed(data.draw(st.integers(0, 99))))
        first = compute_projection_weights(products, order)
        second = compute_projection_weights(other, moved.argsort()[order[moved]])
    torch.testing.assert_close(second, first[moved], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("rule", RULES)
@given(exponent=EXPONENTS, seed=st.integers(0, 99))
def test_one_pathway_keeps_its_gradient(rule: str, exponent: int | None, seed: int) -> None:
    length = 0.0 if exponent is None else 10.0**exponent
    assert weights(rule, torch.full((1, 1), length**2, dtype=torch.float64), seed).tolist() == pytest.approx(
        [1]
    )


@pytest.mark.parametrize("rule", RULES)
@given(found=gradients(exponents=st.integers(-6, 6)), count=st.integers(1, 6))
def test_equal_gradients_are_summed(rule: str, found: Tensor, count: int) -> None:
    same = found[:1].expand(count, -1)
    taken = weights(rule, gramian(same))
    assert taken.sum().item() == pytest.approx(count)
    torch.testing.assert_close(taken @ same, count * found[0], rtol=1e-9, atol=0)


@pytest.mark.parametrize("rule", RULES)
@given(found=gradients(exponents=st.integers(-6, 6)), seed=st.integers(0, 99))
def test_without_conflict_gradients_are_summed(rule: str, found: Tensor, seed: int) -> None:
    taken = weights(rule, gramian(found.abs()), seed)
    torch.testing.assert_close(taken, torch.ones_like(taken), rtol=1e-9, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rule", RULES)
@given(found=gradients(), seed=st.integers(0, 99))
def test_weights_are_finite_at_every_scale(rule: str, dtype: torch.dtype, found: Tensor, seed: int) -> None:
    given_ = found.to(dtype)
    taken = weights(rule, gramian(given_), seed)
    assert taken.dtype == dtype
    assert torch.isfinite(taken).all() and torch.isfinite(taken @ given_).all()
    assert (taken >= 1 - 1e-3).all()  # nothing is ever taken off a gradient


@pytest.mark.parametrize("rule", RULES)
@given(found=gradients(exponents=st.integers(-3, 3)), power=st.integers(-8, 20), seed=st.integers(0, 99))
def test_scale_does_not_matter(rule: str, found: Tensor, power: int, seed: int) -> None:
    """Powers of two round alike."""
    products = gramian(found)
    assert torch.equal(weights(rule, products, seed), weights(rule, products * 4.0**power, seed))
