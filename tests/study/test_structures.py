"""Studies of structures at their edges: narrowed spaces, empty chains, every template, one step."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import evotune as et
import helpers_warm
from evotune.architectures.templates import template_of
from evotune.space.refine import Refinement
from helpers_study import decisions

torch.set_num_threads(1)

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 1, 4, 4)).astype("float32")
Y = (X.reshape(60, 16) @ RNG.normal(size=(16, 3))).argmax(1)
TOKENS = RNG.integers(0, 9, size=(60, 5))


def task(template, inputs=X, targets=Y, **options):
    defaults = {"optimizer": "adam", "loss": "cross_entropy", "epochs": 1, "batch_size": 30}
    data = {"train": (inputs, targets), "validation": (inputs, targets)}
    return et.SupervisedTask(template, **(defaults | data | options))


def heirs(space, **options):
    return et.Genetic(space, **({"population_size": 4, "inherit": True, "epochs": 1} | options))


def test_children_inherit_within_limits_while_the_ranges_shrink(tmp_path):
    space = et.Space(
        lr=et.Float(1e-3, 3e-2, log=True),
        features=et.Chain(1, 3, conv={"filters": et.Int(2, 6)}, pool={}),
    )
    template = et.image_classifier((1, 4, 4), 3, parameters=200)

    def run(name, *stops):
        for trials in stops:
            algorithm = heirs(space, refinement=Refinement(every=1))
            with et.Study(algorithm, "min loss", seed=1, storage=tmp_path / name) as study:
                study.run(task(template), trials=trials)
        return study

    study = run("one.db", 14)
    assert study.counts == {"done": 14}
    assert study.algorithm.ranges != space
    assert max(trial.metrics["parameters"] for trial in study.trials) <= 200
    assert sum(trial.weights_from is not None for trial in study.trials) >= 8
    assert decisions(run("two.db", 7, 14)) == decisions(study)


DENSE = {"units": et.Int(2, 4), "norm": et.Choice("none", "batch")}
EDGES = {
    "no layer at all": (
        et.image_classifier((1, 4, 4), 3),
        {"features": et.Chain(0, 1, conv={"filters": 2}), "head": et.Chain(0, 1, dense=DENSE)},
        X,
    ),
    "as many layers in each": (
        et.image_classifier((1, 4, 4), 3),
        {"features": et.Chain(2, 2, conv={"filters": et.Int(2, 3)})},
        X,
    ),
    "kernels larger than the image": (
        et.image_classifier((2, 2, 4), 3),
        {
            "features": et.Chain(
                1,
                3,
                **{
                    block: {"filters": et.Int(2, 3), "kernel": et.Ordinal(1, 4, 5, 9)}
                    for block in ("conv", "separable", "residual")
                },
                pool={},
            )
        },
        X.reshape(60, 2, 2, 4),
    ),
    "sequences of one step": (
        et.sequence_model((1, 16), 3),
        {
            "time": et.Chain(
                1,
                3,
                lstm={"units": et.Int(2, 3), "bidirectional": et.Bool()},
                conv1d={"filters": et.Int(2, 3), "kernel": et.Ordinal(1, 4, 5)},
                attention={"heads": et.Int(1, 2), "head_size": 2, "feed_forward": 3},
                pool1d={},
            )
        },
        X.reshape(60, 1, 16),
    ),
}


@pytest.mark.parametrize("edge", EDGES)
def test_every_child_of_every_parent_trains(edge):
    template, chains, inputs = EDGES[edge]
    space = et.Space(lr=et.Float(1e-3, 3e-2, log=True), **chains)
    study = et.Study(heirs(space), "min loss", seed=1)
    # A last batch of one example would be refused by batch normalisation.
    study.run(task(template, inputs[:31], Y[:31]), trials=12)
    assert study.counts == {"done": 12}
    layers = {json.dumps([t.params[name] for name in chains]) for t in study.trials}
    assert len(layers) > 2


GRU = {"units": et.Int(2, 3)}
FLAT = X.reshape(60, 16)
TEMPLATES = {
    "image_classifier": (
        et.image_classifier((1, 4, 4), 3),
        {"features": et.Chain(1, 2, conv={"filters": 2}, pool={})},
        (X, Y),
    ),
    "sequence_model": (
        et.sequence_model((5,), 3, vocabulary=9, width=4),
        {"time": et.Chain(1, 2, gru=GRU), "bidirectional": et.Bool()},
        (TOKENS, Y),
    ),
    "tabular": (
        et.tabular(16, {"a": 3, "b": 3}),
        {"layers": et.Chain(0, 2, dense=DENSE)},
        (FLAT, {"a": Y, "b": Y}),
    ),
    "sequence_to_sequence": (
        et.sequence_to_sequence(9, 9, width=4, lengths=(5, 5)),
        {"encoder": et.Chain(0, 2, gru=GRU), "decoder": et.Chain(1, 2, lstm=GRU)},
        ({"source": TOKENS, "target": TOKENS}, TOKENS),
    ),
    "autoencoder": (
        et.autoencoder((16,), 2),
        {"encoder": et.Chain(0, 2, dense=DENSE)},
        (FLAT, FLAT),
    ),
    "two_branch": (
        et.two_branch((2, 1, 2, 4), 5, 9, 3, width=4),
        {
            "frames": et.Chain(1, 2, conv={"filters": 2}),
            "time": et.Chain(1, 1, gru=GRU),
            "text": et.Chain(1, 1, gru=GRU),
            "fusion": et.Choice("concat", "sum", "gate"),
        },
        ({"frames": X.reshape(60, 2, 1, 2, 4), "text": TOKENS}, Y),
    ),
}
ELSEWHERE = """
import json, sys
sys.path[:0] = [".", ".."]
from test_structures import outputs, searched

for name in json.loads(sys.argv[2]):
    with searched(name, sys.argv[1]) as study:
        print(json.dumps([outputs(study.restore()), outputs(study.restore(study.best.number))]))
"""


def searched(name, where):
    """A study of one template."""
    space = et.Space(lr=et.Float(1e-3, 1e-2), **TEMPLATES[name][1])
    return et.Study(et.RandomSearch(space), "min loss", seed=1, storage=f"{where}/{name}.db")


def outputs(network):
    """The sum of what a network says to the example of its template."""
    with torch.no_grad():
        found = network(*template_of(network.structure).example(2))
    return float(sum(map(torch.sum, found.values() if isinstance(found, dict) else [found])))


def test_networks_of_every_template_come_back_in_another_process(tmp_path):
    before = []
    for name, (template, _, data) in TEMPLATES.items():
        loss = "mse" if name == "autoencoder" else "cross_entropy"
        with searched(name, tmp_path) as study:
            study.run(task(template, *data, loss=loss), trials=2)
            before.append([outputs(study.restore())] * 2)
    command = ("-c", ELSEWHERE, tmp_path, json.dumps(list(TEMPLATES)))
    done = helpers_warm.run(*command, cwd=Path(__file__).parent, modules=helpers_warm.TRAINING)
    assert done.returncode == 0, done.stderr
    after = [json.loads(line) for line in done.stdout.splitlines()]
    np.testing.assert_allclose(after, before, rtol=1e-5)


def test_members_of_one_structure_are_stacked_whatever_their_numbers_are(caplog):
    dense = {"units": 4, "dropout": et.Float(0.0, 0.5)}
    space = et.Space(
        lr=et.Float(1e-3, 3e-2, log=True),
        features=et.Chain(1, 1, conv={"filters": 3}),
        head=et.Chain(1, 1, dense=dense),
    )
    study = et.Study(heirs(space), "min loss", seed=1)
    model = et.image_classifier((1, 4, 4), 3)
    study.run(task(model), trials=12, executor=et.StackedExecutor())
    assert study.counts == {"done": 12}
    assert not [r for r in caplog.records if "not stacked" in r.getMessage()]


def test_a_latency_that_nothing_keeps_to_is_a_violation_and_the_study_goes_on():
    space = et.Space(features=et.Chain(1, 2, conv={"filters": et.Int(2, 6)}))
    constraint = et.Constraint("latency", at_most=1e-9)
    study = et.Study(heirs(space), "min loss", seed=1, constraints=constraint)
    study.run(task(et.image_classifier((1, 4, 4), 3), costs=("latency",)), trials=5)
    assert study.counts == {"done": 5}
    assert all(trial.violation > 0 for trial in study.trials)
