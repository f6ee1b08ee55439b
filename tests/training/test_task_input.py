"""The forms in which data may be given, and bad input to a SupervisedTask."""

import math
from itertools import islice

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from evotune.errors import TaskError
from helpers_training import blob_task, blobs, mlp, start, without_seconds

GENES = {"lr": 0.2, "momentum": 0.9}


def tensors():
    x, y = blobs()
    return torch.tensor(x, dtype=torch.float32), torch.tensor(y)


class Points(Dataset):
    def __init__(self, count=300):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        x, y = tensors()
        return x[index], int(y[index])


class Stream(IterableDataset):
    def __init__(self, count=300):
        self.count = count

    def __iter__(self):
        yield from islice(zip(*tensors(), strict=True), self.count)


FORMS = {
    "arrays": blobs,
    "lists": lambda: [part.tolist() for part in blobs()],
    "pandas": lambda: (pd.DataFrame(blobs()[0]), pd.Series(blobs()[1])),
    "tensors": tensors,
    "tensor dataset": lambda: TensorDataset(*tensors()),
    "dataset": Points,
    "loader": lambda: DataLoader(TensorDataset(*tensors()), batch_size=64, shuffle=True),
    "function": lambda: blobs,
    "function of a dataset": lambda: Points,
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_data_trains_alike_and_twice_the_same(form):
    task = blob_task(train=FORMS[form](), validation=FORMS[form](), epochs=6)
    metrics = task(start(GENES))
    assert metrics["accuracy"] > 0.85
    assert without_seconds(task(start(GENES))) == without_seconds(metrics)


@pytest.mark.parametrize("form", ["lists", "pandas", "tensors", "tensor dataset", "function"])
def test_data_in_memory_give_the_same_numbers_in_every_form(form):
    expected = blob_task()(start(GENES))
    task = blob_task(train=FORMS[form](), validation=FORMS[form]())
    assert without_seconds(task(start(GENES))) == without_seconds(expected)


def test_a_stream_of_examples_can_be_trained_on():
    task = blob_task(train=Stream(), validation=Stream())
    assert task(start(GENES))["accuracy"] > 0.5
    with pytest.raises(TaskError, match="no batch at all"):
        blob_task(train=Stream(0))(start(GENES))


def test_a_random_split_in_a_function_is_the_same_for_every_first_trial():
    seen = []

    def part(first):
        def load():
            order = torch.randperm(300)[:200] if first else torch.randperm(300)[200:]
            seen.append(order)
            return Subset(Points(), order.tolist())

        return load

    tasks = [blob_task(train=part(True), validation=part(False)) for _ in range(2)]
    first = tasks[0](start(GENES, seed=1))
    tasks[1](start(GENES, seed=2))
    assert torch.equal(seen[0], seen[2])
    assert set(seen[0].tolist()).isdisjoint(seen[1].tolist())
    assert without_seconds(tasks[1](start(GENES, seed=1))) == without_seconds(first)


def test_a_loader_with_a_generator_shuffles_by_the_trials_seed():
    loader = DataLoader(
        TensorDataset(*tensors()), 64, shuffle=True, generator=torch.Generator().manual_seed(0)
    )
    task = blob_task(train=loader)
    first = task(start(GENES))
    assert without_seconds(task(start(GENES))) == without_seconds(first)
    assert task(start(GENES, seed=9))["train_loss"] != first["train_loss"]


def test_a_batch_size_gene_cannot_change_a_loader():
    task = blob_task(train=DataLoader(TensorDataset(*tensors()), 64))
    with pytest.raises(TaskError, match=r"'batch_size' has no effect.*give its Dataset"):
        task(start({"batch_size": 32}))


def test_the_order_of_batches_changes_with_the_seed_and_the_epoch():
    firsts = []

    class Watching(nn.Linear):
        def forward(self, x):
            if self.training:
                firsts.append(x.detach().clone())
            return super().forward(x)

    def model(params):
        torch.rand(params["size"])  # the model's own use of chance does not change the order
        return Watching(2, 3)

    task = blob_task(model=model, epochs=2, batch_size=300)
    task(start({"size": 1}, seed=1))
    task(start({"size": 1}, seed=2))
    task(start({"size": 5}, seed=1))
    assert not torch.equal(firsts[0], firsts[1])
    assert not torch.equal(firsts[0], firsts[2])
    assert torch.equal(firsts[0], firsts[4])
    for order in firsts:  # every example once an epoch
        assert torch.equal(order.sort(dim=0).values, tensors()[0].sort(dim=0).values)


def seen_types(x, y):
    seen = []

    class Taking(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 3)

        def forward(self, x):
            seen.append((x.dtype, x.max().item()))
            return self.layer(x.float())

    def loss(output, target):
        seen.append(target.dtype)
        return nn.functional.cross_entropy(output, target.long())

    blob_task(model=lambda p: Taking(), loss=loss, train=(x, y), validation=(x, y))(start())
    return seen[0], seen[1]


def test_types_are_fitted_but_nothing_is_rescaled():
    images = np.full((6, 2), 200, np.uint8)
    assert seen_types(images, np.ones(6, np.uint8)) == ((torch.uint8, 200), torch.int64)
    doubles = np.full((6, 2), 0.5)
    assert seen_types(doubles, np.ones(6, np.int32)) == ((torch.float32, 0.5), torch.int64)
    big_endian = np.full((6, 2), 0.5, ">f4")
    assert seen_types(big_endian, np.ones(6, bool)) == ((torch.float32, 0.5), torch.int64)


def test_read_only_arrays_are_taken_without_a_warning(recwarn):
    x, y = (part.copy() for part in blobs())
    x.flags.writeable = False
    blob_task(train=(x.astype(np.float32)[::-1], y), validation=(x, y))(start())
    assert not [warning for warning in recwarn if "writable" in str(warning.message)]


x, y = blobs()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train": (x, y[:-1])}, "train= has 300 inputs and 299 targets"),
        ({"validation": (x[:0], y[:0])}, "validation= has no examples"),
        ({"test": (x,)}, r"test= needs a pair \(inputs, targets\)"),
        ({"train": (3, 4)}, r"train= needs a pair"),
        ({"train": "data.csv"}, "train= is a pair .* got str: 'data.csv'"),
        ({"validation": Points(0)}, "validation= has no examples"),
        ({"loss": "cross_entrpy"}, "loss 'cross_entrpy' .*did you mean 'cross_entropy'"),
        ({"loss": 3}, "loss= is a name"),
        ({"loss": nn.CrossEntropyLoss}, r"write loss=CrossEntropyLoss\(\)"),
        ({"optimizer": "sgdd"}, "optimizer 'sgdd' .*did you mean 'sgd'"),
        ({"optimizer": 3}, "optimizer= is a name"),
        ({"metrics": ("accurracy",)}, "metric 'accurracy' .*did you mean 'accuracy'"),
        ({"metrics": {"train_loss": lambda output, target: 0}}, "cannot be named 'train_loss'"),
        ({"metrics": {"test_f1": "f1"}}, "cannot be named 'test_f1'"),
        ({"batch_size": 0}, "batch_size must be a whole number from 1 up, got 0"),
        ({"evaluation_batch_size": -1}, "evaluation_batch_size must be"),
        ({"epochs": 1.5}, "epochs must be a whole number"),
        ({"validate_every": 0}, "validate_every must be"),
        ({"robustness": -0.1}, "a number above 0"),
        ({"robustness": math.inf}, "a number above 0"),
        ({"robustness": "high"}, "a number above 0"),
        ({"device": "gpu0"}, "device= is"),
        ({"scheduler": "step"}, "scheduler=lambda optimizer, params"),
        ({"model": mlp()}, "write model=lambda params: Sequential"),
        ({"model": lambda: mlp()}, "function of one argument"),
        ({"model": "lenet"}, "function of one argument"),
    ],
)
def test_bad_settings_are_refused_at_once(options, message):
    with pytest.raises(TaskError, match=message):
        blob_task(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": lambda params: params}, "needs to return an nn.Module"),
        ({"optimizer": lambda parameters, params: None}, "has step"),
        ({"train": lambda: blobs}, "returned another function"),
        ({"train": lambda: (x, y[:-1])}, "300 inputs and 299 targets"),
        ({"train": (x, [str(label) for label in y])}, "encode texts as whole numbers"),
        ({"robustness": 0.1, "validation": (x.astype(np.int64), y)}, "give float inputs"),
    ],
)
def test_what_only_shows_when_it_runs_ends_the_run(options, message):
    model = {"model": lambda p: nn.Sequential(nn.Flatten(), Float(), mlp())}
    with pytest.raises(TaskError, match=message):
        blob_task(**(model | options))(start())


class Float(nn.Module):
    def forward(self, x):
        return x.float()


def test_batches_must_be_pairs():
    threes = TensorDataset(*tensors(), tensors()[1])
    with pytest.raises(TaskError, match="every batch must be a pair"):
        blob_task(train=threes)(start())


def test_a_model_whose_weights_are_views_of_another_ones_is_not_new():
    given = mlp()

    def views(params):
        model = mlp()
        model.load_state_dict(given.state_dict(), assign=True)
        return model

    def copies(params):
        model = mlp()
        model.load_state_dict(given.state_dict())
        return model

    task = blob_task(model=views)
    task(start())
    with pytest.raises(TaskError, match="again in"):
        task(start())
    for model in (copies, lambda params: nn.Sequential(nn.LazyLinear(3))):
        task = blob_task(model=model)
        assert task(start())["loss"] == task(start())["loss"] or model is not copies


@pytest.mark.parametrize(
    "options",
    [
        *({"genes": bad} for bad in (3, [3], None)),
        *({"metrics": bad} for bad in (3, [3], {"a": 3}, {3})),
        *({"batch_size": bad} for bad in (True, "8", 10**400)),
        *({"device": bad} for bad in (10**400, [1, 2])),
        {"model": int},
        {"robustness": 10**400},
    ],
    ids=lambda options: next(iter(options)),
)
def test_settings_of_the_wrong_type_are_named(options):
    with pytest.raises(TaskError, match=next(iter(options)).rstrip("s")):
        blob_task(**options)


@pytest.mark.parametrize("loss", ["cross_entropy", "nll"])
@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (y + 1, "labels from 0 to 2, .* got some from 1 to 3; if they begin at 1 write y - 1"),
        (y - 1, "labels from 0 to 2, .* got some from -1 to 1"),
        (y.astype(float), r"whole numbers from 0 up, got torch.float32; write y\.astype\(int\)"),
        (y[:, None], r"labels of shape \(64,\), got \(64, 1\); write y\[:, 0\]"),
        (np.eye(3, dtype=int)[y], r"one-hot code write y\.argmax\(axis=1\)"),
    ],
)
def test_labels_that_torch_refuses_are_told_in_words(targets, message, loss):
    with pytest.raises(TaskError, match=f"loss '{loss}' needs .*{message}"):
        blob_task(train=(x, targets), loss=loss)(start())
