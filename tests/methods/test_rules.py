"""The gradient rules against TorchJD and against examples worked by hand."""

from collections.abc import Iterator, Sequence

import pytest
import torch
from torch import Tensor
from torchjd.aggregation import PCGradWeighting, UPGradWeighting

from guidebp.methods.rules import (
    build_fixed_order,
    compute_projection_weights,
    compute_upgrad_weights,
    draw_random_order,
)

# Two networks of three exits. In the first, exits 2 and 3 are orthogonal and both against exit 1; in the second,
# neighbours are against each other, and exit 2 is another vector once it has given way to exit 3.
FAN = [[1, 0], [-1, 1], [-1, -1]]
LINE = [[0, -1, 1], [-1, 1, 0], [1, 0, 0]]


def make_rows(values: Sequence[Sequence[float]]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def compute_gramian(gradients: Tensor) -> Tensor:
    return gradients @ gradients.transpose(-1, -2)


def draw_gramians(count: int, size: int) -> Tensor:
    generator = torch.Generator().manual_seed(size)
    return compute_gramian(torch.randn(count, size, 6, generator=generator, dtype=torch.float64))


def compute_torchjd_weights(monkeypatch: pytest.MonkeyPatch, products: Tensor, order: Tensor) -> Tensor:
    """TorchJD's weights when its rows meet the others in the given order."""
    remaining: Iterator[Tensor] = iter(order)
    with monkeypatch.context() as patch:
        patch.setattr("torchjd.aggregation._pcgrad.torch.randperm", lambda _: next(remaining))
        weights: Tensor = PCGradWeighting()(products)
    assert next(remaining, None) is None
    return weights


@pytest.mark.parametrize("size", range(1, 8))
def test_project_is_torchjds_pcgrad(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    generator = torch.Generator().manual_seed(size)
    for products in draw_gramians(10, size):
        order = draw_random_order(size, generator)
        expected = compute_torchjd_weights(monkeypatch, products, order)
        torch.testing.assert_close(
            compute_projection_weights(products, order), expected, rtol=1e-10, atol=1e-12
        )


@pytest.mark.parametrize(
    "gradients", [FAN, LINE, [[1, 2], [-2, -4], [0, 0]], [[0, 0], [0, 0]], [[3, 1], [3, 1]]]
)
def test_rules_are_torchjds_on_fixed_gradients(
    monkeypatch: pytest.MonkeyPatch, gradients: list[list[float]]
) -> None:
    products = compute_gramian(make_rows(gradients))
    count = len(products)
    for seed in range(5):
        order = draw_random_order(count, torch.Generator().manual_seed(seed))
        expected = compute_torchjd_weights(monkeypatch, products, order)
        torch.testing.assert_close(
            compute_projection_weights(products, order), expected, rtol=1e-12, atol=1e-12
        )
    torch.testing.assert_close(
        compute_upgrad_weights(products), count * UPGradWeighting()(products), rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("scale", [0.1, 1.0, 1e6])
@pytest.mark.parametrize("size", range(1, 8))
def test_upgrad_is_torchjds_times_k(size: int, scale: float) -> None:
    """At scales where TorchJD does not take the gradients for zero."""
    for products in draw_gramians(10, size) * scale**2:
        expected = size * UPGradWeighting()(products)
        torch.testing.assert_close(compute_upgrad_weights(products), expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(
    ("gradients", "rule", "projected"),
    [
        (FAN, "deeper-first", [[0, 0], [-1, 1], [-1, -1]]),
        (FAN, "earlier-first", [[1, 0], [0, 1], [0, -1]]),
        (FAN, "adjacent", [[1 / 2, 1 / 2], [-1 / 2, 1 / 2], [-1, -1]]),
        (LINE, "deeper-first", [[0, -1 / 2, 1], [0, 1, 0], [1, 0, 0]]),
        (LINE, "earlier-first", [[0, -1, 1], [-1, 1 / 2, 1 / 2], [1 / 2, 1 / 4, 1 / 4]]),
        (LINE, "adjacent", [[-1 / 2, -1 / 2, 1], [0, 1 / 2, 1 / 2], [1 / 2, 1 / 2, 0]]),
    ],
)
def test_fixed_orders_by_hand(gradients: list[list[float]], rule: str, projected: list[list[float]]) -> None:
    """Row by row: the others keep their gradient when they meet only themselves."""
    vectors, order = make_rows(gradients), build_fixed_order(rule, 3)
    weights = compute_projection_weights(compute_gramian(vectors), order)
    torch.testing.assert_close(weights @ vectors, make_rows(projected).sum(dim=0), rtol=1e-12, atol=1e-12)
    for i, expected in enumerate(make_rows(projected)):
        order_of_one = torch.arange(3).unsqueeze(1).expand_as(order).clone()
        order_of_one[i] = order[i]
        others = vectors.sum(dim=0) - vectors[i]
        row = compute_projection_weights(compute_gramian(vectors), order_of_one) @ vectors - others
        torch.testing.assert_close(row, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("gradients", "order", "direction"),
    [
        # (0, 0) + (0, 1) + (-1/2, -1/2): exit 3 meets 1 and becomes (0, -1), which is against 2
        (FAN, [[1, 2, 0], [2, 1, 0], [0, 1, 2]], [-1 / 2, 1 / 2]),
        # (0, 0) + (-1/2, 1/2) + (0, -1)
        (FAN, [[0, 2, 1], [0, 1, 2], [1, 0, 2]], [-1 / 2, -1 / 2]),
        # (0, -1/2, 1) + (0, 1/2, 1/2) + (1/2, 1/2, 0)
        (LINE, [[1, 2, 0], [2, 0, 1], [0, 1, 2]], [1 / 2, 1 / 2, 3 / 2]),
    ],
)
def test_symmetric_by_hand(
    gradients: list[list[float]], order: list[list[int]], direction: list[float]
) -> None:
    vectors = make_rows(gradients)
    weights = compute_projection_weights(compute_gramian(vectors), torch.tensor(order))
    expected = torch.tensor(direction, dtype=torch.float64)
    torch.testing.assert_close(weights @ vectors, expected, rtol=1e-12, atol=1e-12)


def test_upgrad_by_hand() -> None:
    """Nothing is against LINE where 0 <= x <= y <= z: the nearest such points are means of neighbours."""
    vectors = make_rows(LINE)
    expected = make_rows([[0, 0, 1], [0, 1 / 2, 1 / 2], [1 / 3, 1 / 3, 1 / 3]]).sum(dim=0)
    direction = compute_upgrad_weights(compute_gramian(vectors), ridge=1e-10) @ vectors
    torch.testing.assert_close(direction, expected, rtol=1e-8, atol=1e-8)


def test_fixed_orders_of_four_exits() -> None:
    """An exit itself stands for none."""
    others = {
        rule: [[j for j in row if j != i] for i, row in enumerate(build_fixed_order(rule, 4).tolist())]
        for rule in ("deeper-first", "earlier-first", "adjacent")
    }
    assert others["deeper-first"] == [[1, 2, 3], [2, 3], [3], []]
    assert others["earlier-first"] == [[], [0], [1, 0], [2, 1, 0]]
    assert others["adjacent"] == [[1], [0, 2], [1, 3], [2]]


def test_random_orders_are_permutations_that_differ() -> None:
    generator = torch.Generator().manual_seed(0)
    orders = [draw_random_order(4, generator) for _ in range(20)]
    for order in orders:
        assert torch.equal(order.sort(dim=1).values, torch.arange(4).expand(4, 4))
    assert len({tuple(row) for order in orders for row in order.tolist()}) > 15  # of 24


@pytest.mark.parametrize("rule", ["symmetric", "deeper-first", "earlier-first", "adjacent", "upgrad"])
def test_groups_are_as_one_at_a_time(rule: str) -> None:
    products = draw_gramians(6, 4).clone()
    products[2, 1], products[2, :, 1] = 0, 0
    products[5] = 0

    def compute_weights(matrix: Tensor) -> Tensor:
        if rule == "upgrad":
            return compute_upgrad_weights(matrix)
        random_order = draw_random_order(4, torch.Generator().manual_seed(3))
        return compute_projection_weights(
            matrix, random_order if rule == "symmetric" else build_fixed_order(rule, 4)
        )

    single_weights = torch.stack([compute_weights(single) for single in products])
    assert not torch.allclose(single_weights[0], single_weights[1])
    torch.testing.assert_close(compute_weights(products), single_weights, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(
        compute_weights(products.view(2, 3, 4, 4)).view(6, 4), single_weights, rtol=1e-12, atol=1e-12
    )


def test_a_length_that_underflows_takes_nothing() -> None:
    products = torch.tensor([[1.0, -0.5], [-0.5, 0.0]])
    assert compute_projection_weights(products, build_fixed_order("deeper-first", 2)).tolist() == [1, 1]


@pytest.mark.parametrize("zero", range(3))
@pytest.mark.parametrize("rule", ["deeper-first", "earlier-first", "adjacent", "upgrad"])
def test_a_zero_gradient_changes_nothing_for_the_others(rule: str, zero: int) -> None:
    vectors = make_rows(LINE)
    vectors[zero] = 0
    others = [i for i in range(3) if i != zero]
    products = compute_gramian(vectors)
    pair = products[others][:, others]
    if rule == "upgrad":
        weights, expected = compute_upgrad_weights(products), compute_upgrad_weights(pair)
    else:
        weights, expected = (
            compute_projection_weights(products, build_fixed_order(rule, 3)),
            compute_projection_weights(pair, build_fixed_order(rule, 2)),
        )
        if rule == "adjacent" and zero == 1:  # the others are not neighbours
            expected = torch.ones_like(expected)
    torch.testing.assert_close(weights[others], expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(weights[zero], torch.ones_like(weights[zero]), rtol=1e-12, atol=0)
