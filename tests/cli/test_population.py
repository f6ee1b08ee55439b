"""Population-based training from the command line: run, go on, look at it, take the schedule."""

import io
import json

import pandas as pd
import pytest

import evotune as et
from evotune.analysis.comparison import Comparison
from evotune.cli.source import read_study


@pytest.fixture
def finished(evotune, population_file):
    file = population_file()
    code, out, err = evotune("run", file)
    assert (code, err) == (0, "")
    return file, out


def test_a_run_says_what_each_trial_inherits(finished):
    _, out = finished
    assert "study 'pbt': 12 done; all members have their epochs" in out
    later = [line for line in out.splitlines() if "trial 9 done" in line]
    assert len(later) == 1
    assert "epoch 6, weights of " in later[0]
    assert "weights of" not in next(line for line in out.splitlines() if "trial 3 done" in line)
    assert f"schedule {finished[0]}" in out


def test_more_epochs_go_on_with_the_same_members(evotune, finished):
    file, _ = finished
    before = read_study(str(file)).trials
    assert "all members already had their epochs" in evotune("run", file)[1]
    code, out, _ = evotune("run", file, "--epochs", 10)
    record = read_study(str(file))
    assert code == 0
    assert "resuming study 'pbt': 12 trials so far" in out
    assert [t.params for t in record.trials[:12]] == [t.params for t in before]
    assert len(record.trials) == 20
    assert max(step.end for step in record.steps.values()) == 10


def test_the_schedule_as_a_table_json_and_a_page(evotune, finished, tmp_path):
    file, _ = finished
    best = read_study(str(file)).best
    code, out, _ = evotune("schedule", file, "-o", tmp_path / "s.json")
    schedule = et.Schedule.load(tmp_path / "s.json")
    assert code == 0
    assert out.startswith(schedule.table())
    assert (len(schedule), schedule.trial) == (6, best.number)
    assert schedule[5] == best.params
    code, out, err = evotune("schedule", file, "--json")
    assert (code, err) == (0, "")
    assert et.Schedule.from_json(json.loads(out)["schedule"]) == schedule
    assert evotune("schedule", file, "-o", tmp_path / "s.html")[0] == 0
    assert "Plotly" in (tmp_path / "s.html").read_text()


def test_the_schedule_of_another_trial(evotune, finished):
    file, _ = finished
    first = read_study(str(file)).trials[0]
    lines = evotune("schedule", file, "--trial", 0)[1].splitlines()
    assert len(lines) == 2
    assert lines[1].split()[:2] == ["0-1", f"{first.params['lr']:.4g}"]
    assert "there is no trial 99" in evotune("schedule", file, "--trial", 99)[2]


def test_a_schedule_needs_a_known_ending_and_epochs(evotune, finished, study_file):
    code, _, err = evotune("schedule", finished[0], "-o", "s.txt")
    assert code == 1
    assert "written to a .json or .html file, got 's.txt'" in err
    plain = study_file("plain")
    evotune("run", plain)
    assert "does not tell how many epochs it trained" in evotune("schedule", plain)[2]


def test_show_lists_the_members(evotune, finished):
    file, _ = finished
    out = evotune("show", file)[1]
    assert "6 of a member's weights, 24 of all members together" in out
    members = out[out.index("\nmembers") : out.index("\nbest:")]
    rows = [line.split() for line in members.splitlines()[4:] if line.strip()]
    trials = read_study(str(file)).trials[-4:]
    assert [row[:4] for row in rows] == [
        [str(k), str(t.number), "4-5", "done"] for k, t in enumerate(trials)
    ]
    assert [row[5] for row in rows] == [str(t.weights_from) for t in trials]
    for row, trial in zip(rows, trials, strict=True):
        came = "child of " + "+".join(map(str, trial.parents))
        assert (came if trial.origin.mutated is not None else "went on") in " ".join(row)


def test_best_and_trials_tell_the_epochs_and_the_line(evotune, finished):
    file, _ = finished
    best = read_study(str(file)).best
    data = json.loads(evotune("best", file, "--json")[1])
    assert data["epochs"] == 6
    assert data["weights_line"][-1] == best.number
    assert data["weights_line"][-2] == best.weights_from
    arrows = " → ".join(map(str, data["weights_line"][:-1]))
    assert arrows in evotune("best", file)[1]
    header, _, *rows = evotune("trials", file)[1].splitlines()
    assert header.split()[3:5] == ["epochs", "weights"]
    assert [row.split()[3:5] for row in rows[:2]] == [["0-1", "fresh"]] * 2
    assert rows[-1].split()[3] == "4-5"


def test_plain_studies_look_as_before(evotune, study_file):
    file = study_file()
    out = evotune("run", file)[1] + evotune("show", file)[1] + evotune("trials", file)[1]
    assert "weights" not in out
    assert "weights_line" not in evotune("best", file, "--json")[1]


def test_tune_takes_it_by_name():
    def train(trial):
        trial.resume()
        trial.keep(done=[*trial.epochs()])
        return trial.params["lr"]

    space = et.Space(lr=et.Float(0, 1))
    study = et.tune(train, space, "min x", algorithm="PopulationBasedTraining", epochs=2, seed=1)
    assert len(study.trials) == 32
    with pytest.raises(et.EvotuneError, match="epochs=20 where weights are inherited"):
        et.tune(train, space, "min x", algorithm="PopulationBasedTraining")


def test_a_supervised_task_is_stacked_by_itself(evotune, study_file, tmp_path, caplog):
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    (tmp_path / "supervised.py").write_text(
        "import evotune as et, torch\n"
        "x, y = torch.randn(60, 4), torch.arange(60) % 2\n"
        'task = et.SupervisedTask(lambda p: torch.nn.Linear(4, 2), loss="cross_entropy",\n'
        '    optimizer="sgd", train=(x, y), validation=(x, y), batch_size=20)\n'
    )
    file = study_file(
        trials=None,
        epochs="2",
        algorithm='name = "PopulationBasedTraining"\npopulation_size = 4',
        task='function = "supervised:task"',
    )
    code, out, err = evotune("run", file)
    torch.set_num_threads(threads)
    assert (code, err) == (0, "")
    assert "8 done; all members have their epochs" in out
    assert "one by one" not in caplog.text


# -- studies that belong to another one ------------------------------------------------------------


@pytest.fixture
def compared(tmp_path):
    """A database with a study and the runs that it was compared with."""
    path = tmp_path / "runs.db"
    space = et.Space(lr=et.Float(0, 1))

    def train(trial):
        trial.resume()
        epochs = list(trial.epochs())
        trial.keep(epochs=epochs)
        return 1 - trial.params["lr"] / (1 + epochs[-1])

    algorithm = et.PopulationBasedTraining(space, population_size=4)
    with et.Study(algorithm, "max accuracy", storage=path, name="main", seed=1) as study:
        study.run(train, epochs=3)
        comparison = study.compare_with_random(train, runs=3)
    study.storage.close()
    return path, comparison


def test_the_report_finds_the_comparison(evotune, compared, tmp_path):
    path, comparison = compared
    assert isinstance(comparison, Comparison)
    assert evotune("report", path, "-o", tmp_path / "a.html")[0] == 0
    page = (tmp_path / "a.html").read_text()
    assert "Whether evolution helped" in page
    assert comparison.verdict("random search")[10:40] in page


def test_runs_for_comparison_do_not_hide_their_study(evotune, compared):
    path, _ = compared
    assert "main · random 1" in evotune("list", path)[1]
    assert json.loads(evotune("best", path, "--json")[1])["study"] == "main"
    frame = evotune("trials", path, "main · random 1", "--csv")
    assert frame[0] == 0
    assert len(pd.read_csv(io.StringIO(frame[1]))) == 4
