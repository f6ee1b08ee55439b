import signal
import sys
import time

import pytest

from evotune.cli.source import read_study


def wait_for(process, line):
    """Wait until the output of a process contains a text."""
    while line not in process.said():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def records(file):
    return [(t.number, t.state, t.params, t.values) for t in read_study(str(file)).trials]


def test_a_run_ends_with_the_best_and_what_to_do_next(evotune, study_file):
    file = study_file()
    code, out, err = evotune("run", file)
    assert (code, err) == (0, "")
    assert out.count("trial ") >= 6
    assert "[6/6] trial 5 done  accuracy=" in out
    assert "study 'study': 6 done; all trials are done" in out
    best = read_study(str(file)).best
    assert f"best: trial {best.number}" in out
    for command in ("show", "report", "best"):
        assert f"{command} {file}" in out


def test_the_same_command_goes_on_and_then_has_nothing_to_do(evotune, study_file):
    file = study_file()
    evotune("run", file, "--trials", 3)
    first = records(file)
    code, out, _ = evotune("run", file)
    assert code == 0
    assert "resuming study 'study': 3 trials so far" in out
    assert records(file)[:3] == first
    assert len(records(file)) == 6
    _, out, _ = evotune("run", file)
    assert "all trials were already done; raise --trials to continue" in out
    assert len(records(file)) == 6


def test_options_go_before_the_file(evotune, study_file):
    file = study_file(seed=None)
    evotune("run", file, "--trials", 2, "--seed", 9)
    record = read_study(str(file))
    assert (record.definition.seed, len(record.trials)) == (9, 2)
    code, _, err = evotune("run", file, "--seed", 8)
    assert code == 1
    assert "~ seed: 9 -> 8" in err


def test_another_space_is_refused(evotune, study_file):
    evotune("run", study_file())
    code, _, err = evotune("run", study_file(space='lr = { type = "float", low = 0, high = 1 }'))
    assert code == 1
    assert "study 'study' exists already and differs" in err


def test_failures_are_counted_and_kept(evotune, study_file):
    body = 'assert trial.number % 2, "even"; return 1.0'
    code, out, _ = evotune("run", study_file(body=body))
    assert code == 0
    assert "trial 0 failed  AssertionError: even" in out
    assert "3 failed" in out


def test_no_result_at_all_is_an_error_that_says_why(evotune, study_file):
    code, _, err = evotune("run", study_file(body='raise ValueError("no luck")'))
    assert code == 1
    assert err.startswith("error: all of 6 trials failed; trial 0: ValueError: no luck\n")


def test_workers_import_what_lies_beside_the_file(evotune, study_file, tmp_path):
    (tmp_path / "beside.py").write_text("def accuracy(lr): return 1 - lr")
    body = 'import beside; return {"accuracy": beside.accuracy(trial.params["lr"])}'
    code, out, err = evotune("run", study_file(body=body), "--workers", 2)
    assert (code, err) == (0, "")
    assert "6 done" in out


def test_a_command_is_tuned(evotune, study_file, tmp_path):
    (tmp_path / "measure.py").write_text(
        "import json, sys\nprint(json.dumps({'accuracy': 1 - float(sys.argv[1])}))"
    )
    file = study_file(task=f"command = '{sys.executable} measure.py {{lr}}'", trials="2")
    assert evotune("run", file)[0] == 0
    for _, state, params, values in records(file):
        assert state == "done"
        assert values == (params["lr"] - 1,)


def test_a_program_may_print_one_number(evotune, study_file, tmp_path):
    (tmp_path / "measure.py").write_text("import sys\nprint('hello')\nprint(float(sys.argv[1]))")
    task = f"command = '{sys.executable} -S measure.py {{lr}}'"
    file = study_file(task=task, objective='"min loss"', trials="2")
    assert evotune("run", file)[0] == 0
    assert all(values == (params["lr"],) for _, _, params, values in records(file))
    two = study_file(name="two", task=task, objective='["min loss", "min size"]', trials="2")
    _, _, err = evotune("run", two)
    assert "the objectives need 'loss', 'size'" in err
    assert "JSON object" in err


def test_a_program_that_fails_shows_no_lines_of_evotune(evotune, study_file):
    task = f"command = '{sys.executable} -S -c \"print(8, 9)\" {{lr}}'"
    file = study_file(task=task, trials="2")
    said = evotune("run", file)[2] + evotune("trial", file, 0)[1]
    assert "metric = 'accuracy=(?P<accuracy>" in said
    assert "Traceback" not in said
    assert "command.py" not in said


HALF = 'assert trial.number % 2 == 0, "odd"; return 1.0'


def fix(file):
    """Mend the function of a study of `HALF`; modules stay imported within a test."""
    sys.modules.pop(f"{file.stem}_train")
    file.with_name(f"{file.stem}_train.py").write_text("def train(trial): return 2.0  # mended\n")


def test_a_resumed_run_tells_of_failed_trials_and_not_as_if_new(evotune, study_file):
    file = study_file(body=HALF, max_failures="1.0", algorithm='name = "Hybrid"')
    evotune("run", file)  # a resumed run tells the algorithm of the last trial once more
    fix(file)
    _, out, _ = evotune("run", file, "--trials", 8)
    assert "3 failed trials count towards the 8 of the study" in out
    assert f"run {file} --retry-failed" in out
    assert "trial 5 failed" not in out
    assert "[8/8] trial 7 done" in out


def test_failed_trials_are_tried_again_when_asked(evotune, study_file):
    file = study_file(body=HALF, max_failures="1.0")
    evotune("run", file)
    failed = [r[2] for r in records(file) if r[1] == "failed"]
    fix(file)
    code, out, _ = evotune("run", file, "--retry-failed")
    assert code == 0
    assert f"the params of {len(failed)} failed trials are tried again" in out
    again = records(file)[6:]
    assert [(r[1], r[2]) for r in again] == [("done", params) for params in failed]
    assert "no failed trial is left to try again" in evotune("run", file, "--retry-failed")[1]
    assert "failed trials count" not in evotune("run", file)[1]
    assert len(records(file)) == 6 + len(failed)


def test_a_population_tries_no_failed_trials_again(evotune, population_file):
    code, _, err = evotune("run", population_file(), "--retry-failed")
    assert code == 1
    assert "leave the option out" in err


def test_a_mistake_in_every_trial_ends_the_run(evotune, study_file):
    code, _, err = evotune("run", study_file(task='command = "echo {lrr}"'))
    assert code == 1
    assert "{lrr}" in err
    assert "did you mean 'lr'?" in err


@pytest.mark.parametrize(
    ("option", "says"),
    [("target = 0.0", "the target is reached"), ("timeout = 0.1", "the time is up")],
)
def test_why_it_ended(evotune, study_file, option, says):
    key, _, value = option.partition(" = ")
    file = study_file(trials=None, body="time.sleep(0.05); return 1.0", **{key: value})
    assert says in evotune("run", file)[1]


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_and_run_again_it_is_as_if_never_killed(evotune, spawn, study_file, workers):
    body = 'time.sleep(0.05); return 1.0 - trial.params["lr"]'
    file = study_file(body=body, trials="14", workers=str(workers))
    process = spawn("run", file)
    wait_for(process, "trial 5 done")
    process.kill()
    process.wait()
    kept = [record for record in records(file) if record[1] == "done"]
    assert 6 <= len(kept) < 14
    code, out, err = evotune("run", file)
    assert (code, err) == (0, "")
    assert f"resuming study 'study': {len(kept)} trials so far" in out
    whole = study_file(name="whole", body=body, trials="14", workers=str(workers))
    evotune("run", whole)
    assert records(file) == records(whole)


def test_ctrl_c_keeps_what_is_finished(evotune, spawn, study_file):
    file = study_file(body="time.sleep(0.1); return 1.0", trials="100")
    process = spawn("run", file)
    wait_for(process, "trial 2 done")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    ended = sum(state == "done" for _, state, _, _ in records(file))
    assert process.returncode == 130
    assert f"interrupted: {ended} trials kept; run the same command to resume" in out
    assert err == ""


def test_a_second_process_is_refused_unless_it_takes_over(evotune, spawn, study_file):
    file = study_file(body="time.sleep(0.1); return 1.0", trials="100")
    process = spawn("run", file)
    wait_for(process, "trial 0 done")
    code, _, err = evotune("run", file)
    assert code == 1
    assert f"is driven by process {process.pid}" in err
    assert "--take-over" in err
    assert evotune("run", file, "--take-over", "--trials", 1)[0] == 0
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "error: study 'study' is" in errors


def test_a_file_may_use_a_domain_of_the_module_that_it_names(evotune, study_file, tmp_path):
    whole = 'x = { type = "int", low = 0, high = 9, step = 3 }'
    file = study_file(space=f'lr = {{ type = "halves", most = 3 }}\n{whole}')
    module = tmp_path / "study_train.py"
    module.write_text(
        "from dataclasses import dataclass\nfrom typing import Any\n\n"
        "from evotune.space import Domain\n\n\n"
        "@dataclass(frozen=True)\nclass Halves(Domain):\n"
        '    most: int\n    when: Any = None\n    kind = "halves"\n    size = 4\n\n'
        "    def contains(self, value):\n        return value in list(self.values())\n\n"
        "    def to_unit(self, value):\n        return (2 * value * self.most + 0.5) / 4\n\n"
        "    def from_unit(self, unit):\n        return min(int(4 * unit), 3) / 2 / self.most\n\n\n"
        + module.read_text()
    )
    code, _, err = evotune("run", file)
    assert (code, err) == (0, "")
    assert {params["x"] % 3 for _, _, params, _ in records(file)} == {0}
    code, out, err = evotune("show", file)
    assert (code, err) == (0, "")
    assert "halves" in out
