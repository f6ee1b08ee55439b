"""An SVC tuned with cross-validation, by optuna."""

import optuna
from jobs import TRIALS, svc_accuracy


def objective(trial):
    C = trial.suggest_float("C", 0.01, 100, log=True)
    gamma = trial.suggest_float("gamma", 1e-6, 1, log=True)
    return svc_accuracy({"C": C, "gamma": gamma})


study = optuna.create_study(direction="maximize")
study.optimize(objective, n_trials=TRIALS)
print(study.best_params, study.best_value)
