"""A trunk cut into groups, and the critic networks that read what a group hands to the next."""

import itertools

import torch
from torch import Tensor, nn

from guidebp.models.contract import Chain


def cut(network: Chain, critics: int) -> list[nn.Sequential]:
    """The trunk's parts in n + 1 groups for n critics, as even as whole parts allow.

    Of U parts, group i (from 0) begins with part floor(i U / (n + 1)). On the VGG-like network with three
    critics these are its four stages, as the published sizes of its sub-models say; where the papers cut for
    one and five critics is not known to us.
    """
    parts = network.parts()
    ends = [len(parts) * i // (critics + 1) for i in range(critics + 2)]
    return [nn.Sequential(*parts[a:b]) for a, b in itertools.pairwise(ends)]


def make_critics(
    network: Chain, groups: list[nn.Sequential], depth: int, channels: int
) -> list[nn.Sequential]:
    """A critic after each group but the last: `depth` times 3x3 convolution and ReLU, then one linear layer.

    Lee and Lee (docs/methods/local-critic.md): one convolution to 128 channels, the flattened map.
    """
    training, found = network.training, []
    like = next(network.parameters())
    state: Tensor = torch.zeros(1, *network.shape, device=like.device, dtype=like.dtype)
    network.eval()  # the sizes are wanted, not the statistics of nothing
    with torch.no_grad():
        for group in groups[:-1]:
            state = group(state)
            inputs, height, width = state.shape[1:]
            layers: list[nn.Module] = []
            for layer in range(depth):
                layers.append(nn.Conv2d(inputs if layer == 0 else channels, channels, 3, padding=1))
                layers.append(nn.ReLU(inplace=True))
            layers += [nn.Flatten(), nn.Linear(channels * height * width, network.classes)]
            found.append(nn.Sequential(*layers))
    network.train(training)
    return found


def names(critics: int) -> list[str]:
    """The pathways' names."""
    return [*(f"critic {i + 1}" for i in range(critics)), "main"]
