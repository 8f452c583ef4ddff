"""Gradient rules: pure functions from the inner products of K gradients to K weights.

With rows `g_k` and products `P[i, j] = g_i . g_j`, every rule here only adds multiples of rows to rows and sums the
result. So weights `w` alone determine it, and the resulting direction is `sum_k w[k] g_k`. Rules work on products
[..., K, K] and never read a value on the host, so they never wait for the device.

`compute_projection_weights` is the projection of Yu et al., "Gradient surgery for multi-task learning" (PCGrad,
2020), algorithm 1: row i meets the other rows in a given order; where its inner product with one of the *original*
rows is negative, the component along that row is removed. The readings of deconfliction differ in the rows that it
meets and in their order (`build_fixed_order`, `draw_random_order`). `compute_upgrad_weights` is the projection onto
the dual cone of Quinton and Rey, "Jacobian descent for multi-objective optimization" (2024).
"""

from functools import cache
from itertools import product

import torch
from torch import Tensor


def compute_projection_weights(products: Tensor, order: Tensor) -> Tensor:
    """Weights [..., K] of the sum of the K projected gradients.

    `products` is [..., K, K]; `order` [K, T] lists for each row the rows it meets, its own index standing for none.
    """
    count = products.shape[-1]
    own_index = torch.arange(count, device=products.device)
    # row i: the coefficients of projected gradient i in the original gradients
    coefficients = torch.eye(count, dtype=products.dtype, device=products.device)
    coefficients = coefficients.expand_as(products).clone()
    squared_norms = products.diagonal(dim1=-2, dim2=-1)
    for other in order.unbind(dim=1):
        inner = (coefficients * products[..., other, :]).sum(dim=-1)
        squared_norm = squared_norms[..., other]
        conflict = (inner < 0) & (squared_norm > 0) & (other != own_index)
        component = torch.where(conflict, inner / squared_norm.where(squared_norm > 0, 1.0), 0.0)
        coefficients.scatter_add_(-1, other.expand_as(component).unsqueeze(-1), -component.unsqueeze(-1))
    return coefficients.sum(dim=-2)


def build_fixed_order(rule: str, count: int) -> Tensor:
    """The order [K, T] of a rule without chance; exits are counted from the shallowest.

    deeper-first: an exit gives way to the deeper ones, met from the next one to the deepest. earlier-first: to the
    earlier ones, met from the next one to the first. adjacent: to its neighbours, the earlier one met first.
    """
    rows: list[list[int]] = []
    for i in range(count):
        other_rows = {
            "deeper-first": list(range(i + 1, count)),
            "earlier-first": list(range(i - 1, -1, -1)),
            "adjacent": [j for j in (i - 1, i + 1) if 0 <= j < count],
        }[rule]
        rows.append(other_rows + [i] * (max(2, count) - len(other_rows)))
    return torch.tensor(rows)


def draw_random_order(count: int, generator: torch.Generator) -> Tensor:
    """An order [K, K] for PCGrad: each row meets all others in an order of its own."""
    return torch.stack([torch.randperm(count, generator=generator) for _ in range(count)])


def compute_upgrad_weights(products: Tensor, ridge: float = 1e-4) -> Tensor:
    """Weights [..., K] of the sum of the gradients, each projected onto the cone that conflicts with none.

    Row i becomes the nearest vector with a nonnegative inner product with every row: with products P, the `v` that
    minimises `v P v` subject to `v >= e_i`. As in TorchJD, P is divided by its trace, then `ridge` is added to its
    diagonal. Two deviations: the sum over the rows, not the mean, so that no conflict means plain summing; and a
    trace below 1e-4 is divided by like any other, where TorchJD takes P for zero and sums whatever the conflict.

    The programme is solved exactly: of the 2^K sets of bounds that may hold with equality, the one whose solution
    violates nothing is taken. Meant for K up to about 10.
    """
    count = products.shape[-1]
    identity = torch.eye(count, dtype=products.dtype, device=products.device)
    trace = products.diagonal(dim1=-2, dim2=-1).sum(dim=-1)[..., None, None]
    normalised = products / trace.where(trace > 0, 1.0)
    matrix = (normalised + ridge * identity).unsqueeze(-3)  # [..., 1, K, K], for the sets
    at_bound = _list_subsets(count, products.device).unsqueeze(
        -1
    )  # [2^K, K, 1], true where v equals its bound
    # v = e_i at the bounds; elsewhere the gradient 2 P v is zero
    system = torch.where(at_bound, identity, matrix)
    target = torch.where(at_bound, identity, torch.zeros_like(identity))
    solutions = torch.linalg.solve_ex(system, target.expand_as(system))[0]  # [..., 2^K, K, K], a column per i
    slopes = matrix @ solutions
    bound_violations = (identity - solutions).clamp(min=0).amax(dim=-2)
    slope_violations = (-slopes).clamp(min=0).masked_fill(~at_bound, 0).amax(dim=-2)
    best = (bound_violations + slope_violations).argmin(dim=-2)  # [..., K]
    index = best[..., None, None, :].expand(*best.shape[:-1], 1, count, count)
    weights: Tensor = solutions.gather(-3, index).squeeze(-3).sum(dim=-1)
    return weights


@cache
def _list_subsets(count: int, device: torch.device) -> Tensor:
    """All subsets of range(count), bool [2^count, count]; cached, because copying to a device waits for it."""
    return torch.tensor(list(product([False, True], repeat=count)), device=device)
