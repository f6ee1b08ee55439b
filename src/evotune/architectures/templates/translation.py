"""Networks that read one sequence of tokens and write another."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from evotune.architectures.build import build_chain
from evotune.architectures.families.common import in_order
from evotune.architectures.parts import EncoderDecoder
from evotune.architectures.templates.base import Template, limited_by_size, sizes, whole
from evotune.architectures.templates.sequence import RECURRENT, embedded
from evotune.errors import TaskError
from evotune.space import Space
from evotune.space.chain import BLOCK


@dataclass(frozen=True)
class SequenceToSequence(Template):
    """See `sequence_to_sequence`."""

    name: ClassVar[str] = "sequence_to_sequence"
    naming: ClassVar[tuple[str, ...]] = ("encoder", "decoder")

    source_vocabulary: int
    target_vocabulary: int
    width: int = 64
    encoder: str = "encoder"
    decoder: str = "decoder"

    @property
    def chains(self) -> dict[str, int]:
        return {self.encoder: 2, self.decoder: 2}

    @property
    def vocabularies(self) -> dict[str, int]:
        return {"source": self.source_vocabulary, "target": self.target_vocabulary}

    def example(self, count: int = 1) -> tuple[Any, ...]:
        source, target = (torch.zeros(count, length, dtype=torch.long) for length in self.shape)
        return ({"source": source, "target": target},)

    def check(self, space: Space) -> None:
        super().check(space)
        if self.decoder in space.chains:
            for block in space.chains[self.decoder].blocks:
                self._check_forwards({BLOCK: block})

    def _check_forwards(self, record: Mapping[str, Any]) -> None:
        if record.get(BLOCK) not in RECURRENT or record.get("bidirectional"):
            raise TaskError(
                f"sequence_to_sequence: chain {self.decoder!r} writes token after token, so that "
                f"its layers read forwards only: {', '.join(RECURRENT)}, not bidirectional; got "
                f"{dict(record)!r}"
            )

    def parts(self, params: Mapping[str, Any]) -> dict[str, nn.Module]:
        layers = self.layers(params, self.decoder)
        for record in layers:
            self._check_forwards(record)
        reads, writes = self.shape
        source, shape = embedded((reads,), self.source_vocabulary, self.width)
        encoder = build_chain(self.layers(params, self.encoder), shape, self.encoder)
        inner = encoder.shape[1]
        decoder = build_chain(layers, (writes, self.width + inner), self.decoder)
        network = EncoderDecoder(
            in_order(**source),
            encoder.module,
            nn.Embedding(self.target_vocabulary, self.width),
            decoder.module,
            (inner, decoder.shape[1]),
        )
        return {"translator": network}


@limited_by_size
def sequence_to_sequence(  # noqa: PLR0913  (each option stands alone; users see them as keywords)
    source_vocabulary: int,
    target_vocabulary: int,
    *,
    width: int = 64,
    lengths: tuple[int, int] = (32, 32),
    parameters: int | None = None,
    multiply_adds: int | None = None,
    encoder: str = "encoder",
    decoder: str = "decoder",
) -> SequenceToSequence:
    """Return a function of params that builds a network from sequences to sequences.

    The chain ``encoder`` reads embedded tokens, with their positions added; the chain ``decoder``,
    recurrent and forwards only, reads those that were written so far, and looks at the encoder's
    steps. The network reads a dict: ``source``, ``(batch, source length)``, and ``target``, the
    tokens before those to predict, ``(batch, target length)``; it returns ``(batch, tokens, target
    length)``, which ``loss="cross_entropy"`` compares with the targets, ``(batch, target length)``.
    Its part ``translator`` has a method ``translate``.

    Args:
        source_vocabulary: Number of tokens of the source, which are whole numbers from 0.
        target_vocabulary: Number of tokens of the target.
        width: Channels of both embeddings.
        lengths: Tokens of a usual source and target, by which its cost is counted.
        parameters: Most parameters; larger structures are made smaller before they are tried.
        multiply_adds: Most multiplications with addition for one pair of those lengths.
        encoder: Name of the chain that reads.
        decoder: Name of the chain that writes.

    Raises:
        TaskError: A number that makes no network.
    """
    return SequenceToSequence(
        sizes("sequence_to_sequence: lengths", lengths, "(source, target)", (32, 32)),
        whole("source_vocabulary", source_vocabulary),
        whole("target_vocabulary", target_vocabulary),
        whole("width", width),
        encoder,
        decoder,
        parameters=parameters,
        multiply_adds=multiply_adds,
    )
