"""Rules one by one, what cannot be kept, and what the record says."""

import numpy as np
import pytest
import torch
from torch import nn

import evotune as et
from evotune.architectures.inherit import ChannelMap, inherit
from evotune.architectures.inherit.align import Step, align
from evotune.architectures.inherit.maps import corner, grown, joined, kept, unknown
from evotune.errors import TaskError
from helpers_inherit import (
    POOL,
    Last,
    apart,
    batch,
    double,
    handed_on,
    images,
    layer,
    lively,
    logits,
    sequences,
)

__all__ = ["double"]


def conv(width, **settings):
    return layer("conv", width, **settings)


def same(child, parent, *inputs, tolerance=1e-9):
    """Whether two modules compute the same in evaluation mode."""
    child.eval()
    parent.eval()
    with torch.no_grad():
        return torch.allclose(child(*inputs), parent(*inputs), atol=tolerance)


def rng(seed=0):
    return np.random.default_rng(seed)


class TestMaps:
    def test_shares_of_the_repeats_of_a_channel_add_up_to_one_and_differ(self):
        wider = grown(11, 4, rng())
        assert wider.idx[:4].tolist() == [0, 1, 2, 3]
        sums = torch.zeros(4).index_add_(0, wider.idx, wider.share)
        assert torch.allclose(sums, torch.ones(4))
        for k in range(4):
            shares = wider.share[wider.idx == k]
            assert len(shares) in (2, 3)
            assert len(shares.unique()) == len(shares)

    def test_a_flattened_map_repeats_it_over_the_places(self):
        wider = grown(3, 2, rng())
        flat = wider.fitted(3 * 4, 2 * 4)
        assert flat.idx.tolist() == [
            k * 4 + place for k in wider.idx.tolist() for place in range(4)
        ]
        last = wider.but(last=True).fitted(3 * 4, 2 * 4)
        assert last.idx.tolist() == [
            place * 2 + k for place in range(4) for k in wider.idx.tolist()
        ]
        assert flat.whole
        assert last.whole

    def test_a_flattened_image_of_another_size_takes_the_nearest_places(self):
        plain = corner(1, 1)
        larger = plain.fitted(16, 4, (1, 4, 4))
        assert larger.idx.tolist() == [0, 0, 1, 1, 0, 0, 1, 1, 2, 2, 3, 3, 2, 2, 3, 3]
        assert torch.allclose(larger.share, torch.full((16,), 0.25))
        smaller = plain.fitted(4, 16, (1, 4, 4))
        assert smaller.idx.tolist() == [0, 2, 8, 10]
        assert torch.allclose(smaller.share, torch.full((4,), 4.0))
        assert not larger.whole

    def test_what_does_not_fit_is_read_by_place(self):
        assert grown(5, 3, rng()).fitted(4, 7).idx.tolist() == [0, 1, 2, 3]
        by_place = unknown().fitted(4, 3)
        assert by_place.idx.tolist() == [0, 1, 2, -1]
        assert by_place.share.tolist() == [1, 1, 1, 0]
        assert not by_place.whole
        assert unknown().fitted(3, 3).whole

    def test_joined_maps_of_different_scales_are_read_as_one(self):
        one, two = grown(3, 2, rng()), corner(2, 2, scale=0.1)
        both = joined([one, two], [(3, 2), (2, 2)])
        signal = torch.randn(4)
        child = torch.cat([signal[:2][one.idx], 0.1 * signal[2:]])
        weight = torch.randn(4)
        read = weight[both.idx] * both.share / both.scale
        assert torch.allclose(read @ child, weight @ signal)


class TestAlignment:
    def test_as_many_pairs_as_possible(self):
        steps = align(["conv", "pool", "conv", "pool"], ["conv", "conv", "pool"])
        assert [s for s in steps if None not in s] == [Step(0, 0), Step(2, 1), Step(3, 2)]

    def test_new_layers_come_late(self):
        assert align(["conv"] * 3, ["conv"] * 2) == [Step(0, 0), Step(1, 1), Step(2, None)]

    def test_layers_of_equal_settings_belong_together(self):
        parent = images([conv(6), conv(8, kernel=5)])
        child = images([conv(6), conv(6), conv(8, kernel=5)])
        record, inputs = handed_on(child, parent)
        assert dict(record.taken)["features.conv3"] == "features.conv2"
        assert record.inserted == ("features.conv2",)
        assert apart(child, parent, inputs) < 1e-5

    def test_removed_ones_go_before_new_ones(self):
        assert align(["a", "c", "b"], ["a", "d", "b"])[1:3] == [Step(None, 1), Step(1, None)]

    def test_layers_that_were_left_out_count_neither_here_nor_there(self):
        pools = [POOL] * 4  # the fourth does not fit an image of 8 × 8
        parent = images([*pools, conv(6), conv(8)])
        child = images([*pools, conv(6), conv(7), conv(8)])
        record, inputs = handed_on(child, parent)
        assert dict(record.taken)["features.conv7"] == "features.conv6"
        assert apart(child, parent, inputs) < 1e-5


class TestLayers:
    def test_transposed_convolution(self):
        def network(width):
            return nn.Sequential(
                nn.Conv2d(2, width, 3, padding=1),
                nn.ReLU(),
                nn.ConvTranspose2d(width, width, 2, stride=2),
                nn.ReLU(),
                nn.ConvTranspose2d(width, 2, 2, stride=2),
            )

        parent, child = network(4), network(7)
        inherit(child, parent)
        assert same(child, parent, torch.rand(3, 2, 4, 4))

    def test_grouped_convolution_of_the_same_groups(self):
        parent, child = (nn.Sequential(nn.Conv2d(4, 8, 3, groups=2)) for _ in range(2))
        assert inherit(child, parent).whole
        assert same(child, parent, torch.rand(3, 4, 5, 5))

    def test_wider_grouped_convolution_copies_what_fits(self):
        def network(width):
            return nn.Sequential(
                nn.Conv2d(3, width, 1), nn.Conv2d(width, width, 3, groups=2), nn.Conv2d(width, 2, 1)
            )

        record = inherit(network(6), network(4))
        assert not record.whole
        assert len(record.taken) == 3

    def test_embedding_and_stacked_recurrent_layers(self):
        class Outputs(nn.LSTM):
            def forward(self, inputs):
                return super().forward(inputs)[0]

        def network(width, units):
            return nn.Sequential(
                nn.Embedding(10, width),
                Outputs(width, units, num_layers=2, batch_first=True),
                Last(),
                nn.Linear(units, 3),
            )

        parent, child = network(4, 5), network(6, 8)
        record = inherit(child, parent)
        assert record.whole
        assert same(child, parent, torch.arange(10).view(2, 5))

    def test_torch_attention(self):
        class Stream(nn.MultiheadAttention):
            def forward(self, inputs):
                return inputs + super().forward(inputs, inputs, inputs)[0]

        def network(width, heads):
            stream = Stream(width, heads, batch_first=True)
            return nn.Sequential(nn.Linear(3, width), stream, nn.Linear(width, 2))

        for width, heads in ((8, 2), (16, 4), (12, 2)):
            parent, child = network(8, 2), network(width, heads)
            assert inherit(child, parent).whole
            assert same(child, parent, torch.randn(2, 5, 3)), (width, heads)

    def test_norms_and_slopes(self):
        def network(width):
            return nn.Sequential(
                nn.Linear(3, width), nn.PReLU(width), nn.LayerNorm(width), nn.Linear(width, 2)
            )

        parent, child = network(4), network(8)  # all channels doubled
        nn.init.uniform_(parent[1].weight)
        nn.init.uniform_(parent[2].weight)
        assert inherit(child, parent).whole
        assert same(child, parent, torch.randn(5, 3), tolerance=1e-4)
        assert not inherit(network(6), parent).whole

    def test_several_heads_belong_together_by_name(self):
        parent = nn.Sequential(
            nn.Linear(4, 5), nn.ModuleDict({"a": nn.Linear(5, 2), "b": nn.Linear(5, 3)})
        )
        child = nn.Sequential(
            nn.Linear(4, 7),
            nn.ModuleDict({"c": nn.Linear(7, 9), "b": nn.Linear(7, 3), "a": nn.Linear(7, 2)}),
        )
        inherit(child, parent)
        x = torch.randn(6, 4)
        for name in "ab":
            assert torch.allclose(child[1][name](child[0](x)), parent[1][name](parent[0](x)))

    def test_another_number_of_classes_keeps_those_that_both_have(self):
        parent, child = images([conv(6)], classes=5), images([conv(9)], classes=7)
        record, inputs = handed_on(child, parent)
        assert torch.allclose(logits(child, inputs)[:, :5], logits(parent, inputs))
        assert not record.whole


CHANGES = {
    "narrower": ([conv(8), POOL, conv(9)], [conv(6), POOL, conv(7)]),
    "smaller kernel": ([conv(8, kernel=5)], [conv(8, kernel=3)]),
    "layer removed": ([conv(8), conv(9)], [conv(8)]),
    "skip removed": ([conv(8), layer("residual", 8)], [conv(8)]),
    "skip closed": ([conv(8), layer("residual", 9)], [conv(9), layer("residual", 9)]),
    "pool removed": ([conv(8), POOL, POOL], [conv(8), POOL]),
    "pool added": ([conv(8), POOL], [conv(8), POOL, POOL]),
    "pool moved": ([conv(8), POOL, conv(9)], [conv(8), conv(9), POOL]),
    "block replaced": ([conv(8), conv(8)], [conv(8), layer("residual", 8)]),
    "other activation": ([conv(8)], [conv(8, activation="gelu")]),
    "nothing in common": ([conv(8)], [layer("separable", 8)]),
    "a bottleneck": ([conv(8)], [conv(8), conv(3)]),
}


class TestWhatCannotBeKept:
    @pytest.mark.parametrize("with_inputs", [True, False])
    @pytest.mark.parametrize("name", CHANGES)
    def test_what_fits_is_copied(self, name, with_inputs):
        parent, child = map(images, CHANGES[name])
        record, inputs = handed_on(child, parent, with_inputs)
        assert not record.whole
        assert torch.isfinite(logits(child, inputs)).all()
        assert torch.isfinite(logits(child, inputs, training=True)).all()

    def test_a_smaller_kernel_keeps_the_centre(self):
        parent, child = images([conv(4, kernel=5)]), images([conv(4, kernel=3)])
        handed_on(child, parent)
        large, small = parent.features[0].conv.weight, child.features[0].conv.weight
        assert torch.equal(small, large[:, :, 1:4, 1:4])

    def test_the_channels_that_count_most_are_kept(self):
        parent = images([conv(6)], [])
        with torch.no_grad():
            parent.features[0].norm.weight.copy_(torch.tensor([3.0, 0, 1, 5, 1, 1]))
            parent.output.weight.view(5, 6, -1)[:, 4] *= 100
            parent.output.weight.view(5, 6, -1)[:, 2] = 0
        child = images([conv(3)], [])
        inherit(child, parent)
        assert torch.equal(child.features[0].conv.weight, parent.features[0].conv.weight[[0, 3, 4]])

    def test_units_that_nobody_listens_to_are_dropped(self):
        parent = sequences([layer("lstm", 5)])
        with torch.no_grad():
            parent.output.weight[:, [1, 3]] = 0
            parent.time[0].recurrent.weight_hh_l0[:, [1, 3]] = 0
        child = sequences([layer("lstm", 3)])
        record, inputs = handed_on(child, parent)
        assert apart(child, parent, inputs) < 1e-5
        assert not record.whole

    def test_norms_behind_narrower_layers_fit_the_inputs(self):
        parent, child = images([conv(8), conv(8)]), images([conv(5), conv(8)])
        _, inputs = handed_on(child, parent)
        before = child.features.conv2.norm.running_mean.clone()
        child.train()
        child.features.conv2.norm.momentum = 1.0
        child(inputs)
        assert torch.allclose(before, child.features.conv2.norm.running_mean)

    def test_removed_and_fresh_layers_are_named(self):
        parent = images([conv(8), conv(9), POOL], [layer("dense", 6)])
        child = images([conv(8), layer("residual", 8), POOL])
        record, _ = handed_on(child, parent)
        assert record.removed == ("features.conv2", "head.dense1")
        assert record.fresh == ("features.residual2",)
        assert dict(record.taken) == {"features.conv1": "features.conv1", "output": "output"}


class Gate(nn.Module):
    """A user's block without a rule: a gate on each channel."""

    def __init__(self, channels):
        super().__init__()
        self.gate = nn.Parameter(torch.rand(channels))

    def forward(self, inputs):
        return inputs * self.gate[:, None, None]


class OwnGate(Gate):
    """The same with a rule of its own."""

    def inherit(self, parent, way):
        with torch.no_grad():
            if parent is None:
                self.gate.fill_(1)
            else:
                self.gate.copy_(parent.gate[way.idx])
        return way


def gated(kind, width):
    return nn.Sequential(
        nn.Conv2d(2, width, 3, padding=1), nn.ReLU(), kind(width), nn.Conv2d(width, 3, 1)
    )


class TestOwnBlocks:
    def test_a_common_corner_without_a_rule(self):
        parent, child = gated(Gate, 4), gated(Gate, 6)
        record = inherit(child, parent)
        assert torch.equal(child[2].gate[:4], parent[2].gate)
        assert record.corner == ("2", "3")
        assert not record.whole

    def test_the_same_block_is_copied_whole(self):
        parent, child = gated(Gate, 4), gated(Gate, 4)
        assert inherit(child, parent).whole
        assert same(child, parent, torch.rand(2, 2, 5, 5))

    def test_a_rule_of_its_own(self):
        parent, child = gated(OwnGate, 4), gated(OwnGate, 7)
        record = inherit(child, parent)
        assert record.whole
        assert same(child, parent, torch.rand(2, 2, 5, 5))

    def test_a_rule_of_its_own_for_a_new_block(self):
        parent = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Conv2d(4, 3, 1))
        child = nn.Sequential(nn.Conv2d(2, 7, 3), nn.ReLU(), OwnGate(7), nn.Conv2d(7, 3, 1))
        record = inherit(child, parent)
        assert record.inserted == ("2",)
        assert same(child, parent, torch.rand(2, 2, 5, 5))

    def test_a_rule_that_returns_no_map(self):
        class Forgetful(Gate):
            def inherit(self, parent, way):
                return None

        with pytest.raises(TaskError, match="method inherit of Forgetful returned NoneType"):
            inherit(gated(Forgetful, 5), gated(Forgetful, 4))

    def test_a_rule_that_fails_says_where(self):
        class Broken(Gate):
            def inherit(self, parent, way):
                raise KeyError("gate")

        with pytest.raises(KeyError) as caught:
            inherit(gated(Broken, 5), gated(Broken, 4))
        assert "in the method inherit of the block Broken" in caught.value.__notes__[0]


class TestCalls:
    def test_one_line(self):
        parent = images([conv(8), conv(9)])
        child = images([conv(8), conv(9), conv(9), POOL])
        record, _ = handed_on(child, parent)
        assert str(record) == (
            "taken: features.conv1, features.conv2, output; inserted: features.conv3; "
            "the function changes"
        )

    def test_inputs_that_do_not_fit(self):
        parent, child = images([conv(8)]), images([conv(8), conv(8)])
        with pytest.raises(TaskError, match=r"cannot be run on inputs of shape \(4, 7\)"):
            inherit(child, parent, torch.rand(4, 7))

    def test_a_single_example(self):
        parent = images([conv(8)], [layer("dense", 6, norm="batch")])
        child = images([conv(8), conv(8)], [layer("dense", 5, norm="batch")])
        inputs = batch(parent)
        lively(parent, inputs)
        inherit(child, parent, inputs[:1])
        assert torch.isfinite(logits(child, inputs)).all()

    def test_the_same_network_or_none(self):
        network = images([conv(8)])
        with pytest.raises(TaskError, match="same network"):
            inherit(network, network)
        with pytest.raises(TaskError, match=r"parent is an nn\.Module, got 3"):
            inherit(network, 3)

    def test_maps_are_public_for_rules(self):
        assert isinstance(kept(torch.arange(2), 4), ChannelMap)


def test_a_separable_behind_a_new_wider_layer_reads_each_repeat_once():
    template = et.image_classifier((2, 8, 8), 3)
    torch.manual_seed(0)
    inputs = torch.randn(64, 2, 8, 8)
    separable = {"block": "separable", "filters": 6, "kernel": 1, "norm": "none"}
    new = {"block": "conv", "filters": 12, "kernel": 1, "norm": "none"}
    parent = template({"features": [separable]}).eval()
    child = template({"features": [new, separable]}).eval()
    assert inherit(child, parent, inputs).whole
    assert torch.allclose(child(inputs), parent(inputs), atol=1e-5)
