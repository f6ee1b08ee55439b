"""What one running trial may do with weights: start from donors', and keep its own."""

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from evotune.checkpoints.hyperparameters import BuiltSettings, set_dropout, warn_of_unused
from evotune.checkpoints.state import (
    State,
    fitted,
    is_alike,
    is_tensor,
    kept_structure,
    mean_of,
    restore,
    snapshot,
)
from evotune.checkpoints.store import Checkpoints
from evotune.errors import CheckpointError, TaskError
from evotune.trial import Checkpoint, Trial

log = logging.getLogger("evotune")

_IN_LIST = re.compile(r"(?:.*?\.)?networks\.(\d+)\.")
_FIRST = re.compile(r"(\d+)\.")


class TrialWeights:
    """The weights that one trial inherits and keeps; see `evotune.trial.Weights`.

    It can be sent to another process: the store's files are read and written there.

    Args:
        store: Where weights are kept.
        number: The trial.
        donors: Records of the weights that it may inherit, by trial number.
        wanted: True when another trial may ask for this trial's weights.
        write: True when they are to be written to a file too.
    """

    def __init__(
        self,
        store: Checkpoints,
        number: int,
        donors: Mapping[int, Checkpoint],
        *,
        wanted: bool,
        write: bool,
    ) -> None:
        self.wanted = wanted
        self._store = store
        self._number = number
        self._donors = dict(donors)
        self._write = write
        self._kept: tuple[State, float] | None = None

    def resume(self, trial: Trial, objects: Mapping[str, Any], inputs: Any = None) -> float:
        """Load the donor's state, and apply the trial's params to optimizers and dropout modules.

        Without a donor nothing is changed; genes that differ from what was built are logged once.
        Settings of optimizers and schedulers stay those of this trial, see
        `evotune.checkpoints.hyperparameters.BuiltSettings`.

        Args:
            trial: Says which donors, and how their weights are taken over.
            objects: What was freshly built, by name.
            inputs: Examples as the model reads them, or a function that returns them; for a model
                whose structure differs from the donor's.

        Returns:
            Epochs that the weights have been trained for; 0 for fresh ones.

        Raises:
            CheckpointError: The donor's weights are missing, damaged, or do not fit.
            TaskError: The trial has no donor, but a module has the weights that another trial kept.
        """
        built = BuiltSettings.of(objects)
        found = self.load(trial)
        modules = {name: thing for name, thing in objects.items() if _is_module(thing)}
        if found is None:
            _check_fresh(trial, modules)
            warn_of_unused(objects, trial.params)
            return 0.0
        state, epochs = found
        others = {
            name: module
            for name, module in modules.items()
            if kept_structure(state, name)
            and callable(getattr(module, "take_over", None))
            and not is_alike(module, state.get(name))
        }
        if others:
            _take_over(trial, others, state, inputs() if callable(inputs) else inputs)
            # What trains them, such as an optimizer, has a state of other shapes.
            modules = {name: module for name, module in modules.items() if name not in others}
            objects = {
                n: o for n, o in objects.items() if n in modules or isinstance(o, list | dict)
            }
        mixed = _mixed_with_fresh(state, trial.inherit, modules)
        _check_ensembles(trial, modules, mixed)
        restore(objects, mixed)
        built.put_back(trial.params)
        for module in modules.values():
            set_dropout(module, trial.params, built=True)
        return epochs

    def load(self, trial: Trial) -> tuple[State, float] | None:
        """Return what the trial inherits, without shrinking and perturbing it.

        A network without a donor has no entry in the state and stays fresh.

        Returns:
            The state, shared with the store (not to be changed), and the epochs that it has been
            trained for; None for a trial without donors.

        Raises:
            CheckpointError: A donor's weights are missing or damaged, or networks cannot be told
                apart in them.
        """
        if not trial.donors:
            return None
        loaded = {number: self._load_one(number) for number in trial.donors}
        state, epochs = loaded[trial.donors[0]]
        networks = trial.inherit.get("networks", ())
        kin = trial.inherit.get("kin", ())

        def state_of(place: int, number: int) -> State:
            other = kin[place] if place < len(kin) else None
            own = loaded[number][0]
            return own if other is None else _crossed(trial, own, loaded[other][0], other)

        if len(networks) > 1:
            states = [None if n is None else state_of(k, n) for k, n in enumerate(networks)]
            state = combine_networks(states, state)
        else:
            state = state_of(0, trial.donors[0])
        return state, epochs

    def keep(self, objects: Mapping[str, Any], epochs: float) -> None:
        """Take a snapshot of the objects' state; the last one counts."""
        self._kept = (snapshot(objects), epochs)
        _remember_kept(self._number, objects)

    def keep_state(self, state: State, epochs: float) -> None:
        """Keep a state as it is: its tensors are handed over, not copied."""
        self._kept = (state, epochs)

    def written(self) -> Checkpoint | None:
        """Hand what was kept to the store, as a file where that is due.

        Raises:
            CheckpointError: It could not be written.
        """
        if self._kept is None:
            return None
        checkpoint = self._store.keep(self._number, *self._kept)
        return self._store.write(self._number, checkpoint) if self._write else checkpoint

    def _load_one(self, number: int) -> tuple[State, float]:
        if number not in self._donors:
            raise CheckpointError(
                f"trial {self._number} inherits from trial {number}, which has kept no weights; "
                "call trial.keep(...) in the evaluate function",
                number,
            )
        return self._store.load(number, self._donors[number])


def _crossed(trial: Trial, state: State, other: State, number: int) -> State:
    """Return the mean of two donors' states; the first one's where they cannot be averaged."""
    try:
        return mean_of(state, other)
    except CheckpointError as error:
        log.info(
            "trial %d: the weights of trials %d and %d cannot be averaged, so those of trial %d "
            "are taken: %s",
            *(trial.number, trial.donors[0], number, trial.donors[0], error),
        )
        return state


def _take_over(
    trial: Trial, networks: Mapping[str, Any], state: Mapping[str, Any], inputs: Any
) -> None:
    """Write the donor's weights into networks of another structure.

    Raises:
        CheckpointError: The donor's network cannot be built here.
    """
    shrink, perturb = trial.inherit.get("shrink", 1.0), trial.inherit.get("perturb", 0.0)
    for name, network in networks.items():
        structure = kept_structure(state, name)
        own = {key: part.detach().clone() for key, part in network.named_parameters()}
        try:
            said = network.take_over(structure, state[name], inputs, trial.seed)
        except TaskError as error:
            raise CheckpointError(
                f"{name} cannot take over the weights of trial {trial.donors[0]}: {error}"
            ) from error
        if (shrink, perturb) != (1.0, 0.0):
            taken = {key: part.detach() for key, part in network.named_parameters()}
            mixed = shrink_and_perturb(taken, own, shrink, perturb)
            network.load_state_dict(mixed, strict=False)
        log.info(
            "trial %d: %s has another structure than that of trial %d, and a fresh optimizer; %s",
            *(trial.number, name, trial.donors[0], said),
        )


def _check_ensembles(trial: Trial, modules: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    """Refuse networks with several donors where structures differ: each would need its own map."""
    if len(trial.inherit.get("networks", ())) < 2:
        return
    for name, module in modules.items():
        changes = any(callable(getattr(part, "take_over", None)) for part in module.modules())
        if changes and not is_alike(module, state.get(name)):
            raise CheckpointError(
                f"{name} is an ensemble of {len(trial.inherit['networks'])} networks whose layers "
                f"are not those of trials {', '.join(map(str, trial.donors))}; the structure of an "
                "ensemble cannot change along a line of weights: write networks=1, or Fixed genes "
                "in a Chain of one depth"
            )


def _check_fresh(trial: Trial, modules: Mapping[str, Any]) -> None:
    """Refuse weights that another trial has kept in a trial that is to start afresh."""
    for name, module in modules.items():
        for parameter in module.parameters():
            number, version = getattr(parameter, _MARK, (trial.number, -1))
            # What was loaded or initialised since then has another version.
            is_as_kept = version == parameter._version and parameter.requires_grad
            if number != trial.number and is_as_kept:
                raise TaskError(
                    f"trial {trial.number} starts afresh, but {name}= has the weights that trial "
                    f"{number} kept; build a new one in every trial"
                )


def _remember_kept(number: int, objects: Mapping[str, Any]) -> None:
    for thing in filter(_is_module, objects.values()):
        for parameter in thing.parameters():
            setattr(parameter, _MARK, (number, parameter._version))


#: Attribute of a parameter: which trial kept it, and the version that it had then.
_MARK = "_evotune_kept"


def shrink_and_perturb(
    state: Mapping[str, Any], fresh: Mapping[str, Any], shrink: float, perturb: float
) -> dict[str, Any]:
    """Return shrink · donor's + perturb · fresh for every floating-point parameter.

    Source: Ash and Adams (2020), "On Warm-Starting Neural Network Training", section 4.

    Args:
        state: The donor's parameters by name, no buffers.
        fresh: Freshly initialised parameters, at least these names, of the same shapes.
        shrink: Factor of the donor's, 1 keeps them.
        perturb: Factor of the fresh ones, 0 leaves them out.

    Returns:
        New tensors on the device of ``state``; those of whole numbers are the donor's.

    Raises:
        CheckpointError: A shape differs.
    """
    mixed = dict(state)
    for name, own in state.items():
        other = fresh[name]
        if own.shape != other.shape:
            raise CheckpointError(
                f"{name} has shape {tuple(own.shape)} in the donor and {tuple(other.shape)} here; "
                "genes that change shapes cannot change along a line of weights"
            )
        if own.is_floating_point() or own.is_complex():
            mixed[name] = own.detach() * shrink + other.detach().to(own.device) * perturb
    return mixed


def combine_networks(states: Sequence[State | None], base: State) -> State:
    """Return an ensemble's state whose i-th network is the i-th network of the i-th state.

    Networks are told apart by the names of their tensors, ``networks.<i>.`` after anything, or
    ``<i>.`` in front (a ModuleList); an optimizer's state by cutting the parameters of each param
    group into as many equal, consecutive parts as there are networks.

    Args:
        states: One for each network; None leaves out all that belongs to it.
        base: Where everything else comes from.

    Raises:
        CheckpointError: No such networks are found, or they cannot be cut equally.
    """
    combined = dict(base)
    found = False
    for name, part in base.items():
        sources = [None if state is None else state.get(name) for state in states]
        if _is_optimizer_state(part):
            combined[name] = _combine_optimizers(name, part, sources)
        elif pattern := _network_pattern(part, len(states)):
            combined[name] = _combine_models(part, sources, pattern)
            found = True
    if not found:
        raise CheckpointError(
            f"no kept object holds {len(states)} networks; keep a module whose networks are in a "
            "ModuleList, such as self.networks = nn.ModuleList(...)"
        )
    return combined


def _combine_models(
    base: Mapping[str, Any], sources: Sequence[Any], pattern: re.Pattern[str]
) -> dict[str, Any]:
    combined = {key: value for key, value in base.items() if not pattern.match(key)}
    for index, source in enumerate(sources):
        for key, value in (source or {}).items():
            match = pattern.match(key)
            if match and int(match[1]) == index:
                combined[key] = value
    return combined


def _combine_optimizers(
    name: str, base: Mapping[str, Any], sources: Sequence[Any]
) -> dict[str, Any]:
    combined = {}
    for group in base["param_groups"]:
        size, rest = divmod(len(group["params"]), len(sources))
        if rest:
            raise CheckpointError(
                f"{name}: a param group of {len(group['params'])} parameters cannot be cut into "
                f"{len(sources)} networks; give every network the same parameters"
            )
        for position, index in enumerate(group["params"]):
            source = sources[position // size]
            if source is not None and index in source["state"]:
                combined[index] = source["state"][index]
    return {**base, "state": combined}


def _is_optimizer_state(part: Any) -> bool:
    return isinstance(part, Mapping) and "param_groups" in part and "state" in part


def _network_pattern(part: Any, count: int) -> re.Pattern[str] | None:
    """Return how the names of an ensemble's tensors begin; None when it is no ensemble."""
    if not isinstance(part, Mapping):
        return None
    names = [name for name in part if isinstance(name, str)]
    for pattern in (_IN_LIST, _FIRST):
        indices = {int(match[1]) for name in names if (match := pattern.match(name))}
        if indices:
            return pattern if indices == set(range(count)) else None
    return None


def _mixed_with_fresh(
    state: State, inherit: Mapping[str, Any], modules: Mapping[str, Any]
) -> State:
    """Return the donor's state, shrunk and perturbed, and completed by networks without donor."""
    shrink, perturb = inherit.get("shrink", 1.0), inherit.get("perturb", 0.0)
    partial = None in inherit.get("networks", ())
    mixed = dict(state)
    for name, module in modules.items():
        donated = fitted(module, state.get(name))
        if not isinstance(donated, Mapping):
            continue
        fresh = module.state_dict()
        if (shrink, perturb) != (1.0, 0.0):
            names = _parameter_names(module, donated, fresh)
            own = {key: donated[key] for key in names}
            donated = {**donated, **shrink_and_perturb(own, fresh, shrink, perturb)}
        if partial and _network_pattern(fresh, len(inherit["networks"])):
            donated = {**fresh, **donated}
        mixed[name] = donated
    return mixed


def _parameter_names(
    module: Any, donated: Mapping[str, Any], fresh: Mapping[str, Any]
) -> Iterable[str]:
    named = module.named_parameters(remove_duplicate=False)
    return [name for name, _ in named if is_tensor(donated.get(name)) and name in fresh]


def _is_module(thing: Any) -> bool:
    return callable(getattr(thing, "named_modules", None)) and callable(
        getattr(thing, "state_dict", None)
    )
