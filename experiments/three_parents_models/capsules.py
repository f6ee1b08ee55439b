"""A capsule network for CIFAR-10 with routing by agreement (Sabour et al., 2017).

Vose et al. (2019) name a network of four convolutions and ten capsules of dimension 16, trained by
an implementation "that sets q to 12": read as 1/2 with its bar lost in print, this is the CIFAR-10
example of Keras, whose layout, q = 1/2, margin loss, batch size and optimizer are taken here.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CLASSES = 10
DIMENSION = 16


def squash(s: Tensor, q: float) -> Tensor:
    """Shrink vectors ``(..., dimension)`` to lengths below 1 (the paper, eq. 1; Sabour: q = 1)."""
    square = (s * s).sum(-1, keepdim=True)
    # |s|²/(q + |s|²)·s/|s|, written so that its gradient at s = 0 is finite
    return s * torch.sqrt(square + 1e-9) / (q + square)


def route(votes: Tensor, q: float, routings: int) -> Tensor:
    """Let capsules of one layer agree on those of the next (Sabour et al., procedure 1).

    Args:
        votes: What each lower capsule predicts for each higher one,
            ``(examples, lower, higher, dimension)``.
        q: See `squash`.
        routings: Iterations, from 1 up; with 1 all coupling coefficients are equal.

    Returns:
        The higher capsules, ``(examples, higher, dimension)``.
    """
    logits = votes.new_zeros(votes.shape[:3])
    capsules = squash(_weighted(votes, logits), q)
    for _ in range(routings - 1):
        logits = logits + torch.einsum("blhd,bhd->blh", votes, capsules)
        capsules = squash(_weighted(votes, logits), q)
    return capsules


def _weighted(votes: Tensor, logits: Tensor) -> Tensor:
    """Return the inputs of the higher capsules; each lower one shares itself out among them."""
    return torch.einsum("blh,blhd->bhd", logits.softmax(2), votes)


class CapsuleNetwork(nn.Module):
    """Four convolutions; each pixel of the last one's map is a lower capsule.

    All lower capsules share one transformation matrix, as in the example named above.

    Args:
        width: Channels of the first two convolutions, 64 there; the others have twice as many.
        q: See `squash`.
        routings: See `route`.
    """

    def __init__(self, *, width: int, q: float, routings: int) -> None:
        super().__init__()
        self.q = q
        self.routings = routings
        self.convolutions = nn.Sequential(
            nn.Conv2d(3, width, 3),
            nn.ReLU(),
            nn.Conv2d(width, width, 3),
            nn.ReLU(),
            nn.AvgPool2d(2),
            nn.Conv2d(width, 2 * width, 3),
            nn.ReLU(),
            nn.Conv2d(2 * width, 2 * width, 3),
            nn.ReLU(),
        )
        self.votes = nn.Linear(2 * width, CLASSES * DIMENSION, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``(examples, 3, 32, 32)`` to lengths of capsules ``(examples, 10)``."""
        lower = self.convolutions(images).flatten(2).transpose(1, 2)
        votes = self.votes(lower).unflatten(2, (CLASSES, DIMENSION))
        return torch.linalg.vector_norm(route(votes, self.q, self.routings), dim=2)


def margin_loss(lengths: Tensor, labels: Tensor) -> Tensor:
    """Return the mean margin loss (Sabour et al., eq. 4, with 0.9, 0.1 and λ = 0.5).

    Args:
        lengths: Lengths of the capsules, ``(examples, classes)``.
        labels: Classes, ``(examples,)``.
    """
    present = F.one_hot(labels, lengths.shape[1])
    too_short = F.relu(0.9 - lengths).square()
    too_long = F.relu(lengths - 0.1).square()
    return (present * too_short + 0.5 * (1 - present) * too_long).sum(1).mean()
