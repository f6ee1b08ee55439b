"""Smaller networks have the same outputs, and stay as large where they are not understood."""

import copy
import pickle

import pytest
import torch
from torch import nn

import evotune as et
from evotune.pruning.compact import compact
from evotune.pruning.working import attach
from helpers_pruning import NETWORKS, made, perceptron


def pruned_at_random(name, share):
    """Return a network of which some rows and columns of layers are zero, some others by chance."""
    model, inputs = made(name)
    chance = torch.Generator().manual_seed(2)
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d):
            shape = module.weight.shape
            mask = torch.rand(shape, generator=chance) > share
            mask[torch.rand(shape[0], generator=chance) > 0.6] = False
            if not isinstance(module, nn.Conv2d) or module.groups == 1:
                mask[:, torch.rand(shape[1], generator=chance) > 0.6] = False
            attach(module, "weight", mask)
    return model, inputs


def size(model):
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("share", [0.2, 0.9])
def test_outputs_are_the_same(name, share):
    model, inputs = pruned_at_random(name, share)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    small = compact(model, inputs[:4])
    with torch.no_grad():
        torch.testing.assert_close(small(inputs), model(inputs), atol=1e-5, rtol=1e-5)
    assert all(torch.equal(model.state_dict()[key], value) for key, value in before.items())


@pytest.mark.parametrize("name", ["perceptron", "convolutions", "residual", "one axis"])
def test_it_is_smaller(name):
    model, inputs = pruned_at_random(name, 0.9)
    small = compact(model, inputs[:4])
    assert size(small) < 0.8 * size(model)
    assert type(small) is type(model)
    assert not any("parametrizations" in key for key in small.state_dict())


def test_units_without_inputs_move_into_the_biases():
    model = perceptron().requires_grad_(False)
    model[0].weight[3] = 0
    model[0].bias[3] = 2.0  # a constant, of which unit 3 of the next layer hears
    model[2].weight[:, 7] = 0  # nobody reads unit 7
    small = compact(model, torch.randn(4, 6))
    assert (small[0].out_features, small[2].in_features) == (14, 14)
    x = torch.randn(20, 6)
    torch.testing.assert_close(small(x), model(x), atol=1e-6, rtol=1e-5)


def test_a_constant_channel_before_padding_stays():
    """At the edges of the image the padding has another value."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Conv2d(3, 2, 3, padding=1)).requires_grad_(False)
    model[0].weight[1] = 0
    small = compact(model, torch.randn(4, 1, 8, 8))
    assert small[0].out_channels == 3
    model[0].bias[1] = 0
    assert compact(model, torch.randn(4, 1, 8, 8))[0].out_channels == 2


def test_what_cannot_be_traced_stays_as_large_and_says_so(caplog):
    class Moody(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(6, 3)

        def forward(self, inputs):
            return self.layer(inputs) if inputs.sum() > 0 else -self.layer(inputs)

    model = Moody()
    small = compact(model, torch.randn(4, 6))
    x = torch.randn(5, 6)
    assert torch.equal(small(x), model(x))
    assert "stays as large" in caplog.text


def test_a_reshape_of_a_fixed_size_keeps_its_features():
    class Fixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.head = nn.Conv2d(1, 4, 3), nn.Linear(4 * 36, 2)

        def forward(self, images):
            return self.head(self.conv(images).relu().view(-1, 4 * 36))

    torch.manual_seed(0)
    model = Fixed().requires_grad_(False)
    model.conv.weight[1] = 0
    x = torch.randn(6, 1, 8, 8)
    torch.testing.assert_close(compact(model, x)(x), model(x), atol=1e-6, rtol=1e-5)


def test_copies_of_a_masked_network_are_left_whole():
    model, inputs = pruned_at_random("perceptron", 0.5)
    other = copy.deepcopy(model)
    compact(model, inputs[:4])
    with torch.no_grad():
        assert torch.equal(other(inputs), model(inputs))


def test_a_network_trained_with_zeros_becomes_smaller():
    torch.manual_seed(0)
    x = torch.randn(200, 6)
    task = et.SupervisedTask(
        lambda params: perceptron(),
        loss="cross_entropy",
        optimizer="adam",
        train=(x, (x[:, 0] > 0).long()),
        validation=(x, (x[:, 0] > 0).long()),
        sparsity=0.9,
    )
    model = task.fit({"lr": 0.01}, epochs=3)
    small = et.compact(model, x)
    assert sum(p.numel() for p in small.parameters()) < sum(p.numel() for p in model.parameters())
    with torch.no_grad():
        torch.testing.assert_close(small(x), model(x), atol=1e-5, rtol=1e-5)


def test_it_has_ordinary_layers_that_go_where_layers_go():
    model, inputs = pruned_at_random("perceptron", 0.9)
    small = compact(model, inputs[:4])
    assert {type(module) for module in small} == {nn.Linear, nn.ReLU}
    assert size(small) < size(model)
    wanted = small(inputs)
    for other in (copy.deepcopy(small), pickle.loads(pickle.dumps(small))):
        assert torch.equal(other(inputs), wanted)
        other.load_state_dict(small.state_dict())
    compiled = torch.compile(small, backend="eager", fullgraph=True)
    exported = torch.export.export(small, (inputs,)).module()
    for graph in (compiled, exported, torch.fx.symbolic_trace(small)):
        torch.testing.assert_close(graph(inputs), wanted, atol=1e-6, rtol=1e-5)
    wanted.sum().backward()
    assert all(parameter.grad is not None for parameter in small.parameters())


class Recurrent(nn.Module):
    """A recurrent layer between linear ones; what is read of it is named."""

    def __init__(self, layer, read):
        super().__init__()
        self.before, self.layer, self.read = nn.Linear(3, 5), layer, read
        self.head = nn.LazyLinear(2)

    def forward(self, steps):
        outputs, state = self.layer(torch.tanh(self.before(steps)))
        return self.head(self.read(outputs, state))


READ = {
    "steps": lambda outputs, state: outputs,
    "last": lambda outputs, state: outputs[:, -1],
    "mean": lambda outputs, state: outputs.mean(1).relu(),
    "state": lambda outputs, state: state[-1],
    "all states": lambda outputs, state: state.transpose(0, 1).flatten(1),
    "both": lambda outputs, state: torch.cat([state[-1], state[0]], 1),
    "cell": lambda outputs, state: state[1][0],
    "sum": lambda outputs, state: state[-1] + outputs[:, 0, :],
}


def thinned(build, read, options, gone):
    """Return a recurrent network in float64, of which units are read only by themselves."""
    torch.manual_seed(0)
    model = Recurrent(build(5, 6, batch_first=True, **options), READ[read])
    steps = torch.randn(9, 7, 3)
    model(steps)
    model.double().requires_grad_(False)
    layer, size = model.layer, 6
    for name, weight in layer.named_parameters():
        if name.startswith("weight_hh"):
            gates = weight.unflatten(0, (-1, size))
            own = gates[:, gone, gone].clone()
            gates[:, :, gone] = 0
            gates[:, gone, gone] = own
        elif name.startswith("weight_ih") and "_l0" not in name:
            weight[:, [k for k in range(weight.shape[1]) if k % size in gone]] = 0
    columns = model.head.weight.shape[1]
    model.head.weight[:, [k for k in range(columns) if k % size in gone]] = 0
    return model, steps.double()


@pytest.mark.parametrize(
    ("options", "reads"),
    [
        ({}, ["steps", "last", "mean", "state", "sum"]),
        ({"bias": False}, ["last"]),
        ({"num_layers": 2, "dropout": 0.3}, ["steps", "state", "all states", "both", "sum"]),
        ({"bidirectional": True}, ["last", "both", "all states"]),
        ({"num_layers": 3, "bidirectional": True}, ["mean", "both"]),
    ],
)
@pytest.mark.parametrize("build", [nn.LSTM, nn.GRU, nn.RNN])
def test_hidden_units_that_only_read_themselves_go(build, options, reads):
    for read in reads:
        if build is nn.LSTM and read in ("state", "all states", "both", "sum"):
            continue
        model, steps = thinned(build, read, options, [1, 4])
        model.eval()
        small = compact(model, steps[:4])
        assert small.layer.hidden_size == 4, read
        assert type(small.layer) is build
        torch.testing.assert_close(small(steps), model(steps), rtol=0, atol=1e-12)
        other = build(small.layer.input_size, 4, batch_first=True, **options).double()
        other.load_state_dict(small.layer.state_dict())
        inputs = torch.randn(3, 8, small.layer.input_size, dtype=torch.float64)
        found, wanted = other.eval()(inputs)[0], small.layer(inputs)[0]
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)


def test_the_cell_state_of_an_lstm_counts_as_read():
    model, steps = thinned(nn.LSTM, "cell", {}, [1, 4])
    small = compact(model.eval(), steps[:4])
    assert small.layer.hidden_size == 4
    torch.testing.assert_close(small(steps), model(steps), rtol=0, atol=1e-12)
    model.head.weight[:, 1] = 1
    small = compact(model, steps[:4])
    assert small.layer.hidden_size == 5
    torch.testing.assert_close(small(steps), model(steps), rtol=0, atol=1e-12)


def test_recurrent_layers_stay_even_and_what_they_read_stays():
    model, steps = thinned(nn.GRU, "last", {"bidirectional": True}, [1, 4])
    model.head.weight[:, 6 + 4] = 1  # the reverse direction can spare one unit only
    model.layer.weight_ih_l0[:, 2] = 0
    model.layer.weight_ih_l0_reverse[:, [0, 2]] = 0
    small = compact(model.eval(), steps[:4])
    assert (small.layer.input_size, small.layer.hidden_size) == (4, 5)
    torch.testing.assert_close(small(steps), model(steps), rtol=0, atol=1e-12)


@pytest.mark.parametrize("build", [nn.LSTM, nn.GRU])
def test_recurrent_layers_without_a_batch_and_with_steps_first(build):
    model, steps = thinned(build, "steps", {"num_layers": 2}, [1, 4])
    model.eval()
    for batch_first, some in ((True, steps[0]), (False, steps)):
        model.layer.batch_first = batch_first
        small = compact(model, some)
        assert small.layer.hidden_size == 4
        torch.testing.assert_close(small(some), model(some), rtol=0, atol=1e-12)


def test_a_recurrent_layer_that_nobody_reads_keeps_a_unit():
    model, steps = thinned(nn.LSTM, "last", {}, list(range(6)))
    small = compact(model.eval(), steps[:4])
    assert (small.layer.input_size, small.layer.hidden_size) == (1, 1)
    torch.testing.assert_close(small(steps), model(steps), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "read",
    [
        lambda layer, steps: layer(steps, torch.ones(1, len(steps), 6).to(steps))[0][:, -1],
        lambda layer, steps: layer(layer(steps)[0][:, :, :5])[0][:, -1],
        lambda layer, steps: layer(steps, layer(steps)[1])[0][:, -1] + layer(steps)[0][:, 0],
        lambda layer, steps: layer(steps)[0][:, -1, :4],
        lambda layer, steps: layer(steps)[0][:, -1].chunk(2, -1)[0],
        lambda layer, steps: layer(steps)[0][..., -1, :],
    ],
)
def test_recurrent_layers_of_other_uses_stay_as_wide(read):
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.head = nn.GRU(5, 6, batch_first=True), nn.LazyLinear(2)

        def forward(self, steps):
            return self.head(read(self.layer, steps))

    torch.manual_seed(0)
    model, steps = Odd(), torch.randn(9, 7, 5)
    model(steps)
    model.double().requires_grad_(False).eval()
    model.layer.weight_hh_l0[:, 1] = 0
    model.head.weight[:, 1] = 0
    small = compact(model, steps[:4].double())
    assert small.layer.hidden_size == 6
    torch.testing.assert_close(small(steps.double()), model(steps.double()), rtol=0, atol=1e-12)


def test_all_inputs_of_a_module_that_is_not_known_stay(caplog):
    class Crossed(nn.Module):
        def __init__(self):
            super().__init__()
            self.query, self.memory = nn.Linear(6, 4), nn.Linear(6, 4)
            self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
            self.inside, self.head = nn.Linear(4, 8), nn.Linear(8, 2)

        def forward(self, x):
            memory = self.memory(x)
            return self.head(self.inside(self.attention(self.query(x), memory, memory)[0]).relu())

    torch.manual_seed(0)
    model, x = Crossed().requires_grad_(False).eval(), torch.randn(9, 5, 6)
    model.head.weight[:, :3] = 0
    small = compact(model, x[:4])
    assert (small.memory.out_features, small.inside.out_features) == (4, 5)
    torch.testing.assert_close(small(x), model(x), atol=1e-6, rtol=1e-5)
    assert not caplog.text
