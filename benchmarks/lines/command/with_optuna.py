"""A program tuned by two workers, to CSV, by optuna."""

import json
import subprocess

import optuna
from jobs import PROGRAM, TRIALS


def objective(trial):
    lr = trial.suggest_float("lr", 1e-5, 1, log=True)
    return json.loads(subprocess.check_output([*PROGRAM, "--lr", str(lr)]))["accuracy"]


study = optuna.create_study(direction="maximize")
study.optimize(objective, n_trials=TRIALS, n_jobs=2)
study.trials_dataframe().to_csv("trials.csv")
print(study.best_params, study.best_value)
