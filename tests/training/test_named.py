"""Inputs, targets and outputs by name: networks with several of them."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from evotune.errors import TaskError
from evotune.running import RunningTrial
from evotune.training.task import SupervisedTask
from evotune.trial import Trial
from helpers_training import start, without_seconds

GENES = {"lr": 0.1}


def examples(count=41):
    """Points, and two labels of each: the quarter they are in, and whether they are far out."""
    x = np.random.default_rng(0).normal(size=(count, 2)).astype(np.float32)
    quarter = (x[:, 0] > 0) + 2 * (x[:, 1] > 0)
    return x, {"quarter": quarter, "far": np.hypot(*x.T) > 1}


class Sides(nn.Module):
    """Reads both coordinates by name."""

    def __init__(self, outputs=None):
        super().__init__()
        self.layer = nn.Linear(2, 4)
        self.heads = nn.ModuleDict({n: nn.Linear(4, k) for n, k in (outputs or {}).items()})

    def forward(self, inputs):
        both = torch.cat((inputs["x"], inputs["y"]), 1) if isinstance(inputs, dict) else inputs
        hidden = self.layer(both)
        return {n: head(hidden.relu()) for n, head in self.heads.items()} or hidden


def sides(x):
    return {"x": x[:, :1], "y": x[:, 1:]}


def task(model, train, **options):
    defaults = {"loss": "cross_entropy", "optimizer": "adam", "batch_size": 8, "epochs": 2}
    return SupervisedTask(
        lambda params: model(), train=train, validation=train, **(defaults | options)
    )


def measured(*arguments, **options):
    return without_seconds(task(*arguments, **options)(start(GENES)))


class Points(Dataset):
    def __init__(self, names):
        self.names = names

    def __len__(self):
        return 41

    def __getitem__(self, index):
        x, y = examples()
        point, label = x[index], int(y["quarter"][index])
        return ({"x": point[:1], "y": point[1:]} if self.names else point), label


def test_inputs_by_name_train_as_one_array_does():
    x, y = examples()
    assert measured(Sides, (sides(x), y["quarter"])) == measured(Sides, (x, y["quarter"]))


def test_a_dataset_and_a_loader_may_give_them_too():
    assert measured(Sides, Points(names=True)) == measured(Sides, Points(names=False))
    named, plain = (DataLoader(Points(names), batch_size=8) for names in (True, False))
    assert measured(Sides, named) == measured(Sides, plain)


def test_the_loss_of_several_outputs_is_their_sum_and_each_has_metrics():
    x, y = examples()
    found = measured(lambda: Sides({"quarter": 4, "far": 2}), (x, y), metrics=("accuracy", "f1"))
    assert found["accuracy"] == pytest.approx(
        (found["accuracy_quarter"] + found["accuracy_far"]) / 2
    )
    assert {"f1", "f1_quarter", "f1_far"} <= set(found)


def test_the_loss_by_hand():
    x, y = examples()
    found = measured(
        lambda: Sides({"quarter": 4, "far": 2}), (x, y), metrics={"by_hand": both_losses}
    )
    assert found["loss"] == pytest.approx(found["by_hand"])


def both_losses(output, target):
    return sum(nn.functional.cross_entropy(output[n], target[n]) for n in ("quarter", "far"))


def test_targets_by_name_and_by_column_are_the_same():
    x, y = examples()
    columns = np.stack((y["quarter"], y["far"]), 1)
    model = lambda: Sides({"quarter": 4, "far": 2})  # noqa: E731
    assert measured(model, (x, y)) == measured(model, (x, columns))


def test_a_loss_and_a_metric_of_one_s_own_get_the_dicts():
    x, y = examples()

    def weighted(output, target):
        parts = {n: nn.functional.cross_entropy(output[n], target[n]) for n in output}
        return parts["quarter"] + 0.5 * parts["far"]

    found = measured(
        lambda: Sides({"quarter": 4, "far": 2}),
        (x, y),
        loss=weighted,
        metrics={"share": lambda output, target: (output["far"].argmax(1) == target["far"]).sum()},
    )
    assert 0 <= found["share"] <= 41


def test_a_regression_with_several_outputs():
    x, _ = examples()
    targets = {"sum": x.sum(1), "product": x.prod(1)}
    found = measured(
        lambda: Sides({"sum": 1, "product": 1}), (x, targets), loss="mse", metrics=("mae",)
    )
    assert found["mae"] == pytest.approx((found["mae_sum"] + found["mae_product"]) / 2)


def test_a_share_of_the_data_takes_the_same_examples_of_each_name():
    x, y = examples(40)
    given = {
        form: task(Sides, (part, y["quarter"]), fidelity="data")(start(GENES, budget=0.5))
        for form, part in (("named", sides(x)), ("plain", x))
    }
    assert without_seconds(given["named"]) == without_seconds(given["plain"])


def test_noise_is_added_to_numbers_only():
    x, y = examples()
    words = np.arange(41) % 3

    class WithWords(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.layer = nn.Embedding(3, 2), nn.Linear(4, 4)

        def forward(self, inputs):
            return self.layer(torch.cat((inputs["x"], self.words(inputs["words"])), 1))

    data = ({"x": x, "words": words}, y["quarter"])
    assert 0 <= measured(WithWords, data, robustness=0.5)["robustness"] <= 1
    only = ({"words": words}, y["quarter"])
    with pytest.raises(TaskError, match=r"adds noise to the inputs, but they are torch\.int64"):
        measured(OnlyWords, only, robustness=0.5)


class OnlyWords(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(3, 4)

    def forward(self, inputs):
        return self.words(inputs["words"])


class TestRefused:
    def test_names_with_different_numbers_of_examples(self):
        x, y = examples()
        with pytest.raises(TaskError, match=r"train= has different numbers.*'x': 41, 'y': 40"):
            task(Sides, ({"x": x[:, :1], "y": x[1:, 1:]}, y["quarter"]))

    def test_more_inputs_than_targets(self):
        x, y = examples()
        with pytest.raises(TaskError, match="41 inputs and 40 targets"):
            task(Sides, (sides(x), {name: part[1:] for name, part in y.items()}))

    def test_a_dict_without_names(self):
        with pytest.raises(TaskError, match="dict without any name"):
            task(Sides, ({}, {}))

    def test_targets_of_other_names(self):
        x, y = examples()
        model = lambda: Sides({"quarter": 4, "near": 2})  # noqa: E731
        with pytest.raises(TaskError, match=r"outputs are quarter, near.*targets quarter, far"):
            measured(model, (x, y))

    def test_too_few_columns(self):
        x, y = examples()
        model = lambda: Sides({"quarter": 4, "far": 2})  # noqa: E731
        with pytest.raises(TaskError, match="or a column for each"):
            measured(model, (x, y["quarter"]))
        with pytest.raises(TaskError, match=r"shape \(8, 1\)"):
            measured(model, (x, y["quarter"][:, None]))

    def test_targets_by_name_for_one_output(self):
        x, y = examples()
        with pytest.raises(TaskError, match="one output, and its targets have the names"):
            measured(Sides, (x, y))

    def test_several_networks_of_a_member(self):
        x, y = examples()
        trial = RunningTrial(Trial(0, GENES, GENES, inherit={"networks": [None] * 2}))
        with pytest.raises(TaskError, match=r"averages one output.*quarter, far.*networks=1"):
            task(lambda: Sides({"quarter": 4, "far": 2}), (x, y))(trial)

    def test_texts_by_name(self):
        x, y = examples()
        with pytest.raises(TaskError, match="a network needs numbers"):
            measured(Sides, ({"x": x, "y": np.full(41, "word")}, y["quarter"]))
