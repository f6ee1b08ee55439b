"""A pruned network without the units that no longer matter, with the same outputs.

A unit is an output feature or channel of a layer. It goes where nobody reads it, or where all of
its own weights are gone, so that it is a constant, which moves into the biases of those who read
it. The graph of the network tells who reads whom: each number that flows in it carries the name of
its unit along, through reshapes, sums and concatenations. Where the graph is not understood, units
stay.
"""

import copy
import logging
import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.utils import parametrize

from evotune.proxies.watching import ACTIVATIONS

log = logging.getLogger("evotune")

_CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
_POOLS = (
    *(nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d),
    *(nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d),
    *(nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d),
)
_POINTWISE = (
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish),
    *(nn.Tanh, nn.Sigmoid, nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid, nn.Softplus, nn.Softsign),
    *(nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.LogSigmoid),
)
#: Without prelu, which may have a parameter for each channel.
_POINTWISE_CALLS = (ACTIVATIONS - {"prelu"}) | frozenset(
    ["dropout", "contiguous", "clone", "float", "clamp", "exp", "square", "abs", "neg"]
)
_SHAPES = frozenset(
    [
        *("view", "reshape", "flatten", "permute", "transpose", "movedim", "squeeze", "unsqueeze"),
        "getitem",
    ]
)
_POOL_CALLS = frozenset(
    f"{kind}{axes}d"
    for kind in ("max_pool", "avg_pool", "adaptive_avg_pool", "adaptive_max_pool")
    for axes in (1, 2, 3)
)
_JOINED = frozenset(["add", "sub", "mul", "iadd", "add_", "sub_", "mul_", "maximum", "minimum"])
_REDUCED = frozenset(["mean", "sum", "amax"])


@dataclass(slots=True)
class _Units:
    """Names of units: those that are joined by a sum have one in common.

    Attributes:
        parents: A unit with the same name, or itself.
        pinned: Units that must stay.
    """

    parents: list[int] = field(default_factory=list)
    pinned: set[int] = field(default_factory=set)

    def new(self, count: int) -> Tensor:
        first = len(self.parents)
        self.parents.extend(range(first, first + count))
        return torch.arange(first, first + count)

    def root(self, unit: int) -> int:
        while self.parents[unit] != unit:
            self.parents[unit] = self.parents[self.parents[unit]]
            unit = self.parents[unit]
        return unit

    def roots(self, units: Tensor) -> list[int]:
        return [self.root(int(unit)) for unit in units]

    def join(self, first: Tensor, second: Tensor) -> None:
        pairs = torch.unique(torch.stack([first.flatten(), second.flatten()]), dim=1)
        for one, other in pairs.T.tolist():
            a, b = self.root(one), self.root(other)
            self.parents[max(a, b)] = min(a, b)

    def pin(self, units: Any) -> None:
        for part in units if isinstance(units, tuple) else (units,):
            if isinstance(part, tuple):
                self.pin(part)
            else:
                self.pinned.update(torch.unique(part).tolist())


@dataclass(slots=True)
class _Use:
    """How a module is used.

    Attributes:
        inputs: The units of its input channels.
        outputs: The units of its output channels.
        value: Its input in the run, channels last, ``(positions, channels)``.
    """

    inputs: Tensor | None
    outputs: Tensor
    value: Tensor | None


@dataclass(slots=True)
class _Cell:
    """One layer and direction of a recurrent layer.

    Attributes:
        end: What the names of its parameters end with, such as ``"_l0"``.
        inputs: The units that it reads; None where they have no names.
        outputs: Its hidden units.
    """

    end: str
    inputs: Tensor | None
    outputs: Tensor


class _Tracing(fx.Interpreter):
    """Runs a network and names the unit of each number; None where it has none.

    Attributes:
        names: The units of the numbers of a result; of a tuple, a tuple of such.
        uses: How layers are used, by name.
        cells: Those of recurrent layers, by name.
    """

    def __init__(self, graph: fx.GraphModule, units: _Units) -> None:
        super().__init__(graph)
        self.units = units
        self.names: dict[fx.Node, Any] = {}
        self.uses: dict[str, list[_Use]] = {}
        self.cells: dict[str, list[_Cell]] = {}
        self._states: list[Tensor] = []

    def pin_outputs(self) -> None:
        """Keep the units of what the network returns."""
        for node in self.module.graph.nodes:  # type: ignore[union-attr]
            if node.op == "output":
                self._pin(node.all_input_nodes)

    def _pin(self, nodes: list[fx.Node]) -> None:
        for node in nodes:
            named = self.names.get(node)
            if named is not None:
                self.units.pin(named)

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        named = self._named(n, result)
        if named is not None and isinstance(result, Tensor) and named.shape != result.shape:
            self.units.pin(named)
            named = None
        self.names[n] = named
        return result

    def _named(self, node: fx.Node, result: Any) -> Any:
        """Return the units of a result, and pin those that something opaque looks at."""
        given = [arg for arg in node.all_input_nodes if self.names.get(arg) is not None]
        try:
            if node.op == "call_module":
                return self._of_module(node, result)
            if node.op in ("call_function", "call_method"):
                name = node.target if node.op == "call_method" else node.target.__name__  # type: ignore[union-attr]
                found = self._of_call(str(name), node, result)
                if found is not None or not given:
                    return found
        except (TypeError, RuntimeError, ValueError, IndexError, AttributeError):
            pass
        self._pin(given)
        return None

    def _of_module(self, node: fx.Node, result: Any) -> Any:
        module = self.fetch_attr(str(node.target))
        source = node.args[0]
        named = self.names.get(source)  # type: ignore[arg-type]
        value = self.env[source]  # type: ignore[index]
        if isinstance(module, nn.Linear):
            return self._layer(node, module, named, value, result, -1)
        if isinstance(module, _CONVS) and module.groups == 1:
            return self._layer(node, module, named, value, result, 1)
        if isinstance(module, nn.RNNBase):
            return self._recurrent(node, module, named, value, result)
        if named is None:
            self._pin(node.all_input_nodes)
            return None
        if isinstance(module, _NORMS) and module.running_mean is not None:
            channels = _along(named, 1)
            self.uses.setdefault(str(node.target), []).append(_Use(None, channels, None))
            return named
        if (
            isinstance(module, _CONVS)
            and module.groups == module.in_channels == module.out_channels
        ):
            channels = _along(named, 1)
            self.uses.setdefault(str(node.target), []).append(
                _Use(channels, channels, _last(value, 1))
            )
            return _spread(channels, result, 1)
        if isinstance(module, _POINTWISE):
            return named
        if isinstance(module, _POOLS) and isinstance(result, Tensor):
            return _spread(_along(named, 1), result, 1)
        if isinstance(module, nn.Flatten | nn.Unflatten):
            found: Tensor = module(named)
            return found
        raise ValueError("a module that is not known, which may have several inputs")

    def _layer(
        self,
        node: fx.Node,
        module: Any,
        named: Tensor | None,
        value: Tensor,
        result: Tensor,
        axis: int,
    ) -> Tensor:
        inputs = None
        if named is not None:
            inputs = _along(named, axis)
        use = _Use(inputs, self.units.new(module.weight.shape[0]), _last(value, axis))
        self.uses.setdefault(str(node.target), []).append(use)
        return _spread(use.outputs, result, axis)

    def _recurrent(
        self, node: fx.Node, module: nn.RNNBase, named: Tensor | None, value: Any, result: Any
    ) -> Any:
        runs = [n for n in node.graph.nodes if n.op == "call_module" and n.target == node.target]
        is_plain = type(module) in (nn.LSTM, nn.GRU, nn.RNN) and not module.proj_size
        has_state = len(node.args) > 1 or bool(node.kwargs)
        if len(runs) > 1 or not is_plain or has_state or not isinstance(value, Tensor):
            raise ValueError("not a plain recurrent layer that runs once, from zeros")
        units = None if named is None else _along(named, -1)
        cells = []
        for layer in range(module.num_layers):
            both = [
                _Cell(f"_l{layer}{end}", units, self.units.new(module.hidden_size))
                for end in ("", "_reverse")[: 1 + module.bidirectional]
            ]
            units = torch.cat([cell.outputs for cell in both])
            cells += both
        self.cells[str(node.target)] = cells
        outputs, state = result
        stacked = torch.stack([cell.outputs for cell in cells])
        like = state[0] if isinstance(state, tuple) else state
        last = stacked if like.dim() == 2 else stacked.unsqueeze(1).expand(like.shape).clone()
        self._states.append(last)
        assert units is not None
        return _spread(units, outputs, -1), (last, last) if isinstance(state, tuple) else last

    def _moved(self, name: str, first: Any, node: fx.Node) -> Any:
        args = fx.map_arg(node.args, lambda n: self.env[n])
        if name == "getitem":
            return self._picked(first, args[1])
        kwargs = fx.map_arg(node.kwargs, lambda n: self.env[n])
        function: Callable[..., Any] = getattr(torch.Tensor, name)
        return function(first, *args[1:], **kwargs)

    def _picked(self, first: Any, index: Any) -> Any:
        """Return the units of an item or a slice, along axes where none of them can go."""
        if isinstance(first, Tensor):
            is_state = any(first is state for state in self._states)
            if len(torch.unique(first)) < 2:
                raise ValueError("it is not known along which axis the only unit lies")
            for axis, part in enumerate(index if isinstance(index, tuple) else (index,)):
                if not isinstance(part, int | slice):
                    raise ValueError("an index of another kind")
                is_free = axis == 0 and is_state  # one for each layer and direction
                alike = first.narrow(axis, 0, 1).expand(first.shape)
                if part != slice(None) and not is_free and not torch.equal(first, alike):
                    raise ValueError("some units are picked")
        return operator.getitem(first, index)

    def _of_call(self, name: str, node: fx.Node, result: Any) -> Any:
        named = [self.names.get(arg) if isinstance(arg, fx.Node) else None for arg in node.args]
        first = named[0] if named else None
        if name in _POINTWISE_CALLS:
            return first
        if first is not None and name in _SHAPES:
            return self._moved(name, first, node)
        if first is not None and name in _POOL_CALLS:
            return _spread(_along(first, 1), result, 1)
        if first is not None and name in _REDUCED:
            return self._reduced(first, node)
        if name == "cat":
            joined: Any = node.args[0]
            parts = [self.names.get(part) for part in joined]
            if all(part is not None for part in parts):
                axis = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else 0)
                return torch.cat(parts, axis)  # type: ignore[arg-type]
            return None
        if name in _JOINED:
            return self._joined(node, named, result)
        if name in ("getattr", "size", "dim"):
            if isinstance(result, Tensor):  # else only sizes are looked at
                return None
            return torch.zeros(0, dtype=torch.long) if first is not None else None
        return None

    def _reduced(self, first: Tensor, node: fx.Node) -> Tensor:
        dims = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else None)
        keep = bool(node.kwargs.get("keepdim", node.args[2] if len(node.args) > 2 else False))
        low, high = first.amin(dims, keep), first.amax(dims, keep)  # type: ignore[arg-type]
        if not torch.equal(low, high):
            raise ValueError("units are mixed")
        return low

    def _joined(self, node: fx.Node, named: list[Tensor | None], result: Tensor) -> Tensor | None:
        tensors = [
            k
            for k, arg in enumerate(node.args)
            if isinstance(arg, fx.Node) and isinstance(self.env[arg], Tensor)
        ]
        parts = [named[k] for k in tensors]
        if len(parts) == 1:
            return parts[0]
        if any(part is None for part in parts):
            return None
        first, second = (torch.broadcast_to(part, result.shape) for part in parts)  # type: ignore[arg-type]
        self.units.join(first, second)
        return first.clone()


def _along(named: Tensor, axis: int) -> Tensor:
    """Return the units along an axis.

    Raises:
        ValueError: They differ along another one too.
    """
    rows = named.movedim(axis, -1).flatten(0, -2)
    if not bool((rows == rows[0]).all()):
        raise ValueError("units are mixed")
    return rows[0].clone()


def _spread(units: Tensor, like: Tensor, axis: int) -> Tensor:
    shape = [1] * like.dim()
    shape[axis] = len(units)
    return units.reshape(shape).expand(like.shape).clone()


def _last(value: Tensor, axis: int) -> Tensor:
    return value.movedim(axis, -1).flatten(0, -2)


def compact(model: nn.Module, inputs: Any) -> nn.Module:
    """Return a smaller network with the same outputs; it warns where it stays as large.

    Features and channels go that nobody reads, or that are constant, as all their weights are zero;
    of recurrent layers (`torch.nn.LSTM`, `GRU`, `RNN`) those that no other unit reads, as many in
    each layer and direction. Recurrent layers with projections, with a first state that is given,
    or that run twice stay as wide.

    Args:
        model: A network, also one with masks; it stays as it is.
        inputs: A few different examples, as it takes them.

    Example:
        ``small = et.compact(study.restore(), x[:8])``
    """
    plain = unmasked(copy.deepcopy(model)).eval()
    try:
        tracing = _Tracing(fx.symbolic_trace(plain), _Units())
        with torch.no_grad():
            wanted = tracing.run(inputs)
    except Exception as error:  # of the user's network, or of a graph that cannot be drawn
        return _as_it_is(plain, model, f"its graph cannot be traced ({_words(error)})")
    tracing.pin_outputs()
    small = _Cut(copy.deepcopy(plain), tracing).done()
    try:
        with torch.no_grad():
            found = small(inputs)
    except Exception as error:  # such as of a reshape to a fixed size
        return _as_it_is(plain, model, f"a smaller one does not run ({_words(error)})")
    if not _same(found, wanted):
        return _as_it_is(plain, model, "a smaller one would have other outputs")
    return small.train(model.training)


def _as_it_is(plain: nn.Module, model: nn.Module, why: str) -> nn.Module:
    log.warning("%s stays as large as it was: %s", type(model).__name__, why)
    return plain.train(model.training)


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _same(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, Tensor):
        scale = float(wanted.abs().max()) + 1.0
        rounding = 1e-5 if wanted.dtype in (torch.float32, torch.float64) else 2e-2
        return found.shape == wanted.shape and bool(
            (found - wanted).abs().max() <= rounding * scale
        )
    if isinstance(wanted, dict):
        return all(_same(found[name], part) for name, part in wanted.items())
    if isinstance(wanted, tuple | list):
        return all(_same(a, b) for a, b in zip(found, wanted, strict=True))
    return type(found) is type(wanted)


def unmasked(model: nn.Module) -> nn.Module:
    """Take the masks off a network, in place; what they removed is zero in its weights.

    PyTorch's own removal takes the property off a class that copies of a module share, so that the
    network from which this one was copied would be broken.
    """
    for module in list(model.modules()):
        if parametrize.is_parametrized(module):
            unmask(module)
    return model


def unmask(module: Any) -> None:
    """Take the parametrizations off one module; its parameters are what they gave."""
    values = {name: getattr(module, name).detach() for name in module.parametrizations}
    trained = {n: part.original.requires_grad for n, part in module.parametrizations.items()}
    del module.parametrizations
    module.__class__ = type(module).__bases__[0]
    for name, value in values.items():
        module.register_parameter(name, nn.Parameter(value, trained[name]))


class _Cut:
    """Which units go, and the network without them."""

    def __init__(self, model: nn.Module, tracing: _Tracing) -> None:
        self.model, self.units = model, tracing.units
        self.uses, self.cells = tracing.uses, tracing.cells
        self.modules = dict(model.named_modules())
        for uses in self.uses.values():
            for other in uses[1:]:  # a module that runs twice has one set of units
                self._same_units(uses[0], other)
        self.pinned = {self.units.root(unit) for unit in self.units.pinned}
        self._layers = {
            n: u for n, u in self.uses.items() if not isinstance(self.modules[n], _NORMS)
        }

    def _same_units(self, first: _Use, other: _Use) -> None:
        self.units.join(first.outputs, other.outputs)
        if first.inputs is not None and other.inputs is not None:
            self.units.join(first.inputs, other.inputs)
        elif first.inputs is not None or other.inputs is not None:
            part = first.inputs if first.inputs is not None else other.inputs
            assert part is not None
            self.units.pin(part)

    def done(self) -> nn.Module:
        """Return the network without the units that go."""
        with torch.no_grad():
            while self._fold() or self._silence():
                pass
            gone = self._gone()
            for name, uses in self.uses.items():
                self._slice(name, uses[0], gone)
            for name, cells in self.cells.items():
                self._slice_recurrent(name, cells, gone)
        return self.model

    def _own(self, *, read: bool) -> dict[int, bool]:
        """Return for each unit whether it is read, or whether a weight of its own is left."""
        found: dict[int, bool] = {}
        for name, (use, *_) in self._layers.items():
            weight = self.modules[name].weight.flatten(1)
            if not read:
                for unit, any_left in zip(
                    self.units.roots(use.outputs), (weight != 0).any(1).tolist(), strict=True
                ):
                    found[unit] = found.get(unit, False) or any_left
            elif use.inputs is not None and not _is_depthwise(self.modules[name]):
                columns = _by_channel(self.modules[name], weight)
                for unit, any_left in zip(
                    self.units.roots(use.inputs), (columns != 0).any(0).tolist(), strict=True
                ):
                    found[unit] = found.get(unit, False) or any_left
        for name, cells in self.cells.items():
            for cell in cells:
                self._own_of(self.modules[name], cell, found, read=read)
        return found

    def _own_of(self, module: Any, cell: _Cell, found: dict[int, bool], *, read: bool) -> None:
        """Add what is true of the units of a recurrent layer, which may move without weights."""
        own = self.units.roots(cell.outputs)
        if not read:
            found.update(dict.fromkeys(own, True))
            return
        hidden = getattr(module, f"weight_hh{cell.end}").unflatten(0, (-1, len(own))) != 0
        hidden[:, range(len(own)), range(len(own))] = False  # what only it reads of itself
        readers = [(own, hidden.any(1).any(0))]
        if cell.inputs is not None:
            inputs = (getattr(module, f"weight_ih{cell.end}") != 0).any(0)
            readers.append((self.units.roots(cell.inputs), inputs))
        for units, is_read in readers:
            for unit, any_left in zip(units, is_read.tolist(), strict=True):
                found[unit] = found.get(unit, False) or any_left

    def _fold(self) -> bool:
        """Move constants into the biases of those who read them; tell whether there were any."""
        alive = self._own(read=False)
        folded = False
        for name, uses in self._layers.items():
            module: Any = self.modules[name]
            use = uses[0]
            if use.inputs is None or _is_depthwise(module) or use.value is None:
                continue
            weight = module.weight.flatten(1)
            columns = _by_channel(module, weight)
            values = torch.cat([u.value for u in uses])  # type: ignore[misc]
            for k, unit in enumerate(self.units.roots(use.inputs)):
                if alive.get(unit, True) or unit in self.pinned or not (columns[:, k] != 0).any():
                    continue
                value = values[:, k]
                if bool((value != value[0]).any()) or (_is_padded(module) and float(value[0]) != 0):
                    continue
                if module.bias is None:
                    module.bias = nn.Parameter(module.weight.new_zeros(module.weight.shape[0]))
                module.bias += value[0] * module.weight[:, k].reshape(len(module.weight), -1).sum(1)
                module.weight[:, k] = 0
                folded = True
        return folded

    def _silence(self) -> bool:
        """Remove the weights of units that nobody reads; tell whether there were any."""
        read = self._own(read=True)
        silenced = False
        for name, (use, *_) in self._layers.items():
            module: Any = self.modules[name]
            for k, unit in enumerate(self.units.roots(use.outputs)):
                if unit in self.pinned or read.get(unit, False):
                    continue
                if (module.weight[k] != 0).any():
                    module.weight[k] = 0
                    silenced = True
        for name, cells in self.cells.items():
            for cell in cells:
                unread = [
                    k
                    for k, unit in enumerate(self.units.roots(cell.outputs))
                    if unit not in self.pinned and not read.get(unit, False)
                ]
                for part in ("ih", "hh"):
                    weight = getattr(self.modules[name], f"weight_{part}{cell.end}")
                    gates = weight.unflatten(0, (-1, len(cell.outputs)))
                    if (gates[:, unread] != 0).any():
                        gates[:, unread] = 0
                        silenced = True
        return silenced

    def _gone(self) -> set[int]:
        """Return the units that go: nobody reads them. A convolution keeps one, as it must."""
        read = self._own(read=True)
        made = {u for use, *_ in self._layers.values() for u in self.units.roots(use.outputs)}
        made |= {u for own in self.cells.values() for c in own for u in self.units.roots(c.outputs)}
        gone = {unit for unit in made if unit not in self.pinned and not read.get(unit, False)}
        for name, (use, *_) in self._layers.items():
            own = self.units.roots(use.outputs)
            if isinstance(self.modules[name], _CONVS) and gone.issuperset(own):
                gone.discard(own[0])
        for first, *_ in self.cells.values():
            if first.inputs is not None and gone.issuperset(self.units.roots(first.inputs)):
                gone.discard(self.units.root(int(first.inputs[0])))
        while self._kept_even(gone):
            pass
        return gone

    def _kept_even(self, gone: set[int]) -> bool:
        """Keep more units where recurrent layers need as many in each of their layers."""
        before = len(gone)
        for cells in self.cells.values():
            going = [[u for u in self.units.roots(c.outputs) if u in gone] for c in cells]
            fewest = min(len(cells[0].outputs) - 1, *map(len, going))
            for units in going:
                if len(units) > fewest:
                    gone.discard(units[0])
        return len(gone) < before

    def _slice_recurrent(self, name: str, cells: list[_Cell], gone: set[int]) -> None:
        module: Any = self.modules[name]
        size = module.hidden_size
        for cell in cells:
            stay = self._staying(cell.outputs, gone)
            rows = torch.arange(len(getattr(module, f"weight_hh{cell.end}")))
            rows = rows.reshape(-1, size)[:, stay].flatten()
            columns = {"weight_hh": stay}
            if cell.inputs is not None:
                columns["weight_ih"] = self._staying(cell.inputs, gone)
            for part in ("weight_ih", "weight_hh", *(("bias_ih", "bias_hh") * bool(module.bias))):
                old = getattr(module, part + cell.end)
                new = old[rows]
                if part in columns:
                    new = new[:, columns[part]]
                setattr(module, part + cell.end, nn.Parameter(new.clone(), old.requires_grad))
        module.hidden_size = len(stay)
        module.input_size = getattr(module, f"weight_ih{cells[0].end}").shape[1]

    def _slice(self, name: str, use: _Use, gone: set[int]) -> None:
        """Give a module only the units that stay."""
        module: Any = self.modules[name]
        rows = self._staying(use.outputs, gone)
        if isinstance(module, _NORMS):
            self._slice_norm(module, rows)
            return
        weight = module.weight[rows]
        if use.inputs is not None and not _is_depthwise(module):
            weight = weight[:, self._staying(use.inputs, gone)]
        module.weight = nn.Parameter(weight.clone(), module.weight.requires_grad)
        if module.bias is not None:
            module.bias = nn.Parameter(module.bias[rows].clone(), module.bias.requires_grad)
        if isinstance(module, nn.Linear):
            module.out_features, module.in_features = weight.shape
        elif _is_depthwise(module):
            module.in_channels = module.out_channels = module.groups = len(rows)
        else:
            module.out_channels, module.in_channels = weight.shape[:2]

    def _staying(self, units: Tensor, gone: set[int]) -> Tensor:
        roots = self.units.roots(units)
        stay = [k for k, unit in enumerate(roots) if unit not in gone]
        return torch.tensor(stay, dtype=torch.long)

    def _slice_norm(self, norm: Any, rows: Tensor) -> None:
        for part in ("weight", "bias"):
            if getattr(norm, part) is not None:
                setattr(norm, part, nn.Parameter(getattr(norm, part)[rows].clone()))
        norm.running_mean, norm.running_var = norm.running_mean[rows], norm.running_var[rows]
        norm.num_features = len(rows)


def _is_depthwise(module: Any) -> bool:
    return isinstance(module, _CONVS) and module.groups > 1


def _is_padded(module: Any) -> bool:
    return isinstance(module, _CONVS) and any(module._reversed_padding_repeated_twice)


def _by_channel(module: Any, weight: Tensor) -> Tensor:
    """Return the largest weight of each row on each input channel, ``(rows, channels)``."""
    if isinstance(module, nn.Linear) or _is_depthwise(module):
        return weight if isinstance(module, nn.Linear) else weight.abs().amax(1, keepdim=True).T
    return weight.abs().reshape(len(weight), module.in_channels, -1).amax(2)
