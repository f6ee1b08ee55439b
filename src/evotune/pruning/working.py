"""A network made ready for pruning, and what comes of it put back into one like the given."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize

from evotune.errors import TaskError
from evotune.pruning.compact import unmask
from evotune.pruning.goals import check_finite, parts_of
from evotune.pruning.layers import Layer, watched
from evotune.pruning.lowering import Piece, lower
from evotune.training.sparsity import KINDS, RECURRENT

_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
#: How far a layer may be from what its weights say, as a share of its largest output.
_ROUNDING = 1e-2


@dataclass(frozen=True, slots=True)
class Place:
    """Where the weights of a layer are in the given network.

    Attributes:
        module: The name of the module that owns the parameter.
        piece: Which weights they are.
        layer: The name of the layer in the working copy.
    """

    module: str
    piece: Piece
    layer: str


class Working:
    """A copy of a network to be pruned, in evaluation, in float32, of linear layers and kernels.

    Args:
        model: The network; it stays as it is.
        inputs: A few examples, as it takes them.
        seed: Of the choice of positions.

    Attributes:
        network: The copy.
        layers: Those of its layers whose weights may go, in the order in which they run.
        left_dense: Parts with weights that stay as they are, by name, and why.

    Raises:
        TaskError: The network cannot be pruned.
    """

    def __init__(self, model: nn.Module, inputs: Any, seed: int = 0) -> None:
        self.model = model
        self.network = as_float(copied(model)).eval().requires_grad_(False)
        self.left_dense: dict[str, str] = {}
        self.places: list[Place] = []
        self._lower()
        self._norms: dict[str, str] = {}
        self.layers = self._surveyed(inputs, seed)
        self._check()

    def _check(self) -> None:
        if not self.layers:
            whole = "the network itself; write nn.Sequential(model)"
            why = "; ".join(f"{n}: {why}" if n else whole for n, why in self.left_dense.items())
            raise TaskError(
                f"{type(self.model).__name__} has no layer that can be pruned"
                f"{' (' + why + ')' if why else ''}; those that can are nn.Linear, nn.Conv1d, "
                "nn.Conv2d, nn.Conv3d, recurrent layers and nn.MultiheadAttention"
            )

    def _lower(self) -> None:
        """Replace recurrent layers and attention."""
        for name, module in list(self.network.named_modules()):
            if parametrize.is_parametrized(module):
                continue
            found = lower(module) if name else None
            if found is not None:
                self.network.set_submodule(name, found.eval().requires_grad_(False))
                self.places += [
                    Place(_owner(name, p), _own(p), f"{name}.{p.part}") for p in found.pieces
                ]
        taken = {place.layer for place in self.places}
        for name, module in self.network.named_modules():
            if (
                isinstance(module, KINDS)
                and name not in taken
                and not parametrize.is_parametrized(module)
            ):
                rows, columns = module.weight.shape[0], module.weight[0].numel()
                bias = None if module.bias is None else "bias"
                piece = Piece("", (0, rows), (0, columns), "weight", (0, rows), bias)
                self.places.append(Place(name, piece, name))

    def _surveyed(self, inputs: Any, seed: int) -> list[Layer]:
        """Return the layers that may be pruned, in the order in which they run."""
        order, norms = _run(self.network, inputs)
        modules = dict(self.network.named_modules())
        shared = _shared(self.network)
        wanted = {place.layer for place in self.places}
        names = [name for name in dict.fromkeys(order) if name in wanted and name not in shared]
        layers = [Layer(name, modules[name], seed + k) for k, name in enumerate(names)]
        odd = _odd(self.network, layers, inputs)
        layers = [layer for layer in layers if layer.name not in odd]
        candidates = {
            layer.name: norms[layer.name]
            for layer in layers
            if layer.module.bias is None
            and order.count(layer.name) == 1
            and layer.name in norms
            and modules[norms[layer.name]].num_features == layer.module.weight.shape[0]
        }
        self._norms = _confirmed(self.network, candidates, inputs)
        for name in self._norms:
            modules[name].bias = _zeros(modules[name])  # it goes to the norm's mean
        for name, module in modules.items():
            if isinstance(module, KINDS) and name in shared:
                self.left_dense[name] = f"its weights are those of {shared[name]} too"
            elif isinstance(module, KINDS) and name not in order:
                self.left_dense[name] = "it does not run"
            elif isinstance(module, KINDS) and name not in wanted:
                self.left_dense[name] = "its weights are made from others by a parametrization"
            elif name in odd:
                self.left_dense[name] = "its outputs are not those of its weights and inputs"
            elif not isinstance(module, KINDS) and not _is_of_parametrization(name):
                self.left_dense |= _others(name, module)
        return layers

    def leave(self, why_not: Callable[[Layer, str], str | None]) -> None:
        """Leave some layers dense.

        Args:
            why_not: Function of (layer, name of its module in the given network) that returns why;
                None where it is pruned.

        Raises:
            TaskError: None is left.
        """
        modules = {place.layer: place.module for place in self.places}
        for layer in list(self.layers):
            why = why_not(layer, modules[layer.name])
            if why is not None:
                self.layers.remove(layer)
                self.left_dense[layer.name] = why
        self._check()

    def masks(self, found: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return masks of layers as masks of the parameters of the given network, by name.

        Args:
            found: Masks ``(groups, rows, columns)`` by the name of the layer.
        """
        return self._by_parameter(found, True, torch.bool)

    def scores(self, found: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return scores of layers as scores of parameters; what was not scored has infinity.

        Args:
            found: Scores ``(groups, rows, columns)`` by the name of the layer.
        """
        return self._by_parameter(found, torch.inf, torch.float32)

    def _by_parameter(
        self, found: Mapping[str, Tensor], rest: float, dtype: torch.dtype
    ) -> dict[str, Tensor]:
        given = dict(self.model.named_parameters())
        parameters: dict[str, Tensor] = {}
        for place in self.places:
            if place.layer not in found:
                continue
            name = f"{place.module}.{place.piece.parameter}".lstrip(".")
            whole = parameters.setdefault(name, torch.full_like(given[name], rest, dtype=dtype))
            part = found[place.layer].flatten(0, 1)[
                slice(*place.piece.rows), slice(*place.piece.columns)
            ]
            at = slice(*place.piece.at)
            whole[at] = part.reshape(whole[at].shape).to(dtype)
        return parameters

    def finished(self, found: Mapping[str, Tensor]) -> nn.Module:
        """Return a network like the given one, with the weights of the copy under masks."""
        model = copied(self.model)
        self._write(model)
        for name, mask in self.masks(found).items():
            owner, _, parameter = name.rpartition(".")
            attach(model.get_submodule(owner), parameter, mask)
        return model

    def _write(self, model: nn.Module) -> None:
        """Give a network like the given one the weights of the copy."""
        pruned = {layer.name for layer in self.layers}
        with torch.no_grad():
            for place in self.places:
                if place.layer not in pruned:
                    continue
                owner, piece = model.get_submodule(place.module), place.piece
                source: Any = self.network.get_submodule(place.layer)
                weight = getattr(owner, piece.parameter)
                rows = weight[slice(*piece.at)]
                new = source.weight.flatten(1)[slice(*piece.rows), slice(*piece.columns)]
                rows.copy_(new.reshape(rows.shape))
                if piece.bias is not None and source.bias is not None:
                    getattr(owner, piece.bias)[slice(*piece.at)].copy_(
                        source.bias[slice(*piece.rows)]
                    )
                    other = piece.bias.replace("bias_ih", "bias_hh")
                    if other != piece.bias and piece.part.endswith("gates"):
                        getattr(owner, other)[slice(*piece.at)].zero_()
            for layer, norm in self._norms.items():
                found: Any = model.get_submodule(norm)
                found.running_mean.sub_(self.network.get_submodule(layer).bias)


def _run(network: nn.Module, inputs: Any) -> tuple[list[str], dict[str, str]]:
    """Return the layers that run, in that order, and the norms that follow on some directly."""
    order: list[str] = []
    outputs: list[Tensor] = []  # of the layers of order
    norms: dict[str, str] = {}
    names = {id(module): name for name, module in network.named_modules()}

    def after(module: nn.Module, given: Any, output: Any) -> None:
        if isinstance(module, KINDS):
            order.append(names[id(module)])
            outputs.append(output)
        elif isinstance(module, _BATCH_NORMS) and module.running_mean is not None:
            for name, tensor in zip(order, outputs, strict=True):
                if tensor is given[0]:
                    norms[name] = names[id(module)]

    handles = [module.register_forward_hook(after) for module in network.modules()]
    try:
        with torch.no_grad():
            output = network(inputs)
    except Exception as error:
        several = ", a dict as one argument" if isinstance(inputs, Mapping) else ""
        raise TaskError(
            f"{type(network).__name__} does not take these examples ({type(error).__name__}: "
            f"{error}); data= holds inputs (examples, ...) as the network takes them{several}; one "
            "of several arguments needs a module around it that takes a dict"
        ) from error
    finally:
        for handle in handles:
            handle.remove()
    check_finite(output, type(network).__name__, "look at its weights and the scale of the inputs")
    return order, norms


def _zeros(layer: Any) -> nn.Parameter:
    return nn.Parameter(layer.weight.new_zeros(layer.weight.shape[0]), requires_grad=False)


def _odd(network: nn.Module, layers: list[Layer], inputs: Any) -> set[str]:
    """Return the layers whose outputs are not weights times inputs: of a class or hook of its own.

    Such a one pads or scales by itself, is a hook's, or takes inputs without a batch.
    """
    odd = {layer.name for layer in layers if "weight" not in layer.module._parameters}

    def look(layer: Layer, call: int, given: Tensor, output: Tensor) -> None:
        try:
            x, z = layer.inputs(given, 64, call), layer.outputs(output, 64, call)
            wanted = torch.einsum("pgc,grc->pgr", x, layer.weights)
            if layer.module.bias is not None:
                wanted = wanted + layer.module.bias.reshape(layer.groups, -1)
            is_plain = bool((wanted - z).abs().max() <= _ROUNDING * z.abs().max() + 1e-6)
        except (RuntimeError, IndexError, ValueError):
            is_plain = False
        if not is_plain:
            odd.add(layer.name)

    with torch.no_grad(), watched(layers, look):
        network(inputs)
    return odd


def _confirmed(network: nn.Module, norms: dict[str, str], inputs: Any) -> dict[str, str]:
    """Return the layers to which a bias may be given that the norm behind takes away again.

    It may not where something else reads the layer too, such as a way past the norm, or changes it
    before the norm.
    """
    if not norms:
        return {}
    modules: dict[str, Any] = dict(network.named_modules())
    chance = torch.Generator().manual_seed(0)
    with torch.no_grad():
        wanted = parts_of(network(inputs))
        means = {norm: modules[norm].running_mean.clone() for norm in norms.values()}
        for layer, norm in norms.items():
            bias = _zeros(modules[layer])
            noise = torch.randn(bias.shape, generator=chance).to(bias)
            bias.copy_(noise * modules[norm].running_var.sqrt())
            modules[layer].bias = bias
            modules[norm].running_mean.add_(bias)
        found = parts_of(network(inputs))
        for layer, norm in norms.items():
            modules[layer].bias = None
            modules[norm].running_mean.copy_(means[norm])
    if all(
        bool((a - b).abs().max() <= 1e-3 * b.abs().max())
        for a, b in zip(found, wanted, strict=True)
    ):
        return norms
    if len(norms) == 1:
        return {}
    pairs = list(norms.items())
    half = len(pairs) // 2
    parts = (dict(pairs[:half]), dict(pairs[half:]))
    return {k: v for part in parts for k, v in _confirmed(network, part, inputs).items()}


def _is_of_parametrization(name: str) -> bool:
    return "parametrizations" in name.split(".")


def _others(name: str, module: nn.Module) -> dict[str, str]:
    """Return which weights of a module of another kind stay, and why."""
    if isinstance(module, nn.Embedding | nn.EmbeddingBag):
        return {name: "an embedding"}
    large = [key for key, part in module.named_parameters(recurse=False) if part.dim() > 1]
    if not large or parametrize.is_parametrized(module):
        return {}
    if type(module).__module__.startswith("torch."):
        return {name: f"{type(module).__name__} is of no kind that can be pruned"}
    return {f"{name}.{key}".lstrip("."): "a parameter beside all layers" for key in large}


def _owner(name: str, piece: Piece) -> str:
    """Return the name of the module that has the parameter: attention has one inside."""
    inside = piece.parameter.rpartition(".")[0]
    return f"{name}.{inside}" if inside else name


def _own(piece: Piece) -> Piece:
    inside, _, parameter = piece.parameter.rpartition(".")
    if not inside:
        return piece
    bias = None if piece.bias is None else piece.bias.removeprefix(f"{inside}.")
    return Piece(piece.part, piece.rows, piece.columns, parameter, piece.at, bias)


def _shared(network: nn.Module) -> dict[str, str]:
    """Return the names of modules whose weight another module has too, and of one of those."""
    owners: dict[int, list[str]] = {}
    for name, module in network.named_modules():
        weight = module._parameters.get("weight")
        if weight is not None:
            owners.setdefault(id(weight), []).append(name)
    return {
        name: next(other for other in names if other != name)
        for names in owners.values()
        if len(names) > 1
        for name in names
    }


def copied(model: nn.Module) -> nn.Module:
    """Return a copy of a network; of a compiled one, of the network inside.

    Raises:
        TaskError: It is no network, cannot be copied, or is not complete yet.
    """
    if not isinstance(model, nn.Module):
        hint = "; load a state dict into a network first" if isinstance(model, Mapping) else ""
        if isinstance(model, type):
            hint = f"; write {model.__name__}() with its arguments"
        raise TaskError(f"prune takes an nn.Module, got {repr(model)[:60].splitlines()[0]}{hint}")
    model = getattr(model, "_orig_mod", model)
    if isinstance(model, torch.jit.ScriptModule):
        raise TaskError("a scripted network cannot be changed; give the network that was scripted")
    if any(p.is_meta for p in model.parameters()):
        raise TaskError(
            f"{type(model).__name__} is on the meta device, where weights have no values"
        )
    if any(is_lazy(p) for p in model.parameters()):
        raise TaskError(
            f"{type(model).__name__} has layers whose size is not known yet; call it on one batch "
            "before it is pruned"
        )
    try:
        return _bared(copy.deepcopy(model))
    except Exception as error:
        raise TaskError(
            f"{type(model).__name__} cannot be copied ({type(error).__name__}: {error}), and a "
            "copy is what is pruned; make copy.deepcopy(model) work"
        ) from error


def _bared(model: nn.Module) -> nn.Module:
    """Take masks of an earlier pruning off, in place; what they removed is zero."""
    for module in list(model.modules()):
        if parametrize.is_parametrized(module):
            lists: Any = module.parametrizations
            if all(isinstance(part, Masked) for parts in lists.values() for part in parts):
                unmask(module)
    return model


def as_float(model: nn.Module) -> nn.Module:
    """Turn parameters and buffers of half precision into float32, in place."""
    for part in model.modules():
        stores: list[dict[str, Any]] = [part._parameters, part._buffers]
        for kept in stores:
            for name, tensor in kept.items():
                if tensor is not None and tensor.dtype in (torch.float16, torch.bfloat16):
                    kept[name] = (
                        nn.Parameter(tensor.detach().float(), tensor.requires_grad)
                        if isinstance(tensor, nn.Parameter)
                        else tensor.float()
                    )
    return model


class Masked(nn.Module):
    """A parametrization under which only some weights are not zero.

    Args:
        mask: Which, of the shape of the parameter.
    """

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", mask)

    def forward(self, weight: Tensor) -> Tensor:
        """Return the weights with zeros where the mask is False."""
        return weight * self.mask

    def right_inverse(self, weight: Tensor) -> Tensor:
        """Return weights for which `forward` gives these."""
        return weight


def attach(module: nn.Module, parameter: str, mask: Tensor) -> None:
    """Put a parameter of a module under a mask, for good: through training and state dicts."""
    parametrize.register_parametrization(module, parameter, Masked(mask))
    if isinstance(module, RECURRENT):
        # It runs with a list of its weights that it makes once; this one is always up to date.
        type(module)._flat_weights = property(_flat_weights, lambda *_: None)  # type: ignore[assignment]
        module.__dict__.pop("_flat_weights", None)


def _flat_weights(module: Any) -> list[Tensor]:
    return [getattr(module, name) for name in module._flat_weights_names]
