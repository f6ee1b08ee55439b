"""Averages of weights: their formula, what is measured and kept, lines of weights, bad input."""

import math
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import evotune as et
from evotune.errors import CheckpointError, TaskError
from evotune.training.averaging import Average
from evotune.training.stacked.together import train_together
from helpers_stacked import Line, assert_alike, assert_same_training, double_task, examples
from helpers_training import blob_task, blobs, mlp, start, without_seconds

SPACE = et.Space(lr=et.Float(0.01, 0.3, log=True))


def net(params):
    return nn.Sequential(
        nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Dropout(0.2), nn.Linear(6, 3)
    )


def trained(**options):
    """Return the final weights of a fitted network, and those after each step."""
    seen = []

    def recording(parameters, params):
        optimizer = torch.optim.SGD(parameters, params["lr"])
        optimizer.register_step_post_hook(lambda *_: seen.append(flat(optimizer)))
        return optimizer

    task = double_task(lambda params: mlp(5, 3), optimizer=recording, **options)
    fitted = task.fit({"lr": 0.3})
    return torch.cat([p.detach().flatten() for p in fitted.parameters()]), seen


def flat(optimizer):
    [group] = optimizer.param_groups
    return torch.cat([p.detach().flatten() for p in group["params"]])


@pytest.mark.parametrize("half_life", [0.35, 2.0, 1e-3, 1e300])
def test_a_moving_average_halves_the_share_of_weights_by_its_half_life(half_life):
    found, seen = trained(averaging="ema", half_life=half_life, epochs=3)
    steps, k = 3, len(seen)
    shares = torch.tensor([0.5 ** ((k - 1 - t) / steps / half_life) for t in range(k)]).double()
    torch.testing.assert_close(found, (shares / shares.sum()) @ torch.stack(seen))


def test_the_default_half_life_is_a_time_constant_of_half_an_epoch():
    found, _ = trained(averaging="ema", epochs=3)
    expected, _ = trained(averaging="ema", half_life=0.35, epochs=3)
    assert torch.equal(found, expected)
    assert 0.5 * math.log(2) == pytest.approx(0.35, abs=0.005)


def test_swa_is_the_mean_of_the_second_half_of_the_steps():
    found, seen = trained(averaging="swa", epochs=3)
    torch.testing.assert_close(found, torch.stack(seen[4:]).mean(0))
    found, seen = trained(averaging="swa", epochs=1)
    torch.testing.assert_close(found, torch.stack(seen[1:]).mean(0))


def test_without_averaging_the_last_weights_are_measured():
    found, seen = trained(epochs=3)
    assert torch.equal(found, seen[-1])


@pytest.mark.parametrize("averaging", ["ema", "swa"])
def test_what_is_restored_is_what_was_measured(averaging):
    task = blob_task(averaging=averaging, epochs=1)
    study = et.tune(task, SPACE, "min loss", trials=3, seed=1, progress=False)
    model = mlp()
    study.restore(model=model)
    x, y = (torch.as_tensor(part) for part in blobs())
    with torch.no_grad():
        loss = nn.functional.cross_entropy(model(x.float()), y)
    assert float(loss) == pytest.approx(study.best.metrics["loss"], rel=1e-5)
    raw = blob_task(epochs=1)(start(study.best.params, seed=study.best.seed))
    assert raw["train_loss"] == study.best.metrics["train_loss"]  # training goes on as without
    assert raw["loss"] != study.best.metrics["loss"]


@pytest.mark.parametrize("averaging", ["ema", "swa"])
@pytest.mark.parametrize("inherits", [False, True])
def test_stacked_members_have_the_averages_of_each_one_alone(averaging, inherits):
    task = double_task(net, averaging=averaging, validate_every=1, sparsity=0.4, costs="memory")
    genomes = [{"lr": 0.05 * (1 + n), "momentum": 0.3 * n} for n in range(3)]
    if not inherits:
        assert_same_training(task, genomes)
        return
    lines = Line(), Line()
    for line, train in zip(lines, (lambda t: [task(h) for h in t], None), strict=True):
        train = train or (lambda handles: train_together(task, handles))
        parents = [line.handle(n, genome) for n, genome in enumerate(genomes)]
        train(parents)
        for parent in parents:
            line.state(parent)
        children = [line.handle(3 + n, genomes[n], donor=2 - n) for n in range(3)]
        line.found = (
            [without_seconds(found) for found in train(children)],
            [line.state(child) for child in children],
        )
    assert_alike(lines[1].found, lines[0].found)


def test_numbers_of_half_lives_may_differ_between_stacked_members():
    task = double_task(net, averaging="ema")
    assert_same_training(task, [{"lr": 0.1, "half_life": h} for h in (0.1, 1.0, 5.0)])


def test_a_line_of_weights_has_the_average_of_one_long_training():
    task, line = double_task(net, averaging="ema", optimizer="sgd"), Line()
    first = line.handle(0, {"lr": 0.1}, budget=2)
    task(first)
    kept, _ = line.state(first)
    assert {"model", "raw", "optimizer"} <= set(kept)
    second = line.handle(1, {"lr": 0.1}, donor=0, budget=1)
    task(second)
    after, epochs = line.state(second)
    assert epochs == 3
    # The average goes on from where it was: with so long a half-life it has hardly moved.
    slow = double_task(net, averaging="ema", half_life=1e3)
    third = line.handle(2, {"lr": 0.1}, donor=0, budget=1)
    slow(third)
    weights = [state["model"]["0.weight"] for state in (kept, line.state(third)[0], after)]
    gaps = [float((weights[0] - other).norm()) for other in weights[1:]]
    assert 0 < gaps[0] < gaps[1]


def test_a_population_inherits_averages_and_resumes_exactly(tmp_path):
    task = blob_task(averaging="ema", epochs=1)
    url = f"sqlite:///{tmp_path / 'runs.db'}"

    def study(storage, name):
        pbt = et.PopulationBasedTraining(SPACE, population_size=4)
        return et.Study(pbt, "min loss", storage=storage, name=name, seed=3)

    whole = study(None, "whole").run(task, epochs=4)
    with study(url, "cut") as cut:
        cut.run(task, epochs=2)
    with study(url, "cut") as cut:
        cut.run(task, epochs=4)
        assert [t.values for t in cut.trials] == [t.values for t in whole.trials]


def test_batch_norm_of_the_average_fits_its_weights():
    task = double_task(net, examples(5, count=200), averaging="ema", epochs=8, batch_size=20)
    fitted = task.fit({"lr": 0.05})
    x = task.train[0]
    with torch.no_grad():
        found = fitted(x)
        anew = nn.Sequential(*fitted)
        torch.optim.swa_utils.update_bn([x], anew)
        expected = anew.eval()(x)
    assert (found - expected).norm() < 0.1 * expected.norm()


def test_an_ensemble_is_averaged_network_by_network():
    task = double_task(net, averaging="ema")
    assert_same_training(task, [{"lr": 0.1}, {"lr": 0.2}])
    line = Line()
    member = line.handle(0, {"lr": 0.1}, inherit={"networks": [None, None]})
    task(member)
    assert "networks.1.0.weight" in line.state(member)[0]["model"]


def test_removed_weights_are_zero_in_the_average():
    task = blob_task(averaging="ema", sparsity=0.75, epochs=3)
    metrics = task(start())
    fitted = task.fit({})
    weights = [fitted[0].weight, fitted[2].weight]
    zeros = sum(int((w == 0).sum()) for w in weights) / sum(w.numel() for w in weights)
    assert metrics["sparsity"] == zeros == 0.75


def test_a_lazy_network_is_averaged_too():
    lazy = blob_task(
        model=lambda params: nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.LazyLinear(3)),
        averaging="ema",
    )
    assert lazy(start())["loss"] < 2


def population():
    return et.PopulationBasedTraining(SPACE, population_size=3)


class Stream(IterableDataset):
    def __iter__(self):
        x, y = (torch.as_tensor(part) for part in blobs())
        yield from zip(x.float(), y, strict=True)


def test_a_dataloader_counts_its_steps_and_a_stream_cannot():
    x, y = (torch.as_tensor(part) for part in blobs())
    loader = DataLoader(TensorDataset(x.float(), y), batch_size=50, shuffle=True)
    assert blob_task(train=loader, averaging="ema")(start())["loss"] < 2
    with pytest.raises(TaskError, match=r"how many steps an epoch has.*averaging=None"):
        blob_task(train=DataLoader(Stream(), batch_size=50), averaging="ema")(start())


def test_a_network_that_cannot_be_copied_is_said():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 3)
            self.kept = self.layer.weight * 2  # no leaf

        def forward(self, x):
            return self.layer(x)

    with pytest.raises(TaskError, match=r'averaging="ema"|averaging=.ema..*Own cannot be copied'):
        blob_task(model=lambda params: Own(), averaging="ema")(start())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"averaging": "mean"}, "ema.*swa.*None.*auto.*got 'mean'"),
        ({"averaging": True}, "got True"),
        (
            {"averaging": None, "half_life": 1.0},
            'has no effect on averaging=None; write averaging="ema"',
        ),
        ({"averaging": "swa", "half_life": 1.0}, "has no effect on averaging='swa'"),
        ({"averaging": "ema", "half_life": 0}, "half_life must"),
        ({"averaging": "ema", "half_life": "1"}, "half_life=1, without quotation marks"),
        ({"averaging": "ema", "half_life": math.nan}, "half_life must"),
    ],
)
def test_bad_options_say_what_to_write(options, says):
    with pytest.raises(TaskError, match=says):
        blob_task(**options)


@pytest.mark.parametrize("averaging", [None, "swa", "auto"])
def test_a_gene_without_effect_is_said(averaging):
    with pytest.raises(TaskError, match=r'half_life.*write averaging="ema"'):
        blob_task(averaging=averaging)(start({"half_life": 1.0}))


def test_a_bad_half_life_as_a_gene_is_said():
    with pytest.raises(TaskError, match="half_life must"):
        blob_task(averaging="ema")(start({"half_life": -1.0}))


def test_shares_begin_with_the_first_weights_and_add_up():
    average = Average(mlp(), "ema", 0.35, steps=4, epochs=2)
    shares = average.shares(0) + average.shares(1)
    assert shares[0] == 1
    assert all(a > b for a, b in pairwise(shares))
    assert shares[-1] == pytest.approx(1 - 0.5 ** (1 / 1.4), rel=0.03)


def test_by_itself_a_population_is_averaged_and_nothing_else(caplog):
    values = {}
    for averaging in ("auto", "ema", None):
        task = blob_task(averaging=averaging)
        study = et.Study(population(), "min loss", seed=1)
        values[averaging] = [t.values for t in study.run(task, epochs=3).trials]
        replayed = study.replay(task, runs=2)
        values[averaging].append(replayed.arms["schedule"])
    assert values["auto"] == values["ema"] != values[None]
    alone = [blob_task(averaging=averaging)(start())["loss"] for averaging in ("auto", None, "ema")]
    assert alone[0] == alone[1] != alone[2]


def test_what_cannot_be_averaged_is_trained_all_the_same_and_says_so(caplog):
    class Own(nn.Linear):
        def __deepcopy__(self, memo):
            raise RuntimeError("only one of me")

    task = blob_task(model=lambda params: nn.Sequential(Own(2, 3)))
    study = et.Study(population(), "min loss", seed=1).run(task, epochs=2)
    assert {t.state for t in study.trials} == {"done"}
    assert caplog.text.count("the last weights are measured, not their average") == 1
    assert "only one of me" in caplog.text
    loader = DataLoader(Stream(), batch_size=50)
    streamed = et.Study(population(), "min loss", seed=1)
    assert streamed.run(blob_task(train=loader), epochs=2).best.metrics["loss"] < 2


def test_weights_that_were_kept_without_an_average_say_how_to_go_on():
    line = Line()
    parent = line.handle(0, {"lr": 0.1})
    double_task(net)(parent)
    line.state(parent)
    with pytest.raises(CheckpointError, match=r"not raw; .*averaging=None"):
        double_task(net, averaging="ema")(line.handle(1, {"lr": 0.1}, donor=0))
    assert double_task(net, averaging=None)(line.handle(2, {"lr": 0.1}, donor=0))["loss"] > 0
