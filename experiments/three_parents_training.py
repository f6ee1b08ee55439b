"""How one trial of the three-parents experiments is trained: on CIFAR-10, and on sentence pairs."""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from data import cifar10, shuffled, vietnamese_english
from three_parents_models.translation import (
    UNKNOWN,
    Pair,
    Translator,
    in_batches,
    loss_of,
    perplexity,
)
from torch import Tensor, nn
from torch.nn.functional import pad

import evotune as et

#: Of CIFAR-10's training pixels, as shares of 255.
MEAN, DEVIATION = (0.4913, 0.4821, 0.4465), (0.2452, 0.2428, 0.2606)
BORDER = 4
EVALUATION_BATCH = 500

#: Factor on the learning rate as a function of the share of all epochs that is done.
Decay = Callable[[float], float]


def constant(done: float) -> float:
    """Leave the learning rate as it is."""
    return 1.0


def steps(done: float) -> float:
    """Divide the learning rate by ten at one half and again at three quarters of the epochs."""
    return 0.1 ** ((done >= 0.5) + (done >= 0.75))


def seed_epoch(seed: int, epoch: int) -> None:
    """Seed torch for one epoch, so that a line may be cut between any two without a trace."""
    torch.manual_seed(int(np.random.SeedSequence((seed, epoch)).generate_state(1, np.uint64)[0]))


def device() -> torch.device:
    """Return CUDA where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def run(
    trial: et.RunningTrial,
    parts: Mapping[str, Any],
    train: Callable[[int], float],
    measure: Callable[[], dict[str, float]],
    default: int,
) -> dict[str, float]:
    """Train a trial for its epochs, report after each, and keep its weights.

    Args:
        trial: The trial.
        parts: ``model`` and ``optimizer``.
        train: Trains one epoch and returns its loss.
        measure: Measures the model.
        default: Epochs where the algorithm gives no budget.

    Raises:
        Failed: The loss is no finite number any more.
    """
    trial.resume(**parts)
    measured: dict[str, float] = {}
    for epoch in trial.epochs(default=default):
        seed_epoch(trial.seed, epoch)
        parts["model"].train()
        if not math.isfinite(train(epoch)):
            raise et.Failed(f"the loss became infinite in epoch {epoch}")
        measured = measure()
        trial.report(epoch, **measured)
    trial.keep(**parts)
    return measured


def _decayed(optimizer: torch.optim.Optimizer, lr: float, factor: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = lr * factor


# -- images ---------------------------------------------------------------------------------------

#: Images ``(examples, 3, 32, 32)`` as bytes, and their classes ``(examples,)``.
Examples = tuple[Tensor, Tensor]


@dataclass(frozen=True, slots=True)
class ImageSizes:
    """How many images of CIFAR-10 are used.

    Attributes:
        train: Training images, out of the 50,000.
        validation: Validation images, out of the rest of them.
        test: Test images, out of the separate 10,000.
    """

    train: int
    validation: int
    test: int


@functools.lru_cache(maxsize=1)  # every process reads them once
def images(sizes: ImageSizes, seed: int, directory: str | None) -> tuple[Examples, ...]:
    """Return training, validation and test examples, drawn anew for each seed."""
    x, y, test_x, test_y = cifar10(directory)
    train, validation = shuffled(len(x), seed, (sizes.train, sizes.validation))
    (test,) = shuffled(len(test_x), seed, (sizes.test,))
    return _tensors(x, y, train), _tensors(x, y, validation), _tensors(test_x, test_y, test)


def _tensors(x: Any, y: Any, chosen: Any) -> Examples:
    order = np.sort(chosen)  # the file is read from front to back
    pixels = torch.from_numpy(x[order]).permute(0, 3, 1, 2).contiguous()
    return pixels.to(device()), torch.from_numpy(y[order].astype(np.int64)).to(device())


def standardised(images: Tensor) -> Tensor:
    """Return one batch as floats of mean 0 and deviation 1."""
    mean, deviation = (
        torch.tensor(values, device=images.device)[:, None, None] for values in (MEAN, DEVIATION)
    )
    return (images.float() / 255 - mean) / deviation


def augmented(images: Tensor) -> Tensor:
    """Crop at random out of a border of zeros, and mirror one half (He et al., 2016, 4.2)."""
    count, _, height, width = images.shape
    shift = torch.randint(0, 2 * BORDER + 1, (2, count, 1))
    across = torch.arange(width).expand(count, width)
    across = torch.where(torch.rand(count, 1) < 0.5, across, across.flip(1)) + shift[0]
    down = torch.arange(height) + shift[1]
    padded = pad(images, (BORDER,) * 4)
    rows = torch.arange(count)[:, None, None]
    return padded.permute(0, 2, 3, 1)[rows, down[:, :, None], across[:, None]].permute(0, 3, 1, 2)


@dataclass(frozen=True, slots=True)
class ImageTraining:
    """An evaluate function that trains a classifier on CIFAR-10.

    Metrics: ``error``, the share of validation images that are classified wrongly, and
    ``test_error``.

    Attributes:
        sizes: How many images.
        seed: Seed of the split; all searches of a seed share it.
        epochs: Epochs of a whole line.
        model: Makes a network from a trial's params.
        optimizer: Makes its optimizer from parameters and params.
        loss: Function of (output, classes).
        batch_size: Images in a training batch.
        augment: Crop and mirror the training images.
        decay: What becomes of the learning rate along the epochs.
        directory: Where CIFAR-10 lies; None looks where `data` says.
    """

    sizes: ImageSizes
    seed: int
    epochs: int
    model: Callable[[Mapping[str, Any]], nn.Module]
    optimizer: Callable[[Any, Mapping[str, Any]], torch.optim.Optimizer]
    loss: Callable[[Tensor, Tensor], Tensor]
    batch_size: int = 128
    augment: bool = False
    decay: Decay = constant
    directory: str | None = None

    def __call__(self, trial: et.RunningTrial) -> dict[str, float]:
        """Train and measure one trial."""
        train, validation, test = images(self.sizes, self.seed, self.directory)
        torch.manual_seed(trial.seed)
        model = self.model(trial.params).to(device())
        optimizer = self.optimizer(model.parameters(), trial.params)

        def one_epoch(epoch: int) -> float:
            _decayed(optimizer, trial.params["lr"], self.decay(epoch / self.epochs))
            return self._train(model, optimizer, train)

        def measure() -> dict[str, float]:
            return {"error": error(model, validation), "test_error": error(model, test)}

        return run(trial, {"model": model, "optimizer": optimizer}, one_epoch, measure, self.epochs)

    def _train(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, examples: Examples
    ) -> float:
        x, y = examples
        total = torch.zeros((), device=x.device)
        for chosen in torch.randperm(len(x)).split(self.batch_size):
            batch = standardised(x[chosen.to(x.device)])
            if self.augment:
                batch = augmented(batch)
            loss = self.loss(model(batch), y[chosen.to(y.device)])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.detach()
        return float(total)


def error(model: nn.Module, examples: Examples) -> float:
    """Return the share of images whose class is not the one with the largest output."""
    model.eval()
    x, y = examples
    wrong = 0
    with torch.no_grad():
        for inputs, labels in zip(
            x.split(EVALUATION_BATCH), y.split(EVALUATION_BATCH), strict=True
        ):
            wrong += int((model(standardised(inputs)).argmax(1) != labels).sum())
    return wrong / len(x)


# -- sentences ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TranslationSizes:
    """How many sentence pairs are used, and how large the network is.

    Attributes:
        train: Training pairs, out of the 1,553.
        validation: Validation pairs, out of the rest of them.
        test: Test pairs, the first of the 1,268.
        units: Size of embeddings and hidden states.
        layers: Layers of encoder and decoder.
        batch_size: Pairs in a training batch.
        longest: Words that are kept of a longer training sentence.
    """

    train: int
    validation: int
    test: int
    units: int = 128
    layers: int = 2
    batch_size: int = 32
    longest: int = 50


@dataclass(frozen=True, slots=True)
class Sentences:
    """Numbered sentence pairs and the sizes of the vocabularies."""

    train: Sequence[Pair]
    validation: Sequence[Pair]
    test: Sequence[Pair]
    source_words: int
    target_words: int


@functools.lru_cache(maxsize=1)
def sentences(sizes: TranslationSizes, seed: int, directory: str | None) -> Sentences:
    """Return the sentence pairs as word numbers; the validation part is drawn anew a seed."""
    found = vietnamese_english(directory)
    known = tuple(
        {word: number for number, word in enumerate(words)}
        for words in (found.source_words, found.target_words)
    )
    train, validation = shuffled(len(found.train), seed, (sizes.train, sizes.validation))
    numbered = [_numbered(pair, known) for pair in found.train]
    return Sentences(
        train=[(a[: sizes.longest], b[: sizes.longest]) for a, b in (numbered[k] for k in train)],
        validation=[numbered[k] for k in validation],
        test=[_numbered(pair, known) for pair in found.test[: sizes.test]],
        source_words=len(found.source_words),
        target_words=len(found.target_words),
    )


def _numbered(pair: tuple[Sequence[str], ...], known: Sequence[Mapping[str, int]]) -> Pair:
    source, target = (
        torch.tensor([numbers.get(word, UNKNOWN) for word in words])
        for words, numbers in zip(pair, known, strict=True)
    )
    return source, target


@dataclass(frozen=True, slots=True)
class TranslationTraining:
    """An evaluate function that trains a translator with SGD, as Luong's tutorial does.

    The loss is summed over words and averaged over sentences, its gradient cut to a norm of 5.
    Metrics: ``perplexity`` on the validation pairs, ``test_perplexity``.

    Attributes:
        sizes: How many pairs, and how large the network is.
        seed: Seed of the split; all searches of a seed share it.
        epochs: Epochs of a whole line.
        directory: Where the sentences lie; None looks where `data` says.
    """

    sizes: TranslationSizes
    seed: int
    epochs: int
    directory: str | None = None

    def __call__(self, trial: et.RunningTrial) -> dict[str, float]:
        """Train and measure one trial."""
        given = sentences(self.sizes, self.seed, self.directory)
        torch.manual_seed(trial.seed)
        model = Translator(
            given.source_words,
            given.target_words,
            units=self.sizes.units,
            layers=self.sizes.layers,
            dropout=trial.params["dropout"],
        ).to(device())
        optimizer = torch.optim.SGD(model.parameters(), lr=trial.params["lr"])

        def measure() -> dict[str, float]:
            size = self.sizes.batch_size
            return {
                "perplexity": perplexity(model, given.validation, size),
                "test_perplexity": perplexity(model, given.test, size),
            }

        def one_epoch(epoch: int) -> float:
            return self._train(model, optimizer, given.train)

        return run(trial, {"model": model, "optimizer": optimizer}, one_epoch, measure, self.epochs)

    def _train(
        self, model: Translator, optimizer: torch.optim.Optimizer, pairs: Sequence[Pair]
    ) -> float:
        order = [pairs[k] for k in torch.randperm(len(pairs))]
        total = 0.0
        for batch in in_batches(order, self.sizes.batch_size):
            loss, _ = loss_of(model, batch)
            optimizer.zero_grad()
            (loss / len(batch)).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            total += loss.item()
        return total
