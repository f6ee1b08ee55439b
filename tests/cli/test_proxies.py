"""Proxies that a file, or the command line, names."""

import numpy as np
import pytest

from evotune.algorithms.hybrid import Hybrid
from evotune.cli.config import load
from evotune.cli.main import main
from evotune.errors import ConfigError
from evotune.proxies import archive

TASK = """
import torch
from torch import nn
import evotune as et

x = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))

def net(params):
    width = params["width"]
    return nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 1))

task = et.SupervisedTask(
    net, loss="mse", optimizer="sgd", train=(x, x.sum(1)), validation=(x, x.sum(1)), epochs=1
)

def train(trial):
    return {"loss": trial.params["lr"]}
"""
FILE = """
[study]
objective = "min loss"
seed = 1
trials = 14

[space]
lr = { type = "float", low = 1e-4, high = 0.1, log = true }
width = { type = "int", low = 1, high = 32 }

[algorithm]
name = "Hybrid"
"""


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "FIRST", 20)
    monkeypatch.setattr(archive, "ROUNDS", 1)
    monkeypatch.setattr(archive, "CHILDREN", 5)
    monkeypatch.syspath_prepend(str(tmp_path))
    name = f"proxies_{abs(hash(str(tmp_path)))}"
    (tmp_path / f"{name}.py").write_text(TASK)

    def write(*, algorithm="", function="task"):
        path = tmp_path / "study.toml"
        path.write_text(f'{FILE}{algorithm}\n[task]\nfunction = "{name}:{function}"\n')
        return path

    return write


@pytest.mark.parametrize(
    ("overrides", "names"), [({}, {"params", "synflow"}), ({"proxies": "params"}, {"params"})]
)
def test_a_file_names_proxies(file, overrides, names):
    path = file(algorithm='proxies = ["params", "synflow"]')
    algorithm = load(path, overrides).algorithm
    assert isinstance(algorithm, Hybrid)
    assert algorithm.ask(np.random.default_rng(0)).note["proxy_test"].keys() == names


def test_the_command_line_runs_with_proxies(file, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["run", str(file()), "--proxies", "params, snip"])
    assert ended.value.code == 0
    assert "14 done" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("algorithm", "function", "words"),
    [
        ('proxies = ["paramz"]', "task", "did you mean 'params'"),
        ("proxies = 3", "task", "list of names"),
        ('proxies = ["params"]', "train", "SupervisedTask"),
    ],
)
def test_bad_proxies(file, algorithm, function, words):
    with pytest.raises(ConfigError, match=words):
        load(file(algorithm=algorithm, function=function), {})


def test_an_algorithm_without_proxies_says_so(file):
    path = file()
    text = path.read_text().replace("Hybrid", "RandomSearch")
    path.write_text(text)
    with pytest.raises(ConfigError, match="unknown option 'proxies'"):
        load(path, {"proxies": "params"})
