import logging
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW

from evotune import once
from evotune.checkpoints.hyperparameters import BuiltSettings, set_dropout, set_hyperparameters


@pytest.fixture(autouse=True)
def _warn_again(monkeypatch):
    monkeypatch.setattr(once, "said", set())


def values(optimizer, name):
    return [group[name] for group in optimizer.param_groups]


def groups(count):
    return [nn.Parameter(torch.ones(2)) for _ in range(count)]


def test_genes_reach_every_group_and_multiples_are_kept():
    body, head, bias = groups(3)
    optimizer = SGD(
        [{"params": [body]}, {"params": [head], "lr": 1.0}, {"params": [bias], "weight_decay": 0}],
        lr=0.1,
        weight_decay=0.01,
    )
    applied = set_hyperparameters(optimizer, {"lr": 0.2, "weight_decay": 0.03, "width": 3})
    assert applied == {"lr", "weight_decay"}
    assert values(optimizer, "lr") == pytest.approx([0.2, 2.0, 0.2])
    assert values(optimizer, "weight_decay") == pytest.approx([0.03, 0.03, 0])


def test_setting_twice_keeps_the_same_multiples():
    body, head = groups(2)
    optimizer = SGD([{"params": [body]}, {"params": [head], "lr": 1.0}], lr=0.1)
    for rate in (0.5, 0.02, 0.02):
        set_hyperparameters(optimizer, {"lr": rate})
        assert values(optimizer, "lr") == pytest.approx([rate, 10 * rate])


def test_of_a_default_of_zero_only_groups_at_zero_change():
    body, head = groups(2)
    optimizer = SGD([{"params": [body]}, {"params": [head], "weight_decay": 0.5}], lr=0.1)
    set_hyperparameters(optimizer, {"weight_decay": 0.1})
    assert values(optimizer, "weight_decay") == [0.1, 0.5]


def test_aliases_and_parts_of_betas():
    body, head = groups(2)
    optimizer = AdamW([{"params": [body]}, {"params": [head], "betas": (0.5, 0.999)}], lr=1e-3)
    genes = {"learning_rate": 0.01, "beta1": 0.8, "beta2": 0.95}
    assert set_hyperparameters(optimizer, genes) == set(genes)
    assert values(optimizer, "lr") == [0.01, 0.01]
    assert values(optimizer, "betas") == [(0.8, 0.95), (0.5, 0.95)]


def test_betas_and_switches_as_a_whole():
    optimizer = Adam(groups(1))
    assert set_hyperparameters(
        optimizer, {"betas": [0.7, 0.9], "amsgrad": True, "fused": True}
    ) == {
        "betas",
        "amsgrad",
    }
    assert optimizer.param_groups[0]["betas"] == (0.7, 0.9)
    assert optimizer.param_groups[0]["amsgrad"] is True
    assert not optimizer.param_groups[0]["fused"]


def test_a_group_keeps_a_momentum_of_its_own():
    body, head = groups(2)
    optimizer = SGD([{"params": [body]}, {"params": [head], "momentum": 0.99}], 0.1, momentum=0.9)
    set_hyperparameters(optimizer, {"momentum": 0.95})
    assert values(optimizer, "momentum") == [0.95, 0.99]


def test_a_learning_rate_tensor_is_filled_in_place():
    rate = torch.tensor(0.1)
    body, head = groups(2)
    optimizer = Adam([{"params": [body]}, {"params": [head], "lr": torch.tensor(0.2)}], lr=rate)
    set_hyperparameters(optimizer, {"lr": 0.5})
    assert optimizer.param_groups[0]["lr"] is rate
    assert rate.item() == pytest.approx(0.5)
    assert optimizer.param_groups[1]["lr"].item() == pytest.approx(1.0)


def test_initial_lr_follows():
    optimizer = SGD(groups(1), lr=0.1)
    torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 0.5)
    set_hyperparameters(optimizer, {"lr": 0.2})
    assert optimizer.param_groups[0]["initial_lr"] == pytest.approx(0.2)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.1)  # a scheduled half of it


def test_an_optimizer_of_another_library():
    optimizer = SimpleNamespace(param_groups=[{"params": [], "lr": 1.0}, {"params": [], "lr": 2.0}])
    assert set_hyperparameters(optimizer, {"lr": 0.1, "params": 3, "beta1": 0.5}) == {"lr"}
    assert values(optimizer, "lr") == [0.1, 0.1]


def test_a_replaced_value_is_warned_of_once(caplog):
    for _ in range(2):
        optimizer = SGD(groups(1), lr=0.15)
        set_hyperparameters(optimizer, {"lr": 0.3}, warn=True)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "set lr to 0.3, the gene, where it was built with 0.15" in caplog.text


def test_values_built_from_the_gene_cause_no_warning(caplog):
    set_hyperparameters(SGD(groups(1), lr=0.3), {"lr": 0.3}, warn=True)
    set_hyperparameters(Adam(groups(1), betas=(0.8, 0.9)), {"beta1": 0.8}, warn=True)
    set_dropout(nn.Dropout(0.3), {"dropout": 0.3}, built=True)
    set_dropout(nn.Dropout(0.3), {"dropout": 0.4})
    set_hyperparameters(SGD(groups(1), lr=0.3), {"lr": 0.4})  # in the midst of training
    assert not caplog.records


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.1))
        self.encoder.drop = nn.Dropout2d(0.1)
        self.head_drop = nn.AlphaDropout(0.1)
        self.recurrent = nn.LSTM(2, 2, num_layers=2, dropout=0.1)
        self.attention = nn.MultiheadAttention(2, 1, dropout=0.1)

    def rates(self):
        return [
            self.encoder[1].p,
            self.encoder.drop.p,
            self.head_drop.p,
            self.recurrent.dropout,
            self.attention.dropout,
        ]


@pytest.mark.parametrize(
    ("genes", "rates"),
    [
        ({"dropout": 0.3}, [0.3] * 5),
        ({"dropout_rate": 0.3}, [0.3] * 5),
        ({"drop": 0.2}, [0.1, 0.2, 0.1, 0.1, 0.1]),
        ({"encoder.drop": 0.2, "dropout": 0.3}, [0.3, 0.2, 0.3, 0.3, 0.3]),
        ({"head_drop": 0.2, "encoder.1": 0.4}, [0.4, 0.1, 0.2, 0.1, 0.1]),
        ({"recurrent.dropout": 0.2}, [0.1, 0.1, 0.1, 0.2, 0.1]),
        ({"recurrent": 0.2, "lr": 0.5}, [0.1] * 5),
        ({"dropout": True}, [0.1] * 5),
        ({"dropout": 3}, [0.1] * 5),
        ({"drop": "dropout2d"}, [0.1] * 5),
    ],
    ids=str,
)
def test_dropout_by_name(genes, rates):
    net = Net()
    applied = set_dropout(net, genes)
    assert net.rates() == rates
    assert applied == (set() if rates == [0.1] * 5 else set(genes))


def test_a_replaced_dropout_is_warned_of_once(caplog):
    set_dropout(Net(), {"dropout": 0.3}, built=True)
    assert len(caplog.records) == 1
    assert "set dropout to 0.3" in caplog.text


class Counting(SGD):
    """It counts in its param groups, as Prodigy and schedule-free optimizers do."""

    def __init__(self, params, lr=0.1, momentum=0.0):
        super().__init__(params, lr, momentum)
        self.defaults["k"] = 0
        for group in self.param_groups:
            group["k"] = 0


def test_what_an_optimizer_counts_in_its_groups_is_not_a_setting():
    donor, child = Counting(groups(1), 0.5), Counting(groups(1), 0.2, 0.9)
    donor.param_groups[0]["k"] = 7
    built = BuiltSettings.of({"optimizer": child})
    child.load_state_dict(donor.state_dict())
    built.put_back({})
    group = child.param_groups[0]
    assert (group["lr"], group["momentum"], group["k"]) == (0.2, 0.9, 7)


def test_a_model_that_was_built_with_the_gene_keeps_its_other_rates():
    model = torch.nn.Sequential(torch.nn.Dropout(0.1), torch.nn.Dropout(0.4))
    assert set_dropout(model, {"dropout": 0.4}, built=True) == set()
    assert [layer.p for layer in model] == [0.1, 0.4]
    set_dropout(model, {"dropout": 0.3})
    assert [layer.p for layer in model] == [0.3, 0.3]


def test_the_gene_for_all_dropout_does_not_mean_that_between_recurrent_layers():
    class Tagger(nn.Module):
        def __init__(self, dropout):
            super().__init__()
            self.rnn = nn.LSTM(2, 2, num_layers=2)
            self.attention = nn.MultiheadAttention(2, 1)
            self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(2, 2))

    model = Tagger(0.4)
    assert set_dropout(model, {"dropout": 0.4}, built=True) == set()
    assert (model.rnn.dropout, model.attention.dropout) == (0.0, 0.0)
    assert set_dropout(model, {"rnn.dropout": 0.2, "dropout": 0.4}, built=True) == {"rnn.dropout"}
    assert model.rnn.dropout == 0.2
