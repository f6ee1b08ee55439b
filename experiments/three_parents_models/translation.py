"""A sequence-to-sequence network with attention (Luong et al., 2015), and its perplexity."""

import math
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

#: Words 0, 1 and 2 of both vocabularies. </s> fills sentences up too, as in Luong's tutorial.
UNKNOWN, START, END = range(3)

#: One sentence pair: word numbers of the source and of the target, without <s> and </s>.
Pair = tuple[Tensor, Tensor]


class Translator(nn.Module):
    """LSTM encoder and decoder with multiplicative attention ("general", eq. 8).

    Args:
        source_words: Size of the source's vocabulary.
        target_words: Size of the target's vocabulary.
        units: Size of embeddings and of hidden states.
        layers: Layers of each LSTM.
        dropout: Probability on the input of every layer and on the output.
    """

    def __init__(
        self, source_words: int, target_words: int, *, units: int, layers: int, dropout: float
    ) -> None:
        super().__init__()
        between = dropout if layers > 1 else 0.0
        self.source = nn.Embedding(source_words, units)
        self.target = nn.Embedding(target_words, units)
        self.encoder = nn.LSTM(units, units, layers, batch_first=True, dropout=between)
        self.decoder = nn.LSTM(units, units, layers, batch_first=True, dropout=between)
        self.score = nn.Linear(units, units, bias=False)
        self.combine = nn.Linear(2 * units, units, bias=False)
        self.words = nn.Linear(units, target_words, bias=False)
        self.dropout = nn.Dropout(dropout)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -0.1, 0.1)

    def forward(self, source: Tensor, lengths: Tensor, target: Tensor) -> Tensor:
        """Return the state before each next word, from which ``words`` makes its logits.

        Args:
            source: Word numbers, filled up at the end, ``(sentences, source length)``.
            lengths: Words of each source sentence, ``(sentences,)``, on the CPU.
            target: Word numbers beginning with <s>, ``(sentences, target length)``.

        Returns:
            States ``(sentences, target length, units)``.
        """
        packed = pack_padded_sequence(
            self.dropout(self.source(source)), lengths, batch_first=True, enforce_sorted=False
        )
        memory, state = self.encoder(packed)
        memory, _ = pad_packed_sequence(memory, batch_first=True, total_length=source.shape[1])
        hidden, _ = self.decoder(self.dropout(self.target(target)), state)
        scores = self.score(hidden) @ memory.transpose(1, 2)
        filled = torch.arange(source.shape[1]) >= lengths[:, None]
        scores = scores.masked_fill(filled.to(scores.device)[:, None, :], -math.inf)
        context = scores.softmax(2) @ memory
        return self.dropout(torch.tanh(self.combine(torch.cat((context, hidden), 2))))  # eq. 5


def loss_of(model: Translator, pairs: Sequence[Pair]) -> tuple[Tensor, int]:
    """Return the summed negative log-likelihood of the target sentences, and their words.

    Every target sentence ends with </s>, which counts as a word; what fills sentences up does not.
    """
    device = model.words.weight.device
    lengths = torch.tensor([len(source) for source, _ in pairs])
    source = pad_sequence([a for a, _ in pairs], batch_first=True, padding_value=END)
    begun = pad_sequence([F.pad(b, (1, 0), value=START) for _, b in pairs], True, END)
    ended = pad_sequence([F.pad(b, (0, 1), value=END) for _, b in pairs], True, END)
    sizes = torch.tensor([len(b) + 1 for _, b in pairs])
    counted = (torch.arange(ended.shape[1]) < sizes[:, None]).to(device)
    states = model(source.to(device), lengths, begun.to(device))
    # Only the words that count go through the large last layer.
    loss = F.cross_entropy(model.words(states[counted]), ended.to(device)[counted], reduction="sum")
    return loss, int(sizes.sum())


def perplexity(model: Translator, pairs: Sequence[Pair], batch_size: int) -> float:
    """Return exp of the mean negative log-likelihood of a word."""
    model.eval()
    total, words = 0.0, 0
    with torch.no_grad():
        for batch in in_batches(pairs, batch_size):
            loss, count = loss_of(model, batch)
            total += loss.item()
            words += count
    return math.exp(min(total / words, 700.0))  # beyond that a float overflows


def in_batches(pairs: Sequence[Pair], size: int) -> Iterator[Sequence[Pair]]:
    """Yield the pairs in order, at most ``size`` at a time."""
    return (pairs[k : k + size] for k in range(0, len(pairs), size))
