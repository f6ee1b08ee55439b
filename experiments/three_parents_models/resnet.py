"""ResNet for CIFAR-10 (He et al., 2016, section 4.2): 6·blocks + 2 layers; ResNet-20 has 3."""

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

CLASSES = 10


class Block(nn.Module):
    """Two 3×3 convolutions beside a shortcut without parameters (option A).

    Where the block has more channels than its input, the shortcut takes every second pixel and
    adds channels of zeros.
    """

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.added = channels - inputs
        self.stride = 2 if self.added else 1
        self.first = nn.Conv2d(inputs, channels, 3, self.stride, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(examples, inputs, side, side)`` to ``(examples, channels, side/stride, ...)``."""
        y = F.relu(self.first_norm(self.first(x)))
        y = self.second_norm(self.second(y))
        half = self.added // 2
        kept = x[:, :, :: self.stride, :: self.stride]
        return F.relu(y + F.pad(kept, (0, 0, 0, 0, half, self.added - half)))


class ResNet(nn.Module):
    """Three stages of blocks on standardised images.

    Args:
        blocks: Blocks of a stage; 3 make ResNet-20.
        width: Channels of the first stage, doubled in each further one; 16 in the paper.
    """

    def __init__(self, *, blocks: int = 3, width: int = 16) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.stem_norm = nn.BatchNorm2d(width)
        channels = [width, *(width * 2**stage for stage in range(3) for _ in range(blocks))]
        pairs = pairwise(channels)
        self.blocks = nn.Sequential(*(Block(a, b) for a, b in pairs))
        self.head = nn.Linear(4 * width, CLASSES)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)  # He et al., 2015, as the paper has it

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``(examples, 3, 32, 32)`` to logits ``(examples, 10)``."""
        x = F.relu(self.stem_norm(self.stem(images)))
        return self.head(self.blocks(x).mean((2, 3)))
