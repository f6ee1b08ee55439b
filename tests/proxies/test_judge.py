import math
import pickle

import cloudpickle
import pytest
import torch
from torch import nn

import evotune as et
from evotune.errors import TaskError

X = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
Y = torch.arange(40) % 3
SPACE = et.Space(lr=et.Float(1e-4, 1.0, log=True), width=et.Int(2, 64, log=True))


def net(params):
    width = params["width"]
    return nn.Sequential(nn.Linear(6, width), nn.ReLU(), nn.Linear(width, 3))


def test_scores_of_params_depend_on_nothing_but_what_the_model_reads():
    proxies = et.proxies.Proxies(net, X, Y)
    state = torch.get_rng_state()
    found = proxies({"lr": 0.1, "width": 20})
    assert set(found) == set(et.proxies.FIVE)
    assert proxies({"width": 20, "lr": 0.9}) == found
    assert proxies({"lr": 0.1, "width": 21}) != found
    torch.manual_seed(7)
    assert et.proxies.Proxies(net, X, Y)({"lr": 0.5, "width": 20}) == found
    torch.set_rng_state(state)


def test_the_seed_counts_and_only_a_mini_batch_is_kept():
    proxies = et.proxies.Proxies(net, X, Y, names="snip")
    assert len(proxies.inputs) == 16
    assert et.proxies.Proxies(net, X, Y, names="snip", seed=1)({"width": 9}) != proxies(
        {"width": 9}
    )
    again = pickle.loads(cloudpickle.dumps(proxies))
    assert again({"width": 9}) == proxies({"width": 9})


def test_a_network_that_cannot_be_built_has_no_score(caplog):
    def broken(params):
        raise RuntimeError("too wide for this")

    found = et.proxies.Proxies(broken, X, Y, names=("snip", "params"))({"width": 3})
    assert all(math.isnan(value) for value in found.values())
    assert "too wide for this" in caplog.text


def test_a_template_makes_genomes_fit():
    space = et.Space(
        features=et.Chain(1, 3, conv={"filters": et.Int(8, 64, log=True), "kernel": 3})
    )
    model = et.image_classifier((1, 8, 8), 3, parameters=2_000)
    proxies = et.proxies.Proxies(model, torch.randn(16, 1, 8, 8), torch.arange(16) % 3)
    assert proxies.traits.fit is not None
    genome = space.complete({"features": [{"block": "conv", "filters": 64}] * 3})
    params = space.params(proxies.traits.fit(space, genome))
    assert proxies(params)["params"] <= 2_000


@pytest.mark.parametrize(
    ("model", "options", "words"),
    [
        (nn.Linear(6, 3), {}, "function of params"),
        (net, {"names": "x"}, "no proxy"),
        (net, {"batch_size": 1}, "batch_size"),
        (net, {"loss": 3}, "loss="),
    ],
)
def test_bad_input(model, options, words):
    with pytest.raises(TaskError, match=words):
        et.proxies.Proxies(model, X, Y, **options)


def test_a_model_function_that_returns_no_network():
    with pytest.raises(TaskError, match="returned int"):
        et.proxies.Proxies(lambda params: 3, X, Y)({"width": 3})


def test_a_task_of_proxies_can_be_the_objective():
    task = et.ProxyTask(model=net, train=(X, Y), proxies=("synflow", "params"))
    space = et.Space(width=et.Int(2, 64))
    study = et.tune(task, space, "max synflow", algorithm="RandomSearch", trials=12, seed=0)
    assert study.best.params["width"] > 40
    assert study.best.metrics["params"] == 6 * study.best.params["width"] + (
        study.best.params["width"] + 3 * study.best.params["width"] + 3
    )


def test_a_nan_score_is_a_failed_trial_with_words():
    def linear_where_narrow(params):
        return net(params) if params["width"] > 30 else nn.Linear(6, 3)

    task = et.ProxyTask(model=linear_where_narrow, train=(X, Y), proxies="naswot")
    study = et.Study(et.RandomSearch(et.Space(width=et.Int(2, 64))), "max naswot", seed=0)
    study.run(task, trials=12, max_failures=1.0)
    failed = [trial for trial in study.trials if trial.state == "failed"]
    assert failed
    assert all(trial.params["width"] <= 30 for trial in failed)
    assert "naswot cannot be computed" in failed[0].failure.message
    assert study.best.params["width"] > 30


def test_a_task_needs_a_pair():
    with pytest.raises(TaskError, match="pair"):
        et.ProxyTask(model=net, train=X)
