"""Multi-way backpropagation: every output is back-propagated and stepped by itself, from shallow to deep.

Guo et al., "The shallow end" / "Multi-way backpropagation" (arXiv 1611.01773); what follows is their code
(docs/methods/multiway.md). After one forward pass, for each exit k in turn: its loss alone is back-propagated; the
gradient in the trunk is multiplied by the exit's weight `w[k] = max(0.01, (L_k / L_last)^2)` (L: layers,
L_last: those of the deepest auxiliary exit; 1 for the final output); an SGD step with a momentum *of its own*
is taken on all segments below it, with the learning rate divided by `w[k] + ... + w[last auxiliary]` (final
output: undivided), and one at full rate on the exit. The first segment so takes K steps and K weight decays per
batch. `deep-supervision` is the one-step counterpart.

The activations are those of the one forward pass, but a later loss is back-propagated through the weights that
earlier steps have left, as in both of the authors' implementations (`through: updated`). `through: original`
takes all gradients at the weights of the forward pass. The authors' Torch code also damps exits whose loss is
more than twice the final one's; their later PyTorch code has that commented out, and so it is left out here.
Under `fast` numerics convolutions and linear layers are back-propagated through the half-precision copies of
their weights made in the forward pass, so the two readings then differ in batch normalisation alone.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from guidebp.methods.contract import Method, Step, compute_pathway_norms
from guidebp.methods.exits import compute_depth_weights, compute_exit_losses
from guidebp.models.contract import Chain
from guidebp.optimisers import OptimiserFactory
from guidebp.requirements import Requirement


@dataclass(frozen=True)
class Options:
    """The weights that a loss is back-propagated through."""

    through: Literal["updated", "original"] = "updated"

    def requirement(self) -> Requirement:
        """Exits of one trunk."""
        return Requirement(
            exits=1, reason="it updates a trunk from exit to exit, which pathways apart do not have"
        )


class Multiway(Method):
    """K backward passes and K steps per batch."""

    network: Chain
    options: Options

    def set_up(self) -> None:
        """Set the weights of the exits [K]."""
        self.backward_passes = self.network.pathways
        self.weights = compute_depth_weights(self.network.depths)

    def make_optimisers(self, make_optimiser: OptimiserFactory) -> dict[str, Optimizer]:
        """Per exit one for the segments below it and one for the exit itself."""
        optimisers: dict[str, Optimizer] = {}
        for k in range(self.network.pathways):
            trunk = make_optimiser(self.network.segments[: k + 1].parameters())
            divisor = sum(self.weights[k:-1]) if k < self.network.pathways - 1 else 1.0
            for group in trunk.param_groups:
                group["lr"] /= divisor
            optimisers[f"trunk {k + 1}"] = trunk
            optimisers[f"exit {k + 1}"] = make_optimiser(self._list_exit_parameters(k))
        return optimisers

    def _list_exit_parameters(self, k: int) -> list[nn.Parameter]:
        """Parameters of exit k and its head."""
        return [*self.network.exits[k].parameters(), *self.network.heads[k].parameters()]

    def step(self, images: Tensor, labels: Tensor) -> Step:
        """One forward pass, then a backward pass and a step per exit."""
        outputs = self.outputs(images)
        losses = compute_exit_losses(outputs, labels)
        gradients: list[tuple[Tensor, ...]] = []  # per exit
        if self.options.through == "updated":
            for k in range(self.pathways):
                gradients.append(self._compute_gradients(losses, outputs, k))
                # later backward passes read the updated weights: autograd must not refuse them as modified
                with torch.autograd._unsafe_preserve_version_counter(tuple(self.network.parameters())):
                    self._step_exit(k, gradients[k])
        else:
            gradients = [self._compute_gradients(losses, outputs, k) for k in range(self.pathways)]
            for k in range(self.pathways):
                self._step_exit(k, gradients[k])
        logit_gradients = torch.stack(
            [
                weight * exit_gradients[0]
                for weight, exit_gradients in zip(self.weights, gradients, strict=True)
            ]
        )
        return Step(torch.stack(losses).detach().sum(), compute_pathway_norms(logit_gradients))

    def _compute_gradients(self, losses: list[Tensor], outputs: list[Tensor], k: int) -> tuple[Tensor, ...]:
        """Gradients of loss k at its logits, at the segments below it and at its exit."""
        parameters = [*self.network.segments[: k + 1].parameters(), *self._list_exit_parameters(k)]
        last = k == self.pathways - 1
        # parameters of a segment that serve later exits alone have no gradient
        return torch.autograd.grad(
            losses[k], [outputs[k], *parameters], retain_graph=not last, allow_unused=True
        )

    def _step_exit(self, k: int, gradients: tuple[Tensor, ...]) -> None:
        """Step the segments below exit k and the exit with the gradients of `_compute_gradients`."""
        trunk = list(self.network.segments[: k + 1].parameters())
        torch._foreach_mul_([g for g in gradients[1 : len(trunk) + 1] if g is not None], self.weights[k])
        for parameter, gradient in zip([*trunk, *self._list_exit_parameters(k)], gradients[1:], strict=True):
            parameter.grad = gradient
        for name in (f"trunk {k + 1}", f"exit {k + 1}"):
            self.optimisers[name].step()
            self.optimisers[name].zero_grad(set_to_none=True)


METHOD = Multiway
