"""Every method behind one function: evotune's algorithms by name, and the peers.

A peer runs as its users get it: its defaults, its own way to say that a gene is conditional, one
evaluation at a time. Only what is stated in a peer's docstring is set.
"""

import ast
import importlib
import importlib.metadata
import importlib.util
import random
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from problem import Problem
from recorder import Recorder

import evotune as et
from evotune.algorithms import auto, recipes
from evotune.names import SEARCHES

#: Searches until the recorder's budget is used up: ``(recorder, seed)``.
Search = Callable[[Recorder, int], None]


@dataclass(frozen=True, slots=True)
class Peer:
    """Where a method of another library is found.

    Attributes:
        package: The installed distribution.
        module: Our module that drives it.
        function: Its function there.
    """

    package: str
    module: str
    function: str


PEERS = {
    "optuna-tpe": Peer("optuna", "peer_optuna", "tpe"),
    "optuna-gp": Peer("optuna", "peer_optuna", "gaussian_process"),
    "optuna-cmaes": Peer("optuna", "peer_optuna", "cma_es"),
    "optuna-nsga2": Peer("optuna", "peer_optuna", "nsga2"),
    "smac": Peer("smac", "peer_smac", "smac3"),
    "nevergrad-ngopt": Peer("nevergrad", "peer_nevergrad", "ngopt"),
    "nevergrad-de": Peer("nevergrad", "peer_nevergrad", "differential_evolution"),
    "dehb": Peer("dehb", "peer_dehb", "dehb"),
    "pymoo-ga": Peer("pymoo", "peer_pymoo", "mixed_variable_ga"),
}


@dataclass(frozen=True, slots=True)
class Run:
    """What one method found on one problem.

    Attributes:
        values: What it measured, in order.
        curve: Score of its incumbent after each full evaluation; see `Recorder.curve`.
        cpu_seconds: CPU time that the method itself took, evaluations not counted.
    """

    values: list[float]
    curve: list[float]
    cpu_seconds: float


def minimise(method: str, problem: Problem, evaluations: int, seed: int) -> Run:
    """Run a method on a problem.

    Args:
        method: ``random``, a name of `PEERS`, or an algorithm or recipe of evotune, with options
            after a colon: ``Genetic:population_size=20,elitism=2``.
        problem: What is minimised.
        evaluations: Full evaluations.
        seed: Seed of the method.

    Raises:
        ModuleNotFoundError: The peer is not installed.
        AlgorithmError: evotune has no such algorithm.
    """
    search = _warmed(method)
    for_run = getattr(problem, "for_run", None)
    recorder = Recorder(problem if for_run is None else for_run(seed), evaluations)
    before = time.process_time()
    _run(search, recorder, seed)
    cpu_seconds = time.process_time() - before - recorder.cpu_seconds
    return Run(recorder.values, recorder.curve(), cpu_seconds)


def is_installed(method: str) -> bool:
    """Return whether the peer's package is there; True for our own methods."""
    return method not in PEERS or importlib.util.find_spec(PEERS[method].package) is not None


def suits(method: str, problem: Problem) -> bool:
    """Return whether a method may be run on a problem: DEHB needs a fidelity."""
    return method != "dehb" or getattr(problem, "fidelity", None) is not None


def version(method: str) -> str:
    """Return the version of what runs, such as ``optuna 5.0.0``; "" for a peer that is missing."""
    if method not in PEERS:
        return f"evotune {et.__version__}"
    package = PEERS[method].package
    return f"{package} {importlib.metadata.version(package)}" if is_installed(method) else ""


def _run(search: Search, recorder: Recorder, seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  (some peers draw from the global generators)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        search(recorder, seed)


class _Bowl:
    """Two genes; a first run on it loads what a method loads lazily."""

    name = "bowl"
    space = et.Space(x=et.Float(-1.0, 1.0), y=et.Float(-1.0, 1.0))
    fidelity = ("epoch", 1, 27)

    def value(self, params: Mapping[str, Any], *, epoch: float = 27) -> float:
        return float(params["x"] ** 2 + params["y"] ** 2 + 1 / epoch)

    def values(self, many: Sequence[Mapping[str, Any]]) -> npt.NDArray[np.float64]:
        return np.array([self.value(params) for params in many])


@cache
def _warmed(method: str) -> Search:
    """Return a method that has run once in this process, so that imports are not measured."""
    search = _search(method)
    _run(search, Recorder(_Bowl(), 15), 0)
    return search


def _search(method: str) -> Search:
    if method in PEERS:
        peer = PEERS[method]
        found: Search = getattr(importlib.import_module(peer.module), peer.function)
        return found
    if method == "random":
        return at_random
    return lambda recorder, seed: evolve(method, recorder, seed)


def at_random(recorder: Recorder, seed: int) -> None:
    """Draw every gene uniformly on its own scale."""
    space, rng = recorder.problem.space, np.random.default_rng(seed)
    while not recorder.is_over:
        recorder(space.params(space.sample(rng)))


def evolve(method: str, recorder: Recorder, seed: int) -> None:
    """Drive an evotune algorithm by ask and tell, as `et.tune` would: a study in memory.

    Raises:
        ValueError: It asks for a budget, while every evaluation here is a full one.
    """
    algorithm = build(method, recorder.problem.space, recorder.evaluations)
    study = et.Study(algorithm, "min value", seed=seed)
    while not recorder.is_over and (trial := study.ask()) is not None:
        if trial.budget is not None:
            raise ValueError(f"{method} gives each trial a budget; here evaluations are full ones")
        study.tell(trial, recorder(trial.params))
    study.close()


def build(method: str, space: et.Space, trials: int) -> Any:
    """Return the evotune algorithm that a text such as ``Genetic:elitism=2`` names."""
    name, _, written = method.partition(":")
    pairs = (option.split("=", 1) for option in written.split(",") if option)
    options = {key: _literal(value) for key, value in pairs}
    recipe = getattr(recipes, name, None)
    if name == "auto":
        return auto.auto(space, trials=trials)
    if name in SEARCHES or recipe is None:
        return auto.named(name, space, **options)
    return recipe(space, **options)


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text
