"""One optimizer for all members, each with its own hyperparameters."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from evotune.training.stacked.update_rules import RULES, Step, flags_of, numbers_of


class StackedOptimizer:
    """Trains all members' parameters, in one matrix, by the rule of their optimizers.

    The members' own optimizers take no steps: hyperparameters are read from them, so that any
    scheduler works, and the state is loaded from them and handed back to them.

    Args:
        optimizers: One per member, which differ only in numbers. Their parameters are views into
            the rows of ``matrix``.
        trained: Positions of the trained parameters in each param group, in the order of the
            columns of the matrix.
        matrix: All parameters, ``(members, numbers)``, changed in place.
    """

    def __init__(
        self,
        optimizers: Sequence[torch.optim.Optimizer],
        trained: Sequence[Sequence[int]],
        matrix: Tensor,
    ) -> None:
        self._optimizers = optimizers
        self._rule = RULES[type(optimizers[0])]
        self._flags = flags_of(optimizers[0])
        self._trained = trained
        self._matrix = matrix
        self._gradients = torch.empty_like(matrix)
        self._scratch = torch.empty_like(matrix)
        self._state: dict[str, Tensor] = {}
        self._steps = torch.zeros(len(optimizers), 1, dtype=torch.float64, device=matrix.device)
        self._columns = self._find_columns()
        self._steps_of_groups: list[Step] = []

    def _find_columns(self) -> list[slice]:
        columns, start = [], 0
        for index in range(len(self._trained)):
            stop = start + sum(parameter.numel() for parameter in self._parameters(0, index))
            columns.append(slice(start, stop))
            start = stop
        return columns

    def _parameters(self, member: int, group: int) -> list[Any]:
        parameters = self._optimizers[member].param_groups[group]["params"]
        return [parameters[place] for place in self._trained[group]]

    def read(self) -> None:
        """Read the current hyperparameters of the members' optimizers, once an epoch."""
        for step in self._steps_of_groups:
            # Without momentum there is no memory, from which one that is scheduled could rise.
            buffer, momentum = step.state.get("momentum_buffer"), step.values.get("momentum")
            if buffer is not None and momentum is not None and not momentum.all():
                buffer.masked_fill_(momentum == 0, 0.0)
        self._steps_of_groups = [self._step_of(index) for index in range(len(self._trained))]

    def _step_of(self, index: int) -> Step:
        numbers = [numbers_of(optimizer.param_groups[index]) for optimizer in self._optimizers]
        values = {
            name: torch.tensor([[own[name]] for own in numbers], dtype=torch.float64)
            for name in numbers[0]
        }
        any_of = frozenset(name for name, column in values.items() if column.any())
        for name in self._rule.memory(self._flags[index], any_of):
            if name not in self._state:
                self._state[name] = torch.zeros_like(self._matrix)
        columns = self._columns[index]
        return Step(
            parameters=self._matrix[:, columns],
            gradients=self._gradients[:, columns],
            scratch=self._scratch[:, columns],
            state={name: matrix[:, columns] for name, matrix in self._state.items()},
            steps=self._steps,
            values={name: column.to(self._matrix.device) for name, column in values.items()},
            flags=self._flags[index],
            any_of=any_of,
        )

    def step(self, gradients: Sequence[Tensor]) -> None:
        """Update the parameters.

        Args:
            gradients: Of each trained parameter, ``(members, ...)``, in the order of the matrix.
        """
        torch.cat([gradient.flatten(1) for gradient in gradients], dim=1, out=self._gradients)
        self._steps += 1
        for step in self._steps_of_groups:
            if step.parameters.shape[1]:
                self._rule.step(step)

    def load(self) -> None:
        """Start from the state that the members' optimizers hold; call `read` before."""
        steps = [0.0] * len(self._optimizers)
        for member, optimizer in enumerate(self._optimizers):
            for parameter, columns in self._places(member):
                own = optimizer.state.get(parameter, {})
                for name, matrix in self._state.items():
                    if own.get(name) is not None:
                        matrix[member, columns].copy_(own[name].reshape(-1))
                        steps[member] = float(own.get("step", 1))
        self._steps.copy_(torch.tensor(steps).unsqueeze(1))

    def hand_back(self) -> None:
        """Give the members' optimizers the state, as torch keeps it; it is shared, not copied."""
        for member, steps in enumerate(self._steps[:, 0].tolist()):
            optimizer = self._optimizers[member]
            names = {
                id(parameter): self._names_of(group, index)
                for index, group in enumerate(optimizer.param_groups)
                for parameter in group["params"]
            }
            for parameter, columns in self._places(member):
                if not names[id(parameter)] or not steps:
                    continue
                own = {
                    name: self._state[name][member, columns].view_as(parameter)
                    for name in names[id(parameter)]
                }
                if self._rule.counts:
                    own["step"] = torch.tensor(steps)
                optimizer.state[parameter] = {**optimizer.state.get(parameter, {}), **own}

    def _places(self, member: int) -> Iterator[tuple[Any, slice]]:
        """Yield a member's trained parameters, and their positions in its row."""
        start = 0
        for index in range(len(self._trained)):
            for parameter in self._parameters(member, index):
                stop = start + parameter.numel()
                yield parameter, slice(start, stop)
                start = stop

    def _names_of(self, group: Mapping[str, Any], index: int) -> Sequence[str]:
        any_of = frozenset(name for name, number in numbers_of(group).items() if number)
        return self._rule.memory(self._flags[index], any_of)
