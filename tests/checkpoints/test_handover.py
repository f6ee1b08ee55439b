import pickle
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, RMSprop
from torch.optim import lr_scheduler as schedulers

from evotune import once
from evotune.checkpoints.handover import TrialWeights, shrink_and_perturb
from evotune.checkpoints.state import snapshot
from evotune.checkpoints.store import Checkpoints
from evotune.errors import CheckpointError, TaskError
from evotune.execution.evaluate import evaluate_trial
from evotune.running import RunningTrial
from evotune.trial import Trial


@pytest.fixture
def store():
    store = Checkpoints()
    store.open("study")
    return store


def mlp():
    return nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.1), nn.Linear(4, 1))


def step(model, optimizer, *others):
    optimizer.zero_grad()
    model(torch.ones(2, 3)).pow(2).sum().backward()
    optimizer.step()
    for scheduler in others:
        scheduler.step()


def keep(store, number, epochs=0.0, **objects):
    weights = TrialWeights(store, number, {}, wanted=True, write=True)
    weights.keep(objects, epochs)
    return weights.written()


def weights_for(store, checkpoints, number=9):
    return TrialWeights(store, number, checkpoints, wanted=True, write=False)


def child(params=None, *, donor=0, **inherit):
    return Trial(9, params or {}, params or {}, weights_from=donor, inherit=inherit)


def equal(first, second):
    a, b = first.state_dict(), second.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_nothing_is_changed_in_a_trial_without_donor_but_said(store, caplog, monkeypatch):
    monkeypatch.setattr(once, "said", set())
    model = mlp()
    before = snapshot({"model": model})["model"]
    optimizer = SGD(model.parameters(), lr=0.1)
    weights = weights_for(store, {})
    params = {"lr": 0.3, "dropout": 0.4, "momentum": 0.0}
    objects = {"model": model, "optimizer": optimizer}
    for _ in range(2):
        assert weights.resume(child(params, donor=None), objects) == 0.0
    assert optimizer.param_groups[0]["lr"] == 0.1
    assert "initial_lr" not in optimizer.param_groups[0]
    assert model[1].p == 0.1
    said = [record.getMessage() for record in caplog.records]
    assert sorted(text[:20] for text in said) == ["the gene dropout is ", "the gene lr is 0.3, "]
    assert torch.equal(model[0].weight, before["0.weight"])
    assert weights.load(child(donor=None)) is None
    assert weights.written() is None


def test_a_child_goes_on_from_its_donor_with_its_own_params(store):
    donor = mlp().eval()
    donor_optimizer = SGD(donor.parameters(), lr=0.1, momentum=0.9)
    step(donor, donor_optimizer)
    kept = keep(store, 0, 4.0, model=donor, optimizer=donor_optimizer)
    model = mlp().eval()
    params = {"lr": 0.02, "momentum": 0.5, "dropout": 0.6}
    optimizer = SGD(model.parameters(), lr=0.02, momentum=0.5)
    epochs = weights_for(store, {0: kept}).resume(
        child(params), {"model": model, "optimizer": optimizer}
    )
    assert epochs == 4.0
    assert equal(model, donor)
    assert model[1].p == 0.6
    assert optimizer.param_groups[0]["lr"] == 0.02
    assert optimizer.param_groups[0]["momentum"] == 0.5
    for mine, theirs in zip(model.parameters(), donor.parameters(), strict=True):
        mine_buffer = optimizer.state[mine]["momentum_buffer"]
        assert torch.equal(mine_buffer, donor_optimizer.state[theirs]["momentum_buffer"])


@pytest.mark.parametrize("kind", [SGD, Adam, AdamW, RMSprop])
def test_a_child_with_its_donors_params_trains_as_its_donor_would(kind, store):
    options = {"lr": 0.05, "weight_decay": 0.01}
    donor, model = mlp().eval(), mlp().eval()
    donor_optimizer, optimizer = (kind(net.parameters(), **options) for net in (donor, model))
    for _ in range(3):
        step(donor, donor_optimizer)
    kept = keep(store, 0, model=donor, optimizer=donor_optimizer)
    weights_for(store, {0: kept}).resume(child(options), {"model": model, "optimizer": optimizer})
    for _ in range(2):
        step(donor, donor_optimizer)
        step(model, optimizer)
    assert equal(model, donor)


def test_nested_groups_keep_their_multiples_after_loading(store):
    def build(lr, weight_decay, beta1):
        model = mlp()
        return model, AdamW(
            [
                {"params": [model[0].weight, model[2].weight]},
                {"params": [model[0].bias], "weight_decay": 0.0},
                {"params": [model[2].bias], "lr": 10 * lr},
            ],
            lr=lr,
            weight_decay=weight_decay,
            betas=(beta1, 0.99),
        )

    donor, donor_optimizer = build(0.1, 0.2, 0.9)
    step(donor, donor_optimizer)
    kept = keep(store, 0, model=donor, optimizer=donor_optimizer)
    model, optimizer = build(0.01, 0.5, 0.8)
    params = {"lr": 0.01, "weight_decay": 0.5, "beta1": 0.8}
    weights_for(store, {0: kept}).resume(child(params), {"model": model, "optimizer": optimizer})
    found = optimizer.param_groups
    assert [group["lr"] for group in found] == pytest.approx([0.01, 0.01, 0.1])
    assert [group["weight_decay"] for group in found] == pytest.approx([0.5, 0.0, 0.5])
    assert all(group["betas"] == (0.8, 0.99) for group in found)
    assert optimizer.state[model[0].weight]["step"] == 1


def test_settings_that_are_no_genes_stay_those_that_were_built(store):
    donor, model = mlp(), mlp()
    kept = keep(store, 0, optimizer=SGD(donor.parameters(), lr=0.1, momentum=0.9))
    optimizer = SGD(model.parameters(), lr=0.7, momentum=0.2, nesterov=True)
    weights_for(store, {0: kept}).resume(child(), {"optimizer": optimizer})
    group = optimizer.param_groups[0]
    assert (group["lr"], group["momentum"], group["nesterov"]) == (0.7, 0.2, True)


def test_a_learning_rate_tensor_stays_the_one_that_was_built(store):
    donor, model = mlp().eval(), mlp().eval()
    donor_optimizer = Adam(donor.parameters(), lr=torch.tensor(0.1))
    step(donor, donor_optimizer)
    kept = keep(store, 0, optimizer=donor_optimizer)
    rate = torch.tensor(0.3)
    optimizer = Adam(model.parameters(), lr=rate)
    weights_for(store, {0: kept}).resume(child({"lr": 0.5}), {"optimizer": optimizer})
    assert optimizer.param_groups[0]["lr"] is rate
    assert rate.item() == 0.5
    assert donor_optimizer.param_groups[0]["lr"].item() == pytest.approx(0.1)


SCHEDULES = {
    "step": lambda optimizer: schedulers.StepLR(optimizer, 2, gamma=0.5),
    "multistep": lambda optimizer: schedulers.MultiStepLR(optimizer, [1, 4], gamma=0.3),
    "exponential": lambda optimizer: schedulers.ExponentialLR(optimizer, 0.9),
    "cosine": lambda optimizer: schedulers.CosineAnnealingLR(optimizer, T_max=10),
    "restarts": lambda optimizer: schedulers.CosineAnnealingWarmRestarts(optimizer, T_0=4),
    "lambda": lambda optimizer: schedulers.LambdaLR(optimizer, lambda e: min(1, (e + 1) / 4)),
    "one cycle": lambda optimizer: schedulers.OneCycleLR(
        optimizer, max_lr=10 * optimizer.defaults["lr"], total_steps=12
    ),
    "warm-up, then cosine": lambda optimizer: schedulers.SequentialLR(
        optimizer,
        [
            schedulers.LinearLR(optimizer, 0.1, total_iters=2),
            schedulers.CosineAnnealingLR(optimizer, T_max=8),
        ],
        milestones=[2],
    ),
}


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("written", [False, True], ids=["memory", "file"])
@pytest.mark.filterwarnings("ignore:Detected call of")
def test_a_schedule_goes_on_with_another_learning_rate(name, written, tmp_path):
    def build(lr):
        model = mlp().eval()
        optimizer = SGD(model.parameters(), lr=lr, momentum=0.9)
        return {"model": model, "optimizer": optimizer, "scheduler": SCHEDULES[name](optimizer)}

    store = Checkpoints(tmp_path)
    store.open("study")
    donor, expected, found = build(0.1), build(0.02), build(0.02)
    for objects in (donor, expected):
        for _ in range(3):
            step(*objects.values())
    kept = keep(store, 0, **donor)
    if written:
        store.forget(0)
    weights_for(store, {0: kept}).resume(child({"lr": 0.02}), found)
    for _ in range(6):
        rates = [objects["optimizer"].param_groups[0]["lr"] for objects in (found, expected)]
        assert rates[0] == pytest.approx(rates[1], rel=1e-6)
        assert found["scheduler"].get_last_lr() == pytest.approx([rates[0]])
        for objects in (found, expected):
            step(*objects.values())


def test_a_scheduler_keeps_its_own_settings_and_its_donors_count(store):
    def build(gamma):
        optimizer = SGD(mlp().parameters(), lr=0.1)
        return {"optimizer": optimizer, "scheduler": schedulers.StepLR(optimizer, 1, gamma=gamma)}

    donor, found = build(0.5), build(0.9)
    donor["optimizer"].step()
    donor["scheduler"].step()
    kept = keep(store, 0, **donor)
    weights_for(store, {0: kept}).resume(child(), found)
    assert found["scheduler"].last_epoch == 1
    assert found["scheduler"].gamma == 0.9
    found["optimizer"].step()
    found["scheduler"].step()
    assert found["optimizer"].param_groups[0]["lr"] == pytest.approx(0.1 * 0.5 * 0.9)


def test_a_plateau_scheduler_hands_on_its_reductions(store):
    def build(lr):
        optimizer = SGD(mlp().parameters(), lr=lr)
        plateau = schedulers.ReduceLROnPlateau(optimizer, factor=0.1, patience=0)
        return {"optimizer": optimizer, "scheduler": plateau}

    donor, found = build(0.1), build(0.4)
    weights_for(store, {}).resume(child(donor=None), donor)
    for _ in range(2):
        donor["scheduler"].step(1.0)
    assert donor["optimizer"].param_groups[0]["lr"] == pytest.approx(0.01)
    kept = keep(store, 0, **donor)
    weights_for(store, {0: kept}).resume(child({"lr": 0.4}), found)
    assert found["optimizer"].param_groups[0]["lr"] == pytest.approx(0.04)
    assert found["scheduler"].best == 1.0


def test_a_scheduler_built_after_resuming_starts_from_this_trials_learning_rate(store):
    donor_optimizer = SGD(mlp().parameters(), lr=0.1)
    schedulers.StepLR(donor_optimizer, 1)
    kept = keep(store, 0, optimizer=donor_optimizer)
    optimizer = SGD(mlp().parameters(), lr=0.5)
    weights_for(store, {0: kept}).resume(child({"lr": 0.5}), {"optimizer": optimizer})
    assert schedulers.StepLR(optimizer, 1).base_lrs == [0.5]


def test_base_learning_rates_follow_a_gene_that_the_optimizer_was_not_built_with(store):
    def build():
        optimizer = SGD(mlp().parameters(), lr=0.1)
        scheduler = schedulers.CosineAnnealingLR(optimizer, T_max=10)
        return {"optimizer": optimizer, "scheduler": scheduler}

    kept = keep(store, 0, **build())
    optimizer, scheduler = (objects := build()).values()
    weights_for(store, {0: kept}).resume(child({"lr": 0.5}), objects)
    assert scheduler.base_lrs == pytest.approx([0.5])
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.5)


def test_shrink_and_perturb_mixes_parameters_only(store):
    def build():
        return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))

    donor, model = build(), build()
    donor_optimizer = SGD(donor.parameters(), lr=0.1, momentum=0.9)
    step(donor, donor_optimizer)
    fresh = snapshot({"model": model})["model"]
    kept = keep(store, 0, model=donor, optimizer=donor_optimizer)
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    objects = {"model": model, "optimizer": optimizer}
    weights_for(store, {0: kept}).resume(child(shrink=0.4, perturb=0.1), objects)
    for name, parameter in model.named_parameters():
        expected = 0.4 * donor.get_parameter(name) + 0.1 * fresh[name]
        torch.testing.assert_close(parameter, expected)
    for name, buffer in model.named_buffers():
        assert torch.equal(buffer, donor.get_buffer(name))
    buffers = [optimizer.state[model[0].weight], donor_optimizer.state[donor[0].weight]]
    assert torch.equal(buffers[0]["momentum_buffer"], buffers[1]["momentum_buffer"])


def test_a_compiled_donor_is_shrunk_and_perturbed_alike(store):
    donor, model = nn.Linear(3, 4), nn.Linear(3, 4)
    fresh = snapshot({"model": model})["model"]
    kept = keep(store, 0, model=torch.compile(donor, backend="eager"))
    weights_for(store, {0: kept}).resume(child(shrink=0.4, perturb=0.1), {"model": model})
    torch.testing.assert_close(model.weight, 0.4 * donor.weight + 0.1 * fresh["weight"])


def test_shrink_and_perturb_by_itself():
    state = {"w": torch.tensor([1.0, 2.0]), "n": torch.tensor([3])}
    fresh = {"w": torch.tensor([10.0, 20.0]), "n": torch.tensor([5])}
    mixed = shrink_and_perturb(state, fresh, 0.5, 0.1)
    assert mixed["w"].tolist() == pytest.approx([1.5, 3.0])
    assert mixed["n"].item() == 3
    assert state["w"].tolist() == [1.0, 2.0]
    with pytest.raises(CheckpointError, match=r"w has shape \(2,\) in the donor and \(3,\) here"):
        shrink_and_perturb(state, {"w": torch.ones(3)}, 0.5, 0.1)


class Ensemble(nn.Module):
    def __init__(self, networks=2):
        super().__init__()
        self.networks = nn.ModuleList(mlp().eval() for _ in range(networks))
        self.shared = nn.Linear(1, 1)

    def forward(self, x):
        return sum(network(x) for network in self.networks)


def ensemble(kind):
    return Ensemble().networks if kind == "list" else Ensemble()


def trained(store, number, kind):
    model = ensemble(kind)
    networks = model if kind == "list" else model.networks
    optimizer = Adam(networks.parameters(), lr=0.1)
    for _ in range(number + 1):
        step(lambda x: sum(network(x) for network in networks), optimizer)
    return model, optimizer, keep(store, number, 3.0, model=model, optimizer=optimizer)


@pytest.mark.parametrize("kind", ["module", "list"])
@pytest.mark.parametrize("networks", [[0, 1], [1, 0], [None, 1]], ids=str)
def test_each_network_of_an_ensemble_comes_from_its_own_donor(kind, networks, store):
    donors = [trained(store, number, kind) for number in (0, 1)]
    model = ensemble(kind)
    parts = model if kind == "list" else model.networks
    optimizer = Adam(parts.parameters(), lr=0.1)
    fresh = [snapshot({"n": part})["n"] for part in parts]
    weights = weights_for(store, {0: donors[0][2], 1: donors[1][2]})
    trial = child(donor=None, networks=networks)
    assert weights.resume(trial, {"model": model, "optimizer": optimizer}) == 3.0
    for index, donor in enumerate(networks):
        mine = parts[index]
        if donor is None:
            assert torch.equal(mine[0].weight, fresh[index]["0.weight"])
            assert mine[0].weight not in optimizer.state
            continue
        theirs, their_optimizer, _ = donors[donor]
        theirs = (theirs if kind == "list" else theirs.networks)[index]
        assert equal(mine, theirs)
        state, expected = (
            opt.state[net[2].bias] for opt, net in ((optimizer, mine), (their_optimizer, theirs))
        )
        assert state["step"] == expected["step"] == donor + 1
        assert torch.equal(state["exp_avg"], expected["exp_avg"])
    step(lambda x: sum(part(x) for part in parts), optimizer)


def test_a_fresh_network_is_not_shrunk(store):
    _, _, kept = trained(store, 0, "list")
    model = ensemble("list")
    fresh = snapshot({"model": model})["model"]
    trial = child(networks=[0, None], shrink=0.5, perturb=0.0)
    weights_for(store, {0: kept}).resume(trial, {"model": model})
    assert torch.equal(model[1][0].weight, fresh["1.0.weight"])
    assert not torch.equal(model[0][0].weight, fresh["0.0.weight"])


def test_an_ensemble_of_nothing_but_fresh_networks_is_a_fresh_trial(store):
    model = Ensemble()
    before = snapshot({"model": model})["model"]
    weights = weights_for(store, {})
    assert weights.resume(child(donor=None, networks=[None, None]), {"model": model}) == 0.0
    assert torch.equal(model.networks[0][0].weight, before["networks.0.0.weight"])


def test_one_network_is_inherited_as_a_plain_model(store):
    donor, model = mlp(), mlp()
    kept = keep(store, 0, model=donor)
    weights_for(store, {0: kept}).resume(child(donor=None, networks=[0]), {"model": model})
    assert equal(model, donor)


def test_networks_that_cannot_be_told_apart_are_refused(store):
    kept = keep(store, 0, model=nn.Linear(2, 2))
    with pytest.raises(CheckpointError, match="no kept object holds 2 networks"):
        weights_for(store, {0: kept}).load(child(networks=[0, 0]))
    model = Ensemble()
    kept = keep(store, 1, model=model, optimizer=SGD(list(model.parameters())[:3], lr=0.1))
    with pytest.raises(CheckpointError, match="3 parameters cannot be cut into 2 networks"):
        weights_for(store, {1: kept}).load(child(donor=1, networks=[1, 1]))


def test_weights_can_be_sent_to_another_process(tmp_path):
    store = Checkpoints(tmp_path)
    store.open("study")
    donor, model = mlp(), mlp()
    kept = keep(store, 0, 2.0, model=donor)
    weights = TrialWeights(store, 1, {0: kept}, wanted=True, write=True)
    there = pickle.loads(pickle.dumps(weights))
    assert there.wanted
    assert there.resume(child(), {"model": model}) == 2.0
    there.keep({"model": model}, 5.0)
    written = there.written()
    assert written.epochs == 5.0
    assert store.available(1, written)
    assert equal(model, donor)


def test_the_last_snapshot_counts_and_a_file_is_written_only_when_due(tmp_path):
    store = Checkpoints(tmp_path)
    store.open("study")
    weights = TrialWeights(store, 1, {}, wanted=True, write=False)
    weights.keep({"n": {"value": 1}}, 1.0)
    weights.keep({"n": {"value": 2}}, 2.0)
    kept = weights.written()
    assert kept.file == ""
    assert store.load(1, kept) == ({"n": {"value": 2}}, 2.0)
    assert store.used() == 0


def test_a_state_may_be_handed_over_as_it_is(store):
    weights = TrialWeights(store, 1, {}, wanted=True, write=True)
    stack = torch.ones(3, 4)
    weights.keep_state({"model": {"w": stack[1]}}, 1.0)
    kept = weights.written()
    assert kept.size == 16
    assert store.load(1, kept)[0]["model"]["w"].data_ptr() == stack[1].data_ptr()


def test_a_donor_without_weights_is_a_checkpoint_failure(store):
    def train(trial):
        trial.resume(model=mlp())
        return 1.0

    failure = evaluate_trial(train, replace(child(donor=5), weights=weights_for(store, {})))
    assert failure.kind == "checkpoint"
    assert "trial 9 inherits from trial 5, which has kept no weights" in failure.message


def test_the_handle_resumes_trains_and_keeps(store):
    def train(trial):
        model = mlp()
        optimizer = SGD(model.parameters(), lr=trial.params["lr"])
        trial.resume(model=model, optimizer=optimizer)
        seen = list(trial.epochs(default=2))
        trial.keep(model=model, optimizer=optimizer)
        return float(seen[0])

    first = Trial(0, {"lr": 0.1}, {"lr": 0.1})
    weights = TrialWeights(store, 0, {}, wanted=True, write=False)
    outcome = evaluate_trial(train, replace(first, weights=weights))
    assert outcome.checkpoint.epochs == 2
    second = Trial(1, {"lr": 0.2}, {"lr": 0.2}, weights_from=0)
    weights = TrialWeights(store, 1, {0: outcome.checkpoint}, wanted=True, write=False)
    assert RunningTrial(second, weights).keeps
    outcome = evaluate_trial(train, replace(second, weights=weights))
    assert outcome.checkpoint.epochs == 4
    assert next(iter(outcome.metrics.values())) == 2.0


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        (torch.optim.RMSprop, {"momentum": 0.0}, {"momentum": 0.9}),
        (torch.optim.RMSprop, {"centered": False}, {"centered": True}),
        (torch.optim.Adam, {"amsgrad": False}, {"amsgrad": True}),
        (torch.optim.SGD, {"momentum": 0.0}, {"momentum": 0.9}),
    ],
)
def test_a_child_may_switch_on_what_its_donor_did_without(kind, before, after, store):
    def step(model, optimizer):
        optimizer.zero_grad()
        model(torch.ones(1, 2)).sum().backward()
        optimizer.step()

    model = nn.Linear(2, 1)
    optimizer = kind(model.parameters(), lr=0.1, **before)
    step(model, optimizer)
    weights = TrialWeights(store, 0, {}, wanted=True, write=False)
    weights.keep({"model": model, "optimizer": optimizer}, 1.0)
    record = weights.written()
    model = nn.Linear(2, 1)
    optimizer = kind(model.parameters(), lr=0.1, **after)
    heir = TrialWeights(store, 1, {0: record}, wanted=True, write=False)
    trial = Trial(1, {"lr": 0.1}, {"lr": 0.1}, weights_from=0)
    heir.resume(trial, {"model": model, "optimizer": optimizer})
    step(model, optimizer)
    assert all(torch.isfinite(p).all() for p in model.parameters())


def test_one_model_for_all_trials_of_a_loop_of_ones_own_is_refused(store):
    model = mlp()
    first, second = child(donor=None), replace(child(donor=None), number=10)
    weights_for(store, {}).resume(first, {"model": model})
    weights_for(store, {}).keep({"model": model}, 1.0)
    weights_for(store, {}).resume(first, {"model": model})  # the same trial, run again
    with pytest.raises(TaskError, match=r"starts afresh, but model= has the weights that trial 9"):
        weights_for(store, {}, number=10).resume(second, {"model": model})
    model.requires_grad_(False)  # what is not trained may be shared
    assert weights_for(store, {}, number=10).resume(second, {"model": model}) == 0.0
    model.requires_grad_(True)
    model.load_state_dict(mlp().state_dict())  # what is made new is fresh
    assert weights_for(store, {}, number=10).resume(second, {"model": model}) == 0.0
