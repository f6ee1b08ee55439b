"""A classifier of images: layers on images, then layers on vectors, then one output a class."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

from torch import nn

from evotune.architectures.blocks import Shape
from evotune.architectures.build import build_chain
from evotune.architectures.templates.base import Template
from evotune.checks import option
from evotune.errors import TaskError


@dataclass(frozen=True)
class ImageClassifier(Template):
    """See `image_classifier`."""

    name: ClassVar[str] = "image_classifier"

    classes: int
    features: str = "features"
    head: str = "head"

    @property
    def genes(self) -> tuple[str, ...]:
        return self.features, self.head

    def parts(self, params: Mapping[str, Any]) -> dict[str, nn.Module]:
        features = build_chain(self.layers(params, self.features), self.shape, self.features)
        head = build_chain(params.get(self.head, ()), (prod(features.shape),), self.head)
        return {
            "features": features.module,
            "flatten": nn.Flatten(),
            "head": head.module,
            "output": nn.Linear(head.shape[0], self.classes),
        }


def image_classifier(
    shape: Shape,
    classes: int,
    *,
    parameters: int | None = None,
    multiply_adds: int | None = None,
    features: str = "features",
    head: str = "head",
) -> ImageClassifier:
    """Return a function of params that builds a classifier of images.

    The layers of the chain ``features`` come first, on images; their output is flattened; those of
    the chain ``head`` follow, on vectors, if the space has one; then a linear layer gives the
    logits.

    Args:
        shape: ``(channels, height, width)`` of one image.
        classes: Number of classes.
        parameters: Most parameters; larger structures are made smaller before they are tried.
        multiply_adds: Most multiplications with addition for one image.
        features: Name of the chain on images.
        head: Name of the chain on vectors.

    Raises:
        TaskError: A shape or a number that makes no classifier.
    """
    sizes = tuple(shape) if isinstance(shape, list | tuple) else ()
    if len(sizes) != 3:
        raise TaskError(
            f"image_classifier: shape is (channels, height, width) of one image, such as "
            f"(1, 28, 28); got {shape!r}"
        )
    sizes = tuple(option("shape", n, "[1, inf)", whole=True, error_type=TaskError) for n in sizes)
    return ImageClassifier(
        sizes,
        option("classes", classes, "[2, inf)", whole=True, error_type=TaskError),
        features,
        head,
        parameters=parameters,
        multiply_adds=multiply_adds,
    )
