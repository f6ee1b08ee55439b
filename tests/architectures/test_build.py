"""Lists of layers as modules: shapes that are found, layers left out, and what is refused."""

import pytest
import torch
from torch import nn

from evotune.architectures import blocks
from evotune.architectures.blocks import block
from evotune.architectures.build import build_chain
from evotune.errors import TaskError


@pytest.fixture(autouse=True)
def own(monkeypatch):
    """No block of another test is known."""
    monkeypatch.setattr(blocks, "_own", {})


def conv(filters, **settings):
    return {"block": "conv", "filters": filters, **settings}


POOL = {"block": "pool"}


def test_layers_are_named_by_block_and_place_and_the_shape_behind_is_found():
    built = build_chain([conv(4), POOL, conv(6)], (1, 8, 6), "features")
    assert [name for name, _ in built.module.named_children()] == ["conv1", "pool2", "conv3"]
    assert built.shape == (6, 4, 3)
    assert built.module(torch.zeros(5, 1, 8, 6)).shape == (5, 6, 4, 3)


def test_layers_that_do_not_fit_are_left_out_and_the_others_keep_their_numbers():
    built = build_chain([POOL, POOL, conv(2)], (1, 2, 2))
    assert built.kept == (0, 2)
    assert [name for name, _ in built.module.named_children()] == ["pool1", "conv3"]


def test_no_layer_leaves_the_input_as_it_is():
    built = build_chain([], (3,))
    assert built.shape == (3,)
    x = torch.randn(2, 3)
    assert built.module(x) is x


def test_a_built_chain_is_in_training_mode_and_saw_no_data():
    module = build_chain([conv(4)], (1, 8, 8)).module
    assert module.training
    assert all(part.training for part in module.modules())
    norm = module.get_submodule("conv1.norm")
    assert torch.equal(norm.running_mean, torch.zeros(4))
    assert norm.num_batches_tracked == 0


def test_no_kernel_is_too_large_for_an_image():
    for kernel in (1, 2, 3, 4, 5, 8):
        assert build_chain([conv(2, kernel=kernel)], (1, 1, 2)).shape == (2, 1, 2)


class TestRefused:
    def test_a_block_of_another_kind_says_so_before_it_is_built(self):
        with pytest.raises(TaskError, match="layer 1 of 'features': block 'dense' works on vect"):
            build_chain([{"block": "dense", "units": 4}], (1, 8, 8), "features")

    @pytest.mark.parametrize("record", [{"filters": 4}, "conv", None, ["conv"]])
    def test_what_is_no_record(self, record):
        with pytest.raises(TaskError, match=r"layer 1 of 'head' is a record such as \{\"block\""):
            build_chain([record], (4,), "head")

    @pytest.mark.parametrize(
        ("settings", "words"),
        [
            ({"kernel": 0}, "kernel must be a whole number from 1 up"),
            ({"kernel": 2.5}, "kernel must be a whole number"),
            ({"filters": 0}, "filters must be a whole number from 1 up"),
            ({"activation": "rely"}, "did you mean 'relu'"),
            ({"activation": ["relu"]}, "activation .* is not known"),
            ({"norm": "layer"}, "norm 'layer' is not known; choose batch, none"),
            ({"dropout": 1.0}, "dropout must lie in"),
            ({"dropout": -0.1}, "dropout must lie in"),
            ({"stride": 2}, "no setting 'stride'"),
        ],
    )
    def test_bad_settings_name_the_layer(self, settings, words):
        with pytest.raises(TaskError, match=rf"layer 2 of 'features'.*{words}"):
            build_chain([conv(2), conv(2) | settings], (1, 4, 4), "features")

    @pytest.mark.parametrize(
        ("record", "words"),
        [
            ({"block": "attention", "heads": 0}, "heads must be"),
            ({"block": "attention", "head_size": -1}, "head_size must be"),
            ({"block": "lstm", "units": 0}, "units must be"),
            ({"block": "gru", "units": 3, "bidirectional": "yes"}, "bidirectional must be True"),
            ({"block": "pool1d", "kind": "maximum"}, "choose max, average"),
            ({"block": "conv1d", "filters": 2, "norm": "bach"}, "did you mean 'batch'"),
        ],
    )
    def test_bad_settings_of_sequences(self, record, words):
        with pytest.raises(TaskError, match=words):
            build_chain([record], (4, 2), "time")

    def test_a_block_that_returns_no_module(self):
        @block
        def wrong(shape):
            return "relu"

        with pytest.raises(TaskError, match=r"'wrong' returned str.*nn\.Module, or None"):
            build_chain([{"block": "wrong"}], (3,))

    def test_a_block_that_changes_the_number_of_dimensions(self):
        @block
        def flat(shape):
            return nn.Flatten()

        with pytest.raises(TaskError, match=r"\(2, 1, 4, 4\) into \(2, 16\); a block keeps"):
            build_chain([{"block": "flat"}], (1, 4, 4))

    def test_a_block_that_returns_two_things(self):
        @block
        def recurrent(shape):
            return nn.GRU(shape[1], 3, batch_first=True)

        with pytest.raises(TaskError, match="into tuple"):
            build_chain([{"block": "recurrent"}], (4, 2))

    def test_an_error_of_a_block_of_one_s_own_says_which_layer_and_shape(self):
        @block
        def wide(shape):
            return nn.Conv2d(shape[0], 2, 9)

        with pytest.raises(RuntimeError) as caught:
            build_chain([conv(3), {"block": "wide"}], (1, 4, 4), "features")
        notes = " ".join(caught.value.__notes__)
        assert "layer 2 of 'features'" in notes
        assert "(3, 4, 4)" in notes
