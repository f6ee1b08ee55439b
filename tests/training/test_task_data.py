"""Data that depend on params, training on all data, and which weights are kept."""

import itertools

import pytest
import torch

import evotune as et
from evotune.errors import CheckpointError, TaskError

SIGNAL = torch.sin(torch.arange(400) / 7.0)


def windows(params, part="train"):
    length = params["length"]
    rows = SIGNAL[:300] if part == "train" else SIGNAL[300:]
    pieces = rows.unfold(0, length + 1, 1)
    return pieces[:, :-1], pieces[:, -1:]


def forecaster(**options):
    return et.SupervisedTask(
        lambda params: torch.nn.Linear(params["length"], 1),
        **{
            "loss": "mse",
            "optimizer": "adam",
            "train": windows,
            "validation": lambda params: windows(params, "validation"),
            "epochs": 1,
        }
        | options,
    )


SPACE = et.Space(lr=et.Float(0.01, 0.1), length=et.Int(2, 9))


def test_a_gene_may_change_the_data():
    study = et.Study(et.RandomSearch(SPACE), "min loss", seed=1).run(forecaster(), 6)
    assert {trial.state for trial in study.trials} == {"done"}
    assert len({trial.params["length"] for trial in study.trials}) > 2


def test_data_are_made_again_only_when_what_they_read_has_changed():
    calls = []

    def counted(params):
        calls.append(params["length"])
        return windows({"length": calls[-1]})

    space = et.Space(lr=et.Float(0.01, 0.1), length=et.Ordinal(3, 4))
    study = et.Study(et.Grid(space, points=3), "min loss").run(forecaster(train=counted), 6)
    lengths = [trial.params["length"] for trial in study.trials]
    changes = 1 + sum(a != b for a, b in itertools.pairwise(lengths))
    assert len(calls) == changes


def test_a_gene_that_only_the_data_read_has_an_effect():
    space = et.Space(lr=et.Float(0.01, 0.1), shift=et.Float(0.0, 1.0))

    def shifted(params):
        x, y = windows({"length": 3})
        return x + params["shift"], y

    task = et.SupervisedTask(
        lambda params: torch.nn.Linear(3, 1),
        loss="mse",
        optimizer="sgd",
        train=shifted,
        validation=windows({"length": 3}, "validation"),
        epochs=1,
    )
    assert et.Study(et.RandomSearch(space), "min loss", seed=1).run(task, 2).best.is_done


def test_trials_whose_data_differ_are_not_stacked():
    assert not forecaster().traits.stacks
    plain = forecaster(train=windows({"length": 3}), validation=windows({"length": 3}))
    assert plain.traits.stacks


# -- fit ------------------------------------------------------------------------------------------


def test_fit_may_train_on_validation_data_too():
    seen = []

    class Counting(torch.nn.Linear):
        def forward(self, x):
            seen.append(len(x))
            return super().forward(x)

    x, y = windows({"length": 3})
    task = et.SupervisedTask(
        lambda params: Counting(3, 1),
        loss="mse",
        optimizer="sgd",
        train=(x, y),
        validation=(x[:50], y[:50]),
        epochs=1,
    )
    task.fit({"lr": 0.1})
    alone, seen[:] = sum(seen), []
    task.fit({"lr": 0.1}, data="train+validation")
    assert sum(seen) == alone + 50 == len(x) + 50
    with pytest.raises(TaskError, match=r'data= is "train" or "train\+validation"'):
        task.fit({"lr": 0.1}, data="test")


def test_datasets_are_joined_and_loaders_are_refused():
    from torch.utils.data import DataLoader, Dataset

    class Rows(Dataset):
        def __len__(self):
            return 20

        def __getitem__(self, k):
            return torch.ones(3) * k, torch.ones(1)

    options = {"loss": "mse", "optimizer": "sgd", "epochs": 1}
    task = et.SupervisedTask(
        lambda p: torch.nn.Linear(3, 1), train=Rows(), validation=Rows(), **options
    )
    assert task.fit({"lr": 1e-4}, data="train+validation")
    loader = et.SupervisedTask(
        lambda p: torch.nn.Linear(3, 1), train=DataLoader(Rows(), 4), validation=Rows(), **options
    )
    with pytest.raises(TaskError, match="joins arrays with arrays"):
        loader.fit({"lr": 1e-4}, data="train+validation")


# -- which weights are kept -----------------------------------------------------------------------


def restorable(study):
    found = []
    for trial in study.trials:
        model = torch.nn.Linear(trial.params["length"], 1)
        try:
            study.restore(trial.number, model=model)
        except CheckpointError:
            continue
        found.append(trial.number)
    return found


def test_all_weights_may_be_kept_in_worker_processes_too(tmp_path):
    found = []
    for name, executor in (("inline", et.InlineExecutor()), ("outside", et.ProcessExecutor(1))):
        options = {"storage": tmp_path / f"{name}.db", "seed": 1}
        with et.Study(et.RandomSearch(SPACE), "min loss", **options) as study:
            study.run(forecaster(keep="all"), 5, executor=executor)
        again = et.Study(et.RandomSearch(SPACE), "min loss", **options)
        assert restorable(again) == [0, 1, 2, 3, 4]
        again.tell(again.ask(), {"loss": 9.0})  # none is removed by what comes later
        assert restorable(again) == [0, 1, 2, 3, 4]
        found.append([trial.values for trial in again.trials])
    assert found[0] == found[1]


def test_those_of_the_front_may_be_kept():
    study = et.Study(et.RandomSearch(SPACE), ["min loss", "min parameters"], seed=1)
    study.run(forecaster(keep="front"), 8)
    front = sorted(trial.number for trial in study.front)
    assert 1 < len(front) < 8
    assert restorable(study) == front


def test_by_default_only_those_of_the_best_are():
    study = et.Study(et.RandomSearch(SPACE), "min loss", seed=1).run(forecaster(), 5)
    assert restorable(study) == [study.best.number]


def test_a_function_of_ones_own_may_keep_all():
    def train(trial):
        model = torch.nn.Linear(trial.params["length"], 1)
        trial.keep_for("all", model=model)
        return 1.0

    study = et.Study(et.RandomSearch(SPACE), "min loss", seed=1).run(train, 3)
    assert restorable(study) == [0, 1, 2]


def test_a_quota_that_all_weights_exceed_ends_the_run_in_words(tmp_path):
    store = et.Checkpoints(tmp_path / "weights", quota=2_000)
    study = et.Study(et.RandomSearch(SPACE), "min loss", checkpoints=store, seed=1)
    with pytest.raises(CheckpointError, match="quota"):
        study.run(forecaster(keep="all"), 30)
    assert any(trial.is_done for trial in study.trials)


@pytest.mark.parametrize("keep", ["last", True])
def test_other_values_are_refused(keep):
    with pytest.raises(TaskError, match='"best", "front", "all" or None'):
        forecaster(keep=keep)
