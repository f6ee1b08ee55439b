"""A classifier of images in a row together with a text: two branches and what joins them."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar, Literal

import torch
from torch import nn

from evotune.architectures.build import build_chain
from evotune.architectures.families.common import Shape, in_order, one_of
from evotune.architectures.parts import Branches, EachFrame, Fusion
from evotune.architectures.templates.base import Template, limited_by_size, sizes, whole
from evotune.architectures.templates.sequence import embedded, reader

Kind = Literal["concat", "sum", "gate"]
FUSIONS = ("concat", "sum", "gate")


@dataclass(frozen=True)
class TwoBranch(Template):
    """See `two_branch`."""

    name: ClassVar[str] = "two_branch"
    choices: ClassVar[tuple[str, ...]] = ("fusion",)
    naming: ClassVar[tuple[str, ...]] = ("frames", "time", "text", "head")

    length: int
    vocabulary: int
    classes: int
    fusion: Kind = "concat"
    width: int = 64
    frames: str = "frames"
    time: str = "time"
    text: str = "text"
    head: str = "head"

    @property
    def chains(self) -> dict[str, int]:
        return {self.frames: 3, self.time: 2, self.text: 2, self.head: 1}

    @property
    def vocabularies(self) -> dict[str, int]:
        return {"text": self.vocabulary}

    def example(self, count: int = 1) -> tuple[Any, ...]:
        tokens = torch.zeros(count, self.length, dtype=torch.long)
        return ({"frames": torch.zeros(count, *self.shape), "text": tokens},)

    def parts(self, params: Mapping[str, Any]) -> dict[str, nn.Module]:
        frames = build_chain(self.layers(params, self.frames), self.shape[1:], self.frames)
        rows = (self.shape[0], prod(frames.shape))
        time = build_chain(self.layers(params, self.time), rows, self.time)
        stream, shape = embedded((self.length,), self.vocabulary, self.width)
        text = build_chain(self.layers(params, self.text), shape, self.text)
        kind = params.get("fusion", self.fusion)
        one_of("two_branch: fusion", kind, FUSIONS)
        fusion = Fusion(kind, (time.shape[1], text.shape[1]), self.width)
        head = build_chain(params.get(self.head, ()), (fusion.width,), self.head)
        read = {name: reader(self.layers(params, name)) for name in (self.time, self.text)}
        video = in_order(frames=EachFrame(frames.module), time=time.module, read=read[self.time])
        words = in_order(**stream, text=text.module, read=read[self.text])
        return {
            "branches": Branches({"frames": video, "text": words}, fusion),
            "head": head.module,
            "output": nn.Linear(head.shape[0], self.classes),
        }


@limited_by_size
def two_branch(  # noqa: PLR0913  (each option stands alone; users see them as keywords)
    shape: Shape,
    length: int,
    vocabulary: int,
    classes: int,
    *,
    fusion: Kind = "concat",
    width: int = 64,
    parameters: int | None = None,
    multiply_adds: int | None = None,
    frames: str = "frames",
    time: str = "time",
    text: str = "text",
    head: str = "head",
) -> TwoBranch:
    """Return a function of params that builds a classifier of images in a row with a text.

    As in Wasudeorao and Prasad, "Evolutionary optimization of deep learning models" (2024): the
    chain ``frames`` on every image, the chain ``time`` on the sequence of what it gives, the chain
    ``text`` on embedded tokens; the last steps of both are joined (the means of all steps where a
    layer reads in both directions), and led through the chain ``head``, if the space has one, and a
    linear layer.

    The network reads a dict: ``frames``, ``(batch, frames, channels, height, width)``, and
    ``text``, ``(batch, length)`` of whole numbers. A `SupervisedTask` is given such a dict as its
    inputs.

    Args:
        shape: ``(frames, channels, height, width)`` of one row of images.
        length: Tokens of one text.
        vocabulary: Number of tokens, which are whole numbers from 0.
        classes: Number of classes.
        fusion: How the branches are joined: ``"concat"``, ``"sum"`` or ``"gate"``. A gene
            ``fusion`` replaces it.
        width: Channels of the embedded text, with positions added; and features behind a sum or a
            gate.
        parameters: Most parameters; larger structures are made smaller before they are tried.
        multiply_adds: Most multiplications with addition for one example.
        frames: Name of the chain on images.
        time: Name of the chain on the sequence of images.
        text: Name of the chain on the text.
        head: Name of the chain behind both.

    Raises:
        TaskError: A shape, number or name that makes no network.
    """
    one_of("two_branch: fusion", fusion, FUSIONS)
    return TwoBranch(
        sizes("two_branch", shape, "(frames, channels, height, width)", (20, 1, 64, 64)),
        whole("length", length),
        whole("vocabulary", vocabulary),
        whole("classes", classes, 2),
        fusion,
        whole("width", width),
        frames,
        time,
        text,
        head,
        parameters=parameters,
        multiply_adds=multiply_adds,
    )
