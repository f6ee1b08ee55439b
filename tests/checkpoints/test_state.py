import subprocess
import sys
from collections import Counter, OrderedDict, deque
from contextlib import suppress
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from evotune.checkpoints.state import pack, restore, size_of, snapshot, unpack
from evotune.errors import CheckpointError


def through_bytes(value):
    state, epochs = unpack(pack(snapshot({"x": value}), 2.5))
    assert epochs == 2.5
    return state["x"]


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        3,
        2**100,
        0.1,
        float("inf"),
        "text é \ud800",
        [1, [2.5, None]],
        (1, ("a",)),
        {"a": {1: "int key", "1": "text key", None: 0, False: 2, 0.5: 3}},
        {1, 2},
        {(1, 2), (3, 4)},
        Counter({3: 2}),
    ],
)
def test_plain_values_come_back_equal_and_of_the_same_type(value):
    back = through_bytes(value)
    assert back == value
    assert type(back) is type(value)


def test_nan_numpy_numbers_and_containers_come_back_as_plain_ones():
    assert np.isnan(through_bytes(float("nan")))
    assert through_bytes(np.int64(7)) == 7
    assert through_bytes(deque([1, 2])) == [1, 2]
    assert through_bytes(OrderedDict(a=1)) == {"a": 1}
    assert through_bytes(frozenset([1])) == {1}


@pytest.mark.parametrize(
    "tensor",
    [
        torch.randn(3, 4, dtype=torch.float64),
        torch.randn(5).to(torch.bfloat16),
        torch.randn(5).half(),
        torch.tensor([True, False]),
        torch.arange(4),
        torch.tensor(2.0),
        torch.empty(0, 3),
        torch.randn(4, 5).T,
        torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last),
        torch.tensor([float("nan"), float("inf")]),
        nn.Parameter(torch.ones(2)),
        torch.randn(3, dtype=torch.complex64),
    ],
    ids=lambda tensor: f"{tensor.dtype}{tuple(tensor.shape)}",
)
def test_tensors_come_back_bit_for_bit(tensor):
    back = through_bytes(tensor)
    assert back.dtype == tensor.dtype
    assert back.shape == tensor.shape
    assert torch.equal(torch.nan_to_num(back), torch.nan_to_num(tensor.detach()))
    assert not back.requires_grad


@pytest.mark.parametrize(
    "array",
    [np.arange(6.0).reshape(2, 3).T, np.array(3), np.zeros((0, 2)), np.arange(3, dtype=">i4")],
)
@pytest.mark.parametrize("beside", [0, torch.ones(2)], ids=["alone", "beside a tensor"])
def test_arrays_come_back_as_arrays(array, beside):
    back = through_bytes([array, beside])[0]
    assert isinstance(back, np.ndarray)
    np.testing.assert_array_equal(back, array)
    back += 1  # writable


def test_a_snapshot_does_not_change_with_its_objects():
    model = nn.Linear(2, 2)
    array, listed = np.ones(2), [1]
    state = snapshot({"model": model, "array": array, "listed": listed})
    with torch.no_grad():
        model.weight.zero_()
    array[:] = 0
    listed.append(2)
    assert state["model"]["weight"].abs().sum() > 0
    assert state["array"].tolist() == [1, 1]
    assert state["listed"] == [1]


def test_tied_weights_are_stored_once_and_come_back_tied():
    model = nn.Sequential(nn.Linear(50, 50), nn.Linear(50, 50))
    model[1].weight = model[0].weight
    once = 4 * (50 * 50 + 2 * 50)
    state = snapshot({"model": model})
    data = pack(state, 0.0)
    assert size_of(state) == once
    assert once < len(data) < once + 2000
    back = unpack(data)[0]["model"]
    assert back["0.weight"] is back["1.weight"]
    assert torch.equal(back["0.weight"], model[0].weight)


def test_tensors_made_for_one_state_dict_are_not_taken_for_those_of_the_next():
    # The memory of one is free again, and may be given to the next one's tensor.
    made = {
        str(n): SimpleNamespace(state_dict=lambda n=n: {"x": torch.full((999,), n)})
        for n in range(20)
    }
    state = snapshot(made)
    assert [int(state[str(n)]["x"][0]) for n in range(20)] == list(range(20))


def test_views_that_overlap_are_stored_whole():
    stack = torch.arange(12.0).reshape(3, 4)
    state = {"a": stack[1], "b": stack[1:], "c": stack.reshape(12), "d": stack[1]}
    back = unpack(pack(state, 0.0))[0]
    assert all(torch.equal(back[name], state[name]) for name in state)


def test_paths_that_read_alike_stay_apart():
    state = {"a": {"b.c": torch.zeros(1), "b": {"c": torch.ones(1)}}}
    back = unpack(pack(state, 0.0))[0]
    assert back["a"]["b.c"].item() == 0
    assert back["a"]["b"]["c"].item() == 1


def test_files_are_readable_by_safetensors_under_plain_names():
    from safetensors.torch import load

    data = pack(snapshot({"model": nn.Linear(2, 1)}), 0.0)
    assert set(load(data)) == {"model.weight", "model.bias"}


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ({"state": {0: {"hook": print}}}, "optimizer.state.0.hook"),
        ([1, object()], "optimizer.1"),
        ({(1, 2): 3}, r"optimizer is the key \(1, 2\)"),
        (np.array(["text"]), "optimizer is an array of <U4"),
        (torch.eye(2).to_sparse(), "optimizer is a sparse"),
        (1 + 2j, "optimizer is a complex"),
        (b"bytes", "optimizer is a bytes"),
    ],
)
def test_what_cannot_be_kept_is_named_with_its_place(value, where):
    with pytest.raises(CheckpointError, match=where + "(.|\n)*allowed are tensors"):
        snapshot({"optimizer": value})


def test_numbers_that_no_file_holds_are_refused_when_written():
    state = snapshot({"x": torch.ones(2, dtype=torch.complex128)})
    with pytest.raises(CheckpointError, match="cannot be written"):
        pack(state, 0.0)


def adam_after(steps, model, **options):
    optimizer = torch.optim.Adam(model.parameters(), **options)
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.ones(1, 3)).sum().backward()
        optimizer.step()
    return optimizer


@pytest.mark.parametrize("file", [False, True], ids=["memory", "file"])
def test_training_goes_on_as_if_never_interrupted(file):
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1)).eval()
    optimizer = adam_after(3, model)
    state = snapshot({"model": model, "optimizer": optimizer})
    state = unpack(pack(state, 0.0))[0] if file else state
    other = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1)).eval()
    other_optimizer = torch.optim.Adam(other.parameters())
    restore({"model": other, "optimizer": other_optimizer}, state)
    for net, opt in ((model, optimizer), (other, other_optimizer)):
        opt.zero_grad()
        net(torch.ones(1, 3)).sum().backward()
        opt.step()
    for mine, theirs in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_two_children_disturb_neither_one_another_nor_the_donor():
    donor = nn.Linear(3, 1)
    state = snapshot({"model": donor, "optimizer": adam_after(2, donor)})
    before = pack(state, 0.0)
    children = []
    for _ in range(2):
        model = nn.Linear(3, 1)
        optimizer = torch.optim.Adam(model.parameters())
        restore({"model": model, "optimizer": optimizer}, state)
        children.append((model, optimizer))
    for model, optimizer in children:
        for _ in range(3):
            model(torch.ones(1, 3)).sum().backward()
            optimizer.step()
    assert torch.equal(children[0][0].weight, children[1][0].weight)
    assert pack(state, 0.0) == before


def test_lists_and_dicts_are_filled_in_place_with_copies():
    state = snapshot({"history": [1, [2]], "extra": {"best": 3}})
    history, extra = [9], {"other": 0}
    restore({"history": history, "extra": extra}, state)
    assert history == [1, [2]]
    assert extra == {"best": 3}
    history[1].append(5)
    assert state["history"] == [1, [2]]


def test_what_cannot_be_filled_in_place_is_refused():
    with pytest.raises(CheckpointError, match=r"step is a int.*give an object with load_state"):
        restore({"step": 0}, {"step": 3})
    with pytest.raises(CheckpointError, match=r"step is a list.*the dict"):
        restore({"step": []}, {"step": {}})


def test_a_missing_name_is_reported_before_anything_is_loaded():
    kept = {"a": 1}
    with pytest.raises(CheckpointError, match="kept kept, not scheduler"):
        restore({"kept": kept, "scheduler": []}, {"kept": {"a": 2}})
    assert kept == {"a": 1}


def test_a_name_that_is_not_asked_for_is_ignored():
    filled = {}
    restore({"a": filled}, {"a": {"x": 1}, "b": object()})
    assert filled == {"x": 1}


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (nn.Linear(3, 5), r"weight has shape \(4, 3\) there and \(5, 3\) here"),
        (nn.Linear(3, 4, bias=False), "it has bias, which is unknown here"),
        (nn.Bilinear(3, 3, 4), "shape"),
        (nn.Sequential(nn.Linear(3, 4)), "it has no 0.weight"),
    ],
)
def test_weights_that_do_not_fit_are_explained(other, why):
    with pytest.raises(CheckpointError, match=f"model does not fit.*{why}.*genes that change"):
        restore({"model": other}, snapshot({"model": nn.Linear(3, 4)}))


def network():
    return nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 2)))


def compiled(module):
    return torch.compile(module, backend="eager")


def compiled_inside(module):
    module[1] = compiled(module[1])
    return module


WRAPPERS = {
    "plain": lambda module: module,
    "compiled": compiled,
    "compiled inside": compiled_inside,
    "compiled twice": lambda module: compiled(compiled_inside(module)),
    "parallel": nn.DataParallel,
    "parallel and compiled": lambda module: compiled(nn.DataParallel(module)),
}


@pytest.mark.parametrize("now", WRAPPERS)
@pytest.mark.parametrize("before", WRAPPERS)
def test_a_wrapper_of_the_network_changes_no_weights(before, now):
    donor, child = network(), network()
    state = snapshot({"model": WRAPPERS[before](donor)})
    restore({"model": WRAPPERS[now](child)}, state)
    for own, theirs in zip(child.parameters(), donor.parameters(), strict=True):
        assert torch.equal(own, theirs)


def test_a_part_that_is_called_module_is_no_wrapper():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(2))
            self.module = nn.ParameterDict({"weight": nn.Parameter(torch.randn(2))})

    donor, child = Two(), Two()
    restore({"model": child}, snapshot({"model": donor}))
    assert torch.equal(child.weight, donor.weight)
    assert torch.equal(child.module["weight"], donor.module["weight"])
    with pytest.raises(CheckpointError, match=r"it has no 0\.weight"):
        restore({"model": network()}, snapshot({"model": donor}))


@pytest.mark.parametrize("kept", [torch.ones(4, 3, dtype=torch.complex64), torch.ones(4, 3).long()])
def test_numbers_of_another_kind_are_refused(kept):
    state = {"model": {"weight": kept, "bias": torch.zeros(4)}}
    with pytest.raises(
        CheckpointError, match=r"weight is of torch\.\w+ there and of torch.float32"
    ):
        restore({"model": nn.Linear(3, 4)}, state)


def test_halves_may_start_from_singles():
    model, donor = nn.Linear(3, 4).half(), nn.Linear(3, 4)
    restore({"model": model}, snapshot({"model": donor}))
    assert torch.equal(model.weight, donor.weight.half())


def test_the_state_of_another_optimizer_is_refused():
    model = nn.Linear(3, 1)
    state = snapshot({"optimizer": adam_after(1, model)})
    with pytest.raises(CheckpointError, match="another kind than this SGD"):
        restore({"optimizer": torch.optim.SGD(model.parameters(), lr=0.1)}, state)
    groups = [{"params": [model.weight]}, {"params": [model.bias]}]
    with pytest.raises(CheckpointError, match="optimizer does not fit"):
        restore({"optimizer": torch.optim.Adam(groups)}, state)


def test_any_object_with_load_state_dict_will_do():
    loaded = []
    thing = SimpleNamespace(state_dict=lambda: {"n": 1}, load_state_dict=loaded.append)
    restore({"thing": thing}, snapshot({"thing": thing}))
    assert loaded == [{"n": 1}]


DATA = pack({"model": {"weight": torch.ones(20)}, "step": 3}, 1.0)


@pytest.mark.parametrize("length", [0, 4, 8, 60, len(DATA) - 1])
def test_truncated_bytes_are_refused(length):
    with pytest.raises(CheckpointError, match="damaged"):
        unpack(DATA[:length])


@pytest.mark.parametrize("position", range(0, len(DATA) - 80, 3))
def test_a_damaged_header_never_crashes(position):
    damaged = bytearray(DATA)
    damaged[position] ^= 0x15
    with suppress(CheckpointError):  # where a letter of a name is hit, it may also read well
        unpack(bytes(damaged))


def test_a_later_format_is_told_from_damage():
    with pytest.raises(CheckpointError, match=r"format is 7.*install"):
        unpack(DATA.replace(b'\\"format\\": 1', b'\\"format\\": 7'))


def test_a_file_of_somebody_else_is_refused():
    from safetensors.torch import save

    with pytest.raises(CheckpointError, match="no file of weights that evotune wrote"):
        unpack(save({"a": torch.ones(1)}))


def test_arrays_and_numbers_need_no_torch():
    code = """
import sys
sys.modules["torch"] = None
import numpy as np
from evotune.checkpoints.store import Checkpoints
from evotune.checkpoints.handover import TrialWeights
from evotune.checkpoints.state import pack, restore, snapshot, unpack
state, epochs = unpack(pack(snapshot({"w": {"a": np.arange(3.0), "b": [1, None]}}), 4.0))
filled = {}
restore({"w": filled}, state)
assert filled["a"].tolist() == [0, 1, 2] and filled["b"] == [1, None] and epochs == 4.0
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_the_store_imports_neither_torch_nor_safetensors_nor_fsspec():
    code = """
import sys, evotune.checkpoints.handover, evotune.checkpoints.hyperparameters
assert not {"torch", "safetensors", "fsspec"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_sizes_count_tensors_and_arrays():
    assert size_of({"a": torch.ones(3), "b": [np.ones(2), "text"]}) == 12 + 16
