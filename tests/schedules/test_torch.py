"""A schedule on real optimizers: applied by hand, and as a torch scheduler."""

import io
import logging
import pickle
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import (
    ChainedScheduler,
    ExponentialLR,
    LinearLR,
    LRScheduler,
    SequentialLR,
)

from evotune.schedules.schedule import Schedule, Segment

RATES = [0.1, 0.07, 0.013, 0.4, 0.0003]


def rates(*values, **others):
    return Schedule(tuple(Segment(1, {"lr": value} | others) for value in values))


def two_groups(kind=torch.optim.SGD, lr=0.5, **options):
    """An optimizer whose second group has a tenth of the learning rate."""
    first, second = nn.Linear(2, 2), nn.Linear(2, 1)
    groups = [{"params": first.parameters()}, {"params": second.parameters(), "lr": 0.1 * lr}]
    return kind(groups, lr=lr, **options)


def group_values(optimizer, name="lr"):
    return [group[name] for group in optimizer.param_groups]


def test_reading_a_schedule_needs_no_torch():
    code = (
        "import sys; from evotune.schedules.schedule import Schedule, Segment; "
        "print(Schedule((Segment(1, {'lr': 0.1}),))); print('torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["epochs", "lr", "0", "0.1", "False"]


# -- apply ------------------------------------------------------------------------------------


def test_apply_sets_the_genes_of_the_epoch_and_tells_which_had_an_effect():
    schedule = Schedule((Segment(1, {}), Segment(1, {"lr": 0.3, "momentum": 0.8, "width": 9})))
    optimizer = two_groups()
    assert schedule.apply(optimizer, 0) == set()
    assert group_values(optimizer) == [0.5, pytest.approx(0.05)]
    assert schedule.apply(optimizer, 1) == {"lr", "momentum"}
    assert group_values(optimizer) == [0.3, pytest.approx(0.03)]
    assert group_values(optimizer, "momentum") == [0.8, 0.8]


def test_apply_knows_the_other_names():
    schedule = Schedule((Segment(1, {"learning_rate": 0.2, "beta1": 0.7, "weight_decay": 0.01}),))
    optimizer = torch.optim.AdamW(nn.Linear(2, 1).parameters(), lr=0.1, betas=(0.9, 0.95))
    assert schedule.apply(optimizer, 0) == {"learning_rate", "beta1", "weight_decay"}
    (group,) = optimizer.param_groups
    assert group["lr"] == 0.2
    assert tuple(group["betas"]) == (0.7, 0.95)
    assert group["weight_decay"] == 0.01


def test_apply_sets_the_dropout_of_a_model():
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    schedule = Schedule((Segment(1, {"dropout": 0.4}),))
    assert schedule.apply(optimizer, 0, model=model) == {"dropout"}
    assert model[1].p == 0.4


def test_applying_again_and_again_keeps_each_groups_multiple():
    optimizer = two_groups()
    schedule = rates(*RATES)
    for epoch in range(50):
        schedule.apply(optimizer, epoch % 5)
        rate = RATES[epoch % 5]
        assert group_values(optimizer) == pytest.approx([rate, 0.1 * rate], rel=1e-12)


# -- the torch scheduler ----------------------------------------------------------------------


def epochs_of(scheduler, optimizer, count):
    """Return the groups' learning rates in each epoch of a training loop."""
    seen = []
    for _ in range(count):
        optimizer.step()
        seen.append(group_values(optimizer))
        scheduler.step()
    return seen


def test_it_is_a_torch_scheduler_that_sets_every_epoch():
    optimizer = two_groups()
    scheduler = rates(*RATES).scheduler(optimizer)
    assert isinstance(scheduler, LRScheduler)
    assert scheduler.get_last_lr() == group_values(optimizer)
    seen = epochs_of(scheduler, optimizer, 50)
    expected = [[rate, 0.1 * rate] for rate in RATES + RATES[-1:] * 45]
    assert seen == [pytest.approx(pair, rel=1e-12) for pair in expected]
    assert scheduler.get_last_lr() == pytest.approx([0.0003, 0.00003])


def test_it_sets_everything_else_too():
    schedule = Schedule(
        (
            Segment(1, {"lr": 0.1, "momentum": 0.9, "dropout": 0.1}),
            Segment(1, {"lr": 0.1, "momentum": 0.5, "weight_decay": 0.02, "dropout": 0.3}),
        )
    )
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.0))
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    scheduler = schedule.scheduler(optimizer, model=model)
    assert (group_values(optimizer, "momentum"), model[1].p) == ([0.9], 0.1)
    epochs_of(scheduler, optimizer, 1)
    assert (group_values(optimizer, "momentum"), model[1].p) == ([0.5], 0.3)
    assert group_values(optimizer, "weight_decay") == [0.02]


def test_a_value_of_zero_loses_no_multiple():
    first, second = nn.Linear(2, 2), nn.Linear(2, 1)
    groups = [{"params": first.parameters()}, {"params": second.parameters(), "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(groups, lr=0.1, weight_decay=0.5)
    schedule = Schedule(tuple(Segment(1, {"weight_decay": value}) for value in (0.1, 0.0, 0.2)))
    scheduler = schedule.scheduler(optimizer)
    seen = []
    for _ in range(3):
        seen.append(group_values(optimizer, "weight_decay"))
        epochs_of(scheduler, optimizer, 1)
    assert seen == [[0.1, 0.0], [0.0, 0.0], [0.2, 0.0]]


def test_a_dormant_gene_goes_back_to_what_was_built():
    schedule = Schedule((Segment(1, {"momentum": 0.9}), Segment(1, {}), Segment(1, {"lr": 0.2})))
    optimizer = two_groups(momentum=0.3)
    scheduler = schedule.scheduler(optimizer)
    epochs_of(scheduler, optimizer, 1)
    assert group_values(optimizer, "momentum") == [0.3, 0.3]
    assert group_values(optimizer) == [0.5, 0.05]
    epochs_of(scheduler, optimizer, 1)
    assert group_values(optimizer) == pytest.approx([0.2, 0.02])


def test_a_tensor_learning_rate_stays_the_same_tensor():
    rate = torch.tensor(1.0)
    optimizer = torch.optim.Adam(nn.Linear(2, 1).parameters(), lr=rate)
    scheduler = rates(0.1, 0.2).scheduler(optimizer)
    kept = scheduler.get_last_lr()
    epochs_of(scheduler, optimizer, 1)
    (group,) = optimizer.param_groups
    assert isinstance(group["lr"], torch.Tensor)
    assert group["lr"].item() == pytest.approx(0.2)
    assert kept[0].item() == pytest.approx(0.1)


def test_a_training_goes_on_from_saved_states():
    schedule = rates(*RATES, dropout=0.25)
    optimizer = two_groups()
    scheduler = schedule.scheduler(optimizer)
    epochs_of(scheduler, optimizer, 2)
    file = io.BytesIO()
    torch.save({"optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)

    model = nn.Sequential(nn.Dropout(0.0))
    optimizer = two_groups()
    scheduler = schedule.scheduler(optimizer, model=model)
    model[0].p = 0.0
    optimizer.load_state_dict(saved["optimizer"])
    scheduler.load_state_dict(saved["scheduler"])
    assert model[0].p == 0.25
    assert scheduler.last_epoch == 2
    expected = [[rate, 0.1 * rate] for rate in RATES[2:]]
    assert epochs_of(scheduler, optimizer, 3) == [pytest.approx(pair) for pair in expected]


def test_states_may_be_loaded_in_either_order():
    schedule = rates(*RATES)
    optimizer = two_groups()
    scheduler = schedule.scheduler(optimizer)
    epochs_of(scheduler, optimizer, 3)
    states = optimizer.state_dict(), scheduler.state_dict()

    optimizer = two_groups()
    scheduler = schedule.scheduler(optimizer)
    scheduler.load_state_dict(states[1])
    optimizer.load_state_dict(states[0])
    expected = [[rate, 0.1 * rate] for rate in RATES[3:]]
    assert epochs_of(scheduler, optimizer, 2) == [pytest.approx(pair) for pair in expected]


def test_a_new_scheduler_goes_on_after_the_last_epoch():
    optimizer = two_groups()
    schedule = rates(*RATES)
    epochs_of(schedule.scheduler(optimizer), optimizer, 2)
    schedule.scheduler(optimizer, last_epoch=2)
    assert group_values(optimizer) == pytest.approx([0.4, 0.04])


def test_its_state_holds_no_optimizer_and_no_model():
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.0))
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    state = rates(*RATES).scheduler(optimizer, model=model).state_dict()
    assert state["last_epoch"] == 0
    assert b"torch" not in pickle.dumps(state)
    assert b"evotune" not in pickle.dumps(state)


def test_after_a_warm_up():
    optimizer = two_groups()
    warm_up = LinearLR(optimizer, start_factor=0.5, total_iters=2)
    replay = rates(*RATES).scheduler(optimizer)
    scheduler = SequentialLR(optimizer, [warm_up, replay], milestones=[2])
    expected = [[0.25, 0.025], [0.375, 0.0375], [0.1, 0.01], [0.07, 0.007], [0.013, 0.0013]]
    assert epochs_of(scheduler, optimizer, 5) == [pytest.approx(pair) for pair in expected]


def test_a_warm_up_goes_on_from_saved_states():
    def build():
        optimizer = two_groups()
        warm_up = LinearLR(optimizer, start_factor=0.5, total_iters=2)
        replay = rates(*RATES).scheduler(optimizer)
        return optimizer, SequentialLR(optimizer, [warm_up, replay], milestones=[2])

    optimizer, scheduler = build()
    epochs_of(scheduler, optimizer, 1)
    states = optimizer.state_dict(), scheduler.state_dict()
    optimizer, scheduler = build()
    optimizer.load_state_dict(states[0])
    scheduler.load_state_dict(states[1])
    expected = [[0.375, 0.0375], [0.1, 0.01], [0.07, 0.007]]
    assert epochs_of(scheduler, optimizer, 3) == [pytest.approx(pair) for pair in expected]


def test_beside_a_scheduler_of_the_learning_rate():
    schedule = Schedule(tuple(Segment(1, {"momentum": value}) for value in (0.9, 0.8, 0.7)))
    optimizer = two_groups()
    both = [ExponentialLR(optimizer, gamma=0.5), schedule.scheduler(optimizer)]
    scheduler = ChainedScheduler(both)
    momenta = []
    for _ in range(3):
        momenta += [group_values(optimizer, "momentum")]
        epochs_of(scheduler, optimizer, 1)
    assert momenta == [[0.9, 0.9], [0.8, 0.8], [0.7, 0.7]]
    assert group_values(optimizer) == pytest.approx([0.5**4, 0.1 * 0.5**4])


def test_genes_without_effect_are_warned_of_once(caplog):
    schedule = rates(*RATES, width=3)
    optimizer = two_groups()
    with caplog.at_level(logging.WARNING, logger="evotune"):
        scheduler = schedule.scheduler(optimizer)
        epochs_of(scheduler, optimizer, 3)
    (record,) = caplog.records
    assert "no effect on SGD: width" in record.getMessage()


def test_dropout_without_a_model_is_warned_of_and_with_it_is_not(caplog):
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.0))
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    schedule = rates(0.1, dropout=0.3)
    schedule.scheduler(optimizer, model=model)
    assert not caplog.records
    schedule.scheduler(optimizer)
    assert "dropout" in caplog.text
