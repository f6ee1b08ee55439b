"""The registry of blocks: a user's own, what is refused, and how blocks get to other processes."""

import copy
import linecache
import pickle
import threading

import pytest
import torch
from torch import nn

import evotune as et
from evotune.architectures import blocks
from evotune.architectures.blocks import SHIPPED, block, find_block
from evotune.errors import TaskError

DENSE = {"dense": {"units": 4}}


@pytest.fixture(autouse=True)
def own(monkeypatch):
    """No block of another test is known."""
    monkeypatch.setattr(blocks, "_own", {})


def cell(source, number=1):
    """Run a cell of a notebook: its functions are of the main module, and have a source."""
    name = f"<cell {number}>"
    linecache.cache[name] = (len(source), None, source.splitlines(True), name)
    found = {"__name__": "__main__", "et": et, "nn": nn}
    exec(compile(source, name, "exec"), found)
    return found


class TestFinding:
    @pytest.mark.parametrize("name", SHIPPED)
    def test_every_block_of_the_package_is_found(self, name):
        assert callable(find_block(name).build)

    def test_an_unknown_name_is_answered_with_a_near_one_and_with_how_to_make_it(self):
        with pytest.raises(TaskError, match=r"'residul'.*did you mean 'residual'.*@et\.block"):
            find_block("residul", "layer 2 of 'features'")

    def test_a_setting_that_a_block_does_not_have(self):
        with pytest.raises(TaskError, match=r"no setting 'filter'.*did you mean 'filters'"):
            find_block("conv").check(["filter"], "here")

    def test_a_setting_that_a_block_needs(self):
        with pytest.raises(TaskError, match=r"needs 'units'.*dense=dict\(units="):
            find_block("dense").check([], "here")

    @pytest.mark.parametrize(
        ("name", "dimensions", "words"),
        [
            ("dense", 3, r"vectors \(features,\).*images.*conv, separable, residual, pool"),
            ("conv", 2, r"images.*sequences.*rnn, lstm, gru, conv1d, attention, pool1d"),
            ("lstm", 1, r"sequences \(length, channels\).*vectors.*are dense"),
        ],
    )
    def test_a_block_of_another_kind(self, name, dimensions, words):
        with pytest.raises(TaskError, match=words):
            find_block(name).check_dimensions(dimensions, "chain 'features'")


class TestOwn:
    def test_it_is_known_by_its_name_and_stays_a_function(self):
        @block
        def twice(shape, units=3):
            return nn.Linear(shape[0], units)

        assert find_block("twice").build is twice
        assert twice((2,), units=5).out_features == 5

    def test_a_class_may_be_one(self):
        @block
        class Scale(nn.Module):
            def __init__(self, shape, start=1.0):
                super().__init__()
                self.gain = nn.Parameter(torch.full(shape, start))

            def forward(self, inputs):
                return inputs * self.gain

        built = et.build_chain([{"block": "Scale", "start": 2.0}], (3,))
        assert torch.equal(built.module(torch.ones(1, 3)), torch.full((1, 3), 2.0))

    def test_a_cell_that_runs_again_replaces_its_block(self):
        cell("@et.block\ndef mine(shape):\n    return nn.ReLU()\n")
        cell("@et.block\ndef mine(shape):\n    return nn.Tanh()\n", 2)
        assert isinstance(find_block("mine").build((1,)), nn.Tanh)

    def test_two_modules_with_one_name_are_refused(self):
        cell("@et.block\ndef mine(shape):\n    return nn.ReLU()\n")

        def mine(shape):
            return nn.Tanh()

        with pytest.raises(TaskError, match="defined twice, in __main__ and in"):
            block(mine)

    def test_a_function_that_returns_nothing_is_refused(self):
        source = """
            @et.block
            def forgotten(shape):
                class Part(nn.Module):
                    def forward(self, inputs):
                        return inputs
                Part()
        """
        source = "\n".join(line[12:] for line in source.splitlines()[1:])
        with pytest.raises(TaskError, match="'forgotten' returns nothing"):
            cell(source)

    def test_one_that_fits_some_shapes_only_is_not(self):
        @block
        def halves(shape):
            if shape[0] < 2:
                return None
            return nn.Linear(shape[0], shape[0] // 2)

        built = et.build_chain([{"block": "halves"}] * 4, (4,))
        assert (built.shape, built.kept) == ((1,), (0, 1))

    def test_what_cannot_be_a_block(self):
        with pytest.raises(TaskError, match="named function"):
            block(lambda shape: nn.ReLU())
        with pytest.raises(TaskError, match="the first one is the shape"):

            @block
            def bare():
                return nn.ReLU()

        with pytest.raises(TaskError, match="comes with evotune"):

            @block
            def conv(shape):
                return nn.ReLU()

        with pytest.raises(TaskError, match="'block', which is the key"):

            @block
            def named(shape, block):
                return nn.ReLU()


class TestTravelling:
    def test_a_template_brings_the_blocks_along(self, monkeypatch):
        block(importable)
        sent = pickle.dumps(et.tabular(3, 2))
        monkeypatch.setattr(blocks, "_own", {})
        model = pickle.loads(sent)
        assert model({"layers": [{"block": "importable"}]})(torch.ones(2, 3)).shape == (2, 2)

    def test_a_block_made_inside_a_function_is_brought_along(self, monkeypatch):
        @block
        def local(shape):
            return nn.ReLU()

        sent = pickle.dumps(et.tabular(3, 2))
        monkeypatch.setattr(blocks, "_own", {})
        model = pickle.loads(sent)
        assert model({"layers": [{"block": "local"}]})(torch.ones(2, 3)).shape == (2, 2)

    def test_a_block_that_cannot_be_sent_is_no_trouble_to_a_network_without_it(self, monkeypatch):
        lock = threading.Lock()

        @block
        def locked(shape):
            with lock:
                return nn.ReLU()

        sent = pickle.dumps(et.tabular(3, 2))
        monkeypatch.setattr(blocks, "_own", {})
        model = pickle.loads(sent)
        assert model({"layers": []})(torch.ones(2, 3)).shape == (2, 2)
        with pytest.raises(TaskError, match="no block is called 'locked'"):
            model({"layers": [{"block": "locked"}]})

    def test_what_is_known_here_is_not_replaced(self):
        cell("@et.block\ndef mine(shape):\n    return nn.ReLU()\n")
        model = et.tabular(3, 2)
        old = model.__getstate__()
        cell("@et.block\ndef mine(shape):\n    return nn.Tanh()\n", 2)
        copy.copy(model).__setstate__(old)
        assert isinstance(find_block("mine").build((1,)), nn.Tanh)

    def test_a_notebook_s_own_block_works_in_worker_processes(self):
        cell(
            "@et.block\n"
            "def scaled(shape, gain):\n"
            "    class Scaled(nn.Module):\n"
            "        def forward(self, inputs):\n"
            "            return gain * inputs\n"
            "    return Scaled()\n"
        )
        x, y = torch.rand(20, 3), torch.arange(20) % 2
        task = et.SupervisedTask(
            et.tabular(3, 2),
            loss="cross_entropy",
            optimizer="sgd",
            train=(x, y),
            validation=(x, y),
            epochs=1,
        )
        space = et.Space(layers=et.Chain(1, 2, scaled={"gain": et.Float(0.5, 2.0)}))
        study = et.Study(et.RandomSearch(space), "max accuracy")
        study.run(task, trials=2, executor=et.ProcessExecutor(workers=1))
        assert [trial.state for trial in study.trials] == ["done"] * 2


def importable(shape):
    return nn.Tanh()
