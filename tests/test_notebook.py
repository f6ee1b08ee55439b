"""What notebooks show: tables, charts that follow a study, and the notebook among the examples."""

import json
import os
import pickle
import re
import sys
from pathlib import Path

import numpy as np
import pytest

import evotune as et
from evotune.errors import StudyError
from evotune.trial import TrialList

HOSTILE = "<img src=x onerror='alert(1)'>\u202e"
PLOTLY, HTML = "application/vnd.plotly.v1+json", "text/html"
WIDGET = "application/vnd.jupyter.widget-view+json"
ROOT = Path(__file__).parents[1]


def search(goal="max accuracy", trials=12):
    space = et.Space({HOSTILE: et.Choice(HOSTILE, "b"), "x": et.Float(0, 1)})
    study = et.Study(et.RandomSearch(space), goal, name=HOSTILE, seed=1)

    def train(trial):
        if trial.number == 3:
            raise ValueError(HOSTILE)
        trial.note(HOSTILE)
        x = trial.params["x"]
        return {"accuracy": x / 3, "size": 1 - x, HOSTILE: 1.0}

    return study.run(train, trials=trials)


def shown(study):
    front = TrialList(study.trials)
    failed = [trial for trial in study.trials if trial.failure]
    return [study, study.best, front, study.algorithm.space, study.importance(), *failed]


# -- tables ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("goal", ["max accuracy", ["max accuracy", "min size"]])
def test_every_text_of_a_user_is_escaped(goal):
    study = search(goal)
    for record in [*shown(study), study.front]:
        page = record._repr_html_()
        assert "<img" not in page
        assert "\u202e" not in page
        assert page.count("<table") == page.count("</table>") >= 1
        assert len(page) < 20_000


def test_tables_have_no_colours_that_a_dark_page_hides():
    for record in shown(search()):
        assert not re.search(r"[;\"]color:|background:(?!#3b7dc9)", record._repr_html_())


def test_a_study_shows_its_best_or_its_front():
    study = search()
    page = study._repr_html_()
    assert f"Best: accuracy {study.best.metrics['accuracy']:.5g}, trial {study.best.number}" in page
    assert "11 done, 1 failed" in page
    several = search(["max accuracy", "min size"])
    assert f"Pareto front: {len(several.front)} of 12 trials" in several._repr_html_()
    space = et.Space(x=et.Float(0, 1))
    assert "no finished trial yet" in et.Study(et.RandomSearch(space), "min a")._repr_html_()


def test_the_front_is_a_list_and_a_table():
    front = search(["max accuracy", "min size"]).front
    assert isinstance(front, list)
    assert front == list(front)
    assert front[0] in front
    assert pickle.loads(pickle.dumps(front)) == front
    assert front._repr_html_().count("<tr") == len(front) + 1
    assert "no trials" in TrialList()._repr_html_()
    many = TrialList(search(trials=80).trials)
    assert "30 more trials" in many._repr_html_()


def test_a_trial_in_one_line():
    study = search()
    assert repr(study.trials[3]).startswith("Trial(3, failed, ")
    assert len(repr(study.best)) < 300
    assert f"accuracy={study.best.metrics['accuracy']:.4g}, " in repr(study.best)
    assert "genome" not in repr(study.best)
    assert "\u202e" not in repr(study.best)
    long = et.Trial(0, {}, {f"gene {k}": np.pi for k in range(200)}, metrics={"a": np.pi})
    assert len(repr(long)) < 250
    assert "3.142" in repr(long)


def test_a_space_in_words():
    conv = {"filters": et.Int(8, 128, log=True), "kernel": et.Ordinal(1, 3, 5)}
    space = et.Space(
        lr=et.Float(1e-4, 3e-2, log=True),
        b=et.Choice("tree", "linear"),
        depth=et.Int(1, 9, when={"b": "tree"}),
        rate=et.Float(0, 1, step=0.25, when={"lr": et.Range(low=0.001)}),
        layers=et.Chain(1, 3, conv=conv, pool={}),
        fixed=et.Fixed(7),
    )
    assert repr(space).startswith(
        "Space(lr=Float(0.0001, 0.03, log=True), b=Choice('tree', 'linear'), "
        "depth=Int(1, 9, when={'b': ['tree']})"
    )
    page = re.sub(r' style="[^"]*"', "", space._repr_html_())
    for row in (
        "<td>lr</td><td>float</td><td>0.0001 to 0.03, log</td><td></td>",
        "<td>depth</td><td>int</td><td>1 to 9</td><td>b is tree</td>",
        "<td>rate</td><td>float</td><td>0 to 1, step 0.25</td><td>lr is from 0.001</td>",
        "<td>1 to 3 layers: conv (filters 8 to 128, log; kernel 1, 3, 5), pool</td>",
        "<td>fixed</td><td>fixed</td><td>7</td>",
    ):
        assert row in page


def test_an_importance_says_when_it_is_not_reliable():
    importance = search().importance()
    assert "not reliable" in importance._repr_html_()
    assert repr(importance).startswith("Importance(")
    assert repr(importance).endswith("11 trials, not reliable)")


# -- in a notebook --------------------------------------------------------------------------------


def test_watching_is_for_notebooks():
    with pytest.raises(StudyError, match=r"progress=True\) shows how far it is"):
        search().watch()
    with pytest.raises(StudyError, match="every"):
        search().watch(every=0)


def executed(cells, folder, monkeypatch):
    """Run cells in a kernel and return their outputs."""
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    monkeypatch.setenv("IPYTHONDIR", str(folder / "ipython"))
    if isinstance(cells, Path):
        notebook = nbformat.read(cells, as_version=4)
    else:
        made = [nbformat.v4.new_code_cell(cell) for cell in cells]
        notebook = nbformat.v4.new_notebook(cells=made)
    options = {"timeout": 120, "resources": {"metadata": {"path": str(folder)}}}
    nbclient.NotebookClient(notebook, **options).execute()
    return [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]


def kinds(outputs):
    return [kind for output in outputs for kind in output.get("data", {})]


def printed(outputs):
    return "".join(output["text"] for output in outputs if output.get("name") == "stdout")


BEGIN = """
import evotune as et, subprocess, sys, threading, time

def train(trial):
    time.sleep(0.02)
    return trial.params["x"]

space = et.Space(x=et.Float(0, 1))
"""
THREAD = """
study = et.Study(et.RandomSearch(space), "max a", name="<b>net</b>", seed=1)
run = dict(trials=30, progress=False)
threading.Thread(target=study.run, args=(train,), kwargs=run).start()
study.watch(every=0.1)
print(study.counts)
"""
INTERRUPTED = """
import _thread

study = et.Study(et.RandomSearch(space), "max a", seed=1)
run = dict(trials=10_000, progress=False)
runner = threading.Thread(target=study.run, args=(train,), kwargs=run)
runner.start()
threading.Timer(0.5, _thread.interrupt_main).start()
study.watch(every=0.1)
print("goes on:", runner.is_alive())
study.stop()
runner.join()
"""
PROCESS = f"""
code = '''{BEGIN}
with et.Study(et.RandomSearch(space), "max a", storage="runs.db", seed=1) as study:
    study.run(train, trials=40)
'''
other = subprocess.Popen([sys.executable, "-c", code])
while True:
    try:
        study = et.open("runs.db")
        break
    except et.EvotuneError:
        time.sleep(0.05)
study.watch(every=0.1)
print(other.wait(), et.open("runs.db").counts)
"""


def test_a_notebook_follows_a_thread_and_another_process(tmp_path, monkeypatch):
    cells = [BEGIN, THREAD, PROCESS, INTERRUPTED]
    _, thread, process, interrupted = executed(cells, tmp_path, monkeypatch)
    for outputs, trials in ((thread, 30), (process, 40)):
        [chart] = [output for output in outputs if PLOTLY in output.get("data", {})]
        title = chart["data"][PLOTLY]["layout"]["title"]["text"]
        assert f"{trials} done" in title
        assert "<b>" not in title
        assert f"'done': {trials}" in printed(outputs)
    assert "goes on: True" in printed(interrupted)


def test_the_notebook_of_the_examples(tmp_path, monkeypatch):
    outputs = executed(ROOT / "examples" / "18_notebook.ipynb", tmp_path, monkeypatch)
    _, space, run, best, resumed, watched, progress, contour, parallel, importance, *_, last = (
        outputs
    )
    assert HTML in kinds(space)
    assert WIDGET in kinds(run) or "12/12" in json.dumps(run)
    for cell in (run, best, importance):
        assert HTML in kinds(cell)
    for cell in (watched, progress, contour, parallel):
        assert PLOTLY in kinds(cell)
    assert printed(resumed) == "{'done': 12}\n{'done': 18}\n"
    assert float(printed(last).split()[1]) > 0.8
    assert {"digits.db", "digits.html", "digits.pt"} <= {path.name for path in tmp_path.iterdir()}


def test_the_notebook_of_the_examples_is_stored_without_outputs():
    stored = json.loads((ROOT / "examples" / "18_notebook.ipynb").read_text("utf-8"))
    assert not any(cell.get("outputs") for cell in stored["cells"])
