"""What a SupervisedTask takes a budget for: epochs, or a share of the training data."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

import evotune as et
from evotune.errors import TaskError
from evotune.training.data import InMemory, part
from helpers_training import blob_task, blobs, start, without_seconds

SPACE = et.Space(lr=et.Float(1e-3, 1.0, log=True))


class Squares(Dataset):
    def __len__(self):
        return 40

    def __getitem__(self, index):
        return torch.full((2,), float(index)), index % 3


class Endless(IterableDataset):
    def __iter__(self):
        yield torch.zeros(2), 0


def inputs_seen(source):
    if isinstance(source, InMemory):
        return {tuple(row) for row in source.inputs.tolist()}
    return {tuple(source[k][0].tolist()) for k in range(len(source))}


@pytest.mark.parametrize("source", [InMemory(torch.rand(40, 2), torch.zeros(40)), Squares()])
def test_larger_shares_contain_the_smaller(source):
    small, large = part(source, 0.1), part(source, 0.5)
    assert (len(small), len(large)) == (4, 20)
    assert inputs_seen(small) < inputs_seen(large) < inputs_seen(source)
    assert inputs_seen(part(source, 0.1)) == inputs_seen(small)
    assert part(source, 1.0) is source


def test_a_share_is_trained_for_all_epochs_of_the_task():
    seen = []

    def loss(output, target):
        seen.append(len(target))
        return torch.nn.functional.cross_entropy(output, target)

    task = blob_task(loss=loss, fidelity="data", epochs=3, batch_size=50)
    metrics = task(start(budget=0.5))
    trained = seen[:-1]  # the last one measures the validation data
    assert trained == [50] * 9
    assert metrics["accuracy"] > 0
    seen.clear()
    task(start({"epochs": 2}, budget=1.0))
    assert seen[:-1] == [50] * 12


def test_the_whole_of_the_data_is_a_trial_like_any_other():
    plain = without_seconds(blob_task()(start()))
    task = blob_task(fidelity="data")
    assert without_seconds(task(start(budget=1.0))) == plain
    assert without_seconds(task(start())) == plain
    assert without_seconds(task(start(budget=0.3))) != plain


def test_halving_on_shares_of_the_data():
    algorithm = et.SuccessiveHalving(et.RandomSearch(SPACE), minimum=1 / 9, maximum=1, resume=False)
    study = et.Study(algorithm, "min loss", seed=1)
    study.run(blob_task(fidelity="data"), trials=30)
    assert {round(trial.budget * 300) for trial in study.trials} == {33, 100, 300}
    assert not any(trial.donors for trial in study.trials)
    kept = [t.number for t in study.trials if not t.checkpoint.deleted]
    assert kept == [study.best.number]
    assert not any(trial.failure for trial in study.trials)


def test_halving_of_epochs_trains_on_from_the_weights_of_the_promoted():
    task = blob_task(optimizer="adam", validate_every=1)
    algorithm = et.SuccessiveHalving(et.RandomSearch(SPACE), minimum=1, maximum=9)
    study = et.Study(algorithm, "min loss", seed=1).run(task, trials=30)
    top = [trial for trial in study.trials if trial.origin.rung == 9]
    assert top
    for trial in top:
        line = [trial]
        while line[-1].weights_from is not None:
            line.append(study.trials[line[-1].weights_from])
        steps = [report["step"] for one in line[::-1] for report in one.reports]
        assert steps == list(range(9))
        assert len({tuple(one.params.items()) for one in line}) == 1
        losses = [report["train_loss"] for one in line[::-1] for report in one.reports]
        assert losses[1] < losses[0]
        assert losses[3] < losses[0]  # the third trial does not begin anew
    model = task.model({})
    study.restore(model=model)
    assert study.best.checkpoint.epochs in (1, 3, 9)


BAD = {
    "unknown": (lambda: blob_task(fidelity="examples"), 'is "epochs" or "data"'),
    "loader": (
        lambda: blob_task(fidelity="data", train=DataLoader(Squares(), 4)),
        "give its Dataset as train=",
    ),
    "stream": (lambda: blob_task(fidelity="data", train=Endless()), "an IterableDataset has none"),
    "loader in a function": (
        lambda: blob_task(fidelity="data", train=lambda: DataLoader(Squares(), 4))(
            start(budget=0.5)
        ),
        "give its Dataset as train=",
    ),
    "epochs as a share": (
        lambda: blob_task(fidelity="data")(start(budget=3.0)),
        "above 0 and at most 1, but the algorithm gave 3",
    ),
    "a share as epochs": (lambda: blob_task()(start(budget=0.3)), 'fidelity="data"'),
    "nothing left": (
        lambda: blob_task(fidelity="data")(start(budget=0.001)),
        "is less than one example; write minimum=0.0033 or more",
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_what_cannot_work_is_said(what):
    make, message = BAD[what]
    with pytest.raises(TaskError, match=message):
        make()


@pytest.mark.parametrize(
    "algorithm",
    [
        et.SuccessiveHalving(et.RandomSearch(SPACE), minimum=1 / 9, maximum=1),
        et.PopulationBasedTraining(SPACE, population_size=2),
    ],
    ids=["halving", "population"],
)
def test_weights_cannot_be_handed_on_between_shares(algorithm):
    study = et.Study(algorithm, "min loss")
    with pytest.raises(TaskError, match="resume=False"):
        study.run(blob_task(fidelity="data"), trials=5)
    assert not any(trial.has_ended for trial in study.trials)


def test_shares_are_not_stacked():
    assert blob_task().traits.stacks
    assert not blob_task(fidelity="data").traits.stacks


def test_pairs_in_a_dataset_are_divided_too():
    x, y = (torch.as_tensor(np.asarray(part_)) for part_ in blobs())
    task = blob_task(train=TensorDataset(x.float(), y), fidelity="data")
    assert task(start(budget=0.5))["accuracy"] > 0
