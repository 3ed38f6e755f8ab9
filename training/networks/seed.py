"""The small residual network of 6n + 2 layers for 64-pixel images (He et al. 2016, section 4.2, there for CIFAR)."""

from __future__ import annotations

from torch import Tensor, nn

WIDTHS = (16, 32, 64)
"""Channels of the three stages; every stage halves the sides and doubles the channels."""


class _Block(nn.Module):
    """Two 3 x 3 convolutions and the way past them; the way past is projected where the shape changes."""

    def __init__(self, before: int, width: int) -> None:
        super().__init__()
        stride = 1 if before == width else 2
        self.conv1 = nn.Conv2d(before, width, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        nn.init.zeros_(self.bn2.weight)  # a block starts as the identity, as in torchvision's zero_init_residual
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1:
            self.shortcut = nn.Sequential(nn.Conv2d(before, width, 1, stride=stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, images: Tensor) -> Tensor:
        """(N, before, h, w) to (N, width, h / stride, w / stride)."""
        inner = nn.functional.relu(self.bn1(self.conv1(images)))
        return nn.functional.relu(self.bn2(self.conv2(inner)) + self.shortcut(images))


def stem() -> nn.Sequential:
    """(N, 3, S, S) to (N, 16, S, S)."""
    return nn.Sequential(nn.Conv2d(3, WIDTHS[0], 3, padding=1, bias=False), nn.BatchNorm2d(WIDTHS[0]), nn.ReLU())


def stages(depth: int) -> nn.Sequential:
    """Three stages of `depth` blocks: (N, 16, S, S) to (N, 64, S / 4, S / 4). Layers in all: 6 * depth + 2."""
    befores = (WIDTHS[0], *WIDTHS[:-1])
    made = [
        nn.Sequential(_Block(before, width), *(_Block(width, width) for _ in range(depth - 1)))
        for before, width in zip(befores, WIDTHS, strict=True)
    ]
    for module in nn.Sequential(*made).modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(*made)
