"""Experiment trackers: what all share, by one in memory; then each real one, without a server."""

import logging
import subprocess
import sys
import threading
from collections import Counter

import pytest

import evotune as et

pytestmark = pytest.mark.usefixtures("no_helper_of_wandb_stays")

SPACE = et.Space(
    lr=et.Float(1e-3, 1.0, log=True),
    layers=et.Chain(1, 2, conv={"filters": et.Int(8, 16)}, pool={}),
)


def train(trial):
    for epoch in trial.epochs(default=3):
        trial.report(loss=trial.params["lr"] / (epoch + 1))
    if trial.number == 2:
        raise ValueError("bad luck")
    return {"loss": trial.params["lr"] / 3}


def study(**options):
    return et.Study(et.RandomSearch(SPACE), "min loss", seed=1, **options)


class Remembers(et.callbacks.Tracker):
    """A tracker that keeps in memory what it is given, by study."""

    def __init__(self, **options):
        super().__init__(**options)
        self.numbers = Counter()
        self.threads = set()
        self.summaries = []
        self.broken = set()
        self.away = False
        self.asked = 0

    def open(self, subject):
        self.asked += 1
        if self.away:
            raise ConnectionError("nobody there")
        return {number for key, number in self.numbers if key == subject.key} | self._at(subject)

    def _at(self, subject):
        self.key = subject.key
        return set()

    def log(self, trial):
        self.threads.add(threading.current_thread())
        if trial.number in self.broken:
            raise OSError(f"cannot log {trial.number}")
        self.numbers[self.key, trial.number] += 1

    def close(self, summary):
        self.summaries.append(summary)

    @property
    def logged(self):
        assert set(self.numbers.values()) <= {1}
        return sorted(number for _, number in self.numbers)


def test_every_trial_is_logged_once_by_a_thread_of_its_own():
    tracker = Remembers()
    done = study().run(train, trials=4, callbacks=tracker)
    assert tracker.logged == [0, 1, 2, 3]
    assert threading.current_thread() not in tracker.threads
    [summary] = tracker.summaries
    assert summary.metrics["trials_failed"] == 1
    assert summary.metrics["best_loss"] == done.best.metrics["loss"]
    assert summary.facts == {"best_trial": str(done.best.number), "stop_reason": "trials"}


def test_a_run_that_goes_on_logs_the_rest_and_what_was_missed(tmp_path, caplog):
    tracker, where = Remembers(), {"storage": tmp_path / "runs.db"}
    with study(**where) as first:
        first.run(train, trials=2)
    with study(**where) as second:
        second.run(train, trials=4, callbacks=tracker)
    assert tracker.logged == [0, 1, 2, 3]
    assert "2 trials of earlier runs were not in Remembers yet and are logged now" in caplog.text
    caplog.clear()
    with study(**where) as third:
        third.run(train, trials=5, callbacks=tracker)
        third.run(train, trials=5, callbacks=tracker)
    assert tracker.logged == [0, 1, 2, 3, 4]
    assert not caplog.text


def test_studies_of_one_name_are_told_apart():
    tracker = Remembers()
    for _ in range(2):
        study().run(train, trials=2, callbacks=tracker)
    assert tracker.logged == [0, 0, 1, 1]


def test_an_interrupted_run_has_logged_what_ended():
    def interrupting(trial):
        if trial.number == 3:
            raise KeyboardInterrupt
        return train(trial)

    tracker = Remembers()
    run = study()
    assert run.run(interrupting, trials=6, callbacks=tracker).stop_reason == "interrupted"
    assert tracker.logged == [0, 1, 2]
    run.run(train, trials=6, callbacks=tracker)
    assert tracker.logged == [0, 1, 2, 3, 4, 5]


def test_a_tracker_that_is_away_costs_nothing_but_one_warning(caplog):
    tracker = Remembers()
    tracker.away = True
    run = study().run(train, trials=5, callbacks=tracker)
    assert run.counts == {"done": 4, "failed": 1}
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert "5 of 5 trials were not logged to Remembers (ConnectionError: nobody there)" in (
        record.message
    )
    tracker.away = False
    run.run(train, trials=6, callbacks=tracker)
    assert tracker.logged == [0, 1, 2, 3, 4, 5]


def test_a_trial_that_cannot_be_logged_is_counted_and_the_others_are_logged(caplog):
    tracker = Remembers()
    tracker.broken = {1, 3}
    run = study().run(train, trials=5, callbacks=tracker)
    assert tracker.logged == [0, 2, 4]
    assert "2 of 5 trials were not logged to Remembers (OSError: cannot log 1)" in caplog.text
    tracker.broken = set()
    run.run(train, trials=6, callbacks=tracker)
    assert tracker.logged == [0, 1, 2, 3, 4, 5]


def test_a_tracker_that_goes_away_is_not_asked_again_for_each_trial():
    tracker = Remembers()
    tracker.broken = set(range(100))
    tried = []
    tracker.log = lambda trial: (tried.append(trial.number), 1 / 0)
    study().run(train, trials=20, callbacks=tracker)
    assert len(tried) == 3


def test_a_run_does_not_wait_longer_than_patience(caplog):
    hold, tracker = threading.Event(), Remembers(patience=0.05)
    wait, log = hold.wait, tracker.log
    tracker.log = lambda trial: wait() and log(trial)
    run = study().run(train, trials=3, callbacks=tracker)
    assert "3 of 3 trials were not logged to Remembers (not within patience=0.05 s)" in (
        caplog.text
    )
    hold.set()
    tracker.patience = 60
    run.run(train, trials=4, callbacks=tracker)
    assert tracker.logged == [0, 1, 2, 3]


def test_a_run_that_ends_by_an_error_is_logged_too():
    def wrong(trial):
        if trial.number == 1:
            raise et.errors.TaskError("set up wrongly")
        return train(trial)

    tracker = Remembers()
    with pytest.raises(et.errors.TaskError):
        study().run(wrong, trials=3, callbacks=[lambda study, trial: None, tracker])
    assert tracker.logged == [0]
    assert len(tracker.summaries) == 1


def test_params_of_layers_are_flattened():
    from evotune.integrations.callbacks.tracker import flat

    params = {"lr": 0.1, "features": [{"block": "conv", "filters": 8}, {"block": "pool"}]}
    params |= {"head": [], "betas": (0.9, 0.99), "none": None, "use": True}
    assert flat(params) == {
        "lr": 0.1,
        "features.0.block": "conv",
        "features.0.filters": 8,
        "features.1.block": "pool",
        "head": "[]",
        "betas.0": 0.9,
        "betas.1": 0.99,
        "none": "None",
        "use": True,
    }


@pytest.mark.parametrize(
    ("name", "module", "extra"),
    [
        ("MLflow", "mlflow", "mlflow"),
        ("TensorBoard", "tensorboard", "tensorboard,torch"),
        ("WandB", "wandb", "wandb"),
    ],
)
def test_without_its_library_the_error_names_the_extra(name, module, extra, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(et.errors.StudyError, match=rf'pip install "evotune\[{extra}\]"'):
        getattr(et.callbacks, name)()


def test_the_module_loads_no_tracker():
    code = (
        "import sys, evotune as et; et.callbacks.MLflow, et.callbacks.WandB, "
        "et.callbacks.TensorBoard; print({'mlflow', 'wandb', 'torch'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


# -- MLflow -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """A database of MLflow, which takes seconds to be made."""
    pytest.importorskip("mlflow")
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


def runs_of(database, experiment):
    from mlflow import MlflowClient

    client = MlflowClient(database)
    home = client.get_experiment_by_name(experiment).experiment_id
    runs = {run.info.run_name: run for run in client.search_runs([home])}
    assert len(runs) == len(client.search_runs([home]))
    return client, runs


def test_mlflow_has_a_run_for_the_study_and_one_for_each_trial(database):
    tracker = et.callbacks.MLflow("whole", tracking_uri=database, tags={"team": "vision"})
    done = study().run(train, trials=4, callbacks=tracker)
    client, runs = runs_of(database, "whole")
    parent = runs.pop("study")
    assert sorted(runs) == ["trial-0", "trial-1", "trial-2", "trial-3"]
    assert {run.data.tags["mlflow.parentRunId"] for run in runs.values()} == {parent.info.run_id}
    assert parent.info.status == "FINISHED"
    assert parent.data.tags["team"] == "vision"
    assert parent.data.params["objectives"] == "min loss"
    assert parent.data.metrics["best_loss"] == pytest.approx(done.best.metrics["loss"])
    first, failed = runs["trial-0"], runs["trial-2"]
    assert float(first.data.params["lr"]) == done.trials[0].params["lr"]
    assert first.data.params["layers.0.block"] == done.trials[0].params["layers"][0]["block"]
    curve = client.get_metric_history(first.info.run_id, "loss")
    reported = done.trials[0].reports
    assert [(p.step, p.value) for p in curve] == [(r["step"], r["loss"]) for r in reported]
    assert first.data.tags["evotune.state"] == "done"
    assert failed.info.status == "FAILED"
    assert failed.data.tags["evotune.reason"] == "ValueError: bad luck"


def test_mlflow_logs_a_trial_again_whose_logging_was_interrupted(database):
    def tracker():
        return et.callbacks.MLflow("again", tracking_uri=database)

    run = study().run(train, trials=2, callbacks=tracker())
    client, runs = runs_of(database, "again")
    client.set_tag(runs["trial-1"].info.run_id, "partly", "yes")
    client.update_run(runs["trial-1"].info.run_id, status="RUNNING")
    run.run(train, trials=3, callbacks=tracker())
    _, runs = runs_of(database, "again")
    assert sorted(runs) == ["study", "trial-0", "trial-1", "trial-2"]
    assert "partly" not in runs["trial-1"].data.tags


def test_mlflow_takes_names_that_it_does_not_allow(database):
    odd = {"a+b": 0, "a*b": 1, "../c": 2, "größe": 3, "x" * 300: 4}
    space = et.Space({name: et.Fixed(value) for name, value in odd.items()} | {"u": et.Bool()})
    run = et.Study(et.RandomSearch(space), "min loss/val", seed=1)
    run.run(
        lambda t: {"loss/val": 1.0, "acc@1": float("inf")},
        trials=1,
        callbacks=et.callbacks.MLflow("odd", tracking_uri=database),
    )
    _, runs = runs_of(database, "odd")
    assert len(runs["trial-0"].data.params) == 6
    assert {"loss/val", "acc_1"} <= set(runs["trial-0"].data.metrics)


def test_mlflow_does_not_wait_for_a_server_that_is_not_there(database, monkeypatch, caplog):
    monkeypatch.setattr("evotune.integrations.callbacks.tracker.getproxies", dict)
    tracker = et.callbacks.MLflow("away", tracking_uri="http://127.0.0.1:9", patience=30)
    study().run(train, trials=2, callbacks=tracker)
    assert "2 of 2 trials were not logged to MLflow (ConnectionRefusedError" in caplog.text


@pytest.mark.parametrize("uri", ["mlruns", "./mlruns", "file:///tmp/mlruns", 3])
def test_mlflow_refuses_folders(uri):
    pytest.importorskip("mlflow")
    with pytest.raises(et.errors.StudyError, match=r"sqlite:///mlflow\.db"):
        et.callbacks.MLflow(tracking_uri=uri)


# -- TensorBoard ------------------------------------------------------------------------------


def test_tensorboard_has_a_folder_for_each_trial(tmp_path):
    pytest.importorskip("torch")
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = study().run(train, trials=2, callbacks=et.callbacks.TensorBoard(tmp_path))
    [home] = tmp_path.iterdir()
    (home / "trial-0001").rename(home / ".trial-0001.part")  # as if it had been interrupted
    run.run(train, trials=4, callbacks=et.callbacks.TensorBoard(tmp_path))
    folders = sorted(path for path in home.iterdir())
    assert [path.name for path in folders] == [f"trial-000{number}" for number in range(4)]
    assert {len(list(path.iterdir())) for path in folders} == {1}
    read = [EventAccumulator(str(path)).Reload() for path in folders]
    curve = [(point.step, pytest.approx(point.value)) for point in read[0].Scalars("loss")]
    assert curve == [(report["step"], report["loss"]) for report in run.trials[0].reports]
    for trial, found in zip(run.trials, read, strict=True):
        start = found.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
        assert b"layers.0.block" in start
        [text] = found.Tensors("trial/text_summary")
        assert f"state: {trial.state}".encode() in text.tensor_proto.string_val[0]


# -- Weights & Biases -------------------------------------------------------------------------


def test_wandb_has_a_run_for_each_trial(tmp_path):
    pytest.importorskip("wandb")
    run = study()
    for trials in (3, 4, 4):
        tracker = et.callbacks.WandB("digits", folder=tmp_path, mode="offline", tags=["mine"])
        run.run(train, trials=trials, callbacks=tracker)
    [noted] = (tmp_path / "wandb").glob("evotune-*.txt")
    assert noted.read_text().split() == ["0", "1", "2", "3"]
    files = sorted((tmp_path / "wandb").glob("offline-run-*/*.wandb"), key=lambda path: path.stem)
    assert len(files) == 4
    assert {path.stem.removeprefix("run-") for path in files} == {
        f"{noted.stem.removeprefix('evotune-')}-{number}" for number in range(4)
    }
    assert b"layers.0.block" in files[0].read_bytes()
    assert b"bad luck" in files[2].read_bytes()


def test_wandb_does_not_wait_for_a_server_that_is_not_there(tmp_path, monkeypatch, caplog):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setattr("evotune.integrations.callbacks.tracker.getproxies", dict)
    monkeypatch.setattr(wandb.setup().settings, "base_url", "http://127.0.0.1:9")
    tracker = et.callbacks.WandB("digits", folder=tmp_path, mode="online", patience=30)
    study().run(train, trials=2, callbacks=tracker)
    assert "2 of 2 trials were not logged to WandB (ConnectionRefusedError" in caplog.text


def test_wandb_does_not_ask_for_a_key_in_the_terminal(tmp_path, monkeypatch, caplog):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setattr("evotune.integrations.callbacks.wandb.check_there", lambda url: None)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setattr(wandb.setup().settings, "api_key", None)
    tracker = et.callbacks.WandB("digits", folder=tmp_path, mode="online", patience=30)
    study().run(train, trials=2, callbacks=tracker)
    assert '(PermissionError: no key of W&B: run "wandb login"' in caplog.text


@pytest.mark.parametrize("options", [{"mode": "of"}, {"group": "mine"}, {"patience": -1}])
def test_wandb_refuses_what_it_sets_itself(options):
    pytest.importorskip("wandb")
    with pytest.raises(et.errors.StudyError, match=next(iter(options))):
        et.callbacks.WandB("digits", **options)
