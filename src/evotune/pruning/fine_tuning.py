"""Training what is left, under the masks."""

import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from evotune.training.data import Source, batches
from evotune.training.losses import Loss

log = logging.getLogger("evotune")

#: Adam's learning rate at the start; much larger than for a dense network, which has more weights.
LEARNING_RATE = 1e-2
BATCH = 64


def fine_tune(
    model: nn.Module,
    source: Source,
    loss: Loss,
    epochs: int,
    seed: int,
    device: torch.device,
    tell: Callable[[str, int, int], None] = lambda part, done, of: None,
) -> None:
    """Train a masked network with Adam and a learning rate that falls to zero along a cosine.

    Args:
        model: The network; it is left in evaluation.
        source: The training data.
        loss: Mean loss of (output, targets).
        epochs: How many.
        seed: Of the order of the examples, and of what the network draws.
        device: Of the batches.
        tell: Is told after each epoch how far it is.
    """
    chance = torch.Generator().manual_seed(seed)
    weights = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(weights, LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        model.train()
        for epoch in range(1, epochs + 1):
            for inputs, targets in batches(source, BATCH, device, chance):
                optimizer.zero_grad()
                found: Any = loss(model(inputs), targets)
                found.backward()
                optimizer.step()
            schedule.step()
            log.info("fine-tuning: epoch %d of %d", epoch, epochs)
            tell("fine-tuning", epoch, epochs)
    model.eval()
