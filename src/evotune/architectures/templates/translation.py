"""Networks that read one sequence of tokens and write another."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from evotune.architectures.build import build_chain
from evotune.architectures.families.common import in_order
from evotune.architectures.templates.base import Template, sizes, whole
from evotune.architectures.templates.sequence import RECURRENT, embedded
from evotune.errors import TaskError
from evotune.space import Space
from evotune.space.chain import BLOCK


class EncoderDecoder(nn.Module):
    """Reads a sequence, then predicts each token of another from those before it.

    Where the decoder looks in the source is learned: the general score of Luong et al., "Effective
    approaches to attention-based neural machine translation" (2015), eq. 7 and 8.

    Args:
        source: Embedding of the source's tokens, with their positions.
        encoder: Layers on it.
        target: Embedding of the target's tokens.
        decoder: Recurrent layers on it, beside the mean of what the encoder gives.
        widths: Channels behind the encoder and behind the decoder.
    """

    def __init__(
        self,
        source: nn.Module,
        encoder: nn.Module,
        target: nn.Embedding,
        decoder: nn.Module,
        widths: tuple[int, int],
    ) -> None:
        super().__init__()
        self.source = source
        self.encoder = encoder
        self.target = target
        self.decoder = decoder
        self.score = nn.Linear(widths[1], widths[0], bias=False)
        self.output = nn.Linear(sum(widths), target.num_embeddings)

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return the scores of the next tokens.

        Args:
            inputs: ``source``, ``(batch, source length)``, and ``target``, ``(batch, target
                length)``: the tokens before those to predict, as teacher forcing gives them.

        Returns:
            ``(batch, tokens, target length)``: the form that cross-entropy needs.
        """
        read = self.encoder(self.source(inputs["source"]))
        return self._scores(read, inputs["target"]).transpose(1, 2)

    def _scores(self, read: Tensor, tokens: Tensor) -> Tensor:
        summary = read.mean(dim=1, keepdim=True).expand(-1, tokens.shape[1], -1)
        states = self.decoder(torch.cat((self.target(tokens), summary), dim=-1))
        weights = (self.score(states) @ read.transpose(1, 2)).softmax(dim=-1)
        scores: Tensor = self.output(torch.cat((weights @ read, states), dim=-1))
        return scores

    @torch.no_grad()
    def translate(self, source: Tensor, start: int, end: int, longest: int = 100) -> Tensor:
        """Write the likeliest next token again and again.

        Args:
            source: ``(batch, source length)``.
            start: The token that the target begins with.
            end: The token that ends it.
            longest: Most tokens.

        Returns:
            ``(batch, tokens)`` without the start; behind an end there are further ends.
        """
        read = self.encoder(self.source(source))
        tokens = torch.full((len(source), 1), start, device=source.device)
        ended = torch.zeros(len(source), dtype=torch.bool, device=source.device)
        for _ in range(longest):
            following = self._scores(read, tokens)[:, -1].argmax(dim=-1)
            following = torch.where(ended, end, following)
            tokens = torch.cat((tokens, following[:, None]), dim=1)
            ended = ended | (following == end)
            if ended.all():
                break
        return tokens[:, 1:]


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
