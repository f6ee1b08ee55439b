"""What the benchmarks of chains rest on: one space for all methods, a limit, a stored truth."""

import numpy as np
import pytest
from inherit_search import make_space as make_shipped_space
from networks import CLASSES, MULTIPLY_ADDS, SHAPE, fitted, make_space, multiply_adds
from search import fit, suggested
from surrogate import Surrogate
from train_random import as_line, read

import evotune as et


def samples(space, count):
    rng = np.random.default_rng(0)
    return [space.sample(rng) for _ in range(count)]


def test_networks_keep_to_the_limit():
    space = make_space()
    sizes = []
    for genome in samples(space, 200):
        once = fit(space, genome)
        space.check(once)
        sizes.append(multiply_adds(space.params(genome)))
        assert multiply_adds(space.params(once)) <= MULTIPLY_ADDS
        assert fit(space, once) == once
        if sizes[-1] <= MULTIPLY_ADDS:
            assert once == genome
    assert 0.2 < np.mean(np.array(sizes) > MULTIPLY_ADDS) < 0.8


def test_multiply_adds_are_those_of_the_network():
    space = make_space()
    for genome in samples(space, 5):
        params = fitted(space.params(genome))
        counted = et.cost(et.image_classifier(SHAPE, CLASSES)(params), SHAPE).multiply_adds
        assert multiply_adds(params) == pytest.approx(counted, rel=0.02)


def test_optuna_has_the_same_space():
    optuna = pytest.importorskip("optuna")
    space = make_space()
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    depths = set()
    for _ in range(60):
        params = suggested(study.ask())
        assert space.params(space.complete(params)) == params
        depths.add((len(params["features"]), len(params["head"])))
    assert {depth for depth, _ in depths} == set(range(1, 8))
    assert {head for _, head in depths} == {0, 1, 2}


def test_the_stored_networks_are_of_the_space():
    networks = read()
    assert len(networks) == 400
    space = make_space()
    lines = []
    for params, accuracy in networks:
        space.complete(params)
        assert multiply_adds(params) <= MULTIPLY_ADDS
        assert 0.05 < accuracy < 0.9
        lines.append(as_line(accuracy, params))
    assert len(set(lines)) == 400


def test_the_surrogate_knows_what_it_has_seen():
    surrogate, networks = Surrogate(), read()
    predicted = [surrogate(params) for params, _ in networks]
    assert np.corrcoef(predicted, [accuracy for _, accuracy in networks])[0, 1] > 0.9


def test_the_space_of_real_trainings_builds():
    space = make_shipped_space()
    model = et.image_classifier(SHAPE, CLASSES, multiply_adds=300_000)
    for genome in samples(space, 3):
        network = model(space.params(model.fit(space, genome)))
        assert et.cost(network, SHAPE).multiply_adds <= 300_000
