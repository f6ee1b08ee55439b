"""Recurrent layers and attention of linear layers give what PyTorch's own give."""

import pytest
import torch
from torch import Tensor, nn

from evotune.pruning.lowering import lower

STEPS = torch.randn(4, 6, 3, generator=torch.Generator().manual_seed(0))
WIDE = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0))
LATER = torch.triu(torch.ones(5, 5, dtype=torch.bool), 1)
SHORT = torch.tensor([[0, 0, 0, 0, 1], [0, 0, 0, 1, 1]]).bool()
OPTIONS = [
    {},
    {"batch_first": True},
    {"num_layers": 2, "bidirectional": True},
    {"bias": False},
]


def tensors(found):
    if isinstance(found, Tensor):
        return [found]
    return [tensor for part in found if part is not None for tensor in tensors(part)]


def check_alike(source, *args, **kwargs):
    ours = lower(source.eval()).eval()
    with torch.no_grad():
        pairs = zip(tensors(source(*args, **kwargs)), tensors(ours(*args, **kwargs)), strict=True)
        for wanted, given in pairs:
            torch.testing.assert_close(given, wanted, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_recurrent_layers(kind, options):
    torch.manual_seed(0)
    check_alike(kind(3, 5, **options), STEPS)
    check_alike(kind(3, 5, **options), STEPS[0])


@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM])
def test_a_state_to_begin_with(kind):
    torch.manual_seed(0)
    state = torch.randn(1, 6, 5)
    check_alike(kind(3, 5), STEPS, (state, -state) if kind is nn.LSTM else state)


@pytest.mark.filterwarnings("ignore:LSTM with projections")
def test_projections_and_other_activations():
    check_alike(nn.LSTM(3, 5, 2, proj_size=2), STEPS)
    check_alike(nn.RNN(3, 5, nonlinearity="relu"), STEPS)


@pytest.mark.parametrize("kind", [nn.LSTMCell, nn.GRUCell, nn.RNNCell])
def test_cells(kind):
    check_alike(kind(3, 5), STEPS[0])


@pytest.mark.parametrize(
    "options", [{}, {"batch_first": True}, {"kdim": 8, "vdim": 8}, {"bias": False}]
)
def test_attention(options):
    torch.manual_seed(0)
    check_alike(nn.MultiheadAttention(8, 2, **options), WIDE, WIDE, WIDE)


def test_attention_with_masks_and_without_a_batch():
    torch.manual_seed(0)
    layer = nn.MultiheadAttention(8, 2, batch_first=True)
    check_alike(layer, WIDE, WIDE, WIDE, attn_mask=LATER, key_padding_mask=SHORT)
    check_alike(layer, WIDE, WIDE, WIDE, need_weights=False)
    check_alike(nn.MultiheadAttention(8, 2), *[WIDE[0]] * 3, average_attn_weights=False)


def test_what_has_more_than_linear_layers_is_left_alone():
    assert lower(nn.MultiheadAttention(8, 2, add_bias_kv=True)) is None
    assert lower(nn.Linear(2, 2)) is None
