"""One epoch of training, and the outputs of a model over a whole data set."""

import math
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, Subset

from evotune.checkpoints.state import RAW
from evotune.errors import TaskError
from evotune.once import warn_once
from evotune.schedules.torch import ScheduledOptimizer
from evotune.training.averaging import Average
from evotune.training.data import Pair, Part, Source, batches, count, each, steps_in
from evotune.training.losses import Loss
from evotune.training.sparsity import Sparsifier, multiply, sparsity_of
from evotune.trial import Failed

#: Steps between two checks of the loss, each of which makes the host wait for the device.
STEPS_PER_LOOK = 100
#: Examples by which batch normalisation is measured when a structure has changed.
EXAMPLES = 500


@dataclass(frozen=True, slots=True)
class Setup:
    """Everything that the training of one trial needs.

    Attributes:
        model: The model, on the device.
        loss: ``(output, target) -> loss``.
        optimizer: Has ``step`` and ``zero_grad``.
        scheduler: Learning rate scheduler, or None.
        data: Training data.
        batch_size: Examples per batch.
        epochs: Number of epochs to train.
        device: Device of the model.
        shuffle: Generator that draws the order of the examples.
        sparsifiers: What removes weights, one for each network of the model; none if none goes.
        average: The average of the model's weights over its steps; None where none is kept.
        schedule: What sets the optimizer's scheduled genes before each epoch; None without any.
    """

    model: nn.Module
    loss: Loss
    optimizer: Any
    scheduler: Any
    data: Source
    batch_size: int
    epochs: int
    device: torch.device
    shuffle: torch.Generator
    sparsifiers: tuple[Sparsifier, ...] = ()
    average: Average | None = None
    schedule: ScheduledOptimizer | None = None

    @property
    def measured(self) -> nn.Module:
        """The model that is measured: the average, without the weights that are removed, if any."""
        if self.average is None:
            return self.model
        for sparsifier in self.sparsifiers:
            multiply(self.average.like(self.model, sparsifier.weights), sparsifier.masks)
        return self.average.network

    @property
    def state(self) -> dict[str, Any]:
        """The objects whose state is kept for trials that inherit from this one.

        The model is the one that is measured; if that is an average, what is trained is ``raw``.
        """
        state = {"model": self.measured, "optimizer": self.optimizer, "scheduler": self.scheduler}
        if self.average is not None:
            state[RAW] = self.model
        return {name: part for name, part in state.items() if part is not None}

    def sparsity(self) -> dict[str, float]:
        """Return the share of zeros in the weights that may go, by name; {} where none may."""
        weights = [weight for sparsifier in self.sparsifiers for weight in sparsifier.weights]
        return {"sparsity": sparsity_of(weights)} if weights else {}

    def examples(self) -> Part | None:
        """Return up to `EXAMPLES` inputs drawn from the training data; None where it is a stream.

        The order in which the trial trains, and torch's generator, stay as they are.
        """
        draw = torch.Generator().manual_seed(self.shuffle.initial_seed())
        data = self.data
        with torch.random.fork_rng(devices=[]):
            if isinstance(data, DataLoader):
                # Not its own batches: those come from a generator whose next draw is training's.
                if isinstance(data.dataset, IterableDataset) or not isinstance(data.dataset, Sized):
                    return None
                chosen = torch.randperm(len(data.dataset), generator=draw)[:EXAMPLES].tolist()
                some = Subset(data.dataset, chosen)
                data = DataLoader(some, EXAMPLES, collate_fn=data.collate_fn, generator=draw)
            elif isinstance(data, IterableDataset):
                return None
            return next(batches(data, EXAMPLES, self.device, draw))[0]


def train_epoch(setup: Setup, epoch: int) -> float:
    """Train one epoch and return the mean training loss per example.

    Args:
        setup: The model and what it is trained with.
        epoch: Number of the epoch, from 0.

    Raises:
        Failed: The loss became NaN or infinite.
    """
    set_scheduled(setup, epoch)
    examples = batches(setup.data, setup.batch_size, setup.device, setup.shuffle)
    loss = _mean_loss(setup, examples, epoch)
    if not math.isfinite(loss):
        raise Failed(f"the training loss became {loss} in epoch {epoch + 1} of {setup.epochs}")
    if isinstance(setup.scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
        setup.scheduler.step(loss)
    elif setup.scheduler is not None:
        setup.scheduler.step()
    return loss


def set_scheduled(setup: Setup, epoch: int) -> None:
    """Set the optimizer's scheduled genes for an epoch of the line of weights, from 0."""
    if setup.schedule is None:
        return
    setup.schedule.apply(epoch)
    length, names = len(setup.schedule.schedule), ", ".join(setup.schedule.schedule.names)
    if epoch >= length:
        warn_once(
            ("schedule", names),
            "epoch %d lies beyond the schedule of %s, which is %d epochs long: its last values "
            "stay; write epochs= in the task, the epochs of the whole line of weights",
            *(epoch + 1, names, length),
        )


def update_masks(setup: Setup, epoch: int, step: int) -> None:
    """Make the masks of a step of an epoch, both from 0; of a stream, only those of the epoch."""
    if not setup.sparsifiers:
        return
    steps = steps_in(setup.data, setup.batch_size)
    for sparsifier in setup.sparsifiers:
        sparsifier.update(epoch + min(step / steps, 1.0) if steps else epoch)


def _mean_loss(setup: Setup, examples: Iterable[Pair], epoch: int) -> float:
    model, loss, optimizer = setup.model, setup.loss, setup.optimizer
    model.train()
    total, examples_seen = 0.0, 0
    pending: list[Tensor] = []
    shares = [] if setup.average is None else setup.average.shares(epoch)
    for step, (inputs, targets) in enumerate(examples):
        update_masks(setup, epoch, step)
        optimizer.zero_grad(set_to_none=True)
        value = loss(_output(model, inputs), targets)
        value.backward()  # type: ignore[no-untyped-call]
        for sparsifier in setup.sparsifiers:
            sparsifier.before_step([weight.grad for weight in sparsifier.weights])
        optimizer.step()
        for sparsifier in setup.sparsifiers:
            sparsifier.after_step()
        if setup.average is not None:
            setup.average.take(model, shares[min(step, len(shares) - 1)])
        pending.append(value.detach() * count(targets))
        examples_seen += count(targets)
        if len(pending) == STEPS_PER_LOOK:
            total += float(torch.stack(pending).sum())
            pending.clear()
            if not math.isfinite(total):
                return total
    if pending:
        total += float(torch.stack(pending).sum())
    return total / examples_seen


def _output(model: nn.Module, inputs: Part) -> Any:
    try:
        return model(inputs)
    except ValueError as error:
        _explain_single_value(error, model)
        raise


def _explain_single_value(error: ValueError, model: nn.Module) -> None:
    """Add to torch's error on a batch of one which layer it is from, and what to write."""
    inside = {frame.f_locals.get("self") for frame, _ in traceback.walk_tb(error.__traceback__)}
    for name, module in model.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module in inside:
            error.add_note(
                f"(batch normalisation, here the layer {name!r}, needs two values of each channel "
                "to train on, and this batch of one example has one: write batch_size=2 or more, "
                "drop_last=True in a DataLoader of your own, or norm='none' in the block)"
            )


def predict(
    model: nn.Module, examples: Iterable[Pair], change: Callable[[Tensor], Tensor] | None = None
) -> Pair:
    """Return the outputs and the targets of all examples, each ``(examples, ...)``, or by name.

    Args:
        model: The model; it is left in evaluation mode.
        examples: Pairs of inputs and targets.
        change: Function applied to the inputs first, or None.
    """
    model.eval()
    outputs, targets = [], []
    with torch.no_grad():
        for inputs, target in examples:
            outputs.append(model(inputs if change is None else change(inputs)))
            targets.append(target)
        return each(_joined, *outputs), each(_joined, *targets)


def _joined(*batches: Tensor) -> Tensor:
    return torch.cat(batches)


def noise(deviation: float) -> Callable[[Tensor], Tensor]:
    """Return a function that adds Gaussian noise of a standard deviation to inputs.

    The function raises TaskError if the inputs are integers, to which no noise can be added.
    """

    def add_noise(inputs: Part) -> Part:
        if isinstance(inputs, Mapping) and any(p.is_floating_point() for p in inputs.values()):
            return {n: add_noise(p) if p.is_floating_point() else p for n, p in inputs.items()}
        if isinstance(inputs, Mapping) or not inputs.is_floating_point():
            inputs = next(iter(inputs.values())) if isinstance(inputs, Mapping) else inputs
            raise TaskError(
                f"robustness={deviation:g} adds noise to the inputs, but they are {inputs.dtype}; "
                "give float inputs, or a function that changes them"
            )
        return inputs + deviation * torch.randn_like(inputs)

    return add_noise


@contextmanager
def timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    """Add the seconds that the block takes to ``seconds[name]``."""
    began = perf_counter()
    try:
        yield
    finally:
        seconds[name] += perf_counter() - began
