"""The architectures that people use most, written small: blocks as torchvision has them."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

IMAGE = (3, 16, 16)
CLASSES = 4


def conv(inputs: int, outputs: int, size: int = 3, step: int = 1, groups: int = 1) -> nn.Conv2d:
    """Return a convolution that keeps the size of images, but for its step."""
    return nn.Conv2d(inputs, outputs, size, step, size // 2, groups=groups, bias=False)


def unit(inputs: int, outputs: int, activation: type[nn.Module] = nn.ReLU, **how) -> nn.Sequential:
    """Return a convolution, a norm and an activation."""
    return nn.Sequential(conv(inputs, outputs, **how), nn.BatchNorm2d(outputs), activation())


class AlexNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(3, 8, 5, 2, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2)),
            *(nn.Conv2d(8, 12, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2)),
        )
        self.avgpool = nn.AdaptiveAvgPool2d((2, 2))
        self.classifier = nn.Sequential(
            *(nn.Dropout(0.5), nn.Linear(48, 32), nn.ReLU(inplace=True)),
            *(nn.Dropout(0.5), nn.Linear(32, CLASSES)),
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(torch.flatten(self.avgpool(self.features(images)), 1))


def vgg() -> nn.Module:
    layers: list[nn.Module] = []
    channels = 3
    for width in (8, "pool", 12, 12, "pool"):
        if width == "pool":
            layers.append(nn.MaxPool2d(2, 2))
            continue
        layers += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(True)]
        channels = width
    head = [nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(48, 24), nn.ReLU(True)]
    return nn.Sequential(*layers, *head, nn.Dropout(), nn.Linear(24, CLASSES))


class Basic(nn.Module):
    """The basic block of ResNets."""

    def __init__(self, inputs: int, outputs: int, step: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv(inputs, outputs, 3, step), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = conv(outputs, outputs), nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if step > 1 or inputs != outputs:
            self.downsample = nn.Sequential(conv(inputs, outputs, 1, step), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += identity
        return self.relu(out)


class Bottleneck(nn.Module):
    """The bottleneck of ResNets, with groups as in ResNeXt."""

    def __init__(self, inputs: int, outputs: int, step: int, groups: int = 1) -> None:
        super().__init__()
        inside = outputs // 2
        self.conv1, self.bn1 = conv(inputs, inside, 1), nn.BatchNorm2d(inside)
        self.conv2, self.bn2 = conv(inside, inside, 3, step, groups), nn.BatchNorm2d(inside)
        self.conv3, self.bn3 = conv(inside, outputs, 1), nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = nn.Sequential(conv(inputs, outputs, 1, step), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        out += self.downsample(x)
        return self.relu(out)


class ResNet(nn.Module):
    def __init__(self, *blocks: nn.Module, width: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 8, 7, 2, 3, bias=False), nn.BatchNorm2d(8)
        self.relu, self.maxpool = nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)
        self.layers = nn.Sequential(*blocks)
        self.avgpool, self.fc = nn.AdaptiveAvgPool2d((1, 1)), nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        return self.fc(torch.flatten(self.avgpool(self.layers(x)), 1))


class DenseNet(nn.Module):
    """Two dense blocks: each layer reads all that came before."""

    def __init__(self, growth: int = 4) -> None:
        super().__init__()
        self.stem = conv(3, 8)
        self.first = nn.ModuleList(self._layer(8 + k * growth, growth) for k in range(2))
        self.transition = nn.Sequential(
            nn.BatchNorm2d(16), nn.ReLU(inplace=True), conv(16, 8, 1), nn.AvgPool2d(2, 2)
        )
        self.second = nn.ModuleList(self._layer(8 + k * growth, growth) for k in range(2))
        self.norm, self.classifier = nn.BatchNorm2d(16), nn.Linear(16, CLASSES)

    @staticmethod
    def _layer(inputs: int, growth: int) -> nn.Module:
        return nn.Sequential(
            *(nn.BatchNorm2d(inputs), nn.ReLU(inplace=True), conv(inputs, 2 * growth, 1)),
            *(nn.BatchNorm2d(2 * growth), nn.ReLU(inplace=True), conv(2 * growth, growth)),
        )

    @staticmethod
    def _block(layers: nn.ModuleList, x: Tensor) -> Tensor:
        features = [x]
        for layer in layers:
            features.append(layer(torch.cat(features, 1)))
        return torch.cat(features, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.transition(self._block(self.first, self.stem(x)))
        x = functional.relu(self.norm(self._block(self.second, x)), inplace=True)
        x = torch.flatten(functional.adaptive_avg_pool2d(x, (1, 1)), 1)
        return self.classifier(x)


class Inception(nn.Module):
    """Four branches beside each other, as in GoogLeNet."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.branch1 = unit(inputs, 4, size=1)
        self.branch2 = nn.Sequential(unit(inputs, 4, size=1), unit(4, 6))
        self.branch3 = nn.Sequential(unit(inputs, 2, size=1), unit(2, 4, size=5))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, 1, ceil_mode=True), unit(inputs, 2, size=1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


def googlenet() -> nn.Module:
    return nn.Sequential(
        *(unit(3, 8), nn.MaxPool2d(3, 2, ceil_mode=True), Inception(8), Inception(16)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(16, CLASSES)),
    )


class InvertedResidual(nn.Module):
    """The block of MobileNetV2."""

    def __init__(self, inputs: int, outputs: int, step: int) -> None:
        super().__init__()
        inside = 3 * inputs
        self.past = step == 1 and inputs == outputs
        self.conv = nn.Sequential(
            *(unit(inputs, inside, nn.ReLU6, size=1),),
            *(unit(inside, inside, nn.ReLU6, step=step, groups=inside),),
            *(conv(inside, outputs, 1), nn.BatchNorm2d(outputs)),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.past else self.conv(x)


class MobileNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *(unit(3, 8, nn.ReLU6, step=2), InvertedResidual(8, 12, 2)),
            *(InvertedResidual(12, 12, 1), unit(12, 24, nn.ReLU6, size=1)),
        )
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(24, CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).mean([2, 3]))


class SqueezeExcitation(nn.Module):
    def __init__(self, channels: int, inside: int) -> None:
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1, self.fc2 = nn.Conv2d(channels, inside, 1), nn.Conv2d(inside, channels, 1)
        self.activation, self.scale = nn.SiLU(inplace=True), nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        return self.scale(self.fc2(self.activation(self.fc1(self.avgpool(x))))) * x


class MBConv(nn.Module):
    """The block of EfficientNet."""

    def __init__(self, inputs: int, outputs: int, step: int) -> None:
        super().__init__()
        inside = 2 * inputs
        self.past = step == 1 and inputs == outputs
        self.block = nn.Sequential(
            *(unit(inputs, inside, nn.SiLU, size=1),),
            *(unit(inside, inside, nn.SiLU, step=step, groups=inside),),
            *(SqueezeExcitation(inside, 4), conv(inside, outputs, 1), nn.BatchNorm2d(outputs)),
        )

    def forward(self, x: Tensor) -> Tensor:
        result = self.block(x)
        if self.past:
            result += x
        return result


def efficientnet() -> nn.Module:
    return nn.Sequential(
        *(unit(3, 8, nn.SiLU, step=2), MBConv(8, 12, 2), MBConv(12, 12, 1)),
        *(unit(12, 24, nn.SiLU, size=1), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        *(nn.Dropout(0.2, inplace=True), nn.Linear(24, CLASSES)),
    )


class Shuffled(nn.Module):
    """The unit of ShuffleNetV2: one half of the channels passes by, then they are shuffled."""

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        self.branch = nn.Sequential(
            *(unit(half, half, size=1), conv(half, half, groups=half), nn.BatchNorm2d(half)),
            unit(half, half, size=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        x1, x2 = x.chunk(2, dim=1)
        out = torch.cat((x1, self.branch(x2)), dim=1)
        batch, channels, height, width = out.size()
        out = out.view(batch, 2, channels // 2, height, width)
        out = torch.transpose(out, 1, 2).contiguous()
        return out.view(batch, channels, height, width)


def shufflenet() -> nn.Module:
    return nn.Sequential(
        *(unit(3, 20, step=2), nn.MaxPool2d(3, 2, 1), Shuffled(20), Shuffled(20)),
        *(unit(20, 24, size=1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, CLASSES)),
    )


class Permute(nn.Module):
    def __init__(self, *dims: int) -> None:
        super().__init__()
        self.dims = dims

    def forward(self, x: Tensor) -> Tensor:
        return torch.permute(x, self.dims)


class LayerNorm2d(nn.LayerNorm):
    """A layer norm of channels, which it puts last and back."""

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 2, 3, 1)
        x = functional.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)
        return x.permute(0, 3, 1, 2)


class NextBlock(nn.Module):
    """The block of ConvNeXt."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            *(nn.Conv2d(width, width, 7, padding=3, groups=width), Permute(0, 2, 3, 1)),
            *(nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU()),
            *(nn.Linear(4 * width, width), Permute(0, 3, 1, 2)),
        )
        self.layer_scale = nn.Parameter(torch.full((width, 1, 1), 0.1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layer_scale * self.block(x)


def convnext() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 2, 2), LayerNorm2d(8), NextBlock(8), LayerNorm2d(8)),
        *(nn.Conv2d(8, 12, 2, 2), NextBlock(12), nn.AdaptiveAvgPool2d(1), LayerNorm2d(12)),
        *(nn.Flatten(1), nn.Linear(12, CLASSES)),
    )


class EncoderBlock(nn.Module):
    """The block of ViT."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, 2, dropout=0.1, batch_first=True)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Dropout(0.1), nn.Linear(2 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.ln_1(x)
        y, _ = self.attention(y, y, y, need_weights=False)
        x = x + y
        return x + self.mlp(self.ln_2(x))


class VisionTransformer(nn.Module):
    def __init__(self, width: int = 12, patch: int = 4) -> None:
        super().__init__()
        self.conv_proj = nn.Conv2d(3, width, patch, patch)
        self.class_token = nn.Parameter(torch.randn(1, 1, width) * 0.1)
        self.pos_embedding = nn.Parameter(torch.randn(1, 17, width) * 0.02)
        self.layers = nn.Sequential(*(EncoderBlock(width) for _ in range(2)))
        self.ln = nn.LayerNorm(width)
        self.head = nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        n = x.shape[0]
        x = self.conv_proj(x).reshape(n, -1, 16).permute(0, 2, 1)
        x = torch.cat([self.class_token.expand(n, -1, -1), x], dim=1)
        x = self.ln(self.layers(x + self.pos_embedding))
        return self.head(x[:, 0])


class WindowAttention(nn.Module):
    """Attention inside windows that may be shifted, written out as in Swin."""

    def __init__(self, width: int, heads: int, window: int, shift: int) -> None:
        super().__init__()
        self.heads, self.window, self.shift = heads, window, shift
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.bias = nn.Parameter(torch.randn(heads, window**2, window**2) * 0.02)

    def forward(self, x: Tensor) -> Tensor:
        batch, height, width, channels = x.shape
        x = torch.roll(x, (-self.shift, -self.shift), (1, 2))
        size = self.window
        x = x.view(batch, height // size, size, width // size, size, channels)
        x = x.permute(0, 1, 3, 2, 4, 5).reshape(-1, size**2, channels)
        qkv = self.qkv(x).reshape(x.shape[0], size**2, 3, self.heads, channels // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        shares = functional.softmax(
            q * (channels // self.heads) ** -0.5 @ k.transpose(-2, -1) + self.bias, dim=-1
        )
        x = self.proj(shares.matmul(v).transpose(1, 2).reshape(x.shape[0], size**2, channels))
        x = x.view(batch, height // size, width // size, size, size, channels)
        x = x.permute(0, 1, 3, 2, 4, 5).reshape(batch, height, width, channels)
        return torch.roll(x, (self.shift, self.shift), (1, 2))


class SwinBlock(nn.Module):
    def __init__(self, width: int, shift: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = WindowAttention(width, 2, 2, shift)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Swin(nn.Module):
    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.patches = nn.Sequential(nn.Conv2d(3, width, 4, 4), Permute(0, 2, 3, 1))
        self.blocks = nn.Sequential(SwinBlock(width, 0), SwinBlock(width, 1))
        self.reduction = nn.Linear(4 * width, 2 * width, bias=False)
        self.norm, self.head = nn.LayerNorm(2 * width), nn.Linear(2 * width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.patches(x))
        parts = [x[..., a::2, b::2, :] for b in (0, 1) for a in (0, 1)]
        x = self.norm(self.reduction(torch.cat(parts, -1)))
        return self.head(x.flatten(1, 2).mean(1))


class UNet(nn.Module):
    """Down and up again, with ways past; one answer for each pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.down1, self.down2 = self._double(3, 6), self._double(6, 12)
        self.pool, self.up = nn.MaxPool2d(2), nn.ConvTranspose2d(12, 6, 2, 2)
        self.last, self.out = self._double(12, 6), nn.Conv2d(6, CLASSES, 1)

    @staticmethod
    def _double(inputs: int, outputs: int) -> nn.Module:
        return nn.Sequential(unit(inputs, outputs), unit(outputs, outputs))

    def forward(self, x: Tensor) -> Tensor:
        first = self.down1(x)
        inside = self.up(self.down2(self.pool(first)))
        return self.out(self.last(torch.cat([first, inside], dim=1)))


ARCHITECTURES: dict[str, Callable[[], nn.Module]] = {
    "alexnet": AlexNet,
    "vgg": vgg,
    "resnet": lambda: ResNet(Basic(8, 8, 1), Basic(8, 12, 2), width=12),
    "resnet bottleneck": lambda: ResNet(Bottleneck(8, 16, 1), Bottleneck(16, 24, 2), width=24),
    "resnext": lambda: ResNet(Bottleneck(8, 16, 1, 4), Bottleneck(16, 24, 2, 4), width=24),
    "densenet": DenseNet,
    "googlenet": googlenet,
    "mobilenet": MobileNet,
    "efficientnet": efficientnet,
    "shufflenet": shufflenet,
    "convnext": convnext,
    "vit": VisionTransformer,
    "swin": Swin,
    "unet": UNet,
}


def built(name: str) -> tuple[nn.Module, Tensor]:
    """Return a network in evaluation, whose norms have seen something, and examples for it."""
    torch.manual_seed(0)
    model, images = ARCHITECTURES[name](), torch.randn(48, *IMAGE)
    with torch.no_grad():
        for _ in range(3):
            model(images)
        for norm in model.modules():
            if isinstance(norm, nn.BatchNorm2d | nn.LayerNorm):
                norm.weight.uniform_(0.5, 1.5)
                norm.bias.uniform_(-0.2, 0.2)
    return model.eval(), images
