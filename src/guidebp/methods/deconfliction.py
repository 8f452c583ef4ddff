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

Inner products are taken with the original gradients and the projected gradients are summed. `over` says of
which vector: all parameters (`network`), only those that exits share (`trunk`; the rest follow their plain
gradients), or each parameter tensor by itself (`tensor`). With `equilibrium` the gradients come through
gradient equilibrium, with `distillation` from the losses of exit-ensemble distillation.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from guidebp.methods.contract import MakeOptimiser, Method, Step, pathway_norms
from guidebp.methods.exits import distances, equilibrium_outputs, exit_losses
from guidebp.methods.gradients import PathwayGradients, full_precision
from guidebp.methods.rules import fixed_order, project, random_order, upgrad
from guidebp.models.contract import Chain


@dataclass(frozen=True)
class Options:
    """The rule, the vector it looks at, and what it is combined with."""

    rule: Literal["symmetric", "deeper-first", "earlier-first", "adjacent", "upgrad"] = "symmetric"
    over: Literal["network", "trunk", "tensor"] = "network"
    equilibrium: bool = False
    distillation: Literal["none", "mse", "kl"] = "none"

    def needs(self) -> dict[str, tuple[int, str]]:
        """Exits of one trunk."""
        return {"trunk": (1, "pathways that share no parameters have gradients that cannot conflict")}


class Deconfliction(Method):
    """One backward pass per exit, one direction from their gradients, one step."""

    network: Chain
    order: Tensor
    compares = True

    def setup(self, options: Options) -> None:
        """The order of the projections; a random one comes from a stream of the method's own."""
        self.passes = count = self.network.pathways
        self.generator = torch.Generator().manual_seed(int(torch.randint(2**62, ())))
        if options.rule not in ("symmetric", "upgrad"):
            self.register_buffer("order", fixed_order(options.rule, count), persistent=False)

    def make_optimisers(self, make_optimiser: MakeOptimiser) -> dict[str, torch.optim.Optimizer]:
        """One over everything."""
        parameters = list(self.parameters())
        self.gradients = PathwayGradients(self.stages(), parameters, self.options.over)
        return {"main": make_optimiser(parameters)}

    def outputs(self, images: Tensor) -> list[Tensor]:
        """K logits [N, classes]."""
        if self.options.equilibrium:
            return equilibrium_outputs(self.network, images, "coarsest")
        return super().outputs(images)

    def losses(self, outputs: list[Tensor], labels: Tensor) -> list[Tensor]:
        """Each exit's own loss."""
        losses = exit_losses(outputs, labels)
        if self.options.distillation == "none":
            return losses
        pulled = distances(outputs, self.options.distillation, temperature=3.0)
        return [loss + distance for loss, distance in zip(losses, pulled, strict=True)]

    def weights(self, products: Tensor) -> Tensor:
        """Weights [G, K] of the exits' gradients, from their inner products [G, K, K]."""
        if self.options.rule == "upgrad":
            return upgrad(products)
        if self.options.rule == "symmetric":
            # drawn on the CPU, the same for every device; not blocking, so the device is not waited for
            order = random_order(self.pathways, self.generator)
            return project(products, order.to(products.device, non_blocking=True))
        return project(products, self.order)

    def step(self, images: Tensor, labels: Tensor) -> Step:
        """One step along the deconflicted direction."""
        optimiser = self.optimisers["main"]
        optimiser.zero_grad(set_to_none=True)  # before the backward passes: that memory is needed
        outputs = self.outputs(images)
        losses = self.losses(outputs, labels)
        at_logits = self.gradients.take(losses, outputs)
        with full_precision(images.device):
            self.gradients.combine(self.weights(self.gradients.products))
            shared = self.gradients.shared
        optimiser.step()
        return Step(torch.stack(losses).detach().sum(), pathway_norms(at_logits), shared)

    def get_extra_state(self) -> Tensor:
        """The place in the stream of random orders."""
        return self.generator.get_state()

    def set_extra_state(self, state: Tensor) -> None:
        """Go on from that place."""
        self.generator.set_state(state)


METHOD = Deconfliction
