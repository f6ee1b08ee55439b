"""Trials in the trainer of transformers: reports, stopping rules, budgets, inherited weights."""

import os
import pickle
from functools import cache

import cloudpickle
import pytest

pytest.importorskip("transformers")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch

import evotune as et
from helpers_study import EndsAtReport

pytestmark = pytest.mark.filterwarnings("ignore")

DATA = [{"x": torch.ones(3) * (1 + i % 2), "labels": torch.ones(1)} for i in range(8)]
SPACE = et.Space(lr=et.Float(1e-4, 1e-1, log=True))


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 1)

    def forward(self, x, labels):
        out = self.layer(x)
        return {"loss": (out - labels).pow(2).mean(), "logits": out}


def objective(*given):
    from evotune.integrations.huggingface import hf_objective

    return hf_objective(*given)


@cache
def watched():
    """Return a class of trainers that note what their training began with.

    The library takes seconds to import; those who only collect the tests need not.
    """
    from transformers import Trainer

    class Watched(Trainer):
        def training_step(self, model, *given):
            if not self.state.global_step:
                seen = self.optimizer.state_dict()
                self.began = {
                    "weights": float(model.layer.weight.detach().sum()),
                    "lr": seen["param_groups"][0]["lr"],
                    "momentum": float(len(seen["state"])),
                    "seed": float(torch.initial_seed()),
                }
            return super().training_step(model, *given)

    return Watched


trainers = {}


def trainer(trial, evaluation=DATA, **options):
    from transformers import TrainingArguments

    arguments = {
        "report_to": [],
        "disable_tqdm": True,
        "logging_strategy": "no",
        "save_strategy": "no",
        "eval_strategy": "epoch",
        "num_train_epochs": 3,
        "learning_rate": trial.params["lr"],
        "lr_scheduler_type": "constant",
        "per_device_train_batch_size": 4,
        "use_cpu": True,
        **options,
    }
    made = watched()(
        Net(), TrainingArguments(**arguments), train_dataset=DATA, eval_dataset=evaluation
    )
    trainers[trial.number] = made
    return made


def study(algorithm=None):
    return et.Study(algorithm or et.RandomSearch(SPACE), "min eval_loss", seed=1)


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trainers.clear()


def test_each_evaluation_is_reported_and_the_last_one_is_the_result():
    done = study().run(objective(trainer), trials=2)
    trial = done.trials[0]
    assert [report["step"] for report in trial.reports] == [0, 1, 2]
    assert trial.metrics["eval_loss"] == trial.reports[-1]["eval_loss"]
    assert set(trial.reports[0]) == {"step", "eval_loss"}
    assert set(trial.metrics) - {"train_seconds", "evaluation_seconds"} == {
        "train_loss",
        "eval_loss",
    }
    seeds = [trainers[number].began["seed"] for number in (0, 1)]
    assert seeds == [each.seed for each in done.trials]
    net = Net()
    done.restore(model=net)
    best = trainers[done.best.number].model
    assert torch.equal(net.layer.weight, best.layer.weight)


def test_without_evaluations_while_it_trains_it_is_evaluated_at_the_end():
    done = study().run(objective(lambda t: trainer(t, eval_strategy="no")), trials=1)
    assert done.best.metrics["eval_loss"] > 0
    assert not done.best.reports


def test_a_stopping_rule_ends_a_trial_through_the_trainer():
    [trial] = study().run(objective(trainer), trials=1, stopping=EndsAtReport(2)).trials
    assert trial.state == "stopped"
    assert len(trial.reports) == 2


def test_a_population_goes_on_from_weights_and_moments_for_its_budget():
    population = et.PopulationBasedTraining(SPACE, population_size=2, interval=2)
    trials = study(population).run(objective(trainer), epochs=4).trials
    heirs = [trial for trial in trials if trial.donors]
    assert heirs
    for heir in heirs:
        donor, began = trainers[heir.donors[0]], trainers[heir.number].began
        assert began["weights"] == pytest.approx(float(donor.model.layer.weight.detach().sum()))
        assert began["lr"] == pytest.approx(heir.params["lr"])
        assert began["momentum"] == 2
        assert trainers[heir.number].state.global_step == 4  # 2 epochs of 2 batches
        assert [report["step"] for report in heir.reports] == [2, 3]
        assert heir.checkpoint.epochs == 4


def test_trials_save_their_checkpoints_apart(tmp_path):
    def saving(trial):
        return trainer(trial, save_strategy="epoch", output_dir=str(tmp_path / "out"))

    study().run(objective(saving), trials=2)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"trial-0", "trial-1"}


PBT = et.PopulationBasedTraining


@pytest.mark.parametrize(
    ("make", "pbt", "stopping", "words"),
    [
        (lambda t: trainer(t, None, eval_strategy="no"), False, False, "eval_dataset="),
        (lambda t: Net(), False, False, "it returned Net"),
        (lambda t: trainer(t, eval_strategy="no"), False, True, 'eval_strategy="epoch"'),
        (lambda t: trainer(t, max_steps=3), True, False, "max_steps=3"),
        (lambda t: trainer(t, lr_scheduler_type="linear"), True, False, '"constant"'),
    ],
)
def test_what_would_have_no_effect_is_refused(make, pbt, stopping, words):
    algorithm = PBT(SPACE, population_size=2, interval=2) if pbt else None
    with pytest.raises(et.errors.TaskError, match=words):
        study(algorithm).run(
            objective(make), trials=1, stopping=EndsAtReport(2) if stopping else None
        )


def test_several_data_sets_are_reported_at_one_step():
    def several(trial):
        return trainer(trial, {"near": DATA[:2], "far": DATA[2:]})

    names = ["eval_near_loss", "eval_far_loss"]
    [trial] = (
        et.Study(et.RandomSearch(SPACE), [f"min {name}" for name in names], seed=1)
        .run(objective(several), trials=1)
        .trials
    )
    assert [report["step"] for report in trial.reports] == [0, 0, 1, 1, 2, 2]
    assert {name for report in trial.reports for name in report} == {"step", *names}
    assert [trial.metrics[name] for name in names] == [
        next(r[name] for r in trial.reports[::-1] if name in r) for name in names
    ]
    [trial] = (
        study()
        .run(
            objective(lambda t: trainer(t, {"loss": DATA, "far": DATA}), "eval_far_loss"),
            trials=1,
        )
        .trials
    )
    assert {name for report in trial.reports for name in report} == {"step", "eval_far_loss"}


def test_a_monitor_that_is_missing_names_what_there_is():
    with pytest.raises(et.errors.TaskError, match="did you mean 'eval_loss'"):
        study().run(objective(trainer, "eval_los"), trials=1)


def test_a_trainer_of_ones_own_is_told_of_a_budget_it_does_not_keep():
    from evotune.integrations import huggingface

    def own(trial):
        made = trainer(trial)
        made.add_callback(huggingface.TrialCallback(trial))
        made.train()
        return made.evaluate()

    population = et.PopulationBasedTraining(SPACE, population_size=2, interval=2)
    with pytest.raises(et.errors.TaskError, match=r"num_train_epochs=trial\.budget"):
        study(population).run(own, trials=1)


def test_a_trainer_is_no_factory():
    with pytest.raises(et.errors.TaskError, match="def make_trainer"):
        objective(trainer(et.RunningTrial(et.Trial(0, {}, {"lr": 0.1}))))


def test_it_travels_to_worker_processes():
    sent = pickle.loads(cloudpickle.dumps(objective(trainer)))
    assert sent(et.RunningTrial(et.Trial(0, {}, {"lr": 0.1})))["eval_loss"] > 0
