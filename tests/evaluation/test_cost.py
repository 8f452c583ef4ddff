"""Parameters and operations of networks small enough to count by hand, and torch's own counter as oracle."""

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from guidebp.evaluation.cost import compute_network_cost
from guidebp.models.layers import GlobalAverage, make_conv_bn_relu
from guidebp.runs.result import PathwayCounts
from tests.support.tiny import ARCHITECTURES, METHODS, SHAPE, fits, method, network


def single(*modules: nn.Module, shape: tuple[int, ...] = (4, 6, 8)) -> tuple[int, int]:
    """Parameters and operations of one pathway."""
    network_cost = compute_network_cost([modules], torch.zeros(1, *shape))
    parameters, operations = network_cost.parameters, network_cost.operations
    assert parameters.alone == parameters.together and operations.alone == operations.together
    return parameters.alone[0], operations.alone[0]


# module: its parameters, and its operations on a map of 4 channels, 6 x 8
BY_HAND: dict[str, tuple[nn.Module, int, int]] = {
    "convolution": (nn.Conv2d(4, 5, 3, padding=1, bias=False), 5 * 4 * 9, 5 * 4 * 9 * 6 * 8),
    "without padding": (nn.Conv2d(4, 5, 3, bias=False), 5 * 4 * 9, 5 * 4 * 9 * 4 * 6),
    "bias of a convolution is free": (nn.Conv2d(4, 5, 1), 5 * 4 + 5, 5 * 4 * 6 * 8),
    "stride": (nn.Conv2d(4, 5, 3, 2, 1, bias=False), 5 * 4 * 9, 5 * 4 * 9 * 3 * 4),
    "oblong": (nn.Conv2d(4, 2, (1, 3), (2, 1), bias=False), 2 * 4 * 3, 2 * 4 * 3 * 3 * 6),
    "groups": (nn.Conv2d(4, 8, 3, padding=1, groups=2, bias=False), 8 * 2 * 9, 8 * 2 * 9 * 6 * 8),
    "depthwise": (nn.Conv2d(4, 4, 3, padding=1, groups=4, bias=False), 4 * 9, 4 * 9 * 6 * 8),
    "relu": (nn.ReLU(), 0, 4 * 6 * 8),
    "relu6 in place": (nn.ReLU6(inplace=True), 0, 4 * 6 * 8),
    "max pooling": (nn.MaxPool2d(2), 0, 4 * 3 * 4 * 4),
    "overlapping max pooling": (nn.MaxPool2d(3, 1, 1), 0, 4 * 6 * 8 * 9),
    "average pooling": (nn.AvgPool2d((3, 2)), 0, 4 * 2 * 4 * 6),
    "global average": (GlobalAverage(), 0, 4 * 6 * 8),
    "batch normalisation is free": (nn.BatchNorm2d(4), 8, 0),
    "flatten": (nn.Flatten(), 0, 0),
    "nothing": (nn.Sequential(), 0, 0),
    "in a row": (make_conv_bn_relu(4, 5, 3, 2), 5 * 4 * 9 + 10, 5 * 4 * 9 * 3 * 4 + 5 * 3 * 4),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_layer_by_hand(name: str) -> None:
    module, parameters, operations = BY_HAND[name]
    assert single(module) == (parameters, operations)


@pytest.mark.parametrize("bias", [True, False])
def test_linear_by_hand(bias: bool) -> None:
    """The bias counts, as in the public counter for MSDNet."""
    size = 4 * 6 * 8 * 10 + (10 if bias else 0)
    assert single(nn.Flatten(), nn.Linear(4 * 6 * 8, 10, bias=bias)) == (size, size)


def test_shared_modules_count_once_together_and_every_time_alone() -> None:
    trunk, deeper = nn.Conv2d(1, 2, 1, bias=False), nn.Conv2d(2, 2, 1, bias=False)  # 2 and 4 weights
    heads = [nn.Sequential(GlobalAverage(), nn.Linear(2, 3)) for _ in range(2)]  # 6 + 3
    network_cost = compute_network_cost(
        [[trunk, heads[0]], [trunk, deeper, heads[1]]], torch.zeros(1, 1, 5, 5)
    )
    assert network_cost.parameters == PathwayCounts(alone=[2 + 9, 2 + 4 + 9], together=[2 + 9, 2 + 4 + 9 + 9])
    # convolutions at 25 places, the mean reads 2 x 25 values
    assert network_cost.operations == PathwayCounts(
        alone=[50 + 50 + 9, 50 + 100 + 50 + 9], together=[50 + 50 + 9, 50 + 100 + 2 * (50 + 9)]
    )


def test_parameters_that_modules_share_count_once() -> None:
    """A tied weight is one parameter, but used twice."""
    first, second = nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)
    second.weight = first.weight
    network_cost = compute_network_cost([[first, second]], torch.zeros(1, 3))
    assert network_cost.parameters.alone == [9] and network_cost.operations.alone == [18]


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("training", [True, False])
def test_network_is_left_as_it_was(name: str, training: bool) -> None:
    net = network(name)
    net.train(training)
    net.exit_heads[0].train(not training)  # flags need not be all the same
    flags = [module.training for module in net.modules()]
    state = {key: tensor.clone() for key, tensor in net.state_dict().items()}
    compute_network_cost(net.stages(), torch.randn(1, *SHAPE))
    assert [module.training for module in net.modules()] == flags
    for key, tensor in net.state_dict().items():
        assert torch.equal(tensor, state[key]), key
    assert not any(module._forward_hooks for module in net.modules())
    assert all(p.grad is None and p.requires_grad for p in net.parameters())


def test_failure_leaves_no_hooks_and_flags_behind() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    with pytest.raises(RuntimeError):
        compute_network_cost([[net]], torch.zeros(1, 3, 4, 4))
    assert all(module.training and not module._forward_hooks for module in net.modules())


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_together_grows_to_the_whole_network(name: str) -> None:
    net = network(name)
    image = torch.randn(1, *SHAPE)
    network_cost = compute_network_cost(net.stages(), image)
    for counts in (network_cost.parameters, network_cost.operations):
        alone, together = counts.alone, counts.together
        assert len(alone) == len(together) == net.pathways and alone[0] == together[0] > 0
        assert together == sorted(set(together))  # every pathway adds something
        assert all(a <= t for a, t in zip(alone, together, strict=True))
    assert network_cost.parameters.together[-1] == sum(p.numel() for p in net.parameters())
    assert compute_network_cost(net.stages(), image) == network_cost
    assert (
        compute_network_cost(net.stages(), torch.zeros(1, *SHAPE)) == network_cost
    )  # the image's content does not matter


def counted_by_torch(net: nn.Module, image: Tensor) -> int:
    """Multiply-adds of convolutions and linear layers; torch counts two operations for each."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        net(image)
    total = int(counter.get_total_flops())
    assert total % 2 == 0
    return total // 2


def others(net: nn.Module, image: Tensor) -> int:
    """Elements of ReLUs, windows of poolings, biases of linear layers: from sizes of tensors that pass."""
    total = 0

    def watch(module: nn.Module, given: tuple[Tensor, ...], found: Tensor) -> None:
        nonlocal total
        if isinstance(module, nn.ReLU | nn.ReLU6):
            total += given[0].numel()
        elif isinstance(module, nn.MaxPool2d | nn.AvgPool2d):
            probe = torch.nn.functional.unfold(
                torch.zeros(1, 1, *given[0].shape[2:]), module.kernel_size, 1, module.padding, module.stride
            )
            total += probe.numel() * found.shape[1]
        elif isinstance(module, GlobalAverage):
            total += given[0].numel()
        elif isinstance(module, nn.Linear) and module.bias is not None:
            total += found.numel()

    hooks = [module.register_forward_hook(watch) for module in net.modules()]
    net(image)
    for hook in hooks:
        hook.remove()
    return total


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_operations_are_torchs_multiply_adds_and_the_counted_rest(name: str) -> None:
    net, image = network(name), torch.randn(1, *SHAPE)
    net.eval()
    operations = compute_network_cost(net.stages(), image).operations
    assert operations.together[-1] == counted_by_torch(net, image) + others(net, image)
    for stages, alone in zip(net.stages(), operations.alone, strict=True):
        pathway = nn.Sequential(*stages)
        assert alone == counted_by_torch(pathway, image) + others(pathway, image)


SUB_MODELS = [name for name in METHODS if METHODS[name].family == "sub-models"]


@pytest.mark.parametrize("name", SUB_MODELS)
def test_sub_models_cost_alone_what_they_cost_inside(name: str) -> None:
    """Copies share nothing, so together they cost the sum; alone they are what local critics train."""
    critics = name.replace("sub-models", "local-critic")
    assert fits(name, "vgg") and fits(critics, "vgg")
    image = torch.zeros(1, *SHAPE)
    apart, inside = (
        compute_network_cost(method(method_name, "vgg").stages(), image) for method_name in (name, critics)
    )
    for counts, inside_counts in (
        (apart.parameters, inside.parameters),
        (apart.operations, inside.operations),
    ):
        assert counts.alone == inside_counts.alone
        assert counts.together[-1] == sum(counts.alone) > inside_counts.together[-1]
