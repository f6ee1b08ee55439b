"""Pruned networks in files: written whole, read bit for bit, and refused where they do not fit."""

import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import evotune as et
from evotune.errors import CheckpointError, StudyError, TaskError
from evotune.pruning import checkpoint, files
from helpers_pruning import NETWORKS, made, perceptron


def outputs(model, inputs):
    with torch.no_grad():
        return model(inputs)


@pytest.fixture
def pruned():
    model, x = made("perceptron")
    return et.prune(model, 0.8, data=(x, torch.arange(len(x)) % 3), refine=2), x


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_comes_back_bit_for_bit(name, tmp_path):
    model, inputs = made(name)
    result = et.prune(model, 0.7, data=inputs)
    path = result.save(tmp_path / "network.safetensors")
    torch.manual_seed(5)
    fresh = NETWORKS[name][0]()
    before = {key: value.clone() for key, value in fresh.state_dict().items()}
    loaded = et.Pruned.load(path, fresh)
    assert torch.equal(outputs(loaded.model, inputs), outputs(result.model, inputs))
    assert all(torch.equal(value, fresh.state_dict()[key]) for key, value in before.items())
    assert loaded.masks.keys() == result.masks.keys()
    assert all(torch.equal(loaded.masks[key], mask) for key, mask in result.masks.items())
    assert torch.equal(loaded.inputs, result.inputs)
    assert (loaded.size, loaded.kept, loaded.sparsity) == (
        *(result.size, result.kept),
        result.sparsity,
    )
    assert loaded.left_dense == result.left_dense
    assert loaded.model.state_dict().keys() == result.model.state_dict().keys()


def test_all_else_comes_back_too(pruned, tmp_path):
    result, x = pruned
    loaded = et.Pruned.load(result.save(tmp_path / "n.safetensors"), perceptron())
    assert loaded.losses == result.losses
    assert len(loaded.losses) == 2
    assert loaded.asked == result.asked
    assert loaded.measured == result.measured
    assert loaded.measured["loss"] == loaded.losses[-1]
    assert torch.equal(outputs(loaded.compact(), x), outputs(result.compact(), x))


def test_masks_hold_in_training_after_loading(pruned, tmp_path):
    result, x = pruned
    model = et.Pruned.load(result.save(tmp_path / "n.safetensors"), perceptron()).model
    optimizer = torch.optim.SGD(model.parameters(), 0.1, weight_decay=0.1)
    model(x).square().mean().backward()
    optimizer.step()
    assert not model[0].weight[~result.masks["0.weight"]].any()


def test_torch_alone_loads_the_weights(pruned, tmp_path):
    result, x = pruned
    found = load_file(result.save(tmp_path / "n.safetensors"))
    plain = perceptron()
    plain.load_state_dict({k: v for k, v in found.items() if not k.startswith("evotune.")})
    assert torch.equal(outputs(plain, x), outputs(result.model, x))


def test_masks_are_packed(pruned):
    result, _ = pruned
    for mask in result.masks.values():
        bits = files.packed(mask)
        assert bits.nbytes == math.ceil(mask.numel() / 8)
        assert torch.equal(files.unpacked(bits, list(mask.shape)), mask)


def test_modes_half_precision_and_names_of_inputs(tmp_path):
    model, x = made("perceptron")
    result = et.prune(model.bfloat16().train(), 0.8, data=x.bfloat16())
    assert result.inputs.dtype == torch.bfloat16
    path = result.save(tmp_path / "half.safetensors")
    loaded = et.Pruned.load(path, perceptron().bfloat16().eval())
    assert loaded.model.training
    assert torch.equal(outputs(loaded.model, x.bfloat16()), outputs(result.model, x.bfloat16()))
    with pytest.raises(CheckpointError, match=r"of bfloat16 there and .* of float32 here"):
        et.Pruned.load(path, perceptron())


def test_a_small_network_of_halves_is_smaller():
    """Examples were kept in float32, so that the small network did not run."""
    model, x = made("perceptron")
    small = et.prune(model.bfloat16(), 0.9, data=x.bfloat16()).compact()
    assert small[0].out_features < 16


def test_tied_weights(tmp_path):
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.one, self.other = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 8)
            self.other.weight = self.one.weight

        def forward(self, x):
            return self.other(self.one(self.first(x).relu()).relu())

    torch.manual_seed(0)
    x = torch.randn(30, 6)
    result = et.prune(Tied(), 0.5, data=x)
    path = result.save(tmp_path / "tied.safetensors")
    loaded = et.Pruned.load(path, Tied())
    assert torch.equal(outputs(loaded.model, x), outputs(result.model, x))
    assert loaded.model.other.weight is loaded.model.one.weight


class Other(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = perceptron()


OTHERS = {
    "names": (Other, r"layers\.0\.weight is missing; .*, and \d+ more; build the network"),
    "shapes": (
        lambda: nn.Sequential(nn.Linear(5, 16), *list(perceptron())[1:]),
        r"0\.weight is \(16, 6\) of float32 there and \(16, 5\) of float32 here",
    ),
}


@pytest.mark.parametrize("case", OTHERS)
def test_another_network_is_refused(case, pruned, tmp_path):
    build, words = OTHERS[case]
    path = pruned[0].save(tmp_path / "n.safetensors")
    with pytest.raises(CheckpointError, match=words):
        et.Pruned.load(path, build())


def test_another_activation_is_said(pruned, tmp_path, caplog):
    path = pruned[0].save(tmp_path / "n.safetensors")
    et.Pruned.load(path, perceptron())
    assert not caplog.text
    layers = list(perceptron())
    et.Pruned.load(path, nn.Sequential(layers[0], nn.Tanh(), *layers[2:]))
    assert "is ReLU and in this network Tanh" in caplog.text


def test_wrong_files_are_refused(pruned, tmp_path):
    path = pruned[0].save(tmp_path / "n.safetensors")
    whole = path.read_bytes()
    with pytest.raises(CheckpointError, match="there is no file"):
        et.Pruned.load(tmp_path / "none.safetensors", perceptron())
    for cut in (0, 5, 100, len(whole) - 1):
        (tmp_path / "cut.safetensors").write_bytes(whole[:cut])
        with pytest.raises(CheckpointError, match="cannot be read"):
            et.Pruned.load(tmp_path / "cut.safetensors", perceptron())
    save_file(perceptron().state_dict(), tmp_path / "plain.safetensors")
    with pytest.raises(CheckpointError, match="no file of weights that evotune wrote"):
        et.Pruned.load(tmp_path / "plain.safetensors", perceptron())
    with pytest.raises(TaskError, match=r"takes an nn\.Module"):
        et.Pruned.load(path, "network")


def test_a_file_is_written_whole_or_not_at_all(pruned, tmp_path, monkeypatch):
    result, _ = pruned
    path = result.save(tmp_path / "n.safetensors")
    before = path.read_bytes()
    monkeypatch.setattr("pathlib.Path.replace", lambda *_: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(CheckpointError, match="full"):
        result.save(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["n.safetensors"]


def test_places_that_cannot_be_written(pruned, tmp_path):
    result, _ = pruned
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot write"):
        result.save(tmp_path / "file" / "n.safetensors")
    with pytest.raises(CheckpointError, match=r"only \.safetensors"):
        result.save(tmp_path / "n.pt")
    with pytest.raises(StudyError, match=r"only \.html"):
        result.report(tmp_path / "n.pdf")


# Refinement that goes on.


def stopped_after(steps, monkeypatch):
    """Stop a refinement as a kill would, after so many steps."""
    plain = checkpoint.Checkpoint.after

    def after(self, state):
        plain(self, state)
        if state.steps == steps:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "EVERY", 0.0)
    monkeypatch.setattr(checkpoint, "TIMES", 0.0)
    monkeypatch.setattr(checkpoint.Checkpoint, "after", after)


@pytest.mark.parametrize("name", ["perceptron", "convolutions", "lstm"])
def test_a_refinement_goes_on_to_the_same_end(name, tmp_path, monkeypatch):
    model, x = made(name)
    given = {"data": (x, torch.arange(len(x)) % 3), "refine": 6, "seed": 2}
    whole = et.prune(model, 0.8, **given)
    path = tmp_path / "state.safetensors"
    for steps in (2, 5):
        with monkeypatch.context() as patch:
            stopped_after(steps, patch)
            with pytest.raises(KeyboardInterrupt):
                et.prune(model, 0.8, **given, checkpoint=path)
    found = et.prune(model, 0.8, **given, checkpoint=path)
    assert found.losses == whole.losses
    assert all(torch.equal(found.masks[key], mask) for key, mask in whole.masks.items())
    assert torch.equal(outputs(found.model, x), outputs(whole.model, x))
    assert found.measured["loss"] == whole.measured["loss"]


def test_more_steps_go_on_and_rounds_are_not_repeated(tmp_path, caplog):
    model, x = made("perceptron")
    path = tmp_path / "state.safetensors"
    et.prune(model, 0.8, data=x, checkpoint=path)
    with caplog.at_level("INFO", "evotune"):
        found = et.prune(model, 0.8, data=x, refine=4, checkpoint=path)
    assert "going on from" in caplog.text
    assert "round 1" not in caplog.text
    assert found.losses == et.prune(model, 0.8, data=x, refine=4).losses
    with pytest.raises(TaskError, match="has 4 steps already; write refine=4 or more"):
        et.prune(model, 0.8, data=x, refine=3, checkpoint=path)


def test_another_pruning_is_refused(tmp_path):
    model, x = made("perceptron")
    path = tmp_path / "state.safetensors"
    et.prune(model, 0.8, data=x, checkpoint=path)
    other = perceptron()
    moved = x + torch.eye(len(x), x.shape[1])
    for given, words in (
        ({"model": other}, "another network; give another place"),
        ({"data": moved}, "another data; give"),
        ({"data": (x, torch.arange(len(x)) % 3)}, "another data; give"),
        ({"sparsity": 0.9}, r"another sparsity \(0\.8 there, 0\.9 now\)"),
        ({"seed": 1, "method": "lamp"}, r"another method \('auto' there, 'lamp' now\), seed"),
        ({"method": lambda pruning, keep: None}, "method .*<lambda>"),
    ):
        options = {"model": model, "sparsity": 0.8, "data": x} | given
        with pytest.raises(CheckpointError, match=words):
            et.prune(**options, checkpoint=path)


def test_another_structure_of_the_same_sparsity_is_refused(tmp_path):
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))
    given = {"data": torch.randn(20, 8), "checkpoint": tmp_path / "state.safetensors"}
    et.prune(model, **given, structure="2:4")
    with pytest.raises(CheckpointError, match=r"structure \('2:4' there, None now\)"):
        et.prune(model, 0.5, **given)


def test_a_checkpoint_that_is_none(tmp_path):
    model, x = made("perceptron")
    et.prune(model, 0.8, data=x).save(tmp_path / "n.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"nothing")
    for name, words in (("n", "another network"), ("bad", "cannot be read")):
        with pytest.raises(CheckpointError, match=words):
            et.prune(model, 0.8, data=x, checkpoint=tmp_path / f"{name}.safetensors")
    with pytest.raises(CheckpointError, match="cannot write"):
        et.prune(model, 0.8, data=x, checkpoint=tmp_path / "bad.safetensors" / "state")


def test_digests_tell_shapes_and_kinds():
    parts = [
        torch.zeros(2, 3),
        torch.zeros(3, 2),
        torch.zeros(6, dtype=torch.int32),
        torch.zeros(()),
        None,
        {"a": torch.zeros(6)},
        {"b": torch.zeros(6)},
        torch.zeros(0),
    ]
    assert len({checkpoint.digest(part) for part in parts}) == len(parts)
    assert checkpoint.digest(torch.ones(2)) == checkpoint.digest(torch.tensor(np.ones(2, "f4")))
