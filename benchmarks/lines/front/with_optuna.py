"""Accuracy and size: the front, and a compromise, by optuna."""

import optuna
from jobs import TRIALS, accuracy_and_nodes


def objective(trial):
    params = {
        "n_estimators": trial.suggest_int("n_estimators", 1, 40, log=True),
        "max_depth": trial.suggest_int("max_depth", 1, 15),
    }
    return accuracy_and_nodes(params)


study = optuna.create_study(directions=["maximize", "minimize"])
study.optimize(objective, n_trials=TRIALS)
print([trial.values for trial in study.best_trials])
top = max(trial.values[0] for trial in study.best_trials)
good = [trial for trial in study.best_trials if trial.values[0] >= top - 0.02]
chosen = min(good, key=lambda trial: trial.values[1])
print(chosen.params, chosen.values[0])
