"""Gradient deconfliction for networks with several exits: no exit's update may work against a protected one's.

Wang and Li, "Gradient deconfliction-based training for multi-exit architectures" (ICIP 2020): the gradient of
one classifier is projected onto the normal plane of another's where the two conflict (negative inner product).
Which exit has priority is not known to us (docs/methods/deconfliction.md), so the readings are options,
`symmetric` being PCGrad (Yu et al. 2020):

=============  =========================================================================================
symmetric      every exit gives way to every other one, in an order drawn anew for each exit and step
deeper-first   an exit gives way to the deeper ones, the deepest met last
earlier-first  an exit gives way to the earlier ones, the first met last
adjacent       an exit gives way to its two neighbours
upgrad         every exit goes to the nearest direction that conflicts with none (Quinton and Rey 2024)
=============  =========================================================================================

Inner products are taken with the original gradients and the projected gradients are summed. `over` says which
parameters form a vector: all (`network`), those that exits share (`trunk`; the rest follow their plain gradients),
or each parameter tensor by itself (`tensor`). With `equilibrium` the gradients come through
gradient equilibrium, with `distillation` from the losses of exit-ensemble distillation.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from guidebp.methods.contract import Method, Step, compute_pathway_norms
from guidebp.methods.exits import (
    compute_ensemble_distances,
    compute_equilibrium_outputs,
    compute_exit_losses,
)
from guidebp.methods.gradients import PathwayGradients, force_full_precision
from guidebp.methods.rules import (
    build_fixed_order,
    compute_projection_weights,
    compute_upgrad_weights,
    draw_random_order,
)
from guidebp.models.contract import Chain
from guidebp.optimisers import OptimiserFactory
from guidebp.requirements import Requirement


@dataclass(frozen=True)
class Options:
    """The rule, the vector it looks at, and what it is combined with."""

    rule: Literal["symmetric", "deeper-first", "earlier-first", "adjacent", "upgrad"] = "symmetric"
    over: Literal["network", "trunk", "tensor"] = "network"
    equilibrium: bool = False
    distillation: Literal["none", "mse", "kl"] = "none"

    def requirement(self) -> Requirement:
        """Exits of one trunk."""
        return Requirement(
            exits=1, reason="pathways that share no parameters have gradients that cannot conflict"
        )


class Deconfliction(Method):
    """One backward pass per exit, one direction from their gradients, one step."""

    network: Chain
    options: Options
    order: Tensor
    reports_products = True

    def set_up(self) -> None:
        """Fix the order of the projections; a random one comes from a stream of the method's own."""
        self.backward_passes = pathways = self.network.pathways
        self.generator = torch.Generator().manual_seed(int(torch.randint(2**62, ())))
        if self.options.rule not in ("symmetric", "upgrad"):
            self.register_buffer("order", build_fixed_order(self.options.rule, pathways), persistent=False)

    def make_optimisers(self, make_optimiser: OptimiserFactory) -> dict[str, torch.optim.Optimizer]:
        """One over everything."""
        parameters = list(self.parameters())
        self.gradients = PathwayGradients(self.stages(), parameters, self.options.over)
        return {"main": make_optimiser(parameters)}

    def outputs(self, images: Tensor) -> list[Tensor]:
        """K logits [N, classes]."""
        if self.options.equilibrium:
            return compute_equilibrium_outputs(self.network, images, "coarsest")
        return super().outputs(images)

    def _compute_losses(self, outputs: list[Tensor], labels: Tensor) -> list[Tensor]:
        """Each exit's own loss, K scalars."""
        losses = compute_exit_losses(outputs, labels)
        if self.options.distillation == "none":
            return losses
        distances = compute_ensemble_distances(outputs, self.options.distillation, temperature=3.0)
        return [loss + distance for loss, distance in zip(losses, distances, strict=True)]

    def _compute_weights(self, products: Tensor) -> Tensor:
        """Weights [G, K] of the exits' gradients, from their inner products [G, K, K]."""
        if self.options.rule == "upgrad":
            return compute_upgrad_weights(products)
        if self.options.rule == "symmetric":
            # drawn on the CPU, the same for every device; not blocking, so the device is not waited for
            order = draw_random_order(self.pathways, self.generator)
            return compute_projection_weights(products, order.to(products.device, non_blocking=True))
        return compute_projection_weights(products, self.order)

    def step(self, images: Tensor, labels: Tensor) -> Step:
        """One step along the deconflicted direction."""
        optimiser = self.optimisers["main"]
        optimiser.zero_grad(set_to_none=True)  # before the backward passes: that memory is needed
        outputs = self.outputs(images)
        losses = self._compute_losses(outputs, labels)
        logit_gradients = self.gradients.fill(losses, outputs)
        with force_full_precision(images.device):
            self.gradients.combine(self._compute_weights(self.gradients.products))
            shared_products = self.gradients.shared_products
        optimiser.step()
        return Step(
            torch.stack(losses).detach().sum(), compute_pathway_norms(logit_gradients), shared_products
        )

    def get_extra_state(self) -> Tensor:
        """The state of the generator of random orders."""
        return self.generator.get_state()

    def set_extra_state(self, state: Tensor) -> None:
        """Restore the generator."""
        self.generator.set_state(state)


METHOD = Deconfliction
