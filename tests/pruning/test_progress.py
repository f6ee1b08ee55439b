"""What a pruning shows while it goes on."""

import re

import pytest
import torch
from torch import nn

import evotune as et
from evotune.errors import TaskError
from evotune.pruning import progress


def prune(sparsity=0.9, **options):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
    x = torch.randn(40, 8)
    return et.prune(model, sparsity, data=(x, (x[:, 0] > 0).long()), **options)


def test_nothing_where_nobody_looks(capsys):
    prune(refine=3)
    assert capsys.readouterr() == ("", "")


def test_bars_in_a_terminal_with_the_best_loss(terminal):
    written = terminal()
    result = prune(refine=12, fine_tune=2)
    shown = written.getvalue()
    for part, steps in (("rounds", 8), ("refinement", 12), ("fine-tuning", 2)):
        assert f"sparsity 0.9, {part}: 100%" in shown
        assert f"{steps}/{steps}" in shown
    assert f"best loss {result.losses[-1]:.4g}" in shown


def test_a_terminal_may_be_left_alone(terminal):
    written = terminal()
    prune(refine=2, progress=False)
    prune(method="search", progress=False)
    assert written.getvalue() == ""


def test_lines_elsewhere_where_they_are_wanted(capsys, monkeypatch):
    result = prune(refine=5, progress=True)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) < 13  # now and then, and the end of each part
    assert re.match(r"sparsity 0.9, rounds: 8 of 8  loss \S+  \d", lines[-2])
    last = rf"sparsity 0.9, refinement: 5 of 5  best loss {result.losses[-1]:.4g}  \d.*"
    assert re.fullmatch(last, lines[-1])
    monkeypatch.setattr(progress, "PAUSE", 0.0)
    prune(refine=5, progress=True)
    assert len(capsys.readouterr().err.splitlines()) == 13


@pytest.mark.parametrize(
    ("method", "part"),
    [("search", "search"), ("synflow", "rounds"), ("soft_mask", "training of masks")],
)
def test_other_methods_say_how_far_they_are(capsys, method, part):
    prune(method=method, progress=True)
    assert f"sparsity 0.9, {part}: " in capsys.readouterr().err


def test_a_sweep_says_which_sparsity(capsys):
    prune([0.5, 0.8], progress=True)
    shown = capsys.readouterr().err
    assert "sparsity 0.5, rounds: 8 of 8" in shown
    assert "sparsity 0.8, rounds: 8 of 8" in shown


def test_what_is_shown_changes_nothing():
    quiet, shown = (prune(refine=4, progress=p) for p in (False, True))
    assert quiet.losses == shown.losses
    assert all(torch.equal(mask, shown.masks[name]) for name, mask in quiet.masks.items())


def test_what_is_no_answer():
    with pytest.raises(TaskError, match="progress"):
        prune(progress="yes")
