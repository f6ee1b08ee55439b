"""Schedules as genes: what a task sets before each epoch."""

import pytest
import torch
from torch import nn

import evotune as et
from evotune import once
from evotune.errors import TaskError
from evotune.running import RunningTrial
from evotune.training.stacked.together import train_together
from evotune.trial import Trial
from helpers_stacked import Line, assert_alike, assert_same_training, double_task, run_each
from helpers_training import blob_task, mlp, start, without_seconds

COSINE = {"shape": "cosine", "start": 0.5, "end_share": 0.01, "warmup": 0.3}
SPACE = et.Space(lr=et.Scheduled(et.Float(0.01, 1.0, log=True)))


class Watched(torch.optim.SGD):
    """Notes the learning rate and the momentum of every group in each epoch."""

    seen: list

    def step(self, closure=None):
        now = [(group["lr"], group["momentum"]) for group in self.param_groups]
        if not self.seen or self.seen[-1] != now:
            self.seen.append(now)
        super().step(closure)


@pytest.fixture
def seen(monkeypatch):
    found = []
    monkeypatch.setattr(Watched, "seen", found, raising=False)
    return found


def of_epochs(record, epochs):
    return [params["x"] for params in et.Schedule.of({"x": record}, epochs=epochs)]


def simple(params):
    return nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3))


def test_the_value_of_each_epoch_is_set_before_it(seen):
    momentum = {"shape": "piecewise", "start": 0.5, "knot1": 0.9}
    trial = start({"lr": COSINE, "momentum": momentum})
    blob_task(optimizer=Watched, epochs=5)(trial)
    assert [row[0] for row in seen] == list(
        zip(of_epochs(COSINE, 5), of_epochs(momentum, 5), strict=True)
    )


def test_it_trains_as_a_schedule_given_to_torch_does():
    schedule = et.Schedule.of({"lr": COSINE}, epochs=4)
    by_hand = blob_task(epochs=4, scheduler=lambda optimizer: schedule.scheduler(optimizer))
    expected = by_hand(start({"lr": 0.5}))
    assert without_seconds(blob_task(epochs=4)(start({"lr": COSINE}))) == without_seconds(expected)


def test_a_constant_schedule_trains_as_a_constant_does():
    constant = {"shape": "constant", "start": 0.1, "warmup": 0.0}
    one, two = (blob_task()(start({"lr": lr, "momentum": 0.9})) for lr in (constant, 0.1))
    assert without_seconds(one) == without_seconds(two)


def test_a_group_keeps_its_multiple(seen):
    def optimizer(parameters, params):
        first, *others = parameters
        head = {"params": others, "lr": 10 * params["lr"]}
        return Watched([{"params": [first]}, head], lr=params["lr"])

    blob_task(optimizer=optimizer, epochs=3)(start({"lr": COSINE}))
    assert [row[0][0] for row in seen] == pytest.approx(of_epochs(COSINE, 3))
    assert [row[1][0] for row in seen] == pytest.approx([10 * v for v in of_epochs(COSINE, 3)])


def test_the_length_is_the_gene_epochs_the_task_or_what_fit_is_given(seen):
    task = blob_task(optimizer=Watched, epochs=6)
    task(start({"lr": COSINE}, budget=3.0))
    assert [row[0][0] for row in seen] == of_epochs(COSINE, 6)[:3]
    seen.clear()
    task(start({"lr": COSINE, "epochs": 4}))
    assert [row[0][0] for row in seen] == of_epochs(COSINE, 4)
    seen.clear()
    task.fit({"lr": COSINE}, epochs=3)
    assert [row[0][0] for row in seen] == of_epochs(COSINE, 3)


def test_a_trial_that_inherits_goes_on_at_its_epoch(seen):
    task, line = blob_task(optimizer=Watched, epochs=5), Line()
    first = line.handle(0, {"lr": COSINE}, budget=2.0)
    task(first)
    line.state(first)
    other = COSINE | {"start": 0.2}
    task(line.handle(1, {"lr": other}, donor=0, budget=3.0))
    assert [row[0][0] for row in seen] == of_epochs(COSINE, 5)[:2] + of_epochs(other, 5)[2:]


def test_in_two_parts_it_trains_exactly_as_in_one():
    line = Line()
    for number, budget in enumerate((2.0, 3.0)):
        donor = number - 1 if number else None
        handle = line.handle(number, {"lr": COSINE}, seed=7, donor=donor, budget=budget)
        double_task(simple, epochs=5, batch_size=22)(handle)
        parts = line.state(handle)
    whole_line = Line()
    whole = whole_line.handle(0, {"lr": COSINE}, seed=7, budget=5.0)
    double_task(simple, epochs=5, batch_size=22)(whole)
    assert_alike(parts[0]["model"], whole_line.state(whole)[0]["model"])


def test_beyond_its_end_the_last_value_stays_and_is_said(seen, caplog, monkeypatch):
    monkeypatch.setattr(once, "said", set())
    task = blob_task(optimizer=Watched, epochs=2)
    task(start({"lr": COSINE}, budget=4.0))
    assert [row[0][0] for row in seen] == of_epochs(COSINE, 2)
    [said] = [r.getMessage() for r in caplog.records if "lies beyond" in r.getMessage()]
    assert said.startswith("epoch 3 lies beyond the schedule of lr, which is 2 epochs long")


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_stacked_and_one_by_one_agree(optimizer):
    decay = {"shape": "cosine", "start": 0.0, "end": 0.1}
    genomes = [
        {"lr": COSINE | {"start": 0.05}, "weight_decay": decay},
        {"lr": COSINE | {"shape": "exponential", "start": 0.02}, "weight_decay": 0.01},
        {"lr": {"shape": "piecewise", "start": 0.1, "knot1": 0.01}, "weight_decay": decay},
        {"lr": 0.1, "weight_decay": 0.0},
    ]
    assert_same_training(double_task(simple, optimizer=optimizer, epochs=4), genomes)


@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop"])
def test_a_momentum_that_begins_at_zero_agrees_too(optimizer):
    rising = {"shape": "piecewise", "start": 0.0, "knot1": 0.9, "warmup": 0.4}
    genomes = [{"lr": 0.01, "momentum": rising}, {"lr": 0.005, "momentum": 0.5}]
    assert_same_training(double_task(simple, optimizer=optimizer, epochs=4), genomes)
    assert_same_training(double_task(simple, optimizer=optimizer, epochs=4), genomes[:1] * 2)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_stacked_trials_that_inherit_go_on_at_their_epoch(optimizer):
    task = double_task(simple, epochs=5, optimizer=optimizer)
    genomes = [{"lr": COSINE | {"start": rate}} for rate in (0.01, 0.05)]
    if optimizer == "sgd":  # their donors have a momentum, and they are built without
        rising = {"shape": "piecewise", "start": 0.0, "knot1": 0.9}
        genomes = [genome | {"momentum": rising} for genome in genomes]
    results = []
    for together in (False, True):
        line = Line()
        first = [line.handle(n, genome, budget=2.0) for n, genome in enumerate(genomes)]
        assert all(isinstance(found, dict) for found in run_each(task, first))
        for handle in first:
            line.state(handle)
        later = [line.handle(n + 2, g, donor=1 - n, budget=3.0) for n, g in enumerate(genomes)]
        found = train_together(task, later) if together else run_each(task, later)
        results.append([without_seconds(each) for each in found])
    assert_alike(*results)


def test_sparsity_may_be_a_schedule():
    record = {"shape": "cosine", "start": 0.1, "end": 0.8}
    trial = start({"sparsity": record})
    found = blob_task(epochs=4, validate_every=1)(trial)
    wanted = of_epochs(record, 4)
    sparsities = [report["sparsity"] for report in trial.reports]
    assert sparsities == pytest.approx(wanted, abs=0.03)
    assert found["sparsity"] == pytest.approx(wanted[-1], abs=0.03)
    with pytest.raises(TaskError, match=r"sparsity in epoch 3 .* \[0, 1\)"):
        blob_task(epochs=4)(start({"sparsity": record | {"end": 1.2}}))


class TestErrors:
    def test_a_scheduler_of_the_same_learning_rate(self):
        task = blob_task(scheduler=lambda o: torch.optim.lr_scheduler.StepLR(o, 1))
        with pytest.raises(TaskError, match="'lr' is a schedule, and scheduler= sets the learning"):
            task(start({"lr": COSINE}))
        task(start({"lr": 0.1, "momentum": {"shape": "constant", "start": 0.9}}))

    def test_a_gene_of_the_model(self):
        task = blob_task(model=lambda params: mlp(width=params["width"]))
        with pytest.raises(TaskError, match="'width' is a schedule, but only sparsity and"):
            task(start({"width": {"shape": "constant", "start": 8}}))

    def test_a_gene_that_an_optimizer_function_calls_otherwise(self):
        task = blob_task(optimizer=lambda p, params: torch.optim.SGD(p, lr=params["rate"]))
        with pytest.raises(TaskError, match=r"'rate' is a schedule, .* optimizer \(SGD\)"):
            task(start({"rate": COSINE}))

    def test_a_gene_that_nothing_reads(self):
        with pytest.raises(TaskError, match="gene 'momentum' has no effect; Adam has no momentum"):
            blob_task(optimizer="adam")(start({"momentum": COSINE}))

    def test_a_gene_that_is_used_elsewhere_is_left_alone(self):
        blob_task(genes="mixup")(start({"mixup": COSINE}))


def test_a_loop_of_ones_own_takes_it_with_resume():
    line, seen = Line(), []

    def train(trial):
        model = nn.Linear(2, 2)
        schedule = et.Schedule.of(trial.params, epochs=4)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        trial.resume(model=model, optimizer=optimizer)
        for epoch in trial.epochs():
            schedule.apply(optimizer, epoch)
            seen.append(optimizer.param_groups[0]["lr"])
        trial.keep(model=model, optimizer=optimizer)

    for number in range(2):
        donor = number - 1 if number else None
        handle = line.handle(number, {"lr": COSINE}, donor=donor, budget=2.0)
        train(handle)
        line.state(handle)
    assert seen == of_epochs(COSINE, 4)


@pytest.mark.parametrize("executor", [et.InlineExecutor(), et.StackedExecutor()])
@pytest.mark.parametrize(
    "make",
    [
        et.RandomSearch,
        lambda space: et.SuccessiveHalving(et.RandomSearch(space), minimum=1, maximum=4),
        lambda space: et.PopulationBasedTraining(space, population_size=4),
    ],
)
def test_searches_find_schedules(make, executor, tmp_path, caplog):
    task = blob_task(epochs=4, optimizer="adam")
    study = et.Study(make(SPACE), "min loss", seed=2, storage=tmp_path / "runs.db")
    study.run(task, trials=8, executor=executor)
    assert {trial.state for trial in study.trials} == {"done"}
    assert "one by one" not in caplog.text
    again = et.Study(make(SPACE), "min loss", seed=2, storage=tmp_path / "runs.db")
    again.run(task, trials=12, executor=executor)
    assert len(et.Schedule.of(again.best.params, epochs=4)) == 4
    if isinstance(executor, et.InlineExecutor):  # the others' order depends on the limit of 8
        whole = et.Study(make(SPACE), "min loss", seed=2)
        whole.run(task, trials=12, executor=executor)
        assert [t.params for t in again.trials] == [t.params for t in whole.trials]
        assert [t.values for t in again.trials] == [t.values for t in whole.trials]


def test_the_name_of_a_schedule_that_is_asleep_is_dormant():
    rate = et.Float(0.01, 1.0, log=True, when={"optimizer": "sgd"})
    space = et.Space(optimizer=et.Choice("sgd", "adam"), lr=et.Scheduled(rate))
    asleep = space.complete({"optimizer": "adam"})
    trial = start(space.params(asleep), dormant=asleep)
    assert "lr" in trial.dormant
    blob_task()(trial)
    awake = space.complete({"optimizer": "sgd", "lr": 0.1})
    trial = RunningTrial(Trial(3, awake, space.params(awake)))
    assert not trial.dormant
    blob_task()(trial)
