"""Trials that train together: each gets what it would get alone, and nothing of the others."""

import math

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from evotune.errors import CheckpointError, TaskError
from evotune.training.stacked.first_step import first_step
from evotune.training.stacked.groups import Member
from evotune.training.stacked.together import Unstackable, train_together
from evotune.trial import Failed
from helpers_stacked import (
    Line,
    assert_alike,
    assert_same_training,
    double_task,
    examples,
    run_each,
)
from helpers_training import blob_task, mlp, start, without_seconds


def net(params):
    width = params.get("width", 6)
    return nn.Sequential(nn.Linear(5, width), nn.Tanh(), nn.Dropout(0.2), nn.Linear(width, 3))


def genomes(count=3):
    return [{"lr": 0.05 * (1 + n), "momentum": 0.3 * n} for n in range(count)]


def test_all_metrics_and_reports_are_those_of_each_one_alone():
    task = double_task(
        net,
        test=examples(5, count=11, seed=2),
        robustness=0.3,
        validate_every=2,
        epochs=4,
        evaluation_batch_size=10,
        metrics=("accuracy", "f1"),
    )
    for result in assert_same_training(task, genomes()):
        assert result["train_seconds"] > 0
        assert result["evaluation_seconds"] > 0


@pytest.mark.parametrize("count", [17, 16, 5, 1])
def test_the_last_batch_may_be_short_or_left_out(count):
    norm = double_task(lambda params: net(params), examples(5, count=count))
    assert_same_training(norm, genomes())


LOSSES_OF_CLASSES = (
    nn.CrossEntropyLoss(label_smoothing=0.2),
    nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)),
    nn.CrossEntropyLoss(ignore_index=1),
    nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64), ignore_index=0),
    nn.CrossEntropyLoss(ignore_index=1, label_smoothing=0.3),
)


@pytest.mark.filterwarnings("error:There is a performance drop")
@pytest.mark.parametrize("loss", LOSSES_OF_CLASSES)
@pytest.mark.parametrize("places", [(4,), (2, 3)])
def test_an_example_may_have_many_labels_as_text_and_segmented_images_have(loss, places):
    def model(params):
        return nn.Sequential(nn.Linear(5, 3 * math.prod(places)), nn.Unflatten(1, (3, *places)))

    inputs, _ = examples(5)
    generator = torch.Generator().manual_seed(3)
    data = inputs, torch.randint(3, (len(inputs), *places), generator=generator)
    assert_same_training(double_task(model, data, validation=data, loss=loss), genomes())


@pytest.mark.parametrize(
    "loss",
    [
        *LOSSES_OF_CLASSES,
        lambda output, target: (output.exp().sum(1).log() - output[:, 0]).mean() + target.min() * 0,
    ],
)
def test_a_loss_may_be_any_function(loss):
    assert_same_training(double_task(net, loss=loss), genomes())


def test_a_regression_is_stacked_too():
    inputs, _ = examples(5)
    data = inputs, inputs.sum(dim=1)

    def model(params):
        return nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 1))

    task = double_task(model, data, loss="mse", validation=data, metrics=("mae", "r2"))
    assert_same_training(task, genomes())


def test_ensembles_are_stacked_too():
    task = double_task(net, genes="x")
    results = []
    for way in (train_together, run_each):
        line = Line()
        inherit = {"networks": [None, None]}
        handles = [line.handle(n, genome, inherit=inherit) for n, genome in enumerate(genomes())]
        results.append(way(task, handles))
    for own, other in zip(*results, strict=True):
        assert_alike(without_seconds(own), without_seconds(other))


def test_one_member_that_diverges_dies_alone():
    task = double_task(
        net,
        loss="mse",
        metrics=(),
        train=(examples(5)[0], examples(3)[0]),
        validation=(examples(5)[0], examples(3)[0]),
        epochs=3,
    )
    calm, wild, other = assert_same_training(task, [{"lr": 0.1}, {"lr": 1e200}, {"lr": 0.2}])
    assert isinstance(wild, Failed)
    assert "loss became" in str(wild)
    assert calm["train_loss"] < 10
    assert other["train_loss"] < 10


def test_a_member_that_is_set_up_wrongly_fails_alone():
    results = train_together(blob_task(), [start({"lr": 0.1}), start({"rate": 1}), start()])
    assert isinstance(results[1], TaskError)
    assert results[0]["accuracy"] > 0
    assert isinstance(results[2], dict | TaskError)


def test_results_come_in_order_whatever_the_groups():
    task = double_task(net)
    mixed = [
        {"lr": 0.1, "width": width, "batch_size": size}
        for width, size in [(4, 8), (6, 8), (4, 8), (6, 8), (4, 4), (4, 4)]
    ]
    found = assert_same_training(task, mixed)
    assert [result["parameters"] for result in found] == [39, 57, 39, 57, 39, 39]


def test_a_member_unlike_all_others_is_left_and_told_why():
    handles = [start({"lr": 0.1, "width": width}) for width in (4, 4, 5)]
    task = blob_task(model=lambda params: mlp(width=params["width"]))
    *pair, odd = train_together(task, handles)
    assert all(isinstance(result, dict) for result in pair)
    assert odd == Unstackable("no other member has the same 0.out_features")
    assert train_together(task, handles[:1]) == [Unstackable("")]


def test_data_that_are_not_in_memory_are_said():
    inputs, targets = examples(5)
    task = double_task(net, train=DataLoader(TensorDataset(inputs, targets), 8))
    results = train_together(task, [start({"lr": 0.1}), start({"lr": 0.2})])
    assert results == [Unstackable("the data are not a pair of tensors or arrays")] * 2


@pytest.mark.parametrize("memory", [1, 20_000, None])
def test_memory_divides_the_members_and_changes_nothing(memory):
    task, line = double_task(net), Line()
    handles = [line.handle(n, genome) for n, genome in enumerate(genomes(5))]
    expected = run_each(task, [Line().handle(n, genome) for n, genome in enumerate(genomes(5))])
    found = train_together(task, handles, memory=memory)
    for own, other in zip(found, expected, strict=True):
        assert_alike(without_seconds(own), without_seconds(other))


def test_the_callers_random_stream_is_left_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train_together(double_task(net), [start({"lr": 0.1}), start({"lr": 0.2})])
    assert torch.equal(torch.rand(3), expected)


def test_epochs_go_on_from_the_donors():
    task, line = double_task(net, validate_every=1), Line()
    parents = [line.handle(n, {"lr": 0.1}, budget=2) for n in range(2)]
    train_together(task, parents)
    for parent in parents:
        assert line.state(parent)[1] == 2
    children = [line.handle(2 + n, {"lr": 0.1}, donor=n, budget=3) for n in range(2)]
    train_together(task, children)
    for child in children:
        assert [report["step"] for report in child.reports] == [2, 3, 4]
        assert line.state(child)[1] == 5


def test_training_on_does_not_change_what_was_kept():
    task, line = double_task(net, optimizer="adam"), Line()
    parents = [line.handle(n, {"lr": 0.1}) for n in range(2)]
    train_together(task, parents)
    kept = [line.state(parent)[0]["model"] for parent in parents]
    before = [{name: tensor.clone() for name, tensor in state.items()} for state in kept]
    train_together(task, [line.handle(2 + n, {"lr": 0.5}, donor=0) for n in range(2)])
    assert_alike(kept, before)


def test_a_missing_donor_fails_one_member_only():
    task, line = double_task(net), Line()
    handles = [line.handle(0, {"lr": 0.1}), line.handle(1, {"lr": 0.1}, donor=77)]
    well, orphan = train_together(task, [*handles, line.handle(2, {"lr": 0.1})])[:2]
    assert isinstance(well, dict)
    assert isinstance(orphan, CheckpointError)


def test_memory_of_a_step_does_not_count_the_other_examples():
    saved = []
    for count in (16, 1600):
        task = double_task(net, examples(5, count=count))
        device = torch.device("cpu")
        members = [
            Member(handle, task.set_up(handle, device), torch.Generator())
            for handle in (start({"lr": 0.1}), start({"lr": 0.2}))
        ]
        saved.append(first_step(members, task.source("train", device)).bytes_saved)
    assert saved[0] == saved[1]
