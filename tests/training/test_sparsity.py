"""Sparsity as part of training: exact shares, masks that hold, weights handed on, bad input."""

import copy
import math
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import evotune as et
from evotune.errors import ScheduleError, TaskError
from evotune.schedules.schedule import Schedule, Segment
from evotune.training.sparsity import Sparsifier, prunable, sparsity_of
from evotune.training.stacked.together import Unstackable, train_together
from helpers_stacked import Line, assert_same_training, double_task, examples
from helpers_study import EndsAtReport
from helpers_training import blob_task, blobs, mlp, start

SIZE = 40  # of the weights of mlp()
SPACE = {"lr": et.Float(0.01, 0.3, log=True), "sparsity": et.Float(0.3, 0.9)}


def share(model):
    return sparsity_of(prunable(model))


def constant(value):
    return Schedule((Segment(1, {"sparsity": value}),))


def steps(sparsifier, network, count, time=0.0, optimizer=None):
    """Take steps of a fixed problem, all at one time; return the optimizer."""
    optimizer = optimizer or torch.optim.SGD(network.parameters(), 0.1, momentum=0.9)
    x = torch.randn(16, 2, generator=torch.Generator().manual_seed(1))
    for _ in range(count):
        sparsifier.update(time)
        optimizer.zero_grad()
        network(x).square().mean().backward()
        sparsifier.before_step([weight.grad for weight in sparsifier.weights])
        optimizer.step()
        sparsifier.after_step()
    return optimizer


# -- what a task gives ----------------------------------------------------------------------------


@pytest.mark.parametrize("epochs", [1, 2, 7])
@pytest.mark.parametrize("sparsity", [0, 0.5, 0.9])
def test_a_trained_network_has_exactly_the_wanted_sparsity(sparsity, epochs):
    task = blob_task(sparsity=sparsity, epochs=epochs)
    assert task(start())["sparsity"] == pytest.approx(1 - round((1 - sparsity) * SIZE) / SIZE)
    assert share(task.fit({})) == pytest.approx(1 - round((1 - sparsity) * SIZE) / SIZE)


def test_the_example_of_the_docs_runs():
    text = (Path(__file__).parents[2] / "docs/pruning.md").read_text()
    code = text.split("## Sparsity while training")[1].split("```python")[1].split("```")[0]
    names = {}
    exec(code, names)
    assert share(names["model"]) == pytest.approx(0.9, abs=1e-4)
    assert names["study"].knee.metrics["sparsity"] == pytest.approx(
        names["study"].knee.params["sparsity"], abs=1e-4
    )


def test_without_a_sparsity_nothing_is_removed_and_nothing_measured():
    assert "sparsity" not in blob_task()(start())


def test_a_sparsity_of_zero_trains_as_without():
    plain, zero = blob_task()(start()), blob_task(sparsity=0.0)(start())
    assert zero.pop("sparsity") == 0
    assert [plain[name] for name in ("loss", "accuracy", "train_loss")] == [
        zero[name] for name in ("loss", "accuracy", "train_loss")
    ]


def test_a_pruned_network_still_learns():
    metrics = blob_task(sparsity=0.5, epochs=20, optimizer="adam")(start({"lr": 0.05}))
    assert metrics["accuracy"] > 0.85


def test_the_gene_replaces_the_tasks_own_and_may_be_all_there_is():
    assert blob_task(sparsity=0.9)(start({"sparsity": 0.5}))["sparsity"] == 0.5
    assert blob_task()(start({"sparsity": 0.25}))["sparsity"] == 0.25


def test_a_schedule_is_followed_to_the_epoch_at_which_a_trial_ends():
    schedule = Schedule(tuple(Segment(1, {"sparsity": value}) for value in (0.1, 0.5, 0.75)))
    found = [blob_task(sparsity=schedule, epochs=n)(start())["sparsity"] for n in (1, 2, 3, 9)]
    assert found == [pytest.approx(0.1), 0.5, 0.75, 0.75]


def test_the_reports_on_the_way_tell_how_sparse_the_network_is_by_then():
    trial = start()
    blob_task(sparsity=0.9, epochs=8, validate_every=1)(trial)
    seen = [report["sparsity"] for report in trial.reports]
    assert seen == sorted(seen)
    assert 0 < seen[0] < 0.9 == pytest.approx(seen[-1])


def test_a_stopping_rule_ends_trials_of_a_search_for_sparsity():
    study = et.Study(et.RandomSearch(et.Space(**SPACE)), "max sparsity", seed=1)
    study.run(blob_task(epochs=8), trials=2, stopping=EndsAtReport(2))
    assert [trial.state for trial in study.trials] == ["stopped"] * 2
    for trial in study.trials:
        assert 0 < trial.metrics["sparsity"] < trial.params["sparsity"]


@pytest.mark.parametrize("form", ["stream", "loader", "dataset"])
def test_every_form_of_data_ends_at_the_wanted_sparsity(form):
    x, y = torch.tensor(blobs()[0], dtype=torch.float32), torch.tensor(blobs()[1])
    data = TensorDataset(x, y)

    class Stream(IterableDataset):
        def __iter__(self):
            return iter(data)

    train = {
        "stream": Stream(),
        "loader": DataLoader(data, 32, shuffle=True),
        "dataset": torch.utils.data.ConcatDataset([data]),
    }[form]
    for epochs in (1, 4):
        found = blob_task(train=train, sparsity=0.8, epochs=epochs)(start())
        assert found["sparsity"] == pytest.approx(0.8)


def test_shares_of_the_data_are_trained_to_the_full_sparsity():
    task = blob_task(sparsity=0.9, fidelity="data")
    assert task(start(budget=0.1))["sparsity"] == pytest.approx(0.9)


class Everything(nn.Module):
    """All that can be pruned, and what stays: norms, an embedding, a head tied to it."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(5, 8)
        self.convolution = nn.Conv1d(8, 8, 3, padding=1)
        self.norm = nn.LayerNorm(8)
        self.rnn = nn.GRU(8, 8, batch_first=True)
        self.cell = nn.LSTMCell(8, 8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.frozen = nn.Linear(8, 8).requires_grad_(False)
        self.head = nn.Linear(8, 5, bias=False)
        self.head.weight = self.words.weight
        self.out = nn.Linear(5, 3)

    def forward(self, x):
        x = self.words(x)
        x = self.norm(self.convolution(x.mT).mT)
        x, _ = self.rnn(x)
        x, _ = self.attention(x, x, x)
        return self.out(self.head(self.frozen(self.cell(x.mean(1))[0])))


def test_the_weights_of_every_layer_that_prune_knows_are_taken():
    model = Everything()
    mine = {id(weight) for weight in prunable(model)}
    names = {name for name, p in model.named_parameters() if id(p) in mine}
    model.frozen.requires_grad_(True)
    theirs = et.prune(model, 0.5, data=torch.randint(5, (20, 4)), method="magnitude").masks
    assert names == set(theirs) - {"frozen.weight"}
    assert {"rnn.weight_hh_l0", "cell.weight_ih", "attention.in_proj_weight"} <= names


def test_recurrent_layers_and_attention_are_trained_with_their_masks():
    x = torch.randint(5, (30, 4), generator=torch.Generator().manual_seed(0))
    data = (x, x[:, 0] % 3)
    task = blob_task(model=lambda p: Everything(), train=data, validation=data, sparsity=0.8)
    model = task.fit({}, epochs=3)
    size = sum(weight.numel() for weight in prunable(model))
    assert share(model) == pytest.approx(1 - round(0.2 * size) / size)


# -- masks ----------------------------------------------------------------------------------------


def test_masks_hold_against_momentum_and_weight_decay():
    network = mlp()
    optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9, weight_decay=0.1)
    sparsifier = Sparsifier(network, constant(0.0), 2, inherited=False)
    steps(sparsifier, network, 5, optimizer=optimizer)  # with momentum in all weights
    sparsifier._wanted = constant(0.5)
    for time in (1.0, 1.1, 1.5):
        steps(sparsifier, network, 3, time, optimizer)
        zeros = [weight == 0 for weight in sparsifier.weights]
        assert sum(int(zero.sum()) for zero in zeros) == SIZE / 2
    masks = [mask.clone() for mask in sparsifier.masks]
    steps(sparsifier, network, 5, 3.0, optimizer)
    assert all(map(torch.equal, masks, sparsifier.masks))


def test_the_smallest_weights_of_all_layers_together_go():
    network = mlp()
    sizes = torch.cat([w.detach().abs().flatten() for w in prunable(network)])
    sparsifier = Sparsifier(network, constant(0.3), 1, inherited=False)
    sparsifier.update(0.0)
    left = torch.cat([m.flatten() for m in sparsifier.masks]).bool()
    assert sizes[left].min() > sizes[~left].max()
    assert int(left.sum()) == 28


def test_a_removed_weight_comes_back_with_its_last_value_where_kept_ones_fell_below_it():
    """Zhu and Gupta: removed weights keep their values, masks are made anew of all of them."""
    network = nn.Sequential(nn.Linear(2, 2, bias=False))
    [weight] = prunable(network)
    with torch.no_grad():
        weight.copy_(torch.tensor([[0.4, 0.3], [0.2, 0.1]]))
    rising = Schedule((Segment(1, {"sparsity": 0.25}), Segment(1, {"sparsity": 0.5})))
    sparsifier = Sparsifier(network, rising, 2, inherited=False)
    sparsifier.update(0.0)
    with torch.no_grad():
        weight.mul_(torch.tensor([[1.0, 0.1], [0.1, 1.0]]))
    assert weight.tolist()[1] == [pytest.approx(0.02), 0]
    sparsifier.update(1.0)
    assert weight.detach().flatten().tolist() == pytest.approx([0.4, 0, 0, 0.1])


def test_equal_weights_do_not_break_the_count():
    network = mlp()
    with torch.no_grad():
        for weight in prunable(network):
            weight.fill_(0.5)
    sparsifier = Sparsifier(network, constant(0.7), 1, inherited=False)
    steps(sparsifier, network, 1)
    assert sum(int(mask.sum()) for mask in sparsifier.masks) == 12


def test_weights_that_begin_at_zero_learn_all_the_same():
    def model(params):
        network = mlp()
        nn.init.zeros_(network[2].weight)
        return network

    trained = blob_task(model=model, sparsity=0.5, epochs=8).fit({"lr": 0.3})
    assert trained[2].weight.count_nonzero() > 3
    assert share(trained) == 0.5


# -- weights handed on ----------------------------------------------------------------------------


def handed_on(task, first, second, **options):
    line = Line()
    donor = line.handle(0, first, budget=2)
    task(donor)
    state, _ = line.state(donor)
    state = copy.deepcopy(state)
    child = line.handle(1, second, donor=0, budget=2, **options)
    metrics = task(child)
    return state["model"], line.state(child)[0]["model"], metrics


def test_what_is_kept_is_a_plain_network_with_zeros():
    kept, _, _ = handed_on(blob_task(sparsity=0.5), {}, {})
    model = mlp()
    model.load_state_dict(kept)
    assert share(model) == 0.5


def test_a_trial_goes_on_with_the_masks_of_its_donor():
    before, after, metrics = handed_on(blob_task(sparsity=0.5), {"lr": 0.1}, {"lr": 0.2})
    assert metrics["sparsity"] == 0.5
    for name in ("0.weight", "2.weight"):
        assert torch.equal(before[name] == 0, after[name] == 0)
        assert not torch.equal(before[name], after[name])


def test_more_weights_go_from_those_of_a_denser_donor():
    before, after, metrics = handed_on(blob_task(), {"sparsity": 0.5}, {"sparsity": 0.8})
    assert metrics["sparsity"] == pytest.approx(0.8)
    for name in ("0.weight", "2.weight"):
        assert not after[name][before[name] == 0].any()


def test_weights_come_back_where_the_donor_was_sparser():
    before, after, metrics = handed_on(blob_task(), {"sparsity": 0.8}, {"sparsity": 0.4})
    assert metrics["sparsity"] == 0.4
    for name in ("0.weight", "2.weight"):
        assert after[name][before[name] != 0].all()


def test_weights_come_back_from_zero_by_the_size_of_their_gradients():
    network = nn.Sequential(nn.Linear(3, 1, bias=False))
    [weight] = prunable(network)
    with torch.no_grad():
        weight.copy_(torch.tensor([[1.0, 0, 0]]))
    sparsifier = Sparsifier(network, 1 / 3, 1, inherited=True)
    sparsifier.update(4.0)
    assert weight.tolist() == [[1, 0, 0]]
    gradient = torch.tensor([[0.5, 0.1, -0.3]])
    sparsifier.before_step([gradient])
    assert sparsifier.masks[0].tolist() == [[1, 0, 1]]
    assert gradient.tolist() == [[0.5, 0, pytest.approx(-0.3)]]


def test_a_schedule_goes_on_along_the_line_of_weights():
    schedule = Schedule.cubic("sparsity", 0.9, epochs=3)
    line, found = Line(), []
    for number in range(4):
        handle = line.handle(number, {}, donor=number - 1 if number else None, budget=1)
        found.append(blob_task(sparsity=schedule)(handle)["sparsity"])
        line.state(handle)
    wanted = [0.9 * (1 - (1 - epoch / 3) ** 3) for epoch in range(4)]
    assert found == [pytest.approx(1 - round((1 - s) * SIZE) / SIZE) for s in wanted]


def test_each_network_of_an_ensemble_is_pruned_by_itself():
    line = Line()
    handle = line.handle(0, {}, inherit={"networks": (None, None)})
    metrics = blob_task(sparsity=0.75)(handle)
    state = line.state(handle)[0]["model"]
    for number in range(2):
        weights = [state[f"networks.{number}.{name}.weight"] for name in (0, 2)]
        assert sparsity_of(weights) == 0.75
    assert metrics["sparsity"] == 0.75


def test_a_network_takes_over_the_weights_of_another_structure():
    space = et.Space(layers=et.Chain(1, 3, dense={"units": et.Int(4, 12)}))
    x = torch.tensor(blobs()[0], dtype=torch.float32)
    data = (x, torch.tensor(blobs()[1]))
    task = blob_task(
        model=et.tabular(2, 3), train=data, validation=data, sparsity=0.6, optimizer="adam"
    )
    algorithm = et.Genetic(space, population_size=4, inherit=True, epochs=1)
    study = et.Study(algorithm, "max accuracy", seed=1)
    study.run(task, trials=12)
    assert any(trial.parents for trial in study.trials)
    assert all(t.metrics["sparsity"] == pytest.approx(0.6, abs=0.02) for t in study.trials)
    assert share(study.restore()) == study.best.metrics["sparsity"]


# -- algorithms -----------------------------------------------------------------------------------


@pytest.mark.parametrize("executor", [None, et.StackedExecutor()])
@pytest.mark.parametrize(
    "algorithm",
    [
        lambda space: et.PopulationBasedTraining(space, population_size=6),
        lambda space: et.recipes.three_parent_training(space, population_size=6),
    ],
)
def test_in_a_population_every_member_has_the_sparsity_of_its_gene(algorithm, executor, caplog):
    study = et.Study(algorithm(et.Space(**SPACE)), "max accuracy", seed=1)
    study.run(blob_task(optimizer="adam"), epochs=4, executor=executor)
    assert len({trial.params["sparsity"] for trial in study.trials}) > 6
    for trial in study.trials:
        kept = round((1 - trial.params["sparsity"]) * SIZE)
        assert trial.metrics["sparsity"] == pytest.approx(1 - kept / SIZE)
    model = mlp()
    trial = study.restore(model=model)
    assert share(model) == trial.metrics["sparsity"]
    assert "one by one" not in caplog.text


def test_in_halving_promoted_trials_stay_at_the_sparsity():
    algorithm = et.SuccessiveHalving(
        et.RandomSearch(et.Space(**SPACE)), minimum=1, maximum=4, eta=2
    )
    study = et.Study(algorithm, "max accuracy", seed=1)
    study.run(blob_task(), trials=10)
    assert any(trial.weights_from is not None for trial in study.trials)
    for trial in study.trials:
        kept = round((1 - trial.params["sparsity"]) * SIZE)
        assert trial.metrics["sparsity"] == pytest.approx(1 - kept / SIZE)


# -- stacked --------------------------------------------------------------------------------------


def small(params):
    return nn.Sequential(nn.Linear(5, 9), nn.ReLU(), nn.Linear(9, 3))


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_stacked_members_are_pruned_as_each_alone(optimizer):
    task = double_task(small, optimizer=optimizer, epochs=4, validate_every=1)
    genomes = [{"lr": 0.01 * (n + 1), "sparsity": s} for n, s in enumerate((0.3, 0.6, 0.9))]
    found = assert_same_training(task, genomes)
    assert [own["sparsity"] for own in found] == [
        pytest.approx(1 - round((1 - s) * 72) / 72) for s in (0.3, 0.6, 0.9)
    ]


def test_stacked_members_go_on_from_sparser_and_denser_donors_as_each_alone():
    task = double_task(small, optimizer="sgd")
    genes = [{"lr": 0.1, "momentum": 0.9, "sparsity": s} for s in (0.2, 0.8, 0.5)]
    turned = [{**own, "sparsity": 1 - own["sparsity"]} for own in genes]
    results = []
    for run in (lambda handles: [task(h) for h in handles], lambda h: train_together(task, h)):
        line = Line()
        first = [line.handle(n, own) for n, own in enumerate(genes)]
        run(first)
        for handle in first:
            line.state(handle)
        second = [line.handle(3 + n, own, donor=n) for n, own in enumerate(turned)]
        results.append([own["loss"] for own in run(second)])
        states = [line.state(handle)[0]["model"] for handle in second]
        shares = [sparsity_of([own["0.weight"], own["2.weight"]]) for own in states]
        assert shares == [pytest.approx(s, abs=0.01) for s in (0.8, 0.2, 0.5)]
    assert results[0] == pytest.approx(results[1], rel=1e-9)


def test_members_with_and_without_a_sparsity_are_not_stacked():
    task = double_task(small)
    line = Line()
    handles = [line.handle(0, {"sparsity": 0.5}), line.handle(1, {})]
    found = train_together(task, handles)
    assert all(isinstance(own, Unstackable) for own in found)
    assert found[0].reason == "no other member has the same number of pruned networks"


def test_stacked_gradients_that_are_one_tensor_get_a_mask_each():
    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Linear(5, 3), nn.Linear(5, 3)

        def forward(self, x):
            return nn.functional.linear(x, self.one.weight + self.two.weight)

    task = double_task(lambda params: Sum(), sparsity=0.5, train=examples(5))
    assert_same_training(task, [{"lr": 0.1}, {"lr": 0.2}])


# -- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize("sparsity", [-0.1, 1, 1.5, math.nan, math.inf, "0.9", True, [0.5]])
def test_what_is_no_share_is_refused_when_the_task_is_made(sparsity):
    with pytest.raises(TaskError, match=r"sparsity must .*0\.9 for 90 %"):
        blob_task(sparsity=sparsity)


@pytest.mark.parametrize("value", [-0.1, 1.0, math.nan, "x"])
def test_a_gene_that_is_no_share_is_refused(value):
    with pytest.raises(TaskError, match="sparsity must"):
        blob_task()(start({"sparsity": value}))


def test_a_schedule_that_leaves_the_range_is_refused():
    with pytest.raises(TaskError, match="sparsity in epoch 2 of its schedule must"):
        blob_task(sparsity=Schedule((Segment(2, {"sparsity": 0.5}), Segment(1, {"sparsity": 1}))))


def test_a_schedule_of_other_genes_or_without_a_sparsity_is_refused():
    with pytest.raises(TaskError, match="also has lr, without effect"):
        blob_task(sparsity=Schedule((Segment(1, {"sparsity": 0.5, "lr": 0.1}),)))
    with pytest.raises(TaskError, match="none in epoch 1; write 0"):
        blob_task(sparsity=Schedule((Segment(1, {"sparsity": 0.5}), Segment(1, {}))))


def never(*_):
    raise AssertionError("it was trained")


@pytest.mark.parametrize(
    ("model", "sparsity", "message"),
    [
        (lambda p: nn.Sequential(nn.BatchNorm1d(2)), 0.5, "has no weights that can be pruned"),
        (lambda p: mlp().requires_grad_(False), 0.5, "has no weights that can be pruned"),
        (lambda p: nn.Sequential(nn.LazyLinear(3)), 0.5, "size of the layer '0' is not known"),
        (lambda p: mlp(), 0.99, r"leaves none of the 40 weights of Sequential; at most 0\.975"),
    ],
)
def test_a_network_that_cannot_be_so_sparse_is_refused_before_training(model, sparsity, message):
    with pytest.raises(TaskError, match=message):
        blob_task(model=model, sparsity=sparsity, loss=never)(start())


def test_a_metric_of_the_same_name_is_refused():
    metrics = {"sparsity": lambda output, target: 0.0}
    with pytest.raises(TaskError, match="call your metric otherwise"):
        blob_task(metrics=metrics, sparsity=0.5)
    with pytest.raises(TaskError, match="call your metric otherwise"):
        blob_task(metrics=metrics)(start({"sparsity": 0.5}))
    blob_task(metrics=metrics)(start())


def test_a_cubic_schedule_is_that_of_the_paper():
    """Zhu and Gupta (2017), equation 1."""
    schedule = Schedule.cubic("sparsity", 0.8, epochs=4, initial=0.2)
    values = [epoch["sparsity"] for epoch in schedule]
    assert values == pytest.approx([0.8 - 0.6 * (1 - t / 4) ** 3 for t in range(5)])
    assert schedule[99] == {"sparsity": 0.8}


@pytest.mark.parametrize(
    "wrong", [{"epochs": 0}, {"epochs": 2.5}, {"final": math.nan}, {"initial": "0"}]
)
def test_a_cubic_schedule_of_no_numbers_is_refused(wrong):
    options = {"name": "sparsity", "final": 0.9, "epochs": 3} | wrong
    with pytest.raises(ScheduleError):
        Schedule.cubic(**options)


def test_a_misspelt_gene_is_still_refused():
    with pytest.raises(TaskError, match="did you mean 'sparsity'"):
        blob_task()(start({"sparsty": 0.5}))
