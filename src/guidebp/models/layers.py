"""Layers that several architectures are made of."""

from torch import Tensor, nn


def conv_bn_relu(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    """Convolution that keeps the map's size, batch normalisation, ReLU; the norm makes a bias needless."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False),
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
