import re
from itertools import product
from pathlib import Path

import pytest

from evotune.algorithms.auto import auto
from evotune.cli import config
from evotune.cli.config import load, location
from evotune.errors import ConfigError
from evotune.evolution.exploitation import Binary, Everyone, Quantile
from evotune.evolution.fitness import Improvement, Smoothed
from evotune.evolution.rates import Decay
from evotune.evolution.selection import Tournament
from evotune.objectives import Constraint, Objective, WeightedSum
from evotune.running import RunningTrial
from evotune.space import Choice, Fixed, Float, Int
from evotune.space.crossover import Uniform
from evotune.space.mutation import Gaussian, Perturb
from evotune.space.refine import Refinement
from evotune.trial import Trial


def test_the_format_in_the_docstring_is_valid(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    text = "\n".join(re.findall(r"^    (.*)$|^$", config.__doc__, re.MULTILINE))
    before, *algorithms = text.split("[algorithm]")
    algorithms[-1], *tasks = algorithms[-1].split("[task]")
    (tmp_path / "train.py").write_text("def train(trial): return 1.0")
    file = tmp_path / "digits.toml"
    found = []
    for algorithm, task in product(algorithms, tasks):
        file.write_text(f"{before}[algorithm]{algorithm}[task]{task}")
        loaded = load(file, {})
        found.append(type(loaded.algorithm).__name__)
        assert loaded.name == "digits"
        assert loaded.of_run["workers"] == 2
        assert loaded.of_run["epochs"] == 20
    assert found[::2] == ["Genetic", "PopulationBasedTraining", "Islands"]
    assert loaded.evaluate.budget == 10


def test_tables_become_objects(study_file):
    file = study_file(
        objective='["max accuracy", { weighted = { speed = 1, memory = -0.5 } }]',
        constraints='[{ metric = "memory", at_most = 10 }]',
        space=(
            'booster = { type = "choice", values = ["tree", "linear"] }\n'
            'depth = { type = "int", low = 1, high = 9, when = { booster = "tree" } }\n'
            'seed = { type = "fixed", value = 3 }\n'
            '"learning rate" = { type = "float", low = 0, high = 1, step = 0.5 }'
        ),
        algorithm=(
            'name = "Genetic"\npopulation_size = 6\nselection = { name = "Tournament", size = 4 }\n'
            'crossover = "Uniform"\nmutation = { name = "Gaussian", scale = [0.1, 0.2] }\n'
            'mutation_rate = { name = "Decay", initial = 0.3 }\nrefinement = { every = 7 }\n'
            'start = "sobol"'
        ),
    )
    loaded = load(file, {})
    accuracy, weighted = loaded.objectives.objectives
    assert accuracy == Objective("accuracy", "max")
    assert weighted == WeightedSum(speed=1, memory=-0.5)
    assert loaded.objectives.constraints == (Constraint("memory", at_most=10),)
    genetic = loaded.algorithm
    assert genetic.population_size == 6
    assert genetic.selection == Tournament(4)
    assert genetic.variation.crossover == Uniform()
    assert genetic.variation.mutation == Gaussian(rate=0.3, scale=(0.1, 0.2))
    assert genetic.schedule == Decay(initial=0.3)
    assert genetic.refinement == Refinement(every=7)
    assert genetic.space.domains == {
        "booster": Choice("tree", "linear"),
        "depth": Int(1, 9, when={"booster": "tree"}),
        "seed": Fixed(3),
        "learning rate": Float(0, 1, step=0.5),
    }


PBT = 'name = "PopulationBasedTraining"\n'


def test_population_based_training(study_file):
    options = (
        'population_size = 6\ninterval = { name = "GrowingInterval", initial = 2, patience = 5 }\n'
        'parents = 1\nexploit = { name = "Quantile", share = 0.2 }\nshrink_perturb = [0.4, 0.1]\n'
        'crossover = "Segment"\nmutation = { name = "Perturb", factors = [0.5, 2.0] }\n'
        "seeds = [{ lr = 0.1 }]"
    )
    file = study_file(
        trials=None,
        epochs="20",
        algorithm=PBT + options,
        checkpoints='{ location = "weights", quota = "2 MB", write_every = 3 }',
    )
    loaded = load(file, {})
    algorithm, store = loaded.algorithm, loaded.of_study["checkpoints"]
    assert algorithm.breeding.exploit == Quantile(0.2)
    assert algorithm.breeding.parents == 1
    assert algorithm.shrink_perturb == (0.4, 0.1)
    assert algorithm.variation.mutation == Perturb(factors=(0.5, 2.0))
    assert algorithm.interval == 2
    assert loaded.of_run == {"epochs": 20}
    assert (store.quota, store.write_every) == (2_000_000, 3)


@pytest.mark.parametrize(
    ("interval", "exploit"), [('"auto"', '"binary"'), ("4", '"Binary"'), ("{ initial = 1 }", None)]
)
def test_short_forms_of_its_options(study_file, interval, exploit):
    lines = f"interval = {interval}\n" + (f"exploit = {exploit}" if exploit else "")
    algorithm = load(study_file(algorithm=PBT + lines), {}).algorithm
    assert algorithm.interval == (4 if interval == "4" else 1)
    assert algorithm.breeding.exploit == (Binary() if exploit else Everyone())


@pytest.mark.parametrize(
    ("given", "expected"),
    [('"smoothed"', Smoothed()), ('"Improvement"', Improvement()), ("0", None)],
)
def test_a_fitness_has_short_forms(study_file, given, expected):
    if expected is None:
        with pytest.raises(ConfigError, match="fitness"):
            load(study_file(algorithm=PBT + f"fitness = {given}\n"), {})
        return
    options = f'fitness = {given}\ninterval = {{ name = "GrowingInterval", restart = "model" }}\n'
    algorithm = load(study_file(algorithm=PBT + options), {}).algorithm
    assert f"fitness={expected}" in repr(algorithm)
    assert "restart='model'" in repr(algorithm)


def test_islands_hold_algorithms(study_file):
    islands = (
        'name = "Islands"\ntopology = "star"\nevery = 4\nsend = 2\nislands = [\n'
        '{ name = "PopulationBasedTraining", interval = 1, mutation = "Creep" },\n'
        '{ recipe = "classic_population_training", interval = 4 } ]'
    )
    algorithm = load(study_file(algorithm=islands), {}).algorithm
    assert [inner.interval for inner in algorithm.algorithms] == [1, 4]
    assert algorithm.neighbours == ((1,), (0,))
    assert (algorithm.every, algorithm.send) == (4, 2)


@pytest.mark.parametrize("name", ["SuccessiveHalving", "Hyperband"])
def test_halving_holds_an_algorithm(study_file, name):
    table = (
        f'name = "{name}"\nminimum = 0.1\nmaximum = 1\nresume = false\n'
        'algorithm = { name = "Genetic", population_size = 5, mutation = "Creep" }'
    )
    algorithm = load(study_file(algorithm=table), {}).algorithm
    assert type(algorithm).__name__ == name
    assert algorithm.algorithm.population_size == 5
    assert (algorithm.budgets[0], algorithm.budgets[-1], algorithm.resume) == (0.1, 1, False)


def test_a_recipe_hands_options_on(study_file):
    recipe = 'recipe = "multiple_frequencies"\nintervals = [1, 3]\n'
    loaded = load(study_file(algorithm=recipe + "elitism = 2"), {})
    assert [inner.breeding.elitism for inner in loaded.algorithm.algorithms] == [2, 2]
    with pytest.raises(ConfigError, match=r"\[algorithm\]: .*'elitsm'"):
        load(study_file(algorithm=recipe + "elitsm = 2"), {})


@pytest.mark.parametrize(
    ("given", "place"),
    [('"w"', "{folder}/w"), ('"/var/w"', "/var/w"), ('"s3://bucket/w"', "s3://bucket/w")],
)
def test_weights_lie_beside_the_file(study_file, monkeypatch, given, place):
    file = study_file(checkpoints=given)
    monkeypatch.chdir("/")
    store = load(file, {}).of_study["checkpoints"]
    assert repr(store).startswith(f"Checkpoints('{place.format(folder=file.parent)}'")


def test_a_recipe_is_an_algorithm_by_its_name(study_file):
    file = study_file(algorithm='recipe = "dynamic_hyperparameters"\npopulation_size = 8')
    assert load(file, {}).algorithm.offspring == 4


def test_the_algorithm_may_be_left_out(study_file):
    algorithm = load(study_file(algorithm="", trials="35"), {}).algorithm
    assert repr(algorithm) == repr(auto(algorithm.space, trials=35))


def test_overrides_go_before_the_file(study_file):
    loaded = load(study_file(trials="0"), {"trials": 9, "workers": 2, "seed": 4})
    assert loaded.of_run == {"trials": 9, "workers": 2}
    assert loaded.of_study == {"seed": 4}


@pytest.mark.parametrize(
    ("storage", "expected"),
    [
        (None, "study.db"),
        ('"runs/a.db"', "runs/a.db"),
        ('"sqlite:///runs.db"', "runs.db"),
        ('"sqlite:////var/runs.db"', "/var/runs.db"),
    ],
)
def test_sqlite_files_are_relative_to_the_file(study_file, monkeypatch, storage, expected):
    file = study_file(storage=storage)
    monkeypatch.chdir("/")
    assert location(file) == ("study", file.parent / expected)


def test_a_server_is_left_as_it_is(study_file):
    url = "postgresql://ada@host/runs"
    assert location(study_file(name="a", storage=f'"{url}"')) == ("a", url)


@pytest.mark.parametrize("spec", ["{name}_train:train", "{name}_train.py:train"])
def test_functions_by_module_and_by_file(study_file, monkeypatch, spec):
    file = study_file(name="apart", task=f'function = "{spec.format(name="apart")}"')
    monkeypatch.chdir("/")
    trial = Trial(0, {"lr": 0.25}, {"lr": 0.25})
    assert load(file, {}).evaluate(RunningTrial(trial)) == {"accuracy": 0.75}


def test_a_file_in_a_folder_below(study_file, tmp_path):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "deeper.py").write_text("def train(trial): return 2.0")
    assert load(study_file(task='function = "code/deeper.py:train"'), {}).evaluate(None) == 2.0


def test_commands_run_in_the_folder_of_the_file(study_file):
    file = study_file(task='command = "pwd"\nmetric = "(?P<accuracy>x)"\ncwd = "sub"')
    assert load(file, {}).evaluate.cwd == file.parent / "sub"


BAD = {
    "negative trials": (
        {"trials": "-3"},
        r"\[study\]: trials must be a whole number from 1 up, got -3",
    ),
    "trials as text": ({"trials": '"6"'}, r"\[study\]: 'trials' must be a number, got '6'"),
    "zero workers": ({"workers": "0"}, "workers must be a whole number from 1 up, got 0"),
    "half a worker": ({"workers": "1.5"}, "'workers' must be a whole number, got 1.5"),
    "negative timeout": ({"trial_timeout": "-1"}, "trial_timeout must be a number above 0"),
    "no end": ({"trials": None}, "needs to know when to stop: write trials = 60"),
    "unknown key": ({"trails": "6"}, "unknown key 'trails'; did you mean 'trials'?"),
    "no objective": ({"objective": None}, 'write objective = "max accuracy"'),
    "half an objective": ({"objective": '"accuracy"'}, 'write "max accuracy"'),
    "objective twice": ({"objective": '["max a", "min a"]'}, "two objectives are named 'a'"),
    "weights": ({"objective": "{ weighted = 3 }"}, "objective: needs a table in braces, got 3"),
    "open constraint": ({"constraints": '[{ metric = "a" }]'}, "constraints: .* has no bound"),
    "duplicates": ({"duplicates": '"keep"'}, '"redraw" or "repeat" or "allow", got \'keep\''),
    "memory": ({"storage": '"memory"'}, "would be lost"),
    "storage": ({"storage": "3"}, "'storage' must be a text, got 3"),
    "unknown algorithm": (
        {"algorithm": 'name = "genetik"'},
        r"\[algorithm\]: unknown algorithm 'genetik'; did you mean 'Genetic'\?",
    ),
    "unknown option": (
        {"algorithm": 'name = "Genetic"\npopulaton_size = 3'},
        "unknown option 'populaton_size'; did you mean 'population_size'?",
    ),
    "option type": (
        {"algorithm": 'name = "Genetic"\npopulation_size = 3.5'},
        "'population_size' must be a whole number, got 3.5",
    ),
    "a table for a list": (
        {"algorithm": 'name = "Genetic"\nseeds = { lr = 0.5 }'},
        r"'seeds' must be a list of tables, got \{'lr': 0.5\}",
    ),
    "a text for a list": (
        {"algorithm": 'name = "Genetic"\nmutation = { name = "Gaussian", scale = "a" }'},
        "'scale' must be a number or a list of 2 numbers or a table, got 'a'",
    ),
    "a number for an operator": (
        {"algorithm": 'name = "Genetic"\nselection = 3'},
        "'selection' must be a name or a table .*, got 3. Known: .*Tournament",
    ),
    "option bounds": (
        {"algorithm": 'name = "Genetic"\npopulation_size = 1'},
        r"\[algorithm\]: Genetic: .*population_size",
    ),
    "option of auto": ({"algorithm": "population_size = 3"}, ", name an algorithm"),
    "unknown operator": (
        {"algorithm": 'name = "Genetic"\nselection = "Turnament"'},
        "selection: unknown selection 'Turnament'; did you mean 'Tournament'?",
    ),
    "operator option": (
        {"algorithm": 'name = "Genetic"\ncrossover = { name = "Blend", aplha = 1 }'},
        "crossover: unknown option 'aplha'; did you mean 'alpha'?",
    ),
    "nameless operator": (
        {"algorithm": 'name = "Genetic"\nmutation = { rate = 0.1 }'},
        "mutation: needs a name: one of Creep",
    ),
    "unknown exploitation": (
        {"algorithm": PBT + 'exploit = "quantil"'},
        r"\[algorithm\]: exploit 'quantil' is not known; did you mean 'quantile'",
    ),
    "no interval": (
        {"algorithm": PBT + 'interval = "often"'},
        '\'interval\' must be a whole number or "auto" or { name = "GrowingInterval", ... }, '
        "got 'often'",
    ),
    "interval option": (
        {"algorithm": PBT + "interval = { inital = 1 }"},
        "interval: unknown option 'inital'; did you mean 'initial'?",
    ),
    "no islands": (
        {"algorithm": 'name = "Islands"'},
        r"\[algorithm\]: Islands needs a list of algorithms: write islands = ",
    ),
    "nothing to halve": (
        {"algorithm": 'name = "Hyperband"\nmaximum = 9'},
        r"\[algorithm\]: Hyperband needs an algorithm inside: write algorithm = ",
    ),
    "a wrong algorithm inside": (
        {"algorithm": 'name = "SuccessiveHalving"\nalgorithm = { name = "Genetik" }'},
        r"\[algorithm\]: algorithm: unknown algorithm 'Genetik'; did you mean 'Genetic'?",
    ),
    "a wrong option of halving": (
        {"algorithm": 'name = "SuccessiveHalving"\nminimun = 1\nalgorithm = { name = "Genetic" }'},
        r"\[algorithm\]: unknown option 'minimun'; did you mean 'minimum'",
    ),
    "rungs that are no epochs": (
        {
            "algorithm": 'name = "SuccessiveHalving"\nminimum = 0.5\n'
            'algorithm = { name = "Genetic" }'
        },
        r"\[algorithm\]: SuccessiveHalving: minimum and maximum are epochs",
    ),
    "a wrong island": (
        {"algorithm": 'name = "Islands"\nislands = [{ name = "Genetic" }, { name = "Genetik" }]'},
        "island 1: unknown algorithm 'Genetik'; did you mean 'Genetic'?",
    ),
    "one island": (
        {"algorithm": 'name = "Islands"\nislands = [{ name = "Genetic" }]'},
        "Islands needs a list of two algorithms or more",
    ),
    "epochs as text": ({"epochs": '"20"'}, r"\[study\]: 'epochs' must be a number, got '20'"),
    "negative epochs": ({"epochs": "-1"}, "epochs must be a whole number from 1 up, got -1"),
    "quota": ({"checkpoints": '{ quota = "2 XB" }'}, "checkpoints: .*quota must be a number"),
    "checkpoint option": (
        {"checkpoints": '{ qouta = "2 GB" }'},
        "checkpoints: unknown option 'qouta'; did you mean 'quota'?",
    ),
    "checkpoints as a number": ({"checkpoints": "3"}, "checkpoints: 'location' must be a text"),
    "function in a file": (
        {"algorithm": 'name = "Genetic"\nsurvival = "best"'},
        "'survival' must be left out",
    ),
    "unknown recipe": (
        {"algorithm": 'recipe = "dynamic_hyperparameter"'},
        "did you mean 'dynamic_hyperparameters'?",
    ),
    "name and recipe": ({"algorithm": 'name = "Grid"\nrecipe = "x"'}, "got both name and recipe"),
    "unknown type": (
        {"space": 'lr = { type = "flaot", low = 0, high = 1 }'},
        r"\[space\]: lr: unknown type 'flaot'; did you mean 'float'\?",
    ),
    "unknown domain option": (
        {"space": 'lr = { type = "float", low = 0, hihg = 1 }'},
        "lr: unknown option 'hihg'; did you mean 'high'?",
    ),
    "missing bound": ({"space": 'lr = { type = "int", low = 0 }'}, "lr: Int needs 'high'"),
    "low above high": ({"space": 'lr = { type = "int", low = 2, high = 1 }'}, "low lies above"),
    "log as text": (
        {"space": 'lr = { type = "float", low = 1, high = 2, log = "yes" }'},
        "'log' must be true or false, got 'yes'",
    ),
    "bare number": ({"space": "lr = 0.1"}, 'got 0.1. For a constant write {type = "fixed"'),
    "no list": ({"space": 'a = { type = "choice", values = "ab" }'}, "'values' must be a list"),
    "no gene": ({"space": ""}, r"\[space\]: a space needs a gene"),
    "dangling condition": (
        {"space": 'a = { type = "bool", when = { b = true } }'},
        r"\[space\]: gene 'a' depends on 'b'",
    ),
    "both tasks": ({"task": 'function = "a:b"\ncommand = "true"'}, "not both"),
    "no task": ({"task": ""}, r"\[task\]: needs either function"),
    "task option": ({"task": 'function = "a:b"\nmetric = "json"'}, "unknown key 'metric'"),
    "command option": (
        {"task": 'command = "true"\nmetrics = "json"'},
        "unknown option 'metrics'; did you mean 'metric'?",
    ),
    "open quote": ({"task": 'command = "a \'b"'}, "cannot be split"),
    "no colon": ({"task": 'function = "train"'}, 'write "train:train"'),
    "no such module": (
        {"task": 'function = "studi_train:train"'},
        "no module 'studi_train' in .*; did you mean 'study_train'?",
    ),
    "no such file": ({"task": 'function = "nowhere.py:train"'}, "there is no file .*nowhere.py"),
    "no such function": (
        {"task": 'function = "study_train:trian"'},
        "study_train has no function 'trian'; did you mean 'train'?",
    ),
    "name taken": ({"task": 'function = "json.py:train"'}, "the name 'json' is that of"),
    "broken module": (
        {"task": 'function = "broken:train"'},
        r"'broken' cannot be imported: KeyError: 'gone' \(.*broken.py, line 2\)",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_say_where_and_what_to_write(study_file, tmp_path, case):
    lines, says = BAD[case]
    (tmp_path / "json.py").touch()
    (tmp_path / "broken.py").write_text("import os\nos.environ['x'] = {}['gone']\n")
    file = study_file(**lines)
    with pytest.raises(ConfigError, match=says.replace("?", r"\?").replace(r"\\?", r"\?")) as error:
        load(file, {})
    assert str(error.value).startswith(f"{file}: ")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[study", "is not valid TOML"),
        ("[stduy]\n[space]\n[task]", "unknown table or key 'stduy'; did you mean 'study'?"),
        ("trials = 6\n[study]\n[space]\n[task]", "unknown table or key 'trials'"),
        ("[study]\n[space]", "has no table [task]"),
        ("study = 3\n[space]\n[task]", "study must be a table"),
    ],
)
def test_what_is_no_study_at_all(tmp_path, text, says):
    file = Path(tmp_path / "bad.toml")
    file.write_text(text)
    with pytest.raises(ConfigError, match=re.escape(says)):
        load(file, {})
