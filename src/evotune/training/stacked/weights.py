"""Resuming and keeping weights of members, with as few copies as possible."""

from collections.abc import Mapping
from typing import Any

import torch

from evotune.checkpoints.handover import TrialWeights
from evotune.checkpoints.hyperparameters import BuiltSettings, set_dropout
from evotune.checkpoints.state import RAW, snapshot, structures
from evotune.training.stacked.groups import Member

#: Of what is kept of a member, what has its weights; see `evotune.training.trainer.Setup.state`.
_MODULES = ("model", RAW)


def resume(member: Member) -> None:
    """Do what ``trial.resume`` does, for a member whose model is a view on a stack.

    A plain copy of a donor in memory is written directly to the member's row; the optimizer shares
    the donor's state until the stack has loaded it. Every other case, including weights that do
    not fit, is left to ``trial.resume``.

    Raises:
        CheckpointError: The donor's weights are missing, damaged or do not fit.
    """
    handle, objects = member.handle, member.setup.state
    weights, trial = handle.weights, handle.record
    if not isinstance(weights, TrialWeights) or not trial.donors or trial.inherit.keys() - {"kin"}:
        handle.resume(inputs=member.setup.examples, **objects)
        return
    found = weights.load(trial)
    own = {name: objects[name].state_dict() for name in _MODULES if name in objects}
    if found is None or not _fits(own, objects, found[0]):
        handle.resume(inputs=member.setup.examples, **objects)
        return
    state, epochs = found
    handle.start_from(epochs)
    built = BuiltSettings.of(objects)
    for module, tensors in own.items():
        torch._foreach_copy_(list(tensors.values()), [state[module][name] for name in tensors])
    member.setup.optimizer.load_state_dict(state["optimizer"])
    if "scheduler" in objects:
        member.setup.scheduler.load_state_dict(snapshot({"": state["scheduler"]})[""])
    built.put_back(trial.params)
    for module in own:
        set_dropout(objects[module], trial.params, built=True)


def _fits(own: Mapping[str, Any], objects: Mapping[str, Any], state: Mapping[str, Any]) -> bool:
    if not objects.keys() <= state.keys():
        return False
    for module, tensors in own.items():
        donated = state[module]
        if tensors.keys() != donated.keys():
            return False
        forms = ((tensor, donated[name]) for name, tensor in tensors.items())
        if any((a.shape, a.dtype) != (b.shape, b.dtype) for a, b in forms):
            return False
    groups, theirs = objects["optimizer"].param_groups, state["optimizer"]["param_groups"]
    return [_form(group) for group in groups] == [_form(group) for group in theirs]


def _form(group: Mapping[str, Any]) -> tuple[set[str], int]:
    # A scheduler adds its initial values to each param group.
    return group.keys() - {"initial_lr"}, len(group["params"])


def keep(member: Member) -> None:
    """Do what ``trial.keep`` does, but the tensors are not copied: they share the stack's memory.

    That memory is freed once no member's weights are kept any more.

    Raises:
        CheckpointError: Something of the scheduler cannot be kept.
    """
    handle, setup = member.handle, member.setup
    if not isinstance(handle.weights, TrialWeights):
        handle.keep(**setup.state)
        return
    objects = setup.state
    state = {name: part.state_dict() for name, part in objects.items() if name != "scheduler"}
    if setup.scheduler is not None:
        state |= snapshot({"scheduler": setup.scheduler})
    state |= structures(objects)
    handle.weights.keep_state(state, handle.trained)
