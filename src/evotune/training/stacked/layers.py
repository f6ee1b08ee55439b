"""Layers of all members at once, for those that `torch.func.vmap` maps slowly or not at all.

Each function takes the members and then the arguments of the torch function that it stands for.
Shapes in comments are those of the whole tensors, with the axis of the members.
"""

# ruff: noqa: A002, PLR0913  (the names and the arguments are torch's)
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from evotune.training.stacked.members import Members, Unmappable


def _linear(members: Members, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Any:
    matrix, axis = members.split(weight)
    if axis is None or matrix.dim() != 3:
        return NotImplemented
    matrix = members.first(weight)  # (members, outputs, inputs)
    shift = None if bias is None else members.first(bias).unsqueeze(2)
    rows, axis = members.split(input)
    if axis is None:  # the same examples for all members: one product
        flat = rows.reshape(-1, rows.shape[-1]).t()
        output = torch.unflatten(matrix.flatten(0, 1) @ flat, 0, matrix.shape[:2])
        output = output if shift is None else output + shift
    else:
        rows = members.first(input)
        if rows.dim() != 3:
            rows = rows.reshape(len(rows), -1, rows.shape[-1])
        flat = rows.transpose(1, 2)
        # Outputs before examples: fast even for few outputs, and gradients need no transposition.
        output = torch.bmm(matrix, flat) if shift is None else torch.baddbmm(shift, matrix, flat)
    output = output.transpose(1, 2)
    if input.dim() != 2:
        output = output.reshape(len(output), *input.shape[:-1], output.shape[2])
    return members.join(output)


def _convolution(
    function: Callable[..., Tensor],
    place_of_groups: int,
    members: Members,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *args: Any,
    **kwargs: Any,
) -> Any:
    kernels, axis = members.split(weight)
    if axis is None or input.dim() != kernels.dim() - 1:
        return NotImplemented
    kernels = kernels.movedim(axis, 0).flatten(0, 1)
    shift = None if bias is None else members.first(bias).flatten()
    args, groups = _take(args, kwargs, place_of_groups)
    images, axis = members.split(input)
    if axis is None and groups == 1 and function in _DIRECT:
        return members.join_channels(function(images, kernels, shift, *args, **kwargs))
    kwargs["groups"] = groups * members.count
    return members.join_channels(
        function(members.channels(input), kernels, shift, *args[:place_of_groups], **kwargs)
    )


def _take(args: tuple[Any, ...], kwargs: dict[str, Any], place: int) -> tuple[Any, int]:
    """Return the positional arguments before ``groups``, and ``groups``; later ones go by name."""
    if len(args) > place + 1:
        kwargs["dilation"] = args[place + 1]  # of a transposed convolution
    groups = args[place] if len(args) > place else kwargs.pop("groups", 1)
    return args[:place], groups


#: Convolutions whose outputs' channels need not come in the groups of the inputs' channels.
_DIRECT = (F.conv1d, F.conv2d, F.conv3d)


def _by_channel(
    function: Callable[..., Tensor],
    axes: int,
    members: Members,
    input: Tensor,
    *args: Any,
    **kw: Any,
) -> Any:
    """Compute an operation on each channel separately, such as pooling."""
    _, axis = members.split(input)
    if axis is None or input.dim() != axes + 2:
        return NotImplemented
    return members.join_channels(function(members.channels(input), *args, **kw))


def _batch_norm(
    members: Members,
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    if isinstance(momentum, Tensor) or isinstance(eps, Tensor):
        raise Unmappable("batch normalisation whose momentum or eps differs between members")
    means, variances = _flat(members, running_mean), _flat(members, running_var)
    scales, shifts = _flat(members, weight), _flat(members, bias)
    channels = members.channels(input)
    return members.join_channels(
        F.batch_norm(channels, means, variances, scales, shifts, training, momentum, eps)
    )


def _flat(members: Members, tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else members.first(tensor).flatten()


def _group_norm(
    members: Members,
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Any:
    if isinstance(eps, Tensor):
        raise Unmappable("group normalisation whose eps differs between members")
    scales, shifts = _flat(members, weight), _flat(members, bias)
    groups = num_groups * members.count
    return members.join_channels(F.group_norm(members.channels(input), groups, scales, shifts, eps))


def _embedding(
    members: Members,
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Any:
    if max_norm is not None or sparse:
        raise Unmappable("an embedding with max_norm or sparse gradients")
    _, axis = members.split(weight)
    if axis is None:
        return NotImplemented
    table = members.first(weight)  # (members, words, numbers)
    words = members.first(input)
    starts = torch.arange(members.count, device=words.device) * table.shape[1]
    places = words + starts.view(-1, *[1] * (words.dim() - 1))
    vectors = F.embedding(places, table.flatten(0, 1), scale_grad_by_freq=scale_grad_by_freq)
    if padding_idx is not None:  # its vector is not trained
        is_padding = (words == padding_idx % table.shape[1]).unsqueeze(-1)
        vectors = torch.where(is_padding, vectors.detach(), vectors)
    return members.join(vectors)


def dropout_mask(members: Members, shape: tuple[int, ...], rate: Any, like: Tensor) -> Tensor:
    """Return ``(members, *shape)`` of 0 and 1 / (1 - rate).

    On the CPU each member's mask is the one that torch's dropout draws when it is trained alone.
    On other devices, where this is not possible, all masks are drawn from one generator.

    Args:
        members: The members.
        shape: Shape of one member's mask.
        rate: A number, or a tensor with one number per member.
        like: Tensor with the wanted dtype and device.
    """
    if members.generators is None:
        raise Unmappable("dropout that stays on in evaluation")
    rates, axis = members.split(rate)
    if axis is None:
        rates = torch.full((members.count,), float(rate), dtype=torch.float64)
    keep = 1 - rates
    column = keep.view(-1, *[1] * len(shape)).to(like)
    mask = like.new_empty((members.count, *shape))
    if like.device.type != "cpu":
        return mask.uniform_().lt_(column).div_(column.clamp_min(torch.finfo(like.dtype).tiny))
    for row, share, generator in zip(mask, keep.tolist(), members.generators, strict=True):
        if 0.0 < share < 1.0:
            row.bernoulli_(share, generator=generator).div_(share)
        else:  # torch draws no random numbers here
            row.fill_(share)
    return mask


def _dropout(
    axes: int | None,
    members: Members,
    input: Tensor,
    p: Any = 0.5,
    training: bool = True,
    inplace: bool = False,
) -> Any:
    """Drop numbers, or whole channels where ``axes`` says how many axes an image has."""
    if not training or (not isinstance(p, Tensor) and p == 0) or not input.numel():
        return input
    if axes is not None and input.dim() != axes + 2:
        return NotImplemented
    whole = members.first(input)
    shape = whole.shape[1:] if axes is None else (*whole.shape[1:3], *[1] * axes)
    return members.join(whole * dropout_mask(members, tuple(shape), p, whole))


def _cross_entropy(
    members: Members,
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: Any = None,
    ignore_index: int = -100,
    reduce: Any = None,
    reduction: str = "mean",
    label_smoothing: Any = 0.0,
) -> Any:
    smoothing, axis = members.split(label_smoothing)
    smooths = axis is not None or bool(smoothing)
    is_plain = input.dim() > 1 and target.dim() == input.dim() - 1 and reduction == "mean"
    is_usual = size_average is None and reduce is None and not target.is_floating_point()
    if not is_plain or not is_usual or (smooths and weight is not None):
        if axis is not None:
            raise Unmappable("label smoothing that differs between members, in this kind of loss")
        return NotImplemented
    labels = members.first(target).flatten(1)  # of all places in an example, if it has several
    # (members, classes, examples): with few classes many times faster than classes last
    scores = members.first(input).movedim(2, 1).flatten(2).contiguous().log_softmax(dim=1)
    losses = F.nll_loss(
        *(scores.unsqueeze(3), labels.unsqueeze(2), weight),
        ignore_index=ignore_index,
        reduction="none",
    ).squeeze(2)
    counts = labels != ignore_index
    if weight is not None:
        counts = weight[labels.where(counts, 0)] * counts
    if smooths:
        share = smoothing.to(scores).unsqueeze(1) if axis is not None else smoothing
        losses = (1 - share) * losses - share * scores.mean(dim=1) * counts
    return members.join(losses.sum(1) / counts.sum(1))


#: Replacements by torch function, see `evotune.training.stacked.members.Layers`.
LAYERS: dict[Any, Callable[..., Any]] = {
    F.linear: _linear,
    F.batch_norm: _batch_norm,
    F.group_norm: _group_norm,
    F.embedding: _embedding,
    F.cross_entropy: _cross_entropy,
    F.dropout: partial(_dropout, None),
    F.dropout1d: partial(_dropout, 1),
    F.dropout2d: partial(_dropout, 2),
    F.dropout3d: partial(_dropout, 3),
}
LAYERS |= {f: partial(_convolution, f, 3) for f in (F.conv1d, F.conv2d, F.conv3d)}
LAYERS |= {
    f: partial(_convolution, f, 3)
    for f in (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)
}
_POOLS = (
    (F.max_pool1d, F.avg_pool1d, F.adaptive_max_pool1d, F.adaptive_avg_pool1d),
    (F.max_pool2d, F.avg_pool2d, F.adaptive_max_pool2d, F.adaptive_avg_pool2d),
    (F.max_pool3d, F.avg_pool3d, F.adaptive_max_pool3d, F.adaptive_avg_pool3d),
)
LAYERS |= {f: partial(_by_channel, f, n) for n, pools in enumerate(_POOLS, 1) for f in pools}
