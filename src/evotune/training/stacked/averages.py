"""The averages of all members' weights, for steps that are taken together."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from evotune.training.averaging import Average
from evotune.training.stacked.groups import Member, numbers
from evotune.training.stacked.model import StackedModel
from evotune.training.stacked.windows import buffer_stacks, parameter_stack, trained_parameters


class StackedAverages:
    """What averages the weights of the members of a stack.

    Args:
        members: Of one group, each with an average.
        trained: Names of the parameters that are trained, in the order of the matrix.
        matrix: Their numbers, ``(members, numbers)``.
        buffers: The stacks of buffers ``(members, ...)`` by name.
    """

    def __init__(
        self,
        members: Sequence[Member],
        trained: Sequence[str],
        matrix: Tensor,
        buffers: Mapping[str, Tensor],
    ) -> None:
        self._members = members
        self._newest = [matrix, *buffers.values()]
        copies = [_average(member).network for member in members]
        self._parameters, own = trained_parameters(copies, trained)
        others = [n for n, _ in copies[0].named_parameters() if n not in self._parameters]
        self._parameters |= {name: parameter_stack(copies, name) for name in others}
        self._buffers = buffer_stacks(copies)
        self._averages = [own, *self._buffers.values()]
        self._shares = torch.empty(0)
        self._model: StackedModel | None = None

    @property
    def model(self) -> StackedModel:
        """The model of the averages, without the weights that are removed."""
        copies = [member.setup.measured for member in self._members]
        if self._model is None:
            self._model = StackedModel(copies[0], self._parameters, self._buffers, numbers(copies))
        return self._model

    def begin_epoch(self) -> None:
        """Compute the shares of the newest weights for the steps of the members' epochs."""
        shares = [_average(member).shares(member.epoch) for member in self._members]
        like = self._averages[0]
        self._shares = torch.tensor(shares, dtype=torch.float64).to(like.device, like.dtype)

    def take(self, step: int) -> None:
        """Give the newest weights their share of the averages, after a step of the epoch."""
        share = self._shares[:, step]
        with torch.no_grad():
            for average, newest in zip(self._averages, self._newest, strict=True):
                if average.is_floating_point():
                    average.lerp_(newest, share.view(-1, *[1] * (newest.dim() - 1)))
                else:
                    average.copy_(newest)


def _average(member: Member) -> Average:
    assert member.setup.average is not None  # what the groups have made sure of
    return member.setup.average
