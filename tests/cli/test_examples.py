import re
import runpy
import shutil
from pathlib import Path

import pytest

import helpers_warm

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def here(capsys):
    """Run an example in this process, which has loaded torch already; returns what it prints."""

    def here(name):
        pytest.importorskip("torch")
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out

    return here


def test_a_function(here):
    assert here("01_tune_a_function.py").startswith("accuracy 0.9")


def test_digits_in_sqlite(tmp_path):
    pytest.importorskip("torch")
    text = (EXAMPLES / "02_digits_sqlite.py").read_text("utf-8")
    fewer = text.replace("trials=16, workers=2", "trials=2, executor=et.ProcessExecutor(1)")
    assert fewer != text
    (tmp_path / "fewer.py").write_text(fewer, "utf-8")
    process = helpers_warm.run("fewer.py", cwd=tmp_path, modules=helpers_warm.TRAINING)
    assert process.returncode == 0, process.stderr
    assert (tmp_path / "digits.html").exists()
    assert (tmp_path / "digits.db").exists()


def test_a_population_with_a_supervised_task(here):
    out = here("04_population_based_training.py")
    assert out.startswith("accuracy 0.9")
    assert "epochs" in out
    assert "momentum" in out


def test_a_population_with_a_training_loop(tmp_path, evotune):
    pytest.importorskip("torch")
    for name in ("05_pbt.toml", "05_train.py"):
        shutil.copy(EXAMPLES / name, tmp_path)
    code, out, err = evotune("run", "05_pbt.toml", "--epochs", "4")
    assert code == 0, err
    assert "16 done; all members have their epochs" in out
    assert list((tmp_path / "weights").rglob("*"))


def test_successive_halving(here):
    out = here("06_halving.py")
    assert out.startswith("accuracy 0.9")


def test_two_objectives(here):
    out = here("07_two_objectives.py")
    assert out.count("<- knee") == 1


def test_structures(here):
    out = here("08_structures.py")
    assert out.startswith("accuracy 0.9")
    assert "(output): Linear" in out
    rightly = int(out.splitlines()[-1].split(" of ")[0])
    assert f"accuracy {rightly / 597:.3f}" in out  # the trained network came back


def test_a_search_that_begins_with_proxies(here, monkeypatch):
    for name, fewer in {"FIRST": 60, "ROUNDS": 4, "CHILDREN": 30}.items():
        monkeypatch.setattr(f"evotune.proxies.archive.{name}", fewer)
    out = here("09_proxies.py")
    assert out.startswith("accuracy 0.")
    assert re.search(r"rank correlation -?0\.\d+ \(.*\) over (5|8|13) trials", out)


def test_a_network_is_pruned(tmp_path, here):
    out = here("10_prune.py")
    words = out.split()
    dense, left = float(words[1].rstrip(",")), float(words[3])
    assert dense > 0.9
    assert left > dense - 0.03
    assert (tmp_path / "pruned.safetensors").exists()
    assert (tmp_path / "pruned.html").exists()


def test_a_search_of_scikit_learn(here):
    assert here("11_scikit_learn.py").startswith("accuracy 0.9")


def test_optuna(here):
    pytest.importorskip("optuna")
    words = here("12_optuna.py").split()
    assert float(words[3]) <= float(words[1].rstrip(",")) < 0.5


def test_lightning(here):
    pytest.importorskip("lightning")
    assert here("13_lightning.py").startswith("accuracy 0.9")


def test_hugging_face(here, monkeypatch):
    pytest.importorskip("peft")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    out = here("14_hugging_face.py")
    assert "'rank': " in out.splitlines()[-1]


def test_mlflow(tmp_path, here):
    pytest.importorskip("mlflow")
    out = here("15_mlflow.py")
    assert out.startswith("accuracy 0.9")
    assert " in trial-" in out
    assert (tmp_path / "mlflow.db").exists()


@pytest.mark.usefixtures("no_helper_of_wandb_stays")
def test_tensorboard_and_wandb(tmp_path, here):
    pytest.importorskip("tensorboard")
    pytest.importorskip("wandb")
    assert "accuracy 0.9" in here("16_tensorboard_wandb.py")
    assert len(list((tmp_path / "runs").glob("*/trial-*"))) == 8
    assert len(list((tmp_path / "wandb").glob("offline-run-*"))) == 8


def test_energy(here):
    pytest.importorskip("codecarbon")
    assert "J, " in here("17_energy.py")


def test_a_schedule_as_genes(here):
    out = here("19_scheduled.py")
    assert out.startswith("accuracy 0.9")
    assert len(out.splitlines()) == 2 + 8  # and the table of epochs


@pytest.mark.parametrize("number", range(11, 18))
def test_an_example_of_another_library_has_at_most_25_lines(number):
    [path] = EXAMPLES.glob(f"{number}_*.py")
    lines = path.read_text("utf-8").splitlines()
    assert sum(bool(line.strip()) for line in lines) <= 25
