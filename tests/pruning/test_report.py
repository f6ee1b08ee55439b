"""The page about a pruned network: what it holds, and that nothing in it can break it."""

import re

import pytest
import torch
from plotly.offline import get_plotlyjs
from torch import nn

import evotune as et
from evotune.architectures import cost
from evotune.pruning import report
from evotune.pruning.result import Pruned
from helpers_pruning import NETWORKS, made, perceptron

HOSTILE = "<img src=x onerror=alert(1)><script>alert(1)</script>"


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(cost, "SECONDS", 0.0)


def page_of(pruned, tmp_path):
    text = pruned.report(tmp_path / "pruned.html").read_text("utf-8")
    return text.replace(get_plotlyjs(), "")


def sections(page):
    return re.findall(r'<section class="card" id="(\w+)">', page)


def row_of(page, name):
    """Return the cells of the first row of a table that begins with this name."""
    found = re.search(rf"<tr><td>{re.escape(name)}</td>(.*?)</tr>", page)
    assert found
    return re.findall(r"<td>(.*?)</td>", found[1])


def test_what_was_asked_and_what_came_of_it(tmp_path):
    model, x = made("perceptron")
    labels = torch.arange(len(x)) % 3
    pruned = et.prune(model, 0.8, data=(x, labels), refine=3, fine_tune=1, seed=4, method="flow")
    page = page_of(pruned, tmp_path)
    assert sections(page) == ["densities", "refinement", "cost"]
    facts = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", page))
    assert facts.pop("took")
    assert facts == {
        "sparsity asked": "80 %",
        "method": "flow",
        "seed": "4",
        "refinement": "3 of 3 steps",
        "fine-tuning": "1 epoch",
        "calibrated on": "40 examples with labels",
    }
    assert f"exactly {pruned.sparsity:.8g}" in page
    assert f"<b>{pruned.kept}</b><small>of {pruned.size}</small>" in page
    assert f"{pruned.measured['dense_loss']:.4g} before" in page
    for name, mask in pruned.masks.items():
        rows, columns = (~mask.any(1)).sum(), (~mask.any(0)).sum()
        shape = " × ".join(map(str, mask.shape))
        assert row_of(page, name)[:3] == [shape, str(mask.numel()), str(int(mask.sum()))]
        assert row_of(page, name)[4:] == [str(int(rows)), str(int(columns))]
    small = sum(p.numel() for p in pruned.compact().parameters())
    assert row_of(page, "compact")[0] == str(small)
    assert "https://" not in page
    assert "http://" not in page


def test_rows_and_columns_of_kernels():
    mask = torch.zeros(3, 2, 2, 2, dtype=torch.bool)
    mask[0, 1, 0, 1] = mask[2, 1, 1, 1] = True
    [row] = report.rows_of({"conv.weight": mask})
    assert (row.size, row.kept, row.rows, row.columns) == (24, 2, 1, 1)
    assert row.density == pytest.approx(2 / 24)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_kind_of_network_has_one(name, tmp_path):
    model, x = made(name)
    page = page_of(et.prune(model, 0.5, data=x, method="uniform"), tmp_path)
    assert "without labels" in page
    assert sections(page)[:2] == ["densities", "cost"]


def test_a_loaded_network_has_the_same(tmp_path):
    model, x = made("perceptron")
    pruned = et.prune(model, 0.8, data=x, refine=2)
    loaded = et.Pruned.load(pruned.save(tmp_path / "n.safetensors"), perceptron())
    pages = [page_of(each, tmp_path) for each in (pruned, loaded)]
    pages = [re.sub(r"[\d.e+-]+ ms|× [\d.]+<", "", page) for page in pages]
    assert pages[0] == pages[1]


def test_one_that_knows_little_has_a_page_too(tmp_path):
    model, x = made("perceptron")
    found = et.prune(model, 0.8, data=x)
    page = page_of(Pruned(found.model, found.masks, found.size), tmp_path)
    assert sections(page) == ["densities"]


def test_what_the_reader_must_know(tmp_path):
    model, x = made("tokens")
    found = et.prune(model, 0.5, data=x, method="uniform", refine=5, budget=1e-9)
    page = page_of(found, tmp_path)
    assert "Refinement ended after 0 of 5 steps" in page
    assert row_of(page, "embedding") == ["an embedding"]
    model, x = made("perceptron")
    cut = et.prune(model, 0.99, data=x, method="diagonal")
    assert "Nothing flows through the network any more" in page_of(cut, tmp_path)


def test_hostile_names_are_only_text(tmp_path):
    class Hostile(nn.Module):
        def __init__(self):
            super().__init__()
            self.parts = nn.ModuleDict({HOSTILE: nn.Linear(6, 8), "</script>": nn.Linear(8, 8)})
            self.dense = nn.ModuleDict({HOSTILE: nn.Embedding(3, 4)})

        def forward(self, x):
            return self.parts["</script>"](self.parts[HOSTILE](x).relu())

    Hostile.__name__ = HOSTILE

    def method(pruning, keep):
        pass

    method.__qualname__ = HOSTILE
    found = et.prune(Hostile(), 0.5, data=torch.randn(20, 6), method=method)
    assert HOSTILE in found.asked["method"]
    page = page_of(found, tmp_path)
    assert "<img" not in page
    assert "<script>alert" not in page
    assert "&lt;img src=x" in page
    ours = page.count("<script")
    plain = page_of(et.prune(perceptron(), 0.5, data=torch.randn(20, 6)), tmp_path)
    assert ours == plain.count("<script")
