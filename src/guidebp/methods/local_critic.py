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

from guidebp.methods import critics
from guidebp.methods.contract import MakeOptimiser, Method, Step, pathway_norms
from guidebp.models.contract import Chain
from guidebp.optimisers import Adam


@dataclass(frozen=True)
class Options:
    """How many critics, their convolutions and channels, their rate, and every how many steps they learn."""

    critics: int = 3
    depth: int = 1
    channels: int = 128
    lr: float = 1e-4
    every: int = 1

    def __post_init__(self) -> None:
        """Refuse what has no meaning."""
        if self.critics < 0 or min(self.depth, self.channels, self.every) < 1 or not self.lr > 0:
            raise ValueError("critics must not be negative; depth, channels, every and lr must be positive")

    def needs(self) -> dict[str, tuple[int, str]]:
        """Enough parts in a row."""
        return {
            "parts": (
                self.critics + 1,
                f"{self.critics} critics need a network of one exit that can be cut into {self.critics + 1} groups",
            )
        }


class LocalCritic(Method):
    """Every group follows its own critic; critics follow one another."""

    network: Chain

    def setup(self, options: Options) -> None:
        """Cut the trunk; the critics' weights come from the method's own stream."""
        self.groups = critics.cut(self.network, options.critics)
        self.critics = nn.ModuleList(
            critics.make_critics(self.network, self.groups, options.depth, options.channels)
        )
        self.names = critics.names(options.critics)
        # the second one, through the critics alone, in every so many steps
        self.passes = 1 + 1 / options.every if options.critics else 1
        self.steps = 0

    def make_optimisers(self, make_optimiser: MakeOptimiser) -> dict[str, torch.optim.Optimizer]:
        """The recipe's for the groups, Adam for the critics."""
        found = {"main": make_optimiser(self.network.parameters())}
        if len(self.critics):
            found["critics"] = Adam(self.critics.parameters(), lr=self.options.lr)
        return found

    @property
    def constant(self) -> frozenset[str]:  # type: ignore[override]
        """The critics' rate stays."""
        return frozenset({"critics"} & self.optimisers.keys())

    def outputs(self, images: Tensor) -> list[Tensor]:
        """K logits [N, classes]: the critics' and the network's own; what a group hands on is detached."""
        found = []
        state = images
        for group, critic in zip(self.groups, self.critics, strict=False):
            state = group(state)
            found.append(critic(state))
            state = state.detach()
        found.append(self.network.heads[0](self.network.exits[0](self.groups[-1](state))))
        return found

    def stages(self) -> list[list[nn.Module]]:
        """For pathway i: groups up to i, its critic; for the last one the whole network."""
        alone = [[*self.groups[: i + 1], critic] for i, critic in enumerate(self.critics)]
        return [*alone, [*self.groups, self.network.exits[0], self.network.heads[0]]]

    def step(self, images: Tensor, labels: Tensor) -> Step:
        """One step of the groups and, every `every` steps, of the critics."""
        logits = self.logits(images)
        own = torch.stack([F.cross_entropy(z, labels, reduction="none") for z in logits])  # [K, N]
        loss = own.mean(dim=1).sum()
        learn = len(self.critics) > 0 and self.steps % self.options.every == 0
        self.steps += 1
        for optimiser in self.optimisers.values():
            optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss, inputs=[logits, *self.network.parameters()], retain_graph=learn)
        assert logits.grad is not None
        gradient = pathway_norms(logits.grad)  # now: the critics' backward pass adds to it
        if learn:
            gap = (own[:-1] - own[1:].detach()).abs().mean(dim=1).sum()
            torch.autograd.backward(gap, inputs=list(self.critics.parameters()))
            self.optimisers["critics"].step()
        self.optimisers["main"].step()
        return Step(loss.detach(), gradient)

    def get_extra_state(self) -> Tensor:
        """Steps taken."""
        return torch.tensor(self.steps)

    def set_extra_state(self, state: Tensor) -> None:
        """Go on from there."""
        self.steps = int(state)


METHOD = LocalCritic
