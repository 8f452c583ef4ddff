"""Local critic training: groups of layers, each trained by a small network that estimates the final loss from it.

Lee and Lee (arXiv 1805.01128); Lee, Hsieh and Lee (arXiv 2102.01963); docs/methods/local-critic.md. The trunk
is cut into groups; no gradient crosses from one to another. Group i is trained by the cross-entropy of its
critic's logits, the last group by that of the network's own. Critic i learns to have the same loss: it
minimises `mean |l_i - l_{i+1}|` of the per-sample losses, where the next one's loss (of the last critic: the
main loss) is a constant. All gradients are taken before any step, as in the authors' code. Critics have Adam at
a constant rate and no weight decay; the groups follow the recipe. Groups 1 to i with critic i are sub-model i.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from guidebp.methods.contract import Method, Step, compute_pathway_norms
from guidebp.methods.critics import build_critics, cut_trunk, name_critic_pathways
from guidebp.models.contract import Chain
from guidebp.optimisers import Adam, OptimiserFactory
from guidebp.requirements import Requirement


@dataclass(frozen=True)
class Options:
    """The number of critics, their convolutions, channels and learning rate, and the number of steps per update."""

    critics: int = 3
    depth: int = 1
    channels: int = 128
    lr: float = 1e-4
    every: int = 1

    def __post_init__(self) -> None:
        """Raise ValueError for values without a meaning."""
        if self.critics < 0 or min(self.depth, self.channels, self.every) < 1 or not self.lr > 0:
            raise ValueError("critics must not be negative; depth, channels, every and lr must be positive")

    def requirement(self) -> Requirement:
        """Enough units in a row."""
        groups = self.critics + 1
        return Requirement(
            units=groups,
            reason=f"{self.critics} critics need a network of one exit that can be cut into {groups} groups",
        )


class LocalCritic(Method):
    """Every group follows its own critic; critics follow one another."""

    network: Chain
    options: Options

    def set_up(self) -> None:
        """Cut the trunk; the critics' weights come from the method's own stream."""
        options = self.options
        self.groups = cut_trunk(self.network, options.critics)
        self.critics = nn.ModuleList(
            build_critics(self.network, self.groups, options.depth, options.channels)
        )
        self.pathway_names = name_critic_pathways(options.critics)
        # the second pass, through the critics alone, happens in every `every`-th step
        self.backward_passes = 1 + 1 / options.every if options.critics else 1
        self.steps = 0

    def make_optimisers(self, make_optimiser: OptimiserFactory) -> dict[str, torch.optim.Optimizer]:
        """The recipe's for the groups, Adam for the critics."""
        optimisers = {"main": make_optimiser(self.network.parameters())}
        if len(self.critics):
            optimisers["critics"] = Adam(self.critics.parameters(), lr=self.options.lr)
        return optimisers

    @property
    def constant_rates(self) -> frozenset[str]:  # type: ignore[override]
        """The critics' optimiser, where there are critics."""
        return frozenset({"critics"} & self.optimisers.keys())

    def outputs(self, images: Tensor) -> list[Tensor]:
        """K logits [N, classes]: the critics' and the network's own; a group's output is detached for the next."""
        outputs = []
        state = images
        for group, critic in zip(self.groups, self.critics, strict=False):
            state = group(state)
            outputs.append(critic(state))
            state = state.detach()
        outputs.append(self.network.heads[0](self.network.exits[0](self.groups[-1](state))))
        return outputs

    def stages(self) -> list[list[nn.Module]]:
        """For pathway i: groups up to i, its critic; for the last one the whole network."""
        sub_models = [[*self.groups[: i + 1], critic] for i, critic in enumerate(self.critics)]
        return [*sub_models, [*self.groups, self.network.exits[0], self.network.heads[0]]]

    def step(self, images: Tensor, labels: Tensor) -> Step:
        """One step of the groups and, every `every` steps, of the critics."""
        logits = self.logits(images)
        losses = torch.stack([F.cross_entropy(z, labels, reduction="none") for z in logits])  # [K, N]
        loss = losses.mean(dim=1).sum()
        update_critics = len(self.critics) > 0 and self.steps % self.options.every == 0
        self.steps += 1
        for optimiser in self.optimisers.values():
            optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(
            loss, inputs=[logits, *self.network.parameters()], retain_graph=update_critics
        )
        assert logits.grad is not None
        gradient_norms = compute_pathway_norms(logits.grad)  # before the critics' backward pass adds to it
        if update_critics:
            critic_loss = (losses[:-1] - losses[1:].detach()).abs().mean(dim=1).sum()
            torch.autograd.backward(critic_loss, inputs=list(self.critics.parameters()))
            self.optimisers["critics"].step()
        self.optimisers["main"].step()
        return Step(loss.detach(), gradient_norms)

    def get_extra_state(self) -> Tensor:
        """The number of steps so far."""
        return torch.tensor(self.steps)

    def set_extra_state(self, state: Tensor) -> None:
        """Restore the number of steps."""
        self.steps = int(state)


METHOD = LocalCritic
