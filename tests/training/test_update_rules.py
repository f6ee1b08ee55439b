"""Every rule takes the steps that torch's optimizer takes for each member alone."""

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    CyclicLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    ReduceLROnPlateau,
    SequentialLR,
)

from evotune.training.stacked.together import Unstackable, train_together
from helpers_stacked import Line, assert_alike, assert_same_training, double_task, run_each
from helpers_training import without_seconds


def net(params=None):
    return nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3))


RULES = {
    "sgd": [{"lr": 0.1}, {"lr": 0.2}, {"lr": 0.05}],
    "sgd with momentum": [
        {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01},
        {"lr": 0.2, "momentum": 0.5, "weight_decay": 0.0},
        {"lr": 0.05, "momentum": 0.0, "weight_decay": 0.1},
    ],
    "sgd with dampening": [
        {"lr": 0.1, "momentum": 0.9, "dampening": 0.3},
        {"lr": 0.2, "momentum": 0.5, "dampening": 0.0},
        {"lr": 0.05, "momentum": 0.0, "dampening": 0.9},
    ],
    "sgd with nesterov": [
        {"lr": 0.1, "momentum": 0.9, "nesterov": True},
        {"lr": 0.2, "momentum": 0.5, "nesterov": True, "weight_decay": 0.1},
    ],
    "adam": [
        {"lr": 0.01, "beta1": 0.5, "beta2": 0.99},
        {"lr": 0.03, "beta1": 0.9, "beta2": 0.9, "weight_decay": 0.1},
        {"lr": 0.02, "eps": 0.1},
    ],
    "adam with amsgrad": [{"lr": 0.01, "amsgrad": True}, {"lr": 0.1, "amsgrad": True}],
    "adamw": [{"lr": 0.01, "weight_decay": 0.1}, {"lr": 0.03, "beta1": 0.0}],
    "rmsprop": [{"lr": 0.01}, {"lr": 0.02, "alpha": 0.5, "eps": 0.1, "weight_decay": 0.01}],
    "rmsprop with momentum": [
        {"lr": 0.01, "momentum": 0.9},
        {"lr": 0.02, "momentum": 0.5},
        {"lr": 0.03, "momentum": 0.0},
    ],
    "rmsprop, centered": [
        {"lr": 0.01, "momentum": 0.9, "centered": True},
        {"lr": 0.02, "momentum": 0.3, "centered": True},
    ],
}


def task_of(rule, **options):
    return double_task(net, optimizer=rule.partition(" ")[0].strip(","), **options)


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_is_that_of_torch(rule):
    assert_same_training(task_of(rule), RULES[rule])


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("first", ["together", "alone"])
def test_training_goes_on_from_weights_that_were_kept_the_other_way(rule, first):
    task, genomes = task_of(rule), RULES[rule]
    children = genomes[1:] + genomes[:1]  # a child has other hyperparameters than its donor
    if rule == "rmsprop with momentum":  # torch fails when momentum is only begun with
        children = genomes[::-1]
        children[0], children[1] = {"lr": 0.1, "momentum": 0.0}, {"lr": 0.2, "momentum": 0.1}
        children[2] = {"lr": 0.1, "momentum": 0.0}
    ways = {"together": train_together, "alone": run_each}
    lines = Line(), Line()
    for line, parents_way in zip(lines, (ways[first], run_each), strict=True):
        parents = [line.handle(n, genome) for n, genome in enumerate(genomes)]
        parents_way(task, parents)
        for parent in parents:
            line.state(parent)
    second = run_each if first == "together" else train_together
    found, expected = (
        (way(task, handles), handles)
        for way, handles in (
            (way, [line.handle(10 + n, genome, donor=n) for n, genome in enumerate(children)])
            for way, line in zip((second, run_each), lines, strict=True)
        )
    )
    for own, other in zip(found[0], expected[0], strict=True):
        assert_alike(without_seconds(own), without_seconds(other))
    for handle, twin in zip(found[1], expected[1], strict=True):
        assert_alike(lines[0].state(handle), lines[1].state(twin))


def test_fresh_and_inheriting_members_train_in_one_stack():
    task, lines = task_of("adam"), (Line(), Line())
    results = []
    for line, way in zip(lines, (train_together, run_each), strict=True):
        parents = [line.handle(n, {"lr": 0.01}) for n in range(2)]
        way(task, parents)
        line.state(parents[1])
        children = [line.handle(2, {"lr": 0.1}, donor=1), line.handle(3, {"lr": 0.1})]
        children.append(
            line.handle(4, {"lr": 0.02}, donor=1, inherit={"shrink": 0.4, "perturb": 0.1})
        )
        results.append([*way(task, children), *(line.state(child) for child in children)])
    for own, other in zip(*results, strict=True):
        assert_alike(*(without_seconds(r) if isinstance(r, dict) else r for r in (own, other)))


SCHEDULERS = {
    "each its own factor": lambda optimizer, params: ExponentialLR(optimizer, params["gamma"]),
    "by each one's loss": lambda optimizer, params: ReduceLROnPlateau(
        optimizer, factor=params["gamma"], patience=0, threshold=0.5
    ),
    "of momentum too": lambda optimizer, params: CyclicLR(
        optimizer, 0.01, params["gamma"], step_size_up=1, base_momentum=0.2
    ),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_member_has_its_own_scheduler(name):
    task = double_task(net, scheduler=SCHEDULERS[name], epochs=4)
    genomes = [{"lr": 0.1, "momentum": 0.9, "gamma": gamma} for gamma in (0.9, 0.5, 0.1)]
    assert_same_training(task, genomes)


BASES = {
    "cosine": (lambda o: CosineAnnealingLR(o, T_max=6), [1.0, 0.933013, 0.75, 0.5, 0.25, 0.066987]),
    "linear": (
        lambda o: LinearLR(o, start_factor=1.0, end_factor=0.25, total_iters=6),
        [1.0, 0.875, 0.75, 0.625, 0.5, 0.375],
    ),
    "warm-up, stable, decay": (
        lambda o: SequentialLR(
            o,
            [
                LinearLR(o, start_factor=0.5, total_iters=2),
                LinearLR(o, start_factor=1.0, end_factor=0.0, total_iters=4),
            ],
            milestones=[2],
        ),
        [0.5, 0.75, 1.0, 0.75, 0.5, 0.25],
    ),
    "by a function": (
        lambda o: LambdaLR(o, lambda epoch: [0.5, 1.0, 1.0, 1.0, 0.6, 0.3, 0.0][epoch]),
        [0.5, 1.0, 1.0, 1.0, 0.6, 0.3],
    ),
}


@pytest.mark.parametrize("way", [train_together, run_each])
@pytest.mark.parametrize("name", BASES)
def test_genes_scale_a_base_schedule_that_goes_on_along_the_line(name, way):
    """A child begins at its own base rate × the factor of its donor's epoch, and goes on so."""
    scheduler, factors = BASES[name]
    task = double_task(net, scheduler=scheduler)
    line, donor, number = Line(), None, 0

    def trained(rates, epochs):
        nonlocal number
        handles = [
            line.handle(number + k, {"lr": rate}, donor=donor, budget=epochs)
            for k, rate in enumerate(rates)
        ]
        number += len(rates)
        assert not [found for found in way(task, handles) if isinstance(found, Exception)]
        states = [line.state(handle)[0] for handle in handles]
        return handles, [state["optimizer"]["param_groups"][0]["lr"] for state in states]

    for epoch, rates in enumerate([(0.1, 0.2), (0.4, 0.05), (0.3, 0.8), (0.1, 0.6), (0.7, 0.3)]):
        if epoch > 0:
            _, begun = trained(rates, 0)
            assert begun == pytest.approx([rate * factors[epoch] for rate in rates], rel=1e-4)
        handles, ended = trained(rates, 1)
        assert ended == pytest.approx([rate * factors[epoch + 1] for rate in rates], rel=1e-4)
        donor = handles[1].number


def test_param_groups_keep_their_own_settings():
    def optimizer(parameters, params):
        weight, bias, *head = parameters
        groups = [
            {"params": head, "lr": 10 * params["lr"]},
            {"params": [bias, weight], "weight_decay": 0.1},
        ]
        return torch.optim.SGD(groups, lr=params["lr"], momentum=params["momentum"])

    task = double_task(net, optimizer=optimizer)
    assert_same_training(task, [{"lr": 0.01, "momentum": 0.9}, {"lr": 0.02, "momentum": 0.5}])


def test_parameters_without_gradient_stay_as_they_are():
    class Partly(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.unused, self.frozen = nn.Linear(5, 3), nn.Linear(5, 3), nn.Linear(5, 5)
            self.frozen.requires_grad_(False)

        def forward(self, inputs):
            return self.used(self.frozen(inputs))

    task = double_task(lambda params: Partly())
    assert_same_training(task, [{"lr": 0.1, "weight_decay": 0.1}, {"lr": 0.2, "weight_decay": 0.2}])


@pytest.mark.parametrize(
    ("optimizer", "reason"),
    [
        ("adagrad", "the optimizer is Adagrad; SGD, Adam, AdamW, RMSprop can be stacked"),
        (
            lambda parameters, params: torch.optim.SGD(parameters, lr=0.1, maximize=True),
            "the optimizer maximizes",
        ),
    ],
)
def test_an_optimizer_without_a_rule_is_said(optimizer, reason):
    handles = [Line().handle(n, {}) for n in range(2)]
    results = train_together(double_task(net, optimizer=optimizer), handles)
    assert results == [Unstackable(reason)] * 2
