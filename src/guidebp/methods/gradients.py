"""The gradients of several losses as rows of one matrix."""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from guidebp.models.contract import find_shared_parameters


class PathwayGradients:
    """The gradient of each of K losses at all parameters, as rows of a matrix [K, P].

    Holds K copies of the parameters while in use. One further copy at a time is needed for the backward pass that
    fills a row, and then for the combined gradient.

    Attributes:
        parameters: in the order of the columns, shared ones first.
        rows: [K, P], empty before the first `fill`.
        shared_columns: the columns of parameters that several pathways share.
        reach_counts: for each parameter the number of losses that have a gradient there.
    """

    def __init__(
        self, stages: Sequence[Sequence[nn.Module]], parameters: Sequence[nn.Parameter], over: str
    ) -> None:
        """Group the columns by `over`.

        network: all in one group; trunk: the shared parameters, and the rest; tensor: a group per parameter tensor.
        """
        shared = find_shared_parameters(stages)
        shared_set = set(shared)
        self.parameters = [*shared, *(p for p in parameters if p not in shared_set)]
        sizes = [p.numel() for p in self.parameters]
        ends = torch.tensor([0, *sizes]).cumsum(0).tolist()
        self.columns = [slice(a, b) for a, b in itertools.pairwise(ends)]  # of each parameter
        self.shared_columns = slice(0, ends[len(shared)])
        all_columns = slice(0, ends[-1])
        other_columns = slice(self.shared_columns.stop, all_columns.stop)
        groups = {
            "network": [all_columns],
            "trunk": [self.shared_columns, other_columns],
            "tensor": self.columns,
        }[over]
        self.groups = [group for group in groups if group.stop > group.start]
        self.rows = torch.empty(0)
        self.reach_counts = [0] * len(self.parameters)

    def fill(self, losses: Sequence[Tensor], outputs: Sequence[Tensor]) -> Tensor:
        """Fill the rows by one backward pass per loss; return the gradients at the outputs, [K, N, classes]."""
        parameter = self.parameters[0]
        empty = (
            self.rows.device != parameter.device or self.rows.dtype != parameter.dtype or not len(self.rows)
        )
        if empty:
            self.reach_counts = [0] * len(self.parameters)
            self.rows = torch.zeros(
                len(losses), self.columns[-1].stop, dtype=parameter.dtype, device=parameter.device
            )
            self.views = [self._view_as_parameters(row) for row in self.rows]
        output_gradients = []
        for k, (loss, output, views) in enumerate(zip(losses, outputs, self.views, strict=True)):
            last = k == len(losses) - 1
            output_gradient, *gradients = torch.autograd.grad(
                loss, [output, *self.parameters], retain_graph=not last, allow_unused=True
            )
            output_gradients.append(output_gradient)
            # a parameter that a loss does not reach keeps its zeros
            pairs = [(view, g) for view, g in zip(views, gradients, strict=True) if g is not None]
            if empty:
                self.reach_counts = [
                    count + (g is not None) for count, g in zip(self.reach_counts, gradients, strict=True)
                ]
            if pairs:
                torch._foreach_copy_([view for view, _ in pairs], [g for _, g in pairs])
            del gradients, pairs  # before the next backward pass needs the memory
        return torch.stack(output_gradients)

    def _view_as_parameters(self, row: Tensor) -> list[Tensor]:
        """Views of a row [P] in the shapes and memory formats of the parameters."""
        return [
            row[columns].as_strided(p.shape, p.stride(), int(row.storage_offset()) + columns.start)
            for columns, p in zip(self.columns, self.parameters, strict=True)
        ]

    @property
    def products(self) -> Tensor:
        """Inner products of the rows [G, K, K], over each group of columns."""
        return torch.stack([self.rows[:, group] @ self.rows[:, group].T for group in self.groups])

    @property
    def shared_products(self) -> Tensor:
        """Inner products of the rows [K, K], over the parameters that pathways share."""
        return self.rows[:, self.shared_columns] @ self.rows[:, self.shared_columns].T

    def combine(self, weights: Tensor) -> None:
        """Set each parameter's gradient to the sum of the rows by weights [G, K] of its group."""
        combined = torch.empty_like(self.rows[0])
        for group, weight in zip(self.groups, weights, strict=True):
            torch.mv(self.rows[:, group].T, weight, out=combined[group])
        for parameter, gradient in zip(self.parameters, self._view_as_parameters(combined), strict=True):
            parameter.grad = gradient


@contextmanager
def force_full_precision(device: torch.device) -> Iterator[None]:
    """Matrix products in float32 also where `fast` numerics would round: their signs decide what a rule does."""
    matmul = torch.backends.cuda.matmul
    before = matmul.allow_tf32
    matmul.allow_tf32 = False
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        matmul.allow_tf32 = before
