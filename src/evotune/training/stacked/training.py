"""The training of members as one model: shared memory, epochs, outputs."""

import math
from collections.abc import Callable, Collection, Iterator, Sequence

import torch
from torch import Tensor

from evotune.training.data import InMemory, epoch_order
from evotune.training.stacked.averages import StackedAverages
from evotune.training.stacked.groups import Member, numbers
from evotune.training.stacked.masks import StackedMasks
from evotune.training.stacked.model import StackedModel
from evotune.training.stacked.optimizer import StackedOptimizer
from evotune.training.stacked.windows import buffer_stacks, parameter_stack, trained_parameters
from evotune.training.trainer import STEPS_PER_LOOK

#: Evaluation batches, divided as they hold all members, are not made smaller than this.
_SMALLEST_PIECE = 64


class Stack:
    """The parameters of several members; each member's own model is a view on them.

    Args:
        members: Of one group, freshly built.
        untrained: Names of the parameters that the optimizers leave alone.
    """

    def __init__(self, members: Sequence[Member], untrained: Collection[str]) -> None:
        self.members = members
        models = [member.setup.model for member in members]
        optimizers = [member.setup.optimizer for member in members]
        names = {id(parameter): name for name, parameter in models[0].named_parameters()}
        order = [
            [place for place, p in enumerate(group["params"]) if names[id(p)] not in untrained]
            for group in optimizers[0].param_groups
        ]
        trained = [
            names[id(group["params"][place])]
            for group, places in zip(optimizers[0].param_groups, order, strict=True)
            for place in places
        ]
        self._parameters, matrix = trained_parameters(models, trained)
        self._trained = list(self._parameters.values())
        others = [name for name in names.values() if name not in self._parameters]
        self._parameters |= {name: parameter_stack(models, name) for name in others}
        self._buffers = buffer_stacks(models)
        self._optimizer = StackedOptimizer(optimizers, order, matrix)
        self._masks = StackedMasks(members, self._parameters, trained)
        self._averages = None
        if all(member.setup.average is not None for member in members):
            self._averages = StackedAverages(members, trained, matrix, self._buffers)
        self._model: StackedModel | None = None

    @property
    def model(self) -> StackedModel:
        """The model of all members; the numbers of its modules are those of the first use."""
        if self._model is None:
            models = [member.setup.model for member in self.members]
            columns = numbers(models)
            self._model = StackedModel(models[0], self._parameters, self._buffers, columns)
        return self._model

    @property
    def measured(self) -> StackedModel:
        """The model whose outputs are measured: that of the members' averages, if they have any."""
        return self.model if self._averages is None else self._averages.model

    def load_optimizers(self) -> None:
        """Load the state that the members' optimizers were given meanwhile."""
        self._optimizer.read()
        self._optimizer.load()

    def hand_back(self) -> None:
        """Let the members' optimizers share the stacked state."""
        self._optimizer.hand_back()

    def train_epoch(self, data: InMemory) -> list[float]:
        """Train one epoch and return each member's mean training loss per example.

        The results are those of `evotune.training.trainer.train_epoch`, except that a loss that is
        not finite raises no error.
        """
        self._optimizer.read()
        setup = self.members[0].setup
        generators = [member.generator for member in self.members]
        totals, count = [0.0] * len(self.members), 0
        pending: list[Tensor] = []
        if self._averages is not None:
            self._averages.begin_epoch()
        for step, (inputs, targets) in enumerate(self._batches(data)):
            self._masks.update(step)
            losses = self.model.losses(setup.loss, inputs, targets, generators)
            gradients = torch.autograd.grad(losses.sum(), self._trained)
            self._optimizer.step(self._masks.before_step(gradients))
            self._masks.after_step()
            if self._averages is not None:
                self._averages.take(step)
            pending.append(losses.detach() * targets.shape[1])
            count += targets.shape[1]
            if len(pending) == STEPS_PER_LOOK:
                totals = _added(totals, pending)
                if not any(map(math.isfinite, totals)):
                    break
        return [total / count for total in _added(totals, pending)]

    def _batches(self, data: InMemory) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield batches ``(members, batch, ...)``, with an own order of examples per member."""
        size = self.members[0].setup.batch_size
        orders = torch.stack(
            [epoch_order(len(data), size, member.setup.shuffle) for member in self.members]
        )
        for chosen in torch.split(orders.to(data.targets.device), size, dim=1):
            rows = chosen.flatten()  # what `index_select` takes, five times as fast as `[chosen]`
            inputs, targets = (p.index_select(0, rows) for p in (data.inputs, data.targets))
            shape = chosen.shape
            yield inputs.view(*shape, *inputs.shape[1:]), targets.view(*shape, *targets.shape[1:])

    def outputs(
        self, data: InMemory, size: int, change: Callable[[Tensor], Tensor] | None = None
    ) -> Tensor:
        """Return the outputs that are measured, ``(members, examples, ...)``.

        Args:
            data: The examples.
            size: Number of examples to which ``change`` is applied at a time.
            change: Function applied to the inputs first, or None.
        """
        piece = max(min(size, _SMALLEST_PIECE), size // len(self.members))
        found, model = [], self.measured
        for inputs in torch.split(data.inputs, size):
            changed = inputs if change is None else change(inputs)
            found += [model.outputs(part) for part in torch.split(changed, piece)]
        return torch.cat(found, dim=1)


def _added(totals: Sequence[float], pending: list[Tensor]) -> list[float]:
    """Add losses ``(members,)`` to the totals; the list is emptied."""
    if not pending:
        return list(totals)
    sums = torch.stack(pending).sum(0).tolist()
    pending.clear()
    return [total + more for total, more in zip(totals, sums, strict=True)]
