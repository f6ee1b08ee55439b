r"""A study in a TOML file -> objects.

The whole format; only ``objective``, ``[space]`` and ``[task]`` are needed, and something that ends
the study::

    [study]
    name = "digits"                   # the file's name by default
    storage = "sqlite:///digits.db"   # beside the file; or a path, or postgresql://user@host/db
    objective = "max accuracy"        # or a list; or { weighted = { accuracy = 1.0, loss = -0.1 } }
    constraints = [{ metric = "parameters", at_most = 100000 }]   # at_most, at_least
    seed = 1                          # if left out, one is drawn and recorded
    duplicates = "redraw"             # or "repeat", "allow"
    trials = 60                       # of the whole study; ends it, like the next four
    epochs = 20                       # of any weights, over all trials that inherit them
    timeout = 3600                    # seconds after which no further trial is started
    target = 0.98                     # value of the first objective that is good enough
    stagnation = 5                    # generations without improvement of the best value
    stopping = { name = "MedianStopping", grace = 3 }   # ends single trials; or "MedianStopping"
    workers = 2                       # processes; left out, a SupervisedTask with epochs stacks
    trial_timeout = 600               # seconds after which a trial is ended as failed
    devices = "auto"                  # or ["cuda:0", "cuda:1"]: what the workers share
    max_failures = 0.5                # share of the trials that may fail
    deterministic = true              # tell results in trial order; see `Study.run`
    checkpoints = "weights"           # where weights are kept: a folder beside the file, or a URL;
                                      # or { location = "weights", quota = "2 GB", write_every = 1 }

    [space]                           # one gene per line
    lr = { type = "float", low = 1e-4, high = 1.0, log = true }
    dropout = { type = "float", low = 0.0, high = 0.6, step = 0.1 }
    width = { type = "int", low = 8, high = 64, log = true }
    batch_size = { type = "ordinal", values = [16, 32, 64] }
    optimizer = { type = "choice", values = ["sgd", "adam"] }
    nesterov = { type = "bool", when = { optimizer = "sgd" } }
    beta2 = { type = "float", low = 0.9, high = 0.999, when = { optimizer = ["adam"] } }
    depth = { type = "int", low = 1, high = 9, when = { width = { low = 16 } } }
    classes = { type = "fixed", value = 10 }

    [space.rate]                      # ... or a schedule over the epochs; params get a record
    type = "scheduled"
    domain = { type = "float", low = 1e-4, high = 1.0, log = true }
    shapes = ["constant", "cosine"]   # and warmup = 0.3, knots = 2 of "piecewise"

    [space.features]                  # ... or a chain of layers
    type = "chain"
    min = 1                           # layers
    max = 7
    [space.features.blocks]           # each with its settings; params get a list of records
    conv = { filters = { type = "int", low = 8, high = 64, log = true }, kernel = 3 }
    pool = {}

    [algorithm]                       # if left out, chosen for the space
    name = "Genetic"                  # or recipe = "dynamic_hyperparameters"
    population_size = 20              # and every other option of the class
    selection = { name = "Tournament", size = 3 }
    crossover = "Uniform"
    mutation = { name = "Gaussian", scale = [0.01, 0.4] }
    mutation_rate = { name = "Decay", initial = 0.1 }   # or a number
    refinement = { every = 5 }
    # proxies = ["naswot", "zico"]    of Hybrid and Genetic, where the task is a SupervisedTask

    [algorithm]                       # ... or for schedules, with epochs above
    name = "PopulationBasedTraining"
    population_size = 16
    interval = 1                      # or "auto", or { name = "GrowingInterval", initial = 1 }
    parents = 3                       # or 2, 1
    exploit = "quantile"              # or { name = "Quantile", share = 0.2 }
    fitness = "last"                  # or "smoothed", "improvement"
    mutation = { name = "Perturb", factors = [0.8, 1.2] }

    [algorithm]                       # ... or several side by side
    name = "Islands"
    topology = "ring"
    every = 5
    islands = [{ name = "Genetic" }, { recipe = "dynamic_hyperparameters" }]

    [task]                            # either a Python function ...
    function = "train:train"          # module:function or a SupervisedTask; or "train.py:train"

    [task]                            # ... or a command, which runs in the file's folder
    command = "python train.py --lr {lr} --epochs {budget}"
    metric = 'accuracy=(?P<accuracy>\S+)'   # or a table of expressions; by default "json": a line
                                      # such as {"accuracy": 0.93}, or one number as last line
    budget = 10                       # and cwd, env, genes, timeout as `CommandTask` takes them

Paths are relative to the file's folder. A function keeps the directory of the caller.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evotune.checkpoints.store import Checkpoints
from evotune.checks import user_path
from evotune.cli.algorithms import make_algorithm, make_operator
from evotune.cli.proxies import with_proxies
from evotune.cli.registry import at, build, check_names, check_types, make_gene
from evotune.cli.task import make_task
from evotune.errors import ConfigError
from evotune.objectives import Constraint, Objectives, WeightedSum, parse_objectives
from evotune.protocols import Algorithm, Evaluate
from evotune.space import Space
from evotune.storage.sql import file_of, locate
from evotune.study.run import Limits, executor_for
from evotune.study.study import Study

Table = Mapping[str, Any]

TABLES = ("study", "space", "algorithm", "task")
_OF_STUDY = ("name", "seed", "duplicates", "checkpoints")
_LIMITS = ("trials", "epochs", "timeout", "target", "stagnation")
_OF_RUN = (
    *_LIMITS,
    "stopping",
    "workers",
    "trial_timeout",
    "devices",
    "max_failures",
    "deterministic",
)


@dataclass(frozen=True, slots=True)
class Config:
    """The contents of a TOML file as objects.

    Attributes:
        name: Name of the study.
        storage: Path of its SQLite file, or the URL of a database.
        log: File for the output of the trials while the terminal shows a live view.
        objectives: Objectives and constraints.
        algorithm: A new algorithm object.
        evaluate: The task.
        of_study: Further options of `Study`.
        of_run: Options of `Study.run`.
    """

    name: str
    storage: Path | str
    log: Path
    objectives: Objectives
    algorithm: Algorithm
    evaluate: Evaluate
    of_study: Table
    of_run: Table

    def open(self, *, take_over: bool = False) -> Study:
        """Open the study, or create it.

        Raises:
            StudyMismatchError: The stored study has another space, objectives or seed.
            StorageError: The storage cannot be opened or read.
        """
        return Study(
            self.algorithm,
            self.objectives.objectives,
            constraints=self.objectives.constraints,
            storage=self.storage,
            name=self.name,
            take_over=take_over,
            **self.of_study,
        )


def load(path: Path, overrides: Table) -> Config:
    """Read a study from a file.

    Args:
        path: The file.
        overrides: Values that replace those in ``[study]``; ``proxies`` that in ``[algorithm]``.

    Raises:
        ConfigError: The file is invalid; the message says where and why.
    """
    path = user_path(path, ConfigError)
    tables = _read(path)
    folder = path.resolve().parent
    with at(str(path)):
        with at("[study]"):
            given = {k: v for k, v in overrides.items() if k != "proxies"}
            study = dict(tables["study"]) | given
            if "checkpoints" in study:
                study["checkpoints"] = _checkpoints(study["checkpoints"], folder)
            if "stopping" in study:
                study["stopping"] = make_operator("stopping", study["stopping"])
            of_study, of_run = _options(study)
            objectives = _objectives(study)
            name, storage = _location(study, path)
        with at("[task]"):  # first: its module may define domains of its own
            evaluate = make_task(tables["task"], folder)
        with at("[space]"):
            space = _space(tables["space"])
        with at("[algorithm]"):
            setting = setting_of(objectives, of_run)
            table = tables.get("algorithm", {})
            table = with_proxies(table, overrides.get("proxies"), evaluate)
            algorithm = make_algorithm(table, space, setting)
    return Config(
        name,
        storage,
        path.with_suffix(".log"),
        objectives,
        algorithm,
        evaluate,
        of_study,
        of_run,
    )


def setting_of(objectives: Objectives, of_run: Table) -> dict[str, Any]:
    """Return the options of `auto` that depend on the study."""
    return {
        "trials": of_run.get("trials"),
        "objectives": len(objectives.objectives),
        "workers": executor_for(None, of_run.get("workers"), None, of_run.get("devices")).capacity,
    }


def location(path: Path) -> tuple[str, Path | str]:
    """Return the name and the storage of a file's study, without checking anything else.

    Raises:
        ConfigError: The file cannot be read, or the name or storage is not a string.
    """
    study = _read(path)["study"]
    with at(str(path)), at("[study]"):
        return _location(study, path)


def _read(path: Path) -> dict[str, Table]:
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # invalid TOML, or not UTF-8
        raise ConfigError(f"{path} is not valid TOML: {error}") from error
    with at(str(path)):
        check_names("table or key", tables, TABLES)
        for name in ("study", "space", "task"):
            if name not in tables:
                raise ConfigError(f"has no table [{name}]; it needs [study], [space] and [task]")
        for name, table in tables.items():
            if not isinstance(table, dict):
                raise ConfigError(f"{name} must be a table: write [{name}] on a line of its own")
    return tables


def _options(study: Table) -> tuple[dict[str, Any], dict[str, Any]]:
    """Check ``[study]`` and return the options of `Study` and those of `Study.run`."""
    check_names("key", study, (*_OF_STUDY, "storage", "objective", "constraints", *_OF_RUN))
    of_study = {name: study[name] for name in _OF_STUDY if name in study and name != "name"}
    of_run = {name: study[name] for name in _OF_RUN if name in study}
    check_types(Study, of_study)
    check_types(Study.run, of_run)
    limits = {name: of_run.get(name) for name in _LIMITS}
    if all(value is None for value in limits.values()):
        raise ConfigError(
            "needs to know when to stop: write trials = 60, timeout = 3600 (seconds), "
            "target = 0.98, stagnation = 5, or epochs = 20 where weights are inherited"
        )
    Limits(**limits, max_failures=of_run.get("max_failures", 0.5))
    stopping, workers = of_run.get("stopping"), of_run.get("workers")
    timeout, devices = of_run.get("trial_timeout"), of_run.get("devices")
    executor_for(None, workers, timeout, devices, stopping=stopping)
    return of_study, of_run


def _checkpoints(given: Any, folder: Path) -> Checkpoints:
    with at("checkpoints"):
        options = dict(given) if isinstance(given, dict) else {"location": given}
        location = options.get("location")
        if isinstance(location, str) and location.strip() and "://" not in location:
            options["location"] = folder / user_path(location, ConfigError)
        return build(Checkpoints, options)


def _location(study: Table, path: Path) -> tuple[str, Path | str]:
    name = study.get("name", path.stem)
    storage = study.get("storage", f"{path.stem}.db")
    for key, value in (("name", name), ("storage", storage)):
        if not isinstance(value, str) or not value.strip():
            raise ConfigError(f"{key!r} must be a text, got {value!r}")
    if storage == "memory":
        raise ConfigError(
            'storage = "memory" would be lost when the command ends; leave storage out to keep '
            f"the study in {path.stem}.db"
        )
    url = locate(storage, path.resolve().parent)
    file = file_of(url)
    if file is None:
        return name, storage
    return name, url.render_as_string() if url.query else file


def _objectives(study: Table) -> Objectives:
    if "objective" not in study:
        raise ConfigError('needs an objective: write objective = "max accuracy"')
    given = study["objective"]
    items = given if isinstance(given, list) else [given]
    with at("constraints"):
        tables = study.get("constraints", [])
        if not isinstance(tables, list):
            raise ConfigError('must be a list: write [{ metric = "parameters", at_most = 1e5 }]')
        constraints = [build(Constraint, _table(item)) for item in tables]
    with at("objective"):
        return parse_objectives([_objective(item) for item in items], constraints)


def _objective(item: Any) -> Any:
    if not isinstance(item, dict):
        return item
    check_names("key", item, ["weighted"])
    return WeightedSum(**_table(item.get("weighted")))


def _table(item: Any) -> Table:
    if not isinstance(item, dict):
        raise ConfigError(f"needs a table in braces, got {item!r}")
    return item


def _space(table: Table) -> Space:
    genes = {}
    for name, domain in table.items():
        with at(name):
            genes[name] = make_gene(domain)
    return Space(genes)
