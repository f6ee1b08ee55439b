"""``evotune prune``: its files, how it goes on, and what is said of what is wrong."""

import json
import logging

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import evotune as et  # noqa: E402
from evotune.architectures import cost  # noqa: E402
from evotune.pruning import checkpoint, progress  # noqa: E402
from helpers_pruning import perceptron  # noqa: E402

CODE = """
import torch
from torch import nn
from helpers_pruning import perceptron

network = perceptron()

def net():
    return perceptron()

def wide(width, depth=2):
    return nn.Linear(width, depth)

def number():
    return 7

def examples():
    x = torch.randn(60, 6, generator=torch.Generator().manual_seed(0))
    return x, (x[:, 0] > 0).long()

def alone():
    return examples()[0]

def sums():
    return alone(), alone().sum(1, keepdim=True).repeat(1, 3)

def narrow():
    return alone()[:, :5]
"""
DATA = ("--data", "net.py:examples")
WEIGHTS = ("--weights", "w.safetensors")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(cost, "SECONDS", 0.0)
    (tmp_path / "net.py").write_text(CODE)
    torch.manual_seed(0)
    model = perceptron()
    torch.save(model.state_dict(), "w.pt")
    from safetensors.torch import save_file

    save_file(model.state_dict(), "w.safetensors")
    return tmp_path


def test_what_it_writes(evotune, folder):
    code, out, err = evotune(
        "prune", "net.py:net", *WEIGHTS, *DATA, "-o", "out/new", "--sparsity", ".8", "--refine", 2
    )
    assert code == 0
    assert all(line.startswith("sparsity 0.8, ") for line in err.splitlines())
    assert "wrote pruned.safetensors, report.html and summary.json in out/new" in out
    model = perceptron()
    model.load_state_dict(torch.load("w.pt", weights_only=True))
    x = torch.randn(60, 6, generator=torch.Generator().manual_seed(0))
    wanted = et.prune(model.eval(), 0.8, data=(x, (x[:, 0] > 0).long()), refine=2)
    found = et.Pruned.load("out/new/pruned.safetensors", perceptron())
    with torch.no_grad():
        assert torch.equal(found.model(x), wanted.model(x))
    summary = json.loads((folder / "out/new/summary.json").read_text())
    assert summary["sparsity"] == wanted.sparsity
    assert (summary["kept"], summary["size"]) == (wanted.kept, wanted.size)
    assert summary["asked"] == dict(wanted.asked)
    assert summary["quality"].keys() == {"dense", "pruned"}
    with torch.no_grad():
        right = float((wanted.model(x).argmax(1) == (x[:, 0] > 0)).float().mean())
    assert summary["quality"]["pruned"]["accuracy"] == pytest.approx(right)
    assert f"{wanted.kept} of {wanted.size} weights left" in out
    page = (folder / "out/new/report.html").read_text()
    assert '<section class="card" id="quality">' in page


def forms(folder):
    x, y = np.random.default_rng(0).normal(size=(40, 6)), np.arange(40) % 3
    np.savez("xy.npz", x=x, y=y)
    np.savez("inputs.npz", inputs=x, labels=y)
    np.savez("x.npz", x=x)
    state = torch.load("w.pt", weights_only=True)
    torch.save({"state_dict": state, "epoch": 3}, "nested.pt")
    torch.save({f"_orig_mod.{name}": value for name, value in state.items()}, "compiled.pt")
    return {name: value.double() for name, value in state.items()}


def test_data_and_weights_in_other_forms(evotune, folder):
    torch.save(forms(folder), "double.pt")
    kept = {}
    for number, (weights, data) in enumerate(
        [
            ("nested.pt", "xy.npz"),
            ("compiled.pt", "inputs.npz"),
            ("double.pt", "xy.npz"),
            ("w.pt", "x.npz"),
            ("w.pt", "net.py:alone"),
            ("w.pt", "net.py:sums"),
        ]
    ):
        code, _, err = evotune(
            *("prune", "net.py:net", "--weights", weights, "--data", data, "-o", f"o{number}"),
            *("--sparsity", 0.8),
        )
        assert code == 0, err
        summary = json.loads((folder / f"o{number}/summary.json").read_text())
        kept[number] = summary["kept"], summary["quality"]
    assert kept[0] == kept[1] == kept[2]
    assert kept[3][1] == kept[4][1] == {}
    assert kept[5][1]["dense"].keys() == {"mae", "r2", "loss"}


def test_weights_of_a_pruned_network_and_of_a_study(evotune, folder):
    first = ("prune", "net.py:net", *DATA, *WEIGHTS, "-o", "one", "--sparsity", 0.5)
    assert evotune(*first)[0] == 0
    again = ("prune", "net.py:net", *DATA, "--weights", "one/pruned.safetensors", "-o", "two")
    assert evotune(*again, "--sparsity", 0.8)[0] == 0
    from evotune.checkpoints.state import pack

    state = pack({"model": torch.load("w.pt", weights_only=True), "epoch": 3}, 3.0)
    (folder / "trial-3.safetensors").write_bytes(state)
    trial = ("prune", "net.py:net", *DATA, "--weights", "trial-3.safetensors", "-o", "three")
    assert evotune(*trial, "--sparsity", 0.5)[0] == 0
    found = [json.loads((folder / f"{name}/summary.json").read_text()) for name in ("one", "three")]
    assert found[0]["measured"]["loss"] == found[1]["measured"]["loss"]


def test_without_weights_it_says_so(evotune):
    code, out, _ = evotune("prune", "net.py:network", *DATA, "-o", "out", "--sparsity", 0.8)
    assert code == 0
    assert "without --weights" in out


def test_it_goes_on_where_it_was(evotune, folder, monkeypatch):
    command = ("prune", "net.py:net", *WEIGHTS, *DATA, "--sparsity", 0.8, "--refine", 6)
    assert evotune(*command, "-o", "whole")[0] == 0
    plain = checkpoint.Checkpoint.after

    def after(self, state):
        plain(self, state)
        if state.steps == 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "EVERY", 0.0)
        patch.setattr(checkpoint, "TIMES", 0.0)
        patch.setattr(checkpoint.Checkpoint, "after", after)
        code, out, _ = evotune(*command, "-o", "parts")
    assert code == 130
    assert "run the same command to go on" in out
    assert not (folder / "parts/summary.json").exists()
    code, _, err = evotune(*command, "-o", "parts", "--refine", 5)
    assert code == 0
    assert "going on from parts/refinement.safetensors: 4 steps of refinement" in err
    monkeypatch.setattr(progress, "PAUSE", 0.0)
    code, out, err = evotune(*command, "-o", "parts")
    assert code == 0
    assert "refinement: 6 of 6  best loss" in err
    assert "refinement: 5 of 6" not in err
    assert "refinement:" not in out
    whole, parts = (
        et.Pruned.load(folder / name / "pruned.safetensors", perceptron())
        for name in ("whole", "parts")
    )
    assert whole.losses == parts.losses
    assert all(torch.equal(whole.masks[name], parts.masks[name]) for name in whole.masks)
    code, _, err = evotune(*command, "-o", "parts", "--sparsity", 0.9)
    assert code == 1
    assert "another sparsity (0.8 there, 0.9 now)" in err


def test_a_structure(evotune, folder):
    command = ("prune", "net.py:net", *WEIGHTS, *DATA, "-o", "out", "--structure", "2:4")
    code, _, err = evotune(*command)
    assert code == 0, err
    summary = json.loads((folder / "out/summary.json").read_text())
    assert summary["asked"]["structure"] == "2:4"
    assert summary["asked"]["sparsity"] == 0.5
    assert "<dt>structure</dt><dd>2:4</dd>" in (folder / "out/report.html").read_text()
    code, _, err = evotune(*command[:-1], "channels")
    assert code == 1
    assert "another sparsity (0.5 there, 0.98 now), structure ('2:4' there, 'channels' now)" in err


def test_another_compensation(evotune, folder):
    command = ("prune", "net.py:net", *WEIGHTS, *DATA, "--sparsity", ".8", "-o", "out")
    code, _, err = evotune(*command, "--method", "lamp", "--compensation", "bias")
    assert code == 0, err
    asked = json.loads((folder / "out/summary.json").read_text())["asked"]
    assert (asked["method"], asked["compensation"]) == ("lamp", "bias")
    assert "compensation" in (folder / "out/report.html").read_text()
    model = perceptron()
    model.load_state_dict(torch.load("w.pt", weights_only=True))
    found = et.Pruned.load("out/pruned.safetensors", perceptron())
    mask = found.masks["0.weight"]
    assert torch.equal(found.model[0].weight, model[0].weight * mask)
    assert not torch.equal(found.model[0].bias, model[0].bias)
    code, _, err = evotune(*command[:-1], "other", "--compensation", "bias")
    assert code == 1
    assert "has no effect here" in err


def test_warnings_and_what_was_left_dense_are_shown(evotune, folder):
    (folder / "tokens.py").write_text(
        "import torch\nfrom helpers_pruning import Tokens\n\n"
        "def draw():\n    return torch.randint(11, (30, 5))\n"
    )
    code, out, _ = evotune("prune", "tokens.py:Tokens", "--data", "tokens.py:draw", "-o", "out")
    assert code == 0
    assert "left dense: embedding, an embedding" in out
    cut = ("--sparsity", 0.995, "--method", "diagonal")
    code, out, _ = evotune("prune", "net.py:net", *DATA, "-o", "cut", *cut)
    assert code == 0
    assert "warning: at sparsity 0.995 nothing flows" in out


BAD = [
    (("net.py:net", "--data", "none.npz"), 1, "there is no file none.npz"),
    (("net.py:net", "--data", "text.npz"), 1, "cannot be read"),
    (("net.py:net", "--data", "keys.npz"), 1, "has the keys x_train, y_train; needed are x"),
    (("net.py:net", "--data", "more.npz"), 1, "has the keys x, weights; needed are x"),
    (("net.py:net", "--data", "objects.npz"), 1, "cannot be read"),
    (("net.py:net", "--data", "narrow.npz"), 1, "does not take these examples"),
    (("net.py:net", "--data", "net.py:narrow"), 1, "does not take these examples"),
    (("net.py:net", "--data", "net.py:exmples"), 1, "did you mean 'examples'"),
    (("net.py:net", "--data", "net.py:wide"), 1, "called without arguments"),
    (("net.py:net", "--data", "images"), 1, "--data is FILE.npz or PYFILE:FUNCTION"),
    (("net.py:wide", *DATA), 1, "called without arguments, and it needs some (missing a required"),
    (("net.py:number", *DATA), 1, "net.py:number must return an nn.Module"),
    (("net.py:nett", *DATA), 1, "has no function 'nett'; did you mean 'net'"),
    (("nets.py:net", *DATA), 1, "there is no file"),
    (("net", *DATA), 1, 'write "net:net" or "net.py:net"'),
    (("net.py:net", *DATA, "--weights", "none.pt"), 1, "there is no file none.pt"),
    (("net.py:net", *DATA, "--weights", "other.pt"), 1, "do not fit this Sequential: 0.weight is"),
    (("net.py:net", *DATA, "--weights", "module.pt"), 1, "holds more than weights"),
    (("net.py:net", *DATA, "--weights", "list.pt"), 1, "a state dict is needed"),
    (("net.py:net", *DATA, "--weights", "epochs.pt"), 1, "holds a dict of epoch, lr"),
    (("net.py:net", *DATA, "--weights", "cut.safetensors"), 1, "is no file of weights, or it is"),
    (("net.py:net", *DATA, "--weights", "net.py"), 1, "weights are in .safetensors or .pt files"),
    (("net.py:net", *DATA, "--sparsity", "much"), 2, "--sparsity"),
    (("net.py:net", *DATA, "--sparsity", "1.5"), 1, "sparsity must lie in (0, 1)"),
    (("net.py:net", *DATA, "--method", "magnitud"), 1, "did you mean 'magnitude'"),
    (("net.py:net", "--data", "net.py:alone", "--fine-tune", "1"), 1, "fine_tune= trains on"),
    (("net.py:net", *DATA, "--loss", "crossentropy"), 1, "did you mean 'cross_entropy'"),
    (("net.py:net", *DATA, "-o", "net.py"), 1, "cannot be written"),
    (("net.py:net", *DATA, "-o", "net.py/out"), 1, "cannot be written"),
]


@pytest.fixture
def bad_files(folder):
    (folder / "text.npz").write_text("x y")
    np.savez("keys.npz", x_train=np.ones(3), y_train=np.ones(3))
    np.savez("more.npz", x=np.ones((3, 6)), weights=np.ones(3))
    np.savez("objects.npz", x=np.array([{}, {}], dtype=object))
    np.savez("narrow.npz", x=np.ones((9, 5)))
    torch.save(torch.nn.Linear(3, 2).state_dict(), "linear.pt")
    state = perceptron().state_dict()
    torch.save(state | {"0.weight": torch.ones(7, 6)}, "other.pt")
    torch.save(perceptron(), "module.pt")
    torch.save([1, 2], "list.pt")
    torch.save({"epoch": 3, "lr": 0.1}, "epochs.pt")
    (folder / "cut.safetensors").write_bytes((folder / "w.safetensors").read_bytes()[:-9])


@pytest.mark.usefixtures("bad_files")
def test_what_is_wrong_is_said(evotune):
    for arguments, wanted, words in BAD:
        output = () if "-o" in arguments else ("-o", "out")
        code, _, err = evotune("prune", *arguments, *output)
        assert code == wanted, (arguments, err)
        assert words in err, (arguments, err)
        assert "Traceback" not in err


def test_an_error_in_the_users_code_is_shown_whole(evotune, folder):
    (folder / "broken.py").write_text("def net():\n    return 1 / 0\n")
    code, _, err = evotune("prune", "broken.py:net", *DATA, "-o", "out")
    assert code == 1
    assert "in net" in err
    assert "ZeroDivisionError" in err


def test_quiet_shows_no_progress(evotune, folder):
    log = logging.getLogger("evotune")
    level = log.level
    try:
        code, _, err = evotune(
            "-q", "prune", "net.py:net", *WEIGHTS, *DATA, "-o", "out", "--sparsity", 0.8
        )
    finally:
        log.setLevel(level)
    assert (code, err) == (0, "")
