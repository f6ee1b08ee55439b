"""State as plain parts: taken from objects, given back to them, and as bytes without pickle."""

import json
import math
import sys
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from evotune.errors import CheckpointError
from evotune.trial import thawed

#: Nested parts by the name of the object they come from, such as ``{"model": {"weight": ...}}``.
State = dict[str, Any]

_FORMAT = 1
_METADATA = "evotune"
_ALLOWED = (
    "tensors, arrays of numbers, numbers, texts, booleans, None, and lists, tuples, sets and dicts "
    "of these"
)
#: What a container is called in a file; the first kind that fits is taken.
_KINDS: dict[str, Any] = {
    "counter": Counter,
    "dict": Mapping,
    "list": (list, deque),
    "tuple": tuple,
    "set": (set, frozenset),
}
_BUILD: dict[str, Callable[[Any], Any]] = {
    "counter": lambda pairs: Counter(dict(pairs)),
    "dict": dict,
    "list": list,
    "tuple": tuple,
    "set": set,
}
#: What wrappers of modules add to the names of tensors.
_WRAPPERS = ("_orig_mod", "module")
_SHAPE_ADVICE = (
    "genes that change shapes, or the kind of optimizer, cannot change along a line of weights: "
    "keep them Fixed, search them first with recipes.tune_then_schedule, or build the model by a "
    "template such as image_classifier, whose weights are inherited across shapes"
)
#: Under this name a task keeps the weights that training goes on with, where ``model`` is their
#: average.
RAW = "raw"
#: Behind the name of an object: under which name its structure is kept; no keyword has a dot.
_STRUCTURE = ".structure"


class _Words(NamedTuple):
    """How messages name what was kept, what it is loaded into, and what to do."""

    kept: str = "the donor's {}"
    own: str = "this trial's {}"
    names: str = "give keep and resume the same names"
    shapes: str = _SHAPE_ADVICE


def is_tensor(value: Any) -> bool:
    """Return True for a torch tensor; torch is not imported for it."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def snapshot(objects: Mapping[str, Any]) -> State:
    """Return a copy of the objects' state that their further training does not change.

    Args:
        objects: By name: anything with ``state_dict()``, or plain values.

    Returns:
        Nested plain parts. Tensors stay on their device, and tied ones stay tied.

    Raises:
        CheckpointError: Something is neither a tensor, an array nor plain; says where.
    """
    seen: dict[Any, Any] = {}
    state = {name: _copy(_state_of(value), name, seen) for name, value in objects.items()}
    return state | structures(objects)


def structures(objects: Mapping[str, Any]) -> State:
    """Return the structures of those objects that are networks of a template, as parts of a state.

    A structure is plain (see `evotune.architectures.network.Network`): with it the network can be
    built again, or its weights carried over to another structure.
    """
    found = ((name, getattr(thing, "structure", None)) for name, thing in objects.items())
    return {
        name + _STRUCTURE: thawed(structure)
        for name, structure in found
        if _is_structure(structure)
    }


def kept_structure(state: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    """Return the structure that a state holds of an object, or None."""
    structure = state.get(name + _STRUCTURE)
    return structure if _is_structure(structure) else None


def _is_structure(structure: Any) -> bool:
    return isinstance(structure, Mapping) and {"template", "options", "params"} <= set(structure)


def names_in(state: Mapping[str, Any]) -> list[str]:
    """Return the names of the objects whose state it is."""
    return [name for name in state if not name.endswith(_STRUCTURE)]


def is_alike(module: Any, part: Any) -> bool:
    """Return whether a module's state has the names and shapes of a kept one."""
    own, theirs = module.state_dict(), fitted(module, part)
    if not isinstance(theirs, Mapping) or own.keys() != theirs.keys():
        return False
    return all(
        getattr(value, "shape", None) == getattr(theirs[name], "shape", None)
        for name, value in own.items()
    )


def mean_of(state: Mapping[str, Any], other: Mapping[str, Any], share: float = 0.5) -> State:
    """Return a state whose floating-point tensors and arrays are the means of two states'.

    Args:
        state: The first.
        other: The second.
        share: Of the second one in the mean.

    All else, such as numbers of steps and learning rates, is the first one's, and so is what only
    the first one has.

    Raises:
        CheckpointError: A network has another structure, or a tensor another shape or type.
    """
    for name in state:
        if name.endswith(_STRUCTURE) and state[name] != other.get(name):
            raise CheckpointError(f"{name.removesuffix(_STRUCTURE)} has different structures")
    return {name: _mean(part, other.get(name), share, name) for name, part in state.items()}


def _mean(value: Any, other: Any, share: float, where: str) -> Any:
    if other is None:
        return value
    if is_tensor(value) or isinstance(value, np.ndarray):
        mine, theirs = (
            (getattr(part, "shape", None), getattr(part, "dtype", None)) for part in (value, other)
        )
        if mine != theirs:
            raise CheckpointError(f"{where} has shape and type {mine} here and {theirs} there")
        if is_tensor(value):
            has_mean = value.is_floating_point() or value.is_complex()
            return value.lerp(other.to(value.device), share) if has_mean else value
        return value + share * (other - value) if value.dtype.kind in "fc" else value
    if isinstance(value, dict) and isinstance(other, Mapping):
        parts = value.items()
        return type(value)({k: _mean(v, other.get(k), share, _at(where, k)) for k, v in parts})
    if isinstance(value, list | tuple) and type(value) is type(other) and len(value) == len(other):
        pairs = enumerate(zip(value, other, strict=True))
        return type(value)(_mean(a, b, share, _at(where, k)) for k, (a, b) in pairs)
    return value


def restore(
    objects: Mapping[str, Any], state: Mapping[str, Any], kept_by: int | None = None
) -> None:
    """Give every object the state of its name; a list or a dict is filled in place.

    The state itself is copied, so that any number of trials may start from it.

    Args:
        objects: By name: anything with ``load_state_dict``, lists and dicts.
        state: What `snapshot` gave; names that are not among the objects are ignored.
        kept_by: The trial whose weights a user loads; None for a trial that resumes from a donor.

    Raises:
        CheckpointError: A name is missing, or the state does not fit its object.
    """
    words = _Words()
    if kept_by is not None:
        words = _Words(
            f"the {{}} that trial {kept_by} kept",
            "the given {}",
            "give restore the names that trial.keep was given",
            f"build it as that trial did, from study.trials[{kept_by}].params",
        )
    missing = [name for name in objects if name not in state]
    if missing:
        who = "the donor" if kept_by is None else f"trial {kept_by}"
        kept = ", ".join(names_in(state)) or "nothing"
        advice = words.names
        if RAW in missing and kept_by is None:
            advice = "weights without an average go on with SupervisedTask(..., averaging=None)"
        raise CheckpointError(f"{who} kept {kept}, not {', '.join(missing)}; {advice}")
    seen: dict[Any, Any] = {}
    for name, target in objects.items():
        _restore_one(name, target, fitted(target, _copy(state[name], name, seen)), words)


def fitted(module: Any, part: Any) -> Any:
    """Return a module's kept state under the names that the module has now.

    ``torch.compile`` puts ``_orig_mod.`` into the names of what it wraps, at any depth, and
    ``DataParallel`` puts ``module.``: both come and go without another network. Names that could
    be meant in two ways, and those of what is no module, stay as they are.
    """
    if not isinstance(part, dict) or not callable(getattr(module, "named_modules", None)):
        return part
    own = module.state_dict()
    if own.keys() == part.keys():
        return part
    plain = {_unwrapped(name): name for name in own}
    if len(plain) < len(own) or len({_unwrapped(name) for name in part}) < len(part):
        return part
    return {plain.get(_unwrapped(name), name): value for name, value in part.items()}


def _unwrapped(name: Any) -> Any:
    if not isinstance(name, str):
        return name
    return ".".join(piece for piece in name.split(".") if piece not in _WRAPPERS)


def size_of(state: Any) -> int:
    """Return the bytes of all tensors and arrays in a state; shared ones count once."""
    sizes: dict[Any, int] = {}

    def note(value: Any, where: str) -> None:
        sizes[_identity(value)] = value.nbytes

    _walk(state, "", note, lambda kind, items: None)
    return sum(sizes.values())


def pack(state: Mapping[str, Any], epochs: float) -> bytes:
    """Return a state as a safetensors file: tensors as such, all else as JSON in its header.

    Args:
        state: What `snapshot` gave. Tensors of other devices are copied to the CPU, shared ones
            stored once.
        epochs: Epochs that these weights have been trained for.

    Raises:
        CheckpointError: Something has no place in such a file, or safetensors is not installed.
    """
    tensors = _TensorTable()
    tree = _walk(state, "", tensors.add, lambda kind, items: {kind: items})
    text = json.dumps(
        {"format": _FORMAT, "epochs": epochs, "torch": tensors.need_torch, "state": tree}
    )
    try:
        return tensors.to_bytes({_METADATA: text})
    except ImportError as error:
        raise _not_installed(error) from error
    except Exception as error:  # safetensors refuses some kinds of numbers in its own ways
        raise CheckpointError(f"the weights cannot be written: {error}") from error


def unpack(data: bytes) -> tuple[State, float]:
    """Return the state and the epochs that `pack` wrote; tensors are on the CPU.

    Raises:
        CheckpointError: The bytes are damaged, were not written by `pack`, or by a later version.
    """
    try:
        stored = _header(data)
        if stored["format"] == _FORMAT:
            tensors = _read_tensors(data, stored["torch"])
            return _checked_parts(_decode(stored["state"], tensors), float(stored["epochs"]))
    except ImportError as error:
        raise _not_installed(error) from error
    except Exception as error:  # damaged bytes may fail anywhere, in JSON or in a library
        raise CheckpointError(
            f"this is no file of weights that evotune wrote, or it is damaged ({error!r})"
        ) from error
    raise CheckpointError(
        f"its format is {stored['format']!r}, and this evotune reads {_FORMAT}; install the "
        "version that wrote it, or a later one"
    )


def _checked_parts(state: Any, epochs: float) -> tuple[State, float]:
    if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
        raise ValueError("its state has no names")
    if not 0 <= epochs < math.inf:
        raise ValueError(f"it was trained for {epochs} epochs")
    return state, epochs


def _walk(
    value: Any,
    where: str,
    leaf: Callable[[Any, str], Any],
    join: Callable[[str, list[Any]], Any],
) -> Any:
    """Rebuild a nested value: ``leaf`` for tensors and arrays, ``join(kind, items)`` around them.

    Items of a dict are ``[key, value]`` lists.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if is_tensor(value) or isinstance(value, np.ndarray):
        return leaf(_checked(value, where), where)
    kind = next((kind for kind, types in _KINDS.items() if isinstance(value, types)), "")
    if not kind:
        raise _not_allowed(f"a {type(value).__name__}", where)
    if isinstance(value, Mapping):
        return join(
            kind, [[_key(k, where), _walk(v, _at(where, k), leaf, join)] for k, v in value.items()]
        )
    return join(kind, [_walk(v, _at(where, i), leaf, join) for i, v in enumerate(value)])


def _at(where: str, key: Any) -> str:
    return f"{where}.{key}" if where else str(key)


def _key(key: Any, where: str) -> Any:
    if key is None or isinstance(key, bool | int | float | str):
        return key
    raise _not_allowed(f"the key {key!r}", where)


def _checked(value: Any, where: str) -> Any:
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "biufc":
            raise _not_allowed(f"an array of {value.dtype}", where)
    elif str(value.layout) != "torch.strided" or value.is_meta or value.is_quantized:
        raise _not_allowed("a sparse, quantised or meta tensor", where)
    return value


def _not_allowed(what: str, where: str) -> CheckpointError:
    return CheckpointError(f"{where} is {what}, which cannot be kept; allowed are {_ALLOWED}")


def _not_installed(error: ImportError) -> CheckpointError:
    return CheckpointError(f'weights in files need more: {error}; pip install "evotune[torch]"')


def _identity(value: Any) -> Any:
    """Return a key that two tensors share exactly when they are the same numbers in memory."""
    if isinstance(value, np.ndarray) or value.numel() == 0:
        return id(value)
    return value.data_ptr(), value.shape, value.stride(), value.dtype, value.device


def _copy(value: Any, where: str, seen: dict[Any, Any]) -> Any:
    def leaf(part: Any, _: str) -> Any:
        key = _identity(part)
        if key not in seen:
            copied = part.copy() if isinstance(part, np.ndarray) else part.detach().clone()
            # The original is held too: its address must not be given to another tensor meanwhile.
            seen[key] = (part, copied)
        return seen[key][1]

    return _walk(value, where, leaf, lambda kind, items: _BUILD[kind](items))


def _state_of(value: Any) -> Any:
    return value.state_dict() if callable(getattr(value, "state_dict", None)) else value


def _restore_one(name: str, target: Any, part: Any, words: _Words) -> None:
    if callable(getattr(target, "load_state_dict", None)):
        if isinstance(part, dict):
            _check_optimizer(name, target, part, words)
        _check_kinds(name, target, part, words)
        try:
            target.load_state_dict(part)
        except Exception as error:  # every library has its own for a state that does not fit
            why = _first_misfit(_state_of(target), part) or str(error)
            raise CheckpointError(
                f"{words.kept.format(name)} does not fit {words.own.format(name)}: {why}; "
                f"{words.shapes}"
            ) from error
    elif isinstance(target, dict) and isinstance(part, dict):
        target.clear()
        target.update(part)
    elif isinstance(target, list) and isinstance(part, list):
        target[:] = part
    elif callable(target) and callable(getattr(target, "fit", None)):  # a template
        raise CheckpointError(
            f"{name} is {type(target).__name__}, a template and no network; study.restore() "
            "without it builds the network again, with its weights"
        )
    else:
        raise CheckpointError(
            f"{name} is a {type(target).__name__}, which cannot be given the {type(part).__name__} "
            "that was kept; give an object with load_state_dict, or a list or dict to fill"
        )


def _check_optimizer(name: str, target: Any, part: Mapping[str, Any], words: _Words) -> None:
    """Raise when the donor's optimizer was of another kind: torch itself would not notice."""
    groups = getattr(target, "param_groups", None)
    kept = part.get("param_groups")
    if not groups or not kept:
        return
    mine, theirs = set(getattr(target, "defaults", groups[0])), set(kept[0])
    # Keys may be missing on one side where versions differ, or a scheduler added some.
    extra = theirs - set(groups[0]) - {"initial_lr"}
    if extra and mine - theirs:
        raise CheckpointError(
            f"{words.kept.format(name)} was of another kind than this {type(target).__name__}: it "
            f"had {', '.join(sorted(extra))}, not {', '.join(sorted(mine - theirs))}; "
            f"{words.shapes}"
        )


def _check_kinds(name: str, target: Any, part: Any, words: _Words) -> None:
    """Raise where tensors hold another kind of numbers: torch would round or cut them silently."""
    if not isinstance(part, Mapping) or not callable(getattr(target, "named_modules", None)):
        return
    for key, own in target.state_dict().items():
        kept = part.get(key)
        if kept is None or not (is_tensor(own) and is_tensor(kept)):
            continue
        if _kind(own) != _kind(kept):
            raise CheckpointError(
                f"{words.kept.format(name)} does not fit {words.own.format(name)}: {key} is of "
                f"{kept.dtype} there and of {own.dtype} here"
            )


def _kind(tensor: Any) -> tuple[bool, bool]:
    return tensor.is_floating_point(), tensor.is_complex()


def _first_misfit(mine: Any, theirs: Any) -> str:
    """Return which part is the first not to fit, with both shapes, or "" when none is found."""
    if not isinstance(mine, Mapping) or not isinstance(theirs, Mapping):
        return ""
    for key, value in mine.items():
        if key not in theirs:
            return f"it has no {key}"
        shapes = [getattr(part, "shape", None) for part in (theirs[key], value)]
        if None not in shapes and shapes[0] != shapes[1]:
            theirs_shape, mine_shape = (tuple(shape or ()) for shape in shapes)
            return f"{key} has shape {theirs_shape} there and {mine_shape} here"
    extra = [str(key) for key in theirs if key not in mine]
    return f"it has {extra[0]}, which is unknown here" if extra else ""


class _TensorTable:
    """The tensors of one file by name, each memory once."""

    def __init__(self) -> None:
        self.need_torch = False
        self._names: dict[Any, str] = {}
        self._tensors: dict[str, Any] = {}
        self._storages: set[int] = set()

    def add(self, value: Any, where: str) -> dict[str, str]:
        """Note a tensor or array and return what stands for it in the tree."""
        is_array = isinstance(value, np.ndarray)
        self.need_torch |= not is_array
        key = _identity(value)
        if key not in self._names:
            # Two paths may read alike: {"a.b": ...} and {"a": {"b": ...}}.
            name = where if where not in self._tensors else f"{where}#{len(self._tensors)}"
            self._names[key] = name
            self._tensors[name] = _native(value) if is_array else self._apart(value)
        return {"array" if is_array else "tensor": self._names[key]}

    def _apart(self, tensor: Any) -> Any:
        """Return a contiguous tensor on the CPU that overlaps none of the others."""
        flat = tensor.detach().cpu().contiguous()
        if flat.numel() and flat.untyped_storage().data_ptr() in self._storages:
            flat = flat.clone()
        self._storages.add(flat.untyped_storage().data_ptr())
        return flat

    def to_bytes(self, metadata: dict[str, str]) -> bytes:
        """Return the file."""
        if not self.need_torch:
            from safetensors.numpy import save as save_arrays

            return save_arrays(self._tensors, metadata)
        import torch
        from safetensors.torch import save

        tensors = {
            name: torch.from_numpy(value) if isinstance(value, np.ndarray) else value
            for name, value in self._tensors.items()
        }
        return save(tensors, metadata)


def _native(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.array(array, dtype=array.dtype.newbyteorder("="), order="C")


def _header(data: bytes) -> dict[str, Any]:
    """Return the JSON that `pack` wrote; see the safetensors format for the eight bytes of size."""
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    stored: dict[str, Any] = json.loads(header["__metadata__"][_METADATA])
    return stored


def _read_tensors(data: bytes, need_torch: bool) -> dict[str, Any]:
    if need_torch:
        from safetensors.torch import load

        return dict(load(data))
    from safetensors.numpy import load as load_arrays

    return dict(load_arrays(data))


def _decode(tree: Any, tensors: Mapping[str, Any]) -> Any:
    if not isinstance(tree, dict):
        return tree
    [(kind, items)] = tree.items()
    if kind == "tensor":
        return tensors[items]
    if kind == "array":
        found = tensors[items]
        return found.numpy() if is_tensor(found) else found
    if kind in ("dict", "counter"):
        return _BUILD[kind]([(key, _decode(value, tensors)) for key, value in items])
    return _BUILD[kind]([_decode(item, tensors) for item in items])
