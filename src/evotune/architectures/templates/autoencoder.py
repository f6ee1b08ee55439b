"""Networks that press an example through a short code, and make it again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

from torch import Tensor, nn

from evotune.architectures.build import build_chain
from evotune.architectures.families.common import Shape
from evotune.architectures.templates.base import Template, limited_by_size, sizes, whole
from evotune.errors import TaskError
from evotune.space.layers import WIDTHS

#: Dimensions of an example, by what its chain works on: vectors and images.
DIMENSIONS = (1, 3)


class Grow(nn.Module):
    """Repeats the nearest pixel until an image has a height and width again.

    Args:
        size: ``(height, width)``.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size

    def forward(self, inputs: Tensor) -> Tensor:
        """Return ``(batch, channels, height, width)``."""
        return nn.functional.interpolate(inputs, size=self.size)


@dataclass(frozen=True)
class Autoencoder(Template):
    """See `autoencoder`."""

    name: ClassVar[str] = "autoencoder"
    naming: ClassVar[tuple[str, ...]] = ("encoder", "decoder")

    code: int
    encoder: str = "encoder"
    decoder: str = "decoder"

    @property
    def chains(self) -> dict[str, int]:
        return dict.fromkeys((self.encoder, self.decoder), len(self.shape))

    def parts(self, params: Mapping[str, Any]) -> dict[str, nn.Module]:
        layers = self.layers(params, self.encoder)
        encoder = build_chain(layers, self.shape, self.encoder)
        parts: dict[str, nn.Module] = {"encoder": encoder.module}
        is_image = len(self.shape) > 1
        if is_image:
            parts["flatten"] = nn.Flatten()
        parts["code"] = nn.Linear(prod(encoder.shape), self.code)
        parts["decode"] = nn.Linear(self.code, prod(encoder.shape))
        if is_image:
            parts["unflatten"] = nn.Unflatten(1, encoder.shape)
        if params.get(self.decoder) is not None:
            decoder = build_chain(params[self.decoder], encoder.shape, self.decoder)
            return parts | {"decoder": decoder.module, **_output(decoder.shape, self.shape)}
        kept = [layers[k] for k in encoder.kept]
        module, shape = self._mirrored(kept, encoder.shape)
        return parts | {"decoder": module, **_output(shape, self.shape)}

    def _mirrored(
        self, layers: Sequence[Mapping[str, Any]], shape: Shape
    ) -> tuple[nn.Module, Shape]:
        """Return the encoder's layers backwards; pools become their opposite."""
        before = [self.shape]  # the shape before each layer
        for k in range(len(layers)):
            before.append(build_chain(layers[k : k + 1], before[-1], self.encoder).shape)
        mirror = nn.Sequential()
        for k in reversed(range(len(layers))):
            if before[k][1:] != before[k + 1][1:]:
                mirror.append(Grow(before[k][1:]))  # type: ignore[arg-type]
                shape = (shape[0], *before[k][1:])
            elif k:  # what makes the example itself is the output
                built = build_chain([_to_width(layers[k], before[k][0])], shape, self.decoder)
                mirror.append(built.module)
                shape = built.shape
        return mirror, shape


def _to_width(record: Mapping[str, Any], width: int) -> dict[str, Any]:
    return {name: width if name in WIDTHS else value for name, value in record.items()}


def _output(shape: Shape, wanted: Shape) -> dict[str, nn.Module]:
    if len(wanted) == 1:
        return {"output": nn.Linear(shape[0], wanted[0])}
    grow: dict[str, nn.Module] = {} if shape[1:] == wanted[1:] else {"grow": Grow(wanted[1:])}  # type: ignore[arg-type]
    return grow | {"output": nn.Conv2d(shape[0], wanted[0], 3, padding=1)}


@limited_by_size
def autoencoder(
    shape: Shape,
    code: int,
    *,
    parameters: int | None = None,
    multiply_adds: int | None = None,
    encoder: str = "encoder",
    decoder: str = "decoder",
) -> Autoencoder:
    """Return a function of params that builds an autoencoder of vectors or images.

    The layers of the chain ``encoder`` come first; a linear layer makes the code, another one what
    the decoder begins with. The decoder is the chain of that name, if the space has one; else the
    encoder's layers backwards, in which pools grow the image. A last layer gives the example's own
    shape, without an activation.

    Args:
        shape: ``(features,)`` of one vector, or ``(channels, height, width)`` of one image.
        code: Numbers of the code.
        parameters: Most parameters; larger structures are made smaller before they are tried.
        multiply_adds: Most multiplications with addition for one example.
        encoder: Name of the chain before the code.
        decoder: Name of the chain behind it.

    Raises:
        TaskError: A shape or a number that makes no network.
    """
    given = tuple(shape) if isinstance(shape, list | tuple) else ()
    if len(given) not in DIMENSIONS:
        raise TaskError(
            "autoencoder: shape is (features,) of one vector or (channels, height, width) of one "
            f"image; got {shape!r}"
        )
    form = "(features,)" if len(given) == 1 else "(channels, height, width)"
    return Autoencoder(
        sizes("autoencoder", given, form, (1,) * len(given)),
        whole("code", code),
        encoder,
        decoder,
        parameters=parameters,
        multiply_adds=multiply_adds,
    )
