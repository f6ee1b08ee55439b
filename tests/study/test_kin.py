"""Children whose weights are the mean of two donors with a common ancestor."""

import logging

import numpy as np
import pytest
import torch
from torch import nn

import evotune as et
from evotune.checkpoints.state import mean_of
from evotune.errors import AlgorithmError, CheckpointError
from evotune.training.stacked.together import train_together
from helpers_stacked import Line, assert_alike, double_task
from helpers_study import decisions
from helpers_training import blob_task, mlp, without_seconds

SPACE = et.Space(lr=et.Float(0.01, 0.3, log=True), momentum=et.Float(0.0, 0.9))


def population(**options):
    return et.PopulationBasedTraining(SPACE, **({"population_size": 6, "weights": "kin"} | options))


class Weights:
    """What remembers which founders its weights come from, in which shares."""

    def __init__(self, number):
        self.shares = np.eye(64)[number]

    def state_dict(self):
        return {"shares": self.shares}

    def load_state_dict(self, state):
        self.shares = state["shares"]


def train(trial):
    own = Weights(min(trial.number, 63))
    trial.resume(model=own)
    for _ in trial.epochs():
        pass
    trial.keep(model=own)
    trial.note(shares=own.shares.tolist())
    return {"loss": trial.params["lr"] + trial.seed % 97 / 100}


def line(study, number, back):
    """The last trials of a line of weights, by the records alone."""
    found = [number]
    while len(found) <= back and study.trials[found[-1]].weights_from is not None:
        found.append(study.trials[found[-1]].weights_from)
    return set(found)


def crossed(study):
    return {t.number: t.inherit["kin"][0] for t in study.trials if t.inherit.get("kin")}


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("kinship", [1, 3])
def test_only_kin_are_averaged_and_the_record_names_both(kinship, asynchronous):
    pbt = population(kinship=kinship, asynchronous=asynchronous)
    study = et.Study(pbt, "min loss", seed=1).run(train, epochs=10)
    pairs = crossed(study)
    assert pairs
    for number, other in pairs.items():
        trial = study.trials[number]
        assert trial.donors == (trial.weights_from, other)
        common = line(study, trial.weights_from, kinship) & line(study, other, kinship)
        assert common
    for trial in study.trials:
        shares = [np.array(study.trials[d].notes["shares"]) for d in trial.donors]
        if shares:
            assert np.allclose(trial.notes["shares"], np.mean(shares, axis=0))


def test_strangers_are_not_averaged():
    study = et.Study(population(), "min loss", seed=1).run(train, epochs=2)
    assert not crossed(study)  # the founders have nothing in common


def test_pairs_are_averaged_whoever_they_are():
    pbt = population(weights="pairs")
    study = et.Study(pbt, "min loss", seed=1).run(train, epochs=2)
    pairs = crossed(study)
    assert pairs  # of the founders, which have nothing in common
    for number in pairs:
        trial = study.trials[number]
        assert len(set(trial.donors)) == 2
        shares = [np.array(study.trials[d].notes["shares"]) for d in trial.donors]
        assert np.allclose(trial.notes["shares"], np.mean(shares, axis=0))


def test_without_kin_nothing_changes():
    plain = et.Study(population(weights="inherit"), "min loss", seed=1).run(train, epochs=6)
    kin = et.Study(population(), "min loss", seed=1).run(train, epochs=6)
    assert [t.genome for t in plain.trials] == [t.genome for t in kin.trials]
    assert [t.weights_from for t in plain.trials] == [t.weights_from for t in kin.trials]


@pytest.mark.parametrize("cut", [1, 4])
def test_a_resumed_population_is_the_same(cut, tmp_path):
    whole = et.Study(population(), "min loss", seed=2).run(train, epochs=8)
    for epochs in (cut, 8):
        with et.Study(population(), "min loss", seed=2, storage=tmp_path / "a.db") as study:
            study.run(train, epochs=epochs)
            found = decisions(study), crossed(study)
    assert found == (decisions(whole), crossed(whole))


def test_members_of_several_networks_cross_each_with_its_own():
    task = blob_task(averaging="ema")
    pbt = population(networks=2, population_size=4)
    study = et.Study(pbt, "min loss", seed=1).run(task, epochs=6)
    pairs = [t.inherit for t in study.trials if t.inherit.get("kin")]
    assert pairs
    for inherit in pairs:
        assert {*inherit["networks"], *inherit["kin"]} - {None}
        for own, other in zip(inherit["networks"], inherit["kin"], strict=True):
            assert own != other


def test_islands_cross_kin_and_not_their_migrants():
    islands = et.Islands([population(), population()], every=2, send=1)
    study = et.Study(islands, "min loss", seed=1).run(train, epochs=8)
    pairs = crossed(study)
    assert pairs
    for number, other in pairs.items():
        islands_of = {study.trials[n].origin.islands for n in (number, other)}
        donor = study.trials[number].weights_from
        assert islands_of == {study.trials[donor].origin.islands}


def test_the_mean_is_of_weights_and_of_the_optimizers_state():
    task, kin = double_task(lambda params: mlp(5, 3), optimizer="adam", averaging="ema"), Line()
    for number in range(2):
        task(kin.handle(number, {"lr": 0.01}, budget=1))
    handles = [kin.handle(n, {"lr": 0.01}, budget=1) for n in range(2)]
    states = []
    for handle in handles:
        task(handle)
        states.append(kin.state(handle)[0])
    child = kin.handle(2, {"lr": 0.01}, donor=0, inherit={"kin": [1]}, budget=0)
    task(child)
    found = kin.state(child)[0]
    for part in ("model", "raw"):
        for name, tensor in found[part].items():
            expected = (states[0][part][name] + states[1][part][name]) / 2
            torch.testing.assert_close(tensor, expected)
    moments = [state["optimizer"]["state"][0]["exp_avg"] for state in (found, *states)]
    torch.testing.assert_close(moments[0], (moments[1] + moments[2]) / 2)


def test_stacked_members_cross_as_each_one_alone():
    task = double_task(
        lambda params: nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Linear(6, 3)),
        averaging="ema",
    )
    found = []
    for train_all in (
        lambda handles: [task(h) for h in handles],
        lambda h: train_together(task, h),
    ):
        kin = Line()
        parents = [kin.handle(n, {"lr": 0.05 * (1 + n), "momentum": 0.4}) for n in range(3)]
        train_all(parents)
        for parent in parents:
            kin.state(parent)
        children = [
            kin.handle(3 + n, {"lr": 0.1, "momentum": 0.3}, donor=n, inherit={"kin": [2 - n]})
            for n in (0, 2)
        ]
        results = list(map(without_seconds, train_all(children)))
        found.append((results, [kin.state(child) for child in children]))
    assert_alike(found[1], found[0])


def test_lines_of_other_structures_are_not_averaged_and_say_so(caplog):
    space = et.Space(
        lr=et.Float(0.01, 0.1, log=True), layers=et.Chain(1, 3, dense={"units": et.Int(4, 12)})
    )
    task = blob_task(model=et.tabular(2, 3))
    pbt = et.PopulationBasedTraining(space, population_size=6, weights="kin")
    with caplog.at_level(logging.INFO, "evotune"):
        study = et.Study(pbt, "min loss", seed=1).run(task, epochs=6)
    assert crossed(study)
    assert {t.state for t in study.trials} == {"done"}
    assert "cannot be averaged" in caplog.text


def test_means_leave_counts_and_settings_to_the_first():
    one = {
        "net": {"w": torch.ones(2), "n": torch.tensor(3), "h": torch.ones(1, dtype=torch.half)},
        "optimizer": {"state": {0: {"m": None, "step": torch.tensor(4.0)}}, "lr": 0.1},
        "arrays": [np.zeros(2), np.arange(2)],
        "text": "a",
    }
    other = {
        "net": {"w": torch.zeros(2), "n": torch.tensor(5), "h": torch.zeros(1, dtype=torch.half)},
        "optimizer": {"state": {0: {"m": torch.ones(1), "step": torch.tensor(6.0)}}, "lr": 0.9},
        "arrays": [np.ones(2), np.arange(2) + 5],
        "text": "b",
    }
    found = mean_of(one, other)
    assert found["net"]["w"].tolist() == [0.5, 0.5]
    assert found["net"]["h"].dtype == torch.half
    assert int(found["net"]["n"]) == 3
    assert found["optimizer"]["lr"] == 0.1
    assert found["optimizer"]["state"][0]["m"] is None
    assert float(found["optimizer"]["state"][0]["step"]) == 5
    assert found["arrays"][0].tolist() == [0.5, 0.5]
    assert found["arrays"][1].tolist() == [0, 1]
    assert one["net"]["w"].tolist() == [1, 1]  # the donors' own are left alone
    with pytest.raises(CheckpointError, match=r"net\.w has shape"):
        mean_of(one, {**other, "net": {"w": torch.zeros(3)}})


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"weights": "mean"}, 'weights is "inherit".*"kin".*"pairs".*got \'mean\''),
        ({"kinship": 0}, "kinship"),
        ({"kinship": 1.5}, "kinship"),
    ],
)
def test_bad_options_say_what_to_write(options, says):
    with pytest.raises(AlgorithmError, match=says):
        population(**options)


def test_an_averaged_model_of_ones_own_loop_is_handed_on_and_crossed():
    def loop(trial):
        torch.manual_seed(trial.seed)
        model = nn.Linear(2, 1)
        average = torch.optim.swa_utils.AveragedModel(
            model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9)
        )
        trial.resume(model=model, average=average)
        seen = int(average.n_averaged)
        for _ in trial.epochs():
            with torch.no_grad():
                model.weight += torch.randn(1, 2) * trial.params["lr"]
            average.update_parameters(model)
        trial.keep(model=model, average=average)
        trial.note(seen=seen)
        return {"loss": float(average.module.weight.detach().norm())}

    study = et.Study(population(), "min loss", seed=1).run(loop, epochs=8)
    assert crossed(study)
    for trial in study.trials:
        assert trial.notes["seen"] == trial.origin.generation
    average = torch.optim.swa_utils.AveragedModel(nn.Linear(2, 1))
    best = study.restore(average=average)
    assert float(average.module.weight.detach().norm()) == pytest.approx(best.metrics["loss"])
