import sys
from pathlib import Path

import pytest

import helpers_warm


@pytest.fixture(autouse=True)
def _own_imports(monkeypatch, tmp_path):
    """Each test has its own folder and forgets the modules that it imported from there."""
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    known = set(sys.modules)
    yield
    for name in set(sys.modules) - known:
        file = getattr(sys.modules[name], "__file__", None)
        if file and Path(file).is_relative_to(tmp_path):
            del sys.modules[name]


@pytest.fixture
def evotune(capsys):
    """Call the command line in this process; returns its exit code, output and errors."""
    from evotune.cli.main import main

    def call(*arguments):
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        output = capsys.readouterr()
        return ended.value.code or 0, output.out, output.err

    return call


@pytest.fixture
def run_file(tmp_path, evotune):
    """Run a study file beside a module ``net``; returns the database."""

    def run(task, file):
        (tmp_path / "net.py").write_text(task)
        (tmp_path / "net.toml").write_text(file)
        code, _, errors = evotune("run", "net.toml")
        assert code == 0, errors
        return tmp_path / "net.db"

    return run


@pytest.fixture
def spawn():
    """Start the command line as a process of its own, which is killed in the end."""
    started = []

    def start(*arguments, **options):
        command = (*helpers_warm.EVOTUNE, *arguments)
        started.append(helpers_warm.start(*command, modules=helpers_warm.COMMANDS, **options))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def study_file(tmp_path):
    """Write a TOML file and the module that it names; every argument replaces a line of it."""

    def write(name="study", **lines):
        study = {"objective": '"max accuracy"', "trials": "6", "seed": "1"} | lines
        space = study.pop("space", 'lr = { type = "float", low = 1e-4, high = 1.0, log = true }')
        algorithm = study.pop("algorithm", 'name = "Genetic"\npopulation_size = 4')
        task = study.pop("task", f'function = "{name}_train:train"')
        body = study.pop("body", 'return {"accuracy": 1.0 - trial.params["lr"]}')
        options = "\n".join(f"{key} = {value}" for key, value in study.items() if value)
        (tmp_path / f"{name}_train.py").write_text(
            f"import os, time\n\n\ndef train(trial):\n    {body}\n"
        )
        file = tmp_path / f"{name}.toml"
        file.write_text(
            f"[study]\n{options}\n[space]\n{space}\n[algorithm]\n{algorithm}\n[task]\n{task}\n"
        )
        return file

    return write


@pytest.fixture
def population_file(study_file):
    """Write a file of population-based training: four members, two epochs between selections."""

    def write(name="pbt", **lines):
        body = (
            "trial.resume()\n    epochs = [epoch + 1 for epoch in trial.epochs()]\n"
            '    trial.keep(weight=trial.params["lr"])\n'
            '    return {"accuracy": 1 - 0.5 ** epochs[-1] - 0.01 * trial.params["lr"]}'
        )
        own = {
            "trials": None,
            "epochs": "6",
            "algorithm": 'name = "PopulationBasedTraining"\npopulation_size = 4\ninterval = 2',
            "body": body,
        }
        return study_file(name, **(own | lines))

    return write
