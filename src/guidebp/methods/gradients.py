"""The gradients of several losses, one beside the other in one block of memory."""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from guidebp.models.contract import shared_parameters


class PathwayGradients:
    """The gradient of each of K losses at all parameters, as rows of a matrix.

    Holds K copies of the parameters while in use; a further one at a time is needed for the backward pass that
    fills a row, and then for the combined gradient.

    Attributes:
        products: [G, K, K], inner products of the rows over each group of columns.
        shared: [K, K], inner products over the parameters that pathways share.
    """

    def __init__(
        self, stages: Sequence[Sequence[nn.Module]], parameters: Sequence[nn.Parameter], over: str
    ) -> None:
        """Columns are grouped as `over` says.

        network: all in one group; trunk: the shared parameters, and the rest; tensor: a group per parameter tensor.
        """
        common = shared_parameters(stages)
        kept = set(common)
        self.parameters = [*common, *(p for p in parameters if p not in kept)]
        sizes = [p.numel() for p in self.parameters]
        ends = torch.tensor([0, *sizes]).cumsum(0).tolist()
        self.slices = [slice(a, b) for a, b in itertools.pairwise(ends)]
        self.common = slice(0, ends[len(common)])
        total = slice(0, ends[-1])
        rest = slice(self.common.stop, total.stop)
        groups = {"network": [total], "trunk": [self.common, rest], "tensor": self.slices}[over]
        self.groups = [group for group in groups if group.stop > group.start]
        self.rows = torch.empty(0)
        self.reached = [0] * len(self.parameters)  # how many losses have a gradient there

    def take(self, losses: Sequence[Tensor], outputs: Sequence[Tensor]) -> Tensor:
        """Fill the rows, by one backward pass per loss; the gradient of each loss at its own output, stacked."""
        like = self.parameters[0]
        fresh = self.rows.device != like.device or self.rows.dtype != like.dtype or not len(self.rows)
        if fresh:
            self.reached = [0] * len(self.parameters)
            self.rows = torch.zeros(len(losses), self.slices[-1].stop, dtype=like.dtype, device=like.device)
            self.views = [self.as_parameters(row) for row in self.rows]
        at_outputs = []
        for k, (loss, output, views) in enumerate(zip(losses, outputs, self.views, strict=True)):
            last = k == len(losses) - 1
            at_output, *found = torch.autograd.grad(
                loss, [output, *self.parameters], retain_graph=not last, allow_unused=True
            )
            at_outputs.append(at_output)
            # a parameter that a loss does not reach stays zero for good
            reached = [(view, g) for view, g in zip(views, found, strict=True) if g is not None]
            if fresh:
                self.reached = [n + (g is not None) for n, g in zip(self.reached, found, strict=True)]
            if reached:
                torch._foreach_copy_([view for view, _ in reached], [g for _, g in reached])
            del found, reached
        return torch.stack(at_outputs)

    def as_parameters(self, row: Tensor) -> list[Tensor]:
        """Views of a row [P] in the shapes and memory formats of the parameters."""
        return [
            row[part].as_strided(p.shape, p.stride(), int(row.storage_offset()) + part.start)
            for part, p in zip(self.slices, self.parameters, strict=True)
        ]

    @property
    def products(self) -> Tensor:
        """[G, K, K]."""
        return torch.stack([self.rows[:, group] @ self.rows[:, group].T for group in self.groups])

    @property
    def shared(self) -> Tensor:
        """[K, K]."""
        return self.rows[:, self.common] @ self.rows[:, self.common].T

    def combine(self, weights: Tensor) -> None:
        """Set each parameter's gradient to the sum of the rows by weights [G, K] of its group."""
        combined = torch.empty_like(self.rows[0])
        for group, weight in zip(self.groups, weights, strict=True):
            torch.mv(self.rows[:, group].T, weight, out=combined[group])
        for parameter, gradient in zip(self.parameters, self.as_parameters(combined), strict=True):
            parameter.grad = gradient


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Matrix products in float32 also where `fast` numerics would round: their signs decide what a rule does."""
    matmul = torch.backends.cuda.matmul
    before = matmul.allow_tf32
    matmul.allow_tf32 = False
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        matmul.allow_tf32 = before
