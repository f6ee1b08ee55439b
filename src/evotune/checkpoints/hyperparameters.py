"""A trial's hyperparameters, applied to optimizers, schedulers and modules that already exist."""

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from math import isclose
from typing import Any

from evotune.checkpoints.state import is_tensor
from evotune.checks import is_number
from evotune.once import warn_once
from evotune.space.scheduled import is_record

#: Genes by which a hyperparameter may also be called.
ALIASES = {"learning_rate": "lr"}
#: Genes that are one part of a pair.
PARTS = {"beta1": ("betas", 0), "beta2": ("betas", 1)}
#: Entries that choose how the same step is computed, or turn its sign: never a gene.
NO_GENES = ("params", "foreach", "maximize", "differentiable", "capturable", "fused")
#: Lie in [0, 1), where multiples are meaningless: a param group keeps a value of its own.
_FRACTIONS = ("momentum", "betas", "alpha", "dampening")
#: Genes that every dropout module gets which no other gene names.
_DROPOUT_GENES = ("dropout", "dropout_rate")


def set_hyperparameters(
    optimizer: Any, params: Mapping[str, Any], *, warn: bool = False
) -> set[str]:
    """Set the genes that are named like an optimizer's hyperparameters, in every param group.

    A group that has its own multiple of the optimizer's top-level value (``optimizer.defaults``)
    keeps that multiple: a head trained with 10 × the learning rate still is, and a bias without
    weight decay stays without. Of momentum and other fractions a group keeps its own value.
    ``initial_lr``, from which a scheduler computes, follows ``lr``.

    Args:
        optimizer: Anything with ``param_groups``; without ``defaults`` all groups get the gene.
        params: The genes: ``lr`` or ``learning_rate``, ``beta1`` and ``beta2`` for parts of
            ``betas``, and any other name in ``optimizer.defaults``. Others are ignored.
        warn: Log once for a gene that replaces another value that was just built.

    Returns:
        Names of the genes that were applied.
    """
    applied = set()
    for gene, name, part in _named(optimizer, params):
        if warn:
            _warn_of_change(gene, _built(optimizer, name, part), params[gene], _REPLACED)
        _set_one(optimizer, name, part, params[gene])
        applied.add(gene)
    return applied


def _named(optimizer: Any, params: Mapping[str, Any]) -> Iterator[tuple[str, str, int | None]]:
    """Yield ``(gene, hyperparameter, part of it)`` of the genes that name a hyperparameter."""
    defaults = getattr(optimizer, "defaults", None)
    known = defaults or {name for group in optimizer.param_groups for name in group}
    for gene, value in params.items():
        if is_record(value):  # a schedule, which whoever trains sets epoch by epoch
            continue
        name, part = PARTS.get(gene, (ALIASES.get(gene, gene), None))
        if name in known and name not in NO_GENES:
            yield gene, name, part


def names_of_hyperparameters(optimizer: Any, params: Mapping[str, Any]) -> dict[str, str]:
    """Return the hyperparameter that each gene names which an optimizer has, by gene."""
    return {gene: name for gene, name, _ in _named(optimizer, params)}


def _built(optimizer: Any, name: str, part: int | None) -> Any:
    """Return the top-level value that an optimizer was built with, None where it has none."""
    value = (getattr(optimizer, "defaults", None) or {}).get(name)
    return value if part is None or value is None else value[part]


def set_dropout(module: Any, params: Mapping[str, Any], *, built: bool = False) -> set[str]:
    """Set the rates of dropout modules by name.

    A dropout module gets the gene that bears its qualified name (``encoder.drop``), or else the
    last part of it (``drop``), or else the gene ``dropout`` or ``dropout_rate``. The dropout of a
    recurrent layer or of attention goes by the layer's name and ``.dropout``.

    Args:
        module: A ``torch.nn.Module``.
        params: The genes; only numbers between 0 and 1 are rates.
        built: The module was just built for these params: where ``dropout`` is the rate of some
            module already, the other rates are meant as they are; a rate that is replaced all the
            same is logged once.

    Returns:
        Names of the genes that were applied.
    """
    applied = set()
    for gene, owner, attribute in _named_rates(module, params, built):
        if built:
            _warn_of_change(gene, getattr(owner, attribute), params[gene], _REPLACED)
        setattr(owner, attribute, float(params[gene]))
        applied.add(gene)
    return applied


def _named_rates(
    module: Any, params: Mapping[str, Any], built: bool
) -> Iterator[tuple[str, Any, str]]:
    """Yield ``(gene, owner, attribute)`` of the dropout rates that a gene is for."""
    dropouts = list(_dropouts(module))
    rates = {getattr(owner, attribute) for _, owner, attribute in dropouts}
    general = [
        g for g in _DROPOUT_GENES if not (built and _is_rate(params.get(g)) and params[g] in rates)
    ]
    for name, owner, attribute in dropouts:
        # "rnn.dropout" ends like the gene for all dropout, which it does not mean.
        last = [name.rpartition(".")[2]] if attribute == "p" else []
        gene = next((g for g in (name, *last, *general) if _is_rate(params.get(g))), None)
        if gene is not None:
            yield gene, owner, attribute


def warn_of_unused(objects: Mapping[str, Any], params: Mapping[str, Any]) -> None:
    """Log once for each gene that a fresh trial's objects were built without.

    Nothing is changed in a trial without a donor: its objects are what the user built.

    Args:
        objects: Optimizers, modules and others, by name.
        params: The genes.
    """
    for thing in objects.values():
        if _has_groups(thing):
            for gene, name, part in _named(thing, params):
                _warn_of_change(gene, _built(thing, name, part), params[gene], _UNUSED)
        if callable(getattr(thing, "named_modules", None)):
            for gene, owner, attribute in _named_rates(thing, params, True):
                _warn_of_change(gene, getattr(owner, attribute), params[gene], _UNUSED)


@dataclass(frozen=True, slots=True)
class BuiltSettings:
    """What optimizers and learning-rate schedulers were built with in this trial.

    Loading a donor's state replaces it by what the donor was built with; `put_back` undoes that,
    and leaves what they have counted since: steps, epochs, the best loss of a plateau.

    Attributes:
        groups: Each optimizer with the settings of its param groups.
        schedulers: Each scheduler, nested ones too, with its settings.
    """

    groups: list[tuple[Any, list[dict[str, Any]]]]
    schedulers: list[tuple[Any, dict[str, Any]]]

    @classmethod
    def of(cls, objects: Mapping[str, Any]) -> "BuiltSettings":
        """Record the settings; call it before anything is loaded."""
        schedulers = [s for thing in objects.values() for s in _schedulers(thing)]
        for scheduler in schedulers:  # a plateau scheduler does not note what it started from
            for group in scheduler.optimizer.param_groups:
                group.setdefault("initial_lr", _copied(group.get("lr", 0.0)))
        return cls(
            [(thing, _group_settings(thing)) for thing in objects.values() if _has_groups(thing)],
            [(scheduler, _scheduler_settings(scheduler)) for scheduler in schedulers],
        )

    def put_back(self, params: Mapping[str, Any]) -> None:
        """Put the settings back, apply the genes, and go on where each schedule stood.

        A scheduled learning rate becomes that of this trial: the loaded one × this trial's initial
        one / the donor's initial one.

        Args:
            params: The genes, for `set_hyperparameters`.
        """
        progress = {id(optimizer): _schedule_factors(optimizer) for optimizer, _ in self.groups}
        for optimizer, settings in self.groups:
            for group, own in zip(optimizer.param_groups, settings, strict=True):
                if "initial_lr" in group and "initial_lr" not in own:
                    own = own | {"initial_lr": _copied(own.get("lr", 0.0))}
                group.update(own)
        for scheduler, own in self.schedulers:
            vars(scheduler).update(own)
        self.apply(params)
        for optimizer, _ in self.groups:
            add_missing_state(optimizer)
        for scheduler, _ in self.schedulers:
            factors = progress.get(id(scheduler.optimizer), [])
            for group, factor in zip(scheduler.optimizer.param_groups, factors, strict=False):
                _assign(group, "lr", factor * _number(group["initial_lr"]))
            _note_last_rates(scheduler)

    def apply(self, params: Mapping[str, Any]) -> None:
        """Apply the genes to the optimizers; the schedulers' base learning rates follow."""
        before = [_initial_rates(scheduler) for scheduler, _ in self.schedulers]
        for optimizer, _ in self.groups:
            set_hyperparameters(optimizer, params, warn=True)
        for (scheduler, _), old in zip(self.schedulers, before, strict=True):
            bases = getattr(scheduler, "base_lrs", None)
            if bases is not None:
                pairs = zip(bases, old, _initial_rates(scheduler), strict=True)
                scheduler.base_lrs = [b * new / was if was else b for b, was, new in pairs]


def _set_one(optimizer: Any, name: str, part: int | None, value: Any) -> None:
    defaults = getattr(optimizer, "defaults", {})
    places = [(group, name) for group in optimizer.param_groups if name in group]
    if name == "lr":
        places += [(g, "initial_lr") for g in optimizer.param_groups if "initial_lr" in g]
    if name in defaults:  # they follow, so that setting a second time finds the same multiples
        places.append((defaults, name))
    # All are computed before any is set: groups may share one tensor.
    new = [
        _value_for(name, part, value, group[key], defaults.get(name, group[key]))
        for group, key in places
    ]
    for (group, key), number in zip(places, new, strict=True):
        _assign(group, key, number)


def _value_for(name: str, part: int | None, gene: Any, own: Any, built: Any) -> Any:
    """Return a group's new value, from its own and the optimizer's top-level one as built."""
    if part is not None:
        new = list(own)
        new[part] = _value_for(name, None, gene, own[part], built[part])
        return tuple(new)
    own, built, gene = _number(own), _number(built), _number(gene)
    if own == built:
        return tuple(gene) if isinstance(own, tuple) else gene
    if name in _FRACTIONS or not all(map(is_number, (own, built, gene))) or built == 0:
        return own
    return gene * own / built


def _assign(group: Any, name: str, value: Any) -> None:
    if is_tensor(group[name]):
        group[name].fill_(value)  # the very tensor that a captured graph reads
    else:
        group[name] = value


#: What an option of a param group needs of the state; a donor without the option has none of it.
_STATE_OF = {"momentum": "momentum_buffer", "centered": "grad_avg", "amsgrad": "max_exp_avg_sq"}


def add_missing_state(optimizer: Any) -> None:
    """Start from zero what this trial's options need and the donor's did not."""
    kind = type(optimizer).__name__
    if kind == "SGD":  # it starts a missing momentum by itself, from the first gradient
        return
    for group in optimizer.param_groups:
        needed = [entry for option, entry in _STATE_OF.items() if group.get(option)]
        for parameter in group["params"]:
            state = getattr(optimizer, "state", {}).get(parameter) or {}
            for entry in needed if state else ():
                if state.get(entry) is None:
                    state[entry] = parameter.detach().clone().zero_()


def _number(value: Any) -> Any:
    return value.item() if is_tensor(value) else value


def _copied(value: Any) -> Any:
    return value.clone() if is_tensor(value) else value


def _is_rate(value: Any) -> bool:
    return is_number(value) and 0 <= value <= 1


_REPLACED = (
    "resume set %s to %s, the gene, where it was built with %s; name the gene otherwise if you "
    "derive the value from it"
)
_UNUSED = (
    "the gene %s is %s, but what resume was given was built with %s: that stays in a trial without "
    "a donor and is replaced in one that inherits; build it with trial.params, or name the gene "
    "otherwise"
)


def _warn_of_change(gene: str, built: Any, value: Any, message: str) -> None:
    built, value = _number(built), _number(value)
    numbers = is_number(built) and is_number(value)
    same = isclose(built, value, rel_tol=1e-6) if numbers else built == value
    if built is not None and not same:
        warn_once(("hyperparameter", gene), message, gene, value, built)


def _dropouts(module: Any) -> Iterator[tuple[str, Any, str]]:
    """Yield ``(name, module, attribute)`` of every dropout rate."""
    from torch import nn

    kinds = (
        *(nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d),
        *(nn.AlphaDropout, nn.FeatureAlphaDropout),
    )
    for name, part in module.named_modules():
        if isinstance(part, kinds):
            yield name, part, "p"
        elif isinstance(part, nn.RNNBase | nn.MultiheadAttention):
            yield f"{name}.dropout".lstrip("."), part, "dropout"


def _has_groups(thing: Any) -> bool:
    return isinstance(getattr(thing, "param_groups", None), list)


def _schedulers(thing: Any) -> list[Any]:
    """Return the learning-rate scheduler that an object is, and those that it consists of."""
    inner = [s for part in getattr(thing, "_schedulers", ()) for s in _schedulers(part)]
    if not hasattr(thing, "last_epoch") or not _has_groups(getattr(thing, "optimizer", None)):
        return inner  # a ChainedScheduler counts nothing by itself
    return [thing, *inner]


@cache  # it is looked at for every member of a population
def _constructor_arguments(kind: Any) -> Mapping[str, inspect.Parameter]:
    """Return what a class and those that it inherits from are built with, by name."""
    builders = [vars(base)["__init__"] for base in kind.__mro__[:-1] if _has_init(base)]
    return {
        name: parameter
        for builder in builders
        for name, parameter in inspect.signature(builder).parameters.items()
    }


def _has_init(kind: type) -> bool:
    return inspect.isfunction(vars(kind).get("__init__"))


def _group_settings(optimizer: Any) -> list[dict[str, Any]]:
    """Return each param group without its parameters, and without what the optimizer counts."""
    left_out = {"params", *_counted(optimizer)}
    return [
        {name: value for name, value in group.items() if name not in left_out}
        for group in optimizer.param_groups
    ]


def _counted(optimizer: Any) -> set[str]:
    """Return the entries of param groups in which an optimizer counts, as Prodigy's ``k``.

    They are those ``defaults`` that are no arguments of the constructor.
    """
    kind: Any = type(optimizer)
    arguments = _constructor_arguments(kind)
    defaults = set(getattr(optimizer, "defaults", ()))
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in arguments.values())
    # A wrapper that passes on another optimizer's defaults has none of them as arguments.
    return set() if takes_any or not defaults & arguments.keys() else defaults - arguments.keys()


def _scheduler_settings(scheduler: Any) -> dict[str, Any]:
    """Return what the constructor was given; torch stores ``min_lr`` as ``min_lrs``."""
    kind: Any = type(scheduler)
    names = _constructor_arguments(kind).keys() - {"last_epoch"}
    names |= {f"{name}s" for name in names} | {"base_lrs"}
    return {name: value for name, value in vars(scheduler).items() if name in names}


def _schedule_factors(optimizer: Any) -> list[float]:
    """Return, for each param group, its learning rate as a multiple of its initial one."""
    return [
        _number(group["lr"]) / _number(group["initial_lr"]) if group.get("initial_lr") else 1.0
        for group in optimizer.param_groups
    ]


def _initial_rates(scheduler: Any) -> list[float]:
    return [_number(group["initial_lr"]) for group in scheduler.optimizer.param_groups]


def _note_last_rates(scheduler: Any) -> None:
    if "_last_lr" in vars(scheduler):  # what get_last_lr() returns until the next step
        scheduler._last_lr = [_number(group["lr"]) for group in scheduler.optimizer.param_groups]
