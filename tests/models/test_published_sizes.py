"""The numbers of parameters and operations that the papers print, from the entries of config/architectures.yaml."""

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from guidebp.evaluation.cost import compute_network_cost
from guidebp.methods import build_method
from guidebp.models import build_network
from guidebp.models.contract import Chain, Network
from guidebp.models.layers import GlobalAverage
from guidebp.models.mobilenet_v2 import InvertedResidual
from guidebp.models.resnet import PreActivationBlock
from guidebp.runs.result import NetworkCost
from tests.models.test_models import CATALOGUE, SPECS
from tests.support.tiny import METHODS, maker

CIFAR = (3, 32, 32)


def build_catalogue_network(name: str, shape: tuple[int, int, int], classes: int, **options: Any) -> Network:
    """The network of a catalogue entry."""
    spec = SPECS[name][0]
    return build_network(replace(spec, options=spec.options | options), shape, classes)


def count_costs(stages: list[list[nn.Module]], shape: tuple[int, int, int]) -> NetworkCost:
    return compute_network_cost(stages, torch.zeros(1, *shape))


def count_parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def format_millions(values: list[int], digits: int) -> list[str]:
    return [f"{value / 1e6:.{digits}f}" for value in values]


def test_mwresnet_56_5_has_the_papers_exits() -> None:
    """Each exit with the trunk below it and its own head only; the README of the authors cuts digits off."""
    net = build_catalogue_network("mwresnet-56-5", CIFAR, 10)
    alone = count_costs(net.stages(), CIFAR).parameters.alone
    assert format_millions(alone, 3) == ["0.033", "0.094", "0.187", "0.486", "0.856"]
    assert [f"{value / 1e6:.4f}"[:4] for value in alone] == ["0.03", "0.09", "0.18", "0.48", "0.85"]
    assert isinstance(net, Chain) and net.depths == [15, 25, 35, 45, 55]


@pytest.mark.parametrize(
    ("exits", "without"), [("mwresnet-56-5", "resnet-56"), ("mwresnet-56-2", "resnet-56")]
)
def test_last_exit_of_a_multiway_network_is_the_plain_one(exits: str, without: str) -> None:
    several, plain = (
        count_costs(build_catalogue_network(name, CIFAR, 10).stages(), CIFAR) for name in (exits, without)
    )
    for with_exits, without_exits in (
        (several.parameters, plain.parameters),
        (several.operations, plain.operations),
    ):
        assert with_exits.alone[-1] == without_exits.alone[0]
        assert with_exits.together[-1] > without_exits.together[0]


@pytest.mark.parametrize(
    ("name", "expected"), [("resnet-110", "1.73"), ("resnet-56", "0.86"), ("resnet-44", "0.66")]
)
def test_plain_resnets(name: str, expected: str) -> None:
    net = build_catalogue_network(name, CIFAR, 10)
    assert net.pathways == 1 and format_millions([count_parameters(net)], 2) == [expected]


def test_msdnet_has_the_printed_sizes() -> None:
    net = build_catalogue_network("msdnet-7", CIFAR, 100)
    network_cost = count_costs(net.stages(), CIFAR)
    parameters = ["0.90", "1.84", "2.80", "3.76", "4.92", "6.10", "7.36"]
    assert format_millions(network_cost.parameters.together, 2) == parameters
    operations = ["56.43", "101.00", "155.31", "198.10", "249.53", "298.05", "340.64"]
    assert format_millions(network_cost.operations.together, 2) == operations
    assert network_cost.parameters.together[-1] == count_parameters(net) == 7_362_348


def test_vgg_with_three_critics_has_the_printed_sub_models() -> None:
    net = build_network(SPECS["vgg"][0], CIFAR, 10)
    method = build_method(METHODS["local-critic"], net, maker())
    network_cost = compute_network_cost(method.stages(), torch.zeros(1, *CIFAR))
    alone = network_cost.parameters.alone
    assert format_millions(alone, 2) == ["1.42", "0.88", "2.26", "7.87"]
    assert alone[-1] == count_parameters(net)
    # the paper's FLOPs column is twice the parameters; convolutions use each one at every place of the map
    operations = network_cost.operations.alone
    assert all(used > 20 * parameters for used, parameters in zip(operations, alone, strict=True))
    assert operations == sorted(operations) and alone[0] > alone[1]  # it cannot even order the sub-models


def test_vgg_cut_by_three_critics_is_its_four_stages() -> None:
    method = build_method(METHODS["local-critic"], build_network(SPECS["vgg"][0], CIFAR, 10), maker())
    groups = method.stages()[-1][:4]
    assert [len(list(group.children())) for group in groups] == [2, 3, 3, 3]
    state, sides = torch.zeros(1, *CIFAR), []
    method.eval()
    for group in groups:
        state = group(state)
        sides.append(tuple(state.shape[1:]))
    assert sides == [(64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4)]


def test_lenet_has_the_well_known_size() -> None:
    shape = (1, 28, 28)
    assert count_costs(build_catalogue_network("lenet", shape, 10).stages(), shape).parameters.alone == [
        61_706
    ]


def test_every_published_architecture_is_in_the_catalogue() -> None:
    needed = {"mwresnet-56-5", "mwresnet-56-2", "mwresnet-44-2", "mwresnet-26-2-wide", "resnet-110"}
    assert needed | {"msdnet-7", "vgg", "lenet", "mobilenet-v2"} <= set(CATALOGUE)


def test_mobilenet_is_torchvisions() -> None:
    """Same number of parameters, and the same logits from the same weights."""
    from torchvision.models import mobilenet_v2

    torchvision_network = mobilenet_v2(num_classes=1000)
    spec = SPECS["mobilenet-v2"][0]
    large = replace(spec, options=spec.options | {"small_images": False})
    network = build_network(large, (3, 64, 64), 1000)
    assert count_parameters(network) == count_parameters(torchvision_network) == 3_504_872
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for (
            module
        ) in torchvision_network.modules():  # fresh statistics, scales and shifts would hide a mix-up
            if isinstance(module, nn.BatchNorm2d):
                for statistic in (module.running_var, module.weight):
                    assert statistic is not None
                    statistic.uniform_(0.5, 2, generator=generator)
                for statistic in (module.running_mean, module.bias):
                    assert statistic is not None
                    statistic.uniform_(-0.5, 0.5, generator=generator)
        for tensor, torchvision_tensor in zip(
            network.state_dict().values(), torchvision_network.state_dict().values(), strict=True
        ):
            tensor.copy_(torchvision_tensor)
        network.eval(), torchvision_network.eval()
        images = torch.randn(2, 3, 64, 64, generator=generator)
        torch.testing.assert_close(network(images)[0], torchvision_network(images), rtol=1e-5, atol=1e-5)


def test_mobilenet_for_small_images_halves_three_times() -> None:
    """Same weights, two halvings fewer."""
    net = build_catalogue_network("mobilenet-v2", CIFAR, 10)
    large = build_catalogue_network("mobilenet-v2", CIFAR, 10, small_images=False)
    assert count_parameters(net) == count_parameters(large)
    sides = []
    for network in (net, large):
        assert isinstance(network, Chain)
        network.eval()
        sides.append(network.segments[0](torch.zeros(1, *CIFAR)).shape[2:])
    assert sides == [(4, 4), (1, 1)]


def compute_block_by_hand(block: PreActivationBlock, maps: Tensor, first: bool, stride: int) -> Tensor:
    """Pre-activation: BN, ReLU, convolution, BN, ReLU, convolution, in evaluation mode; by the formulas."""

    def normalise(values: Tensor, norm: nn.BatchNorm2d) -> Tensor:
        assert norm.running_mean is not None and norm.running_var is not None
        mean, variance, scale, shift = (
            tensor.view(1, -1, 1, 1)
            for tensor in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
        )
        return (values - mean) / (variance + 1e-5).sqrt() * scale + shift

    states = block.state_dict()
    weights = [tensor for tensor in states.values() if tensor.ndim == 4]
    norms = [module for module in block.modules() if isinstance(module, nn.BatchNorm2d)]
    activated = normalise(maps, norms[0]).clamp(min=0)
    inner = F.conv2d(activated, weights[0], stride=stride, padding=1)
    convolved = F.conv2d(normalise(inner, norms[1]).clamp(min=0), weights[1], padding=1)
    if not first:
        return convolved + maps
    if len(weights) == 3:
        return convolved + F.conv2d(activated, weights[2], stride=stride)
    return convolved + activated


@pytest.mark.parametrize(
    ("inputs", "outputs", "stride", "first", "convolutions"),
    [(4, 4, 1, True, 2), (4, 8, 2, True, 3), (4, 4, 1, False, 2)],
)
def test_pre_activation_block(inputs: int, outputs: int, stride: int, first: bool, convolutions: int) -> None:
    torch.manual_seed(4)
    block = PreActivationBlock(inputs, outputs, stride, first).double()
    assert sum(isinstance(module, nn.Conv2d) for module in block.modules()) == convolutions
    maps = torch.randn(3, inputs, 8, 6, dtype=torch.float64)
    with torch.no_grad():
        for module in block.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 2)
                module.bias.uniform_(-1, 1)
        block(maps.clone())  # moves the running statistics
        block.eval()
        expected = compute_block_by_hand(block, maps, first, stride)
        torch.testing.assert_close(block(maps.clone()), expected, rtol=1e-12, atol=1e-12)
    assert expected.shape == (3, outputs, 8 // stride, 6 // stride)


def test_first_block_of_every_stage_takes_its_shortcut_from_the_activated_input() -> None:
    net = build_catalogue_network("resnet-44", CIFAR, 10)
    blocks = [module for module in net.modules() if isinstance(module, PreActivationBlock)]
    assert [block.first for block in blocks] == [k % 7 == 0 for k in range(21)]
    assert [isinstance(block.widen, nn.Conv2d) for block in blocks] == [k in (7, 14) for k in range(21)]


def test_mobilenets_exits_leave_after_the_stages_of_their_titles() -> None:
    net = build_catalogue_network("mobilenet-v2-exits", CIFAR, 10)
    assert isinstance(net, Chain)
    blocks = [
        sum(isinstance(module, InvertedResidual) for module in segment.modules()) for segment in net.segments
    ]
    assert blocks == [1 + 2 + 3, 4 + 3, 3 + 1]
    assert [isinstance(list(leave.modules())[-1], GlobalAverage) for leave in net.exits] == [True] * 3
