"""A classifier of images: layers on images, then layers on vectors, then one output a class."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar, Literal

from torch import nn

from evotune.architectures.build import build_chain
from evotune.architectures.families.common import Shape, one_of
from evotune.architectures.templates.base import Template, limited_by_size, sizes, whole

Pooling = Literal["flatten", "average"]
POOLINGS = ("flatten", "average")


@dataclass(frozen=True)
class ImageClassifier(Template):
    """See `image_classifier`."""

    name: ClassVar[str] = "image_classifier"
    choices: ClassVar[tuple[str, ...]] = ("pooling",)
    naming: ClassVar[tuple[str, ...]] = ("features", "head")

    classes: int
    pooling: Pooling = "flatten"
    features: str = "features"
    head: str = "head"

    @property
    def chains(self) -> dict[str, int]:
        return {self.features: 3, self.head: 1}

    def parts(self, params: Mapping[str, Any]) -> dict[str, nn.Module]:
        features = build_chain(self.layers(params, self.features), self.shape, self.features)
        pooling = params.get("pooling", self.pooling)
        one_of("image_classifier: pooling", pooling, POOLINGS)
        average = pooling == "average"
        width = features.shape[0] if average else prod(features.shape)
        head = build_chain(params.get(self.head, ()), (width,), self.head)
        return {
            "features": features.module,
            **({"pool": nn.AdaptiveAvgPool2d(1)} if average else {}),
            "flatten": nn.Flatten(),
            "head": head.module,
            "output": nn.Linear(head.shape[0], self.classes),
        }


@limited_by_size
def image_classifier(
    shape: Shape,
    classes: int,
    *,
    pooling: Pooling = "flatten",
    parameters: int | None = None,
    multiply_adds: int | None = None,
    features: str = "features",
    head: str = "head",
) -> ImageClassifier:
    """Return a function of params that builds a classifier of images.

    The layers of the chain ``features`` come first, on images; vectors are made of their output;
    the layers of the chain ``head`` follow, if the space has one; a linear layer gives the logits.

    Args:
        shape: ``(channels, height, width)`` of one image.
        classes: Number of classes.
        pooling: What vectors are made of images: ``"flatten"`` takes every place, ``"average"`` the
            mean of each channel. A gene ``pooling`` replaces it.
        parameters: Most parameters; larger structures are made smaller before they are tried.
        multiply_adds: Most multiplications with addition for one image.
        features: Name of the chain on images.
        head: Name of the chain on vectors.

    Raises:
        TaskError: A shape or a number that makes no classifier.
    """
    one_of("image_classifier: pooling", pooling, POOLINGS)
    return ImageClassifier(
        sizes("image_classifier", shape, "(channels, height, width)", (1, 28, 28)),
        whole("classes", classes, 2),
        pooling,
        features,
        head,
        parameters=parameters,
        multiply_adds=multiply_adds,
    )
