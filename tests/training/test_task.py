"""What a trial of a SupervisedTask does and returns."""

import copy
import math
from itertools import cycle

import cloudpickle
import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau, StepLR

from evotune.errors import TaskError
from evotune.running import RunningTrial
from evotune.training import SupervisedTask
from evotune.trial import Failed, Trial
from helpers_training import blob_task, blobs, digits, mlp, start, without_seconds


def digits_task(**options):
    train, validation = digits()
    return SupervisedTask(
        lambda params: mlp(64, 10, params["width"]),
        loss="cross_entropy",
        optimizer="sgd",
        train=train,
        validation=validation,
        **options,
    )


GOOD = {"lr": 0.1, "momentum": 0.9, "width": 32}


def test_a_small_network_learns_to_read_digits():
    metrics = digits_task(test=digits()[0], robustness=0.5)(start(GOOD))
    assert metrics["accuracy"] > 0.9
    assert metrics["loss"] < 0.5
    assert metrics["train_loss"] < metrics["loss"]
    assert metrics["test_accuracy"] > metrics["accuracy"]  # it was trained on these
    assert metrics["test_loss"] < metrics["loss"]
    assert metrics["robustness"] < metrics["accuracy"]
    assert metrics["parameters"] == 64 * 32 + 32 + 32 * 10 + 10
    assert metrics["train_seconds"] > 0
    assert metrics["evaluation_seconds"] > 0


def test_frozen_parameters_are_not_counted():
    def half_frozen(params):
        model = mlp()
        model[0].requires_grad_(False)
        return model

    assert blob_task(model=half_frozen)(start())["parameters"] == 8 * 3 + 3


def test_the_same_trial_gives_the_same_metrics_and_another_seed_gives_others():
    task = digits_task(epochs=2, robustness=0.1)
    first = without_seconds(task(start(GOOD)))
    assert without_seconds(task(start(GOOD))) == first
    assert without_seconds(task(start(GOOD, seed=2))) != first


def test_the_callers_random_stream_is_left_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    blob_task(robustness=0.1)(start())
    assert torch.equal(torch.rand(3), expected)


def test_epochs_come_from_the_budget_then_the_gene_then_the_task():
    def epochs(task, trial):
        task(trial)
        return len(trial.reports)

    task = blob_task(epochs=2, validate_every=1)
    assert epochs(task, start()) == 2
    assert epochs(task, start({"epochs": 3})) == 3
    assert epochs(task, start(budget=4)) == 4
    with pytest.raises(TaskError, match=r"'epochs' has no effect.*budget"):
        task(start({"epochs": 3}, budget=4))


def test_validation_metrics_are_reported_every_so_many_epochs():
    trial = start()
    metrics = blob_task(epochs=5, validate_every=2)(trial)
    assert [report["step"] for report in trial.reports] == [1, 3]
    assert {"step", "loss", "accuracy", "train_loss"} == set(trial.reports[0])
    assert trial.reports[0]["train_loss"] > metrics["train_loss"]
    silent = start()
    assert without_seconds(blob_task(epochs=5)(silent)) == without_seconds(metrics)
    assert silent.reports == []


def test_the_batch_size_gene_sets_the_number_of_steps():
    steps = []

    def counting_loss(output, target):
        steps.append(len(target))
        return nn.functional.cross_entropy(output, target)

    task = blob_task(loss=counting_loss, epochs=1, batch_size=50)
    task(start())
    assert steps == [50] * 6 + [300]  # the last one is the validation loss
    steps.clear()
    task(start({"batch_size": 150}))
    assert steps == [150, 150, 300]


def test_a_last_batch_of_one_example_is_left_out_so_that_batch_norm_can_train():
    def normalised(params):
        return nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))

    x, y = blobs()
    metrics = blob_task(model=normalised, train=(x[:201], y[:201]), batch_size=100)(start())
    assert math.isfinite(metrics["train_loss"])


def test_the_training_loss_is_the_mean_over_examples_not_batches():
    metrics = blob_task(batch_size=299 - 90, epochs=1)(start({"lr": 0.0}))
    assert metrics["train_loss"] == pytest.approx(metrics["loss"], rel=1e-5)


def test_the_model_trains_and_is_measured_in_the_right_mode():
    modes = []

    class Noting(nn.Linear):
        def forward(self, x):
            modes.append(self.training)
            return super().forward(x)

    task = blob_task(model=lambda params: Noting(2, 3), epochs=2, batch_size=300, validate_every=1)
    task(start())
    assert modes == [True, False, True, False, False]


def test_a_scheduler_is_stepped_once_an_epoch():
    rates = []

    def recording(optimizer, params):
        scheduler = StepLR(optimizer, step_size=1, gamma=params["gamma"])
        step = scheduler.step

        def record():
            step()
            rates.append(optimizer.param_groups[0]["lr"])

        scheduler.step = record
        return scheduler

    blob_task(scheduler=recording, epochs=3)(start({"lr": 0.8, "gamma": 0.5}))
    assert rates == pytest.approx([0.4, 0.2, 0.1])


def test_a_scheduler_may_take_the_optimizer_only():
    still = blob_task(scheduler=lambda optimizer: StepLR(optimizer, 1, gamma=0.0), epochs=3)
    one_epoch = blob_task(epochs=1)
    loss = without_seconds(still(start({"lr": 0.1})))["loss"]
    assert loss == without_seconds(one_epoch(start({"lr": 0.1})))["loss"]


def test_a_plateau_scheduler_sees_the_training_loss():
    made = []

    def plateau(optimizer):
        made.append(ReduceLROnPlateau(optimizer))
        return made[0]

    metrics = blob_task(scheduler=plateau, epochs=3)(start({"lr": 0.01}))
    assert made[0].best == pytest.approx(metrics["train_loss"])


def test_robustness_is_the_first_metric_under_a_given_change():
    upside_down = blob_task(metrics=("f1", "accuracy"), robustness=torch.neg, epochs=8)
    metrics = upside_down(start({"lr": 0.1}))
    assert metrics["f1"] > 0.8
    assert metrics["robustness"] < 0.4
    unchanged = blob_task(metrics=("f1", "accuracy"), robustness=lambda x: x)
    metrics = unchanged(start({"lr": 0.1}))
    assert metrics["robustness"] == metrics["f1"] != metrics["accuracy"]


def test_noise_for_robustness_is_the_same_for_every_trial():
    seen = []

    class Remembering(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 3)

        def forward(self, x):
            seen.append(x)
            return self.layer(x)

    task = blob_task(model=lambda params: Remembering(), robustness=0.1)
    task(start(seed=1))
    first = seen[-1]
    task(start(seed=2))
    assert torch.equal(first, seen[-1])
    noise = first - torch.tensor(blobs()[0])
    assert noise.std().item() == pytest.approx(0.1, rel=0.1)


def test_a_diverged_training_ends_at_once():
    trial = start({"lr": 1e12, "momentum": 0.99})
    with pytest.raises(Failed, match=r"training loss became (nan|inf) in epoch 1 of 50"):
        blob_task(epochs=50, loss="cross_entropy")(trial)


def test_divergence_is_noticed_in_the_midst_of_a_long_epoch():
    steps = []

    def diverging(output, target):
        steps.append(1)
        return nn.functional.cross_entropy(output, target) * math.inf

    with pytest.raises(Failed, match="epoch 1 of 2"):
        blob_task(loss=diverging, batch_size=1)(start())
    assert len(steps) < 200


def test_a_regression_is_measured_by_its_loss_and_regression_metrics():
    x = np.linspace(-1, 1, 200)[:, None]
    data = (x, 2 * x[:, 0] + 1)  # targets (200,), outputs (200, 1)
    task = blob_task(
        model=lambda params: nn.Linear(1, 1),
        loss="mse",
        train=data,
        validation=data,
        metrics=("r2", "mae", "mse"),
        epochs=20,
    )
    metrics = task(start({"lr": 0.2}))
    assert metrics["r2"] > 0.99
    assert metrics["loss"] == pytest.approx(metrics["mse"], rel=1e-4)
    assert metrics["mae"] <= math.sqrt(metrics["mse"]) + 1e-9


def test_a_regression_has_no_accuracy_by_default():
    x = np.zeros((8, 1))
    task = blob_task(
        model=lambda p: nn.Linear(1, 1), loss="l1", train=(x, x), validation=(x, x), robustness=0.1
    )
    metrics = task(start())
    assert "accuracy" not in metrics
    assert metrics["robustness"] > 0  # the loss, as there is no metric


@pytest.mark.parametrize(("loss", "end"), [("bce_with_logits", nn.Identity), ("bce", nn.Sigmoid)])
def test_two_classes_may_be_told_apart_by_one_output(loss, end):
    task = blob_task(
        model=lambda params: nn.Sequential(mlp(2, 1), end()),
        loss=loss,
        train=blobs(2),
        validation=blobs(2),
        metrics=("accuracy", "auc"),
        epochs=10,
    )
    metrics = task(start({"lr": 0.5}))
    assert metrics["accuracy"] > 0.9
    assert metrics["auc"] > metrics["accuracy"]


def test_it_survives_pickling_without_the_data_it_has_loaded():
    loads = []

    def load():
        loads.append(1)
        return blobs()

    task = blob_task(train=load)
    before = without_seconds(task(start({"lr": 0.1})))
    task(start({"lr": 0.1}))
    assert len(loads) == 1
    big = blob_task(train=lambda: (np.zeros((20_000, 2)), np.zeros(20_000, int)))
    big(start())
    assert len(cloudpickle.dumps(big)) < 50_000
    copy = cloudpickle.loads(cloudpickle.dumps(task))
    assert without_seconds(copy(start({"lr": 0.1}))) == before


def test_auto_is_a_device_that_is_there():
    assert blob_task(device="auto")(start())["loss"] > 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_the_device_is_that_of_the_worker_unless_it_is_given(monkeypatch):
    monkeypatch.setenv("EVOTUNE_DEVICE", "cuda:0")
    assert start().device == "cuda:0"
    with pytest.raises(TaskError, match='device="cuda:0", but torch finds no CUDA'):
        blob_task()(start())
    assert blob_task(device="cpu")(start())["loss"] > 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_missing_device_ends_the_run():
    with pytest.raises(TaskError, match='write device="auto"'):
        blob_task(device="cuda")(start())


def test_shapes_that_do_not_fit_fail_the_trial_instead_of_being_broadcast():
    x = np.zeros((10, 2))
    wrong = blob_task(loss="mse", train=(x, x[:, 0]), validation=(x, x[:, 0]))
    with pytest.raises(ValueError, match=r"output has shape \(10, 3\), the target \(10,\)"):
        wrong(start())


def shared_backbone():
    backbone = nn.Linear(2, 4)
    return lambda params: nn.Sequential(backbone, nn.ReLU(), nn.Linear(4, 3))


def one_net():
    net = mlp()
    return lambda params: net


def two_nets_in_turn():
    nets = cycle([mlp(), mlp()])
    return lambda params: next(nets)


@pytest.mark.parametrize("make", [one_net, shared_backbone, two_nets_in_turn])
def test_weights_that_another_trial_has_trained_are_refused(make):
    task = blob_task(model=make(), epochs=1)
    trials = (task(start({"lr": 0.1})) for _ in range(3))
    with pytest.raises(TaskError, match=r"(?s)weight' of trial 3 again.*make every model anew"):
        list(trials)


@pytest.mark.parametrize("make", [one_net, shared_backbone])
def test_weights_that_networks_of_one_ensemble_share_are_refused(make):
    task = blob_task(model=make(), epochs=1)
    trial = RunningTrial(Trial(5, {}, {}, seed=1, inherit={"networks": [None, None]}))
    assert trial.networks == 2
    with pytest.raises(TaskError, match=r"(?s)weight' for two networks of one ensemble, .* 5;"):
        task(trial)


def test_shared_weights_that_are_frozen_or_copied_are_fine():
    frozen, pretrained = nn.Linear(2, 2).requires_grad_(False), mlp()
    models = [
        lambda params: nn.Sequential(frozen, mlp()),
        lambda params: copy.deepcopy(pretrained),
    ]
    for model in models:
        task = blob_task(model=model, epochs=1)
        first, second = task(start({"lr": 0.1})), task(start({"lr": 0.1}))
        assert without_seconds(first) == without_seconds(second)


class Sorted(torch.utils.data.Dataset):
    """Examples in order; reading one draws from torch's generator, as augmentation does."""

    def __len__(self):
        return 900

    def __getitem__(self, index):
        torch.rand(1)
        return torch.tensor([float(index), 0.0]), 0


@pytest.mark.parametrize("kind", ["tensors", "dict", "dataset", "loader", "few", "stream"])
def test_examples_for_other_structures_are_drawn_from_all_data(kind):
    x = torch.arange(900.0)[:, None].expand(-1, 2)
    y = torch.zeros(900, dtype=torch.int64)
    data = {
        "tensors": (x, y),
        "dict": ({"x": x}, y),
        "dataset": Sorted(),
        "loader": torch.utils.data.DataLoader(Sorted(), batch_size=7, shuffle=True),
        "few": (x[::300], y[::300]),
        "stream": torch.utils.data.DataLoader(torch.utils.data.ChainDataset([]), batch_size=1),
    }[kind]
    task = blob_task(train=data)
    setup = task.set_up(start(), torch.device("cpu"))
    before = torch.get_rng_state(), setup.shuffle.get_state()
    found = [setup.examples() for _ in range(2)]
    assert torch.equal(torch.get_rng_state(), before[0])
    assert torch.equal(setup.shuffle.get_state(), before[1])
    if kind == "stream":
        assert found == [None, None]
        return
    first, second = (part["x"] if kind == "dict" else part for part in found)
    assert torch.equal(first, second)
    assert len(first) == (3 if kind == "few" else 500)
    if kind != "few":
        assert 350 < float(first[:, 0].mean()) < 550
