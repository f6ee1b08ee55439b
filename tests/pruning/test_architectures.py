"""The architectures that people use most go through `evotune.prune` whole."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

import evotune as et
from evotune.pruning import scores
from evotune.pruning.methods import Rounds
from helpers_architectures import ARCHITECTURES, CLASSES, built

#: Layers that nothing in these networks prunes, and parameters beside all layers.
LEFT_DENSE = {
    "convnext": {"2.layer_scale", "5.layer_scale"},
    "vit": {"class_token", "pos_embedding"},
    "unet": {"up"},
    "swin": {"blocks.0.attn.bias", "blocks.1.attn.bias"},
}


def size(model):
    return sum(p.numel() for p in model.parameters())


def answers(model, inputs):
    with torch.no_grad():
        return model(inputs)


@pytest.fixture(params=list(ARCHITECTURES))
def case(request):
    return request.param, *built(request.param)


def test_without_a_weight_in_a_thousand_it_does_the_same(case):
    _, model, images = case
    result = et.prune(model, 0.001, data=images[:16], method="magnitude")
    assert result.kept == round(0.999 * result.size)
    wanted = answers(model, images)
    error = (answers(result.model, images) - wanted).square().mean() / wanted.var()
    assert error < 1e-6


SPARSITIES = dict.fromkeys(ARCHITECTURES, (0.9,)) | dict.fromkeys(
    ("resnet", "shufflenet", "vit", "unet"), (0.5, 0.9)
)


@pytest.mark.parametrize(
    ("name", "sparsity"), [(name, each) for name, some in SPARSITIES.items() for each in some]
)
def test_exact_sparsity_the_same_class_and_a_smaller_copy(name, sparsity):
    model, images = built(name)
    before = copy.deepcopy(model.state_dict())
    labels = torch.arange(len(images)) % CLASSES
    given = images[:24] if name == "unet" else (images[:24], labels[:24])
    how = Rounds(scores.SYNFLOW if name == "unet" else scores.MIX, rounds=3)
    result = et.prune(model, sparsity, data=given, method=how)
    keep = round((1 - sparsity) * result.size)
    assert 0.85 * keep <= result.kept <= keep
    assert set(result.left_dense) == LEFT_DENSE.get(name, set())
    assert type(result.model) is type(model)
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in before.items())
    found = answers(result.model, images)
    assert found.isfinite().all()
    assert not (found == found[:1]).all()
    other = et.prune(model, sparsity, data=given, method="uniform").model
    other.load_state_dict(result.model.state_dict())
    torch.testing.assert_close(answers(other, images), found)
    exact, precise = copy.deepcopy(result.model).double(), images.double()
    wanted = answers(exact, precise)
    small, rounding = result.compact(), 1e-6 * max(1.0, float(wanted.abs().max()))
    torch.testing.assert_close(answers(small, images), found, rtol=0, atol=rounding)
    found = answers(et.compact(exact, precise[:8]), precise)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6 * rounding)
    assert size(small) < size(model) if sparsity == 0.9 else size(small) <= size(model)


# What these architectures taught, and their relatives.


class Preactivated(nn.Module):
    """Norms stand before convolutions, so that ways past read what norms read too."""

    def __init__(self):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(1, 6, 3, bias=False), nn.BatchNorm2d(6)
        self.inside = nn.Conv2d(6, 6, 3, padding=1, bias=False)
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        x = self.stem(x)
        x = x + self.inside(functional.relu(self.norm(x)))
        return self.head(x.mean((2, 3)))


class NormAfterRelu(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 6, 3, bias=False), nn.BatchNorm2d(6)
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        return self.head(self.norm(functional.relu(self.conv(x), inplace=True)).mean((2, 3)))


class Frozen(nn.Module):
    """What comes first runs without gradients, as a frozen backbone does."""

    def __init__(self, how):
        super().__init__()
        self.how = how
        self.backbone, self.head = nn.Conv2d(1, 6, 3), nn.Linear(6, 3)

    def forward(self, x):
        if self.how == "no_grad":
            with torch.no_grad():
                x = self.backbone(x)
        else:
            x = self.backbone(x).detach()
        return self.head(x.relu().mean((2, 3)))


class ByHand(nn.Module):
    """A norm, causal attention and a gate that are written out."""

    def __init__(self, norm):
        super().__init__()
        self.norm = norm
        self.inputs, self.qkv = nn.Linear(8, 12), nn.Linear(12, 36)
        self.gate, self.head = nn.Linear(12, 12), nn.Linear(12, 3)
        self.gain = nn.Parameter(-torch.ones(12))

    def forward(self, images):
        x = self.inputs(images.squeeze(1))
        if self.norm == "layer":
            x = (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True) + 1e-5).sqrt()
        elif self.norm == "rms":
            x = x.float() * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)
        else:
            x = functional.normalize(x, dim=-1)
        q, k, v = self.qkv(x * self.gain).chunk(3, -1)
        shares = q @ k.transpose(-2, -1) * 12**-0.5
        later = torch.triu(torch.ones(8, 8, dtype=torch.bool), 1)
        x = x + shares.masked_fill(later, -torch.inf).softmax(-1) @ v
        x = x * (1 / (1 + torch.exp(-self.gate(x))))
        return self.head(x.mean(1))


class Differences(nn.Module):
    """What it reads first is how its inputs differ: of numbers, or of words."""

    def __init__(self, words):
        super().__init__()
        self.words = nn.Embedding(9, 8) if words else nn.Identity()
        self.inside, self.head = nn.GRU(8, 12, batch_first=True), nn.Linear(12, 3)

    def forward(self, images):
        x = self.words((images[:, 0, :, 0] * 2).long().clamp(-4, 4) + 4)
        x = images.squeeze(1) if x.dim() == 2 else x
        return self.head(self.inside(x - x[:, -1:])[0][:, -1])


TAUGHT = {
    "differences": lambda: Differences(words=False),
    "differences of words": lambda: Differences(words=True),
    "preactivated": Preactivated,
    "norm after relu": NormAfterRelu,
    "no_grad": lambda: Frozen("no_grad"),
    "detach": lambda: Frozen("detach"),
    "layer": lambda: ByHand("layer"),
    "rms": lambda: ByHand("rms"),
    "normalize": lambda: ByHand("normalize"),
}


@pytest.mark.parametrize("name", TAUGHT)
@pytest.mark.parametrize("sparsity", [0.02, 0.5])
def test_nothing_is_dead_that_matters_and_outputs_are_near(name, sparsity):
    torch.manual_seed(0)
    model, images = TAUGHT[name](), torch.randn(80, 1, 8, 8)
    model(images)
    model.eval()
    result = et.prune(model, sparsity, data=images)
    assert set(result.left_dense) <= {"words"}
    assert result.kept >= 0.97 * (1 - sparsity) * result.size
    assert all(mask.any() for mask in result.masks.values())
    wanted = answers(model, images)
    error = (answers(result.model, images) - wanted).square().mean() / wanted.var()
    assert error < (0.01 if sparsity < 0.1 else 0.5)


def test_a_gate_that_is_gone_does_not_cut_off_what_it_gated(caplog):
    model, images = built("efficientnet")
    with torch.no_grad():
        for module in model.modules():
            if hasattr(module, "fc1"):
                module.fc1.weight.mul_(1e-6)
    result = et.prune(model, 0.6, data=images)
    gate = next(mask for name, mask in result.masks.items() if "fc1" in name)
    assert not gate.any()
    assert result.kept >= 0.97 * 0.4 * result.size
    assert "nothing flows" not in caplog.text


def test_a_block_that_is_gone_cuts_nothing_where_there_is_a_way_past(caplog):
    model, images = built("resnet")
    with torch.no_grad():
        model.layers[0].conv1.weight.mul_(1e-6)
    result = et.prune(model, 0.8, data=images, method="magnitude")
    assert not result.masks["layers.0.conv1.weight"].any()
    assert "nothing flows" not in caplog.text


class Padded(nn.Conv2d):
    """A convolution that pads by itself, as those of TensorFlow do."""

    def forward(self, x):
        return super().forward(functional.pad(x, (0, 1, 0, 1)))


class Standardised(nn.Conv2d):
    def forward(self, x):
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return self._conv_forward(x, weight, self.bias)


@pytest.mark.filterwarnings("ignore:.*weight_norm.*")
@pytest.mark.parametrize(
    "odd",
    [
        lambda: Padded(4, 4, 2),
        lambda: Standardised(4, 4, 3),
        lambda: nn.utils.weight_norm(nn.Conv2d(4, 4, 3)),
        lambda: nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 4, 3)),
        lambda: nn.utils.spectral_norm(nn.Conv2d(4, 4, 3)),
    ],
)
def test_layers_that_do_more_than_their_kind_stay_and_are_named(odd):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), odd(), nn.ReLU(), nn.Flatten(), nn.LazyLinear(3))
    images = torch.randn(30, 1, 8, 8)
    with torch.no_grad():
        model(images)
    model.eval()
    result = et.prune(model, 0.5, data=images)
    assert set(result.left_dense) == {"1"}
    assert set(result.masks) == {"0.weight", "4.weight"}
    before, after = model[1](images[:2].expand(-1, 4, -1, -1)), result.model[1]
    torch.testing.assert_close(after(images[:2].expand(-1, 4, -1, -1)), before)


def test_a_function_that_is_not_understood_leaves_layers_dense():
    class Away(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(6, 8), nn.Linear(8, 3)

        def forward(self, x):
            x = torch.from_numpy(self.first(x).detach().cpu().numpy().copy()).to(x)
            return self.last(x.relu())

    torch.manual_seed(0)
    result = et.prune(Away(), 0.5, data=torch.randn(40, 6))
    assert "not understood" in result.left_dense["first"]
    assert set(result.masks) == {"last.weight"}
