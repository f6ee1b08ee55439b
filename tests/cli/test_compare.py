"""``evotune compare``: the same task, the same seeds, and it goes on where it ended."""

import json

import pytest

from evotune.cli.source import open_source


@pytest.fixture
def two_files(study_file):
    """Write two files with one task, a genetic algorithm and random search."""

    def write(**changed):
        good = study_file(name="good")
        task = 'function = "good_train:train"'
        return good, study_file(
            name="plain", **{"algorithm": 'name = "RandomSearch"', "task": task} | changed
        )

    return write


def stored(file):
    storage, _ = open_source(str(file))
    try:
        return {s.definition.name: storage.trials(s.definition.name) for s in storage.studies()}
    finally:
        storage.close()


def test_files_are_run_with_the_same_seeds_and_compared(evotune, two_files, tmp_path):
    good, plain = two_files()
    code, out, err = evotune("compare", good, plain, "--seeds", 2, "-o", "page.html")
    assert (code, err) == (0, "")
    assert set(stored(good)) == {"good · seed 0", "good · seed 1"}
    assert set(stored(plain)) == {"plain · seed 0", "plain · seed 1"}
    assert "rank at 6" in out
    assert "2 runs of each cannot prove a difference" in out
    assert out.rstrip().endswith("page.html")
    assert 'id="differences"' in (tmp_path / "page.html").read_text("utf-8")


def test_the_same_command_goes_on(evotune, two_files):
    good, plain = two_files()
    evotune("compare", good, plain, "--seeds", 1)
    first = stored(good)["good · seed 0"]
    code, out, _ = evotune("compare", good, plain, "--seeds", 2, "--trials", 8)
    assert code == 0
    runs = stored(good)
    assert [len(trials) for trials in runs.values()] == [8, 8]
    assert runs["good · seed 0"][:6] == first
    assert "rank at 8" in out


def test_longer_runs_of_an_earlier_call_are_cut(evotune, two_files):
    files = two_files()
    short = evotune("compare", *files, "--seeds", 1, "--trials", 3)[1]
    evotune("compare", *files, "--seeds", 1)
    code, out, _ = evotune("compare", *files, "--seeds", 1, "--trials", 3)
    assert code == 0
    note = "2 runs had more trials from an earlier call: only the first 3 of each are compared"
    assert note in out
    assert note not in short
    assert "rank at 3" in out
    assert "rank at 6" not in out
    shorter = json.loads(evotune("compare", *files, "--seeds", 1, "--trials", 3, "--json")[1])
    assert any(note in text for text in shorter["notes"])


def test_algorithms_are_compared_on_one_file(evotune, study_file):
    file = study_file()
    code, out, err = evotune("compare", file, "--algorithms", "genetic, RandomSearch", "--seeds", 1)
    assert (code, err) == (0, "")
    assert set(stored(file)) == {"study · Genetic · seed 0", "study · RandomSearch · seed 0"}
    assert "Genetic" in out.partition("method")[2]


def test_what_is_stored_is_compared_without_running(evotune, study_file):
    file = study_file()
    evotune("compare", file, "--algorithms", "Genetic,RandomSearch,EvolutionStrategy", "--seeds", 1)
    database = file.with_suffix(".db")
    file.unlink()
    code, out, _ = evotune("compare", database)
    assert code == 0
    assert "of 3, over 1 paired run" in out
    code, out, _ = evotune("compare", database, "study · Genetic", "study · RandomSearch")
    assert code == 0
    assert "EvolutionStrategy" not in out
    assert "did you mean 'study · Genetic'" in evotune("compare", database, "study · Genetc")[2]
    error = evotune("compare", database, "--trials", 9)[2]
    assert "stored runs are compared as they are" in error


def test_a_comparison_as_json(evotune, study_file):
    file = study_file()
    code, out, err = evotune("compare", file, "--algorithms", "Genetic,RandomSearch", "--json")
    assert code == 0
    assert "study · Genetic · seed 0" in err  # what is said on the way is no JSON
    found = json.loads(out)
    (task,) = found["tasks"]
    (pair,) = found["pairs"]
    assert set(found["methods"]) == {pair["first"], pair["second"]} == {"Genetic", "RandomSearch"}
    assert found["ranks"]["Genetic"][-1] + found["ranks"]["RandomSearch"][-1] == 3
    assert len(task["results"]["Genetic"]) == len(task["seeds"]) >= 6
    best = evotune("best", file.with_suffix(".db"), "study · Genetic · seed 0", "--json")[1]
    assert task["results"]["Genetic"][0] == json.loads(best)["metrics"][task["metric"]]
    stored = json.loads(evotune("compare", file.with_suffix(".db"), "--json")[1])
    assert list(stored["tasks"][0]["results"].values()) == list(task["results"].values())


def test_a_storage_without_such_runs_says_how_to_make_them(evotune, study_file):
    file = study_file()
    evotune("run", file)
    code, _, err = evotune("compare", file.with_suffix(".db"))
    assert code == 1
    assert '"<method> · seed 0"' in err


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"objective": '"min accuracy"'}, "objective is max accuracy in one and min accuracy"),
        ({"trials": "7"}, "trials is 6 in one and 7 in the other"),
        ({"task": 'function = "plain_train:train"'}, "their [task] is not the same"),
    ],
)
def test_another_task_is_refused(evotune, two_files, changed, says):
    code, _, err = evotune("compare", *two_files(**changed))
    assert code == 1
    assert says in err


def test_files_need_names_of_their_own(evotune, two_files):
    good, plain = two_files()
    plain.write_text(plain.read_text().replace("[study]", '[study]\nname = "good"'))
    assert "two of the methods are named 'good'" in evotune("compare", good, plain)[2]


def test_another_space_is_not(evotune, two_files):
    files = two_files(space='lr = { type = "float", low = 1e-2, high = 1.0 }')
    assert evotune("compare", *files, "--seeds", 1)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["study.toml"], "needs a second method besides study.toml"),
        (["study.toml", "--algorithms", "Genetic"], "two or more names"),
        (["study.toml", "--algorithms", "Genetic,genetic"], "named 'Genetic'"),
        (["study.toml", "--algorithms", "Genetics,Grid"], "did you mean 'Genetic'"),
        (["study.toml", "study.toml", "--algorithms", "Genetic,Grid"], "takes one file, got 2"),
        (["study.toml", "runs.db"], "either TOML files or one storage"),
        (["runs.db"], "there is no file runs.db"),
    ],
)
def test_wrong_calls_are_explained(evotune, study_file, arguments, says):
    study_file()
    code, _, err = evotune("compare", *arguments)
    assert code == 1
    assert says in err


def test_a_run_that_finds_nothing_ranks_last(evotune, study_file):
    body = 'assert "seed 1" or trial.seed; assert trial.params["lr"] > 2; return 1.0'
    file = study_file(body=body, max_failures="1.0")
    code, out, _ = evotune("compare", file, "--algorithms", "Genetic,RandomSearch", "--seeds", 1)
    assert code == 0
    assert "6 trials, none of them with a result" in out
    assert "2 runs without any result that counts" in out
