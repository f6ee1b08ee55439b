"""Resuming and keeping weights of members, with as few copies as possible."""

from collections.abc import Mapping
from typing import Any

import torch

from evotune.checkpoints.handover import TrialWeights
from evotune.checkpoints.hyperparameters import BuiltSettings, set_dropout
from evotune.checkpoints.state import snapshot, structures
from evotune.training.stacked.groups import Member


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
    if not isinstance(weights, TrialWeights) or not trial.donors or trial.inherit:
        handle.resume(inputs=member.setup.examples, **objects)
        return
    found = weights.load(trial)
    own = member.setup.model.state_dict()
    if found is None or not _fits(own, objects, found[0]):
        handle.resume(inputs=member.setup.examples, **objects)
        return
    state, epochs = found
    handle.start_from(epochs)
    built = BuiltSettings.of(objects)
    torch._foreach_copy_(list(own.values()), [state["model"][name] for name in own])
    member.setup.optimizer.load_state_dict(state["optimizer"])
    if "scheduler" in objects:
        member.setup.scheduler.load_state_dict(snapshot({"": state["scheduler"]})[""])
    built.put_back(trial.params)
    set_dropout(member.setup.model, trial.params, built=True)


def _fits(own: Mapping[str, Any], objects: Mapping[str, Any], state: Mapping[str, Any]) -> bool:
    donated = state.get("model", {})
    if not objects.keys() <= state.keys() or own.keys() != donated.keys():
        return False
    forms = ((tensor, donated[name]) for name, tensor in own.items())
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
    state = {name: setup.state[name].state_dict() for name in ("model", "optimizer")}
    if setup.scheduler is not None:
        state |= snapshot({"scheduler": setup.scheduler})
    state |= structures({"model": setup.model})
    handle.weights.keep_state(state, handle.trained)
