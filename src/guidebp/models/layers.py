"""Layers and initial weights that several architectures share."""

from torch import Tensor, nn


def make_conv_bn_relu(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Convolution that keeps the map's size (or divides it by `stride`), batch normalisation, ReLU.

    Without a bias, which the normalisation would cancel.
    """
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class GlobalAverage(nn.Module):
    """Map [N, C, H, W] to the mean over the plane, [N, C].

    A plain mean: torch's adaptive pooling has no deterministic gradient on CUDA.
    """

    def forward(self, maps: Tensor) -> Tensor:
        """[N, C, H, W] to [N, C]."""
        return maps.mean(dim=(2, 3))


def draw_he_normal(network: nn.Module) -> None:
    """Draw convolutions from N(0, 2 / (k * k * outputs)), zero the biases of linear layers (He et al. 2015)."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)
