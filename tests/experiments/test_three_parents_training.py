"""Tests of how one trial is trained: lines may be cut anywhere, and the data are what they say."""

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import three_parents_capsnet_cifar10 as capsnet
import three_parents_resnet20_cifar10 as resnet20
import three_parents_training
import torch
from three_parents_training import (
    ImageSizes,
    ImageTraining,
    Sentences,
    TranslationSizes,
    TranslationTraining,
    augmented,
    constant,
    steps,
)

import evotune as et
from evotune.trial import Checkpoint

SIZES = ImageSizes(60, 30, 20)
PARAMS = {"lr": 0.05, "weight_decay": 1e-4, "q": 0.5, "routings": 2, "dropout": 0.2}


class Memory:
    """Weights that are kept in memory, for a line of trials."""

    wanted = True

    def __init__(self) -> None:
        self.states: dict[str, Any] = {}
        self.epochs = 0.0

    def resume(self, trial: et.Trial, objects: Mapping[str, Any]) -> float:
        for name, state in self.states.items():
            objects[name].load_state_dict(state)
        return self.epochs

    def keep(self, objects: Mapping[str, Any], epochs: float) -> None:
        self.states = {k: copy.deepcopy(v.state_dict()) for k, v in objects.items()}
        self.epochs = epochs

    def written(self) -> Checkpoint | None:
        return None


def _examples(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Make images whose brightness tells their class."""
    random = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 10, (count,), generator=random)
    noise = torch.randint(0, 40, (count, 3, 32, 32), generator=random)
    return (noise + 20 * labels[:, None, None, None]).to(torch.uint8), labels


@pytest.fixture(autouse=True)
def _made_up_data(monkeypatch: pytest.MonkeyPatch) -> None:
    def images(sizes: ImageSizes, seed: int, directory: str | None) -> Any:
        return tuple(_examples(n, k) for k, n in enumerate((sizes.train, sizes.validation, 20)))

    def sentences(sizes: TranslationSizes, seed: int, directory: str | None) -> Sentences:
        random = torch.Generator().manual_seed(1)
        pairs = [
            tuple(torch.randint(3, 20, (n,), generator=random) for _ in range(2))
            for n in (3, 5, 4, 6, 2, 7)
        ]
        return Sentences(pairs, pairs[:2], pairs[2:], 20, 20)

    monkeypatch.setattr(three_parents_training, "images", images)
    monkeypatch.setattr(three_parents_training, "sentences", sentences)


def _resnet(epochs: int, accepted: bool = False) -> ImageTraining:
    scale = resnet20.Scale(SIZES, 2, epochs, blocks=1, width=4, batch_size=16)
    return resnet20.training(scale, epochs, seed=1, accepted=accepted)


def _capsules(epochs: int) -> ImageTraining:
    scale = capsnet.Scale(SIZES, 2, epochs, width=4, batch_size=16)
    return capsnet.training(scale, epochs, seed=1)


def _translation(epochs: int) -> TranslationTraining:
    sizes = TranslationSizes(6, 2, 4, units=8, layers=2, batch_size=2)
    return TranslationTraining(sizes, seed=1, epochs=epochs)


def _handle(budget: int, seed: int = 5, weights: Any = None, **params: Any) -> et.RunningTrial:
    genes = PARAMS | params
    return et.RunningTrial(et.Trial(0, genes, genes, seed=seed, budget=budget), weights)


TRAININGS = [_resnet, _capsules, _translation]


@pytest.mark.parametrize("make", TRAININGS)
def test_a_line_may_be_cut_between_any_two_epochs(make: Any) -> None:
    train, whole, parts = make(3), Memory(), Memory()
    measured = train(_handle(3, weights=whole))
    train(_handle(1, weights=parts))
    assert not _equal(parts, whole)
    assert train(_handle(2, weights=parts)) == measured
    assert _equal(parts, whole)
    assert parts.epochs == 3


def _equal(a: Memory, b: Memory) -> bool:
    mine, theirs = a.states["model"], b.states["model"]
    return all(torch.equal(mine[name], theirs[name]) for name in mine)


@pytest.mark.parametrize("make", TRAININGS)
def test_a_trial_repeats_exactly_and_seeds_differ(make: Any) -> None:
    kept = [Memory() for _ in range(3)]
    trials = [_handle(2, seed, memory) for seed, memory in zip((5, 5, 6), kept, strict=True)]
    for trial in trials:
        make(2)(trial)
    assert list(trials[0].reports) == list(trials[1].reports)
    assert [report["step"] for report in trials[0].reports] == [0, 1]
    assert _equal(kept[0], kept[1])
    assert not _equal(kept[0], kept[2])


@pytest.mark.parametrize("make", TRAININGS)
def test_training_helps(make: Any) -> None:
    trial = _handle(15, lr=0.2 if make is _translation else 0.01)
    last = make(15)(trial)
    metric = "perplexity" if make is _translation else "error"
    assert last[metric] < trial.reports[0][metric]
    assert set(last) == {metric, f"test_{metric}"}


@pytest.mark.parametrize("name", ["q", "routings", "lr", "weight_decay"])
def test_every_gene_of_the_capsules_acts(name: str) -> None:
    found = []
    for value in (PARAMS[name], 4 if name == "routings" else 3.0):
        memory = Memory()
        _capsules(1)(_handle(1, weights=memory, **{name: value}))
        found.append(memory.states["model"]["votes.weight"])
    assert not torch.equal(*found)


def test_a_training_that_diverges_fails() -> None:
    with pytest.raises(et.Failed, match="infinite in epoch"):
        _resnet(3)(_handle(3, lr=1e30))


def test_accepted_practice_divides_the_learning_rate_twice() -> None:
    factors = [steps(epoch / 8) for epoch in range(8)]
    assert factors == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01])
    memory = Memory()
    _resnet(4, accepted=True)(_handle(4, weights=memory))
    assert memory.states["optimizer"]["param_groups"][0]["lr"] == pytest.approx(0.05 * 0.01)
    _resnet(4)(_handle(4, weights=memory))
    assert memory.states["optimizer"]["param_groups"][0]["lr"] == 0.05 * constant(0.75)


def test_augmentation_crops_and_mirrors() -> None:
    torch.manual_seed(0)
    ramp = torch.arange(1.0, 33).repeat(400, 3, 32, 1)
    changed = augmented(ramp)
    assert changed.shape == ramp.shape
    row = changed[:, 0, 16]
    rising = row[:, 17] > row[:, 16]
    assert 0.35 < rising.float().mean() < 0.65
    # Whatever is shown is a part of the ramp, shifted by at most 4, with zeros beyond its ends.
    shift = torch.where(rising, row[:, 16] - 17, 16 - row[:, 16])
    assert set(shift.int().tolist()) == set(range(-4, 5))
    assert {int(n) for n in (changed[:, 0, :, 16] == 0).sum(1)} == set(range(5))


def test_the_real_sentences_are_numbered_by_the_papers_vocabularies(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.undo()
    try:
        found = three_parents_training.sentences(TranslationSizes(1_353, 200, 1_268), 1, None)
    except FileNotFoundError as error:
        pytest.skip(f"the sentences are not on this machine: {error}")
    assert (len(found.train), len(found.validation), len(found.test)) == (1_353, 200, 1_268)
    assert (found.source_words, found.target_words) == (7_709, 17_191)
    words = torch.cat([target for _, target in found.test])
    assert int(words.max()) < 17_191
    assert float((words == 0).float().mean()) == pytest.approx(0.031, abs=0.002)
    assert max(len(source) for source, _ in found.train) <= 50


def test_the_real_images_are_split_anew_for_each_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    sizes = ImageSizes(200, 100, 50)
    try:
        parts = [three_parents_training.images(sizes, seed, None) for seed in (1, 2)]
    except FileNotFoundError as error:
        pytest.skip(f"CIFAR-10 is not on this machine: {error}")
    (x, y), *_ = parts[0]
    assert (tuple(x.shape), x.dtype, y.dtype) == ((200, 3, 32, 32), torch.uint8, torch.int64)
    assert not torch.equal(x, parts[1][0][0])
    pixels = three_parents_training.standardised(x)
    assert np.allclose(pixels.mean((0, 2, 3)).cpu(), 0, atol=0.3)
    assert np.allclose(pixels.std((0, 2, 3)).cpu(), 1, atol=0.3)
