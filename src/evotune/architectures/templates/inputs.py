"""Whether examples are what the networks of a template read, told in words before any training."""

from collections.abc import Mapping
from math import prod
from typing import Any

import torch
from torch import Tensor

from evotune.errors import TaskError

#: Dimensions of an image, whose height and width are fixed; sequences may have any length.
IMAGE = 3


def check_inputs(
    template: str, where: str, inputs: Any, example: Any, vocabularies: Mapping[str, int]
) -> None:
    """Refuse examples that a template's networks cannot read, or would read as something else.

    Args:
        template: Name of the template.
        where: What the examples are called, such as ``train=``.
        inputs: A tensor ``(examples, ...)``, or tensors by name.
        example: What the networks read, of the same form.
        vocabularies: Number of tokens of each input that has some, by name; of a single one ``""``.

    Raises:
        TaskError: Names, a shape, a dtype or a token is another one, or there are NaN.
    """
    if isinstance(example, Mapping):
        needed = ", ".join(map(repr, example))
        if not isinstance(inputs, Mapping) or not example.keys() <= inputs.keys():
            got = (
                f"a dict of {', '.join(map(repr, inputs))}"
                if isinstance(inputs, Mapping)
                else ("one array")
            )
            raise TaskError(
                f"{where} needs inputs as a dict with {needed} for {template}; got {got}"
            )
        for name, part in example.items():
            tokens = vocabularies.get(name)
            _check(template, f"{where} {name!r}", inputs[name], part, tokens)
        return
    if isinstance(inputs, Mapping):
        raise TaskError(
            f"{where} has inputs by name, {', '.join(map(repr, inputs))}, and {template} reads one "
            "array: give that"
        )
    _check(template, where, inputs, example, vocabularies.get(""))


def _check(template: str, where: str, given: Tensor, example: Tensor, tokens: int | None) -> None:
    has, reads = tuple(given.shape[1:]), tuple(example.shape[1:])
    if len(has) != len(reads) or _fixed(has, tokens) != _fixed(reads, tokens):
        raise TaskError(
            f"{where} has examples of shape {has}, and {template} was made for {reads}; "
            f"{_remedy(has, reads, tokens)}"
        )
    if tokens is not None:
        if given.is_floating_point() or given.dtype not in (torch.int64, torch.int32):
            raise TaskError(
                f"{where} holds {_name(given)} values, and {template} reads tokens, whole numbers: "
                "write torch.as_tensor(x).long()"
            )
        least, most = int(given.min()), int(given.max())
        if least < 0 or most >= tokens:
            raise TaskError(
                f"{where} holds tokens from {least} to {most}, and those of a vocabulary of "
                f"{tokens} go from 0 to {tokens - 1}"
            )
        return
    if given.dtype != example.dtype:
        scale = " / 255" if given.dtype == torch.uint8 else ""
        raise TaskError(
            f"{where} holds {_name(given)} values, and {template} reads {_name(example)}: write "
            f"torch.as_tensor(x).float(){scale}"
        )
    broken = len(given) - int(given.isfinite().flatten(1).all(dim=1).sum())
    if broken:
        raise TaskError(
            f"{where} has NaN or infinite values in {broken} of {len(given)} examples: fill them, "
            "such as with sklearn.impute.SimpleImputer, or leave these examples out"
        )


def _fixed(shape: tuple[int, ...], tokens: int | None) -> tuple[int, ...]:
    """Return what all examples have in common: a row of steps, images or tokens has any length."""
    is_row = tokens is not None or len(shape) in (2, IMAGE + 1)
    return shape[1:] if is_row else shape


def _remedy(has: tuple[int, ...], reads: tuple[int, ...], tokens: int | None) -> str:
    if len(has) == len(reads) == IMAGE and (has[2], *has[:2]) == reads and has[2] < has[0]:
        return "channels come first: write torch.as_tensor(x).permute(0, 3, 1, 2)"
    if len(has) == len(reads) == 2 and has[::-1] == reads:
        return (
            "steps come before channels: write torch.as_tensor(x).transpose(1, 2), or make the "
            f"template for {has}"
        )
    if len(has) == len(reads):
        return f"make the template for the shape of your examples, {has}"
    if prod(has) == prod(reads):
        return f"write x.reshape(-1, {', '.join(map(str, reads))})"
    if len(reads) == len(has) + 1 and len(reads) == 2 and reads[1] == 1:
        return "write x[..., None]"
    return "give examples of that shape, or take another template"


def _name(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
