"""Energy as an objective: forests that classify well, and those that took little to train."""

from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import cross_val_score

import evotune as et

x, y = load_digits(return_X_y=True)


def train(trial):
    forest = RandomForestClassifier(random_state=0, **trial.params)
    return {"accuracy": cross_val_score(forest, x, y, cv=3).mean()}


space = et.Space(n_estimators=et.Int(2, 60, log=True), max_depth=et.Int(2, 12))
measured = et.Energy(train, country="DEU")
study = et.tune(measured, space, ["max accuracy", "min energy_kwh"], trials=10, seed=1)
for trial in study.front:
    joules, co2 = trial.metrics["energy_kwh"] * 3.6e6, trial.metrics["co2_kg"] * 1e6
    print(f"accuracy {trial.metrics['accuracy']:.3f} for {joules:.1f} J, {co2:.2f} mg of CO2")
