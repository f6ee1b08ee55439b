"""Trials in Lightning: reports, stopping rules, budgets and inherited weights."""

import os
import signal
import threading

import pytest

pytest.importorskip("lightning")
pytest.importorskip("torch")

import lightning
import torch
from torch.utils.data import DataLoader, TensorDataset

import evotune as et
from evotune.errors import TaskError
from evotune.integrations.lightning import TrialCallback, fit
from helpers_study import EndsAtReport

pytestmark = pytest.mark.filterwarnings("ignore")

QUIET = dict.fromkeys(
    ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False
)
DATA = DataLoader(TensorDataset(torch.ones(8, 3), torch.ones(8, 1)), batch_size=4)
SPACE = et.Space(lr=et.Float(1e-4, 1e-1, log=True))


class Net(lightning.LightningModule):
    def __init__(self, lr, hook=None):
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(3, 1)
        self.lr, self.hook, self.began = lr, hook, None

    def on_train_start(self):
        self.began = float(self.layer.weight.detach().sum())

    def training_step(self, batch):
        if self.hook:
            self.hook()
        return (self.layer(batch[0]) - batch[1]).pow(2).mean()

    def validation_step(self, batch):
        self.log("val_loss", (self.layer(batch[0]) - batch[1]).pow(2).mean())

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), self.lr, momentum=0.9)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 100)]


def trainer(callback, epochs=3, **options):
    return lightning.Trainer(
        max_epochs=epochs, callbacks=callback, accelerator="cpu", **{**QUIET, **options}
    )


def train(trial, *, monitor="val_loss", validation=DATA, hook=None, **options):
    callback = TrialCallback(trial, monitor)
    net = Net(trial.params["lr"], hook)
    trainer(callback, **options).fit(net, DATA, validation)
    return callback.metrics | {"began": net.began, "ended": float(net.layer.weight.sum())}


def study(algorithm=None):
    return et.Study(algorithm or et.RandomSearch(SPACE), "min val_loss", seed=1)


def test_each_epoch_is_reported_and_the_last_validation_is_the_result():
    [trial] = study().run(train, trials=1).trials
    assert [report["step"] for report in trial.reports] == [0, 1, 2]
    losses = [report["val_loss"] for report in trial.reports]
    assert losses == sorted(losses, reverse=True)
    assert trial.metrics["val_loss"] == losses[-1]
    assert trial.metrics["train_seconds"] > 0


def test_a_stopping_rule_ends_a_trial_through_the_trainer():
    [trial] = study().run(train, trials=1, stopping=EndsAtReport(2)).trials
    assert trial.state == "stopped"
    assert len(trial.reports) == 2
    assert trial.metrics["val_loss"] == trial.reports[-1]["val_loss"]


def test_a_population_goes_on_from_weights_and_momentum_for_its_budget():
    population = et.PopulationBasedTraining(SPACE, population_size=2, interval=2)
    trials = study(population).run(train, epochs=4).trials
    assert {trial.budget for trial in trials} == {2}
    heirs = [trial for trial in trials if trial.donors]
    assert heirs
    for heir in heirs:
        donor = trials[heir.donors[0]]
        assert heir.metrics["began"] == pytest.approx(donor.metrics["ended"])
        assert [report["step"] for report in heir.reports] == [2, 3]
        assert heir.checkpoint.epochs == 4


def test_the_best_module_can_be_restored():
    done = study().run(train, trials=2)
    net = Net(0.1)
    done.restore(model=net)
    assert float(net.layer.weight.sum()) == pytest.approx(done.best.metrics["ended"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"monitor": "val_los"}, "did you mean 'val_loss'"),
        ({"validation": None, "stopping": True}, "give fit validation data"),
        ({"max_steps": 3, "budget": True}, "leave it out"),
    ],
)
def test_what_would_have_no_effect_is_refused(options, words):
    rule = EndsAtReport(2) if options.pop("stopping", False) else None
    algorithm = None
    if options.pop("budget", False):
        algorithm = et.PopulationBasedTraining(SPACE, population_size=2, interval=2)
    with pytest.raises(et.errors.TaskError, match=words):
        study(algorithm).run(lambda t: train(t, **options), trials=1, stopping=rule)


@pytest.mark.parametrize("wrong", [None, 3, [], [1]])
def test_monitor_is_a_name_or_several(wrong):
    handle = et.RunningTrial(et.Trial(0, {}, {}))
    with pytest.raises(et.errors.TaskError, match="monitor="):
        TrialCallback(handle, wrong)


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_an_interrupt_ends_the_run_and_no_trial_fails():
    assert threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT)
    done = study().run(
        lambda t: train(t, hook=lambda: os.kill(os.getpid(), signal.SIGINT)), trials=2
    )
    assert done.stop_reason == "interrupted"
    assert not done.counts.get("failed")
    assert signal.getsignal(signal.SIGINT) is before


class Data(lightning.LightningDataModule):
    def train_dataloader(self):
        return DATA

    val_dataloader = train_dataloader


@pytest.mark.parametrize("data", [(DATA, DATA), (Data(),)], ids=["loaders", "module"])
def test_fit_trains_as_a_trainer_with_the_callback_does_and_writes_nothing(
    data, tmp_path, monkeypatch, capsys
):
    def short(trial):
        return fit(trial, Net(**trial.params), *data, monitor="val_loss", max_epochs=3)

    monkeypatch.chdir(tmp_path)
    [expected] = study().run(train, trials=1).trials
    capsys.readouterr()
    [trial] = study().run(short, trials=1).trials
    assert trial.reports == expected.reports
    assert trial.metrics["val_loss"] == expected.metrics["val_loss"]
    assert not list(tmp_path.iterdir())
    printed = capsys.readouterr()
    assert not printed.out
    assert "max_epochs=3" not in printed.err


def test_fit_keeps_the_callbacks_and_options_of_its_user():
    class Counts(lightning.Callback):
        epochs = 0

        def on_train_epoch_start(self, *_):
            self.epochs += 1

    counts = [Counts(), Counts()]

    def short(trial):
        for callbacks in (counts[0], [counts[1]]):
            metrics = fit(
                trial,
                Net(**trial.params),
                DATA,
                DATA,
                monitor="val_loss",
                max_epochs=2,
                callbacks=callbacks,
                limit_train_batches=1,
            )
        return metrics

    study().run(short, trials=1)
    assert [each.epochs for each in counts] == [2, 2]


def test_fit_of_no_lightning_module_says_what_it_needs():
    def short(trial):
        return fit(trial, torch.nn.Linear(3, 1), DATA, monitor="val_loss")

    with pytest.raises(TaskError, match="LightningModule, got Linear"):
        study().run(short, trials=1, max_failures=0)
