"""SMAC3 (Lindauer et al., 2022): random forests, its facade for tuning hyperparameters."""

import tempfile
from pathlib import Path

from peer_spaces import configspace, plain
from recorder import Recorder
from smac import HyperparameterOptimizationFacade, Scenario


def smac3(recorder: Recorder, seed: int) -> None:
    """Minimise by SMAC3. Conditions are those of ConfigSpace; it is told that there is no noise."""
    with tempfile.TemporaryDirectory() as folder:
        scenario = Scenario(
            configspace(recorder.problem.space, seed),
            deterministic=True,
            n_trials=recorder.evaluations,
            seed=seed,
            output_directory=Path(folder),
        )
        facade = HyperparameterOptimizationFacade(
            scenario, lambda config, seed=0: recorder(plain(config)), logging_level=False
        )
        facade.optimize()
