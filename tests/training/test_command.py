"""A CommandTask runs a real program and reads what it prints."""

import datetime
import json
import math
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import cloudpickle
import numpy as np
import psutil
import pytest

import evotune as et
from evotune.errors import TaskError
from evotune.running import RunningTrial
from evotune.training import CommandTask, command
from evotune.trial import BARE_NUMBER, Failed, Trial
from helpers_training import start

SOURCE = Path(command.__file__).parents[2]
ECHO = "import json, sys; open('seen', 'w').write(json.dumps(sys.argv[1:])); print('{\"loss\": 1}')"


def python(code, *arguments):
    """A command that runs Python code with arguments."""
    braces_kept = code.replace("{", "{{").replace("}", "}}")
    return [sys.executable, "-S", "-c", braces_kept, *arguments]


def printing(text, **options):
    return CommandTask(python(f"print({text!r})"), **options)


def arguments_seen(tmp_path, command, trial, **options):
    """Return the arguments with which the program was called."""
    script = tmp_path / "echo.py"
    script.write_text(ECHO)
    command = command.replace("PROGRAM", f"{sys.executable} -S echo.py")
    assert CommandTask(command, cwd=tmp_path, **options)(trial) == {"loss": 1.0}
    return json.loads((tmp_path / "seen").read_text())


def test_genes_and_the_trials_own_numbers_are_filled_in(tmp_path):
    trial = start({"lr": 0.001, "layers": [8, 4], "deep": True, "act": "relu"}, seed=7, budget=3.0)
    command = (
        "PROGRAM --lr={lr} {lr:.1e} {layers} {deep} {act} {number} {seed} {budget} {{x}} 'a b'"
    )
    assert arguments_seen(tmp_path, command, trial) == [
        *("--lr=0.001", "1.0e-03", "[8, 4]", "true", "relu", "3", "7", "3", "{x}", "a b")
    ]


def test_a_value_stays_one_argument_whatever_it_holds(tmp_path):
    nasty = "a b; touch broken $(touch broken) `touch broken` \"'{lr}|>*\\\n"
    seen = arguments_seen(tmp_path, "PROGRAM {name} --x={name}", start({"name": nasty}))
    assert seen == [nasty, f"--x={nasty}"]
    assert not (tmp_path / "broken").exists()


def test_arguments_of_dormant_genes_are_left_out(tmp_path):
    command = "PROGRAM --verbose --depth {depth} --rate={rate} -b {lr} --pair {lr},{depth} end"
    trial = start({"lr": 0.1}, dormant={"depth": 3, "rate": 0.5})
    seen = arguments_seen(tmp_path, command, trial)
    assert seen == ["--verbose", "-b", "0.1", "--pair", "end"]
    active = start({"lr": 0.1, "depth": 3, "rate": 0.5})
    assert "--depth" in arguments_seen(tmp_path, command, active)


NETS = et.Space(
    deep=et.Bool(),
    head=et.Chain(0, 2, dense={"units": et.Int(1, 9)}, when={"deep": True}),
    features=et.Chain(1, 3, conv={"filters": et.Int(8, 64)}, pool={}),
)


def trial_of(**params):
    genome = NETS.complete(params)
    return RunningTrial(Trial(3, genome, NETS.params(genome), "running"))


def test_layers_reach_the_program_as_json(tmp_path):
    layers = [{"block": "conv", "filters": 16}, {"block": "pool"}]
    trial = trial_of(deep=True, features=layers, head=[])
    command = "PROGRAM {deep} --net {features} --head={head}"
    seen = arguments_seen(tmp_path, command, trial)
    assert seen == ["true", "--net", json.dumps(layers), "--head=[]"]
    code = (
        "import json, os; p = json.loads(os.environ['EVOTUNE_PARAMS']);"
        "print(json.dumps({'loss': len(p['features'])}))"
    )
    task = CommandTask(python(code), genes=NETS.entries)
    assert task(trial) == {"loss": 2.0}


def test_a_dormant_chain_is_left_out_as_genes_are(tmp_path):
    trial = trial_of(deep=False, features=[{"block": "pool"}])
    command = "PROGRAM {deep} --head {head} --net={features}"
    assert arguments_seen(tmp_path, command, trial) == ["false", '--net=[{"block": "pool"}]']
    with pytest.raises(TaskError, match="features"):
        arguments_seen(tmp_path, "PROGRAM {deep} {features.depth}", trial)


def test_the_tasks_budget_stands_in_for_the_algorithms(tmp_path):
    assert arguments_seen(tmp_path, "PROGRAM {budget}", start(), budget=5) == ["5"]
    assert arguments_seen(tmp_path, "PROGRAM {budget}", start(budget=2.5), budget=5) == ["2.5"]
    with pytest.raises(TaskError, match=r"write CommandTask\(\.\.\., budget=10\)"):
        arguments_seen(tmp_path, "PROGRAM {budget}", start())


def test_the_environment_carries_the_trial(monkeypatch):
    monkeypatch.setenv("EVOTUNE_BUDGET", "99")
    monkeypatch.setenv("KEPT", "1")
    code = (
        "import json, os; e = os.environ; p = json.loads(e['EVOTUNE_PARAMS']);"
        "print(json.dumps({'lr': p['lr'], 'seed': int(e['EVOTUNE_SEED']), 'kept': int(e['KEPT']),"
        "'number': int(e['EVOTUNE_NUMBER']), 'budget': int(e.get('EVOTUNE_BUDGET', -1)),"
        "'mine': int(e['MINE'])}))"
    )
    task = CommandTask(python(code), genes="lr", env={"MINE": 4})
    expected = {"lr": 0.5, "seed": 7, "kept": 1, "number": 3, "mine": 4}
    assert task(start({"lr": 0.5}, seed=7)) == expected | {"budget": -1}
    assert task(start({"lr": 0.5}, seed=7, budget=2)) == expected | {"budget": 2}


@pytest.mark.parametrize(
    ("text", "metrics"),
    [
        ('{"loss": 3}\n{"loss": 2, "accuracy": 0.5}\nbye', {"loss": 2.0, "accuracy": 0.5}),
        ('{"loss": 2}\n{"note": "end"}\n{"flag": true}\n{}\n[1]\n7', {"loss": 2.0}),
        ('{"loss": 3, "epoch": 1}\n{"loss": 0.3, "model": "cnn"}', {"loss": 0.3, "epoch": 1.0}),
        ('{"loss": 0.3, "best": null, "done": true, "path": {"a": 1}}', {"loss": 0.3}),
        ('{"loss": 3, "size": 1}\n{"loss": null}', {"size": 1.0}),  # not that of an earlier line
        ('{"loss": ' + "9" * 400 + "}", {"loss": float("inf")}),
        ("[" * 100_000 + '\n{"loss": 1}', {"loss": 1.0}),
    ],
)
def test_the_last_number_of_each_name_counts_in_json(text, metrics):
    assert printing(text)(start()) == metrics


def test_entries_that_are_no_numbers_are_named():
    with pytest.raises(Failed, match=r"no JSON object with a number.*'loss' is '0.3'") as caught:
        printing('{"loss": "0.3"}')(start())
    assert "'loss'" in str(caught.value).splitlines()[0]


def test_a_last_line_that_is_one_number_is_the_only_metric():
    assert printing("hello 3\n0.25\n")(start()) == {BARE_NUMBER: 0.25}
    assert printing('0.5\n{"loss": 1}\n0.25')(start()) == {"loss": 1.0}
    with pytest.raises(Failed, match=r"no JSON object .*no number alone .*metric = '.*\(\?P<"):
        printing("0.25\nbye")(start())


def test_named_groups_are_metrics_and_the_last_match_counts():
    text = "epoch 1 accuracy=0.5 loss=2\nepoch 2 accuracy=0.9 loss=1e-2\ndone"
    both = printing(text, metric=r"accuracy=(?P<accuracy>\S+) loss=(?P<loss>\S+)$")
    assert both(start()) == {"accuracy": 0.9, "loss": 0.01}
    either = printing(text, metric=r"accuracy=(?P<accuracy>\S+)|loss=(?P<loss>\S+)")
    assert either(start()) == {"accuracy": 0.9, "loss": 0.01}
    with pytest.raises(Failed, match="no 'size'"):
        printing(text, metric=r"accuracy=(?P<accuracy>\S+)|size=(?P<size>\S+)")(start())


def test_metrics_may_have_an_expression_each():
    task = printing("speed: 3\nval acc: 0.5", metric={"v/acc": r"^val acc: (\S+)", "s": r"d: (\d)"})
    assert task(start()) == {"v/acc": 0.5, "s": 3.0}


def test_a_failing_program_fails_the_trial_with_the_end_of_its_stderr():
    code = "import sys; [print('line', i, file=sys.stderr) for i in range(50)]; sys.exit(3)"
    with pytest.raises(Failed, match="exit code 3") as caught:
        CommandTask(python(code))(start())
    assert str(caught.value).splitlines()[1:] == [f"line {i}" for i in range(30, 50)]


def test_a_program_that_fails_silently_shows_its_stdout():
    with pytest.raises(Failed, match=r"(?s)exit code 1.*stdout.*so far so good"):
        CommandTask(python("print('so far so good'); raise SystemExit(1)"))(start())


def test_a_killed_program_names_the_signal():
    with pytest.raises(Failed, match=r"signal 9 \(Killed\)"):
        CommandTask(python("import os; os.kill(os.getpid(), 9)"))(start())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"(?s)no JSON object with a number.*hello"),
        ({"metric": r"loss=(?P<loss>\S+)"}, r"(?s)no 'loss'.*hello"),
        ({"metric": r"(?P<loss>hell)o"}, "'hell' as 'loss', which is not a number"),
    ],
)
def test_missing_metrics_show_what_was_printed(options, message):
    with pytest.raises(Failed, match=message):
        printing("hello", **options)(start())


def test_output_that_is_no_text_does_no_harm():
    code = "import sys; sys.stdout.buffer.write(b'\\xff\\xfe\\n{\"loss\": 2}\\n')"
    assert CommandTask(python(code))(start()) == {"loss": 2.0}


# A program that starts another one, writes down both process ids and waits.
NESTED = """
import os, pathlib, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(200)"])
pathlib.Path("part").write_text(f"{os.getpid()} {child.pid}")
os.rename("part", "pids")
time.sleep(200)
"""


def wait_for(condition):
    for _ in range(400):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it did not happen within 20 s")


def is_gone(pid):
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def assert_all_gone(directory):
    for pid in map(int, (directory / "pids").read_text().split()):
        wait_for(lambda pid=pid: is_gone(pid))


@pytest.mark.timeout(60)
def test_a_timeout_kills_the_program_and_what_it_started(tmp_path):
    with pytest.raises(Failed, match="longer than 2 s"):
        CommandTask(python(NESTED), cwd=tmp_path, timeout=2)(start())
    assert_all_gone(tmp_path)


def test_an_interrupt_kills_the_program_too(tmp_path):
    driver = (
        "from evotune.training.command import CommandTask; "
        "from evotune.running import RunningTrial; from evotune.trial import Trial; "
        f"task = CommandTask({python(NESTED)!r}, cwd={str(tmp_path)!r}); "
        "task(RunningTrial(Trial(0, {}, {})))"
    )
    environment = os.environ | {"PYTHONPATH": str(SOURCE)}
    process = subprocess.Popen(
        [sys.executable, "-c", driver], env=environment, stderr=subprocess.PIPE, text=True
    )
    wait_for((tmp_path / "pids").exists)
    process.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in process.communicate(timeout=20)[1]
    assert_all_gone(tmp_path)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL, signal.SIGHUP])
@pytest.mark.parametrize("workers", [1, 2])
def test_programs_end_with_their_driver(tmp_path, workers, how):
    script = tmp_path / "driver.py"
    script.write_text(
        "import evotune as et\n"
        f"task = et.CommandTask({python(NESTED)!r}, cwd={str(tmp_path)!r}, genes='x')\n"
        "space = et.Space(x=et.Float(0, 1))\n"
        f"et.Study(et.RandomSearch(space), 'min loss').run(task, trials=1, workers={workers})\n"
    )
    environment = os.environ | {"PYTHONPATH": str(SOURCE)}
    process = subprocess.Popen([sys.executable, script], env=environment)
    wait_for((tmp_path / "pids").exists)
    process.send_signal(how)
    process.wait(20)
    assert_all_gone(tmp_path)


@pytest.mark.parametrize("timeout", [None, 30])
def test_a_helper_that_holds_the_output_is_not_waited_for_and_lives_on(tmp_path, timeout):
    code = (
        "import subprocess, sys; "
        "helper = subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(60)']); "
        "open('helper', 'w').write(str(helper.pid)); print('{\"loss\": 2}')"
    )
    began = time.monotonic()
    assert CommandTask(python(code), cwd=tmp_path, timeout=timeout)(start()) == {"loss": 2.0}
    assert time.monotonic() - began < 30  # the helper sleeps for 60 s
    helper = psutil.Process(int((tmp_path / "helper").read_text()))
    assert helper.status() != psutil.STATUS_ZOMBIE
    helper.kill()


def test_the_end_of_a_long_output_is_kept():
    code = (
        "import sys\n"
        "for i in range(300_000): print(f'line {i} of many that a verbose program prints')\n"
        "print('{\"loss\": 2}')"
    )
    assert CommandTask(python(code))(start()) == {"loss": 2.0}
    tracemalloc.start()
    assert CommandTask(python(code))(start()) == {"loss": 2.0}
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 8 * 2**20  # of 14 MB printed


@pytest.mark.parametrize(
    ("command", "options", "message"),
    [
        ("no-such-program-here {lr}", {}, "'no-such-program-here' cannot be started"),
        ("ls {lr}", {"cwd": "/no/such/place"}, "cannot be started.*/no/such/place"),
        ("ls {lrr}", {}, r"placeholder \{lrr\}.*did you mean 'lr'"),
        ("ls", {}, "gene 'lr' has no effect"),
        ("ls {lr:.3q}", {}, r"'\{lr:.3q\}' cannot show 0.1"),
    ],
)
def test_a_command_that_can_never_work_ends_the_run(command, options, message):
    with pytest.raises(TaskError, match=message):
        CommandTask(command, **options)(start({"lr": 0.1}))


def test_an_unused_gene_suggests_the_placeholder():
    with pytest.raises(TaskError, match=r"'rat' has no effect; did you mean 'rate'\?"):
        CommandTask("ls {rate} {lr}")(start({"lr": 0.1, "rat": 1}, dormant={"rate": 2}))


def test_a_gene_may_not_be_named_like_the_trials_own_numbers():
    with pytest.raises(TaskError, match="a gene cannot be named 'seed'"):
        CommandTask("ls {seed}")(start({"seed": 4}))


@pytest.mark.parametrize(
    ("command", "options", "message"),
    [
        ("", {}, "command is empty"),
        ([], {}, "command is empty"),
        ("ls 'a", {}, "cannot be split: No closing quotation"),
        ("ls {a", {}, r"cannot be read.*write \{\{ or \}\}"),
        ("ls {}", {}, "empty braces"),
        ("ls", {"metric": "accuracy"}, "named groups"),
        ("ls", {"metric": "(?P<a>"}, "no valid regular expression"),
        ("ls", {"metric": {"a": r"\d"}}, "needs one group"),
        ("ls", {"metric": {}}, "named groups"),
        ("ls", {"timeout": 0}, "above 0, got 0"),
    ],
)
def test_bad_settings_are_refused_at_once(command, options, message):
    with pytest.raises(TaskError, match=message):
        CommandTask(command, **options)


def test_it_can_be_sent_to_another_process():
    task = printing("loss=2", metric=r"loss=(?P<loss>\d)")
    assert cloudpickle.loads(cloudpickle.dumps(task))(start()) == {"loss": 2.0}


def test_commands_need_no_torch():
    code = "import sys, evotune.training.command; print('torch' in sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == "False"


@pytest.mark.parametrize(
    "options",
    [
        *({"command": bad} for bad in (None, 3, b"train", {"train"})),
        *({"metric": bad} for bad in (None, 3, ["loss"])),
        *({"cwd": bad} for bad in (3, ["/"], "")),
        *({"env": bad} for bad in ("A=1", ["A"], 3)),
        *({"timeout": bad} for bad in ("3", True, 0, 10**400)),
        *({"budget": bad} for bad in ("3", math.nan, math.inf, [3])),
        *({"genes": bad} for bad in (3, [3], None)),
    ],
    ids=repr,
)
def test_options_of_the_wrong_type_are_named(options):
    with pytest.raises(TaskError, match=next(iter(options))):
        CommandTask(**{"command": "train {x}", **options})


def test_options_of_other_libraries_are_understood(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    task = CommandTask(
        ["sh", "-c", "printf '\\357\\273\\277{{\"here\": %d}}' $(ls seen | wc -l) # {budget}"],
        cwd="~",
        timeout=datetime.timedelta(seconds=30),
        budget=np.float32(3),
    )
    (tmp_path / "seen").touch()
    assert task(start()) == {"here": 1.0}


@pytest.mark.parametrize(
    ("command", "error"),
    [
        (["", "3"], TaskError),
        (["sh", "-c", "echo 'it cannot be started: no' >&2; exit 127"], Failed),
    ],
)
def test_a_program_that_cannot_be_started_is_told_from_one_that_says_so(command, error):
    with pytest.raises(error, match="cannot be started"):
        CommandTask(command)(start())
