"""A search that goes on after a kill, by optuna."""

import optuna
from jobs import TRIALS, svc_accuracy


def objective(trial):
    params = {
        "C": trial.suggest_float("C", 0.01, 100, log=True),
        "gamma": trial.suggest_float("gamma", 1e-6, 1, log=True),
    }
    return svc_accuracy(params)


study = optuna.create_study(
    storage="sqlite:///runs.db", study_name="svc", direction="maximize", load_if_exists=True
)
study.optimize(objective, callbacks=[optuna.study.MaxTrialsCallback(TRIALS)])
print(study.best_params, study.best_value)
