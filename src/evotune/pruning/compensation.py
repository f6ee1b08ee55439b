"""Weights that are left take over what the removed ones did: refitted to the dense network.

Layer by layer in one forward pass, each layer on what the pruned and already refitted network
gives it, so that errors do not pile up.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from evotune.errors import TaskError
from evotune.pruning.layers import Layer, _Enough, watched

log = logging.getLogger("evotune")

#: Share of the mean square of the inputs that is added to each, against badly determined weights.
RIDGE = 0.01
#: Positions in all, at most, as a multiple of the examples.
POSITIONS = 8
#: Numbers in a stack of matrices that are solved at once.
_STACK = 2**24


def targets_of(
    network: nn.Module, layers: Sequence[Layer], inputs: Any, limit: int
) -> dict[str, Tensor]:
    """Return what each layer gives, ``(positions, groups, rows)``, and count its calls."""
    found: dict[str, list[Tensor]] = {layer.name: [] for layer in layers}

    def note(layer: Layer, call: int, _: Tensor, output: Tensor) -> None:
        found[layer.name].append(layer.outputs(output, limit, call))

    with torch.no_grad(), watched(list(layers), note):
        network(inputs)
    for layer in layers:
        layer.calls = len(found[layer.name])
    return {name: torch.cat(parts) for name, parts in found.items() if parts}


def compensate(  # noqa: PLR0913  (what a network under pruning has)
    network: nn.Module,
    layers: Sequence[Layer],
    masks: dict[str, Tensor],
    inputs: Any,
    targets: dict[str, Tensor],
    limit: int,
    ridge: float = RIDGE,
    how: str = "refit",
) -> None:
    """Let the weights that masks leave take over, in place; how is a name of `WAYS`."""
    done: set[str] = set()
    seen: dict[str, list[Tensor]] = {}

    def refit_here(layer: Layer, call: int, given: Tensor, output: Tensor) -> Any:
        if layer.name in done or layer.name not in targets:
            return None
        x = layer.inputs(given, limit, call)
        if layer.calls > 1:
            parts = seen.setdefault(layer.name, [])
            parts.append(x)
            if len(parts) < layer.calls:
                return None
            x = torch.cat(seen.pop(layer.name))
        done.add(layer.name)
        layer.put(*WAYS[how](layer, masks[layer.name], x, targets[layer.name], ridge))
        if layer.calls > 1:
            raise _Enough  # what it gave before was of the old weights
        return layer.module.forward(given)

    with torch.no_grad():
        while True:
            seen.clear()
            try:
                with watched(list(layers), refit_here):
                    network(inputs)
                return
            except _Enough:
                continue


def refit(
    layer: Layer, mask: Tensor, x: Tensor, z: Tensor, ridge: float = RIDGE
) -> tuple[Tensor, Tensor | None]:
    """Return the weights on a mask whose outputs are nearest to some, and the bias.

    For row i with support S: w_S = (H_SS + λI)⁻¹ (C_S,i + λ v_S), where v are its dense weights:
    with nothing removed nothing changes, and the error is never larger than theirs under the mask.

    Args:
        layer: The layer.
        mask: Which weights stay, ``(groups, rows, columns)``.
        x: Its inputs, ``(positions, groups, columns)``.
        z: What its outputs should be, ``(positions, groups, rows)``.
        ridge: λ as a share of the mean of the diagonal of H; see `RIDGE`.
    """
    has_bias = layer.module.bias is not None
    now = layer.weights
    weights = torch.zeros_like(now)
    x, z = x.movedim(1, 0), z.movedim(1, 0)  # groups first
    mean_x = x.mean(1, keepdim=True) if has_bias else torch.zeros_like(x[:, :1])
    mean_z = z.mean(1, keepdim=True) if has_bias else torch.zeros_like(z[:, :1])
    rows, columns = mask.any(2).any(0), mask.any(1).any(0)
    if rows.any():
        part = mask[:, rows][:, :, columns]
        seen = x[:, :, columns] - mean_x[:, :, columns]
        squares = (seen.mT @ seen / seen.shape[1]).double()  # H
        wanted = z[:, :, rows] - mean_z[:, :, rows]
        products = (wanted.mT @ seen / seen.shape[1]).double()  # C, (groups, rows, columns)
        used = squares.diagonal(dim1=1, dim2=2)[part.any(1)]
        penalty = ridge * used.mean() + 1e-9 * used.max() + 1e-30
        products += penalty * layer.dense[:, rows][:, :, columns]
        inner = torch.zeros(
            *now.shape[:1], int(rows.sum()), now.shape[2], dtype=now.dtype, device=now.device
        )
        inner[:, :, columns] = _solve(squares, products, part, penalty).to(now.dtype)
        weights[:, rows] = inner
    if not has_bias:
        return weights, None
    return weights, mean_z.squeeze(1) - (weights @ mean_x.mT).squeeze(2)


def _solve(squares: Tensor, products: Tensor, mask: Tensor, penalty: Tensor) -> Tensor:
    """Return w with (H_SS + λI) w_S = C_S for each row with its support S, and zero elsewhere."""
    groups, rows, columns = products.shape
    weights = torch.zeros_like(products)
    counts = mask.sum(2).flatten()
    order = torch.argsort(mask.to(torch.uint8), dim=2, descending=True, stable=True).reshape(
        groups * rows, columns
    )
    flat_products, flat_weights = products.reshape(-1, columns), weights.reshape(-1, columns)
    width = 1
    while width // 2 < columns:
        chosen = torch.nonzero((counts > width // 2) & (counts <= width)).flatten()
        size = min(width, columns)
        for part in torch.split(chosen, max(1, _STACK // size**2)) if len(chosen) else ():
            support = order[part, :size]
            real = torch.arange(size, device=support.device) < counts[part, None]
            group = torch.div(part, rows, rounding_mode="floor")
            stack = squares[group[:, None, None], support[:, :, None], support[:, None, :]]
            stack = stack * (real[:, :, None] & real[:, None, :])
            stack.diagonal(dim1=1, dim2=2).add_(
                torch.where(real, penalty, torch.ones_like(penalty))
            )
            right = torch.where(real, flat_products[part].gather(1, support), 0.0)
            solved = torch.linalg.solve_ex(stack, right.unsqueeze(2))[0].squeeze(2)
            flat_weights[part[:, None], support] = torch.where(real, solved, 0.0)
        width *= 2
    return flat_weights.reshape(products.shape)


def energy(
    layer: Layer, mask: Tensor, x: Tensor, z: Tensor, ridge: float = RIDGE
) -> tuple[Tensor, Tensor | None]:
    """Return the weights on a mask times √(Σ w² / Σ_mask w²), which keeps the layer's energy."""
    left = layer.dense * mask
    gain = layer.dense.norm() / left.norm() if left.any() else 1.0
    bias = layer.module.bias
    return left * gain, None if bias is None else bias.detach().reshape(layer.groups, -1)


def variance(
    layer: Layer, mask: Tensor, x: Tensor, z: Tensor, ridge: float = RIDGE
) -> tuple[Tensor, Tensor | None]:
    """Return the weights on a mask with one gain for each row, and the bias.

    Each output has the deviation that it had in the dense network, and the mean where there is a
    bias.
    """
    left = layer.dense * mask
    x, z = x.movedim(1, 0), z.movedim(1, 0)  # groups first
    found = x @ left.mT
    now, wanted = found.std(1, correction=0), z.std(1, correction=0)
    gain = torch.where(now > 0, wanted / now.clamp_min(1e-12), torch.ones_like(now))
    if layer.module.bias is None:
        return left * gain.unsqueeze(2), None
    return left * gain.unsqueeze(2), z.mean(1) - gain * found.mean(1)


def bias_correction(
    layer: Layer, mask: Tensor, x: Tensor, z: Tensor, ridge: float = RIDGE
) -> tuple[Tensor, Tensor | None]:
    """Return the weights on a mask as they were, and a bias with which each output has its mean.

    Nagel, van Baalen, Blankevoort and Welling, "Data-free quantization through weight equalization
    and bias correction" (2019), appendix D, with removed weights in the place of rounded ones: the
    mean of what an output lacks is added to its bias, over examples and, of a convolution, over
    positions. No other bias has a smaller squared error, so that it never rises. A layer without a
    bias stays as it is; see `check_biases`.
    """
    left = layer.dense * mask
    if layer.module.bias is None:
        return left, None
    x, z = x.movedim(1, 0), z.movedim(1, 0)  # groups first
    return left, (z - x @ left.mT).mean(1)


def check_biases(layers: Sequence[Layer], how: str) -> None:
    """Say in the log which layers have no bias that could be corrected.

    Raises:
        TaskError: None has, where nothing but biases is to move.
    """
    without = [layer.name for layer in layers if layer.module.bias is None]
    if how != "bias" or not without:
        return
    if len(without) == len(layers):
        raise TaskError(
            "compensation='bias' moves biases alone, and no layer that is pruned has one; write "
            "'refit', or make the layers with bias=True"
        )
    log.warning("compensation='bias' leaves layers without a bias alone: %s", ", ".join(without))


#: How what is left may take over what went, by name.
WAYS: dict[str, Callable[..., tuple[Tensor, Tensor | None]]] = {
    "refit": refit,
    "energy": energy,
    "variance": variance,
    "bias": bias_correction,
}
