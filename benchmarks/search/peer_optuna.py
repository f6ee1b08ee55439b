"""Optuna 5: TPE, GPSampler, CMA-ES, NSGA-II (Akiba et al., 2019).

Conditional genes as Optuna's users write them: define by run, a gene is suggested only where its
condition holds.
"""

from typing import Any

import optuna
from peer_spaces import grown
from recorder import Recorder

import evotune as et

optuna.logging.set_verbosity(optuna.logging.ERROR)


def tpe(recorder: Recorder, seed: int) -> None:
    """Minimise by tree-structured Parzen estimators, multivariate as is the default of Optuna 5."""
    _optimize(recorder, optuna.samplers.TPESampler(seed=seed))


def gaussian_process(recorder: Recorder, seed: int) -> None:
    """Minimise by GPSampler. Genes that not every trial has are drawn at random by it."""
    _optimize(recorder, optuna.samplers.GPSampler(seed=seed))


def cma_es(recorder: Recorder, seed: int) -> None:
    """Minimise by CmaEsSampler. Categorical and conditional genes are drawn at random by it."""
    _optimize(recorder, optuna.samplers.CmaEsSampler(seed=seed))


def nsga2(recorder: Recorder, seed: int) -> None:
    """Minimise by NSGAIISampler, population 50."""
    _optimize(recorder, optuna.samplers.NSGAIISampler(seed=seed))


def _optimize(recorder: Recorder, sampler: Any) -> None:
    study = optuna.create_study(sampler=sampler)
    while not recorder.is_over:
        trial = study.ask()
        study.tell(trial, recorder(suggest(trial, recorder.problem.space)))


def suggest(trial: Any, space: et.Space) -> dict[str, Any]:
    """Return the active genes as an Optuna trial suggests them."""
    return grown(space, lambda name, domain: _suggested(trial, name, domain))


def _suggested(trial: Any, name: str, domain: Any) -> Any:
    if isinstance(domain, et.Float):
        return trial.suggest_float(name, domain.low, domain.high, log=domain.log, step=domain.step)
    if isinstance(domain, et.Int):
        return trial.suggest_int(name, domain.low, domain.high, log=domain.log)
    return trial.suggest_categorical(name, list(domain.values()))
