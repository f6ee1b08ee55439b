import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import evotune as et
from evotune.architectures.counting import Counter, DryRun
from evotune.errors import StudyError, TaskError

RECORD = {"features": [{"block": "conv", "filters": 4, "kernel": 3}], "head": []}


class Last(nn.Module):
    """The outputs of a module that returns a tuple."""

    def __init__(self, inside):
        super().__init__()
        self.inside = inside

    def forward(self, x):
        return self.inside(x)[0]


class Own(nn.Module):
    """Products that no layer of torch makes."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(6, 5))

    def forward(self, x):  # (batch, length, 6)
        y = x @ self.weight
        return nn.functional.scaled_dot_product_attention(y, y, y)


def image_net():
    return nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1, groups=2),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Flatten(),
        nn.Linear(6 * 4 * 5, 7),
    )


@pytest.mark.parametrize(
    ("module", "shape", "expected"),
    [
        (nn.Linear(8, 3), (8,), 8 * 3),
        (nn.Linear(8, 3), (5, 8), 5 * 8 * 3),
        (nn.Conv2d(3, 6, 3, groups=3), (3, 9, 9), 6 * 7 * 7 * 1 * 9),
        (nn.Conv1d(3, 6, 4, stride=2, padding=1), (3, 10), 6 * 5 * 3 * 4),
        (nn.ConvTranspose2d(4, 2, 3), (4, 5, 5), 4 * 5 * 5 * 2 * 9),
        (Last(nn.RNN(3, 4, batch_first=True)), (7, 3), 7 * 4 * (3 + 4)),
        (Last(nn.LSTM(3, 4, batch_first=True)), (7, 3), 7 * 4 * 4 * (3 + 4)),
        (
            Last(nn.GRU(3, 4, 2, batch_first=True, bidirectional=True)),
            (7, 3),
            7 * 2 * 3 * 4 * (3 + 4) + 7 * 2 * 3 * 4 * (8 + 4),
        ),
        # query, key, value and output projections, then scores and their use, 5 places of 16
        (
            nn.TransformerEncoderLayer(16, 2, 32, batch_first=True),
            (5, 16),
            4 * 5 * 16 * 16 + 2 * 5 * 5 * 16 + 2 * 5 * 16 * 32,
        ),
        (Own(), (4, 6), 4 * 6 * 5 + 2 * 4 * 4 * 5),
        (nn.Sequential(nn.LayerNorm(8), nn.GELU()), (8,), 0),
    ],
)
def test_multiply_adds_are_those_of_one_example(module, shape, expected):
    assert et.cost(module, shape).multiply_adds == expected
    assert et.cost(module, torch.zeros(3, *shape)).multiply_adds == expected


def test_an_embedding_multiplies_nothing():
    module = nn.Sequential(nn.Embedding(50, 8), nn.Linear(8, 3))
    assert et.cost(module, torch.zeros(1, 6, dtype=torch.long)).multiply_adds == 6 * 8 * 3


def test_torch_counts_twice_as_many_operations():
    network = et.image_classifier((3, 12, 12), 10)(
        {"features": [*RECORD["features"], {"block": "pool"}, *RECORD["features"]]}
    )
    with FlopCounterMode(display=False) as counter:
        network.eval()(torch.zeros(1, 3, 12, 12))
    assert et.cost(network).multiply_adds == counter.get_total_flops() / 2


def test_memory_is_weights_and_what_the_backward_pass_needs():
    module = nn.Sequential(nn.Linear(8, 5), nn.Tanh(), nn.Linear(5, 3))
    found = et.cost(module, (8,))
    weights = 4 * (8 * 5 + 5 + 5 * 3 + 3)
    assert found.parameters == weights // 4
    assert found.memory == weights + 4 * (8 + 5)  # the input, and the output of tanh
    wider = et.cost(nn.Sequential(nn.Conv2d(1, 8, 3), nn.GELU()), (1, 20, 20))
    narrow = et.cost(nn.Sequential(nn.Conv2d(1, 8, 3), nn.GELU()), (1, 10, 10))
    assert (wider.parameters, wider.memory > narrow.memory) == (narrow.parameters, True)


def test_the_module_and_the_random_state_stay_as_they_were():
    module = image_net()
    module[3].eval()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    training = [each.training for each in module.modules()]
    state = torch.get_rng_state()
    et.cost(module, (2, 4, 5), latency=True)
    et.cost(RECORD, model=et.image_classifier((1, 8, 8), 10))
    assert torch.equal(torch.get_rng_state(), state)
    assert [each.training for each in module.modules()] == training
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert all(p.grad is None for p in module.parameters())


def test_latency_is_measured_when_asked_for():
    assert et.cost(image_net(), (2, 4, 5)).latency is None
    found = et.cost(image_net(), (2, 4, 5), latency=True, batch=4)
    assert 0 < found.latency_spread[0] <= found.latency <= found.latency_spread[1]
    assert found.multiply_adds == et.cost(image_net(), (2, 4, 5)).multiply_adds


def test_params_a_structure_and_a_network_cost_the_same():
    template = et.image_classifier((1, 8, 8), 10)
    network = template(RECORD)
    by_shape = et.cost(network, (1, 8, 8))
    assert et.cost(network) == by_shape
    assert et.cost(RECORD, model=template) == by_shape
    assert et.cost(network.structure) == by_shape


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((image_net(),), {}, "shape of one example"),
        ((image_net(), "x"), {}, "got 'x'"),
        ((RECORD,), {}, "model=image_classifier"),
        ((3,), {}, "cost\\(net, \\(1, 28, 28\\)\\)"),
        ((nn.LazyLinear(3), (2,)), {}, "run the module on a batch"),
        ((nn.Linear(2, 2), (2,)), {"batch": 0}, "batch"),
        ((nn.Linear(2, 2), (2,)), {"latency": "yes"}, "True or False"),
    ],
)
def test_what_has_no_cost_is_refused_in_words(arguments, options, message):
    with pytest.raises((TaskError, StudyError), match=message):
        et.cost(*arguments, **options)


def test_a_wrong_shape_is_named():
    with pytest.raises(RuntimeError) as raised:
        et.cost(image_net(), (3, 4, 5))
    assert "(1, 3, 4, 5)" in raised.value.__notes__[0]


def test_a_part_of_a_larger_tensor_counts_for_itself():
    rows = torch.zeros(1000, 8)
    assert et.cost(nn.Linear(8, 3), rows[:1]) == et.cost(nn.Linear(8, 3), (8,))


def test_inputs_may_have_names():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(3, 2), nn.Linear(5, 2)

        def forward(self, inputs):
            return self.a(inputs["a"]) + self.b(inputs["b"])

    found = et.cost(Two(), {"a": torch.zeros(4, 3), "b": torch.zeros(4, 5)}, latency=True)
    assert found.multiply_adds == 3 * 2 + 5 * 2
    assert found.latency > 0


@pytest.mark.parametrize(
    ("make", "inputs"),
    [
        (image_net, torch.zeros(2, 2, 4, 5)),
        (lambda: nn.Linear(300, 40), torch.zeros(2, 3, 300)),
        (lambda: nn.Conv2d(30, 60, 3, padding="same"), torch.zeros(2, 30, 9, 9)),
        (lambda: nn.Conv1d(30, 60, 3, 2, 2, 2), torch.zeros(2, 30, 9)),
        (lambda: Last(nn.LSTM(30, 64, batch_first=True)), torch.zeros(2, 5, 30)),
        (
            lambda: Last(nn.GRU(30, 64, 2, batch_first=True, bidirectional=True)),
            torch.zeros(2, 5, 30),
        ),
        (lambda: nn.TransformerEncoderLayer(64, 2, 128, batch_first=True), torch.zeros(2, 5, 64)),
        (lambda: nn.Embedding(900, 8), torch.zeros(2, 5, dtype=torch.long)),
    ],
)
def test_a_dry_run_has_the_shapes_and_counts_of_a_real_one(make, inputs):
    with torch.no_grad():
        with Counter() as counter:
            output = make().eval()(inputs)
        state = torch.get_rng_state()
        with DryRun() as dry:
            module = make().eval()
            dry_output = module(inputs)
    assert dry_output.shape == output.shape
    assert dry.multiply_adds == counter.multiply_adds
    assert torch.equal(torch.get_rng_state(), state)


def test_a_dry_run_needs_no_memory_for_large_weights():
    with DryRun() as dry, torch.no_grad():
        module = nn.Linear(10**7, 10**7)  # 400 TB
        assert module(torch.zeros(1, 10**7)).shape == (1, 10**7)
    assert dry.multiply_adds == 10**14
