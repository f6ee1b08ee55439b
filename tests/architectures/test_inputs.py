"""Data that the networks of a template cannot read are told in words, before any training."""

import json

import numpy as np
import pytest
import torch

import evotune as et
from evotune.errors import TaskError

DIGITS = et.image_classifier((1, 6, 6), 3)
TOKENS = et.sequence_model((5,), 2, vocabulary=9)
TRANSLATOR = et.sequence_to_sequence(9, 7)
SPACE = et.Space(features=et.Chain(1, 1, conv={"filters": 2}))
X, Y = torch.rand(8, 1, 6, 6), torch.arange(8) % 3


def one_is_nan():
    return X.where(torch.arange(8)[:, None, None, None] != 2, torch.nan)


@pytest.mark.parametrize(
    ("template", "inputs", "message"),
    [
        (DIGITS, X.permute(0, 2, 3, 1), r"\(6, 6, 1\).* write torch.as_tensor\(x\).permute\(0, 3"),
        (DIGITS, X[:, 0], r"write x\.reshape\(-1, 1, 6, 6\)"),
        (DIGITS, X.flatten(1), r"write x\.reshape\(-1, 1, 6, 6\)"),
        (DIGITS, X[..., :5], r"make the template for the shape of your examples, \(1, 6, 5\)"),
        (et.image_classifier((6, 6, 1), 3), X, r"make the template for .*\(1, 6, 6\)"),
        (DIGITS, Y, r"examples of shape \(\), .* give examples of that shape"),
        (DIGITS, X.byte(), r"uint8 values.* write torch.as_tensor\(x\).float\(\) / 255"),
        (DIGITS, X.double(), r"float64 values, and image_classifier reads float32"),
        (DIGITS, one_is_nan(), "NaN or infinite values in 1 of 8 examples"),
        (DIGITS, {"images": X}, "by name, 'images', and image_classifier reads one array"),
        (et.sequence_model((9, 3), 2), torch.rand(8, 3, 9), r"write .*transpose\(1, 2\)"),
        (et.sequence_model((9, 1), 2), torch.rand(8, 9), r"write x\.reshape\(-1, 9, 1\)"),
        (et.tabular(4, 1), torch.rand(8, 5), r"\(5,\), and tabular was made for \(4,\)"),
        (TOKENS, torch.tensor([[0, 9]]), "tokens from 0 to 9, .* vocabulary of 9 go from 0 to 8"),
        (TOKENS, torch.tensor([[-1, 3]]), "tokens from -1 to 3"),
        (TOKENS, torch.rand(8, 5), r"reads tokens, whole numbers: write .*long\(\)"),
        (TRANSLATOR, torch.zeros(8, 5), "a dict with 'source', 'target' .* got one array"),
        (TRANSLATOR, {"src": X}, "a dict with 'source', 'target' .* got a dict of 'src'"),
        (
            TRANSLATOR,
            {"source": torch.full((8, 5), 8), "target": torch.full((8, 5), 8)},
            "'target' holds tokens from 8 to 8, .* vocabulary of 7",
        ),
    ],
)
def test_what_networks_cannot_read_is_told(template, inputs, message):
    with pytest.raises(TaskError, match=f"^train= .*{message}"):
        template.check_inputs("train=", inputs)


@pytest.mark.parametrize(
    ("template", "inputs"),
    [
        (et.sequence_model((9, 3), 2), torch.rand(8, 20, 3)),
        (TOKENS, torch.zeros(8, 30, dtype=torch.int32)),
        (TRANSLATOR, {n: torch.zeros(8, 3, dtype=torch.long) for n in ("source", "target", "id")}),
    ],
)
def test_rows_of_any_length_are_read(template, inputs):
    template.check_inputs("train=", inputs)


@pytest.mark.parametrize("part", ["train", "validation"])
def test_a_study_ends_with_the_words_and_no_trial_has_failed(part):
    data = {"train": (X, Y), "validation": (X, Y)} | {part: (X.permute(0, 2, 3, 1).numpy(), Y)}
    task = et.SupervisedTask(DIGITS, loss="cross_entropy", optimizer="sgd", epochs=1, **data)
    study = et.Study(et.RandomSearch(SPACE), "max accuracy", seed=1)
    with pytest.raises(TaskError, match=f"{part}= has examples of shape"):
        study.run(task, trials=4)
    assert study.counts.get("failed", 0) == 0


def test_proxies_say_it_too():
    with pytest.raises(TaskError, match="the data of proxies has examples of shape"):
        et.proxies.Proxies(DIGITS, np.zeros((8, 6, 6, 1)), Y)


def test_a_structure_as_text_is_told_to_be_read_first():
    with pytest.raises(TaskError, match=r"write rebuild\(json\.loads\(text\)\)"):
        et.rebuild(json.dumps(DIGITS({"features": []}).structure))
