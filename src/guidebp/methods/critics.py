"""A trunk cut into groups, and the critic networks that read the output of each group but the last."""

import itertools

import torch
from torch import Tensor, nn

from guidebp.models.contract import Chain


def cut_trunk(network: Chain, critic_count: int) -> list[nn.Sequential]:
    """The trunk's units in n + 1 groups for n critics, of sizes as equal as possible.

    Of U units, group i (from 0) begins with unit floor(i U / (n + 1)). On the VGG-like network with three
    critics these are its four stages, as the published sizes of its sub-models say. Where the papers cut for
    one and five critics is unknown.
    """
    units = network.units()
    boundaries = [len(units) * i // (critic_count + 1) for i in range(critic_count + 2)]
    return [nn.Sequential(*units[start:end]) for start, end in itertools.pairwise(boundaries)]


def build_critics(
    network: Chain, groups: list[nn.Sequential], depth: int, channels: int
) -> list[nn.Sequential]:
    """A critic after each group but the last: `depth` times 3x3 convolution and ReLU, then one linear layer.

    Lee and Lee (docs/methods/local-critic.md): one convolution to 128 channels, the flattened map.
    """
    training, critics = network.training, []
    parameter = next(network.parameters())
    state: Tensor = torch.zeros(1, *network.shape, device=parameter.device, dtype=parameter.dtype)
    network.eval()  # the forward pass finds the sizes of the maps; it must not move running statistics
    with torch.no_grad():
        for group in groups[:-1]:
            state = group(state)
            inputs, height, width = state.shape[1:]
            layers: list[nn.Module] = []
            for layer in range(depth):
                layers.append(nn.Conv2d(inputs if layer == 0 else channels, channels, 3, padding=1))
                layers.append(nn.ReLU(inplace=True))
            layers += [nn.Flatten(), nn.Linear(channels * height * width, network.classes)]
            critics.append(nn.Sequential(*layers))
    network.train(training)
    return critics


def name_critic_pathways(critic_count: int) -> list[str]:
    """Names of the pathways: the critics, then the network's own output."""
    return [*(f"critic {i + 1}" for i in range(critic_count)), "main"]
