"""Devices that workers share. No test needs a GPU: what a worker sees is in its environment."""

import os
import sys

import pytest

import evotune as et
from evotune.errors import ExecutionError, StudyError
from evotune.execution import devices

SPACE = et.Space(x=et.Float(0.0, 1.0))


@pytest.fixture(autouse=True)
def _no_setting(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def seen(trials=6, **options):
    """Return what trials saw: the device, the visible GPUs and the process."""
    study = et.Study(et.RandomSearch(SPACE), "min y", seed=1)

    def train(trial):
        import time

        time.sleep(0.05)  # so that all workers get some
        gpu = float(os.environ.get("CUDA_VISIBLE_DEVICES", "-1"))
        return {"y": 0.0, "gpu": gpu, "process": os.getpid(), "cuda": trial.device == "cuda:0"}

    study.run(train, trials, **options)
    return [
        tuple(trial.metrics[name] for name in ("gpu", "cuda", "process")) for trial in study.trials
    ]


def test_each_worker_sees_its_own_gpu():
    found = seen(workers=2, devices=["cuda:0", "cuda:3"])
    assert {gpu for gpu, _, _ in found} == {0, 3}
    assert all(is_cuda for _, is_cuda, _ in found)
    assert len({(gpu, process) for gpu, _, process in found}) == 2


def test_one_worker_a_device_by_default_and_more_share():
    assert et.ProcessExecutor(devices=["cuda:0", "cuda:1", "cuda:2"]).workers == 3
    found = seen(12, workers=3, devices=["cuda:0", "cuda:1"])
    assert {gpu for gpu, _, _ in found} == {0, 1}
    assert len({process for _, _, process in found}) == 3


def test_gpus_are_counted_among_the_visible_ones(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5, 7")
    assert {gpu for gpu, _, _ in seen(devices="auto")} == {5, 7}
    assert {gpu for gpu, _, _ in seen(2, devices=["cuda:1"])} == {7}
    with pytest.raises(ExecutionError, match=r"'cuda:2'.*shows 2 GPUs"):
        et.ProcessExecutor(devices=["cuda:2"])


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_auto_without_a_gpu_trains_on_the_cpu(monkeypatch, hidden):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    study = et.tune(
        lambda trial: float(trial.device == "cpu"), SPACE, "max y", trials=2, devices="auto"
    )
    assert study.best.metrics["y"] == 1.0


@pytest.mark.parametrize("tool", ["nvidia-smi", "torch"])
def test_auto_counts_gpus_without_starting_cuda_here(monkeypatch, tmp_path, tool):
    said = "GPU 0: H100 (UUID: GPU-1)\nGPU 1: H100 (UUID: GPU-2)" if tool == "nvidia-smi" else "2"
    program = tmp_path / tool
    program.write_text(f"#!/bin/sh\necho '{said}'\n")
    program.chmod(0o755)
    if tool == "nvidia-smi":
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    else:
        monkeypatch.setattr(devices, "which", lambda name: None)
        monkeypatch.setattr(sys, "executable", str(program))
    assert devices.read_devices("auto") == ("cuda:0", "cuda:1")


def test_auto_asks_torch_only_once(monkeypatch, tmp_path):
    program, asked = tmp_path / "torch", tmp_path / "asked"
    program.write_text(f"#!/bin/sh\necho asked >> '{asked}'\necho 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(devices, "which", lambda name: None)
    monkeypatch.setattr(sys, "executable", str(program))
    assert devices.read_devices("auto") == devices.read_devices("auto") == ("cuda:0",)
    assert asked.read_text() == "asked\n"


@pytest.mark.parametrize("given", ["cuda", [], [0], ["cuda:x"], 2, ["GPU 1"]])
def test_other_devices_are_refused(given):
    with pytest.raises(ExecutionError, match='write devices="auto", or a list'):
        et.ProcessExecutor(devices=given)


def test_devices_belong_to_the_executor():
    study = et.Study(et.RandomSearch(SPACE), "min y")
    with pytest.raises(StudyError, match="devices= belong to the executor"):
        study.run(lambda t: 0.0, 1, executor=et.InlineExecutor(), devices=["cpu"])


def test_a_task_trains_on_its_workers_device(monkeypatch):
    torch = pytest.importorskip("torch")
    x, y = torch.randn(20, 3), torch.arange(20) % 2

    def model(params):
        return torch.nn.Linear(3, 2)

    task = et.SupervisedTask(
        model, loss="cross_entropy", optimizer="sgd", train=(x, y), validation=(x, y), epochs=1
    )
    study = et.Study(et.RandomSearch(et.Space(lr=et.Float(0.1, 0.2))), "max accuracy", seed=1)
    # What a worker's environment holds. No data can be on this device: the task did take it.
    monkeypatch.setenv("EVOTUNE_DEVICE", "meta")
    study.run(task, 1, max_failures=1.0, executor=et.InlineExecutor())
    assert "meta" in study.trials[0].failure.message


def test_programs_are_told_their_device(tmp_path):
    program = tmp_path / "train.py"
    program.write_text(
        "import json, os\n"
        "print(json.dumps({'y': float(os.environ['EVOTUNE_DEVICE'] == 'cuda:0')}))\n"
    )
    task = et.CommandTask([sys.executable, str(program), "{x}"])
    study = et.Study(et.RandomSearch(SPACE), "max y")
    study.run(task, 1, devices=["cuda:4"])
    assert study.best.metrics["y"] == 1.0
