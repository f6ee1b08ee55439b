"""Networks on sequences: a classifier, a regressor or a forecaster."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from evotune.architectures.build import Built, build_chain
from evotune.architectures.families.common import Shape, one_of
from evotune.architectures.parts import LastStep, MeanOfSteps, Positions
from evotune.architectures.templates.base import Template, limited_by_size, sizes, whole
from evotune.checks import flag
from evotune.errors import TaskError
from evotune.space import Space

log = logging.getLogger("evotune")

Kind = Literal["classifier", "regressor", "forecaster"]
Reading = Literal["last", "mean"]

#: Width of an embedding of tokens unless the user gives one.
EMBEDDING = 64
#: Blocks that read in one direction unless they are told to read in both.
RECURRENT = ("rnn", "lstm", "gru")
READINGS = {"last": LastStep, "mean": MeanOfSteps}


@dataclass(frozen=True)
class SequenceModel(Template):
    """See `sequence_model`."""

    name: ClassVar[str] = "sequence_model"
    choices: ClassVar[tuple[str, ...]] = ("bidirectional",)
    naming: ClassVar[tuple[str, ...]] = ("time", "head")

    outputs: int
    kind: Kind = "classifier"
    vocabulary: int | None = None
    width: int | None = None
    horizon: int = 1
    bidirectional: bool = False
    reading: Reading | None = None
    time: str = "time"
    head: str = "head"

    @property
    def chains(self) -> dict[str, int]:
        return {self.time: 2, self.head: 1}

    @property
    def vocabularies(self) -> dict[str, int]:
        return {} if self.vocabulary is None else {"": self.vocabulary}

    def example(self, count: int = 1) -> tuple[Tensor, ...]:
        if self.vocabulary is None:
            return super().example(count)
        return (torch.zeros(count, *self.shape, dtype=torch.long),)

    def parts(self, params: Mapping[str, Any]) -> dict[str, nn.Module]:
        both = flag("bidirectional", params.get("bidirectional", self.bidirectional), TaskError)
        layers = [_directed(record, both) for record in self.layers(params, self.time)]
        stream, shape = embedded(self.shape, self.vocabulary, self.width)
        time = build_chain(layers, shape, self.time)
        head = build_chain(params.get(self.head, ()), time.shape[1:], self.head)
        return {
            **stream,
            "time": time.module,
            "read": reader(layers, self.reading),
            "head": head.module,
            **self._output(head),
        }

    def check(self, space: Space) -> None:
        super().check(space)
        blocks = space.chains[self.time].blocks if self.time in space.chains else {}
        if "attention" in blocks and self.width is None:
            _say_that_order_is_not_seen(self.time)

    def _output(self, head: Built) -> dict[str, nn.Module]:
        if self.kind != "forecaster":
            return {"output": nn.Linear(head.shape[0], self.outputs)}
        return {
            "output": nn.Linear(head.shape[0], self.horizon * self.outputs),
            "steps": nn.Unflatten(1, (self.horizon, self.outputs)),
        }


@cache
def _say_that_order_is_not_seen(chain: str) -> None:
    """Log it once a process: a template is checked at every proposal."""
    log.warning(
        "sequence_model: attention in chain %r cannot tell the order of steps, except behind "
        "recurrent layers and convolutions; write sequence_model(..., width=64) for a stream of 64 "
        "channels with positions",
        chain,
    )


def _directed(record: Mapping[str, Any], both: bool) -> dict[str, Any]:
    """Return a record in which a recurrent layer reads in both directions, if it does not say."""
    reads = both and record.get("block") in RECURRENT
    return ({"bidirectional": True} if reads else {}) | dict(record)


def reader(layers: Iterable[Mapping[str, Any]], reading: Reading | None = None) -> nn.Module:
    """Return what makes a vector of a sequence.

    Args:
        layers: The layers before it. If one reads in both directions, the last step has seen only
            itself from one of them, so that the mean of all steps is read.
        reading: Another choice.
    """
    both = any(record.get("bidirectional") for record in layers)
    return READINGS[reading or ("mean" if both else "last")]()


def embedded(
    shape: Shape, vocabulary: int | None, width: int | None
) -> tuple[dict[str, nn.Module], Shape]:
    """Return the parts before the first layer on a sequence, and the shape behind them.

    Args:
        shape: ``(length, channels)``, or ``(length,)`` of tokens.
        vocabulary: Number of tokens; None for sequences of numbers.
        width: Channels of the stream, with positions added; None for tokens embedded without
            positions, and numbers as they are.
    """
    parts: dict[str, nn.Module] = {}
    if vocabulary is not None:
        parts["embedding"] = nn.Embedding(vocabulary, width or EMBEDDING)
    elif width is not None:
        parts["embedding"] = nn.Linear(shape[1], width)
    if width is not None:
        parts["positions"] = Positions(width)
    channels = width or (EMBEDDING if vocabulary is not None else shape[-1])
    return parts, (shape[0], channels)


@limited_by_size
def sequence_model(  # noqa: PLR0913  (each option stands alone; users see them as keywords)
    shape: Shape,
    outputs: int,
    *,
    kind: Kind = "classifier",
    vocabulary: int | None = None,
    width: int | None = None,
    horizon: int = 1,
    bidirectional: bool = False,
    reading: Reading | None = None,
    parameters: int | None = None,
    multiply_adds: int | None = None,
    time: str = "time",
    head: str = "head",
) -> SequenceModel:
    """Return a function of params that builds a network on sequences.

    The layers of the chain ``time`` come first, on sequences; their last step, or the mean of all,
    is led through those of the chain ``head``, on vectors, if the space has one; a linear layer
    follows. A gene ``bidirectional`` replaces the option of that name.

    Args:
        shape: ``(length, channels)`` of one sequence, or ``(length,)`` for tokens.
        outputs: Classes of a classifier; numbers of a regressor, or of each step of a forecaster.
        kind: ``"classifier"`` and ``"regressor"`` return ``(batch, outputs)``, ``"forecaster"``
            ``(batch, horizon, outputs)``.
        vocabulary: Number of tokens, which are whole numbers from 0; None for numbers.
        width: Channels of the stream that the first layer reads, with positions added to it:
            attention needs it, as it cannot tell the order of steps, and it keeps that width. By
            default numbers are read as they are, and tokens embedded in 64 channels.
        horizon: Steps that a forecaster predicts at once.
        bidirectional: Recurrent layers read in both directions.
        reading: ``"last"`` or ``"mean"``; by default the mean if a layer reads in both directions,
            else the last step.
        parameters: Most parameters; larger structures are made smaller before they are tried.
        multiply_adds: Most multiplications with addition for one sequence.
        time: Name of the chain on sequences.
        head: Name of the chain on vectors.

    Raises:
        TaskError: A shape, number or name that makes no network.
    """
    one_of("sequence_model: kind", kind, ("classifier", "regressor", "forecaster"))
    if reading is not None:
        one_of("sequence_model: reading", reading, READINGS)
    form = "(length, channels)" if vocabulary is None else "(length,)"
    example = (24, 7) if vocabulary is None else (24,)
    return SequenceModel(
        sizes("sequence_model", shape, form, example),
        whole("outputs", outputs, 2 if kind == "classifier" else 1),
        kind,
        None if vocabulary is None else whole("vocabulary", vocabulary),
        None if width is None else whole("width", width),
        whole("horizon", horizon),
        flag("bidirectional", bidirectional, TaskError),
        reading,
        time,
        head,
        parameters=parameters,
        multiply_adds=multiply_adds,
    )
