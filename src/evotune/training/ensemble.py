"""Several networks as one, whose predictions are averaged: ploidy (Vose et al., 2019, 6.3)."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from evotune.errors import TaskError
from evotune.training.losses import Loss


class Ensemble(nn.Module):
    """Networks that are trained separately and predict together.

    In training mode the output is that of every network, ``(networks, batch, ...)``; in evaluation
    mode it is their average, ``(batch, ...)``: for a classification loss the average of the
    probabilities, returned as logits, else of the outputs.

    Args:
        networks: Networks with outputs of the same shape.
        loss: The task's loss, which determines what the outputs mean.
    """

    def __init__(self, networks: Sequence[nn.Module], loss: str | Loss) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self._of_classes = loss == "cross_entropy" or isinstance(loss, nn.CrossEntropyLoss)
        self._of_log_probabilities = loss == "nll" or isinstance(loss, nn.NLLLoss)
        self._of_logits = loss == "bce_with_logits" or isinstance(loss, nn.BCEWithLogitsLoss)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return outputs ``(networks, batch, ...)`` in training, ``(batch, ...)`` in evaluation."""
        outputs = torch.stack([_one(network(inputs)) for network in self.networks])
        if self.training:
            return outputs
        if self._of_classes:
            # log of the mean probability: a logit of the ensemble
            outputs = outputs.log_softmax(dim=2)
        if self._of_classes or self._of_log_probabilities:
            return outputs.logsumexp(dim=0) - torch.tensor(float(len(outputs))).log()
        if self._of_logits:
            return outputs.sigmoid().mean(dim=0).logit(eps=1e-7)
        return outputs.mean(dim=0)


def _one(output: Any) -> Tensor:
    if isinstance(output, Mapping):
        raise TaskError(
            "a member with several networks averages one output of each, and this model gives "
            f"several: {', '.join(output)}; write networks=1"
        )
    return output  # type: ignore[no-any-return]


def loss_of_each(loss: Loss) -> Loss:
    """Return the mean over an ensemble's networks of each one's loss.

    The gradient is that of their sum, so that each network is updated as if trained alone.
    """

    def mean(outputs: Tensor, target: Tensor) -> Tensor:
        losses = torch.stack([loss(output, target) for output in outputs])
        total = losses.sum()
        return total - (total - losses.mean()).detach()

    return mean
